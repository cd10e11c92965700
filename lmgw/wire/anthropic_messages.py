"""Neutral turns written as the ``system`` and ``messages`` of Anthropic's Messages API.

The API wants turns that alternate, the user's first; all results of one turn's calls together, before anything else in
that turn; no empty text anywhere.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.anthropic_fields import UNSIGNED
from lmgw.wire.arguments import arguments_object
from lmgw.wire.events import Document, Image, Message, Part, Text, Thinking, ToolCall, ToolResult
from lmgw.wire.names import fit_name, hashed_id

_Block = dict[str, Any]

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_PDF = "application/pdf"
_ID = re.compile(r"[a-zA-Z0-9_-]+").fullmatch
#: Stands for the user's turn where a conversation begins with the assistant's.
_OPENING = {"role": "user", "content": "…"}
#: Which parts stand first in a turn and which last.
_RANKS = {ToolResult: 0, Thinking: 0, ToolCall: 2}


class Conversation:
    """Turns written one after the other; ``finish`` completes them.

    :ivar system: blocks of the top-level ``system``.
    :ivar turns: the ``messages``.
    """

    def __init__(self, capabilities: Capabilities) -> None:
        self.system: list[_Block] = []
        self.turns: list[dict[str, Any]] = []
        self._capabilities = capabilities
        self._role: str | None = None  # of the last turn
        self._open: list[Part] | None = None  # what it holds, while more may come
        self._late_system: list[_Block] = []
        self._names: dict[str, str] = {}  # of tools, as they came, to what they are called here

    def add(self, message: Message) -> None:
        """Write one turn. Raises :class:`~lmgw.errors.BadRequest` for what the API cannot be given."""
        role, parts = message.role, message.parts
        if role == "system":
            texts = [_text(part) for part in parts if isinstance(part, Text) and _says_something(part)]
            native = self._role is not None and self._capabilities.mid_system
            (self._late_system if native else self.system).extend(texts)
            return
        if self._late_system:
            self._place_late_system(followed_by=role)
        if role == "user" and not any(map(_counts, parts)):
            return
        if self._open is None or role != self._role:
            self._close()
            self._open, self._role = [], role
        self._open += parts

    def finish(self) -> None:
        """The conversation is over. Raises :class:`~lmgw.errors.BadRequest` where nothing was said in it."""
        if self._late_system:
            self._place_late_system(followed_by=None)
        self._close()
        if self.turns and not self.turns[-1]["content"]:
            self.turns.pop()  # an empty beginning of the answer says nothing
        if not self.turns:
            raise BadRequest(
                "messages must hold something that the user says: this model takes no request of system text alone",
                param="messages",
            )
        if self.turns[0]["role"] == "assistant":
            self.turns.insert(0, _OPENING)

    @property
    def system_text(self) -> list[_Block] | str:
        """What ``system`` is to say."""
        return _short(self.system)

    @property
    def ends_in_unsigned_calls(self) -> bool:
        """Whether the assistant's last turn has tool calls and does not begin with thinking."""
        for turn in reversed(self.turns):
            if turn["role"] == "assistant":
                content = turn["content"]
                calls = isinstance(content, list) and bool(content) and content[-1]["type"] == "tool_use"
                return calls and "thinking" not in content[0]["type"]
        return False

    def _close(self) -> None:
        """The last turn is whole: neighbours of one role are one turn."""
        if self._open is not None:
            self.turns.append({"role": self._role, "content": self._content(self._open, self._role or "")})
            self._open = None

    def _place_late_system(self, followed_by: str | None) -> None:
        """A system turn may stand after a user's if the assistant's or nothing follows; elsewhere it is hoisted."""
        if self._role == "user" and followed_by != "user":
            self._close()
            self.turns.append({"role": "system", "content": _short(self._late_system)})
            self._role = "system"
        else:
            self.system += self._late_system
        self._late_system = []

    def _content(self, parts: Sequence[Part], role: str) -> list[_Block] | str:
        """Write what a turn or a result holds: results and thinking first, calls last."""
        if len(parts) == 1 and type(part := parts[0]) is Text and part.cache is None and _says_something(part):
            return part.text
        ranked: tuple[list[_Block], ...] = ([], [], [])
        for part in parts:
            block = self._block(part, role)
            if block is not None:
                ranked[_RANKS.get(type(part), 1)].append(block)
        return _short([*ranked[0], *ranked[1], *ranked[2]])

    def _block(self, part: Part, role: str) -> _Block | None:
        if isinstance(part, Text):
            return _text(part) if _says_something(part) else None
        if role == "assistant":
            if isinstance(part, ToolCall):
                return self._call(part)
            if isinstance(part, Thinking):
                return _thinking(part) if self._capabilities.thinking != "none" else None
        elif isinstance(part, ToolResult):
            return self._result(part)
        elif isinstance(part, Image):
            return self._image(part)
        elif isinstance(part, Document):
            return _document(part)
        raise BadRequest(f"a turn of the {role}'s cannot hold a part of type {type(part).__name__}", param="messages")

    def _call(self, call: ToolCall) -> _Block:
        name = self._names.get(call.name)
        if name is None:
            name = self._names[call.name] = fit_name(call.name)
        block = {"type": "tool_use", "id": fit_id(call.id), "name": name, "input": arguments_object(call.arguments)}
        return _cached(block, call.cache)

    def _result(self, result: ToolResult) -> _Block:
        block: _Block = {"type": "tool_result", "tool_use_id": fit_id(result.id)}
        if content := self._content(result.parts, "user"):
            block["content"] = content
        if result.is_error:
            block["is_error"] = True
        return _cached(block, result.cache)

    def _image(self, image: Image) -> _Block:
        if not self._capabilities.vision:
            raise BadRequest("the model behind this name takes no images", param="messages")
        if image.data is None:
            source = {"type": "url", "url": image.url}
        else:
            media_type = "image/jpeg" if image.media_type == "image/jpg" else image.media_type
            if media_type not in _IMAGES:
                raise BadRequest(
                    f"the model behind this name takes images as JPEG, PNG, GIF or WebP, not as {media_type}",
                    param="messages",
                )
            source = {"type": "base64", "media_type": media_type, "data": image.data}
        return _cached({"type": "image", "source": source}, image.cache)


