"""The conversation of an Ollama chat request, read into turns.

Clients send less than Ollama's ``api/types.go`` has: no ids, no ``tool_name``, no content (Home Assistant).
"""

from __future__ import annotations

from collections import defaultdict, deque
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
        self._unanswered = _Unanswered()

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
                    self._unanswered = _Unanswered()
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
            self._unanswered.add(made)
            parts.append(made)
        return tuple(parts)

    def _result(self, message: OllamaMessage, at: int) -> tuple[Part, ...]:
        content = _content(message, at)
        call = self._unanswered.take(message.tool_call_id, message.tool_name)
        if call is None:
            return content  # no call left that it could answer: what it says still counts
        return (ToolResult(call.id, content, call.name),)

    def _next_id(self) -> str:
        while True:
            made, self._made = f"call_{self._made}", self._made + 1
            if made not in self._given:
                return made


class _Unanswered:
    """The calls of one turn that wait for their results."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCall] = {}  # by their number in the turn
        self._count = self._first = 0
        self._by_id: dict[str, int] = {}
        self._by_name: defaultdict[str, deque[int]] = defaultdict(deque)

    def add(self, call: ToolCall) -> None:
        """A call was made."""
        self._calls[self._count] = call
        self._by_id.setdefault(call.id, self._count)
        self._by_name[call.name].append(self._count)
        self._count += 1

    def take(self, id: str | None, name: str | None) -> ToolCall | None:
        """Take out the call that a result answers: the one of its id, else the first of its name, else the first."""
        if id and (call := self._calls.pop(self._by_id.get(id, -1), None)) is not None:
            return call
        numbers = self._by_name.get(name or "")
        while numbers:
            if (call := self._calls.pop(numbers.popleft(), None)) is not None:
                return call
        while self._first < self._count:
            self._first += 1
            if (call := self._calls.pop(self._first - 1, None)) is not None:
                return call
        return None


def _arguments(arguments: dict[str, Any] | str | None) -> str:
    if isinstance(arguments, str):
        return arguments
    return msgspec.json.encode(arguments or {}).decode()


def _content(message: OllamaMessage, at: int) -> tuple[Text | Image, ...]:
    texts = (Text(message.content),) if message.content else ()
    return (*texts, *images(message.images, f"messages[{at}].images")) if message.images else texts
