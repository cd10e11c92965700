"""The neutral form written as requests of Anthropic's Messages API."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.anthropic import ANTHROPIC
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

EPHEMERAL = {"type": "ephemeral"}
HELLO = Message("user", (Text("Hello"),))
TARGET = Target("claude", Capabilities(thinking="budget"))
F, G = Tool("f"), Tool("g")
ANY = {"type": "object", "properties": {}}


def made(target: Target = TARGET, **fields: Any) -> Rendered:
    return ANTHROPIC.render_request(Request("asked", fields.pop("messages", (HELLO,)), **fields), target)


def body(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made(target, **fields).body)
    return found


def able(**capabilities: Any) -> Target:
    return replace(TARGET, capabilities=replace(TARGET.capabilities, **capabilities))


def turns(*messages: Message, target: Target = TARGET) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(target, messages=messages)["messages"]
    return found


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Any) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def system(*parts: Any) -> Message:
    return Message("system", tuple(Text(part) if isinstance(part, str) else part for part in parts))


# --- fields --------------------------------------------------------------------------------------------------


def test_nothing_is_sent_that_was_not_said() -> None:
    request = made()
    messages = [{"role": "user", "content": "Hello"}]
    assert json.loads(request.body) == {"model": "claude", "max_tokens": 4096, "messages": messages}
    assert request.path == "/messages"
    assert request.headers == ((b"anthropic-version", b"2023-06-01"),)
    assert request.lossy == ()


LIMITS: dict[str, tuple[dict[str, Any], Target, int]] = {
    "the caller's": ({"max_tokens": 7}, able(max_output_tokens=64000), 7),
    "the tier's": ({}, replace(able(max_output_tokens=64000), max_output_tokens=500), 500),
    "the catalog's": ({}, able(max_output_tokens=64000), 64000),
    "what every model takes": ({}, TARGET, 4096),
}


@pytest.mark.parametrize(("fields", "target", "expected"), LIMITS.values(), ids=LIMITS)
def test_there_is_always_a_limit(fields: dict[str, Any], target: Target, expected: int) -> None:
    assert body(target, **fields)["max_tokens"] == expected


#: What is asked, of which model, the fields that are sent (None: not), and what is named as lost.
FIELDS: dict[str, tuple[dict[str, Any], Target, dict[str, Any], tuple[str, ...]]] = {
    "sampling": ({"temperature": 0.5, "top_k": 7}, TARGET, {"temperature": 0.5, "top_k": 7}, ()),
    "too hot": ({"temperature": 1.7}, TARGET, {"temperature": 1}, ("temperature",)),
    "temperature before top_p": (
        {"temperature": 0.5, "top_p": 0.9},
        TARGET,
        {"temperature": 0.5, "top_p": None},
        ("top_p",),
    ),
    "top_p alone": ({"top_p": 0.9}, TARGET, {"top_p": 0.9}, ()),
    "no sampling": (
        {"temperature": 0.5, "top_p": 0.9, "top_k": 7},
        able(sampling=False),
        {"temperature": None, "top_p": None, "top_k": None},
        ("temperature", "top_p", "top_k"),
    ),
    "a default is not missed": ({"temperature": 1}, able(sampling=False), {"temperature": None}, ()),
    "what the API has no word for": (
        {"seed": 0, "frequency_penalty": 0.5, "presence_penalty": 0},
        TARGET,
        {"seed": None, "frequency_penalty": None},
        ("seed", "frequency_penalty"),
    ),
    "stop": ({"stop": ("END", " \n", "")}, TARGET, {"stop_sequences": ["END"]}, ("stop",)),
    "no stop left": ({"stop": ("\n",)}, TARGET, {"stop_sequences": None}, ("stop",)),
    "the user": ({"user": "user_1:a.b-c"}, TARGET, {"metadata": {"user_id": "user_1:a.b-c"}}, ()),
    "an address": ({"user": "bob@example.com"}, TARGET, {"metadata": None}, ("user",)),
    "a telephone": ({"user": "555-123-4567"}, TARGET, {"metadata": None}, ("user",)),
    "a long user": ({"user": "u" * 257}, TARGET, {"metadata": None}, ("user",)),
    "a stream": ({"stream": True}, TARGET, {"stream": True}, ()),
    "what the caller's dialect lost": (
        {"dropped": ("logit_bias",), "options": {"num_ctx": 1}},
        TARGET,
        {"logit_bias": None},
        ("logit_bias", "options.num_ctx"),
    ),
}


@pytest.mark.parametrize(("fields", "target", "expected", "lossy"), FIELDS.values(), ids=FIELDS)
def test_a_field_is_written(
    fields: dict[str, Any], target: Target, expected: dict[str, Any], lossy: tuple[str, ...]
) -> None:
    request = made(target, **fields)
    found = json.loads(request.body)
    assert {key: found.get(key) for key in expected} == expected
    assert request.lossy == lossy


def test_several_answers_are_refused() -> None:
    with pytest.raises(BadRequest, match="n must be 1") as caught:
        made(n=2)
    assert caught.value.param == "n"


# --- system --------------------------------------------------------------------------------------------------

LATE = (system("A."), user("one"), assistant("two"), system("B."), user("three"))
AFTER_USER = (system("A."), user("one"), system("B."), assistant("two"), user("three"))
LAST = (user("one"), system("B."))
BLOCKS = [{"type": "text", "text": "A."}, {"type": "text", "text": "B."}]
B = {"role": "system", "content": "B."}
SYSTEMS: dict[str, tuple[tuple[Message, ...], bool, Any, list[int]]] = {
    "one is a string": ((system("A."), user("x")), False, "A.", []),
    "several stay in order": ((system("A."), system("B."), user("x")), False, BLOCKS, []),
    "a cached one is a block": (
        (system(Text("A.", EPHEMERAL)), user("x")),
        False,
        [{"type": "text", "text": "A.", "cache_control": EPHEMERAL}],
        [],
    ),
    "an empty one is left out": ((system("", " "), user("x")), False, None, []),
    "a late one is hoisted": (AFTER_USER, False, BLOCKS, []),
    "a late one stays after a user's turn": (AFTER_USER, True, "A.", [1]),
    "a late one stays at the end": (LAST, True, None, [1]),
    "a late one before a user's turn is hoisted": (LATE, True, BLOCKS, []),
    "one between two of the user's is hoisted": ((user("one"), system("B."), user("two")), True, "B.", []),
}


@pytest.mark.parametrize(("messages", "native", "expected", "places"), SYSTEMS.values(), ids=SYSTEMS)
def test_where_system_text_goes(messages: tuple[Message, ...], native: bool, expected: Any, places: list[int]) -> None:
    found = body(able(mid_system=native), messages=messages)
    assert found.get("system") == expected
    assert [at for at, turn in enumerate(found["messages"]) if turn == B] == places
    roles = [turn["role"] for turn in found["messages"] if turn["role"] != "system"]
    assert roles[0] == "user"
    assert all(one != other for one, other in pairwise(roles))


def test_the_profiles_prompt_comes_first() -> None:
    assert body(replace(TARGET, system="P."), messages=(system("A."), HELLO))["system"] == "P.\n\nA."


# --- turns ---------------------------------------------------------------------------------------------------

PNG = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "4 C"}
TURNS: dict[str, tuple[tuple[Message, ...], list[dict[str, Any]]]] = {
    "neighbours of one role are one turn": (
        (user("a"), user("b")),
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    ),
    "results come first, of all that the turn merges": (
        (
            user("x"),
            assistant(ToolCall("t1", "f", "{}"), ToolCall("t2", "f", "{}")),
            user(ToolResult("t1", (Text("4 C"),))),
            user("thanks", ToolResult("t2", (Text("5 C"),))),
        ),
        [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                    {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    RESULT,
                    RESULT | {"tool_use_id": "t2", "content": "5 C"},
                    {"type": "text", "text": "thanks"},
                ],
            },
        ],
    ),
    "thinking, text, calls": (
        (user("x"), assistant(ToolCall("t1", "f", "{}"), "text", Thinking("T", "S"))),
        [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "T", "signature": "S"},
                    {"type": "text", "text": "text"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                ],
            },
        ],
    ),
    "empty text is left out": (
        (user("", "a", " \n"), assistant("", "b")),
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    ),
    "an empty turn of the user's is left out": (
        (user("a"), user(""), assistant("b")),
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    ),
    "an empty turn of the assistant's is none of its text": (
        (user("a"), assistant(""), user("b")),
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": []}, {"role": "user", "content": "b"}],
    ),
    "an empty beginning of the answer is left out": ((user("a"), assistant()), [{"role": "user", "content": "a"}]),
    "a beginning of the answer is kept": (
        (user("a"), assistant("{")),
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}],
    ),
    "the user speaks first": (
        (assistant("Hi."), user("a")),
        [{"role": "user", "content": "…"}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "a"}],
    ),
    "unsigned thinking is left out": (
        (user("a"), assistant(Thinking("T"), Thinking("T", "lmgw:unsigned"), "b"), user("c")),
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
    ),
    "thinking without its text is kept": (
        (user("a"), assistant(Thinking("", "S"), Thinking(redacted="D")), user("c")),
        [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": "S"},
                    {"type": "redacted_thinking", "data": "D"},
                ],
            },
            {"role": "user", "content": "c"},
        ],
    ),
}


@pytest.mark.parametrize(("messages", "expected"), TURNS.values(), ids=TURNS)
def test_turns_are_written(messages: tuple[Message, ...], expected: list[dict[str, Any]]) -> None:
    assert turns(*messages) == expected


BLOCK: dict[str, tuple[Any, dict[str, Any]]] = {
    "cached text": (Text("a", EPHEMERAL), {"type": "text", "text": "a", "cache_control": EPHEMERAL}),
    "an image": (Image("image/png", "QUJD"), {"type": "image", "source": PNG}),
    "a JPG": (Image("image/jpg", "QUJD"), {"type": "image", "source": PNG | {"media_type": "image/jpeg"}}),
    "an image elsewhere": (
        Image(url="https://x/a.png", detail="low"),
        {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}},
    ),
    "a cached image": (
        Image("image/png", "QUJD", cache=EPHEMERAL),
        {"type": "image", "source": PNG, "cache_control": EPHEMERAL},
    ),
    "a PDF": (
        Document(data="QUJD", title="a.pdf"),
        {"type": "document", "source": PNG | {"media_type": "application/pdf"}, "title": "a.pdf"},
    ),
    "a text document": (
        Document("text/plain", text="D"),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
    ),
    "a text document as data": (
        Document("text/csv", base64.b64encode("ä,b".encode()).decode()),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ä,b"}},
    ),
    "a document elsewhere": (
        Document(url="https://x/a.pdf"),
        {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
    ),
    "a failed result": (
        ToolResult("t1", (Text("no"),), is_error=True, cache=EPHEMERAL),
        RESULT | {"content": "no", "is_error": True, "cache_control": EPHEMERAL},
    ),
    "a result of nothing": (ToolResult("t1", (Text(""),)), {"type": "tool_result", "tool_use_id": "t1"}),
    "a result with an image": (
        ToolResult("t1", (Text("see"), Image("image/png", "QUJD"))),
        RESULT | {"content": [{"type": "text", "text": "see"}, {"type": "image", "source": PNG}]},
    ),
}


@pytest.mark.parametrize(("part", "expected"), BLOCK.values(), ids=BLOCK)
def test_a_part_is_written(part: Any, expected: dict[str, Any]) -> None:
    assert turns(user(part))[0]["content"] == [expected]


ARGUMENTS = {
    '{"city": "Oslo"}': {"city": "Oslo"},
    "": {},
    "null": {},
    "[1]": {"_raw": "[1]"},
    '"text"': {"_raw": '"text"'},
    "{broken": {"_raw": "{broken"},
}


@pytest.mark.parametrize(("arguments", "expected"), ARGUMENTS.items(), ids=ARGUMENTS)
def test_arguments_are_always_an_object(arguments: str, expected: dict[str, Any]) -> None:
    assert turns(HELLO, assistant(ToolCall("t1", "f", arguments)), HELLO)[1]["content"][0]["input"] == expected


def test_a_calls_cache_mark_is_kept() -> None:
    call = turns(HELLO, assistant(ToolCall("t1", "f", "{}", EPHEMERAL)), HELLO)[1]["content"][0]
    assert call["cache_control"] == EPHEMERAL


def test_an_id_that_does_not_fit_is_the_same_in_call_and_result() -> None:
    odd = "call:1/2|ü"
    found = turns(HELLO, assistant(ToolCall(odd, "f", "{}")), user(ToolResult(odd, ())))
    made_id = found[1]["content"][0]["id"]
    assert made_id == found[2]["content"][0]["tool_use_id"]
    assert made_id.replace("_", "").isalnum()


def test_a_long_name_is_short_everywhere_and_can_be_turned_back() -> None:
    long = "weather." * 12
    request = made(
        messages=(HELLO, assistant(ToolCall("t1", long, "{}")), user(ToolResult("t1", ()))),
        tools=(Tool(long),),
        tool_choice=ToolChoice("named", (long,)),
    )
    found = json.loads(request.body)
    short = found["tools"][0]["name"]
    assert len(short) <= 64
    assert found["tool_choice"]["name"] == found["messages"][1]["content"][0]["name"] == short
    assert request.tool_names == {short: long}


REFUSED: dict[str, tuple[tuple[Message, ...], Target, str]] = {
    "system text alone": ((system("A."),), TARGET, "messages must hold something that the user says"),
    "an image for the blind": ((user(Image(url="u")),), able(vision=False), "takes no images"),
    "an image of another kind": ((user(Image("image/bmp", "Qk0=")),), TARGET, "not as image/bmp"),
    "a document of another kind": (
        (user(Document("application/msword", "QUJD")),),
        TARGET,
        "not as application/msword",
    ),
    "a text document that is none": ((user(Document("text/plain", "/w==")),), TARGET, "UTF-8 in base64"),
    "an image of the assistant's": ((HELLO, assistant(Image(url="u"))), TARGET, "a Image cannot stand"),
    "a call of the user's": ((user(ToolCall("t", "f", "")),), TARGET, "a ToolCall cannot stand"),
}


@pytest.mark.parametrize(("messages", "target", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_given_is_refused(messages: tuple[Message, ...], target: Target, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        made(target, messages=messages)
    assert words in caught.value.message


# --- tools ---------------------------------------------------------------------------------------------------


def test_tools_are_written() -> None:
    tools = (Tool("f", "F", {"properties": {}}, None, EPHEMERAL), Tool("g", None, None, False))
    assert body(tools=tools)["tools"] == [
        {"name": "f", "description": "F", "input_schema": ANY, "cache_control": EPHEMERAL},
        {"name": "g", "input_schema": ANY},
    ]


ALWAYS = able(thinking="adaptive", thinking_always_on=True)
#: What is asked, of which model, the choice and the tools that are offered, and what is named as lost.
CHOICES: dict[str, tuple[dict[str, Any], Target, Any, str, tuple[str, ...]]] = {
    "nothing said": ({}, TARGET, None, "fg", ()),
    "auto": ({"tool_choice": ToolChoice("auto")}, TARGET, {"type": "auto"}, "fg", ()),
    "none": ({"tool_choice": ToolChoice("none"), "parallel_tools": False}, TARGET, {"type": "none"}, "fg", ()),
    "required": ({"tool_choice": ToolChoice("required")}, TARGET, {"type": "any"}, "fg", ()),
    "named": ({"tool_choice": ToolChoice("named", ("g",))}, TARGET, {"type": "tool", "name": "g"}, "fg", ()),
    "some allowed": ({"tool_choice": ToolChoice("auto", ("g",))}, TARGET, {"type": "auto"}, "g", ()),
    "one of some": ({"tool_choice": ToolChoice("required", ("g",))}, TARGET, {"type": "any"}, "g", ()),
    "one at a time": ({"parallel_tools": False}, TARGET, {"type": "auto", "disable_parallel_tool_use": True}, "fg", ()),
    "a forced one at a time": (
        {"parallel_tools": False, "tool_choice": ToolChoice("required")},
        TARGET,
        {"type": "any", "disable_parallel_tool_use": True},
        "fg",
        (),
    ),
    "several at a time": ({"parallel_tools": True}, TARGET, None, "fg", ()),
    "required of a model that always thinks": (
        {"tool_choice": ToolChoice("required")},
        ALWAYS,
        {"type": "auto"},
        "fg",
        ("tool_choice",),
    ),
    "named of a model that always thinks": (
        {"tool_choice": ToolChoice("named", ("g",))},
        ALWAYS,
        {"type": "auto"},
        "g",
        ("tool_choice",),
    ),
}


@pytest.mark.parametrize(("fields", "target", "choice", "offered", "lossy"), CHOICES.values(), ids=CHOICES)
def test_the_choice_among_tools(
    fields: dict[str, Any], target: Target, choice: Any, offered: str, lossy: tuple[str, ...]
) -> None:
    request = made(target, tools=(F, G), **fields)
    found = json.loads(request.body)
    assert found.get("tool_choice") == choice
    assert "".join(tool["name"] for tool in found["tools"]) == offered
    assert request.lossy == lossy


def test_without_tools_there_is_nothing_to_choose() -> None:
    found = body(tool_choice=ToolChoice("auto"), parallel_tools=False)
    assert not found.keys() & {"tools", "tool_choice"}


def test_a_strict_tools_schema_is_closed() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    (tool,) = body(tools=(Tool("f", parameters=schema, strict=True),))["tools"]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False
    assert "minimum" not in tool["input_schema"]["properties"]["n"]


@pytest.mark.parametrize(
    ("target", "count"), [(able(structured_outputs=False), 1), (TARGET, 21)], ids=["unknown to it", "too many"]
)
def test_tools_that_cannot_be_strict_are_sent_without_it(target: Target, count: int) -> None:
    request = made(target, tools=tuple(Tool(f"f{at}", strict=True) for at in range(count)))
    assert not any("strict" in tool for tool in json.loads(request.body)["tools"])
    assert request.lossy == ("strict",)


# --- JSON ----------------------------------------------------------------------------------------------------

PERSON = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 99}}, "required": ["age"]}
OLD = able(structured_outputs=False)


def test_a_schema_becomes_the_format_of_the_output() -> None:
    format = body(format=JsonFormat(PERSON, "person", True, "A person"))["output_config"]["format"]
    age = {"type": "integer", "description": "{maximum: 99}"}
    closed = PERSON | {"properties": {"age": age}, "additionalProperties": False, "description": "A person"}
    assert format == {"type": "json_schema", "schema": closed}


def test_any_json_is_asked_for_in_a_sentence() -> None:
    found = body(format=JsonFormat(), messages=(system("A."), HELLO))
    assert found["system"][0]["text"] == "A."
    assert "JSON object" in found["system"][1]["text"]
    assert "output_config" not in found


def test_a_model_without_structured_outputs_answers_by_a_tool() -> None:
    request = made(OLD, format=JsonFormat(PERSON))
    found = json.loads(request.body)
    assert [tool["name"] for tool in found["tools"]] == [request.json_tool]
    assert found["tools"][0]["input_schema"] == PERSON
    assert found["tool_choice"] == {"type": "tool", "name": request.json_tool}


def test_the_tool_for_the_answer_stands_beside_the_callers() -> None:
    request = made(OLD, format=JsonFormat(PERSON), tools=(F, Tool("json_answer")))
    found = json.loads(request.body)
    assert [tool["name"] for tool in found["tools"]] == ["f", "json_answer", "json_answer_"]
    assert request.json_tool == "json_answer_"
    assert found["tool_choice"] == {"type": "any"}


def test_a_forced_call_goes_before_a_schema_that_needs_a_tool() -> None:
    request = made(OLD, format=JsonFormat(PERSON), tools=(F,), tool_choice=ToolChoice("required"))
    assert request.json_tool is None
    assert request.lossy == ("response_format",)


# --- thinking ------------------------------------------------------------------------------------------------

EFFORTS = ("low", "medium", "high", "xhigh", "max")
NEW = able(thinking="adaptive", efforts=EFFORTS)
FEW = able(thinking="adaptive", efforts=("low", "medium", "high"))
FABLE = able(thinking="adaptive", efforts=EFFORTS, thinking_always_on=True)
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OFF = {"type": "disabled"}


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


#: What is wanted, of which model, within how many tokens: the thinking and the effort that are sent.
THINKING: dict[str, tuple[Reasoning | None, Target, int, Any, str | None]] = {
    "adaptive: nothing said": (None, NEW, 9000, None, None),
    "adaptive: none": (Reasoning(False, "none"), NEW, 9000, OFF, None),
    "adaptive: minimal": (Reasoning(effort="minimal"), NEW, 9000, ADAPTIVE, "low"),
    "adaptive: low": (Reasoning(effort="low"), NEW, 9000, ADAPTIVE, "low"),
    "adaptive: medium": (Reasoning(effort="medium"), NEW, 9000, ADAPTIVE, "medium"),
    "adaptive: high": (Reasoning(effort="high"), NEW, 9000, ADAPTIVE, "high"),
    "adaptive: xhigh": (Reasoning(effort="xhigh"), NEW, 9000, ADAPTIVE, "xhigh"),
    "adaptive: max": (Reasoning(effort="max"), NEW, 9000, ADAPTIVE, "max"),
    "adaptive: more than it has": (Reasoning(effort="max"), FEW, 9000, ADAPTIVE, "high"),
    "adaptive: on": (Reasoning(), NEW, 9000, ADAPTIVE, "medium"),
    "adaptive: as it likes": (Reasoning(adaptive=True), NEW, 9000, ADAPTIVE, None),
    "adaptive: a small budget": (Reasoning(budget_tokens=1024), NEW, 9000, ADAPTIVE, "low"),
    "adaptive: a budget": (Reasoning(budget_tokens=4096), NEW, 9000, ADAPTIVE, "medium"),
    "adaptive: a large budget": (Reasoning(budget_tokens=16384), NEW, 9000, ADAPTIVE, "high"),
    "always on: none": (Reasoning(False), FABLE, 9000, None, "low"),
    "always on: high": (Reasoning(effort="high"), FABLE, 9000, ADAPTIVE, "high"),
    "budget: nothing said": (None, TARGET, 90000, None, None),
    "budget: none": (Reasoning(False), TARGET, 90000, None, None),
    "budget: minimal": (Reasoning(effort="minimal"), TARGET, 90000, budget(1024), None),
    "budget: low": (Reasoning(effort="low"), TARGET, 90000, budget(2048), None),
    "budget: medium": (Reasoning(effort="medium"), TARGET, 90000, budget(8192), None),
    "budget: high": (Reasoning(effort="high"), TARGET, 90000, budget(16384), None),
    "budget: max": (Reasoning(effort="max"), TARGET, 90000, budget(32768), None),
    "budget: on": (Reasoning(), TARGET, 90000, budget(8192), None),
    "budget: half of what there is": (Reasoning(effort="high"), TARGET, 4096, budget(2048), None),
    "budget: the least": (Reasoning(effort="high"), TARGET, 1500, budget(1024), None),
    "budget: no room": (Reasoning(effort="high"), TARGET, 1024, None, None),
    "budget: the caller's": (Reasoning(budget_tokens=5000), TARGET, 9000, budget(5000), None),
    "budget: the caller's, too large": (Reasoning(budget_tokens=9000), TARGET, 9000, budget(8999), None),
    "cannot": (Reasoning(effort="high"), able(thinking="none"), 9000, None, None),
}


@pytest.mark.parametrize(("reasoning", "target", "limit", "expected", "effort"), THINKING.values(), ids=THINKING)
def test_how_a_model_is_told_to_think(
    reasoning: Reasoning | None, target: Target, limit: int, expected: Any, effort: str | None
) -> None:
    found = body(target, reasoning=reasoning, max_tokens=limit)
    assert found.get("thinking") == expected
    assert found.get("output_config", {}).get("effort") == effort


@pytest.mark.parametrize("target", [NEW, TARGET], ids=["adaptive", "budget"])
def test_while_a_model_thinks_sampling_is_left_alone(target: Target) -> None:
    request = made(target, reasoning=Reasoning(effort="low"), temperature=0.2, top_p=0.9, top_k=3, max_tokens=9000)
    assert not json.loads(request.body).keys() & {"temperature", "top_p", "top_k"}
    assert request.lossy == ("temperature", "top_p", "top_k")


@pytest.mark.parametrize(("target", "expected"), [(NEW, OFF), (TARGET, None)], ids=["adaptive", "budget"])
def test_a_forced_call_goes_before_thinking(target: Target, expected: Any) -> None:
    fields: dict[str, Any] = {"tools": (F,), "tool_choice": ToolChoice("required"), "max_tokens": 9000}
    request = made(target, reasoning=Reasoning(effort="high"), temperature=0.2, **fields)
    found = json.loads(request.body)
    assert found.get("thinking") == expected
    assert found["tool_choice"] == {"type": "any"}
    assert found["temperature"] == 0.2
    assert request.lossy == ("reasoning",)


def test_a_model_that_always_thinks_is_not_forced() -> None:
    request = made(FABLE, reasoning=Reasoning(effort="high"), tools=(F,), tool_choice=ToolChoice("required"))
    found = json.loads(request.body)
    assert found["thinking"] == ADAPTIVE
    assert found["tool_choice"] == {"type": "auto"}
    assert request.lossy == ("tool_choice",)


CALL, RESULTS = ToolCall("t1", "f", "{}"), user(ToolResult("t1", (Text("4 C"),)))
HISTORIES: dict[str, tuple[tuple[Message, ...], bool]] = {
    "calls whose thinking is not known": ((HELLO, assistant(CALL), RESULTS), False),
    "calls after unsigned thinking": ((HELLO, assistant(Thinking("T"), CALL), RESULTS), False),
    "calls after signed thinking": ((HELLO, assistant(Thinking("T", "S"), CALL), RESULTS), True),
    "calls after redacted thinking": ((HELLO, assistant(Thinking(redacted="D"), "text", CALL), RESULTS), True),
    "calls, long since": ((HELLO, assistant(CALL), RESULTS, assistant("Cold."), HELLO), True),
    "no calls": ((HELLO, assistant("Hi."), HELLO), True),
}


@pytest.mark.parametrize(("messages", "thinks"), HISTORIES.values(), ids=HISTORIES)
def test_a_model_with_a_budget_cannot_go_on_from_calls_without_thinking(
    messages: tuple[Message, ...], thinks: bool
) -> None:
    fields: dict[str, Any] = {"messages": messages, "tools": (F,), "reasoning": Reasoning(effort="low")}
    assert ("thinking" in body(max_tokens=9000, **fields)) is thinks
    assert body(NEW, **fields)["thinking"] == ADAPTIVE


def test_a_tiers_switch_counts_where_the_caller_says_nothing() -> None:
    assert body(replace(NEW, think=False))["thinking"] == OFF
    assert body(replace(NEW, think=True))["output_config"] == {"effort": "medium"}
    assert body(replace(NEW, think=False), reasoning=Reasoning(effort="low"))["thinking"] == ADAPTIVE


def test_thinking_is_not_given_to_a_model_that_cannot() -> None:
    found = turns(HELLO, assistant(Thinking("T", "S"), "a"), HELLO, target=able(thinking="none"))
    assert found[1] == {"role": "assistant", "content": "a"}
