"""The Responses API passed through: bytes as they came, and what is read on their way past."""

from __future__ import annotations

import json
from typing import Any

import grammar
import pytest
from cuts import cuts

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest, GatewayError, UpstreamFailed
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.events import Usage
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Relay
from lmgw.wire.responses import RESPONSES
from lmgw.wire.responses_native import lacks_route
from lmgw.wire.statuses import read_error
from lmgw.wire.translate import translation

TARGET, REPLY = Target("gpt"), Reply("resp_gw", "m", 1)
ASKED = b'{"model":"x","input":"hi","stream":true}'
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 2},
}


def event(kind: str, number: int, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": number, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def response(status: str, **fields: Any) -> dict[str, Any]:
    return {"id": "resp_up", "object": "response", "status": status, "model": "gpt-1", "x": 1.50, **fields}


CREATED = event("response.created", 0, response=response("in_progress", output=[]))
ADDED = event("response.output_item.added", 1, output_index=0, item={"type": "message", "id": "msg_1", "content": []})
DELTA = event("response.output_text.delta", 2, item_id="msg_1", output_index=0, content_index=0, delta="Hello")
KEEPALIVE = event("keepalive", 3)
COMPLETED = event("response.completed", 4, response=response("completed", usage=USAGE, output=[{"arguments": {}}]))
CUT = event(
    "response.incomplete", 4, response=response("incomplete", incomplete_details={"reason": "max_output_tokens"})
)
FAILED = event(
    "response.failed", 3, response=response("failed", error={"code": "rate_limit_exceeded", "message": "slow down"})
)
ERROR = event("error", 3, error={"type": "server_error", "code": "server_error", "message": "boom", "param": None})
FLAT = event("error", 3, code="server_error", message="boom", param=None)


def relay() -> Relay:
    return RESPONSES.relay(Body(ASKED), TARGET, lambda: REPLY)


def passed(chunks: list[bytes], clean: bool = True) -> tuple[bytes, Progress]:
    way = relay()
    return b"".join([way.feed(data) for data in chunks]) + way.eof(clean), way.progress


GOOD: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...], str]] = {
    "text": ((CREATED, ADDED, DELTA, COMPLETED),) * 2 + ("stop",),
    "a heartbeat": ((CREATED, ADDED, DELTA, KEEPALIVE, COMPLETED),) * 2 + ("stop",),
    "cut": ((CREATED, ADDED, DELTA, CUT),) * 2 + ("length",),
    "comments and CRLF": ((b": ping\r\n\r\n", CREATED.replace(b"\n", b"\r\n"), DELTA, COMPLETED),) * 2 + ("stop",),
    "a [DONE] is no part of this API": (
        (CREATED, DELTA, COMPLETED, b"data: [DONE]\n\n"),
        (CREATED, DELTA, COMPLETED),
        "stop",
    ),
    "nothing follows the end": ((CREATED, COMPLETED, ERROR, DELTA), (CREATED, COMPLETED), "stop"),
    "what nobody understands": ((CREATED, b"data: {}\n\n", b"data: not JSON\n\n", COMPLETED),) * 2 + ("stop",),
}


@pytest.mark.parametrize(("stream", "expected", "finish"), GOOD.values(), ids=GOOD)
def test_bytes_pass_as_they_came(stream: tuple[bytes, ...], expected: tuple[bytes, ...], finish: str) -> None:
    for chunks in cuts(b"".join(stream), seeds=5):
        raw, progress = passed(chunks)
        assert raw == b"".join(expected)
        assert (progress.error, progress.finish) == (None, finish)


BAD: dict[str, tuple[tuple[bytes, ...], bool, tuple[bytes, ...], str, int]] = {
    "an error": ((CREATED, DELTA, ERROR, FAILED), True, (CREATED, DELTA), "boom", 500),
    "an error as it is documented": ((CREATED, FLAT), True, (CREATED,), "boom", 500),
    "a failure": ((CREATED, DELTA, FAILED), True, (CREATED, DELTA), "slow down", 429),
    "an error before anything": ((ERROR,), True, (), "boom", 500),
    "a bare object": ((b'{"error": "Unexpected endpoint"}',), True, (), "Unexpected endpoint", 502),
    "no end": ((CREATED, DELTA), True, (CREATED, DELTA), "ended its answer", 502),
    "half a frame": ((CREATED, COMPLETED[:-9]), False, (CREATED,), "closed the connection", 502),
    "nothing": ((), True, (), "ended its answer", 502),
}


