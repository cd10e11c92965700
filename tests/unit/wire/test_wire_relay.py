"""Pass-through: bytes go by as they came, while progress is kept and what the gateway alone asked for is cut out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cuts import cuts

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire import sse
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.events import Usage
from lmgw.wire.openai import OPENAI
from lmgw.wire.openai_native import COMPLETIONS
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Relay

REPLY = Reply("id-1", "asked", 1)
TARGET = Target("gpt", Capabilities(reasoning=True))
ASKED = (
    b'{"model": "x", "messages": [{"role": "user", "content": "hi"}], "temperature": 1.0, "stream": true, "new": 1e2}'
)


def sent(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return sent({"id": "c1", "model": "gpt-1", "choices": [choice], "x_unknown": 1.50} | fields)


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk(finish="stop")
DONE = b"data: [DONE]\n\n"
USAGE = chunk(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2})
ERROR = sent({"error": {"message": "boom", "type": "server_error"}})


def passed(stream: bytes, chunks: list[bytes], asked: bytes = ASKED, clean: bool = True) -> tuple[bytes, Progress]:
    relay = OPENAI.relay(Body(asked), TARGET, lambda: REPLY)
    raw = b"".join([relay.feed(data) for data in chunks]) + relay.eof(clean)
    return raw, relay.progress


TEXT = (ROLE, chunk({"content": "a"}), STOP)
GOOD: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "text": ((*TEXT, DONE), (*TEXT, DONE)),
    "usage that only the gateway asked for": ((*TEXT, USAGE, DONE), (*TEXT, DONE)),
    "usage beside choices stays": ((ROLE, chunk(finish="stop", usage={"prompt_tokens": 9}), DONE),) * 2,
    "usage: null stays": ((chunk({"content": "a"}, usage=None), STOP, DONE),) * 2,
    "a missing [DONE] is added": (TEXT, (*TEXT, DONE)),
    "half a frame after the finish": ((*TEXT, b"data: [DO"), (*TEXT, DONE)),
    "comments and CRLF": ((b": ping\r\n\r\n", ROLE.replace(b"\n", b"\r\n"), STOP, DONE),) * 2,
    "what nobody understands": ((b"data: {}\n\n", b"data: not JSON\n\n", b"event: x\ndata: 1\n\n", STOP, DONE),) * 2,
    "an error after the finish": ((*TEXT, ERROR, DONE), (*TEXT, DONE)),
}


@pytest.mark.parametrize(("stream", "expected"), GOOD.values(), ids=GOOD)
def test_bytes_pass_as_they_came(stream: tuple[bytes, ...], expected: tuple[bytes, ...]) -> None:
    whole = b"".join(stream)
    for chunks in cuts(whole, seeds=5):
        raw, progress = passed(whole, chunks)
        assert raw == b"".join(expected)
        assert (progress.error, progress.finish) == (None, "stop")


BAD: dict[str, tuple[tuple[bytes, ...], bool, tuple[bytes, ...], str]] = {
    "an error": ((ROLE, chunk({"content": "a"}), ERROR, STOP, DONE), True, (ROLE, chunk({"content": "a"})), "boom"),
    "an error before anything": ((ERROR,), True, (), "boom"),
    "a bare object": ((b'{"detail": "no"}',), True, (), "no"),
    "[DONE] without a finish": ((ROLE, DONE), True, (ROLE,), "ended its answer"),
    "no end": ((ROLE, chunk({"content": "a"})), True, (ROLE, chunk({"content": "a"})), "ended its answer"),
    "half a frame": ((ROLE, STOP[:-9]), False, (ROLE,), "closed the connection"),
    "nothing": ((), True, (), "ended its answer"),
}


@pytest.mark.parametrize(("stream", "clean", "expected", "words"), BAD.values(), ids=BAD)
def test_a_broken_answer_is_known_and_not_shown_as_whole(
    stream: tuple[bytes, ...], clean: bool, expected: tuple[bytes, ...], words: str
) -> None:
    whole = b"".join(stream)
    for chunks in cuts(whole, seeds=5):
        raw, progress = passed(whole, chunks, clean=clean)
        assert raw == b"".join(expected)
        assert progress.error is not None
        assert words in progress.error.message


def test_a_broken_connection_after_the_finish_is_a_good_end() -> None:
    raw, progress = passed(b"", [ROLE, STOP, b"data: [DO"], clean=False)
    assert (raw, progress.error) == (ROLE + STOP + DONE, None)


def test_an_event_that_is_too_large_is_an_error() -> None:
    relay = OPENAI.relay(Body(ASKED), TARGET, lambda: REPLY)
    for _ in range(sse.MAX_FRAME // 2**20 + 1):
        relay.feed(b"x" * 2**20)
    assert relay.progress.error is not None
    assert (relay.feed(STOP), relay.eof(True)) == (b"", b"")


def test_usage_that_the_caller_asked_for_passes() -> None:
    asked = ASKED.replace(b'"stream": true', b'"stream": true, "stream_options": {"include_usage": true}')
    raw, progress = passed(b"", [ROLE, STOP, USAGE, DONE], asked)
    assert raw == ROLE + STOP + USAGE + DONE
    assert progress.usage == Usage(9, 2)


def test_usage_that_is_not_in_integers_is_read_too() -> None:
    odd = chunk(choices=[], usage={"prompt_tokens": 9.7, "completion_tokens": "?"})
    raw, progress = passed(b"", [ROLE, STOP, odd, DONE])
    assert (raw, progress.usage) == (ROLE + STOP + DONE, Usage(9))


def test_progress_tells_content_from_lifecycle() -> None:
    relay = OPENAI.relay(Body(ASKED), TARGET, lambda: REPLY)
    relay.feed(b": ping\n\n" + ROLE + chunk({"content": None}))
    assert not relay.progress.content
    relay.feed(chunk({"reasoning_content": "hm"}))
    assert (relay.progress.content, relay.progress.reasoning, relay.progress.text) == (True, True, "")
    relay.feed(chunk({"content": "Hel"}) + chunk({"content": "lo"}))
    assert (relay.progress.text, relay.progress.chars, relay.progress.model) == ("Hello", 7, "gpt-1")
    relay.feed(chunk({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]}))
    relay.feed(chunk(finish="stop") + USAGE)
    assert (relay.progress.tool_call, relay.progress.finish, relay.progress.chars) == (True, "tool_calls", 9)
    assert relay.progress.usage == Usage(9, 2)


def test_only_the_beginning_of_a_text_is_kept() -> None:
    relay = OPENAI.relay(Body(ASKED), TARGET, lambda: REPLY)
    for _ in range(100):
        relay.feed(chunk({"content": "x" * 100}))
    assert (len(relay.progress.text), relay.progress.chars) == (4096, 10_000)


def test_text_completions_are_read_too() -> None:
    relay = COMPLETIONS.relay(Body(b'{"model":"x","prompt":"a","stream":true}'), TARGET, lambda: REPLY)
    first = sent({"choices": [{"index": 0, "text": "Hello", "finish_reason": None}]})
    last = sent({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
    assert relay.feed(first + last) == first + last
    assert (relay.progress.content, relay.progress.text, relay.progress.finish) == (True, "Hello", "length")


# --- requests ------------------------------------------------------------------------------------------------

SYSTEM = b'{"model":"gpt","messages":[%b{"role":"user","content":"hi"}]}'
INSERTED = b'{"role":"system","content":"P"},'


def edited(asked: bytes, **target: Any) -> bytes:
    return OPENAI.edit_request(Body(asked), Target("gpt", **target)).body


def test_only_the_model_changes() -> None:
    asked = b' { "messages" : [{"role":"user","content":"\\u00e9"}] ,\n"model":"x", "top_k": 1.0, "x": {"model":"x"} } '
    assert edited(asked) == asked.replace(b'"model":"x",', b'"model":"gpt",')


def test_a_stream_is_made_to_tell_its_usage() -> None:
    usage = b'"stream_options":{"include_usage":true}'
    assert edited(ASKED) == ASKED.replace(b'"x"', b'"gpt"')[:-1] + b"," + usage + b"}"
    assert edited(ASKED, stream_usage=False) == ASKED.replace(b'"x"', b'"gpt"')
    for options, expected in (
        (b'{"x": 1.0}', b'{"x": 1.0,"include_usage":true}'),
        (b'{"include_usage": false, "x": 1}', b'{"include_usage": true, "x": 1}'),
        (b"null", b'{"include_usage":true}'),
    ):
        asked = b'{"model":"gpt","stream":true,"stream_options":%b,"messages":[0]}'
        assert edited(asked % options) == asked % expected


SYSTEMS: dict[str, tuple[bytes, bytes]] = {
    "none": (b"", INSERTED),
    "a string": (b'{"role":"system", "content":"S"},', b'{"role":"system", "content":"P\\n\\nS"},'),
    "a developer's": (b'{"content": "S", "role":"developer"},', b'{"content": "P\\n\\nS", "role":"developer"},'),
    "parts": (
        b'{"role":"system","content":[ {"type":"text","text":"S"}]},',
        b'{"role":"system","content":[{"type":"text","text":"P\\n\\n"}, {"type":"text","text":"S"}]},',
    ),
    "no parts": (
        b'{"role":"system","content":[]},',
        b'{"role":"system","content":[{"type":"text","text":"P\\n\\n"}]},',
    ),
    "no content": (b'{"role":"system","content":null},', INSERTED + b'{"role":"system","content":null},'),
    "one that is not first": (
        b'{"role":"user","content":"a"},{"role":"system","content":"S"},',
        INSERTED + b'{"role":"user","content":"a"},{"role":"system","content":"S"},',
    ),
}


@pytest.mark.parametrize(("before", "after"), SYSTEMS.values(), ids=SYSTEMS)
def test_the_profiles_prompt_stands_in_front(before: bytes, after: bytes) -> None:
    for frame in (SYSTEM, SYSTEM.replace(b":[", b" : [")):
        assert edited(frame % before, system="P") == frame % after


@pytest.mark.parametrize("messages", [b'"x"', b"[1]", b'[{"role":5}]', b"null"])
def test_messages_that_cannot_take_the_prompt_are_the_callers_fault(messages: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        edited(b'{"model":"x","messages":%b}' % messages, system="P")
    assert caught.value.param == "messages"


def test_the_tiers_thinking_is_said_where_the_caller_says_nothing() -> None:
    reasons = {"capabilities": Capabilities(reasoning=True)}
    asked = b'{"model":"gpt","messages":[0]}'
    assert edited(asked, think=True, **reasons) == asked[:-1] + b',"reasoning_effort":"medium"}'
    assert edited(asked, think=False, **reasons) == asked[:-1] + b',"reasoning_effort":"none"}'
    assert edited(asked, think=True) == asked
    for said in (b'"reasoning_effort":"low"', b'"reasoning":{"effort":"low"}'):
        asked = b'{"model":"gpt","messages":[0],%b}' % said
        assert edited(asked, think=True, **reasons) == asked


def test_completions_get_the_model_and_nothing_else_of_policy() -> None:
    found = COMPLETIONS.edit_request(Body(b'{"model":"x","prompt":"a"}'), Target("gpt", system="P", think=True))
    assert (found.path, found.body) == ("/completions", b'{"model":"gpt","prompt":"a"}')


# --- whole answers -------------------------------------------------------------------------------------------


def answered(answer: bytes) -> tuple[bytes, Progress]:
    return OPENAI.relay_answer(Body(ASKED), TARGET, lambda: REPLY, answer)


def test_a_whole_answer_passes_and_is_read() -> None:
    message = {"role": "assistant", "content": "Hello", "reasoning": "hm"}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    answer = json.dumps({"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1}, "x": 1.0}, indent=1).encode()
    raw, progress = answered(answer)
    assert raw == answer
    assert (progress.text, progress.finish, progress.reasoning, progress.usage) == ("Hello", "length", True, Usage(1))


def test_a_whole_answer_with_odd_usage_passes_too() -> None:
    answer = b'{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":9.7,"completion_tokens":"?"}}'
    raw, progress = answered(answer)
    assert (raw, progress.text, progress.usage) == (answer, "a", Usage(9))


def test_a_whole_answer_without_a_reason_has_stopped() -> None:
    _, progress = answered(b'{"choices":[{"message":{"content":"a"}}]}')
    assert progress.finish == "stop"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"error":{"message":"boom","code":429}}', "boom"),
        (b'{"detail":"nope"}', "nope"),
        (b"<html><h1>Oops</h1></html>", "Oops"),
        (b"", "no reason"),
        (b"{}", "no choices"),
    ],
)
def test_an_error_inside_a_200_is_known(answer: bytes, words: str) -> None:
    raw, progress = answered(answer)
    assert raw == b""
    assert progress.error is not None
    assert words in progress.error.message


def test_a_relay_stops_at_the_error_that_its_scanner_finds() -> None:
    class Scanner:
        progress = Progress()

        def scan(self, frame: bytes) -> bytes:
            if b"bad" in frame:
                self.progress.error = BadRequest("bad")
                return b""
            return frame

        def end(self) -> bytes:
            return b"never"

    relay = Relay(sse.Frames(), Scanner())
    assert relay.feed(b"data: a\n\ndata: bad\n\ndata: c\n\n") == b"data: a\n\n"
    assert relay.feed(b"data: d\n\n") == relay.eof(True) == b""
