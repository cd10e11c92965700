"""Whole answers and errors of Ollama's API, both ways, as the official package takes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ollama._types import ChatResponse, GenerateResponse

from lmgw.errors import BadRequest, GatewayError, UpstreamFailed
from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, FinishReason, Text, Thinking, ToolCall, Usage
from lmgw.wire.ollama import OLLAMA, OLLAMA_GENERATE

REPLY = Reply("id", "asked:latest", 1767323045, elapsed_ns=lambda: 2_000_000)
COUNTS = {"prompt_eval_count": 10, "eval_count": 5}


def parsed(message: dict[str, Any] | None = None, **fields: Any) -> Answer:
    body = {"model": "up", "message": {"role": "assistant", "content": "", **(message or {})}, "done": True, **fields}
    return OLLAMA.parse_answer(msgspec.json.encode(body))


def chat(*parts: Any, finish: FinishReason = "stop", usage: Usage | None = None, reply: Reply = REPLY) -> ChatResponse:
    return ChatResponse.model_validate_json(OLLAMA.render_answer(Answer("", "up", parts, finish, usage), reply))


def test_an_answer_is_read_in_order() -> None:
    calls = [{"id": "x", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}]
    message = {"content": "Hi", "thinking": "T", "tool_calls": calls}
    assert parsed(message, done_reason="stop", **COUNTS) == Answer(
        "", "up", (Thinking("T"), Text("Hi"), ToolCall("x", "f", '{"a":1}')), "tool_calls", Usage(10, 5)
    )


@pytest.mark.parametrize(
    ("done_reason", "calls", "finish"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("length", False, "length"),
        ("length", True, "length"),
        (None, False, "stop"),
        (None, True, "tool_calls"),
    ],
)
def test_why_it_ended_is_told_by_reason_and_calls(done_reason: str | None, calls: bool, finish: str) -> None:
    message = {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]} if calls else {}
    assert parsed(message, done_reason=done_reason).finish == finish


@pytest.mark.parametrize(
    ("fields", "usage"),
    [({}, None), ({"eval_count": 5}, Usage(0, 5)), ({"prompt_eval_count": 10.0, "eval_count": 5}, Usage(10, 5))],
)
def test_a_missing_count_is_zero(fields: dict[str, Any], usage: Usage | None) -> None:
    assert parsed(**fields).usage == usage


def test_every_call_has_an_id_of_its_own() -> None:
    call = {"function": {"index": 0, "name": "f", "arguments": {}}}
    message = {"tool_calls": [call, call, {**call, "id": "x"}, {**call, "id": "x"}]}
    ids = [part.id for part in parsed(message, created_at="t").parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 4
    assert ids[2] == "x"
    again = [part.id for part in parsed(message, created_at="t").parts if isinstance(part, ToolCall)]
    later = [part.id for part in parsed(message, created_at="u").parts if isinstance(part, ToolCall)]
    assert again == ids
    assert set(later) & set(ids) == {"x"}


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": 1}, '{"a":1}'), ('{"a": 1}', '{"a": 1}'), (None, "{}"), ([1], "[1]")]
)
def test_arguments_are_read_as_they_came(arguments: Any, text: str) -> None:
    (call,) = parsed({"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}).parts
    assert isinstance(call, ToolCall)
    assert call.arguments == text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"model is busy"}', "model is busy"),
        (b'{"error":{"message":"boom"}}', "boom"),
        (b'{"error":""}', "without saying which"),
        (b'{"model":"up"}', "holds no message"),
        (b"<html>", "not what Ollama's API sends"),
        (b'{"message":"Hi"}', "not what Ollama's API sends"),
    ],
)
def test_what_is_no_answer_is_an_error(body: bytes, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        OLLAMA.parse_answer(body)
    assert caught.value.status == 502


def test_a_whole_answer_is_what_the_official_package_takes() -> None:
    answer = chat(
        Thinking("T"),
        Text("Hi"),
        ToolCall("x", "f", '{"a":1}'),
        ToolCall("y", "g", ""),
        finish="tool_calls",
        usage=Usage(4, 5, cache_read=6, cache_write=1),
    )
    assert answer.model == "asked:latest"
    assert answer.created_at == "2026-01-02T03:04:05Z"
    assert answer.message.content == "Hi"
    assert answer.message.thinking == "T"
    assert [call.function.model_dump() for call in answer.message.tool_calls or ()] == [
        {"name": "f", "arguments": {"a": 1}},
        {"name": "g", "arguments": {}},
    ]
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (11, 5)
    assert (answer.total_duration, answer.eval_duration) == (2_000_000, 2_000_000)


def test_an_answer_without_text_still_has_content() -> None:
    body = msgspec.json.decode(OLLAMA.render_answer(Answer("", "up", (), "stop"), REPLY))
    assert body["message"] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("finish", "done_reason"),
    [("stop", "stop"), ("tool_calls", "stop"), ("content_filter", "stop"), ("length", "length")],
)
def test_the_reason_is_told_in_ollamas_words(finish: FinishReason, done_reason: str) -> None:
    assert chat(Text("x"), finish=finish).done_reason == done_reason


def test_durations_are_never_zero_where_clients_divide() -> None:
    answer = chat(Text("x"), reply=Reply("id", "m", 0))
    assert (answer.total_duration, answer.eval_duration, answer.prompt_eval_duration) == (1, 1, 1)


def test_short_names_of_tools_are_turned_back() -> None:
    answer = chat(ToolCall("x", "short", "{}"), reply=Reply("id", "m", 0, tool_names={"short": "a long name"}))
    assert [call.function.name for call in answer.message.tool_calls or ()] == ["a long name"]


def test_calls_carry_their_index_and_id() -> None:
    parts = (ToolCall("x", "f", "{}"), ToolCall("y", "g", "{}"))
    body = msgspec.json.decode(OLLAMA.render_answer(Answer("", "up", parts, "tool_calls"), REPLY))
    calls = body["message"]["tool_calls"]
    assert [(call["id"], call["function"]["index"]) for call in calls] == [("x", 0), ("y", 1)]


def test_generate_keeps_text_and_thinking_at_the_top() -> None:
    body = OLLAMA_GENERATE.render_answer(Answer("", "up", (Thinking("T"), Text("Hi")), "stop"), REPLY)
    answer = GenerateResponse.model_validate_json(body)
    assert (answer.response, answer.thinking, answer.done) == ("Hi", "T", True)
    assert "message" not in msgspec.json.decode(body)
    empty = OLLAMA_GENERATE.render_answer(Answer("", "up", (), "stop"), REPLY)
    assert msgspec.json.decode(empty)["response"] == ""


@pytest.mark.parametrize(("keep_alive", "reason"), [(None, "load"), ("5m", "load"), (0, "unload")])
def test_a_load_request_is_answered_by_one_object(keep_alive: Any, reason: str) -> None:
    body = {"model": "m", "keep_alive": keep_alive}
    chat_answer = ChatResponse.model_validate_json(OLLAMA.render_loaded(body, REPLY))
    assert (chat_answer.done, chat_answer.done_reason, chat_answer.message.content) == (True, reason, "")
    answer = GenerateResponse.model_validate_json(OLLAMA_GENERATE.render_loaded(body, REPLY))
    assert (answer.done, answer.done_reason, answer.response) == (True, reason, "")


def test_errors_are_strings() -> None:
    error = BadRequest("no such thing", param="x")
    assert OLLAMA.render_error(error, "r") == b'{"error":"no such thing"}'
    assert OLLAMA.render_stream_error(error, "r") == b'{"error":"no such thing"}\n'


def test_an_upstreams_error_keeps_its_status_and_words() -> None:
    error = OLLAMA.parse_error(404, b'{"error":"model \'qwen3:8b\' not found"}')
    assert (error.status, error.message) == (404, "model 'qwen3:8b' not found")


def test_an_answer_there_and_back_loses_nothing() -> None:
    answer = Answer(
        "", "asked:latest", (Thinking("T"), Text("Hi"), ToolCall("x", "f", '{"a":1}')), "length", Usage(3, 4)
    )
    assert OLLAMA.parse_answer(OLLAMA.render_answer(answer, REPLY)) == answer


def test_an_error_inside_a_200_is_the_providers_fault() -> None:
    with pytest.raises(UpstreamFailed):
        OLLAMA.parse_answer(b"[]")