def fit_id(id: str) -> str:
    """Return a call's ``id`` as the API takes it: as it is if that will do, else a hash of it."""
    if (id.isidentifier() and id.isascii()) or _ID(id):  # the former is quicker, and true of most
        return id
    return hashed_id(id)


def _counts(part: Part) -> bool:
    """Whether a part is more than empty text, which the API refuses."""
    return type(part) is not Text or _says_something(part)


def _says_something(part: Text) -> bool:
    return bool(part.text) and not part.text.isspace()


def _short(content: list[_Block]) -> list[_Block] | str:
    """Return a single plain text as a string, which says the same."""
    if len(content) == 1 and len(content[0]) == 2 and "text" in content[0]:
        text: str = content[0]["text"]
        return text
    return content


def _cached(block: _Block, cache: Mapping[str, Any] | None) -> _Block:
    if cache is not None:
        block["cache_control"] = cache
    return block


def _text(part: Text) -> _Block:
    return _cached({"type": "text", "text": part.text}, part.cache)


def _thinking(part: Thinking) -> _Block | None:
    """Only what an Anthropic model itself has made can be given back to one."""
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature is not None and part.signature != UNSIGNED:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _document(document: Document) -> _Block:
    source: dict[str, str | None]
    if document.text is not None:
        source = {"type": "text", "media_type": "text/plain", "data": document.text}
    elif document.data is None:
        source = {"type": "url", "url": document.url}
    elif document.media_type == _PDF:
        source = {"type": "base64", "media_type": _PDF, "data": document.data}
    elif document.media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(document.data)}
    else:
        raise BadRequest(
            f"the model behind this name takes documents as PDF or text, not as {document.media_type}", param="messages"
        )
    block: _Block = {"type": "document", "source": source}
    if document.title is not None:
        block["title"] = document.title
    return _cached(block, document.cache)


def _decoded(data: str) -> str:
    try:
        return b64decode(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise BadRequest("a text document must be UTF-8 in base64", param="messages") from None
