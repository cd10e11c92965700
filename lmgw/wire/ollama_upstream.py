"""Requests written for an Ollama server's ``/api/chat``.

Ollama streams unless told otherwise, so ``stream`` is always said; it has no tool choice, no parallel switch and no
image URLs; ``think: true`` is a 400 on a model that cannot think, and thinking models think unless told not to.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.arguments import arguments_object
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import (
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from lmgw.wire.neutral import with_policy

CHAT_PATH = "/api/chat"

#: Options that the neutral form has fields for, under the same names.
_OPTIONS = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
#: Efforts in Ollama's words, weakest first, and what stands for those that it does not know.
_EFFORTS = ("low", "medium", "high", "max")
_EFFORT = {"minimal": "low", "xhigh": "max"}

_ENCODE = msgspec.json.encode


def render_chat(request: Request, target: Target) -> Rendered:
    """Write ``request`` for Ollama. Raises :class:`~lmgw.errors.BadRequest` where the meaning would change."""
    if request.n > 1:
        raise BadRequest("n must be 1: the model behind this name gives one answer at a time", param="n")
    lossy = list(request.dropped)
    wishes = request.reasoning is not None
    request = with_policy(request, target)
    messages = _Messages(target.capabilities)
    for message in request.messages:
        messages.add(message)
    body: dict[str, Any] = {
        "model": target.model,
        "messages": messages.rendered,
        "stream": request.stream,
    }
    lossy += messages.lossy
    if tools := _offered(request.tools, request.tool_choice):
        body["tools"] = [_tool(tool) for tool in tools]
        if request.tool_choice is not None and request.tool_choice.mode in ("required", "named"):
            lossy.append("tool_choice")
        if request.parallel_tools is False:
            lossy.append("parallel_tool_calls")
    if request.format is not None:
        body["format"] = "json" if request.format.schema is None else request.format.schema
    if request.reasoning is not None:
        think = think_value(request.reasoning, target.capabilities)
        if think is not None:
            body["think"] = think
        elif wishes:
            lossy.append("reasoning")
    if options := {**target.options, **_options(request), **target.pinned_options}:
        body["options"] = options
    keep_alive = target.keep_alive if request.keep_alive is None else request.keep_alive
    if keep_alive is not None:
        body["keep_alive"] = keep_alive
    return Rendered(CHAT_PATH, _ENCODE(body), lossy=tuple(dict.fromkeys(lossy)))


def _offered(tools: tuple[Tool, ...], choice: ToolChoice | None) -> tuple[Tool, ...]:
    """Return the tools that may be offered so that the choice holds as far as Ollama can be made to obey."""
    if choice is None:
        return tools
    if choice.mode == "none":
        return ()
    return tuple(tool for tool in tools if not choice.names or tool.name in choice.names)


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def think_value(reasoning: Reasoning, capabilities: Capabilities) -> bool | str | None:
    """Return Ollama's ``think``, ``None`` to say nothing: off can always be said, on only to a model known to think."""
    if not reasoning.enabled or reasoning.effort == "none":
        return False
    if not thinks(capabilities):
        return None
    if reasoning.effort is None:
        return True
    return _effort(_EFFORT.get(reasoning.effort, reasoning.effort), capabilities.efforts)


def thinks(capabilities: Capabilities) -> bool:
    """Whether a model is known to think."""
    return capabilities.reasoning or capabilities.thinking != "none"


def _effort(word: str, known: tuple[str, ...]) -> str:
    """Return the effort nearest below ``word`` that the model knows, the weakest it knows if there is none below."""
    levels = [level for level in _EFFORTS if level in known] or list(_EFFORTS)
    below = [level for level in levels if _EFFORTS.index(level) <= _EFFORTS.index(word)]
    return below[-1] if below else levels[0]


def _options(request: Request) -> dict[str, Any]:
    options = dict(request.options)
    for name in _OPTIONS:
        value = getattr(request, name)
        if value is not None:
            options[name] = value
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if request.stop:
        options["stop"] = request.stop
    return options


class _Messages:
    """Neutral turns written one after the other as Ollama's messages."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.rendered: list[dict[str, Any]] = []
        self.lossy: list[str] = []
        self._vision = capabilities.vision
        self._names: dict[str, str] = {}
        self._places: dict[str, int] = {}  # of calls among all, by their ids
        self._run: list[int] = []  # the places of the calls whose results stand last
        self._count = count()

    def add(self, message: Message) -> None:
        """Write one turn: tool results first, each a message of its own, then what else it holds."""
        parts = message.parts
        if len(parts) == 1 and type(part := parts[0]) is Text:
            self._other({"role": message.role, "content": part.text})
            return
        rest: list[Part] = []
        for part in parts:
            if isinstance(part, ToolResult):
                self._result(part)
            else:
                rest.append(part)
        if rest or not parts:
            self._other(self._turn(message.role, rest))

    def _other(self, turn: dict[str, Any]) -> None:
        """Add what is no result."""
        self.rendered.append(turn)
        self._run.clear()

    def _turn(self, role: str, parts: list[Part]) -> dict[str, Any]:
        turn = self._message(role, parts, "" if role == "assistant" else "\n\n")
        if thinking := "".join(part.text for part in parts if isinstance(part, Thinking)):
            turn["thinking"] = thinking
        if calls := [self._call(part) for part in parts if isinstance(part, ToolCall)]:
            turn["tool_calls"] = calls
        return turn

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._names[call.id] = call.name
        self._places[call.id] = next(self._count)
        return {"id": call.id, "function": {"name": call.name, "arguments": arguments_object(call.arguments)}}

    def _result(self, result: ToolResult) -> None:
        turn = self._message("tool", result.parts, "\n")
        if name := result.name or self._names.get(result.id):
            turn["tool_name"] = name
        turn["tool_call_id"] = result.id
        if result.is_error:
            self.lossy.append("is_error")
        # Models know their calls' results by the order.
        place = self._places.get(result.id, self._run[-1] if self._run else -1)
        at = bisect(self._run, place)
        self.rendered.insert(len(self.rendered) - len(self._run) + at, turn)
        self._run.insert(at, place)

    def _message(self, role: str, parts: Iterable[Part], joint: str) -> dict[str, Any]:
        texts: list[str] = []
        images: list[str] = []
        for part in parts:
            if isinstance(part, Text):
                texts.append(part.text)
            elif isinstance(part, Image):
                images.append(self._image(part))
            elif isinstance(part, Document):
                texts.append(_document(part))
        message: dict[str, Any] = {"role": role, "content": joint.join(texts)}
        if images:
            message["images"] = images
        return message

    def _image(self, image: Image) -> str:
        if not self._vision:
            raise BadRequest("the model behind this name takes no images", param="messages")
        if image.data is None:
            raise BadRequest(
                "the model behind this name takes images as data, not by URL: send the image itself, as a data URL",
                param="messages",
            )
        return image.data


def _document(document: Document) -> str:
    if document.text is None:
        raise BadRequest("the model behind this name takes no documents but plain text", param="messages")
    return f"{document.title}\n\n{document.text}" if document.title else document.text
