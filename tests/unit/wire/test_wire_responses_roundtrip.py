"""What a model said, written for a caller of the Responses API and sent back by it, is what the model said."""

from __future__ import annotations

import json
from typing import Any

import grammar
from hypothesis import given
from hypothesis import strategies as st

from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Answer,
    Event,
    Finish,
    Part,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolDelta,
    ToolEnd,
    ToolStart,
)
from lmgw.wire.responses import RESPONSES
from lmgw.wire.responses_request import parse_request
from lmgw.wire.responses_tools import custom_arguments

TOOLS = [
    {"type": "function", "name": "f"},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]},
]
REPLY = Reply("resp_1", "m", 1, request=parse_request({"input": "hi", "tools": TOOLS}))

WORDS = st.text(min_size=1, max_size=6)
OBJECTS = st.dictionaries(WORDS, st.integers() | WORDS, max_size=2).map(json.dumps)
TEXTS = st.builds(Text, WORDS)
THOUGHTS = st.builds(Thinking, WORDS, st.none() | WORDS) | st.builds(Thinking, redacted=WORDS)
CALLS = st.builds(ToolCall, st.just(""), st.sampled_from(["f", "n__g"]), OBJECTS) | st.builds(
    ToolCall, st.just(""), st.just("patch"), st.text(max_size=6).map(custom_arguments)
)
PARTS = st.lists(TEXTS | THOUGHTS | CALLS, min_size=1, max_size=6).map(
    lambda parts: [
        ToolCall(f"c{at}", part.name, part.arguments) if isinstance(part, ToolCall) else part
        for at, part in enumerate(parts)
    ]
)


def joined(parts: list[Part]) -> list[Part]:
    """The same with neighbouring texts as one."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and found and isinstance(last := found[-1], Text):
            found[-1] = Text(last.text + part.text)
        else:
            found.append(part)
    return found


def events_of(parts: list[Part]) -> list[Event]:
    found: list[Event] = [Start("", "up")]
    calls = 0
    for part in parts:
        if isinstance(part, Text):
            found.append(TextDelta(part.text))
        elif isinstance(part, Thinking):
            found += [ReasoningDelta(part.text)] if part.text else []
            found.append(ReasoningEnd(part.signature, part.redacted))
        elif isinstance(part, ToolCall):
            found += [ToolStart(calls, part.id, part.name), ToolDelta(calls, part.arguments), ToolEnd(calls)]
            calls += 1
    return [*found, Finish("stop")]


def back(items: list[dict[str, Any]]) -> list[Part]:
    """What the assistant said by these items, in one list."""
    return [part for turn in parse_request({"input": items}).messages for part in turn.parts]


@given(PARTS)
def test_a_whole_answer_comes_back_as_it_was(parts: list[Part]) -> None:
    answer = json.loads(RESPONSES.render_answer(Answer("", "up", tuple(parts), "stop"), REPLY))
    assert back(answer["output"]) == joined(parts)


@given(PARTS)
def test_a_stream_comes_back_as_it_was(parts: list[Part]) -> None:
    raw = RESPONSES.render_stream(REPLY).render(events_of(parts))
    items = grammar.responses(raw)["items"]
    assert back(items) == joined(parts)
    whole = json.loads(RESPONSES.render_answer(Answer("", "up", tuple(parts), "stop"), REPLY))
    assert whole["output"] == items
