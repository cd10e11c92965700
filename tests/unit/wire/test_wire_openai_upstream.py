"""The neutral form written as requests of Chat Completions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import (
    Document,
    Image,
    JsonFormat,
    Message,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from lmgw.wire.openai import OPENAI

HELLO = (Message("user", (Text("Hello"),)),)
TARGET = Target("gpt", Capabilities(reasoning=True))
F, G = Tool("f"), Tool("g")
EMPTY = {"type": "object", "properties": {}}
CLOSED = {"type": "object", "properties": {"a": EMPTY | {"additionalProperties": False}}, "required": ["a"]}
CLOSED["additionalProperties"] = False


def rendered(target: Target = TARGET, **fields: Any) -> Rendered:
    return OPENAI.render_request(Request("asked", fields.pop("messages", HELLO), **fields), target)


def body(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rendered(target, **fields).body)
    return found


def messages(*turns: Message, target: Target = TARGET) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(target, messages=turns)["messages"]
    return found


# --- fields --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        (HELLO, True),
        ((Message("system", (Text("Be kind."),)), *HELLO), True),
        ((Message("user", (Text("As Json, please."),)),), False),
        ((Message("system", (Text("JSON only."),)), *HELLO), False),
    ],
)
def test_a_model_that_must_answer_in_json_is_told_so_unless_the_caller_does(
    turns: tuple[Message, ...], told: bool
) -> None:
    found = body(messages=turns, format=JsonFormat())
    assert found["response_format"] == {"type": "json_object"}
    first, plain = found["messages"][0], messages(*turns)
    assert ("JSON object" in first["content"]) is told
    assert found["messages"][-1:] == plain[-1:]
    assert [turn["role"] for turn in found["messages"]].count("system") <= 1


def test_nothing_is_sent_that_was_not_said() -> None:
    assert body() == {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sampling": (
        {"temperature": 0.5, "top_p": 0.9, "seed": 3, "frequency_penalty": 1, "presence_penalty": -1},
        {"temperature": 0.5, "top_p": 0.9, "seed": 3, "frequency_penalty": 1, "presence_penalty": -1},
    ),
    "a temperature that is too high": ({"temperature": 5}, {"temperature": 2}),
    "a limit": ({"max_tokens": 7}, {"max_tokens": 7}),
    "one stop is a list": ({"stop": ("A",)}, {"stop": ["A"]}),
    "a short user": ({"user": "u" * 64}, {"user": "u" * 64}),
    "a stream asks for usage": ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    "several answers": ({"n": 2}, {"n": 2}),
    "a bare function": (
        {"tools": (F,)},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": EMPTY}}]},
    ),
    "a schema without a name": (
        {"format": JsonFormat(EMPTY)},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": EMPTY}}},
    ),
    "a schema that can be strict": (
        {"format": JsonFormat(CLOSED, "n")},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": CLOSED, "strict": True}}},
    ),
    "a schema whose strictness was said": (
        {"format": JsonFormat(CLOSED, "n", False)},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": CLOSED, "strict": False}}},
    ),
}


@pytest.mark.parametrize(("fields", "expected"), FIELDS.values(), ids=FIELDS)
def test_a_field_is_written(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = body(**fields)
    del found["model"], found["messages"]
    assert found == expected


def test_the_limit_goes_under_the_name_that_the_backend_takes() -> None:
    target = replace(TARGET, max_tokens_field="max_completion_tokens")
    found = body(target, max_tokens=7)
    assert (found["max_completion_tokens"], "max_tokens" in found) == (7, False)


def test_a_backend_that_knows_no_usage_is_not_asked_for_it() -> None:
    assert "stream_options" not in body(replace(TARGET, stream_usage=False), stream=True)


def test_a_long_user_is_hashed() -> None:
    found = body(user="u" * 65)["user"]
    assert len(found) == 64
    assert found == body(user="u" * 65)["user"] != body(user="v" * 65)["user"]


LOST: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "top_k": ({"top_k": 5}, ("top_k",)),
    "a fifth stop": ({"stop": tuple("ABCDE")}, ("stop",)),
    "options of Ollama": ({"options": {"num_ctx": 8192, "mirostat": 1}}, ("options.num_ctx", "options.mirostat")),
    "what the caller's dialect could not say": ({"dropped": ("container",)}, ("container",)),
}


@pytest.mark.parametrize(("fields", "lost"), LOST.values(), ids=LOST)
def test_what_is_lost_is_named(fields: dict[str, Any], lost: tuple[str, ...]) -> None:
    assert rendered(**fields).lossy == lost


def test_only_four_stops_are_sent() -> None:
    assert body(stop=tuple("ABCDE"))["stop"] == ["A", "B", "C", "D"]


def test_a_model_that_takes_no_sampling_gets_none() -> None:
    target = Target("o", Capabilities(sampling=False))
    found = rendered(target, temperature=0.5, top_p=1, presence_penalty=1, seed=4)
    assert json.loads(found.body).keys() == {"model", "messages", "seed"}
    assert found.lossy == ("temperature", "top_p", "presence_penalty")


EFFORTS: dict[str, tuple[Reasoning, tuple[str, ...], str]] = {
    "a word": (Reasoning(effort="xhigh"), (), "xhigh"),
    "off": (Reasoning(enabled=False), (), "none"),
    "on": (Reasoning(), (), "medium"),
    "adaptive": (Reasoning(adaptive=True), (), "high"),
    "a small budget": (Reasoning(budget_tokens=4095), (), "low"),
    "a middling budget": (Reasoning(budget_tokens=4096), (), "medium"),
    "a large budget": (Reasoning(budget_tokens=16384), (), "high"),
    "a word that the model does not know": (Reasoning(effort="max"), ("low", "medium", "high"), "high"),
    "the least of what it knows": (Reasoning(effort="minimal"), ("none", "low", "high"), "low"),
    "one that cannot be off": (Reasoning(enabled=False), ("low", "high"), "low"),
}


@pytest.mark.parametrize(("reasoning", "known", "word"), EFFORTS.values(), ids=EFFORTS)
def test_reasoning_is_an_effort(reasoning: Reasoning, known: tuple[str, ...], word: str) -> None:
    target = Target("gpt", Capabilities(reasoning=True, efforts=known))
    assert body(target, reasoning=reasoning)["reasoning_effort"] == word


def test_a_model_that_does_not_reason_is_not_told_to() -> None:
    target = Target("gpt", Capabilities(reasoning=False))
    on, off = (rendered(target, reasoning=Reasoning(enabled=on)) for on in (True, False))
    assert b"reasoning_effort" not in on.body + off.body
    assert (on.lossy, off.lossy) == (("reasoning",), ())


def test_the_tiers_thinking_counts_where_the_request_says_nothing() -> None:
    assert body(replace(TARGET, think=True))["reasoning_effort"] == "medium"
    assert body(replace(TARGET, think=False))["reasoning_effort"] == "none"
    assert body(replace(TARGET, think=False), reasoning=Reasoning(effort="low"))["reasoning_effort"] == "low"


# --- tools ---------------------------------------------------------------------------------------------------

CHOICES: dict[str, tuple[ToolChoice, list[str], Any]] = {
    "auto": (ToolChoice("auto"), ["f", "g"], "auto"),
    "none": (ToolChoice("none"), ["f", "g"], "none"),
    "required": (ToolChoice("required"), ["f", "g"], "required"),
    "named": (ToolChoice("named", ("g",)), ["f", "g"], {"type": "function", "function": {"name": "g"}}),
    "some of them": (ToolChoice("required", ("g",)), ["g"], "required"),
}


@pytest.mark.parametrize(("choice", "tools", "expected"), CHOICES.values(), ids=CHOICES)
def test_a_choice_is_written(choice: ToolChoice, tools: list[str], expected: Any) -> None:
    found = body(tools=(F, G), tool_choice=choice)
    assert [tool["function"]["name"] for tool in found["tools"]] == tools
    assert found["tool_choice"] == expected


def test_without_tools_there_is_no_choice_among_them() -> None:
    assert body(tool_choice=ToolChoice("none"), parallel_tools=False).keys() == {"model", "messages"}


def test_a_name_that_the_api_refuses_gets_a_short_form_everywhere() -> None:
    long = "mcp__a.server__" + "x" * 60
    call = Message("assistant", (ToolCall("1", long, ""),))
    found = rendered(tools=(Tool(long),), tool_choice=ToolChoice("named", (long,)), messages=(*HELLO, call))
    sent = json.loads(found.body)
    short = sent["tools"][0]["function"]["name"]
    assert len(short) <= 64
    assert found.tool_names == {short: long}
    assert sent["tool_choice"]["function"]["name"] == short
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == short


# --- messages ------------------------------------------------------------------------------------------------


def test_a_turn_of_text_is_a_string() -> None:
    found = messages(Message("user", (Text("a"), Text("b"))), Message("assistant", (Text("c"), Text("d"))))
    assert [message["content"] for message in found] == ["a\n\nb", "cd"]


def test_images_and_documents_make_parts() -> None:
    parts = (
        Text("a"),
        Image("image/png", "AAAA", detail="low"),
        Image(url="https://x.test/y"),
        Document(data="BBBB", title="f.pdf"),
        Document("text/plain", text="words", title="t"),
    )
    (message,) = messages(Message("user", parts))
    assert message["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/y"}},
        {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
        {"type": "text", "text": "t\n\nwords"},
    ]


def test_a_document_that_is_only_an_address_is_refused() -> None:
    with pytest.raises(BadRequest, match="not by URL"):
        messages(Message("user", (Document(url="https://x.test/y.pdf"),)))


def test_a_model_without_eyes_refuses_images() -> None:
    with pytest.raises(BadRequest, match="no images"):
        messages(Message("user", (Image(url="https://x"),)), target=Target("m", Capabilities(vision=False)))


def test_results_follow_their_calls_and_the_users_words_follow_them() -> None:
    found = messages(
        Message("assistant", (Thinking("t", "s"), Text("a"), ToolCall("1", "f", '{"x":1}'), ToolCall("2", "g", ""))),
        Message("user", (Text("b"), ToolResult("1", (Text("r"), Image("image/png", "AAAA"))), ToolResult("2", ()))),
    )
    assert found == [
        {
            "role": "assistant",
            "content": "a",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "tool", "tool_call_id": "2", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": "b"},
            ],
        },
    ]


def test_calls_alone_have_no_content() -> None:
    (message,) = messages(Message("assistant", (ToolCall("1", "f", ""),)))
    assert message["content"] is None


def test_ids_that_are_too_long_are_hashed_alike_on_both_sides() -> None:
    id = "toolu_" + "x" * 60
    called, answered = messages(Message("assistant", (ToolCall(id, "f", ""),)), Message("user", (ToolResult(id, ()),)))
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"]
    assert len(answered["tool_call_id"]) <= 40


def test_earlier_reasoning_is_sent_only_to_backends_that_want_it() -> None:
    turns = (
        Message("assistant", (Thinking("t"), Text("a"))),
        Message("assistant", (ToolCall("1", "f", ""),)),
        Message("assistant", (Text("b"),)),
    )
    assert not any("reasoning_content" in message for message in messages(*turns))
    found = messages(*turns, target=replace(TARGET, echo_reasoning=True))
    assert [message.get("reasoning_content") for message in found] == ["t", "", None]


def test_the_profiles_prompt_stands_in_front() -> None:
    target = replace(TARGET, system="P")
    assert messages(*HELLO, target=target)[0] == {"role": "system", "content": "P"}
    found = messages(Message("system", (Text("S"),)), *HELLO, target=target)
    assert [message["content"] for message in found] == ["P\n\nS", "Hello"]


# --- there and back ------------------------------------------------------------------------------------------

WORDS = st.text(min_size=1, max_size=8)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
SCHEMAS = st.just({"type": "object", "properties": {"a": {"type": "string"}}})
PARTS = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Image, st.sampled_from(["image/png", "image/jpeg"]), st.just("AAAA"), detail=st.none() | st.just("low")),
    st.builds(Image, url=st.just("https://x.test/y.png")),
    st.builds(Document, data=st.just("BBBB"), title=st.just("f.pdf")),
)
CALLS = st.lists(st.builds(ToolCall, NAMES, NAMES, st.just('{"a": 1}')), max_size=3, unique_by=lambda call: call.id)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    turns = [Message("system", (Text(draw(WORDS)),))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Message("user", tuple(draw(st.lists(PARTS, min_size=1, max_size=3)))))
        text, calls = draw(st.lists(st.builds(Text, WORDS), max_size=1)), draw(CALLS)
        if text or calls:
            turns.append(Message("assistant", (*text, *calls)))
        if calls:
            turns.append(Message("user", tuple(ToolResult(call.id, (Text(draw(WORDS)),)) for call in calls)))
    return tuple(turns)


TOOLS = st.builds(Tool, NAMES, st.none() | WORDS, SCHEMAS, st.none() | st.booleans())
REQUESTS = st.builds(
    Request,
    st.just("gpt"),
    conversations(),
    tools=st.lists(st.builds(Tool, NAMES, st.none() | WORDS, SCHEMAS, st.none() | st.booleans()), max_size=3).map(
        tuple
    ),
    tool_choice=st.none() | st.builds(ToolChoice, st.sampled_from(["none", "auto", "required"])),
    parallel_tools=st.none() | st.booleans(),
    max_tokens=st.none() | st.integers(1, 9999),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    seed=st.none() | st.integers(0, 99),
    frequency_penalty=st.none() | st.floats(-2, 2),
    presence_penalty=st.none() | st.floats(-2, 2),
    stop=st.lists(WORDS, max_size=4).map(tuple),
    user=st.none() | NAMES,
    format=st.none() | st.builds(JsonFormat, SCHEMAS, NAMES, st.booleans()),
    reasoning=st.sampled_from([None, Reasoning(effort="low"), Reasoning(enabled=False, effort="none")]),
    n=st.integers(1, 3),
)


def joined(turns: tuple[Message, ...]) -> list[Any]:
    """The turns with neighbouring texts in one: their borders mean nothing."""
    found: list[Any] = []
    for turn in turns:
        parts: list[Any] = []
        for part in turn.parts:
            if isinstance(part, Text) and parts and isinstance(parts[-1], Text):
                joint = "\n\n" if all(isinstance(other, Text) for other in turn.parts) else None
                if joint is not None:
                    part = Text(f"{parts.pop().text}{joint}{part.text}")
            parts.append(part)
        found.append((turn.role, parts))
    return found


@given(REQUESTS)
def test_a_request_comes_back_as_it_was(request: Request) -> None:
    back = OPENAI.parse_request(json.loads(OPENAI.render_request(request, TARGET).body))
    assert joined(back.messages) == joined(request.messages)
    for name in Request.__struct_fields__:
        if name in ("messages", "tool_choice", "parallel_tools") or (name == "tools" and not request.tools):
            continue
        assert getattr(back, name) == getattr(request, name), name
    if request.tools:
        assert (back.tool_choice, back.parallel_tools) == (request.tool_choice, request.parallel_tools)
