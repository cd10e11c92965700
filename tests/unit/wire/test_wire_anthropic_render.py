"""Streams of Anthropic's Messages API, written. The grammar that each must satisfy is in ``tests/grammar.py``."""

from __future__ import annotations

import json
from typing import Any

import grammar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.wire.anthropic import ANTHROPIC
from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    TextDelta,
    ToolDelta,
    ToolEnd,
    ToolStart,
    Usage,
)

REPLY = Reply("msg_1", "asked", 1_760_000_000, tool_names={"short": "a.long.name"})
START = Start("up", "upstream-model", Usage(10))
DONE = Finish("stop", Usage(10, 5))


def rendered(*events: Event) -> bytes:
    renderer = ANTHROPIC.render_stream(REPLY)
    return b"".join([renderer.render([event]) for event in events])


def told(*events: Event, finish: Finish = DONE) -> dict[str, Any]:
    raw = rendered(START, *events, finish)
    assert raw == ANTHROPIC.render_stream(REPLY).render([START, *events, finish])
    return grammar.anthropic(raw)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def thought(said: str, signature: str = "lmgw:unsigned") -> dict[str, Any]:
    return {"type": "thinking", "thinking": said, "signature": signature}


def call(id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


A, B = ToolStart(0, "t1", "f"), ToolStart(1, "t2", "g")
#: What the model does, and the blocks that the caller gets.
STREAMS: dict[str, tuple[list[Event], list[dict[str, Any]]]] = {
    "text": ([TextDelta("Hel"), TextDelta("lo")], [text("Hello")]),
    "nothing": ([], []),
    "empty text": ([TextDelta(""), ReasoningDelta("")], []),
    "white space": ([TextDelta("a"), TextDelta(" "), TextDelta("\n")], [text("a \n")]),
    "white space alone": ([TextDelta("\n")], [text("\n")]),
    "unsigned reasoning": ([ReasoningDelta("T"), TextDelta("a")], [thought("T"), text("a")]),
    "reasoning that ends unsigned": (
        [ReasoningDelta("T"), ReasoningEnd(), ReasoningDelta("U")],
        [thought("T"), thought("U")],
    ),
    "signed reasoning": ([ReasoningDelta("T"), ReasoningEnd("S"), TextDelta("a")], [thought("T", "S"), text("a")]),
    "hidden reasoning": ([ReasoningEnd("S"), TextDelta("a")], [thought("", "S"), text("a")]),
    "redacted reasoning": (
        [ReasoningEnd(redacted="D"), TextDelta("a")],
        [{"type": "redacted_thinking", "data": "D"}, text("a")],
    ),
    "reasoning again": (
        [ReasoningDelta("T"), TextDelta("a"), ReasoningDelta("U"), TextDelta("b")],
        [thought("T"), text("a"), thought("U"), text("b")],
    ),
    "a signature that comes too late": (
        [ReasoningDelta("T"), TextDelta("a"), ReasoningEnd("S"), TextDelta("b")],
        [thought("T"), text("ab")],
    ),
    "a call": (
        [TextDelta("a"), A, ToolDelta(0, '{"a"'), ToolDelta(0, ": 1}"), ToolEnd(0)],
        [text("a"), call("t1", "f", a=1)],
    ),
    "a call without arguments": ([A, ToolEnd(0)], [call("t1", "f")]),
    "a call by a short name": ([ToolStart(0, "t1", "short"), ToolEnd(0)], [call("t1", "a.long.name")]),
    "calls one after the other": (
        [A, ToolDelta(0, "{}"), ToolEnd(0), B, ToolDelta(1, "{}"), ToolEnd(1)],
        [call("t1", "f"), call("t2", "g")],
    ),
    "calls woven together": (
        [
            *(A, B, ToolDelta(1, '{"b"'), ToolDelta(0, '{"a"'), ToolDelta(1, ":2}"), ToolEnd(1)),
            *(ToolDelta(0, ":1}"), ToolEnd(0), TextDelta("b")),
        ],
        [call("t1", "f", a=1), call("t2", "g", b=2), text("b")],
    ),
    "three calls woven together": (
        [A, B, ToolStart(2, "t3", "h"), ToolDelta(2, "{}"), ToolDelta(1, "{}"), ToolEnd(2), ToolEnd(1), ToolEnd(0)],
        [call("t1", "f"), call("t2", "g"), call("t3", "h")],
    ),
    "text within a call": (
        [A, ToolDelta(0, '{"a"'), TextDelta("x"), ToolDelta(0, ":1}"), ToolEnd(0), TextDelta("y")],
        [call("t1", "f", a=1), text("xy")],
    ),
    "calls that never end": (
        [A, B, ToolDelta(1, "{}"), TextDelta("x")],
        [call("t1", "f"), call("t2", "g"), text("x")],
    ),
}


@pytest.mark.parametrize(("events", "blocks"), STREAMS.values(), ids=STREAMS)
def test_blocks_stand_one_after_the_other(events: list[Event], blocks: list[dict[str, Any]]) -> None:
    assert told(*events)["blocks"] == blocks


def test_the_start_says_who_answers_and_what_the_prompt_costs() -> None:
    found = told(TextDelta("a"))
    assert (found["id"], found["model"]) == ("msg_1", "upstream-model")
    assert found["usage"]["input_tokens"] == 10


def test_the_last_counts_hold() -> None:
    usage = told(TextDelta("a"), finish=Finish("stop", Usage(36, 7, 64, 3)))["usage"]
    assert usage == {
        "input_tokens": 36,
        "output_tokens": 7,
        "cache_read_input_tokens": 64,
        "cache_creation_input_tokens": 3,
    }


def test_the_counts_of_the_start_hold_where_none_come_later() -> None:
    assert told(TextDelta("a"), finish=Finish("stop"))["usage"]["input_tokens"] == 10


def test_counts_are_there_even_where_nobody_counted() -> None:
    raw = rendered(Start("", ""), TextDelta("a"), Finish("stop"))
    found = grammar.anthropic(raw)
    assert found["usage"]["output_tokens"] == 0
    assert found["model"] == "asked"


def test_a_stream_without_a_start_gets_one() -> None:
    assert grammar.anthropic(rendered(TextDelta("a"), Finish("stop")))["text"] == "a"
    assert grammar.anthropic(rendered(Finish("stop")))["blocks"] == []


REASONS: dict[str, tuple[list[Event], Finish, tuple[str, str | None]]] = {
    "stop": ([], Finish("stop"), ("end_turn", None)),
    "length": ([], Finish("length"), ("max_tokens", None)),
    "filtered": ([], Finish("content_filter"), ("refusal", None)),
    "calls": ([A, ToolEnd(0)], Finish("tool_calls"), ("tool_use", None)),
    "stop, but after a call": ([A, ToolEnd(0), TextDelta("a")], Finish("stop"), ("tool_use", None)),
    "length, after a call": ([A, ToolEnd(0)], Finish("length"), ("max_tokens", None)),
    "a stop sequence": ([], Finish("stop", None, "END"), ("stop_sequence", "END")),
}


@pytest.mark.parametrize(("events", "finish", "expected"), REASONS.values(), ids=REASONS)
def test_why_it_ended(events: list[Event], finish: Finish, expected: tuple[str, str | None]) -> None:
    found = told(*events, finish=finish)
    assert (found["stop_reason"], found["stop_sequence"]) == expected


def test_each_delta_goes_out_at_once() -> None:
    renderer = ANTHROPIC.render_stream(REPLY)
    assert renderer.render([START]).startswith(b"event: message_start\n")
    assert renderer.render([TextDelta("a")]).count(b"event: ") == 2
    only = renderer.render([TextDelta('ä "\n')])
    head, data, *_ = only.split(b"\n")
    assert head == b"event: content_block_delta"
    assert json.loads(data[6:]) == {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": 'ä "\n'},
    }


# --- whatever a model does -----------------------------------------------------------------------------------

WORDS = st.text(min_size=1, max_size=4)
ANYTHING: Any = st.one_of(
    st.builds(TextDelta, st.text(max_size=4)),
    st.builds(ReasoningDelta, st.text(max_size=4)),
    st.builds(ReasoningEnd, st.none() | WORDS, st.none() | WORDS),
)
FINISHES = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])


