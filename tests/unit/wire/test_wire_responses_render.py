"""Answers of the Responses API, written: whole, streamed, broken off."""

from __future__ import annotations

import json
from typing import Any

import grammar
import pytest

from lmgw.errors import BadRequest, ContextTooLong, GatewayError, UpstreamFailed
from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Answer,
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolDelta,
    ToolEnd,
    ToolStart,
    Usage,
)
from lmgw.wire.responses import RESPONSES
from lmgw.wire.responses_request import parse_request

TOOLS = [
    {"type": "function", "name": "f"},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}, {"type": "custom", "name": "h"}]},
]
ASKED = {"model": "m", "input": "hi", "instructions": "Be brief.", "tools": TOOLS, "temperature": 0.5, "store": True}
REPLY = Reply("resp_1", "asked", 1_760_000_000, request=parse_request(ASKED))
START = Start("up-1", "up")


def stream(*events: Event, reply: Reply = REPLY) -> list[dict[str, Any]]:
    raw = RESPONSES.render_stream(reply).render([START, *events])
    grammar.responses(raw)
    return [json.loads(data) for _, data in grammar.sse(raw, grammar.Faults())]


def output(*events: Event) -> list[dict[str, Any]]:
    """What a stream's last event shows."""
    return stream(*events, Finish("stop"))[-1]["response"]["output"]  # type: ignore[no-any-return]


def call(name: str, *fragments: str) -> list[Event]:
    return [ToolStart(0, "c1", name), *(ToolDelta(0, fragment) for fragment in fragments), ToolEnd(0)]


def test_the_events_of_a_text() -> None:
    events = stream(TextDelta("He"), TextDelta("llo"), Finish("stop", Usage(5, 2, 3, 1, 1)))
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    delta = dict(events[4])
    assert delta.pop("item_id") == events[2]["item"]["id"]
    assert delta == {
        "type": "response.output_text.delta",
        "sequence_number": 4,
        "output_index": 0,
        "content_index": 0,
        "delta": "He",
        "logprobs": [],
    }
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 11,
    }


def test_the_response_repeats_what_was_asked_for_but_is_never_stored() -> None:
    for response in (stream(Finish("stop"))[0]["response"], json.loads(whole(Text("a")))):
        assert {key: response[key] for key in ("id", "model", "created_at")} == {
            "id": "resp_1",
            "model": "up",
            "created_at": 1_760_000_000,
        }
        assert (response["instructions"], response["temperature"], response["tools"]) == ("Be brief.", 0.5, TOOLS)
        assert (response["store"], response["previous_response_id"], response["background"]) == (False, None, False)
        assert (response["tool_choice"], response["parallel_tool_calls"]) == ("auto", True)


def stream_without_request() -> bytes:
    return RESPONSES.render_stream(Reply("resp_1", "asked", 1)).render([Start("", ""), TextDelta("a"), Finish("stop")])


def test_words_of_the_gateways_own_need_no_request() -> None:
    told = grammar.responses(stream_without_request())
    assert (told["text"], told["status"], told["usage"]) == ("a", "completed", None)


def test_reasoning_carries_its_proof_back() -> None:
    (item,) = output(ReasoningDelta("h"), ReasoningDelta("m"), ReasoningEnd("sig"))
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert item["encrypted_content"] == "lmgw:signature:sig"


def test_reasoning_that_is_kept_secret_is_an_item_without_text() -> None:
    signed, redacted = output(ReasoningEnd("sig"), ReasoningEnd(redacted="data"))
    assert (signed["summary"], signed["encrypted_content"]) == ([], "lmgw:signature:sig")
    assert (redacted["summary"], redacted["encrypted_content"]) == ([], "lmgw:redacted:data")


def test_reasoning_of_another_make_is_marked_too() -> None:
    (item, _) = output(ReasoningDelta("hm"), TextDelta("a"))
    assert item["encrypted_content"] == "lmgw:signature:"


def test_an_end_that_comes_late_proves_nothing_else() -> None:
    events = [ReasoningDelta("a"), TextDelta("b"), ReasoningEnd("late"), ReasoningDelta("c"), ReasoningEnd("sig")]
    first, _, second = output(*events)
    assert (first["encrypted_content"], second["encrypted_content"]) == ("lmgw:signature:", "lmgw:signature:sig")


CALLS: dict[str, tuple[list[Event], dict[str, Any]]] = {
    "a function": (
        call("f", '{"a"', ": 1}"),
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}', "status": "completed"},
    ),
    "without arguments": (
        call("f"),
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
    ),
    "of a namespace": (
        call("n__g", "{}"),
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "g",
            "namespace": "n",
            "arguments": "{}",
            "status": "completed",
        },
    ),
    "a custom tool": (
        call("patch", '{"input": "*** Be', 'gin\\n"}'),
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin\n", "status": "completed"},
    ),
    "a custom tool of a namespace": (
        call("n__h", '{"input":"x"}'),
        {
            "type": "custom_tool_call",
            "call_id": "c1",
            "name": "h",
            "namespace": "n",
            "input": "x",
            "status": "completed",
        },
    ),
    "a custom tool whose form was not kept to": (
        call("patch", "plain"),
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "plain", "status": "completed"},
    ),
}