@pytest.mark.parametrize(("stream", "clean", "expected", "words", "status"), BAD.values(), ids=BAD)
def test_a_broken_answer_is_known_and_not_shown_as_whole(
    stream: tuple[bytes, ...], clean: bool, expected: tuple[bytes, ...], words: str, status: int
) -> None:
    for chunks in cuts(b"".join(stream), seeds=5):
        raw, progress = passed(chunks, clean)
        assert raw == b"".join(expected)
        assert progress.error is not None
        assert (words in progress.error.message, progress.error.status) == (True, status)


def test_a_stream_that_breaks_off_ends_as_its_own_response() -> None:
    way = relay()
    way.feed(CREATED + ADDED + DELTA)
    raw = way.last_words(UpstreamFailed("gone"))
    error, failed = (json.loads(data) for _, data in grammar.sse(raw, grammar.Faults()))
    assert (error["type"], error["sequence_number"], error["error"]["message"]) == ("error", 3, "gone")
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 4)
    assert failed["response"]["id"] == "resp_up"
    assert (failed["response"]["status"], failed["response"]["x"]) == ("failed", 1.5)
    assert failed["response"]["error"] == {"code": "server_error", "message": "gone"}


def test_progress_tells_content_from_lifecycle() -> None:
    way = relay()
    way.feed(CREATED + KEEPALIVE + ADDED)
    assert not way.progress.content
    way.feed(event("response.reasoning_summary_text.delta", 2, delta="hm"))
    assert (way.progress.content, way.progress.reasoning, way.progress.text) == (True, True, "")
    way.feed(DELTA + event("response.refusal.delta", 3, delta=" No."))
    assert (way.progress.text, way.progress.chars, way.progress.model) == ("Hello No.", 11, "gpt-1")
    way.feed(event("response.output_item.added", 4, item={"type": "function_call", "arguments": ""}))
    way.feed(event("response.function_call_arguments.delta", 5, delta="{}"))
    way.feed(COMPLETED)
    assert (way.progress.tool_call, way.progress.finish, way.progress.chars) == (True, "tool_calls", 13)
    assert way.progress.usage == Usage(4, 3, 4, 1, 2)


@pytest.mark.parametrize(("kind", "acts"), [("custom_tool_call", True), ("web_search_call", False)])
def test_a_call_is_content_and_some_are_the_callers_to_act_on(kind: str, acts: bool) -> None:
    way = relay()
    way.feed(CREATED + event("response.output_item.added", 1, item={"type": kind}))
    assert (way.progress.content, way.progress.tool_call) == (True, acts)


# --- requests ------------------------------------------------------------------------------------------------


def edited(asked: bytes, **target: Any) -> bytes:
    return RESPONSES.edit_request(Body(asked), Target("gpt", **target)).body


def test_only_the_model_changes() -> None:
    asked = b' { "input" : [{"role":"user","content":"\\u00e9"}] ,\n"model":"x", "store": true, "x": {"model":1.0} } '
    assert edited(asked) == asked.replace(b'"model":"x",', b'"model":"gpt",')
    assert RESPONSES.edit_request(Body(asked), TARGET).path == "/responses"


@pytest.mark.parametrize(("own", "expected"), [(b"null", b'"P"'), (b'""', b'"P"'), (b'"I"', b'"P\\n\\nI"')])
def test_the_profiles_prompt_stands_in_front(own: bytes, expected: bytes) -> None:
    asked = b'{"model":"gpt","instructions":%b,"input":"hi"}'
    assert edited(asked % own, system="P") == asked % expected
    assert edited(b'{"model":"gpt"}', system="P") == b'{"model":"gpt","instructions":"P"}'


def test_the_tiers_thinking_is_said_where_the_caller_says_nothing() -> None:
    reasons = {"capabilities": Capabilities(reasoning=True)}
    for own, expected in (
        (b"null", b'{"effort":"medium"}'),
        (b"{}", b'{"effort":"medium"}'),
        (b'{"summary": "auto"}', b'{"summary": "auto","effort":"medium"}'),
        (b'{"effort": null}', b'{"effort": "medium"}'),
        (b'{"effort": "low"}', b'{"effort": "low"}'),
    ):
        asked = b'{"model":"gpt","reasoning":%b}'
        assert edited(asked % own, think=True, **reasons) == asked % expected
        assert edited(asked % own, think=True) == asked % own


