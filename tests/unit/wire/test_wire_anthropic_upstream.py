"""The neutral form written as requests of Anthropic's Messages API."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from anthropic_requests import EPHEMERAL, HELLO, TARGET, able, assistant, body, made, system, turns, user

from lmgw.errors import BadRequest
from lmgw.wire.dialect import Target
from lmgw.wire.events import (
    Document,
    Image,
    Message,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

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
    "an image of the assistant's": (
        (HELLO, assistant(Image(url="u"))),
        TARGET,
        "the assistant's cannot hold a part of type Image",
    ),
    "a call of the user's": ((user(ToolCall("t", "f", "")),), TARGET, "the user's cannot hold a part of type ToolCall"),
}


@pytest.mark.parametrize(("messages", "target", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_given_is_refused(messages: tuple[Message, ...], target: Target, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        made(target, messages=messages)
    assert words in caught.value.message
