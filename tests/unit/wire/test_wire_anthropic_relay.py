"""Pass-through of Anthropic's Messages API: what is changed on the way, and what is known of an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cuts import cuts

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.anthropic import ANTHROPIC
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.events import Usage
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Relay

REPLY = Reply("id", "asked", 1)
TARGET = Target("upstream", Capabilities(thinking="adaptive", efforts=("low", "medium", "high")))
BUDGET = Target("upstream", Capabilities(thinking="budget"))
USER = {"role": "user", "content": "x"}
OURS = {"type": "thinking", "thinking": "T", "signature": "lmgw:unsigned"}
THEIRS = {"type": "thinking", "thinking": "T", "signature": "SIG=="}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


def edited(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    body = {"model": "asked", "max_tokens": 20000, "messages": [USER]} | fields
    found: dict[str, Any] = json.loads(ANTHROPIC.edit_request(Body(json.dumps(body).encode()), target).body)
    return found


# --- requests ------------------------------------------------------------------------------------------------


def test_every_byte_but_the_models_name_is_kept() -> None:
    raw = (
        b'{ "max_tokens" :1e3,"model": "asked", "x_new": {"b":1.0,"a":[ ]}, "messages":[{"role":"user",\n'
        b'"content":[{"type":"hologram","cache_control":{"type":"ephemeral"},"signature":"\\u00e4"}]}] }'
    )
    request = ANTHROPIC.edit_request(Body(raw), TARGET)
    assert request.body == raw.replace(b'"asked"', b'"upstream"')
    assert request.path == "/messages"
    assert request.headers == ((b"anthropic-version", b"2023-06-01"),)


def test_a_count_goes_to_its_own_route() -> None:
    request = ANTHROPIC.edit_count_tokens(Body(b'{"model":"asked","messages":[]}'), TARGET)
    assert (request.path, request.body) == ("/messages/count_tokens", b'{"model":"upstream","messages":[]}')


BLOCK = {"type": "text", "text": "Own.", "cache_control": {"type": "ephemeral"}}
SYSTEMS: dict[str, tuple[Any, Any]] = {
    "none": (None, "P."),
    "a string": ("Own.", "P.\n\nOwn."),
    "blocks": ([BLOCK], [{"type": "text", "text": "P.\n\n"}, BLOCK]),
}


@pytest.mark.parametrize(("own", "expected"), SYSTEMS.values(), ids=SYSTEMS)
def test_the_profiles_prompt_comes_first(own: Any, expected: Any) -> None:
    assert edited(replace(TARGET, system="P."), system=own)["system"] == expected


def test_system_text_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(BadRequest, match="system must be a string or an array"):
        edited(replace(TARGET, system="P."), system=5)


ON, OFF = replace(TARGET, think=True), replace(TARGET, think=False)
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
ENABLED = {"type": "enabled", "budget_tokens": 8192}
#: What the caller says, the tier, and what is sent of thinking and output_config.
SWITCHES: dict[str, tuple[dict[str, Any], Target, Any, Any]] = {
    "on": ({}, ON, ADAPTIVE, {"effort": "medium"}),
    "off": ({}, OFF, {"type": "disabled"}, None),
    "no switch": ({}, TARGET, None, None),
    "the caller says": ({"thinking": {"type": "disabled"}}, ON, {"type": "disabled"}, None),
    "the caller says how hard": ({"output_config": {"effort": "low"}}, OFF, None, {"effort": "low"}),
    "beside a format": ({"output_config": {"format": {}}}, ON, ADAPTIVE, {"format": {}, "effort": "medium"}),
    "a budget": ({}, replace(BUDGET, think=True), ENABLED, None),
    "a budget with tools": ({"tools": []}, replace(BUDGET, think=True), None, None),
    "no budget": ({}, replace(BUDGET, think=False), None, None),
    "sampling": ({"temperature": 0.5}, ON, None, None),
    "a forced call": ({"tool_choice": {"type": "any"}}, ON, None, None),
    "a free choice": ({"tool_choice": {"type": "auto"}}, ON, ADAPTIVE, {"effort": "medium"}),
}


@pytest.mark.parametrize(("fields", "target", "thinking", "config"), SWITCHES.values(), ids=SWITCHES)
def test_a_tiers_switch_counts_where_the_caller_says_nothing(
    fields: dict[str, Any], target: Target, thinking: Any, config: Any
) -> None:
    found = edited(target, **fields)
    assert (found.get("thinking"), found.get("output_config")) == (thinking, config)


def test_thinking_that_the_gateway_signed_is_taken_out_and_nothing_else() -> None:
    text = {"type": "text", "text": "a lmgw:unsigned b"}
    messages = [
        USER,
        {"role": "assistant", "content": [OURS, THEIRS, text]},
        {"role": "user", "content": "lmgw:unsigned"},
        {"role": "assistant", "content": [OURS]},
        USER,
    ]
    assert edited(messages=messages)["messages"] == [
        USER,
        {"role": "assistant", "content": [THEIRS, text]},
        {"role": "user", "content": "lmgw:unsigned"},
        USER,
    ]


RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4 C"}]}
HISTORIES: dict[str, tuple[list[Any], Target, Any]] = {
    "calls alone": ([OURS, CALL], BUDGET, {"type": "disabled"}),
    "calls after their own thinking": ([OURS, THEIRS, CALL], BUDGET, ENABLED),
    "calls alone, of a model that does not mind": ([OURS, CALL], TARGET, ENABLED),
    "no calls": ([OURS, {"type": "text", "text": "a"}], BUDGET, ENABLED),
}


@pytest.mark.parametrize(("blocks", "target", "thinking"), HISTORIES.values(), ids=HISTORIES)
def test_a_model_with_a_budget_does_not_think_on_from_what_was_taken_out(
    blocks: list[Any], target: Target, thinking: Any
) -> None:
    messages = [USER, {"role": "assistant", "content": blocks}, RESULT]
    assert edited(target, thinking=ENABLED, messages=messages)["thinking"] == thinking


def test_messages_that_cannot_be_read_for_it_are_refused() -> None:
    with pytest.raises(BadRequest, match="messages must be an array of objects"):
        edited(messages=[5, "lmgw:unsigned"])


# --- streams -------------------------------------------------------------------------------------------------


def frame(**event: Any) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def delta(index: int, **fields: Any) -> bytes:
    return frame(type="content_block_delta", index=index, delta=fields)


def begin(index: int, **block: Any) -> bytes:
    return frame(type="content_block_start", index=index, content_block=block)


MESSAGE = {"id": "m", "model": "claude", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}}
START = frame(type="message_start", message=MESSAGE)
STOP = frame(type="message_stop")


def finished(reason: str) -> bytes:
    return frame(type="message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 9})


def relay() -> Relay:
    return ANTHROPIC.relay(Body(b"{}"), TARGET, lambda: REPLY)


def passed(*frames: bytes) -> tuple[bytes, Progress]:
    stream = relay()
    out = stream.feed(b"".join(frames))
    return out + stream.eof(True), stream.progress


def test_a_stream_passes_byte_for_byte_however_it_is_cut() -> None:
    thinking = begin(0, type="thinking", thinking="", signature="")
    thought = delta(0, type="thinking_delta", thinking="T") + delta(0, type="signature_delta", signature="SIG==")
    text = delta(1, type="text_delta", text="ä")
    whole = START + frame(type="ping") + thinking + thought + frame(type="content_block_stop", index=0)
    whole += frame(type="weather", delta="warm") + text + finished("end_turn") + STOP
    for chunks in cuts(whole, seeds=5):
        stream = relay()
        assert b"".join(map(stream.feed, chunks)) + stream.eof(True) == whole
        expected = Progress(True, "ä", True, False, "stop", Usage(10, 9), None, "claude", 2)
        assert stream.progress == expected


def test_a_start_is_not_content() -> None:
    stream = relay()
    stream.feed(START + begin(0, type="text", text="") + frame(type="ping"))
    stream.feed(delta(0, type="text_delta", text="") + delta(0, type="input_json_delta", partial_json=""))
    assert not stream.progress.content


CONTENT: dict[str, tuple[bytes, dict[str, Any]]] = {
    "text": (delta(0, type="text_delta", text="a"), {"text": "a", "chars": 1}),
    "thinking": (delta(0, type="thinking_delta", thinking="T"), {"reasoning": True, "chars": 1}),
    "a signature alone": (delta(0, type="signature_delta", signature="S"), {"reasoning": True, "chars": 0}),
    "a call": (begin(0, type="tool_use", id="t", name="f", input={}), {"tool_call": True}),
    "arguments": (delta(0, type="input_json_delta", partial_json="{}"), {"chars": 2}),
    "redacted thinking": (begin(0, type="redacted_thinking", data="D"), {"reasoning": True}),
    "a tool that runs there": (begin(0, type="server_tool_use", id="s", name="w"), {"tool_call": False}),
}


@pytest.mark.parametrize(("frames", "known"), CONTENT.values(), ids=CONTENT)
def test_content_is_noticed(frames: bytes, known: dict[str, Any]) -> None:
    stream = relay()
    assert stream.feed(START + frames) == START + frames
    assert stream.progress.content
    assert {key: getattr(stream.progress, key) for key in known} == known


def test_a_call_is_why_it_ended() -> None:
    _, progress = passed(START, begin(0, type="tool_use", id="t", name="f"), finished("end_turn"), STOP)
    assert progress.finish == "tool_calls"


def test_an_error_is_kept_from_the_caller() -> None:
    said = delta(0, type="text_delta", text="Par")
    error = frame(type="error", error={"type": "overloaded_error", "message": "Overloaded"})
    out, progress = passed(START, said, error, STOP)
    assert out == START + said
    assert progress.error is not None
    assert (progress.error.status, progress.error.message) == (529, "Overloaded")


def test_a_missing_end_is_added_once_the_reason_is_known() -> None:
    out, progress = passed(START, finished("end_turn"))
    assert out == START + finished("end_turn") + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert progress.error is None


def test_a_stream_that_breaks_off_is_an_error() -> None:
    out, progress = passed(START, delta(0, type="text_delta", text="Par"))
    assert b"message_stop" not in out
    assert progress.error is not None


def test_what_cannot_be_understood_passes() -> None:
    odd = b": comment\n\nevent: x\ndata: oops\n\ndata: [DONE]\n\n"
    out, progress = passed(START, odd, finished("end_turn"), STOP)
    assert out == START + odd + finished("end_turn") + STOP
    assert progress.error is None


# --- whole answers -------------------------------------------------------------------------------------------


def answered(**fields: Any) -> tuple[bytes, bytes, Progress]:
    raw = json.dumps(MESSAGE | {"stop_reason": "end_turn"} | fields).encode()
    return raw, *ANTHROPIC.relay_answer(Body(b"{}"), TARGET, lambda: REPLY, raw)


def test_an_answer_passes_byte_for_byte() -> None:
    text = {"type": "text", "text": "Hi."}
    raw, out, progress = answered(content=[THEIRS, text, CALL | {"input": {"a": 1}}], x_new=1)
    assert out == raw
    assert progress == Progress(True, "Hi.", True, True, "tool_calls", Usage(10, 1), None, "claude", 12)


def test_an_error_inside_of_an_answer_is_none() -> None:
    out, progress = ANTHROPIC.relay_answer(
        Body(b"{}"), TARGET, lambda: REPLY, b'{"type":"error","error":{"message":"boom"}}'
    )
    assert out == b""
    assert progress.error is not None
    assert progress.error.message == "boom"
