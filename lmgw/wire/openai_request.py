"""Requests of OpenAI Chat Completions, read from callers.

Shapes: openai-openapi, ``CreateChatCompletionRequest``, with what clients add to it: Anthropic's ``cache_control``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lmgw.errors import BadRequest
from lmgw.wire.events import JsonFormat, Reasoning, Request, Tool, ToolChoice
from lmgw.wire.openai_fields import field, number, text_field, wrong
from lmgw.wire.openai_messages import parse_messages

#: What is read, or can be left out without anybody noticing.
_KNOWN = frozenset(
    (
        *("model", "messages", "n", "stream", "stream_options", "reasoning_effort", "response_format", "stop", "seed"),
        *("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "user", "safety_identifier"),
        *("max_tokens", "max_completion_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty"),
        *("store", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    )
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def parse_request(body: Mapping[str, Any]) -> Request:
    """Read a decoded body. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
    messages = field(body, "messages", list)
    if not messages:
        raise BadRequest("messages must not be empty" if messages == [] else "messages is missing", param="messages")
    limit = field(body, "max_completion_tokens", int)
    return Request(
        model=field(body, "model", str) or "",
        messages=parse_messages(messages),
        tools=_tools(body),
        tool_choice=_tool_choice(body),
        parallel_tools=field(body, "parallel_tool_calls", bool),
        max_tokens=field(body, "max_tokens", int) if limit is None else limit,
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        seed=field(body, "seed", int),
        frequency_penalty=number(body, "frequency_penalty"),
        presence_penalty=number(body, "presence_penalty"),
        stop=_stop(body.get("stop")),
        user=field(body, "safety_identifier", str) or field(body, "user", str),
        format=_format(field(body, "response_format", dict)),
        reasoning=_reasoning(field(body, "reasoning_effort", str)),
        n=field(body, "n", int) or 1,
        stream=field(body, "stream", bool) or False,
        include_usage=(field(body, "stream_options", dict) or {}).get("include_usage") is True,
        dropped=tuple(key for key, value in body.items() if key not in _KNOWN and _says_something(key, value)),
    )


def _says_something(key: str, value: Any) -> bool:
    """Whether leaving the field out can be noticed: not if it is empty, off or the default."""
    return bool(value) and not (key == "modalities" and value == ["text"])


def _stop(value: Any) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    raise wrong("stop", "a string or an array of strings")


def _tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for at, entry in enumerate(field(body, "tools", list) or ()):
        where = f"tools[{at}]"
        if not isinstance(entry, dict):
            raise wrong(where, "an object")
        if entry.get("type", "function") != "function":
            raise BadRequest(
                f"{where}.type: {entry['type']!r} cannot be carried over to this model, only functions can",
                param=f"{where}.type",
            )
        function = field(entry, "function", dict, f"{where}.") or {}
        tools.append(_tool(function, f"{where}.function.", entry.get("cache_control") or function.get("cache_control")))
    for at, function in enumerate(field(body, "functions", list) or ()):
        tools.append(_tool(function, f"functions[{at}].", None))
    return tuple(tools)


def _tool(function: Mapping[str, Any], where: str, cache: Any) -> Tool:
    return Tool(
        name=text_field(function, "name", where),
        description=field(function, "description", str, where),
        parameters=field(function, "parameters", dict, where),
        strict=field(function, "strict", bool, where),
        cache=cache if isinstance(cache, dict) else None,
    )


def _tool_choice(body: Mapping[str, Any]) -> ToolChoice | None:
    choice = body.get("tool_choice")
    if choice is None and (choice := body.get("function_call")) is not None and isinstance(choice, dict):
        return ToolChoice("named", (text_field(choice, "name", "function_call."),))
    if choice is None:
        return None
    if choice in ("none", "auto", "required"):
        return ToolChoice(choice)
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "function":
            function = field(choice, "function", dict, "tool_choice.") or {}
            return ToolChoice("named", (text_field(function, "name", "tool_choice.function."),))
        if kind == "allowed_tools":
            return _allowed_tools(field(choice, "allowed_tools", dict, "tool_choice.") or choice)
    raise wrong("tool_choice", '"none", "auto", "required", a function or allowed_tools')


def _allowed_tools(allowed: Mapping[str, Any]) -> ToolChoice:
    where = "tool_choice.allowed_tools"
    names = []
    for entry in field(allowed, "tools", list, f"{where}.") or ():
        function = (entry.get("function") or entry) if isinstance(entry, dict) else None
        if not isinstance(function, dict):
            raise wrong(f"{where}.tools", "an array of functions")
        names.append(text_field(function, "name", f"{where}.tools."))
    return ToolChoice("required" if allowed.get("mode") == "required" else "auto", tuple(names))


def _format(value: Mapping[str, Any] | None) -> JsonFormat | None:
    kind = (value or {}).get("type", "text")
    if kind == "text" or value is None:
        return None
    if kind == "json_object":
        return JsonFormat()
    if kind != "json_schema":
        raise wrong("response_format.type", '"text", "json_object" or "json_schema"')
    where = "response_format.json_schema"
    wanted = field(value, "json_schema", dict, "response_format.") or {}
    return JsonFormat(
        schema=field(wanted, "schema", dict, f"{where}.") or {},
        name=field(wanted, "name", str, f"{where}."),
        strict=field(wanted, "strict", bool, f"{where}."),
        description=field(wanted, "description", str, f"{where}."),
    )


def _reasoning(effort: str | None) -> Reasoning | None:
    if effort is None:
        return None
    if effort not in _EFFORTS:
        raise wrong("reasoning_effort", f"one of {', '.join(_EFFORTS)}")
    return Reasoning(enabled=effort != "none", effort=cast(Any, effort))
