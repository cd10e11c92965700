"""An Ollama caller's request on its way to an Ollama server: nothing changes but what policy says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.body import Body
from lmgw.wire.dialect import Target
from lmgw.wire.ollama import OLLAMA

BODY = b'{ "x_new":1.50,"model" : "m:latest", "messages":[{"role":"user","content":"Hi","seen":true}], "stream":false}'


def edited(body: bytes, **target: Any) -> bytes:
    return OLLAMA.edit_request(Body(body), Target("up", **target)).body


def fields(body: dict[str, Any], **target: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(edited(msgspec.json.encode({"model": "m", **body}), **target))
    return found


def test_only_the_model_changes_without_policy() -> None:
    assert edited(BODY) == BODY.replace(b'"m:latest"', b'"up"')
    assert OLLAMA.edit_request(Body(BODY), Target("up")).path == "/api/chat"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "Hi"}], [{"role": "system", "content": "P"}, {"role": "user", "content": "Hi"}]),
        ([{"role": "system", "content": "S", "z": 1}], [{"role": "system", "content": "P\n\nS", "z": 1}]),
        ([{"role": "System", "content": ""}], [{"role": "System", "content": "P"}]),
        (
            [{"role": "user", "content": "Hi"}, {"role": "system", "content": "S"}],
            [
                {"role": "system", "content": "P"},
                {"role": "user", "content": "Hi"},
                {"role": "system", "content": "S"},
            ],
        ),
    ],
)
def test_the_profiles_prompt_comes_first(messages: Any, expected: Any) -> None:
    assert fields({"messages": messages}, system="P")["messages"] == expected


@pytest.mark.parametrize("messages", ["Hi", ["Hi"], [{"role": 1}]])
def test_messages_that_cannot_be_edited_are_named(messages: Any) -> None:
    with pytest.raises(BadRequest, match="messages must be a list"):
        fields({"messages": messages}, system="P")


@pytest.mark.parametrize(
    ("body", "think", "capabilities", "expected"),
    [
        ({}, True, Capabilities(reasoning=True), True),
        ({}, True, Capabilities(), None),
        ({}, False, Capabilities(), False),
        ({"think": None}, False, Capabilities(), False),
        ({"think": "high"}, False, Capabilities(), "high"),
        ({"think": True}, None, Capabilities(), True),
    ],
)
def test_the_tiers_think_is_said_where_the_caller_is_silent(
    body: dict[str, Any], think: bool | None, capabilities: Capabilities, expected: object
) -> None:
    assert fields(body, think=think, capabilities=capabilities).get("think") == expected


@pytest.mark.parametrize(
    ("own", "options", "pinned", "expected"),
    [
        (None, {"num_ctx": 1}, {}, {"num_ctx": 1}),
        ({"num_ctx": 2}, {"num_ctx": 1, "seed": 1}, {}, {"num_ctx": 2, "seed": 1}),
        ({"num_ctx": 2}, {"seed": 1}, {"num_ctx": 3}, {"num_ctx": 3, "seed": 1}),
        ({"num_ctx": None}, {"num_ctx": 1}, {}, {"num_ctx": 1}),
        ({}, {}, {"num_ctx": 3}, {"num_ctx": 3}),
    ],
)
def test_options_are_defaults_unless_pinned(own: Any, options: Any, pinned: Any, expected: Any) -> None:
    assert fields({"options": own}, options=options, pinned_options=pinned)["options"] == expected


def test_numbers_of_the_caller_keep_their_spelling() -> None:
    body = b'{"model":"m","options":{"num_ctx":8192.0, "mirostat_eta":1e-1}}'
    assert edited(body, options={"seed": 1}) == (
        b'{"model":"up","options":{"num_ctx":8192.0, "mirostat_eta":1e-1,"seed":1}}'
    )


def test_options_that_are_no_object_are_named() -> None:
    with pytest.raises(BadRequest, match="options must be an object"):
        fields({"options": [1]}, options={"seed": 1})


@pytest.mark.parametrize(
    ("body", "keep_alive", "expected"),
    [({}, "5m", "5m"), ({"keep_alive": None}, -1, -1), ({"keep_alive": 0}, "5m", 0), ({}, None, None)],
)
def test_keep_alive_is_sent_unless_the_caller_says_it(body: dict[str, Any], keep_alive: Any, expected: Any) -> None:
    assert fields(body, keep_alive=keep_alive).get("keep_alive") == expected
