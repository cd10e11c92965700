"""The tools of a Responses request, read into functions, which is all that other APIs have.

A custom tool, which takes plain text, becomes a function of one string; a function in a namespace gets the namespace's
name in front of its own. Both are turned back in the answer. Tools that run at OpenAI, or that only its models know
(``web_search``, ``local_shell``), are left out and named: clients send them along unasked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from lmgw.wire.events import Tool, ToolChoice
from lmgw.wire.openai_fields import field, text_field, wrong
from lmgw.wire.responses_fields import Origin

_INPUT = "input"
_TEXT_ONLY: dict[str, Any] = {
    "type": "object",
    "properties": {_INPUT: {"type": "string", "description": "The whole input, as plain text."}},
    "required": [_INPUT],
    "additionalProperties": False,
}

_encode = msgspec.json.Encoder().encode


def parse_tools(entries: Sequence[Any], where: str, dropped: list[str]) -> list[Tool]:
    """Read the tools at ``where``; the types of those that are left out are added to ``dropped``.

    Raises :class:`~lmgw.errors.BadRequest` naming the field.
    """
    tools = []
    for here, namespace, entry in _flat(entries, where):
        kind = text_field(entry, "type", here)
        if kind == "function":
            tools.append(_function(entry, namespace, here))
        elif kind == "custom":
            tools.append(_custom(entry, namespace, here, dropped))
        else:
            dropped.append(f"tools.{kind}")
    return tools


def origins(entries: Sequence[Any]) -> dict[str, Origin]:
    """Return the tools of ``entries``, which were read before, that are called otherwise in the neutral form."""
    found = {}
    for _, namespace, entry in _flat(entries, "tools"):
        custom = entry.get("type") == "custom"
        if custom or namespace is not None:
            found[joined(namespace, str(entry.get("name")))] = Origin(str(entry.get("name")), namespace, custom)
    return found


def joined(namespace: str | None, name: str) -> str:
    """Return the one name of a function in a namespace."""
    return name if not namespace else f"{namespace}__{name}"


def custom_arguments(text: str) -> str:
    """Return the arguments that stand for the input of a custom tool."""
    return _encode({_INPUT: text}).decode()


def custom_input(arguments: str) -> str:
    """Return a custom tool's input; a model that did not keep to the form wrote it as it is."""
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    text = found.get(_INPUT) if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def parse_tool_choice(choice: Any, dropped: list[str]) -> ToolChoice | None:
    """Read ``tool_choice``; a choice of what is left out leaves it to the model."""
    if choice is None or choice in ("none", "auto", "required"):
        return None if choice is None else ToolChoice(choice)
    if not isinstance(choice, dict):
        raise wrong("tool_choice", '"none", "auto", "required" or an object')
    if choice.get("type") in ("function", "custom"):
        return ToolChoice("named", (_named(choice, "tool_choice."),))
    if choice.get("type") == "allowed_tools":
        entries = field(choice, "tools", list, "tool_choice.") or ()
        names = [_named(entry, where) for where, entry in _objects(entries, "tool_choice.tools") if "name" in entry]
        if entries and not names:
            return ToolChoice("none")  # all that may be called was left out
        return ToolChoice("required" if choice.get("mode") == "required" else "auto", tuple(names))
    dropped.append("tool_choice")
    return None


def _named(holder: Mapping[str, Any], where: str) -> str:
    return joined(field(holder, "namespace", str, where), text_field(holder, "name", where))


def _flat(entries: Iterable[Any], where: str) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """Yield each tool with its place and its namespace."""
    for here, entry in _objects(entries, where):
        if entry.get("type") != "namespace":
            yield here, None, entry
            continue
        namespace = text_field(entry, "name", here)
        for inner, tool in _objects(field(entry, "tools", list, here) or (), f"{here}tools"):
            yield inner, namespace, tool


def _objects(entries: Iterable[Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for at, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise wrong(f"{where}[{at}]", "an object")
        yield f"{where}[{at}].", entry


def _function(entry: Mapping[str, Any], namespace: str | None, where: str) -> Tool:
    return Tool(
        name=joined(namespace, text_field(entry, "name", where)),
        description=field(entry, "description", str, where),
        parameters=field(entry, "parameters", dict, where),
        strict=field(entry, "strict", bool, where),
    )


def _custom(entry: Mapping[str, Any], namespace: str | None, where: str, dropped: list[str]) -> Tool:
    """Read a custom tool; a grammar of its input can be told to the model, but not enforced."""
    description = field(entry, "description", str, where)
    wanted = field(entry, "format", dict, where) or {}
    if wanted.get("type") == "grammar":
        dropped.append("tools.format")
        grammar = f"The input must fit this {wanted.get('syntax')} grammar:\n{wanted.get('definition')}"
        description = f"{description}\n\n{grammar}" if description else grammar
    return Tool(joined(namespace, text_field(entry, "name", where)), description, _TEXT_ONLY)
