"""The conversation of an Ollama chat request, read into turns.

Clients send less than Ollama's ``api/types.go`` has: no ids, no ``tool_name``, no content (Home Assistant).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from lmgw.errors import BadRequest
from lmgw.wire.events import Image, Message, Part, Text, Thinking, ToolCall, ToolResult
from lmgw.wire.media import sniff_image

_PLAIN_ROLES: dict[str, Literal["system", "user"]] = {"system": "system", "user": "user"}


class _Function(msgspec.Struct, gc=False):
    name: str
    arguments: dict[str, Any] | str | None = None


class _Call(msgspec.Struct, gc=False):
    function: _Function
    id: str | None = None


class OllamaMessage(msgspec.Struct, gc=False):
    """One message of a request, as clients write it."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


def parse_messages(messages: Sequence[OllamaMessage]) -> tuple[Message, ...]:
    """Read ``messages``: every call gets an id, every result the id of the call that it answers.

    Neighbouring results become one turn. Raises :class:`~lmgw.errors.BadRequest` naming the field.
    """
    return _Conversation(messages).turns()


def images(data: Sequence[str] | None, where: str) -> list[Image]:
    """Read bare base64 images. Raises :class:`~lmgw.errors.BadRequest` for one of no known type."""
    parts = []
    for at, image in enumerate(data or ()):
        media_type = sniff_image(image)
        if media_type is None:
            here = f"{where}[{at}]"
            raise BadRequest(f"{here} must be a PNG, JPEG, GIF, WebP, BMP or TIFF image in base64", param=here)
        parts.append(Image(media_type, image))
    return parts


class _Conversation:
    """What is known of one chat while its messages are read one after the other."""

    def __init__(self, messages: Sequence[OllamaMessage]) -> None:
        self._messages = messages
        self._given = {call.id for message in messages if message.tool_calls for call in message.tool_calls}
        self._made = 0
        self._unanswered: list[ToolCall] = []

    def turns(self) -> tuple[Message, ...]:
        """Return the neutral turns; neighbouring results are parts of one turn."""
        turns: list[Message] = []
        last_role = ""
        for at, message in enumerate(self._messages):
            role = message.role.lower()
            if role in _PLAIN_ROLES:
                turns.append(Message(_PLAIN_ROLES[role], _content(message, at)))
            elif role == "assistant":
                if last_role != "assistant":
                    self._unanswered.clear()
                turns.append(Message("assistant", self._assistant(message)))
            elif role == "tool":
                parts = self._result(message, at)
                if last_role == "tool":
                    parts = (*turns.pop().parts, *parts)
                turns.append(Message("user", parts))
            else:
                where = f"messages[{at}].role"
                raise BadRequest(f"{where} must be system, user, assistant or tool", param=where)
            last_role = role
        return tuple(turns)

    def _assistant(self, message: OllamaMessage) -> tuple[Part, ...]:
        if not message.tool_calls and not message.thinking:
            return (Text(message.content),) if message.content else ()
        parts: list[Part] = [Thinking(message.thinking)] if message.thinking else []
        if message.content:
            parts.append(Text(message.content))
        for call in message.tool_calls or ():
            made = ToolCall(call.id or self._next_id(), call.function.name, _arguments(call.function.arguments))
            self._unanswered.append(made)
            parts.append(made)
        return tuple(parts)

    def _result(self, message: OllamaMessage, at: int) -> tuple[Part, ...]:
        content = _content(message, at)
        call = self._answered(message)
        if call is None:
            return content  # no call left that it could answer: what it says still counts
        return (ToolResult(call.id, content, call.name),)

    def _answered(self, message: OllamaMessage) -> ToolCall | None:
        """Take out the call that a result answers: the one of its id, else the first of its name, else the first."""
        calls = self._unanswered
        for index, call in enumerate(calls):
            if message.tool_call_id and call.id == message.tool_call_id:
                return calls.pop(index)
        for index, call in enumerate(calls):
            if message.tool_name and call.name == message.tool_name:
                return calls.pop(index)
        return calls.pop(0) if calls else None

    def _next_id(self) -> str:
        while True:
            made, self._made = f"call_{self._made}", self._made + 1
            if made not in self._given:
                return made


def _arguments(arguments: dict[str, Any] | str | None) -> str:
    if isinstance(arguments, str):
        return arguments
    return msgspec.json.encode(arguments or {}).decode()


def _content(message: OllamaMessage, at: int) -> tuple[Text | Image, ...]:
    texts = (Text(message.content),) if message.content else ()
    return (*texts, *images(message.images, f"messages[{at}].images")) if message.images else texts
