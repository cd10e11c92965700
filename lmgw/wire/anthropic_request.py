"""Requests of Anthropic's Messages API, read from callers.

``max_tokens`` may be missing: a ``count_tokens`` body is the same without it. What runs at Anthropic (typed tools,
uploaded files) cannot be carried over to another provider, and is refused in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lmgw.errors import BadRequest
from lmgw.wire.anthropic_content import Conversation
from lmgw.wire.events import JsonFormat, Message, Reasoning, Request, Tool, ToolChoice
from lmgw.wire.openai_fields import field, number, text_field, wrong

#: What is read, or can be left out without anybody noticing.
_KNOWN = frozenset(
    (
        *("model", "messages", "system", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream"),
        *("tools", "tool_choice", "thinking", "output_config", "output_format", "metadata", "cache_control"),
        *("service_tier", "inference_geo", "diagnostics", "user_profile_id"),
    )
)
_Effort = Literal["low", "medium", "high", "xhigh", "max"]
_EFFORTS: tuple[_Effort, ...] = ("low", "medium", "high", "xhigh", "max")
_MODES: dict[str, Literal["none", "auto", "required"]] = {"none": "none", "auto": "auto", "any": "required"}


def parse_request(body: Mapping[str, Any]) -> Request:
    """Read a decoded body. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
    conversation = Conversation()
    turns = _turns(body, conversation)
    config = field(body, "output_config", dict) or {}
    choice = field(body, "tool_choice", dict)
    single = field(choice or {}, "disable_parallel_tool_use", bool, "tool_choice.")
    ignored = (key for key, value in body.items() if key not in _KNOWN and value)
    return Request(
        model=field(body, "model", str) or "",
        messages=turns,
        tools=_tools(body),
        tool_choice=_tool_choice(choice),
        parallel_tools=None if single is None else not single,
        max_tokens=_max_tokens(body),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=field(body, "top_k", int),
        stop=_stop(field(body, "stop_sequences", list) or ()),
        user=field(field(body, "metadata", dict) or {}, "user_id", str, "metadata."),
        format=_format(config, body),
        reasoning=_reasoning(field(body, "thinking", dict), field(config, "effort", str, "output_config.")),
        stream=field(body, "stream", bool) or False,
        include_usage=True,
        dropped=(*ignored, *dict.fromkeys(conversation.dropped)),
    )


def _turns(body: Mapping[str, Any], conversation: Conversation) -> tuple[Message, ...]:
    messages = field(body, "messages", list)
    if not messages:
        raise BadRequest("messages must not be empty" if messages == [] else "messages is missing", param="messages")
    system = conversation.system(body.get("system"))
    return (*([Message("system", system)] if system else ()), *conversation.turns(messages))


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    limit: int | None = field(body, "max_tokens", int)
    if limit is not None and limit < 1:
        raise wrong("max_tokens", "at least 1 for this model")
    return limit


def _stop(entries: Any) -> tuple[str, ...]:
    if not all(isinstance(entry, str) for entry in entries):
        raise wrong("stop_sequences", "an array of strings")
    return tuple(entries)


def _tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for at, entry in enumerate(field(body, "tools", list) or ()):
        where = f"tools[{at}]"
        if not isinstance(entry, dict):
            raise wrong(where, "an object")
        if entry.get("type") not in (None, "custom"):
            raise BadRequest(
                f"{where}: the tool {entry['type']!r} is Anthropic's own and cannot be carried over to this model: "
                "leave it out, or name a model of an Anthropic backend",
                param=f"{where}.type",
            )
        cache = entry.get("cache_control")
        tools.append(
            Tool(
                name=text_field(entry, "name", f"{where}."),
                description=field(entry, "description", str, f"{where}."),
                parameters=field(entry, "input_schema", dict, f"{where}."),
                strict=field(entry, "strict", bool, f"{where}."),
                cache=cache if isinstance(cache, dict) else None,
            )
        )
    return tuple(tools)


def _tool_choice(choice: Mapping[str, Any] | None) -> ToolChoice | None:
    if choice is None:
        return None
    kind = choice.get("type")
    if kind == "tool":
        return ToolChoice("named", (text_field(choice, "name", "tool_choice."),))
    if kind not in _MODES:
        raise wrong("tool_choice.type", '"none", "auto", "any" or "tool"')
    return ToolChoice(_MODES[kind])


def _format(config: Mapping[str, Any], body: Mapping[str, Any]) -> JsonFormat | None:
    """Read ``output_config.format``, or ``output_format`` where older clients put it."""
    wanted, where = field(config, "format", dict, "output_config."), "output_config.format."
    if wanted is None:
        wanted, where = field(body, "output_format", dict), "output_format."
    if wanted is None:
        return None
    if wanted.get("type") != "json_schema":
        raise wrong(f"{where}type", '"json_schema"')
    return JsonFormat(schema=field(wanted, "schema", dict, where) or {})


def _reasoning(thinking: Mapping[str, Any] | None, effort: str | None) -> Reasoning | None:
    level = next((word for word in _EFFORTS if word == effort), None)
    if effort is not None and level is None:
        raise wrong("output_config.effort", f"one of {', '.join(_EFFORTS)}")
    match (thinking or {}).get("type"):
        case "enabled":
            return Reasoning(effort=level, budget_tokens=field(thinking or {}, "budget_tokens", int, "thinking."))
        case "adaptive":
            return Reasoning(effort=level, adaptive=True)
        case "disabled" | "between_tools":
            return Reasoning(enabled=False)
        case None if thinking is None:
            return None if level is None else Reasoning(effort=level)
    raise wrong("thinking.type", '"enabled", "adaptive", "between_tools" or "disabled"')
