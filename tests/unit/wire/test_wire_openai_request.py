"""Callers' requests of Chat Completions, read into the neutral form."""

from __future__ import annotations

from typing import Any

import pytest

from lmgw.errors import BadRequest
from lmgw.wire.events import (
    Document,
    Image,
    JsonFormat,
    Message,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from lmgw.wire.openai import OPENAI

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f"}}
CACHE = {"type": "ephemeral"}


def parse(**fields: Any) -> Request:
    return OPENAI.parse_request({"model": "m", "messages": HELLO, **fields})


def turns(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return OPENAI.parse_request({"model": "m", "messages": list(messages)}).messages


# --- fields --------------------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "the newer limit wins": ({"max_completion_tokens": 5, "max_tokens": 9}, "max_tokens", 5),
    "the older limit": ({"max_tokens": 9}, "max_tokens", 9),
    "a limit written as a float": ({"max_tokens": 9.0}, "max_tokens", 9),
    "temperature": ({"temperature": 0.5}, "temperature", 0.5),
    "top_p": ({"top_p": 1}, "top_p", 1),
    "seed": ({"seed": 7}, "seed", 7),
    "penalties": ({"frequency_penalty": -1}, "frequency_penalty", -1),
    "one stop": ({"stop": "END"}, "stop", ("END",)),
    "several stops": ({"stop": ["A", "B"]}, "stop", ("A", "B")),
    "an empty stop": ({"stop": ""}, "stop", ()),
    "user": ({"user": "u"}, "user", "u"),
    "the newer name for the user": ({"user": "u", "safety_identifier": "s"}, "user", "s"),
    "parallel calls": ({"parallel_tool_calls": False}, "parallel_tools", False),
    "n": ({"n": 3}, "n", 3),
    "a stream": ({"stream": True}, "stream", True),
    "no stream is the default": ({}, "stream", False),
    "usage": ({"stream_options": {"include_usage": True}}, "include_usage", True),
    "any JSON": ({"response_format": {"type": "json_object"}}, "format", JsonFormat()),
    "text": ({"response_format": {"type": "text"}}, "format", None),
    "a schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}}},
        "format",
        JsonFormat({"a": 1}, "n", True),
    ),
    "an effort": ({"reasoning_effort": "xhigh"}, "reasoning", Reasoning(effort="xhigh")),
    "no effort": ({"reasoning_effort": "none"}, "reasoning", Reasoning(enabled=False, effort="none")),
    "a bare function": ({"tools": [TOOL]}, "tools", (Tool("f"),)),
    "a function": (
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
                    "cache_control": CACHE,
                }
            ]
        },
        "tools",
        (Tool("f", "d", {"type": "object"}, True, CACHE),),
    ),
    "no functions": ({"tools": []}, "tools", ()),
    "the oldest functions": ({"functions": [{"name": "f"}]}, "tools", (Tool("f"),)),
    "a choice": ({"tool_choice": "required"}, "tool_choice", ToolChoice("required")),
    "a named function": (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice",
        ToolChoice("named", ("f",)),
    ),
    "the oldest choice": ({"function_call": {"name": "f"}}, "tool_choice", ToolChoice("named", ("f",))),
    "some of the functions": (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}}},
        "tool_choice",
        ToolChoice("required", ("f",)),
    ),
    "what has no counterpart is named": (
        {"logit_bias": {"1": 1}, "logprobs": True, "x_new": "y"},
        "dropped",
        ("logit_bias", "logprobs", "x_new"),
    ),
    "what nobody can miss is not": (
        {"store": True, "metadata": {"a": "b"}, "logprobs": False, "modalities": ["text"], "service_tier": "auto"},
        "dropped",
        (),
    ),
}


