"""Whole answers and errors of Anthropic's Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmgw.errors import GatewayError, Overloaded, RateLimited, Unauthorized, UnknownModel
from lmgw.wire.anthropic import ANTHROPIC
from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, Part, Text, Thinking, ToolCall, Usage

REPLY = Reply("msg_1", "asked", 1_760_000_000)
USAGE = {"input_tokens": 5, "output_tokens": 7}
BODY = {
    "id": "msg_up",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hi."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}


def read(**fields: Any) -> Answer:
    return ANTHROPIC.parse_answer(json.dumps(BODY | fields).encode())


def written(*parts: Part, **fields: Any) -> dict[str, Any]:
    answer = Answer("up", fields.pop("model", "claude"), parts, fields.pop("finish", "stop"), **fields)
    found: dict[str, Any] = json.loads(ANTHROPIC.render_answer(answer, REPLY))
    return found


# --- read ----------------------------------------------------------------------------------------------------


def test_an_answer_is_read() -> None:
    assert read() == Answer("msg_up", "claude", (Text("Hi."),), "stop", Usage(5, 7))


BLOCKS: dict[str, tuple[dict[str, Any], tuple[Part, ...]]] = {
    "thinking": ({"type": "thinking", "thinking": "T", "signature": "S"}, (Thinking("T", "S"),)),
    "hidden thinking": ({"type": "thinking", "thinking": "", "signature": "S"}, (Thinking("", "S"),)),
    "unsigned thinking": ({"type": "thinking", "thinking": "T", "signature": ""}, (Thinking("T"),)),
    "redacted thinking": ({"type": "redacted_thinking", "data": "D"}, (Thinking(redacted="D"),)),
    "a call": ({"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}}, (ToolCall("t", "f", '{"a": [1]}'),)),
    "a call without input": ({"type": "tool_use", "id": "t", "name": "f"}, (ToolCall("t", "f", "{}"),)),
    "a call with none": ({"type": "tool_use", "id": "t", "name": "f", "input": None}, (ToolCall("t", "f", "{}"),)),
    "empty text": ({"type": "text", "text": ""}, ()),
    "a tool that ran there": ({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, ()),
}


@pytest.mark.parametrize(("block", "parts"), BLOCKS.values(), ids=BLOCKS)
def test_a_block_is_read(block: dict[str, Any], parts: tuple[Part, ...]) -> None:
    assert read(content=[block]).parts == parts


REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    None: "stop",
    "a new one": "stop",
}


@pytest.mark.parametrize(("reason", "finish"), REASONS.items())
def test_why_it_ended(reason: str | None, finish: str) -> None:
    assert read(stop_reason=reason).finish == finish


def test_a_call_is_the_reason_unless_another_was_given() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f"}
    assert read(content=[call], stop_reason="end_turn").finish == "tool_calls"
    assert read(content=[call], stop_reason="max_tokens").finish == "length"


def test_every_kind_of_token_is_counted_apart() -> None:
    usage = USAGE | {"cache_read_input_tokens": 60, "cache_creation_input_tokens": 30}
    usage |= {"output_tokens_details": {"thinking_tokens": 3}, "service_tier": "standard"}
    assert read(usage=usage).usage == Usage(5, 7, 60, 30, 3)


def test_an_answer_without_usage_is_taken() -> None:
    assert read(usage=None).usage is None


BROKEN: dict[str, tuple[bytes, int, str]] = {
    "an error inside": (
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        529,
        "Overloaded",
    ),
    "another's error inside": (b'{"error":{"code":500,"message":"boom","type":"server_error"}}', 500, "boom"),
    "no answer": (b'{"ok":true}', 502, "the provider's answer holds no content"),
    "no JSON": (b"<html>Bad gateway</html>", 502, "Bad gateway"),
    "nothing": (b"", 502, "gave no reason"),
}


@pytest.mark.parametrize(("body", "status", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_an_error(body: bytes, status: int, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ANTHROPIC.parse_answer(body)
    assert caught.value.status == status
    assert words in caught.value.message


# --- written -------------------------------------------------------------------------------------------------


def test_an_answer_is_written() -> None:
    assert written(Text("Hi."), usage=Usage(5, 7, 60, 30)) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "Hi."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE | {"cache_read_input_tokens": 60, "cache_creation_input_tokens": 30},
    }


def test_usage_is_there_even_where_nobody_counted() -> None:
    assert written(Text("Hi."))["usage"] == {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }


def test_the_model_that_was_asked_for_stands_in_for_one_that_is_not_named() -> None:
    assert written(Text("Hi."), model="")["model"] == "asked"


def test_parts_are_written_in_order_and_empty_text_never() -> None:
    content = written(Thinking("T"), Thinking("", "S"), Thinking(redacted="D"), Text(""), Text(" "))["content"]
    assert content == [
        {"type": "thinking", "thinking": "T", "signature": "lmgw:unsigned"},
        {"type": "thinking", "thinking": "", "signature": "S"},
        {"type": "redacted_thinking", "data": "D"},
        {"type": "text", "text": " "},
    ]


ARGUMENTS = {'{"a":1}': {"a": 1}, "": {}, "null": {}, "[1]": {"_raw": "[1]"}, '{\n"a": "\\n"}': {"a": "\n"}}


@pytest.mark.parametrize(("arguments", "expected"), ARGUMENTS.items())
def test_a_calls_input_is_an_object(arguments: str, expected: dict[str, Any]) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": expected}
    assert written(ToolCall("t", "f", arguments))["content"] == [call]


def test_a_short_name_is_turned_back() -> None:
    reply = Reply("msg_1", "asked", 1, tool_names={"short": "a.long.name"})
    answer = Answer("up", "m", (ToolCall("t", "short", "{}"),), "tool_calls")
    assert json.loads(ANTHROPIC.render_answer(answer, reply))["content"][0]["name"] == "a.long.name"


WRITTEN_REASONS: dict[str, tuple[Any, str | None, bool, str]] = {
    "stop": ("stop", None, False, "end_turn"),
    "a stop sequence": ("stop", "END", False, "stop_sequence"),
    "length": ("length", None, False, "max_tokens"),
    "calls": ("tool_calls", None, True, "tool_use"),
    "filtered": ("content_filter", None, False, "refusal"),
    "stop, but with a call": ("stop", None, True, "tool_use"),
    "length, with a call": ("length", None, True, "max_tokens"),
}


@pytest.mark.parametrize(("finish", "sequence", "called", "reason"), WRITTEN_REASONS.values(), ids=WRITTEN_REASONS)
def test_why_it_ended_is_written(finish: Any, sequence: str | None, called: bool, reason: str) -> None:
    parts = (ToolCall("t", "f", "{}"),) if called else (Text("a"),)
    found = written(*parts, finish=finish, stop_sequence=sequence)
    assert (found["stop_reason"], found["stop_sequence"]) == (reason, sequence)


def test_a_count_is_written() -> None:
    assert json.loads(ANTHROPIC.render_count(41)) == {"input_tokens": 41}


# --- errors --------------------------------------------------------------------------------------------------

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@pytest.mark.parametrize(("status", "type"), TYPES.items())
def test_the_status_says_the_type(status: int, type: str) -> None:
    error = GatewayError("words", status=status, type="server_error", code="some_code")
    expected = {"type": "error", "error": {"type": type, "message": "words"}, "request_id": "req_1"}
    assert json.loads(ANTHROPIC.render_error(error, "req_1")) == expected


OURS: dict[str, tuple[GatewayError, str]] = {
    "a limit": (RateLimited("slowly", retry_after_s=1, scope="client"), "rate_limit_error"),
    "no key": (Unauthorized("who?"), "authentication_error"),
    "no such model": (UnknownModel("no such model"), "not_found_error"),
    "full": (Overloaded("full"), "overloaded_error"),
}


@pytest.mark.parametrize(("error", "type"), OURS.values(), ids=OURS)
def test_the_gateways_own_errors_have_the_types_that_sdks_know(error: GatewayError, type: str) -> None:
    assert json.loads(ANTHROPIC.render_error(error, "r"))["error"]["type"] == type


def test_an_error_in_a_stream_is_an_event() -> None:
    raw = ANTHROPIC.render_stream_error(GatewayError("a\nb", status=529), "req_1")
    head, data, *rest = raw.split(b"\n")
    assert head == b"event: error"
    assert json.loads(data.removeprefix(b"data: "))["error"] == {"type": "overloaded_error", "message": "a\nb"}
    assert rest == [b"", b""]


def test_an_upstreams_error_keeps_its_status_and_words() -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"}}'
    error = ANTHROPIC.parse_error(400, body)
    assert (error.status, error.message) == (400, "max_tokens: too large")


def test_the_keepalive_is_an_event_that_sdks_ignore() -> None:
    assert ANTHROPIC.keepalive == b'event: ping\ndata: {"type":"ping"}\n\n'
