"""Ollama's streams: lines to events however they are cut, events to lines that the official package takes."""

from __future__ import annotations

from typing import Any

import grammar
import msgspec
import pytest
from cuts import cuts
from hypothesis import given
from hypothesis import strategies as st

from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Event,
    Finish,
    FinishReason,
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
from lmgw.wire.ollama import OLLAMA, OLLAMA_GENERATE, Ollama

REPLY = Reply("id", "asked:latest", 1767323045)


def line(message: dict[str, Any] | None = None, **fields: Any) -> bytes:
    content = {"role": "assistant", "content": "", **(message or {})}
    body = {"model": "up", "created_at": "2026-01-02T03:04:05.678901Z", "message": content, "done": False, **fields}
    return msgspec.json.encode(body) + b"\n"


def called(name: str, arguments: Any, **fields: Any) -> bytes:
    return line({"tool_calls": [{"function": {"index": 0, "name": name, "arguments": arguments}, **fields}]})


DONE = line(done=True, done_reason="stop", total_duration=5, prompt_eval_count=10, eval_count=9)
FINISH = Finish("stop", Usage(10, 9))


def events(pieces: list[bytes], clean: bool = True) -> list[Event]:
    parser = OLLAMA.parse_stream()
    return [event for piece in pieces for event in parser.feed(piece)] + list(parser.eof(clean))


def as_read(found: list[Event]) -> list[Any]:
    """Events as values that can be compared: an error by its words, made ids left out."""
    return [
        (type(event).__name__, event.error.message)
        if isinstance(event, StreamError)
        else (event.index, event.name)
        if isinstance(event, ToolStart)
        else event
        for event in found
    ]


