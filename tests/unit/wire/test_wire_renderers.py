"""Whatever a model does, the stream that any client gets of it is well formed, and says what the model said."""

from __future__ import annotations

import json
from typing import Any

import grammar
from hypothesis import given
from hypothesis import strategies as st

from lmgw.errors import GatewayError
from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamError,
    TextDelta,
    ToolDelta,
    ToolEnd,
    ToolStart,
    Usage,
)
from lmgw.wire.translate import DIALECTS

CALLERS = ("openai", "anthropic", "ollama", "ollama_generate", "responses")
WORDS = st.text(min_size=1, max_size=6)
ENDS = st.sampled_from(["none", "plain", "signed", "redacted"])
VALUES = st.dictionaries(WORDS, st.integers() | WORDS | st.lists(WORDS, max_size=2), max_size=3)
#: One piece of an answer: (kind, what it holds)
TEXTS = st.tuples(st.just("text"), st.lists(WORDS, min_size=1, max_size=3))
THOUGHTS = st.tuples(st.just("thought"), st.tuples(st.lists(WORDS, max_size=3), ENDS))
CALLS = st.tuples(st.just("call"), st.tuples(VALUES, st.integers(1, 4), st.booleans()))
PIECES = st.lists(TEXTS | THOUGHTS | CALLS, max_size=6)
FINISHES = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
USAGES = st.none() | st.builds(Usage, *[st.integers(0, 99)] * 4)


def events_of(pieces: list[Any]) -> list[Event]:
    """The events of an answer made of these pieces, as a parser would give them."""
    found: list[Event] = [Start("up-1", "up")]
    calls = 0
    for kind, held in pieces:
        if kind == "text":
            found += map(TextDelta, held)
        elif kind == "thought":
            words, end = held
            found += map(ReasoningDelta, words)
            if end == "redacted":
                found.append(ReasoningEnd(redacted="data"))
            elif words and end != "none":
                found.append(ReasoningEnd("sig" if end == "signed" else None))
        else:
            arguments, count, silent = held
            text = "" if silent and not arguments else json.dumps(arguments)
            size = max(1, -(-len(text) // count))
            fragments = [ToolDelta(calls, text[at : at + size]) for at in range(0, len(text), size)]
            found += [ToolStart(calls, f"call_{calls}", f"f{calls}"), *fragments, ToolEnd(calls)]
            calls += 1
    return found


def said(events: list[Event]) -> dict[str, Any]:
    """What these events say, in a client's words."""
    arguments: dict[int, str] = {}
    names: list[str] = []
    for event in events:
        if isinstance(event, ToolStart):
            names.append(event.name)
            arguments[event.index] = ""
        elif isinstance(event, ToolDelta):
            arguments[event.index] += event.fragment
    return {
        "text": "".join(event.text for event in events if isinstance(event, TextDelta)),
        "reasoning": "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        "calls": [(name, json.loads(arguments[at] or "{}")) for at, name in enumerate(names)],
    }


def told(found: dict[str, Any]) -> dict[str, Any]:
    calls = [(call["name"], json.loads(call["arguments"] or "{}")) for call in found["tool_calls"]]
    return {"text": found["text"], "reasoning": found["reasoning"], "calls": calls}


def rendered(caller: str, events: list[Event], at_once: bool = False) -> bytes:
    renderer = DIALECTS[caller].render_stream(Reply("id-1", "asked", 1_760_000_000, include_usage=True))
    if at_once:
        return renderer.render(events)
    return b"".join([renderer.render([event]) for event in events])


@given(st.sampled_from(CALLERS), PIECES, FINISHES, USAGES)
def test_a_finished_stream_is_well_formed(caller: str, pieces: list[Any], reason: Any, usage: Usage | None) -> None:
    events = [*events_of(pieces), Finish(reason, usage)]
    raw = rendered(caller, events)
    assert raw == rendered(caller, events, at_once=True)
    assert told(grammar.check(caller, raw, include_usage=True)) == said(events)


@given(st.sampled_from(CALLERS), PIECES, st.integers(0, 20))
def test_a_stream_that_breaks_off_anywhere_is_well_formed(caller: str, pieces: list[Any], end: int) -> None:
    events = events_of(pieces)[:end]
    problem = GatewayError("boom", status=502)
    raw = rendered(caller, [*events, StreamError(problem)])
    if caller != "responses":  # which alone needs to know what was said
        raw += DIALECTS[caller].render_stream_error(problem, "req_1")
    error = grammar.check(caller, raw, include_usage=True)["error"]
    assert (error if isinstance(error, str) else error["message"]) == "boom"


@given(st.sampled_from(CALLERS[:3]), PIECES, FINISHES, USAGES)
def test_what_a_dialect_writes_it_can_read(dialect: str, pieces: list[Any], reason: Any, usage: Usage | None) -> None:
    events = [*events_of(pieces), Finish(reason, usage)]
    parser = DIALECTS[dialect].parse_stream()
    back = [*parser.feed(rendered(dialect, events)), *parser.eof(True)]
    assert said(back) == said(events)
    last = back[-1]
    assert isinstance(last, Finish)
    assert not any(isinstance(event, StreamError) for event in back)
    if usage is not None and last.usage is not None:
        total = usage.input + usage.cache_read + usage.cache_write
        assert last.usage.input + last.usage.cache_read + last.usage.cache_write == total
        assert last.usage.output == usage.output
