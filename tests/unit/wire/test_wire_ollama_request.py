"""What callers of ``/api/chat`` and ``/api/generate`` may send, and what it means."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.dialect import Target
from lmgw.wire.events import (
    Image,
    JsonFormat,
    Message,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from lmgw.wire.ollama import OLLAMA, OLLAMA_GENERATE, is_load_request, untagged
from lmgw.wire.ollama_request import is_unload

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
USER = {"role": "user", "content": "Hi"}


def chat(**fields: Any) -> Request:
    return OLLAMA.parse_request({"model": "m", "messages": [USER], **fields})


def generate(**fields: Any) -> Request:
    return OLLAMA_GENERATE.parse_request({"model": "m", "prompt": "Hi", **fields})


def turns(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return chat(messages=list(messages)).messages


def call(name: str, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": {} if arguments is None else arguments}, **fields}


@pytest.mark.parametrize("parse", [chat, generate])
@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({}, "stream", True),
        ({"stream": None}, "stream", True),
        ({"stream": False}, "stream", False),
        ({"model": "m:latest"}, "model", "m"),
        ({"model": "m:8b"}, "model", "m:8b"),
        ({"options": {"num_predict": 30}}, "max_tokens", 30),
        ({"options": {"num_predict": 30.0}}, "max_tokens", 30),
        ({"options": {"num_predict": -1}}, "max_tokens", None),
        ({"options": {"num_predict": -1}}, "options", {"num_predict": -1}),
        ({"options": {"temperature": 0.5}}, "temperature", 0.5),
        ({"options": {"temperature": None}}, "temperature", None),
        ({"options": {"top_p": 1}}, "top_p", 1),
        ({"options": {"top_k": 7.0}}, "top_k", 7),
        ({"options": {"seed": 3}}, "seed", 3),
        ({"options": {"frequency_penalty": 0.1}}, "frequency_penalty", 0.1),
        ({"options": {"presence_penalty": 0.1}}, "presence_penalty", 0.1),
        ({"options": {"stop": ["END", "\n"]}}, "stop", ("END", "\n")),
        ({"options": {"stop": "END"}}, "stop", ("END",)),
        ({"options": {"num_ctx": 8192.0, "min_p": 0.1}}, "options", {"num_ctx": 8192, "min_p": 0.1}),
        ({"options": None}, "options", {}),
        ({"format": "json"}, "format", JsonFormat()),
        ({"format": {"type": "object"}}, "format", JsonFormat(schema={"type": "object"})),
        ({"format": ""}, "format", None),
        ({"format": None}, "format", None),
        ({"think": True}, "reasoning", Reasoning()),
        ({"think": False}, "reasoning", Reasoning(enabled=False)),
        ({"think": "low"}, "reasoning", Reasoning(effort="low")),
        ({"think": "max"}, "reasoning", Reasoning(effort="max")),
        ({"think": None}, "reasoning", None),
        ({"keep_alive": -1}, "keep_alive", -1),
        ({"keep_alive": "300s"}, "keep_alive", "300s"),
        ({"keep_alive": 300.0}, "keep_alive", 300),
        ({"keep_alive": 0.5}, "keep_alive", "0.5s"),
        ({"logprobs": True, "truncate": False, "shift": None}, "dropped", ("logprobs",)),
    ],
)
def test_a_field_is_read(parse: Any, fields: dict[str, Any], name: str, value: object) -> None:
    assert getattr(parse(**fields), name) == value


def test_an_empty_list_of_tools_is_no_tools() -> None:
    assert chat(tools=[]).tools == ()


def test_tools_are_read_with_and_without_their_type() -> None:
    schema = {"type": "object", "properties": {}}
    function = {"name": "f", "description": "d", "parameters": schema}
    tools = chat(tools=[{"type": "function", "function": function}, {"function": {"name": "g"}}]).tools
    assert tools == (Tool("f", "d", schema), Tool("g"))


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": []}, "messages", "messages must not be empty"),
        ({"messages": "Hi"}, "messages", "messages must be an array"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role", "messages[0].role is missing"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role", "must be system, user, assistant or tool"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "content must be a string"),
        ({"messages": [{"role": "user", "images": ["aGVsbG8="]}]}, "messages[0].images[0]", "in base64"),
        ({"messages": [{"role": "user", "images": ["not base64"]}]}, "messages[0].images[0]", "in base64"),
        ({"stream": "yes"}, "stream", "stream must be true or false"),
        ({"options": []}, "options", "options must be an object"),
        ({"options": {"temperature": "hot"}}, "options.temperature", "must be a number"),
        ({"options": {"temperature": True}}, "options.temperature", "must be a number"),
        ({"options": {"seed": 1.5}}, "options.seed", "must be an integer"),
        ({"options": {"stop": [1]}}, "options.stop", "must be a list of strings"),
        ({"format": "yaml"}, "format", 'must be "json" or a JSON schema'),
        ({"think": "hard"}, "think", "must be true, false or one of low, medium, high, max"),
        ({"think": 1}, "think", "think must be"),
        ({"tools": [{"type": "web_search", "function": {"name": "f"}}]}, "tools[0].type", "must be function"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "tools[0].function is missing"),
        ({"keep_alive": []}, "keep_alive", "keep_alive must be"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat(**fields)
    assert caught.value.param == param
    assert words in caught.value.message
    assert "`" not in caught.value.message


def test_a_conversation_is_read_in_order() -> None:
    assert turns(
        {"role": "system", "content": "S"},
        {"role": "USER", "content": "Who?", "images": [PNG]},
        {"role": "assistant", "content": "A", "thinking": "T", "tool_calls": [call("f", {"a": 1}, id="x")]},
        {"role": "tool", "content": "R", "tool_call_id": "x"},
        {"role": "user", "content": ""},
    ) == (
        Message("system", (Text("S"),)),
        Message("user", (Text("Who?"), Image("image/png", PNG))),
        Message("assistant", (Thinking("T"), Text("A"), ToolCall("x", "f", '{"a":1}'))),
        Message("user", (ToolResult("x", (Text("R"),), "f"),)),
        Message("user", ()),
    )


def test_assistant_content_may_be_missing() -> None:
    assert turns(USER, {"role": "assistant", "tool_calls": [call("f")]})[1].parts == (ToolCall("call_0", "f", "{}"),)


def test_results_without_name_and_id_answer_the_calls_in_order() -> None:
    _, assistant, results = turns(
        USER,
        {"role": "assistant", "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    )
    first, second = assistant.parts
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id != second.id
    assert results == Message(
        "user", (ToolResult(first.id, (Text("1"),), "a"), ToolResult(second.id, (Text("2"),), "b"))
    )


def test_a_result_answers_the_first_open_call_of_its_name() -> None:
    _, _, results = turns(
        USER,
        {"role": "assistant", "tool_calls": [call("a"), call("b"), call("b")]},
        {"role": "tool", "content": "1", "tool_name": "b"},
        {"role": "tool", "content": "2", "tool_name": "a"},
        {"role": "tool", "content": "3", "tool_name": "b"},
    )
    assert [part.id for part in results.parts if isinstance(part, ToolResult)] == ["call_1", "call_0", "call_2"]


def test_calls_of_an_earlier_turn_are_not_answered_later() -> None:
    messages = turns(
        USER,
        {"role": "assistant", "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "content": "1"},
        {"role": "assistant", "tool_calls": [call("c")]},
        {"role": "tool", "content": "2"},
    )
    assert messages[-1].parts == (ToolResult("call_2", (Text("2"),), "c"),)


def test_calls_in_neighbouring_assistant_messages_are_all_answered() -> None:
    messages = turns(
        USER,
        {"role": "assistant", "tool_calls": [call("a")]},
        {"role": "assistant", "tool_calls": [call("b")]},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    )
    assert [part.name for part in messages[-1].parts if isinstance(part, ToolResult)] == ["a", "b"]


def test_a_made_id_is_none_that_the_caller_gave() -> None:
    parts = turns(USER, {"role": "assistant", "tool_calls": [call("a"), call("b", id="call_0")]})[1].parts
    assert [part.id for part in parts if isinstance(part, ToolCall)] == ["call_1", "call_0"]


def test_a_result_that_answers_nothing_stays_as_text() -> None:
    assert turns(USER, {"role": "tool", "content": "4 C"})[1] == Message("user", (Text("4 C"),))


def test_arguments_that_came_as_text_stay_as_they_are() -> None:
    parts = turns(USER, {"role": "assistant", "tool_calls": [call("a", '{"x": 1}')]})[1].parts
    assert parts == (ToolCall("call_0", "a", '{"x": 1}'),)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        ("iVBORw0KGgoAAAAN", "image/png"),
        ("/9j/4AAQSkZJRgAB", "image/jpeg"),
        ("R0lGODlhAQABAAAA", "image/gif"),
        ("UklGRiQAAABXRUJQ", "image/webp"),
        ("Qk06AAAAAAAAADYA", "image/bmp"),
        ("SUkqAAgAAAAPAP4A", "image/tiff"),
    ],
)
def test_the_media_type_is_told_by_the_first_bytes(head: str, media_type: str) -> None:
    data = head + "A" * 1000
    assert chat(messages=[{**USER, "images": [data]}]).messages[0].parts[1] == Image(media_type, data)


def test_a_prompt_with_system_and_images_becomes_a_chat() -> None:
    request = generate(system="S", images=[PNG])
    assert request.messages == (
        Message("system", (Text("S"),)),
        Message("user", (Text("Hi"), Image("image/png", PNG))),
    )


@pytest.mark.parametrize("fields", [{"raw": True}, {"template": "x"}, {"context": [1]}, {"suffix": "x"}])
def test_what_no_chat_has_is_refused_in_words(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=f"{next(iter(fields))} is not supported.*/api/chat"):
        generate(**fields)


@pytest.mark.parametrize("fields", [{"raw": False}, {"template": ""}, {"context": []}, {"suffix": None}])
def test_what_is_switched_off_is_not_refused(fields: dict[str, Any]) -> None:
    assert generate(**fields).dropped == ()


@pytest.mark.parametrize(
    ("body", "load"),
    [
        ({"model": "m"}, True),
        ({"model": "m", "messages": []}, True),
        ({"model": "m", "messages": None}, True),
        ({"model": "m", "prompt": ""}, True),
        ({"model": "m", "messages": [USER]}, False),
        ({"model": "m", "prompt": "Hi"}, False),
        ({"model": "m", "images": [PNG]}, False),
    ],
)
def test_a_load_request_is_recognised(body: dict[str, Any], load: bool) -> None:
    assert is_load_request(body) is load


@pytest.mark.parametrize(
    ("keep_alive", "unload"),
    [(0, True), (0.0, True), ("0", True), ("0s", True), ("0m0s", True), ("10s", False), (-1, False), (None, False)],
)
def test_a_load_request_unloads_with_a_zero_keep_alive(keep_alive: object, unload: bool) -> None:
    assert is_unload({"keep_alive": keep_alive}) is unload


def test_only_the_implicit_tag_is_taken_off() -> None:
    assert [untagged(name) for name in ("m", "m:latest", "m:8b", "latest")] == ["m", "m", "m:8b", "latest"]


# --- there and back ------------------------------------------------------------------------------------------

words = st.text(min_size=1, max_size=8)
json_objects = st.dictionaries(words, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), max_size=3)
calls = st.lists(st.tuples(st.sampled_from(["f", "g"]), json_objects), max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": draw(words)}]
    for turn in range(draw(st.integers(0, 3))):
        message: dict[str, Any] = {"role": "assistant", "content": draw(st.text(max_size=8))}
        if thinking := draw(st.text(max_size=8)):
            message["thinking"] = thinking
        if made := draw(calls):
            message["tool_calls"] = [
                {"id": f"c{turn}_{at}", "function": {"name": name, "arguments": arguments}}
                for at, (name, arguments) in enumerate(made)
            ]
        messages.append(message)
        messages += [
            {"role": "tool", "content": draw(st.text(max_size=8)), "tool_name": name, "tool_call_id": f"c{turn}_{at}"}
            for at, (name, _) in enumerate(made)
        ]
        user: dict[str, Any] = {"role": "user", "content": draw(st.text(max_size=8))}
        if draw(st.booleans()):
            user["images"] = [PNG]
        messages.append(user)
    return messages


bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": conversations(), "stream": st.booleans()},
    optional={
        "options": st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.floats(0, 2),
                "top_p": st.floats(0, 1),
                "top_k": st.integers(0, 100),
                "seed": st.integers(0, 2**31),
                "num_predict": st.integers(-2, 5000),
                "num_ctx": st.integers(1, 100_000),
                "stop": st.lists(words, min_size=1, max_size=3),
                "repeat_penalty": st.floats(0, 2),
            },
        ).filter(bool),
        "format": st.just("json") | st.just({"type": "object"}),
        "think": st.booleans() | st.sampled_from(["low", "medium", "high", "max"]),
        "keep_alive": st.integers(-1, 600) | st.just("5m"),
        "tools": st.just(
            [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
        ),
    },
)


@given(bodies)
def test_a_request_there_and_back_loses_nothing(body: dict[str, Any]) -> None:
    target = Target("m", capabilities=Capabilities(reasoning=True))
    rendered = OLLAMA.render_request(OLLAMA.parse_request(body), target)
    assert msgspec.json.decode(rendered.body) == body
    assert rendered.lossy == ()