CUT = "the provider ended its answer before the answer was complete"
STREAMS: dict[str, tuple[bytes, list[Any]]] = {
    "text": (
        line({"content": "Hé"}) + line({"content": "llo\n"}) + DONE,
        [Start("", "up"), TextDelta("Hé"), TextDelta("llo\n"), FINISH],
    ),
    "thinking": (
        line({"thinking": "T"}) + line({"content": "A", "thinking": ""}) + DONE,
        [Start("", "up"), ReasoningDelta("T"), TextDelta("A"), FINISH],
    ),
    "parallel calls, all of index 0": (
        called("f", {"a": 1}) + called("f", {"a": 2}) + DONE,
        [
            Start("", "up"),
            *((0, "f"), ToolDelta(0, '{"a":1}'), ToolEnd(0)),
            *((1, "f"), ToolDelta(1, '{"a":2}'), ToolEnd(1)),
            Finish("tool_calls", Usage(10, 9)),
        ],
    ),
    "calls and an early end": (
        called("f", {}) + line(done=True, done_reason="length"),
        [Start("", "up"), (0, "f"), ToolDelta(0, "{}"), ToolEnd(0), Finish("length")],
    ),
    "everything in the last line": (
        line({"content": "A", "thinking": "T"}, done=True),
        [Start("", "up"), ReasoningDelta("T"), TextDelta("A"), Finish("stop")],
    ),
    "no last newline": (line({"content": "A"}) + DONE[:-1], [Start("", "up"), TextDelta("A"), FINISH]),
    "blank lines and CRLF": (
        b"\n" + line({"content": "A"})[:-1] + b"\r\n\r\n" + DONE,
        [Start("", "up"), TextDelta("A"), FINISH],
    ),
    "an error in the middle": (
        line({"content": "A"}) + b'{"error":"boom"}\n' + DONE,
        [Start("", "up"), TextDelta("A"), ("StreamError", "boom")],
    ),
    "an error at once": (b'{"error":"boom"}', [("StreamError", "boom")]),
    "a line that is no JSON": (
        line({"content": "A"}) + b"<html>\n" + DONE,
        [
            Start("", "up"),
            TextDelta("A"),
            ("StreamError", "the provider sent a line that is not what Ollama's API sends"),
        ],
    ),
    "no end": (line({"content": "A"}), [Start("", "up"), TextDelta("A"), ("StreamError", CUT)]),
    "half a line": (
        line({"content": "A"}) + DONE[:20],
        [
            Start("", "up"),
            TextDelta("A"),
            ("StreamError", "the provider sent a line that is not what Ollama's API sends"),
        ],
    ),
    "nothing": (b"", [("StreamError", CUT)]),
    "lines after the end": (
        line({"content": "A"}) + DONE + line({"content": "B"}),
        [Start("", "up"), TextDelta("A"), FINISH],
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_read_however_it_is_cut(name: str) -> None:
    data, expected = STREAMS[name]
    for pieces in cuts(data):
        assert as_read(events(pieces)) == expected


def test_a_broken_connection_is_no_end() -> None:
    data = line({"content": "A"}) + DONE[:-1]
    assert as_read(events([data], clean=False))[-1] == (
        "StreamError",
        "the provider closed the connection before the answer was complete",
    )


def test_a_finished_stream_does_not_mind_how_the_connection_ends() -> None:
    assert events([DONE], clean=False) == [Start("", "up"), FINISH]


def test_a_line_that_never_ends_is_an_error() -> None:
    parser = OLLAMA.parse_stream()
    found = [event for _ in range(9) for event in parser.feed(b"x" * (1 << 20))]
    assert as_read(found) == [("StreamError", "the provider sent one line of more than 8 MiB")]
    assert parser.eof(clean=True) == []


def test_ids_are_made_where_they_are_missing_and_the_same_every_time() -> None:
    data = called("f", {}) + called("f", {}) + called("f", {}, id="x") + DONE
    ids = [event.id for event in events([data]) if isinstance(event, ToolStart)]
    assert len(set(ids)) == 3
    assert ids[2] == "x"
    assert ids == [event.id for event in events([data]) if isinstance(event, ToolStart)]


# --- writing -------------------------------------------------------------------------------------------------


def rendered(*found: Event, dialect: Ollama = OLLAMA, reply: Reply = REPLY) -> bytes:
    renderer = dialect.render_stream(reply)
    return b"".join(renderer.render([event]) for event in found)


def test_each_piece_is_a_line_with_the_name_that_was_asked_for() -> None:
    data = rendered(
        Start("chatcmpl-1", "up"),
        ReasoningDelta("T"),
        ReasoningEnd("sig"),
        TextDelta('A"é\n'),
        TextDelta("B"),
        Finish("stop", Usage(4, 9, cache_read=6)),
    )
    told = grammar.ollama(data)
    assert (told["reasoning"], told["text"], told["done_reason"]) == ("T", 'A"é\nB', "stop")
    assert tuple(told["usage"].values()) == (10, 9)
    assert told["model"] == "asked:latest"
    assert data.count(b"\n") == 4


def test_a_call_is_sent_once_and_whole() -> None:
    found = [ToolStart(0, "x", "f"), ToolDelta(0, '{"a"'), ToolDelta(0, ":1}"), ToolEnd(0)]
    assert rendered(*found[:3]) == b""
    told = grammar.ollama(rendered(*found, ToolStart(1, "y", "g"), ToolEnd(1), Finish("tool_calls")))
    assert grammar.calls(told) == [("x", "f", {"a": 1}), ("y", "g", {})]
    assert told["done_reason"] == "stop"
    assert tuple(told["usage"].values()) == (0, 0)


def test_arguments_with_line_ends_stay_on_one_line() -> None:
    found = (ToolStart(0, "x", "f"), ToolDelta(0, '{\n "a": "b\\n",\r\n "c": [1]\n}'), ToolEnd(0), Finish("tool_calls"))
    assert grammar.calls(grammar.ollama(rendered(*found))) == [("x", "f", {"a": "b\n", "c": [1]})]


def test_arguments_that_are_no_object_are_wrapped() -> None:
    found = (ToolStart(0, "x", "f"), ToolDelta(0, '{"a":'), ToolEnd(0), Finish("tool_calls"))
    assert grammar.calls(grammar.ollama(rendered(*found))) == [("x", "f", {"_raw": '{"a":'})]


def test_short_names_of_tools_are_turned_back() -> None:
    reply = Reply("id", "m", 0, tool_names={"short": "a long name"})
    data = rendered(ToolStart(0, "x", "short"), ToolEnd(0), Finish("tool_calls"), reply=reply)
    assert grammar.calls(grammar.ollama(data)) == [("x", "a long name", {})]


@pytest.mark.parametrize(
    ("finish", "done_reason"),
    [("stop", "stop"), ("tool_calls", "stop"), ("content_filter", "stop"), ("length", "length")],
)
def test_the_reason_is_told_in_ollamas_words(finish: FinishReason, done_reason: str) -> None:
    assert grammar.ollama(rendered(Finish(finish)))["done_reason"] == done_reason


def test_usage_of_the_start_counts_where_the_end_has_none() -> None:
    assert tuple(grammar.ollama(rendered(Start("", "up", Usage(7)), Finish("stop")))["usage"].values()) == (7, 0)


def test_durations_are_whole_nanoseconds_since_the_request() -> None:
    clock = iter([3, 10])
    data = rendered(
        Start("", "up"),
        TextDelta("A"),
        TextDelta("B"),
        Finish("stop"),
        reply=Reply("id", "m", 0, elapsed_ns=clock.__next__),
    )
    last = msgspec.json.decode(data.splitlines()[-1])
    assert (last["total_duration"], last["prompt_eval_duration"], last["eval_duration"]) == (10, 3, 7)


def test_errors_are_left_to_whoever_breaks_the_stream_off() -> None:
    (error,) = events([b'{"error":"boom"}\n'])
    assert isinstance(error, StreamError)
    data = rendered(TextDelta("Par"), error) + OLLAMA.render_stream_error(error.error, "r")
    told = grammar.ollama(data)
    assert (told["text"], told["error"], told["done_reason"]) == ("Par", "boom", None)


def test_generate_keeps_text_and_thinking_at_the_top() -> None:
    found = (ReasoningDelta("T"), TextDelta("A"), TextDelta("B"), Finish("length", Usage(1, 2)))
    told = grammar.ollama(rendered(*found, dialect=OLLAMA_GENERATE), generate=True)
    assert (told["reasoning"], told["text"], told["done_reason"]) == ("T", "AB", "length")
    assert tuple(told["usage"].values()) == (1, 2)


pieces = st.one_of(
    st.builds(TextDelta, st.text(min_size=1, max_size=5)),
    st.builds(ReasoningDelta, st.text(min_size=1, max_size=5)),
    st.just("call"),
)


@given(st.lists(pieces, max_size=6), st.sampled_from(["stop", "length"]), st.integers(0, 9), st.integers(0, 9))
def test_a_stream_there_and_back_loses_nothing(
    found: list[Any], reason: FinishReason, prompt: int, output: int
) -> None:
    sent: list[Event] = [Start("", "asked:latest")]
    count = 0
    for piece in found:
        if piece == "call":
            sent += [ToolStart(count, f"c{count}", "f"), ToolDelta(count, '{"a":1}'), ToolEnd(count)]
            count += 1
        else:
            sent.append(piece)
    sent.append(Finish("tool_calls" if count and reason == "stop" else reason, Usage(prompt, output)))
    assert events([rendered(*sent)]) == sent
