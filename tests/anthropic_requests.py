"""Requests written for Anthropic's Messages API, for the tests of how that is done."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lmgw.config.snapshot import Capabilities
from lmgw.wire.anthropic import ANTHROPIC
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import Message, Request, Text, Tool

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
