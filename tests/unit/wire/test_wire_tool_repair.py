"""Text that is nothing but calls of offered tools becomes those calls; all other text stays text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.events import (
    Answer,
    Event,
    Finish,
    ReasoningDelta,
    Start,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolDelta,
    ToolEnd,
    ToolStart,
)
from lmgw.wire.relay import cut_short
from lmgw.wire.tool_repair import MAX_HELD, CallText, ToolRepair
from lmgw.wire.translate import Translation, translation

NAMES = ("turn_on", "turn", "get-weather.v2")


def calls(text: str, size: int) -> list[tuple[str, Any]]:
    held = CallText(NAMES, "seed")
    for at in range(0, len(text), size):
        held.push(text[at : at + size])
    return [(call.name, msgspec.json.decode(call.arguments)) for call in held.calls()]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn_on()", [("turn_on", {})]),
        ('turn_on(name="Lamp")', [("turn_on", {"name": "Lamp"})]),
        ("turn(name='Lamp')", [("turn", {"name": "Lamp"})]),
        ('\n turn_on ( name = "Lamp" , level = 3 , )\n', [("turn_on", {"name": "Lamp", "level": 3})]),
        ("get-weather.v2(city='Oslo')", [("get-weather.v2", {"city": "Oslo"})]),
        ('turn_on(a="x(\\")", b=\'it\\\'s "so"\')', [("turn_on", {"a": 'x(")', "b": 'it\'s "so"'})]),
        ('turn_on(a="two\nlines")', [("turn_on", {"a": "two\nlines"})]),
        (
            "turn_on(a=-1.5, b=True, c=false, d=None, e=null)",
            [("turn_on", {"a": -1.5, "b": True, "c": False, "d": None, "e": None})],
        ),
        ('turn_on(a=[1, "]"], b={"c": {"d": "}"}})', [("turn_on", {"a": [1, "]"], "b": {"c": {"d": "}"}}})]),
        ("turn_on(a=1)\nturn(b=2), turn_on();", [("turn_on", {"a": 1}), ("turn", {"b": 2}), ("turn_on", {})]),
        ("Turning on. turn_on()", []),
        ("turn_on() done", []),
        ("turn_on() turn_on(a=", []),
        ("turn_on(", []),
        ('turn_on(name="Lamp"', []),
        ('turn_on(name="La', []),
        ("turn_on(Lamp)", []),
        ('turn_on("Lamp")', []),
        ("turn_on(a=b)", []),
        ("turn_on(a=NaN)", []),
        ('turn_on(a="\\ud800")', []),
        ("turn_on(a=[1,])", []),
        ("turn_on(a=1 b=2)", []),
        ("turn_off()", []),
        ("turn_on", []),
        ("turn", []),
        ("", []),
        (" \n", []),
    ],
)
def test_only_whole_calls_are_calls(text: str, expected: list[tuple[str, Any]], size: int) -> None:
    assert calls(text, size) == expected


@pytest.mark.parametrize("text", ["T", "turne", "turn_on i", "turn_on(x", "turn_on(x)", "turn_on(a=b,"])
def test_text_is_held_no_longer_than_it_may_be_a_call(text: str) -> None:
    held = CallText(NAMES, "seed")
    decided = [held.push(character) for character in text]
    assert decided[-1] is (text == "turn_on(x")
    assert all(decided[:-1])


def test_no_more_is_held_than_the_limit() -> None:
    held = CallText(NAMES, "seed")
    assert held.push('turn_on(a="' + "x" * (MAX_HELD - 11))
    assert not held.push("x")


def test_without_tools_nothing_is_held() -> None:
    assert not CallText((), "seed").open


def test_ids_differ_between_calls_and_between_answers() -> None:
    ids = set()
    for seed in ("one", "two"):
        held = CallText(NAMES, seed)
        held.push("turn_on() turn_on()")
        ids |= {call.id for call in held.calls()}
    assert len(ids) == 4


def repaired(*events: Event, apart: bool = True) -> list[Event]:
    repair = ToolRepair(NAMES, "seed")
    if not apart:
        return repair.events(events)
    return [passed for event in events for passed in repair.events([event])]


@pytest.mark.parametrize("apart", [True, False])
def test_a_streamed_call_is_a_call_at_the_end(apart: bool) -> None:
    found = repaired(
        Start("", "m"), ReasoningDelta("T"), TextDelta("turn_on("), TextDelta("a=1)"), Finish("stop"), apart=apart
    )
    start = found[2]
    assert isinstance(start, ToolStart)
    assert (start.index, start.name) == (0, "turn_on")
    assert found == [
        Start("", "m"),
        ReasoningDelta("T"),
        start,
        ToolDelta(0, '{"a":1}'),
        ToolEnd(0),
        Finish("tool_calls"),
    ]


def test_an_early_end_stays_one() -> None:
    assert repaired(TextDelta("turn_on()"), Finish("length"))[-1] == Finish("length")


def test_text_goes_on_as_soon_as_it_is_none() -> None:
    assert repaired(TextDelta("turn"), TextDelta("ed"), TextDelta("!"), Finish("stop")) == [
        TextDelta("turned"),
        TextDelta("!"),
        Finish("stop"),
    ]


def test_held_text_comes_before_what_ends_the_holding() -> None:
    call = (ToolStart(0, "x", "f"), ToolEnd(0))
    assert repaired(TextDelta("turn"), *call, Finish("tool_calls")) == [
        TextDelta("turn"),
        *call,
        Finish("tool_calls"),
    ]
    error = StreamError(cut_short(True))
    assert repaired(TextDelta("turn"), error) == [TextDelta("turn"), error]
    assert repaired(TextDelta("turn_on("), Finish("stop")) == [TextDelta("turn_on("), Finish("stop")]


def test_a_whole_answer_is_repaired() -> None:
    answer = ToolRepair(NAMES, "seed").answer(Answer("", "m", (Thinking("T"), Text("turn_on(a=1)")), "stop"))
    thinking, call = answer.parts
    assert thinking == Thinking("T")
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments, answer.finish) == ("turn_on", '{"a":1}', "tool_calls")


@pytest.mark.parametrize(
    "answer",
    [
        Answer("", "m", (Text("Hello"),), "stop"),
        Answer("", "m", (), "stop"),
        Answer("", "m", (Text("turn_on()"), ToolCall("x", "f", "{}")), "tool_calls"),
    ],
)
def test_another_answer_stays_as_it_is(answer: Answer) -> None:
    assert ToolRepair(NAMES, "seed").answer(answer) is answer


# --- on the way to a caller of another dialect ---------------------------------------------------------------

LINES = (
    b'{"model":"up","message":{"role":"assistant","content":"turn_on(a="},"done":false}\n',
    b'{"model":"up","message":{"role":"assistant","content":"1)"},"done":false}\n',
    b'{"model":"up","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n',
)
WHOLE = b'{"model":"up","message":{"role":"assistant","content":"turn_on(a=1)"},"done":true,"done_reason":"stop"}'


def translated(repair: bool) -> Translation:
    tools = b'[{"type":"function","function":{"name":"turn_on"}}]'
    body = Body(b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}],"tools":%b}' % tools)
    return translation("openai", "ollama", body, Target("up", repair_tool_calls=repair), lambda: Reply("id", "m", 0))


@pytest.mark.parametrize("repair", [True, False])
def test_a_backend_has_its_text_repaired_only_if_it_says_so(repair: bool) -> None:
    stream = translated(repair).stream()
    data = b"".join(stream.feed(line) for line in LINES) + stream.eof(True)
    whole, progress = translated(repair).answer(WHOLE)
    for answer, known in ((data, stream.progress), (whole, progress)):
        assert (b'"name":"turn_on"' in answer) is repair
        assert known.tool_call is repair
        assert known.finish == ("tool_calls" if repair else "stop")
