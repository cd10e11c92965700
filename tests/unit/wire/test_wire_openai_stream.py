"""Streams of Chat Completions from servers of every make, read into events, and events written for clients."""

from __future__ import annotations

import json
from typing import Any

import grammar
import pytest
from cuts import cuts
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
from lmgw.wire.openai import OPENAI

START = Start("c1", "gpt")
STOP = Finish("stop")
DONE = b"data: [DONE]\n\n"


def sent(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return sent(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [choice]} | fields
    )


def call(*fragments: dict[str, Any]) -> bytes:
    return chunk({"tool_calls": list(fragments)})


def fragment(
    index: int | None, arguments: str | None, id: str | None = None, name: str | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    found["function"] = {key: value for key, value in found["function"].items() if value is not None}
    return {key: value for key, value in found.items() if value is not None}


def read(chunks: list[bytes], clean: bool = True) -> list[Event]:
    parser = OPENAI.parse_stream()
    found = [event for data in chunks for event in parser.feed(data)]
    return [*found, *parser.eof(clean)]


def told(events: list[Event]) -> list[Event]:
    """The events with neighbouring fragments of one kind in one."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            found[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ToolDelta) and isinstance(last, ToolDelta) and event.index == last.index:
            found[-1] = ToolDelta(event.index, last.fragment + event.fragment)
        else:
            found.append(event)
    return found


ROLE = chunk({"role": "assistant", "content": ""})
TEXT = (ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"}))
HELLO = [START, TextDelta("Hello")]
COUNTS = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
USAGE = {
    **COUNTS,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 6},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
F1 = fragment(0, "", "1", "f")
ONE = [ToolStart(0, "1", "f"), ToolDelta(0, '{"a":1}'), ToolEnd(0)]
TWO = [*ONE, ToolStart(1, "2", "g"), ToolDelta(1, '{"b":2}'), ToolEnd(1)]
CALLED = Finish("tool_calls")

STREAMS: dict[str, tuple[tuple[bytes, ...], list[Event]]] = {
    "text": ((*TEXT, chunk(finish="stop"), DONE), [*HELLO, STOP]),
    "no [DONE]": ((*TEXT, chunk(finish="stop")), [*HELLO, STOP]),
    "the finish with the last text": ((ROLE, chunk({"content": "Hello"}, "stop"), DONE), [*HELLO, STOP]),
    "usage after the finish": (
        (*TEXT, chunk(finish="stop"), chunk(choices=[], usage=USAGE), DONE),
        [*HELLO, Finish("stop", Usage(30, 7, 64, 6, 3))],
    ),
    "usage with the finish": (
        (*TEXT, chunk(finish="stop", usage=COUNTS), DONE),
        [*HELLO, Finish("stop", Usage(100, 7))],
    ),
    "usage on every chunk: the last counts": (
        (
            chunk({"content": "Hello"}, usage=COUNTS | {"completion_tokens": 1}),
            chunk(finish="stop", usage=COUNTS),
            chunk(choices=[], usage=COUNTS | {"completion_tokens": 9}),
        ),
        [Start("c1", "gpt", Usage(100, 1)), TextDelta("Hello"), Finish("stop", Usage(100, 9))],
    ),
    "usage that is not in integers": (
        (*TEXT, chunk(finish="stop"), chunk(choices=[], usage={"prompt_tokens": 9.7, "completion_tokens": "?"}), DONE),
        [*HELLO, Finish("stop", Usage(9))],
    ),
    "usage that is no object": ((*TEXT, chunk(finish="stop", usage=[1]), DONE), [*HELLO, STOP]),
    "usage: null": ((chunk({"content": "Hello"}, usage=None), chunk(finish="stop", usage=None)), [*HELLO, STOP]),
    "a chunk without choices at the start (Azure)": (
        (chunk(choices=[], prompt_filter_results=[]), *TEXT, chunk(finish="stop")),
        [*HELLO, STOP],
    ),
    "an empty finish_reason is none": ((chunk({"content": "Hello"}, ""), chunk(finish="stop")), [*HELLO, STOP]),
    "an unknown finish_reason is a stop": ((*TEXT, chunk(finish="eos")), [*HELLO, STOP]),
    "a cut answer": ((*TEXT, chunk(finish="length")), [*HELLO, Finish("length")]),
    "a filtered answer": ((*TEXT, chunk(finish="content_filter")), [*HELLO, Finish("content_filter")]),
    "another choice is not ours": (
        (
            *TEXT,
            chunk(choices=[{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]),
            chunk(finish="stop"),
        ),
        [*HELLO, STOP],
    ),
    "an error after the finish": ((*TEXT, chunk(finish="stop"), sent({"error": {"message": "x"}})), [*HELLO, STOP]),
    "a refusal is text": ((ROLE, chunk({"refusal": "Hello"}), chunk(finish="stop")), [*HELLO, STOP]),
    "comments": ((b": OPENROUTER PROCESSING\n\n", *TEXT, b":\n\n", chunk(finish="stop")), [*HELLO, STOP]),
    "nothing but an end": ((chunk(finish="stop"), DONE), [START, STOP]),
    "white space is text": ((chunk({"content": " \n"}), chunk(finish="stop")), [START, TextDelta(" \n"), STOP]),
    "content in parts (Mistral)": (
        (
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]}),
            chunk({"content": [{"type": "text", "text": "Hello"}]}),
            chunk(finish="stop"),
        ),
        [START, ReasoningDelta("t"), TextDelta("Hello"), STOP],
    ),
    # --- reasoning
    "reasoning_content": (
        (chunk({"reasoning_content": "t", "content": None}), chunk({"content": "a"}), chunk(finish="stop")),
        [START, ReasoningDelta("t"), TextDelta("a"), STOP],
    ),
    "one reasoning under three names": (
        (
            chunk({"reasoning": "t", "reasoning_content": "t", "reasoning_details": [{"text": "t"}], "content": ""}),
            chunk(finish="stop"),
        ),
        [START, ReasoningDelta("t"), STOP],
    ),
    "a signature": (
        (
            chunk({"reasoning": "t", "reasoning_details": [{"type": "reasoning.text", "text": "t", "index": 0}]}),
            chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]}),
            chunk({"content": "a"}),
            chunk(finish="stop"),
        ),
        [START, ReasoningDelta("t"), ReasoningEnd("s"), TextDelta("a"), STOP],
    ),
    "a signature with the whole of what was said before": (
        (
            chunk({"reasoning_content": "t"}),
            chunk({"reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s", "index": 0}]}),
            chunk(finish="stop"),
        ),
        [START, ReasoningDelta("t"), ReasoningEnd("s"), STOP],
    ),
    "redacted reasoning": (
        (chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}]}), chunk(finish="stop")),
        [START, ReasoningEnd(redacted="d"), STOP],
    ),
    # --- tool calls
    "a call in fragments": (
        (ROLE, call(F1), call(fragment(0, '{"a"')), call(fragment(0, ":1}")), chunk(finish="tool_calls"), DONE),
        [START, *ONE, CALLED],
    ),
    "a call that ends as a stop": (
        (call(F1 | fragment(0, '{"a":1}', "1", "f")), chunk(finish="stop")),
        [START, *ONE, CALLED],
    ),
    "a call that is cut": (
        (call(fragment(0, '{"a', "1", "f")), chunk(finish="length")),
        [START, ToolStart(0, "1", "f"), ToolDelta(0, '{"a'), ToolEnd(0), Finish("length")],
    ),
    "two calls": (
        (
            call(F1),
            call(fragment(0, '{"a":1}')),
            call(fragment(1, "", "2", "g")),
            call(fragment(1, '{"b":2}')),
            chunk(finish="tool_calls"),
        ),
        [START, *TWO, CALLED],
    ),
    "two calls in one chunk": (
        (call(fragment(0, '{"a":1}', "1", "f"), fragment(1, '{"b":2}', "2", "g")), chunk(finish="tool_calls")),
        [START, *TWO, CALLED],
    ),
    "two calls with one index": (
        (call(fragment(0, '{"a":1}', "1", "f")), call(fragment(0, '{"b":2}', "2", "g")), chunk(finish="tool_calls")),
        [START, *TWO, CALLED],
    ),
    "two calls without an index": (
        (
            call(fragment(None, '{"a"', "1", "f")),
            call(fragment(None, ":1}")),
            call(fragment(None, '{"b":2}', "2", "g")),
            chunk(finish="tool_calls"),
        ),
        [START, *TWO, CALLED],
    ),
    "two calls woven together": (
        (
            call(fragment(0, "", "1", "f"), fragment(1, "", "2", "g")),
            call(fragment(1, '{"b"')),
            call(fragment(0, '{"a":')),
            call(fragment(1, ":2}"), fragment(0, "1}")),
            chunk(finish="tool_calls"),
        ),
        [START, *TWO, CALLED],
    ),
    "an index that begins at 1": (
        (call(fragment(1, '{"a":1}', "1", "f")), chunk(finish="tool_calls")),
        [START, *ONE, CALLED],
    ),
    "id and name again in every fragment": (
        (call(fragment(0, '{"a"', "1", "f")), call(fragment(0, ":1}", "1", "f")), chunk(finish="tool_calls")),
        [START, *ONE, CALLED],
    ),
    "an empty id in later fragments": (
        (call(fragment(0, '{"a"', "1", "f")), call(fragment(0, ":1}", "", "")), chunk(finish="tool_calls")),
        [START, *ONE, CALLED],
    ),
    "arguments that are an object": (
        (call({"index": 0, "id": "1", "function": {"name": "f", "arguments": {"a": 1}}}), chunk(finish="tool_calls")),
        [START, *ONE, CALLED],
    ),
    "no arguments": ((call(F1), chunk(finish="tool_calls")), [START, ToolStart(0, "1", "f"), ToolEnd(0), CALLED]),
    "text before and after a call": (
        (
            chunk({"content": "a"}),
            call(fragment(0, '{"a":1}', "1", "f")),
            chunk({"content": "b"}),
            chunk(finish="stop"),
        ),
        [START, TextDelta("a"), *ONE, TextDelta("b"), CALLED],
    ),
    "text inside a call waits behind it": (
        (
            call(fragment(0, '{"a"', "1", "f")),
            chunk({"content": "b"}),
            call(fragment(0, ":1}")),
            chunk(finish="tool_calls"),
        ),
        [START, *ONE, TextDelta("b"), CALLED],
    ),
}


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_alike_however_it_is_cut(stream: tuple[bytes, ...], expected: list[Event]) -> None:
    for chunks in cuts(b"".join(stream), seeds=5):
        assert told(read(chunks)) == expected


def test_a_call_waits_no_longer_than_for_the_one_before_it() -> None:
    parser = OPENAI.parse_stream()
    both = call(fragment(0, "", "1", "f"), fragment(1, '{"b":2}', "2", "g"))
    assert told(list(parser.feed(both))) == [START, ToolStart(0, "1", "f")]
    assert told(list(parser.feed(call(fragment(0, '{"a":1}')))))[1:] == TWO[2:5]


def test_text_does_not_wait_behind_a_whole_call() -> None:
    parser = OPENAI.parse_stream()
    found = parser.feed(call(fragment(0, '{"a":1}', "1", "f")) + chunk({"content": "a"}))
    assert told(list(found)) == [START, *ONE, TextDelta("a")]


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    entries = call(fragment(0, '{"a":1}', None, "f")), call(fragment(0, '{"a":1}', None, "f"))
    starts = [event for event in read([*entries, chunk(finish="tool_calls")]) if isinstance(event, ToolStart)]
    assert len({start.id for start in starts}) == 2
    assert [start.index for start in starts] == [0, 1]


def test_the_oldest_call_is_a_call() -> None:
    stream = [
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"a":1}'}}),
    ]
    found = read([*stream, chunk(finish="function_call")])
    assert [type(event) for event in found] == [Start, ToolStart, ToolDelta, ToolEnd, Finish]
    assert found[-1] == CALLED


# --- errors --------------------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[tuple[bytes, ...], bool, int, str]] = {
    "OpenAI's": (
        (*TEXT, sent({"error": {"message": "boom", "type": "server_error", "code": None}})),
        True,
        500,
        "boom",
    ),
    "with a numeric code": ((sent({"error": {"message": "slow down", "code": 429}}),), True, 429, "slow down"),
    "beside choices (OpenRouter)": (
        (*TEXT, chunk(finish="error", error={"message": "x", "code": 502})),
        True,
        502,
        "x",
    ),
    "a string": ((sent({"error": "out of memory"}),), True, 502, "out of memory"),
    "FastAPI's": ((sent({"detail": "no such thing"}),), True, 502, "no such thing"),
    "vLLM's": ((sent({"object": "error", "message": "too long", "code": 400}),), True, 400, "too long"),
    "a bare object instead of a stream": ((b'{"error":{"message":"no","code":"model_not_found"}}',), True, 404, "no"),
    "no JSON": ((*TEXT, b"data: <html>\n\n"), True, 502, "no chunk"),
    "nothing at all": ((), True, 502, "ended its answer before"),
    "text without an end": (TEXT, True, 502, "ended its answer before"),
    "[DONE] without a finish": ((*TEXT, DONE), True, 502, "ended its answer before"),
    "a broken connection": (TEXT, False, 502, "closed the connection before"),
}


@pytest.mark.parametrize(("stream", "clean", "status", "words"), ERRORS.values(), ids=ERRORS)
def test_a_broken_stream_ends_in_an_error(stream: tuple[bytes, ...], clean: bool, status: int, words: str) -> None:
    for chunks in cuts(b"".join(stream), seeds=3):
        *_, last = read(chunks, clean)
        assert isinstance(last, StreamError)
        assert last.error.status == status
        assert words in last.error.message


def test_a_broken_connection_after_the_finish_is_a_good_end() -> None:
    assert told(read([*TEXT, chunk(finish="stop")], clean=False)) == [*HELLO, STOP]


def test_nothing_follows_the_last_event() -> None:
    parser = OPENAI.parse_stream()
    parser.feed(b"".join((*TEXT, chunk(finish="stop"), DONE)))
    assert list(parser.feed(b"".join((*TEXT, DONE)))) == []
    assert list(parser.eof(True)) == []


# --- written -------------------------------------------------------------------------------------------------


def write(events: list[Event], include_usage: bool = False, **fields: Any) -> bytes:
    reply = Reply("chatcmpl-1", "asked", 1_760_000_000, include_usage=include_usage, **fields)
    return OPENAI.render_stream(reply).render(events)


def test_the_role_comes_with_the_first_content() -> None:
    reply = Reply("chatcmpl-1", "asked", 1)
    renderer = OPENAI.render_stream(reply)
    assert renderer.render([Start("msg_1", "claude")]) == b""
    first, second = (json.loads(line[6:]) for line in renderer.render([TextDelta("a")]).strip().split(b"\n\n"))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert second["choices"][0] == {"index": 0, "delta": {"content": "a"}, "logprobs": None, "finish_reason": None}
    assert (second["id"], second["model"]) == ("chatcmpl-1", "claude")


def test_content_is_null_where_a_call_comes_first() -> None:
    first, *_ = write([START, *ONE]).split(b"\n\n")
    assert json.loads(first[6:])["choices"][0]["delta"] == {"role": "assistant", "content": None}


def test_the_model_is_the_callers_name_where_the_upstream_names_none() -> None:
    assert b'"model":"asked"' in write([Start("", ""), STOP])


def test_usage_comes_last_and_only_when_asked_for() -> None:
    finish = Finish("stop", Usage(30, 7, 64, 6, 3))
    assert grammar.openai(write([START, finish]))["usage"] is None
    assert grammar.openai(write([START, finish], include_usage=True), include_usage=True)["usage"] == USAGE


def test_a_signature_comes_with_the_whole_thought() -> None:
    events = [START, ReasoningDelta("a"), ReasoningDelta("b"), ReasoningEnd("s"), ReasoningEnd(redacted="d")]
    found = grammar.openai(write([*events, ReasoningDelta("c"), ReasoningEnd("z"), STOP]))
    assert found["reasoning"] == "abc"
    assert found["reasoning_details"] == [
        {"type": "reasoning.text", "text": "ab", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "c", "signature": "z", "format": "anthropic-claude-v1", "index": 2},
    ]


def test_an_unsigned_thought_has_no_details() -> None:
    assert b"reasoning_details" not in write([START, ReasoningDelta("a"), ReasoningEnd(), STOP])


def test_short_names_are_turned_back() -> None:
    found = grammar.openai(write([START, *ONE, CALLED], tool_names={"f": "a.very.long.name"}))
    assert found["tool_calls"] == [{"id": "1", "name": "a.very.long.name", "arguments": '{"a":1}'}]


def test_an_error_in_a_stream_has_all_four_keys() -> None:
    error = OPENAI.render_stream_error(GatewayError("boom", status=502), "req_1")
    found = grammar.openai(write([START, TextDelta("a")]) + error)
    assert found["error"] == {"message": "boom", "type": "server_error", "param": None, "code": None}


WORDS = st.text(min_size=1, max_size=5)
THOUGHT = st.builds(
    lambda words, end: [*map(ReasoningDelta, words), *end],
    st.lists(WORDS, min_size=1, max_size=3),
    st.sampled_from([[], [ReasoningEnd("s")], [ReasoningEnd()], [ReasoningEnd(redacted="d")]]),
)
PIECES = st.one_of(WORDS.map(lambda word: [TextDelta(word)]), THOUGHT, st.lists(st.just("{}"), max_size=2))


@given(st.lists(PIECES, max_size=6), st.sampled_from(["stop", "length", "tool_calls"]), st.booleans())
def test_whatever_happens_the_stream_is_well_formed(pieces: list[Any], reason: Any, usage: bool) -> None:
    events: list[Event] = [START]
    calls = 0
    for piece in pieces:
        if all(isinstance(entry, str) for entry in piece):
            fragments = [ToolDelta(calls, entry) for entry in piece]
            events += [ToolStart(calls, f"call_{calls}", "f"), *fragments, ToolEnd(calls)]
            calls += 1
        else:
            events += piece
    events.append(Finish(reason, Usage(1, 2)))
    found = grammar.openai(write(events, include_usage=usage), include_usage=usage)
    assert found["text"] == "".join(event.text for event in events if isinstance(event, TextDelta))
    assert found["reasoning"] == "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert len(found["tool_calls"]) == calls
    assert (found["usage"] is not None) == usage