@pytest.mark.parametrize(("fields", "name", "expected"), FIELDS.values(), ids=FIELDS)
def test_a_field_is_read(fields: dict[str, Any], name: str, expected: Any) -> None:
    assert getattr(parse(**fields), name) == expected


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages"),
    "messages are a string": ({"messages": "Hello"}, "messages"),
    "a message is a string": ({"messages": ["Hello"]}, "messages[0]"),
    "no role": ({"messages": [{"content": "Hello"}]}, "messages[0].role"),
    "an unknown role": ({"messages": [*HELLO, {"role": "robot"}]}, "messages[1].role"),
    "content is a number": ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    "a part is a string": ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    "a part of an unknown type": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "messages[0].content[0].type",
    ),
    "an image without an address": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].image_url.url",
    ),
    "an image that is not base64": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png,x"}]}]},
        "messages[0].content[0].image_url.url",
    ),
    "a file by its id": (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]}]},
        "messages[0].content[0].file",
    ),
    "a call without an id": (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
        "messages[0].tool_calls[0].id",
    ),
    "a result without an id": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    "max_tokens is a string": ({"max_tokens": "5"}, "max_tokens"),
    "max_tokens is true": ({"max_tokens": True}, "max_tokens"),
    "temperature is a string": ({"temperature": "hot"}, "temperature"),
    "stop is a number": ({"stop": 1}, "stop"),
    "an unknown effort": ({"reasoning_effort": "maximum"}, "reasoning_effort"),
    "an unknown format": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "a tool that is no function": ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    "a function without a name": ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    "an unknown choice": ({"tool_choice": "maybe"}, "tool_choice"),
}


@pytest.mark.parametrize(("fields", "where"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == where
    assert where in caught.value.message


# --- messages ------------------------------------------------------------------------------------------------


def test_developers_are_systems_and_stand_where_they_stood() -> None:
    found = turns({"role": "developer", "content": "A"}, *HELLO, {"role": "system", "content": "B"})
    assert [(turn.role, turn.parts) for turn in found] == [
        ("system", (Text("A"),)),
        ("user", (Text("Hello"),)),
        ("system", (Text("B"),)),
    ]


def test_parts_keep_their_order() -> None:
    (turn,) = turns(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AAAA", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x.test/y.png"}},
                {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
                {"type": "text", "text": "b", "cache_control": CACHE},
            ],
        }
    )
    assert turn.parts == (
        Text("a"),
        Image("image/png", "AAAA", detail="low"),
        Image(url="https://x.test/y.png"),
        Document("application/pdf", "BBBB", title="f.pdf"),
        Text("b", CACHE),
    )


def test_a_messages_own_cache_mark_belongs_to_its_last_part() -> None:
    (turn,) = turns({"role": "user", "content": [{"type": "text", "text": "a"}] * 2, "cache_control": CACHE})
    assert turn.parts == (Text("a"), Text("a", CACHE))


def test_calls_and_their_results_are_parts_of_turns() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    found = turns(
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "2"}]},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "go on"},
    )
    assert [turn.role for turn in found] == ["assistant", "user", "user"]
    assert found[0].parts == (ToolCall("1", "f", '{"a":1}'), ToolCall("2", "f", '{"a":1}'))
    assert found[1].parts == (ToolResult("1", (Text("one"),)), ToolResult("2", (Text("two"),)))


def test_the_oldest_calls_are_paired_by_order() -> None:
    called, answered = turns(
        {"role": "assistant", "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "x"},
    )
    (call,), (result,) = called.parts, answered.parts
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert (call.name, result.name, call.id) == ("f", "f", result.id)


SIGNED = {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
REASONING: dict[str, tuple[dict[str, Any], tuple[Thinking, ...]]] = {
    "reasoning_content": ({"reasoning_content": "t"}, (Thinking("t"),)),
    "reasoning": ({"reasoning": "t"}, (Thinking("t"),)),
    "one of two names": ({"reasoning_content": "t", "reasoning": "t"}, (Thinking("t"),)),
    "signed": ({"reasoning_content": "t", "reasoning_details": [SIGNED]}, (Thinking("t", "s"),)),
    "redacted": ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}]}, (Thinking("", None, "d"),)),
    "signed by another": ({"reasoning_details": [{**SIGNED, "format": "google-gemini-v1"}]}, (Thinking("t"),)),
    "encrypted by another": (
        {"reasoning": "t", "reasoning_details": [{"type": "reasoning.encrypted", "data": "d", "format": "openai"}]},
        (Thinking("t"),),
    ),
    "Anthropic's own blocks": (
        {"thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}]},
        (Thinking("t", "s"),),
    ),
    "nonsense": ({"reasoning_details": ["x", {"type": "?"}], "reasoning": 5}, ()),
}


@pytest.mark.parametrize(("fields", "expected"), REASONING.values(), ids=REASONING)
def test_earlier_reasoning_is_read_under_every_name(fields: dict[str, Any], expected: tuple[Thinking, ...]) -> None:
    (turn,) = turns({"role": "assistant", "content": "a", **fields})
    assert turn.parts == (*expected, Text("a"))
