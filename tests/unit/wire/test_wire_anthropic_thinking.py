"""How models behind Anthropic's Messages API are told to think."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from anthropic_requests import HELLO, TARGET, F, able, assistant, body, made, turns, user

from lmgw.wire.dialect import Target
from lmgw.wire.events import Message, Reasoning, Text, Thinking, ToolCall, ToolChoice, ToolResult

EFFORTS = ("low", "medium", "high", "xhigh", "max")
NEW = able(thinking="adaptive", efforts=EFFORTS)
FEW = able(thinking="adaptive", efforts=("low", "medium", "high"))
FABLE = able(thinking="adaptive", efforts=EFFORTS, thinking_always_on=True)
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OFF = {"type": "disabled"}


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


#: What is wanted, of which model, within how many tokens: the thinking and the effort that are sent.
THINKING: dict[str, tuple[Reasoning | None, Target, int, Any, str | None]] = {
    "adaptive: nothing said": (None, NEW, 9000, None, None),
    "adaptive: none": (Reasoning(False, "none"), NEW, 9000, OFF, None),
    "adaptive: minimal": (Reasoning(effort="minimal"), NEW, 9000, ADAPTIVE, "low"),
    "adaptive: low": (Reasoning(effort="low"), NEW, 9000, ADAPTIVE, "low"),
    "adaptive: medium": (Reasoning(effort="medium"), NEW, 9000, ADAPTIVE, "medium"),
    "adaptive: high": (Reasoning(effort="high"), NEW, 9000, ADAPTIVE, "high"),
    "adaptive: xhigh": (Reasoning(effort="xhigh"), NEW, 9000, ADAPTIVE, "xhigh"),
    "adaptive: max": (Reasoning(effort="max"), NEW, 9000, ADAPTIVE, "max"),
    "adaptive: more than it has": (Reasoning(effort="max"), FEW, 9000, ADAPTIVE, "high"),
    "adaptive: on": (Reasoning(), NEW, 9000, ADAPTIVE, "medium"),
    "adaptive: as it likes": (Reasoning(adaptive=True), NEW, 9000, ADAPTIVE, None),
    "adaptive: a small budget": (Reasoning(budget_tokens=1024), NEW, 9000, ADAPTIVE, "low"),
    "adaptive: a budget": (Reasoning(budget_tokens=4096), NEW, 9000, ADAPTIVE, "medium"),
    "adaptive: a large budget": (Reasoning(budget_tokens=16384), NEW, 9000, ADAPTIVE, "high"),
    "always on: none": (Reasoning(False), FABLE, 9000, None, "low"),
    "always on: high": (Reasoning(effort="high"), FABLE, 9000, ADAPTIVE, "high"),
    "budget: nothing said": (None, TARGET, 90000, None, None),
    "budget: none": (Reasoning(False), TARGET, 90000, None, None),
    "budget: minimal": (Reasoning(effort="minimal"), TARGET, 90000, budget(1024), None),
    "budget: low": (Reasoning(effort="low"), TARGET, 90000, budget(2048), None),
    "budget: medium": (Reasoning(effort="medium"), TARGET, 90000, budget(8192), None),
    "budget: high": (Reasoning(effort="high"), TARGET, 90000, budget(16384), None),
    "budget: max": (Reasoning(effort="max"), TARGET, 90000, budget(32768), None),
    "budget: on": (Reasoning(), TARGET, 90000, budget(8192), None),
    "budget: half of what there is": (Reasoning(effort="high"), TARGET, 4096, budget(2048), None),
    "budget: the least": (Reasoning(effort="high"), TARGET, 1500, budget(1024), None),
    "budget: no room": (Reasoning(effort="high"), TARGET, 1024, None, None),
    "budget: the caller's": (Reasoning(budget_tokens=5000), TARGET, 9000, budget(5000), None),
    "budget: the caller's, too large": (Reasoning(budget_tokens=9000), TARGET, 9000, budget(8999), None),
    "cannot": (Reasoning(effort="high"), able(thinking="none"), 9000, None, None),
}


@pytest.mark.parametrize(("reasoning", "target", "limit", "expected", "effort"), THINKING.values(), ids=THINKING)
def test_how_a_model_is_told_to_think(
    reasoning: Reasoning | None, target: Target, limit: int, expected: Any, effort: str | None
) -> None:
    found = body(target, reasoning=reasoning, max_tokens=limit)
    assert found.get("thinking") == expected
    assert found.get("output_config", {}).get("effort") == effort


@pytest.mark.parametrize("target", [NEW, TARGET], ids=["adaptive", "budget"])
def test_while_a_model_thinks_sampling_is_left_alone(target: Target) -> None:
    request = made(target, reasoning=Reasoning(effort="low"), temperature=0.2, top_p=0.9, top_k=3, max_tokens=9000)
    assert not json.loads(request.body).keys() & {"temperature", "top_p", "top_k"}
    assert request.lossy == ("temperature", "top_p", "top_k")


@pytest.mark.parametrize(("target", "expected"), [(NEW, OFF), (TARGET, None)], ids=["adaptive", "budget"])
def test_a_forced_call_goes_before_thinking(target: Target, expected: Any) -> None:
    fields: dict[str, Any] = {"tools": (F,), "tool_choice": ToolChoice("required"), "max_tokens": 9000}
    request = made(target, reasoning=Reasoning(effort="high"), temperature=0.2, **fields)
    found = json.loads(request.body)
    assert found.get("thinking") == expected
    assert found["tool_choice"] == {"type": "any"}
    assert found["temperature"] == 0.2
    assert request.lossy == ("reasoning",)


def test_a_model_that_always_thinks_is_not_forced() -> None:
    request = made(FABLE, reasoning=Reasoning(effort="high"), tools=(F,), tool_choice=ToolChoice("required"))
    found = json.loads(request.body)
    assert found["thinking"] == ADAPTIVE
    assert found["tool_choice"] == {"type": "auto"}
    assert request.lossy == ("tool_choice",)


CALL, RESULTS = ToolCall("t1", "f", "{}"), user(ToolResult("t1", (Text("4 C"),)))
HISTORIES: dict[str, tuple[tuple[Message, ...], bool]] = {
    "calls whose thinking is not known": ((HELLO, assistant(CALL), RESULTS), False),
    "calls after unsigned thinking": ((HELLO, assistant(Thinking("T"), CALL), RESULTS), False),
    "calls after signed thinking": ((HELLO, assistant(Thinking("T", "S"), CALL), RESULTS), True),
    "calls after redacted thinking": ((HELLO, assistant(Thinking(redacted="D"), "text", CALL), RESULTS), True),
    "calls, long since": ((HELLO, assistant(CALL), RESULTS, assistant("Cold."), HELLO), True),
    "no calls": ((HELLO, assistant("Hi."), HELLO), True),
}


@pytest.mark.parametrize(("messages", "thinks"), HISTORIES.values(), ids=HISTORIES)
def test_a_model_with_a_budget_cannot_go_on_from_calls_without_thinking(
    messages: tuple[Message, ...], thinks: bool
) -> None:
    fields: dict[str, Any] = {"messages": messages, "tools": (F,), "reasoning": Reasoning(effort="low")}
    assert ("thinking" in body(max_tokens=9000, **fields)) is thinks
    assert body(NEW, **fields)["thinking"] == ADAPTIVE


def test_a_tiers_switch_counts_where_the_caller_says_nothing() -> None:
    assert body(replace(NEW, think=False))["thinking"] == OFF
    assert body(replace(NEW, think=True))["output_config"] == {"effort": "medium"}
    assert body(replace(NEW, think=False), reasoning=Reasoning(effort="low"))["thinking"] == ADAPTIVE


def test_thinking_is_not_given_to_a_model_that_cannot() -> None:
    found = turns(HELLO, assistant(Thinking("T", "S"), "a"), HELLO, target=able(thinking="none"))
    assert found[1] == {"role": "assistant", "content": "a"}
