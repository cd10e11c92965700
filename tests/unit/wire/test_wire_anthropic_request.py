"""Requests of Anthropic's Messages API, read."""

from __future__ import annotations

from typing import Any

import pytest

from lmgw.errors import BadRequest
from lmgw.wire.anthropic import ANTHROPIC
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

EPHEMERAL = {"type": "ephemeral"}
HELLO = [{"role": "user", "content": "Hello"}]


def parsed(**fields: Any) -> Request:
    return ANTHROPIC.parse_request({"model": "asked", "max_tokens": 9, "messages": HELLO} | fields)


def turn(*blocks: dict[str, Any], role: str = "user") -> tuple[Any, ...]:
    return parsed(messages=[{"role": role, "content": list(blocks)}]).messages[0].parts


def refusal(**fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    return caught.value


# --- fields --------------------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sampling": ({"temperature": 0.4, "top_p": 1, "top_k": 20}, {"temperature": 0.4, "top_p": 1, "top_k": 20}),
    "stop sequences": ({"stop_sequences": ["A", "B"]}, {"stop": ("A", "B")}),
    "the user": ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
    "a stream": ({"stream": True}, {"stream": True}),
    "usage is always wanted": ({}, {"include_usage": True}),
    "a limit": ({"max_tokens": 5}, {"max_tokens": 5}),
    "no limit, to count tokens": ({"max_tokens": None}, {"max_tokens": None}),
    "any tool": ({"tool_choice": {"type": "any"}}, {"tool_choice": ToolChoice("required"), "parallel_tools": None}),
    "no tool": ({"tool_choice": {"type": "none"}}, {"tool_choice": ToolChoice("none")}),
    "one tool": ({"tool_choice": {"type": "tool", "name": "f"}}, {"tool_choice": ToolChoice("named", ("f",))}),
    "one call at a time": (
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tool_choice": ToolChoice("auto"), "parallel_tools": False},
    ),
    "a schema": (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"format": JsonFormat({"type": "object"})},
    ),
    "a schema where it used to stand": (
        {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
        {"format": JsonFormat({"type": "object"})},
    ),
    "a budget": (
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        {"reasoning": Reasoning(budget_tokens=2048)},
    ),
    "adaptive": (
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        {"reasoning": Reasoning(effort="xhigh", adaptive=True)},
    ),
    "an effort alone": ({"output_config": {"effort": "low"}}, {"reasoning": Reasoning(effort="low")}),
    "no thinking": ({"thinking": {"type": "disabled"}}, {"reasoning": Reasoning(enabled=False)}),
    "no thinking but between tools": ({"thinking": {"type": "between_tools"}}, {"reasoning": Reasoning(enabled=False)}),
    "nothing said of thinking": ({}, {"reasoning": None}),
    "a foreign field is named": ({"mcp_servers": [{"url": "x"}], "container": None}, {"dropped": ("mcp_servers",)}),
    "what nobody misses is not named": ({"service_tier": "auto", "cache_control": EPHEMERAL}, {"dropped": ()}),
}


@pytest.mark.parametrize(("fields", "expected"), FIELDS.values(), ids=FIELDS)
def test_a_field_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    request = parsed(**fields)
    assert {key: getattr(request, key) for key in expected} == expected


def test_a_body_without_a_limit_is_taken() -> None:
    request = ANTHROPIC.parse_request({"model": "m", "messages": HELLO})
    assert request.max_tokens is None


def test_tools_are_read() -> None:
    schema = {"type": "object", "properties": {}}
    full = {"type": "custom", "name": "f", "description": "F", "input_schema": schema, "strict": True}
    assert parsed(tools=[full | {"cache_control": EPHEMERAL}, {"name": "g", "input_schema": schema}]).tools == (
        Tool("f", "F", schema, True, EPHEMERAL),
        Tool("g", None, schema),
    )


# --- turns ---------------------------------------------------------------------------------------------------