def test_reasoning_that_only_the_gateway_can_read_stays_behind() -> None:
    own = b'{"type":"reasoning", "summary":[], "encrypted_content":"gAAA"}'
    sealed = b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"lmgw:signature:"}'
    words = b'{"role":"user", "content":"lmgw: 1.0"}'
    asked = b'{"model":"gpt","input":[%b]}'
    assert edited(asked % b",".join((own, sealed, words, b"5"))) == asked % b",".join((own, words, b"5"))
    assert edited(b'{"model":"gpt","input":"lmgw:"}') == b'{"model":"gpt","input":"lmgw:"}'


@pytest.mark.parametrize("field", [b'"instructions":5', b'"reasoning":5'])
def test_what_cannot_take_the_policy_is_the_callers_fault(field: bytes) -> None:
    with pytest.raises(BadRequest):
        edited(b'{"model":"x",%b}' % field, system="P", think=True, capabilities=Capabilities(reasoning=True))


@pytest.mark.parametrize("field", [b'"previous_response_id":"resp_1"', b'"conversation":"c"', b'"background":true'])
def test_what_needs_a_memory_is_refused_here_too(field: bytes) -> None:
    with pytest.raises(BadRequest, match="nothing is stored here"):
        edited(b'{"model":"x","input":"hi",%b}' % field)


# --- whole answers -------------------------------------------------------------------------------------------

MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}, {"refusal": "No."}, 5]}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
CALL = {"type": "function_call", "arguments": "{}"}
SEARCH = {"type": "tool_search_call", "arguments": {"query": "x"}}


def answered(answer: Any) -> tuple[bytes, Progress]:
    way = translation("responses", "responses", Body(b'{"model":"x","input":"hi"}'), TARGET, lambda: REPLY)
    return way.answer(answer if isinstance(answer, bytes) else json.dumps(answer, indent=1).encode())


def test_a_whole_answer_passes_and_is_read() -> None:
    answer = response("completed", output=[THOUGHT, MESSAGE, SEARCH, CALL], usage=USAGE, error=None)
    raw, progress = answered(answer)
    assert raw == json.dumps(answer, indent=1).encode()
    assert (progress.text, progress.reasoning, progress.tool_call) == ("HelloNo.", True, True)
    assert (progress.finish, progress.usage, progress.model) == ("tool_calls", Usage(4, 3, 4, 1, 2), "gpt-1")
    assert progress.chars == 12
    cut = response("incomplete", output=[MESSAGE], incomplete_details={"reason": "content_filter"})
    assert answered(cut)[1].finish == "content_filter"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": {"message": "boom"}}, "boom"),
        ({"error": "Unexpected endpoint"}, "Unexpected endpoint"),
        (response("failed", output=[], error={"code": "server_error", "message": "boom"}), "boom"),
        (b"<html><h1>Oops</h1></html>", "Oops"),
        ({}, "no reason"),
    ],
)
def test_an_error_inside_a_200_is_known(answer: Any, words: str) -> None:
    raw, progress = answered(answer)
    assert raw == b""
    assert progress.error is not None
    assert words in progress.error.message


MISSING: list[tuple[int, bytes, bool]] = [
    (404, b'{"detail":"Not Found"}', True),
    (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}', True),
    (404, b"404 page not found", True),
    (404, b"", True),
    (405, b"", True),
    (501, b"", True),
    (404, b'{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}', False),
    (404, b'{"error":{"message":"Item with id \'rs_1\' not found","param":null}}', False),
    (404, b'{"error":{"message":"not found","param":"input"}}', False),
    (400, b'{"detail":"Not Found"}', False),
]


@pytest.mark.parametrize(("status", "body", "lacks"), MISSING)
def test_a_route_that_is_not_there_is_told_from_what_is_not_found_on_it(status: int, body: bytes, lacks: bool) -> None:
    error: GatewayError = read_error(status, body)
    assert lacks_route(error) is lacks