@pytest.mark.parametrize(("events", "expected"), CALLS.values(), ids=CALLS)
def test_a_call_is_told_as_the_caller_knows_the_tool(events: list[Event], expected: dict[str, Any]) -> None:
    (item,) = output(*events)
    assert {key: value for key, value in item.items() if key != "id"} == expected
    arguments = "".join(event.fragment for event in events if isinstance(event, ToolDelta))
    started = next(event for event in events if isinstance(event, ToolStart))
    (same,) = json.loads(whole(ToolCall("c1", started.name, arguments)))["output"]
    assert same == item


def test_a_long_name_is_turned_back() -> None:
    reply = Reply("resp_1", "m", 1, tool_names={"n__g_short": "n__g"}, request=REPLY.request)
    raw = RESPONSES.render_stream(reply).render([START, *call("n__g_short", "{}"), Finish("tool_calls")])
    assert grammar.responses(raw)["items"][0]["namespace"] == "n"


@pytest.mark.parametrize(("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_is_incomplete(reason: Any, why: str) -> None:
    last = stream(TextDelta("a"), Finish(reason))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["incomplete_details"] == {"reason": why}
    assert last["response"]["output"][0]["status"] == "incomplete"
    response = json.loads(whole(Text("a"), finish=reason))
    assert {**response, "usage": None} == last["response"]


def test_usage_told_at_the_start_counts_until_more_is_told() -> None:
    reply = RESPONSES.render_stream(REPLY)
    raw = reply.render([Start("", "up", Usage(7)), TextDelta("a"), Finish("stop")])
    assert grammar.responses(raw)["usage"]["input_tokens"] == 7


# --- whole answers -------------------------------------------------------------------------------------------


def whole(*parts: Any, finish: Any = "stop") -> bytes:
    return RESPONSES.render_answer(Answer("up-1", "up", parts, finish, Usage(9, 2)), REPLY)


def test_texts_are_one_message_and_everything_keeps_its_place() -> None:
    parts = (Thinking("hm", "sig"), Text("a"), Text("b"), ToolCall("c1", "f", ""), Text("c"))
    response = json.loads(whole(*parts, finish="tool_calls"))
    items = [(item["type"], item.get("arguments")) for item in response["output"]]
    assert items == [("reasoning", None), ("message", None), ("function_call", "{}"), ("message", None)]
    assert response["output"][1]["content"] == [
        {"type": "output_text", "annotations": [], "logprobs": [], "text": "ab"}
    ]
    assert response["status"] == "completed"
    assert len({item["id"] for item in response["output"]}) == 4


def test_an_answer_of_nothing_has_no_output() -> None:
    assert json.loads(whole())["output"] == []
    assert output() == []


# --- what breaks off -----------------------------------------------------------------------------------------


def broken(error: GatewayError, *events: Event) -> list[dict[str, Any]]:
    return stream(*events, StreamError(error))[-2:]


def test_a_stream_that_breaks_off_fails_with_what_there_is() -> None:
    error, failed = broken(UpstreamFailed("gone"), TextDelta("a"), *call("f", '{"a'), TextDelta("half"))
    assert error["error"] == {"type": "server_error", "code": "server_error", "message": "gone", "param": None}
    assert (error["code"], error["message"], error["param"]) == ("server_error", "gone", None)
    response = failed["response"]
    assert response["error"] == {"code": "server_error", "message": "gone"}
    assert [item["status"] for item in response["output"]] == ["completed", "completed", "incomplete"]


CODES: list[tuple[GatewayError, str]] = [
    (GatewayError("slow", status=429), "rate_limit_exceeded"),
    (ContextTooLong("long"), "context_length_exceeded"),
    (BadRequest("bad"), "invalid_prompt"),
    (GatewayError("x", status=503), "server_error"),
    (GatewayError("x", status=429, code="insufficient_quota"), "insufficient_quota"),
]


@pytest.mark.parametrize(("error", "code"), CODES)
def test_a_failure_says_its_code(error: GatewayError, code: str) -> None:
    told, failed = broken(error)
    assert (told["code"], failed["response"]["error"]["code"]) == (code, code)


def test_an_error_before_anything_is_a_response_that_failed() -> None:
    raw = RESPONSES.render_stream_error(UpstreamFailed("gone"), "req_1")
    assert b'"id":"resp_req_1"' in raw
    assert grammar.responses(raw)["error"]["message"] == "gone"