SOURCE = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
PARTS: dict[str, tuple[dict[str, Any], Any]] = {
    "text": ({"type": "text", "text": "a"}, Text("a")),
    "cached text": ({"type": "text", "text": "a", "cache_control": EPHEMERAL}, Text("a", EPHEMERAL)),
    "an image": ({"type": "image", "source": SOURCE}, Image("image/png", "QUJD")),
    "an image elsewhere": ({"type": "image", "source": {"type": "url", "url": "https://x"}}, Image(url="https://x")),
    "a PDF": (
        {"type": "document", "source": SOURCE | {"media_type": "application/pdf"}, "title": "T"},
        Document("application/pdf", "QUJD", title="T"),
    ),
    "a text document": (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
        Document("text/plain", text="D"),
    ),
    "a document elsewhere": (
        {"type": "document", "source": {"type": "url", "url": "https://x"}},
        Document(url="https://x"),
    ),
    "a document of blocks": (
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}},
        Document("text/plain", text="a"),
    ),
    "a search result": (
        {"type": "search_result", "title": "T", "source": "https://x", "content": [{"type": "text", "text": "found"}]},
        Text("T\nhttps://x\nfound"),
    ),
    "a result in a string": (
        {"type": "tool_result", "tool_use_id": "t1", "content": "4 C"},
        ToolResult("t1", (Text("4 C"),)),
    ),
    "a result in blocks": (
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "content": [{"type": "text", "text": "4 C"}, {"type": "image", "source": SOURCE}],
            "is_error": True,
            "cache_control": EPHEMERAL,
        },
        ToolResult("t1", (Text("4 C"), Image("image/png", "QUJD")), None, True, EPHEMERAL),
    ),
    "a result of nothing": ({"type": "tool_result", "tool_use_id": "t1"}, ToolResult("t1", ())),
    "a call": ({"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}, ToolCall("t1", "f", '{"a":1}')),
    "a call of nothing": ({"type": "tool_use", "id": "t1", "name": "f", "input": {}}, ToolCall("t1", "f", "{}")),
    "signed thinking": ({"type": "thinking", "thinking": "T", "signature": "S"}, Thinking("T", "S")),
    "hidden thinking": ({"type": "thinking", "thinking": "", "signature": "S"}, Thinking("", "S")),
    "redacted thinking": ({"type": "redacted_thinking", "data": "D"}, Thinking(redacted="D")),
    "thinking that the gateway signed": (
        {"type": "thinking", "thinking": "T", "signature": "lmgw:unsigned"},
        Thinking("T"),
    ),
}


@pytest.mark.parametrize(("block", "part"), PARTS.values(), ids=PARTS)
def test_a_block_is_read(block: dict[str, Any], part: Any) -> None:
    assert turn(block) == (part,)


def test_empty_text_is_left_out() -> None:
    assert turn({"type": "text", "text": ""}, {"type": "text", "text": "a"}) == (Text("a"),)


def test_system_text_stands_where_it_stood() -> None:
    request = parsed(
        system=[{"type": "text", "text": "Top.", "cache_control": EPHEMERAL}],
        messages=[*HELLO, {"role": "system", "content": "Late."}, {"role": "assistant", "content": ""}],
    )
    assert request.messages == (
        Message("system", (Text("Top.", EPHEMERAL),)),
        Message("user", (Text("Hello"),)),
        Message("system", (Text("Late."),)),
        Message("assistant", ()),
    )


def test_traces_of_tools_that_ran_at_anthropic_are_left_out_and_named() -> None:
    request = parsed(
        messages=[
            {
                "role": "assistant",
                "content": [
                    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"q": "x"}},
                    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": {"type": "error"}},
                    {"type": "text", "text": "Found."},
                ],
            }
        ]
    )
    assert request.messages[0].parts == (Text("Found."),)
    assert request.dropped == ("messages.server_tool_use", "messages.web_search_tool_result")


def test_what_a_document_loses_is_named() -> None:
    block = {"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": True}, "context": "c"}
    request = parsed(messages=[{"role": "user", "content": [block]}])
    assert request.dropped == ("messages.document.context", "messages.document.citations")


# --- refusals ------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": None}, "messages is missing"),
    "empty messages": ({"messages": []}, "messages must not be empty"),
    "messages of the wrong type": ({"messages": "Hello"}, "messages must be an array"),
    "a message that is none": ({"messages": [5]}, "messages[0] must be an object"),
    "a message without a role": ({"messages": [{"content": "a"}]}, "messages[0].role is missing"),
    "a role that is none": (
        {"messages": [{"role": "tool", "content": "a"}]},
        "messages[0].role must be user, assistant",
    ),
    "text of the wrong type": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        "messages[0].content[0].text must be a string",
    ),
    "content of the wrong type": (
        {"messages": [{"role": "user", "content": 5}]},
        "messages[0].content must be a string",
    ),
    "an unknown block": (
        {"messages": [*HELLO, {"role": "user", "content": [{"type": "hologram"}]}]},
        "messages[1].content: content of type 'hologram' cannot be carried over",
    ),
    "an uploaded file": (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
        "a source of type 'file' cannot be carried over",
    ),
    "a call without an id": (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]}]},
        "a tool_use needs id and name",
    ),
    "a result of nobody's": (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "a"}]}]},
        "a tool_result needs tool_use_id",
    ),
    "a tool of Anthropic's own": (
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "tools[0]: the tool 'web_search_20250305' is Anthropic's own",
    ),
    "a tool without a name": ({"tools": [{"input_schema": {}}]}, "tools[0].name is missing"),
    "a choice that is none": ({"tool_choice": {"type": "maybe"}}, 'tool_choice.type must be "none", "auto"'),
    "an effort that is none": ({"output_config": {"effort": "huge"}}, "output_config.effort must be one of low"),
    "thinking that is none": ({"thinking": {"type": "hard"}}, 'thinking.type must be "enabled"'),
    "a format that is none": ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type must be"),
    "no answer at all": ({"max_tokens": 0}, "max_tokens must be at least 1"),
    "stop sequences of the wrong type": ({"stop_sequences": [1]}, "stop_sequences must be an array of strings"),
    "a temperature of the wrong type": ({"temperature": "hot"}, "temperature must be a number"),
}


@pytest.mark.parametrize(("fields", "words"), REFUSED.values(), ids=REFUSED)
def test_a_bad_field_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    error = refusal(**fields)
    assert error.status == 400
    assert words in error.message
    assert error.param
