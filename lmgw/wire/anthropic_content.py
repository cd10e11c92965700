"""The content of an Anthropic caller's messages, read into parts."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from lmgw.errors import BadRequest
from lmgw.wire.anthropic_fields import UNSIGNED
from lmgw.wire.events import Document, Image, Message, Part, Text, Thinking, ToolCall, ToolResult
from lmgw.wire.shapes import shaped

_encode = msgspec.json.Encoder().encode

#: Traces of tools that ran at Anthropic in an earlier turn; no other provider knows them.
_TRACES = ("server_tool_use", "mcp_tool_use", "tool_reference")
_TRACE_RESULT = "_tool_result"
_ROLES: dict[str, Literal["user", "assistant", "system"]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
}


class _Source(msgspec.Struct, gc=False):
    """Where an image or a document is."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: str | list[_Block] | None = None


class _Block(msgspec.Struct, gc=False):
    """A block of any type, with the fields of all of them."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    source: _Source | str | None = None
    title: str | None = None
    context: str | None = None
    citations: Any = None
    cache_control: dict[str, Any] | None = None


_Content = str | list[_Block] | None


class _Message(msgspec.Struct, gc=False):
    role: str
    content: _Content = None


class Conversation:
    """Reads the turns of one request.

    :ivar dropped: the kinds of blocks that were left out.
    """

    def __init__(self) -> None:
        self.dropped: list[str] = []
        self._at = -1  # the turn that is read

    def system(self, value: Any) -> tuple[Part, ...]:
        """Read the top-level ``system``. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
        return self._parts(shaped(value, _Content, "system"))  # type: ignore[arg-type]  # a union is a type to msgspec

    def turns(self, messages: list[Any]) -> list[Message]:
        """Read ``messages``. Raises as :meth:`system`."""
        turns = []
        for self._at, message in enumerate(shaped(messages, list[_Message], "messages")):
            role = _ROLES.get(message.role)
            if role is None:
                where = f"messages[{self._at}].role"
                raise BadRequest(f"{where} must be user, assistant or system", param=where)
            turns.append(Message(role, self._parts(message.content)))
        return turns

    def _parts(self, content: _Content) -> tuple[Part, ...]:
        if isinstance(content, str):
            return (Text(content),) if content else ()
        parts: list[Part] = []
        for block in content or ():
            part = self._part(block)
            if part is not None:
                parts.append(part)
        return tuple(parts)

    def _part(self, block: _Block) -> Part | None:
        kind = block.type
        if kind == "text":
            return Text(block.text, block.cache_control) if block.text else None
        if kind == "tool_use":
            if not block.id or not block.name:
                raise self._wrong("a tool_use needs id and name")
            arguments = _encode(block.input).decode() if block.input else "{}"
            return ToolCall(block.id, block.name, arguments, block.cache_control)
        if kind == "tool_result":
            return self._result(block)
        if kind == "thinking":
            return Thinking(block.thinking or "", None if block.signature == UNSIGNED else block.signature or None)
        if kind == "redacted_thinking":
            return Thinking(redacted=self._needed(block.data, "data"))
        if kind == "image":
            return self._image(block)
        if kind == "document":
            return self._document(block)
        if kind == "search_result":
            return self._search_result(block)
        if kind in _TRACES or kind.endswith(_TRACE_RESULT):
            self.dropped.append(f"messages.{kind}")
            return None
        raise self._wrong(f"content of type {kind!r} cannot be carried over to this model")

    def _result(self, block: _Block) -> ToolResult:
        id, said = block.tool_use_id, block.content
        if not id:
            raise self._wrong("a tool_result needs tool_use_id")
        held: tuple[Text | Image | Document, ...]
        if isinstance(said, str):
            held = (Text(said),) if said else ()
        else:
            parts = self._parts(self._inner(said))
            held = tuple(part for part in parts if isinstance(part, Text | Image | Document))
            if len(held) < len(parts):
                raise self._wrong("a tool_result holds text, images and documents only")
        return ToolResult(id, held, None, block.is_error or False, block.cache_control)

    def _image(self, block: _Block) -> Image:
        source = block.source
        if isinstance(source, _Source) and source.type == "base64":
            media_type = self._needed(source.media_type, "source.media_type")
            return Image(media_type, self._needed(source.data, "source.data"), cache=block.cache_control)
        if isinstance(source, _Source) and source.type == "url":
            return Image(url=self._needed(source.url, "source.url"), cache=block.cache_control)
        raise self._foreign(source)

    def _document(self, block: _Block) -> Document:
        source, title, cache = block.source, block.title, block.cache_control
        lost = {"context": block.context, "citations": block.citations}
        self.dropped += [f"messages.document.{key}" for key, value in lost.items() if value]
        match source:
            case _Source("base64", media_type, data):
                return Document(media_type or "application/pdf", self._needed(data, "data"), title=title, cache=cache)
            case _Source("url"):
                return Document(url=self._needed(source.url, "source.url"), title=title, cache=cache)
            case _Source("text"):
                text = self._needed(source.data, "source.data")
                return Document("text/plain", text=text, title=title, cache=cache)
            case _Source("content"):
                parts = self._parts(source.content)
                texts = [part.text for part in parts if isinstance(part, Text)]
                if len(texts) == len(parts):
                    return Document("text/plain", text="\n\n".join(texts), title=title, cache=cache)
        raise self._foreign(source)

    def _search_result(self, block: _Block) -> Text:
        parts = self._parts(self._inner(block.content))
        lines = [block.title, str(block.source or ""), *(part.text for part in parts if isinstance(part, Text))]
        return Text("\n".join(line for line in lines if line), block.cache_control)

    def _needed(self, value: str | None, key: str) -> str:
        if not value:
            raise self._wrong(f"a block's {key} is missing")
        return value

    def _foreign(self, source: _Source | str | None) -> BadRequest:
        kind = source.type if isinstance(source, _Source) else None
        return self._wrong(f"a source of type {kind!r} cannot be carried over to this model: send the content itself")

    def _inner(self, content: Any) -> list[_Block]:
        """Return the blocks inside of a block."""
        return shaped(content or [], list[_Block], f"{self._where}.content")

    @property
    def _where(self) -> str:
        return "system" if self._at < 0 else f"messages[{self._at}].content"

    def _wrong(self, what: str) -> BadRequest:
        return BadRequest(f"{self._where}: {what}", param=self._where)
