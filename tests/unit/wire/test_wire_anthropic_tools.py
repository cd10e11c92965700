"""Tools, the choice among them, and answers in JSON, written for Anthropic's Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic_requests import ANY, EPHEMERAL, HELLO, TARGET, F, G, able, body, made, system

from lmgw.wire.dialect import Target
from lmgw.wire.events import JsonFormat, Tool, ToolChoice


def test_tools_are_written() -> None:
    tools = (Tool("f", "F", {"properties": {}}, None, EPHEMERAL), Tool("g", None, None, False))
    assert body(tools=tools)["tools"] == [
        {"name": "f", "description": "F", "input_schema": ANY, "cache_control": EPHEMERAL},
        {"name": "g", "input_schema": ANY},
    ]


ALWAYS = able(thinking="adaptive", thinking_always_on=True)
#: What is asked, of which model, the choice and the tools that are offered, and what is named as lost.
CHOICES: dict[str, tuple[dict[str, Any], Target, Any, str, tuple[str, ...]]] = {
    "nothing said": ({}, TARGET, None, "fg", ()),
    "auto": ({"tool_choice": ToolChoice("auto")}, TARGET, {"type": "auto"}, "fg", ()),
    "none": ({"tool_choice": ToolChoice("none"), "parallel_tools": False}, TARGET, {"type": "none"}, "fg", ()),
    "required": ({"tool_choice": ToolChoice("required")}, TARGET, {"type": "any"}, "fg", ()),
    "named": ({"tool_choice": ToolChoice("named", ("g",))}, TARGET, {"type": "tool", "name": "g"}, "fg", ()),
    "some allowed": ({"tool_choice": ToolChoice("auto", ("g",))}, TARGET, {"type": "auto"}, "g", ()),
    "one of some": ({"tool_choice": ToolChoice("required", ("g",))}, TARGET, {"type": "any"}, "g", ()),
    "one at a time": ({"parallel_tools": False}, TARGET, {"type": "auto", "disable_parallel_tool_use": True}, "fg", ()),
    "a forced one at a time": (
        {"parallel_tools": False, "tool_choice": ToolChoice("required")},
        TARGET,
        {"type": "any", "disable_parallel_tool_use": True},
        "fg",
        (),
    ),
    "several at a time": ({"parallel_tools": True}, TARGET, None, "fg", ()),
    "required of a model that always thinks": (
        {"tool_choice": ToolChoice("required")},
        ALWAYS,
        {"type": "auto"},
        "fg",
        ("tool_choice",),
    ),
    "named of a model that always thinks": (
        {"tool_choice": ToolChoice("named", ("g",))},
        ALWAYS,
        {"type": "auto"},
        "g",
        ("tool_choice",),
    ),
}


@pytest.mark.parametrize(("fields", "target", "choice", "offered", "lossy"), CHOICES.values(), ids=CHOICES)
def test_the_choice_among_tools(
    fields: dict[str, Any], target: Target, choice: Any, offered: str, lossy: tuple[str, ...]
) -> None:
    request = made(target, tools=(F, G), **fields)
    found = json.loads(request.body)
    assert found.get("tool_choice") == choice
    assert "".join(tool["name"] for tool in found["tools"]) == offered
    assert request.lossy == lossy


def test_without_tools_there_is_nothing_to_choose() -> None:
    found = body(tool_choice=ToolChoice("auto"), parallel_tools=False)
    assert not found.keys() & {"tools", "tool_choice"}


def test_a_strict_tools_schema_is_closed() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    (tool,) = body(tools=(Tool("f", parameters=schema, strict=True),))["tools"]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False
    assert "minimum" not in tool["input_schema"]["properties"]["n"]


@pytest.mark.parametrize(
    ("target", "count"), [(able(structured_outputs=False), 1), (TARGET, 21)], ids=["unknown to it", "too many"]
)
def test_tools_that_cannot_be_strict_are_sent_without_it(target: Target, count: int) -> None:
    request = made(target, tools=tuple(Tool(f"f{at}", strict=True) for at in range(count)))
    assert not any("strict" in tool for tool in json.loads(request.body)["tools"])
    assert request.lossy == ("strict",)


# --- JSON ----------------------------------------------------------------------------------------------------

PERSON = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 99}}, "required": ["age"]}
OLD = able(structured_outputs=False)


def test_a_schema_becomes_the_format_of_the_output() -> None:
    format = body(format=JsonFormat(PERSON, "person", True, "A person"))["output_config"]["format"]
    age = {"type": "integer", "description": "{maximum: 99}"}
    closed = PERSON | {"properties": {"age": age}, "additionalProperties": False, "description": "A person"}
    assert format == {"type": "json_schema", "schema": closed}


def test_any_json_is_asked_for_in_a_sentence() -> None:
    found = body(format=JsonFormat(), messages=(system("A."), HELLO))
    assert found["system"][0]["text"] == "A."
    assert "JSON object" in found["system"][1]["text"]
    assert "output_config" not in found


def test_a_model_without_structured_outputs_answers_by_a_tool() -> None:
    request = made(OLD, format=JsonFormat(PERSON))
    found = json.loads(request.body)
    assert [tool["name"] for tool in found["tools"]] == [request.json_tool]
    assert found["tools"][0]["input_schema"] == PERSON
    assert found["tool_choice"] == {"type": "tool", "name": request.json_tool}


def test_the_tool_for_the_answer_stands_beside_the_callers() -> None:
    request = made(OLD, format=JsonFormat(PERSON), tools=(F, Tool("json_answer")))
    found = json.loads(request.body)
    assert [tool["name"] for tool in found["tools"]] == ["f", "json_answer", "json_answer_"]
    assert request.json_tool == "json_answer_"
    assert found["tool_choice"] == {"type": "any"}


def test_a_forced_call_goes_before_a_schema_that_needs_a_tool() -> None:
    request = made(OLD, format=JsonFormat(PERSON), tools=(F,), tool_choice=ToolChoice("required"))
    assert request.json_tool is None
    assert request.lossy == ("response_format",)
