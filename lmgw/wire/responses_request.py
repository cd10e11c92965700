"""Requests of OpenAI's Responses API, read from callers.

Shapes: openai-openapi, ``CreateResponse``. Nothing is stored here, so what builds on an earlier answer that the server
keeps is refused in words; everything else that other APIs do not have is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lmgw.errors import BadRequest
from lmgw.wire.events import JsonFormat, Message, Reasoning, Request, Text
from lmgw.wire.openai_fields import field, number, wrong
from lmgw.wire.responses_fields import Echo
from lmgw.wire.responses_items import Conversation
from lmgw.wire.responses_tools import origins, parse_tool_choice, parse_tools

#: Fields that need a server with a memory, with what to do instead.
STATEFUL = {
    "previous_response_id": "nothing is stored here: send the earlier items of the conversation in input",
    "conversation": "nothing is stored here: send the items of the conversation in input",
    "background": "nothing is stored here that could be asked for later: leave it out, and stream where it takes long",
}
#: What the answer repeats as the caller wrote it.
_ECHOED = (
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "prompt_cache_key"),
    *("reasoning", "safety_identifier", "temperature", "text", "tool_choice", "tools", "top_p", "truncation", "user"),
)
#: What is read, or can be left out without anybody noticing.
_KNOWN = frozenset(
    (
        *(*_ECHOED, *STATEFUL, "model", "input", "stream", "stream_options", "store", "include", "service_tier"),
        *("client_metadata", "prompt", "prompt_cache_retention", "prompt_cache_options"),
    )
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def refuse_state(body: Mapping[str, Any]) -> None:
    """Raise :class:`~lmgw.errors.BadRequest` for a body that builds on what the server would have to keep."""
    for key, remedy in STATEFUL.items():
        if body.get(key):
            raise BadRequest(f"{key} is not supported: {remedy}", param=key)


def parse_request(body: Mapping[str, Any]) -> Request:
    """Read a decoded body. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
    refuse_state(body)
    if body.get("prompt"):
        raise BadRequest("prompt is a template that is kept at OpenAI: send its text as instructions", param="prompt")
    dropped = [key for key, value in body.items() if key not in _KNOWN and value]
    text = field(body, "text", dict) or {}
    if text.get("verbosity") not in (None, "medium"):
        dropped.append("text.verbosity")
    if body.get("max_tool_calls") is not None:
        dropped.append("max_tool_calls")
    conversation = _conversation(body)
    offered = [("tools", field(body, "tools", list) or []), *conversation.tools]
    tools = [tool for where, entries in offered for tool in parse_tools(entries, where, dropped)]
    said = {key: body[key] for key in _ECHOED if body.get(key) is not None}
    said["tools"] = [entry for _, entries in offered for entry in entries]
    return Request(
        model=field(body, "model", str) or "",
        messages=tuple(conversation.turns),
        tools=tuple({tool.name: tool for tool in tools}.values()),
        tool_choice=parse_tool_choice(body.get("tool_choice"), dropped),
        parallel_tools=field(body, "parallel_tool_calls", bool),
        max_tokens=field(body, "max_output_tokens", int),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        user=field(body, "safety_identifier", str) or field(body, "user", str),
        format=_format(field(text, "format", dict, "text.")),
        reasoning=_reasoning(field(field(body, "reasoning", dict) or {}, "effort", str, "reasoning.")),
        stream=field(body, "stream", bool) or False,
        include_usage=True,
        echo=Echo.of(said, origins(said["tools"])),
        dropped=tuple(dict.fromkeys([*dropped, *conversation.dropped])),
    )


def _conversation(body: Mapping[str, Any]) -> Conversation:
    conversation = Conversation()
    if instructions := field(body, "instructions", str):
        conversation.turns.append(Message("system", (Text(instructions),)))
    given = body.get("input")
    if isinstance(given, str) and given:
        conversation.turns.append(Message("user", (Text(given),)))
        return conversation
    if not given:
        raise BadRequest("input is missing" if given is None else "input must not be empty", param="input")
    if not isinstance(given, list):
        raise wrong("input", "a string or an array of items")
    for at, item in enumerate(given):
        conversation.add(item, f"input[{at}]")
    conversation.finish()
    return conversation


def _format(wanted: Mapping[str, Any] | None) -> JsonFormat | None:
    match (wanted or {}).get("type"):
        case None | "text":
            return None
        case "json_object":
            return JsonFormat()
        case "json_schema" if wanted is not None:
            where = "text.format."
            return JsonFormat(
                schema=field(wanted, "schema", dict, where) or {},
                name=field(wanted, "name", str, where),
                strict=field(wanted, "strict", bool, where),
                description=field(wanted, "description", str, where),
            )
    raise wrong("text.format.type", '"text", "json_object" or "json_schema"')


def _reasoning(effort: str | None) -> Reasoning | None:
    if effort is None:
        return None
    if effort not in _EFFORTS:
        raise wrong("reasoning.effort", f"one of {', '.join(_EFFORTS)}")
    return Reasoning(enabled=effort != "none", effort=cast(Any, effort))
