"""Streams of Anthropic's Messages API, read, however their bytes arrive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cuts import cuts

from lmgw.wire.anthropic import ANTHROPIC
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

START = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}},
}
STOP = {"type": "message_stop"}
BEGUN = Start("msg_1", "claude", Usage(10, 1))


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def text(index: int, said: str) -> dict[str, Any]:
    return delta(index, "text_delta", text=said)


def arguments(index: int, fragment: str) -> dict[str, Any]:
    return delta(index, "input_json_delta", partial_json=fragment)


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def stopped(reason: str | None, sequence: str | None = None, **usage: int) -> dict[str, Any]:
    delta = {"stop_reason": reason, "stop_sequence": sequence}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9, **usage}}


def sse(*events: dict[str, Any], line: str = "\n") -> bytes:
    frames = (f"event: {event['type']}{line}data: {json.dumps(event)}{line}{line}" for event in events)
    return "".join(frames).encode()


def read(*chunks: bytes, clean: bool = True) -> list[Event]:
    parser = ANTHROPIC.parse_stream()
    found = [event for chunk in chunks for event in parser.feed(chunk)]
    return [*found, *parser.eof(clean)]


def events(*sent: dict[str, Any], clean: bool = True) -> list[Event]:
    return read(sse(*sent), clean=clean)


CALL = begin(0, type="tool_use", id="t1", name="f", input={})
#: What is sent between the start and the stop, and what it says.
STREAMS: dict[str, tuple[list[dict[str, Any]], list[Event]]] = {
    "text": (
        [begin(0, type="text", text=""), {"type": "ping"}, text(0, "Hä"), text(0, " "), end(0), stopped("end_turn")],
        [TextDelta("Hä"), TextDelta(" "), Finish("stop", Usage(10, 9))],
    ),
    "text, calls and a call without input": (
        [
            begin(0, type="text", text=""),
            text(0, "Checking."),
            end(0),
            begin(1, type="tool_use", id="t1", name="f", input={}),
            arguments(1, ""),
            arguments(1, '{"city"'),
            arguments(1, ': "Oslo"}'),
            end(1),
            begin(2, type="tool_use", id="t2", name="g", input={}),
            arguments(2, ""),
            end(2),
            stopped("tool_use"),
        ],
        [
            TextDelta("Checking."),
            ToolStart(0, "t1", "f"),
            ToolDelta(0, '{"city"'),
            ToolDelta(0, ': "Oslo"}'),
            ToolEnd(0),
            ToolStart(1, "t2", "g"),
            ToolDelta(1, "{}"),
            ToolEnd(1),
            Finish("tool_calls", Usage(10, 9)),
        ],
    ),
    "a call whose input comes at its start": (
        [begin(0, type="tool_use", id="t1", name="f", input={"a": 1}), end(0), stopped("tool_use")],
        [ToolStart(0, "t1", "f"), ToolDelta(0, '{"a": 1}'), ToolEnd(0), Finish("tool_calls", Usage(10, 9))],
    ),
    "a call without the field input": (
        [begin(0, type="tool_use", id="t1", name="f"), end(0), stopped("end_turn")],
        [ToolStart(0, "t1", "f"), ToolDelta(0, "{}"), ToolEnd(0), Finish("tool_calls", Usage(10, 9))],
    ),
    "a call that is not ended": (
        [CALL, arguments(0, "{}"), stopped("max_tokens")],
        [ToolStart(0, "t1", "f"), ToolDelta(0, "{}"), ToolEnd(0), Finish("length", Usage(10, 9))],
    ),
    "signed thinking": (
        [
            begin(0, type="thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="T"),
            delta(0, "signature_delta", signature="SIG=="),
            end(0),
            stopped("end_turn"),
        ],
        [ReasoningDelta("T"), ReasoningEnd("SIG=="), Finish("stop", Usage(10, 9))],
    ),
    "hidden thinking": (
        [
            begin(0, type="thinking", thinking=""),
            delta(0, "signature_delta", signature="S"),
            end(0),
            stopped("end_turn"),
        ],
        [ReasoningEnd("S"), Finish("stop", Usage(10, 9))],
    ),
    "redacted thinking": (
        [begin(0, type="redacted_thinking", data="D"), end(0), stopped("end_turn")],
        [ReasoningEnd(redacted="D"), Finish("stop", Usage(10, 9))],
    ),
    "blocks woven together": (
        [
            begin(0, type="thinking", thinking=""),
            delta(0, "thinking_delta", thinking="T"),
            begin(1, type="text", text=""),
            text(1, "a"),
            begin(2, type="tool_use", id="t1", name="f"),
            begin(3, type="tool_use", id="t2", name="g"),
            arguments(3, "{}"),
            arguments(2, '{"a":1}'),
            delta(0, "signature_delta", signature="S"),
            end(0),
            end(1),
            end(2),
            end(3),
            stopped("tool_use"),
        ],
        [
            ReasoningDelta("T"),
            TextDelta("a"),
            ToolStart(0, "t1", "f"),
            ToolDelta(0, '{"a":1}'),
            ToolEnd(0),
            ToolStart(1, "t2", "g"),
            ToolDelta(1, "{}"),
            ToolEnd(1),
            ReasoningEnd("S"),
            Finish("tool_calls", Usage(10, 9)),
        ],
    ),
    "all calls ended at the end": (
        [
            begin(0, type="tool_use", id="t1", name="f"),
            begin(1, type="tool_use", id="t2", name="g"),
            arguments(1, '{"b":'),
            arguments(1, "2}"),
            end(0),
            end(1),
            stopped("tool_use"),
        ],
        [
            ToolStart(0, "t1", "f"),
            ToolDelta(0, "{}"),
            ToolEnd(0),
            ToolStart(1, "t2", "g"),
            ToolDelta(1, '{"b":2}'),
            ToolEnd(1),
            Finish("tool_calls", Usage(10, 9)),
        ],
    ),
    "a tool that ran there": (
        [
            begin(0, type="server_tool_use", id="s", name="web_search", input={}),
            arguments(0, '{"q": "x"}'),
            end(0),
            begin(1, type="web_search_tool_result", tool_use_id="s", content=[]),
            end(1),
            begin(2, type="text", text=""),
            delta(2, "citations_delta", citation={"url": "u"}),
            text(2, "Found."),
            end(2),
            stopped("end_turn"),
        ],
        [TextDelta("Found."), Finish("stop", Usage(10, 9))],
    ),
    "text at the start of its block": (
        [begin(0, type="text", text="a"), end(0), stopped("end_turn")],
        [TextDelta("a"), Finish("stop", Usage(10, 9))],
    ),
    "an empty answer": ([stopped("end_turn")], [Finish("stop", Usage(10, 9))]),
    "a stop sequence": ([stopped("stop_sequence", "END")], [Finish("stop", Usage(10, 9), "END")]),
    "no reason at all": ([], [Finish("stop", Usage(10, 1))]),
    "events that nobody knows": (
        [{"type": "weather", "index": "north", "delta": "warm"}, stopped("refusal")],
        [Finish("content_filter", Usage(10, 9))],
    ),
    "counts are cumulative, and the last one holds": (
        [
            {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 11, "cache_read_input_tokens": 4}},
            stopped("end_turn", cache_read_input_tokens=5, cache_creation_input_tokens=6),
        ],
        [Finish("stop", Usage(11, 9, 5, 6))],
    ),
    "reasoning is counted": (
        [stopped("end_turn") | {"usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 3}}}],
        [Finish("stop", Usage(10, 9, reasoning=3))],
    ),
}


@pytest.mark.parametrize(("sent", "said"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read(sent: list[dict[str, Any]], said: list[Event]) -> None:
    assert events(START, *sent, STOP) == [BEGUN, *said]


@pytest.mark.parametrize("line", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("sent", "said"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_in_any_pieces(sent: list[dict[str, Any]], said: list[Event], line: str) -> None:
    for chunks in cuts(sse(START, *sent, STOP, line=line), seeds=5):
        assert read(*chunks) == [BEGUN, *said]


@pytest.mark.parametrize("clean", [True, False])
def test_a_stop_reason_is_enough(clean: bool) -> None:
    sent = (START, begin(0, type="text", text=""), text(0, "a"), end(0), stopped("end_turn"))
    assert events(*sent, clean=clean)[-1] == Finish("stop", Usage(10, 9))


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert read(sse(START, stopped("end_turn"), STOP).rstrip(b"\n"))[-1] == Finish("stop", Usage(10, 9))


@pytest.mark.parametrize(("clean", "words"), [(True, "ended its answer"), (False, "closed the connection")])
def test_a_stream_that_breaks_off_is_an_error(clean: bool, words: str) -> None:
    last = events(START, text(0, "Par"), clean=clean)[-1]
    assert isinstance(last, StreamError)
    assert words in last.error.message


def test_nothing_comes_after_the_end() -> None:
    parser = ANTHROPIC.parse_stream()
    parser.feed(sse(START, stopped("end_turn"), STOP))
    assert not parser.feed(sse(text(0, "late")))
    assert not parser.eof(True)


ERRORS: dict[str, tuple[bytes, int, str]] = {
    "its own": (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        529,
        "Overloaded",
    ),
    "another's": (b'data: {"error":{"code":429,"message":"slowly","type":"rate_limit_error"}}\n\n', 429, "slowly"),
    "words alone": (b'event: error\ndata: {"type":"error","message":"boom"}\n\n', 502, "boom"),
    "no words": (b'event: error\ndata: {"type":"error"}\n\n', 502, "without saying which"),
    "an event that is broken": (b'data: {"type":"content_block_delta","index":"x"}\n\n', 502, "not of Anthropic's API"),
    "no JSON": (b"data: oops\n\n", 502, "not of Anthropic's API"),
}


@pytest.mark.parametrize(("frame", "status", "words"), ERRORS.values(), ids=ERRORS)
def test_an_error_ends_the_stream(frame: bytes, status: int, words: str) -> None:
    for chunks in cuts(sse(START, text(0, "Par")) + frame + sse(text(0, "late"), STOP), seeds=3):
        begun, said, last = read(*chunks)
        assert (begun, said) == (BEGUN, TextDelta("Par"))
        assert isinstance(last, StreamError)
        assert last.error.status == status
        assert words in last.error.message


def test_an_end_mark_of_another_dialect_means_nothing() -> None:
    assert read(sse(START, stopped("end_turn")) + b"data: [DONE]\n\n" + sse(STOP))[-1] == Finish("stop", Usage(10, 9))


def test_an_endless_event_is_an_error() -> None:
    parser = ANTHROPIC.parse_stream()
    found: list[Event] = []
    for _ in range(9):
        found += parser.feed(b"data: " + b"x" * (1 << 20))
    (last,) = found
    assert isinstance(last, StreamError)
    assert "8 MiB" in last.error.message
