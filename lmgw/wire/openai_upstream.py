"""Requests of OpenAI Chat Completions, written for upstreams: OpenAI and the many servers that speak its dialect.

Only fields that OpenAI documents are sent, and text goes as plain strings where no image or file needs parts: several
servers (DeepSeek, llama-cpp-python) refuse arrays of text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import (
    Document,
    Image,
    JsonFormat,
    Message,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from lmgw.wire.names import fit_id, fit_name, short_names
from lmgw.wire.neutral import JSON_ONLY, with_policy, with_system

CHAT_PATH = "/chat/completions"

#: Limits of the API: ids of calls (the older one), ``user``, ``stop``.
_ID_LENGTH = 40
_USER_LENGTH = 64
_STOPS = 4
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_encode = msgspec.json.Encoder().encode


def render_request(request: Request, target: Target) -> Rendered:
    """Write ``request`` for ``target``. Raises :class:`~lmgw.errors.BadRequest` where the meaning would change."""
    request = with_policy(request, target)
    messages = Conversation(target)
    for message in _told_of_json(request):
        messages.add(message)
    lossy = [*request.dropped, *messages.lossy, *(f"options.{name}" for name in request.options)]
    body: dict[str, Any] = {"model": target.model, "messages": messages.rendered}
    if request.max_tokens is not None:
        body[target.max_tokens_field] = request.max_tokens
    body.update(_sampling(request, target.capabilities, lossy))
    body.update(_tools(request))
    if request.stop:
        body["stop"] = request.stop[:_STOPS]
        if len(request.stop) > _STOPS:
            lossy.append("stop")
    if request.user:
        body["user"] = request.user if len(request.user) <= _USER_LENGTH else sha256(request.user.encode()).hexdigest()
    if request.format is not None:
        body["response_format"] = _response_format(request.format)
    if request.reasoning is not None:
        if target.capabilities.reasoning:
            body["reasoning_effort"] = effort(request.reasoning, target.capabilities)
        elif request.reasoning.enabled:
            lossy.append("reasoning")
    if request.n > 1:
        body["n"] = request.n
    if request.stream:
        body["stream"] = True
        if target.stream_usage:
            body["stream_options"] = {"include_usage": True}
    names = short_names(tool.name for tool in request.tools)
    return Rendered(CHAT_PATH, _encode(body), lossy=tuple(dict.fromkeys(lossy)), tool_names=names)


def _told_of_json(request: Request) -> tuple[Message, ...]:
    """Return the turns; OpenAI refuses ``json_object`` where none of them says "json" (Ollama's callers need not)."""
    if request.format is None or request.format.schema is not None:
        return request.messages
    texts = (part.text for message in request.messages for part in message.parts if isinstance(part, Text))
    said = any("json" in text.lower() for text in texts)
    return request.messages if said else with_system(request.messages, JSON_ONLY)


def effort(reasoning: Reasoning, capabilities: Capabilities) -> str:
    """Return the word for ``reasoning_effort``: the nearest that the model takes, where its list is known."""
    word: str = reasoning.effort or "medium"
    if not reasoning.enabled:
        word = "none"
    elif reasoning.effort is None and reasoning.budget_tokens is not None:
        word = "low" if reasoning.budget_tokens < 4096 else "medium" if reasoning.budget_tokens < 16384 else "high"
    elif reasoning.effort is None and reasoning.adaptive:
        word = "high"  # Anthropic's default
    known = [level for level in _EFFORTS if level in capabilities.efforts]
    if not known or word in known:
        return word
    wanted = _EFFORTS.index(word)
    below = [level for level in known if _EFFORTS.index(level) < wanted and level != "none"]
    return (
        below[-1] if below else next(level for level in known if _EFFORTS.index(level) > wanted or level == known[-1])
    )


def _sampling(request: Request, capabilities: Capabilities, lossy: list[str]) -> dict[str, Any]:
    """Return what steers the choice of tokens; reasoning models refuse all of it but ``seed``."""
    wanted = {
        "temperature": None if request.temperature is None else min(request.temperature, 2),
        "top_p": request.top_p,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
    }
    said = {name: value for name, value in wanted.items() if value is not None}
    if request.top_k is not None:
        lossy.append("top_k")
    if not capabilities.sampling:
        lossy += said
        said = {}
    if request.seed is not None:
        said["seed"] = request.seed
    return said


def _tools(request: Request) -> dict[str, Any]:
    """Return the tools and the choice among them; without tools the API refuses to hear of a choice."""
    choice = request.tool_choice
    allowed = choice.names if choice is not None and choice.mode != "named" else ()
    tools = [tool for tool in request.tools if not allowed or tool.name in allowed]
    if not tools:
        return {}
    rendered = []
    for tool in tools:
        function: dict[str, Any] = {"name": fit_name(tool.name)}
        if tool.description is not None:
            function["description"] = tool.description
        function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
        if tool.strict is not None:
            function["strict"] = tool.strict
        rendered.append({"type": "function", "function": function})
    fields: dict[str, Any] = {"tools": rendered}
    if choice is not None and choice.mode == "named":
        fields["tool_choice"] = {"type": "function", "function": {"name": fit_name(choice.names[0])}}
    elif choice is not None:
        fields["tool_choice"] = choice.mode
    if request.parallel_tools is not None:
        fields["parallel_tool_calls"] = request.parallel_tools
    return fields


def _response_format(format: JsonFormat) -> dict[str, Any]:
    if format.schema is None:
        return {"type": "json_object"}
    wanted: dict[str, Any] = {"name": fit_name(format.name or "response"), "schema": format.schema}
    if format.description is not None:
        wanted["description"] = format.description
    strict = True if format.strict is None and takes_strict(format.schema) else format.strict
    if strict is not None:
        wanted["strict"] = strict
    return {"type": "json_schema", "json_schema": wanted}


def takes_strict(schema: Any) -> bool:
    """Whether OpenAI takes ``schema`` as strict: every object is closed and requires all of its properties."""
    if isinstance(schema, list):
        return all(takes_strict(entry) for entry in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != set(properties):
            return False
        return all(takes_strict(entry) for entry in (*properties.values(), *(schema.get("$defs") or {}).values()))
    return all(takes_strict(entry) for entry in schema.values())


class Conversation(msgspec.Struct):
    """Neutral turns written one after the other as OpenAI's messages."""

    target: Target
    rendered: list[dict[str, Any]] = []
    lossy: list[str] = []

    def add(self, message: Message) -> None:
        """Write one turn: tool results first, each a message of its own, then what else it holds."""
        parts = message.parts
        if len(parts) == 1 and type(part := parts[0]) is Text:
            self.rendered.append({"role": message.role, "content": part.text})
        elif message.role == "assistant":
            self.rendered.append(self._assistant(parts))
        else:
            rest: list[Part] = []
            for part in parts:
                if isinstance(part, ToolResult):
                    rest += self._result(part)
            rest += [part for part in parts if not isinstance(part, ToolResult)]
            if rest or not parts:
                self.rendered.append({"role": message.role, "content": self._content(rest)})

    def _assistant(self, parts: Iterable[Part]) -> dict[str, Any]:
        texts = [part.text for part in parts if isinstance(part, Text)]
        calls = [
            {
                "id": fit_id(part.id, _ID_LENGTH),
                "type": "function",
                "function": {"name": fit_name(part.name), "arguments": part.arguments or "{}"},
            }
            for part in parts
            if isinstance(part, ToolCall)
        ]
        message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
        if self.target.echo_reasoning:
            thoughts = "".join(part.text for part in parts if isinstance(part, Thinking))
            if thoughts or calls:
                message["reasoning_content"] = thoughts
        if calls:
            message["tool_calls"] = calls
        return message

    def _result(self, result: ToolResult) -> list[Part]:
        """Write one result as text; return what a tool's message cannot hold, for the user's turn after it."""
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        if result.is_error:
            self.lossy.append("is_error")
        self.rendered.append(
            {"role": "tool", "tool_call_id": fit_id(result.id, _ID_LENGTH), "content": "\n".join(texts)}
        )
        return [part for part in result.parts if not isinstance(part, Text)]

    def _content(self, parts: list[Part]) -> str | list[Mapping[str, Any]]:
        texts = [part.text for part in parts if isinstance(part, Text)]
        if len(texts) == len(parts):
            return "\n\n".join(texts)
        return [self._part(part) for part in parts]

    def _part(self, part: Part) -> Mapping[str, Any]:
        if isinstance(part, Text):
            return {"type": "text", "text": part.text}
        if isinstance(part, Image):
            return self._image(part)
        if isinstance(part, Document):
            return _document(part)
        raise BadRequest(f"a {type(part).__name__} cannot stand in a user's turn", param="messages")

    def _image(self, image: Image) -> Mapping[str, Any]:
        if not self.target.capabilities.vision:
            raise BadRequest("the model behind this name takes no images", param="messages")
        url = image.url if image.data is None else f"data:{image.media_type};base64,{image.data}"
        return {"type": "image_url", "image_url": {"url": url} | ({"detail": image.detail} if image.detail else {})}


def _document(document: Document) -> Mapping[str, Any]:
    if document.text is not None:
        text = f"{document.title}\n\n{document.text}" if document.title else document.text
        return {"type": "text", "text": text}
    if document.data is None:
        raise BadRequest(
            "the model behind this name takes documents as data, not by URL: send the file itself",
            param="messages",
        )
    data = f"data:{document.media_type};base64,{document.data}"
    return {"type": "file", "file": {"filename": document.title or "document.pdf", "file_data": data}}