@st.composite
def woven(draw: st.DrawFn) -> list[Event]:
    """Calls whose events are woven together at random, with text and reasoning anywhere."""
    queues: list[list[Event]] = []
    for index in range(draw(st.integers(0, 4))):
        whole = json.dumps(draw(st.dictionaries(WORDS, st.integers(), max_size=2)))
        at = draw(st.integers(0, len(whole)))
        fragments: list[Event] = [ToolDelta(index, whole[:at]), ToolDelta(index, whole[at:])]
        ended: list[Event] = [ToolEnd(index)] if draw(st.booleans()) else []
        queues.append([ToolStart(index, f"t{index}", f"f{index}"), *fragments, *ended])
    queues.append(draw(st.lists(ANYTHING, max_size=6)))
    events = []
    while queues := [queue for queue in queues if queue]:
        events.append(draw(st.sampled_from(queues)).pop(0))
    return events


@given(woven(), FINISHES)
def test_any_sequence_of_events_is_well_formed(events: list[Event], reason: FinishReason) -> None:
    found = told(*events, finish=Finish(reason))
    assert found["text"] == "".join(event.text for event in events if isinstance(event, TextDelta))
    assert found["reasoning"] == "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    given = {event.index: "" for event in events if isinstance(event, ToolStart)}
    for event in events:
        if isinstance(event, ToolDelta):
            given[event.index] += event.fragment
    calls = {call["id"]: json.loads(call["arguments"]) for call in found["tool_calls"]}
    assert calls == {f"t{index}": json.loads(arguments) for index, arguments in given.items()}
