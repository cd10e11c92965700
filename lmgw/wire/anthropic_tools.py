"""Tools and the choice among them, written for Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from lmgw.config.snapshot import Capabilities
from lmgw.wire.anthropic_schema import closed
from lmgw.wire.events import Request, Tool, ToolChoice
from lmgw.wire.names import fit_name

#: The API takes no more strict tools than this in one request.
_MAX_STRICT = 20
_JSON_TOOL = "json_answer"
_AUTO = ToolChoice("auto")
_TYPES = {"none": "none", "auto": "auto", "required": "any", "named": "tool"}


class Tools:
    """What one request offers. A model that always thinks cannot be made to call a tool: it can only be offered it.

    :ivar fields: top-level fields of the body; empty without tools, as then there is nothing to choose.
    :ivar forced: the model must call a tool.
    :ivar json_tool: the name of the tool that stands for the JSON that was asked for.
    :ivar lossy: names of the caller's fields that are not kept.
    """

    def __init__(self, request: Request, capabilities: Capabilities, json_schema: dict[str, Any] | None) -> None:
        """``json_schema`` is what the answer must fit where only a tool can see to it."""
        self.fields: dict[str, Any] = {}
        self.forced = False
        self.json_tool: str | None = None
        self.lossy: list[str] = []
        self._may_force = not capabilities.thinking_always_on
        choice = request.tool_choice or _AUTO
        tools = _offered(request.tools, choice, everything=self._may_force)
        rendered = self._rendered(tools, strict=capabilities.structured_outputs)
        if json_schema is not None and tools and choice.mode in ("required", "named"):
            self.lossy.append("response_format")  # a call is wanted, not an answer
        elif json_schema is not None:
            self.json_tool = _unused(_JSON_TOOL, {tool["name"] for tool in rendered})
            rendered.append(_json_tool(self.json_tool, json_schema))
        if rendered:
            self.fields["tools"] = rendered
            self._choose(request, choice, bool(tools))

    def _choose(self, request: Request, choice: ToolChoice, others: bool) -> None:
        said = request.tool_choice is not None or request.parallel_tools is False
        wanted: dict[str, Any] = {"type": _TYPES[choice.mode]}
        if choice.mode == "named":
            wanted["name"] = fit_name(choice.names[0])
        if self.json_tool is not None:
            said = True
            free = others and choice.mode == "auto"  # to call one of the caller's tools before it answers
            wanted = {"type": "any"} if free else {"type": "tool", "name": self.json_tool}
        if wanted["type"] in ("any", "tool"):
            self.forced = self._may_force
            if not self.forced:
                self.lossy.append("tool_choice")
                wanted = {"type": "auto"}
        if request.parallel_tools is False and wanted["type"] != "none":
            wanted["disable_parallel_tool_use"] = True
        if said:
            self.fields["tool_choice"] = wanted

    def _rendered(self, tools: Sequence[Tool], *, strict: bool) -> list[dict[str, Any]]:
        if any(tool.strict for tool in tools) and (not strict or sum(map(_is_strict, tools)) > _MAX_STRICT):
            strict = False
            self.lossy.append("strict")
        return [_tool(tool, strict=strict and _is_strict(tool)) for tool in tools]


def _is_strict(tool: Tool) -> bool:
    return tool.strict is True


def _offered(tools: Sequence[Tool], choice: ToolChoice, *, everything: bool) -> Sequence[Tool]:
    """Return the tools that the choice leaves; the one that is named stands alone where it cannot be forced."""
    if choice.names and not (choice.mode == "named" and everything):
        return [tool for tool in tools if tool.name in choice.names]
    return tools


def _tool(tool: Tool, *, strict: bool) -> dict[str, Any]:
    schema = tool.parameters or {}
    rendered: dict[str, Any] = {"name": fit_name(tool.name)}
    if tool.description:
        rendered["description"] = tool.description
    if not schema:
        schema = {"type": "object", "properties": {}}
    elif "type" not in schema:
        schema = {"type": "object", **schema}
    rendered["input_schema"] = closed(schema) if strict else schema
    if strict:
        rendered["strict"] = True
    if tool.cache is not None:
        rendered["cache_control"] = tool.cache
    return rendered


def _json_tool(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "description": "Gives the answer. Call it once.", "input_schema": schema}


def _unused(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name
