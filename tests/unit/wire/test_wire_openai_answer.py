"""Whole answers and errors of OpenAI's dialect, read from servers of every make and written for clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmgw.errors import ContextTooLong, GatewayError, NotFound, RateLimited, Unauthorized, UnknownModel, UpstreamFailed
from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, Part, Text, Thinking, ToolCall, Usage
from lmgw.wire.openai import OPENAI

REPLY = Reply("chatcmpl-1", "asked", 1_760_000_000)


def answer(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"id": "c1", "model": "gpt", "choices": [choice]} | fields).encode()


def read(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> Answer:
    return OPENAI.parse_answer(answer(message, finish, **fields))


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
SIGNED = {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
PARTS: dict[str, tuple[dict[str, Any], tuple[Part, ...]]] = {
    "text": ({"content": "a", "refusal": None}, (Text("a"),)),
    "nothing": ({"content": None}, ()),
    "an empty text": ({"content": ""}, ()),
    "a refusal": ({"content": None, "refusal": "no"}, (Text("no"),)),
    "calls": ({"content": None, "tool_calls": [CALL]}, (ToolCall("1", "f", '{"a":1}'),)),
    "text and calls": ({"content": "a", "tool_calls": [CALL]}, (Text("a"), ToolCall("1", "f", '{"a":1}'))),
    "no calls": ({"content": "a", "tool_calls": []}, (Text("a"),)),
    "arguments that are an object": (
        {"tool_calls": [CALL | {"function": {"name": "f", "arguments": {"a": 1}}}]},
        (ToolCall("1", "f", '{"a":1}'),),
    ),
    "no arguments": ({"tool_calls": [CALL | {"function": {"name": "f"}}]}, (ToolCall("1", "f", ""),)),
    "reasoning_content": ({"content": "a", "reasoning_content": "t"}, (Thinking("t"), Text("a"))),
    "reasoning": ({"content": "a", "reasoning": "t"}, (Thinking("t"), Text("a"))),
    "signed reasoning": (
        {"content": "a", "reasoning": "t", "reasoning_details": [SIGNED]},
        (Thinking("t", "s"), Text("a")),
    ),
    "content in parts (Mistral)": (
        {"content": [{"type": "thinking", "thinking": [{"text": "t"}]}, {"type": "text", "text": "a"}]},
        (Thinking("t"), Text("a")),
    ),
}


@pytest.mark.parametrize(("message", "expected"), PARTS.values(), ids=PARTS)
def test_a_message_is_read(message: dict[str, Any], expected: tuple[Part, ...]) -> None:
    assert read(message).parts == expected


def test_calls_without_ids_get_their_own() -> None:
    function = {"function": {"name": "f", "arguments": "{}"}}
    ids = [part.id for part in read({"tool_calls": [function, function]}).parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 2


def test_the_oldest_call_is_a_call() -> None:
    found = read({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call")
    assert [part.name for part in found.parts if isinstance(part, ToolCall)] == ["f"]
    assert found.finish == "tool_calls"


@pytest.mark.parametrize(
    ("finish", "calls", "expected"),
    [
        ("stop", False, "stop"),
        (None, False, "stop"),
        ("", False, "stop"),
        ("eos_token", False, "stop"),
        ("length", True, "length"),
        ("stop", True, "tool_calls"),
        (None, True, "stop"),
        ("content_filter", True, "content_filter"),
    ],
)
def test_why_it_ended(finish: str | None, calls: bool, expected: str) -> None:
    assert read({"content": "a", "tool_calls": [CALL] if calls else None}, finish).finish == expected


USAGES: dict[str, tuple[Any, Usage | None]] = {
    "none": (None, None),
    "plain": ({"prompt_tokens": 9, "completion_tokens": 2}, Usage(9, 2)),
    "details": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 6},
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
        Usage(30, 20, 64, 6, 8),
    ),
    "DeepSeek's": ({"prompt_tokens": 100, "completion_tokens": 2, "prompt_cache_hit_tokens": 60}, Usage(40, 2, 60)),
    "nulls": ({"prompt_tokens": None, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(0, 2)),
    "more cached than there was": ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(0, 0, 9)),
}


@pytest.mark.parametrize(("usage", "expected"), USAGES.values(), ids=USAGES)
def test_tokens_are_counted_once(usage: Any, expected: Usage | None) -> None:
    assert read({"content": "a"}, usage=usage).usage == expected


def test_an_answer_is_written_with_all_that_clients_read() -> None:
    parts = (Thinking("t"), Text("a"), ToolCall("1", "f", ""))
    found = json.loads(OPENAI.render_answer(Answer("x", "", parts, "tool_calls", Usage(1, 2, 3, 4, 1)), REPLY))
    assert found == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "asked",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "a",
                    "refusal": None,
                    "reasoning_content": "t",
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 8,
            "completion_tokens": 2,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def test_content_is_null_only_beside_calls() -> None:
    for parts, content in (((ToolCall("1", "f", ""),), None), ((), "")):
        found = json.loads(OPENAI.render_answer(Answer("x", "m", parts, "stop"), REPLY))
        assert found["choices"][0]["message"]["content"] == content
        assert "usage" not in found


def test_proofs_of_reasoning_come_back_as_they_went() -> None:
    parts = (Thinking("t", "s"), Thinking("", None, "d"), Text("a"))
    written = OPENAI.render_answer(Answer("x", "m", parts, "stop"), REPLY)
    assert OPENAI.parse_answer(written).parts == parts
    message = json.loads(written)["choices"][0]["message"]
    (turn,) = OPENAI.parse_request({"model": "m", "messages": [message]}).messages
    assert turn.parts == parts


# --- errors --------------------------------------------------------------------------------------------------

NO_ANSWERS: dict[str, tuple[bytes, int, str]] = {
    "an error": (b'{"error":{"message":"boom","type":"server_error","code":null}}', 500, "boom"),
    "an error with a status": (b'{"error":{"message":"slow","code":429}}', 429, "slow"),
    "no choices": (b'{"id":"c","choices":[]}', 502, "no choices"),
    "no message": (b'{"choices":[{"index":0}]}', 502, "no message"),
    "a page": (b"<html><head><title>x</title></head><body><h1>Bad\n gateway</h1></body></html>", 502, "Bad gateway"),
    "nothing": (b"", 502, "no reason"),
    "a list": (b"[]", 502, "no choices"),
}


@pytest.mark.parametrize(("body", "status", "words"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_is_an_error(body: bytes, status: int, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        OPENAI.parse_answer(body)
    assert caught.value.status == status
    assert words in caught.value.message


ERRORS: dict[str, tuple[int, bytes, tuple[str, str | None, str | None, str | None]]] = {
    "OpenAI's": (
        400,
        b'{"error":{"message":"m","type":"t","param":"messages","code":"context_length_exceeded"}}',
        ("m", "t", "context_length_exceeded", "messages"),
    ),
    "a numeric code": (400, b'{"error":{"message":"m","type":"t","code":400}}', ("m", "t", None, None)),
    "a string": (404, b'{"error":"model not found"}', ("model not found", None, None, None)),
    "FastAPI's": (404, b'{"detail":"Not Found"}', ("Not Found", None, None, None)),
    "FastAPI's list": (
        422,
        b'{"detail":[{"loc":["body","messages",0],"msg":"field required"},{"loc":[],"msg":"x"}]}',
        ("messages.0: field required; x", None, None, None),
    ),
    "vLLM's": (
        400,
        b'{"object":"error","message":"m","type":"BadRequest","code":400}',
        ("m", "BadRequest", None, None),
    ),
    "Anthropic's": (
        529,
        b'{"type":"error","error":{"type":"overloaded","message":"m"}}',
        ("m", "overloaded", None, None),
    ),
    "text": (500, b"Internal Server Error", ("the provider answered 500: Internal Server Error", None, None, None)),
    "a page": (
        502,
        b"<html><style>p{}</style><script>x()</script><p>Bad <b>gateway</b></p></html>",
        ("the provider answered 502: Bad gateway", None, None, None),
    ),
    "nothing": (400, b"", ("the provider answered 400 and gave no reason", None, None, None)),
    "an object without words": (500, b'{"error":{}}', ('the provider answered 500: {"error":{}}', None, None, None)),
    "another encoding": (500, b"caf\xe9", ("the provider answered 500: caf\ufffd", None, None, None)),
}


@pytest.mark.parametrize(("status", "body", "expected"), ERRORS.values(), ids=ERRORS)
def test_an_error_of_any_shape_keeps_status_words_and_code(status: int, body: bytes, expected: tuple[Any, ...]) -> None:
    error = OPENAI.parse_error(status, body)
    assert error.status == status
    assert (error.message, error.type, error.code, error.param) == expected


def test_a_long_page_is_cut() -> None:
    assert len(OPENAI.parse_error(500, b"x" * 100_000).message) < 300


TOLD: dict[str, tuple[GatewayError, str, str | None]] = {
    "malformed": (GatewayError("m", status=400), "invalid_request_error", None),
    "too long": (ContextTooLong("m"), "invalid_request_error", "context_length_exceeded"),
    "no money": (GatewayError("m", status=402), "insufficient_quota", "insufficient_quota"),
    "forbidden": (GatewayError("m", status=403), "permission_error", None),
    "no route": (NotFound("m"), "invalid_request_error", "unknown_url"),
    "an upstream's 404": (GatewayError("m", status=404), "invalid_request_error", "model_not_found"),
    "no model": (UnknownModel("m"), "invalid_request_error", "model_not_found"),
    "another method": (GatewayError("m", status=405), "invalid_request_error", None),
    "too large": (GatewayError("m", status=413), "invalid_request_error", None),
    "too many": (RateLimited("m", retry_after_s=1, scope="ip"), "rate_limit_error", "rate_limit_exceeded"),
    "broken": (UpstreamFailed("m"), "server_error", None),
    "busy": (GatewayError("m", status=503), "overloaded_error", None),
    "late": (GatewayError("m", status=504), "timeout_error", None),
    "strange": (GatewayError("m", status=599), "server_error", None),
    "the upstream's own word": (GatewayError("m", status=400, type="special", code="x"), "special", "x"),
}


@pytest.mark.parametrize(("error", "kind", "code"), TOLD.values(), ids=TOLD)
def test_an_error_is_told_in_openais_words(error: GatewayError, kind: str, code: str | None) -> None:
    found = json.loads(OPENAI.render_error(error, "req_1"))
    assert found == {"error": {"message": "m", "type": kind, "param": None, "code": code}}


def test_a_refused_key_is_told_in_the_words_that_clients_know() -> None:
    found = json.loads(OPENAI.render_error(Unauthorized("nobody here has it"), "req_1"))["error"]
    assert found["message"] == "Incorrect API key provided: nobody here has it"
    assert (found["type"], found["code"]) == ("invalid_request_error", "invalid_api_key")
