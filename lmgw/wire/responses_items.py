"""The ``input`` of a Responses request, read into turns.

It is a flat list: what the assistant thought, said and called stands in items of their own, and so do the results.
Here they are gathered again: one turn of the assistant's holds its thoughts, its text and its calls, one turn of the
user's all results that follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmgw.errors import BadRequest
from lmgw.wire.events import Document, Image, Message, Part, Text, Thinking, ToolCall, ToolResult
from lmgw.wire.openai_fields import field, text_field, wrong
from lmgw.wire.openai_messages import data_url
from lmgw.wire.responses_fields import unseal
from lmgw.wire.responses_tools import custom_arguments, joined

_TEXTS = ("input_text", "output_text", "text")
#: Items whose content only OpenAI has, with what is missing of the conversation without them.
_KEPT_ELSEWHERE = {
    "item_reference": "what it refers to is not stored here: send the item itself",
    "compaction": "only the provider that made it can read it: send the items that it stands for",
}


class Conversation:
    """Reads the items of one request; ``finish`` completes the last turn.

    :ivar turns: what was read.
    :ivar tools: what is offered in the middle of the conversation, with its place: Codex offers some models all there.
    :ivar dropped: the kinds of items that were left out: traces of tools that ran at OpenAI in an earlier turn.
    """

    def __init__(self) -> None:
        self.turns: list[Message] = []
        self.tools: list[tuple[str, list[Any]]] = []
        self.dropped: list[str] = []
        self._said: list[Part] = []  # the assistant's turn that is open
        self._kinds: set[type[Part]] = set()  # of its parts
        self._results: list[Part] = []  # the user's

    def add(self, item: Any, where: str) -> None:
        """Read one item. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
        if not isinstance(item, dict):
            raise wrong(where, "an object")
        where += "."
        kind = field(item, "type", str, where) or ("message" if "role" in item else "item_reference")
        match kind:
            case "message":
                self._message(item, where)
            case "reasoning":
                self._assistant(_thinking(item, where))
            case "function_call":
                self._assistant(_call(item, field(item, "arguments", str, where) or "", where))
            case "custom_tool_call":
                self._assistant(_call(item, custom_arguments(field(item, "input", str, where) or ""), where))
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, where)
            case "additional_tools":
                self.tools.append((f"{where}tools", field(item, "tools", list, where) or []))
            case _ if kind in _KEPT_ELSEWHERE:
                raise BadRequest(f"{where[:-1]}: {kind} cannot be read: {_KEPT_ELSEWHERE[kind]}", param=where[:-1])
            case _:
                self.dropped.append(f"input.{kind}")

    def finish(self) -> None:
        """The input is over."""
        self._close()

    def _message(self, item: Mapping[str, Any], where: str) -> None:
        role = item.get("role")
        parts = _content(item, "content", where)
        if role == "assistant":
            for part in parts:
                self._assistant(part)
        elif role == "user":
            self._turn(Message("user", parts))
        elif role == "system" or role == "developer":
            self._turn(Message("system", parts))
        else:
            raise wrong(f"{where}role", "user, system, developer or assistant")

    def _assistant(self, part: Part) -> None:
        """Go on with the assistant's turn; a second text is a turn of its own unless it must stand beside a call."""
        if self._results:
            self._close()
        if Text in self._kinds and ToolCall not in self._kinds and not isinstance(part, ToolCall):
            self._close()
        self._said.append(part)
        self._kinds.add(type(part))

    def _result(self, item: Mapping[str, Any], where: str) -> None:
        parts: list[Any] = list(_content(item, "output", where))
        if self._said:
            self._close()
        self._results.append(ToolResult(text_field(item, "call_id", where), tuple(parts)))

    def _turn(self, message: Message) -> None:
        self._close()
        self.turns.append(message)

    def _close(self) -> None:
        if self._said:
            self.turns.append(Message("assistant", tuple(self._said)))
            self._said = []
            self._kinds.clear()
        if self._results:
            self.turns.append(Message("user", tuple(self._results)))
            self._results = []


def _call(item: Mapping[str, Any], arguments: str, where: str) -> ToolCall:
    name = joined(field(item, "namespace", str, where), text_field(item, "name", where))
    return ToolCall(text_field(item, "call_id", where), name, arguments)


def _thinking(item: Mapping[str, Any], where: str) -> Thinking:
    """Read reasoning: its summary, or its text where a server shows that; what OpenAI encrypted is OpenAI's alone."""
    entries = field(item, "summary", list, where) or field(item, "content", list, where) or ()
    texts = [entry.get("text") for entry in entries if isinstance(entry, dict)]
    signature, redacted = unseal(field(item, "encrypted_content", str, where) or "")
    return Thinking("\n\n".join(text for text in texts if isinstance(text, str)), signature, redacted)


def _content(holder: Mapping[str, Any], key: str, where: str) -> tuple[Part, ...]:
    content = holder.get(key)
    if isinstance(content, str):
        return (Text(content),) if content else ()
    if content is None:
        return ()
    if not isinstance(content, list):
        raise wrong(f"{where}{key}", "a string or an array of parts")
    parts = []
    for at, part in enumerate(content):
        here = f"{where}{key}[{at}]"
        if not isinstance(part, dict):
            raise wrong(here, "an object")
        parts.append(_part(part, f"{here}."))
    return tuple(parts)


def _part(part: Mapping[str, Any], where: str) -> Part:
    kind = part.get("type")
    if kind in _TEXTS:
        return Text(field(part, "text", str, where) or "")
    if kind == "input_image":
        return _image(part, where)
    if kind == "input_file":
        return _file(part, where)
    if kind == "refusal":
        return Text(field(part, "refusal", str, where) or "")
    raise BadRequest(f"{where}type: a {kind!r} part cannot be carried over to this model", param=f"{where}type")


def _image(part: Mapping[str, Any], where: str) -> Image:
    url = field(part, "image_url", str, where)
    detail = field(part, "detail", str, where)
    if not url:
        raise _uploaded(f"{where}image_url", "image")
    if url.startswith("data:"):
        media_type, data = data_url(url, f"{where}image_url")
        return Image(media_type, data, detail=detail)
    return Image(url=url, detail=detail)


def _file(part: Mapping[str, Any], where: str) -> Document:
    data, url = field(part, "file_data", str, where), field(part, "file_url", str, where)
    title = field(part, "filename", str, where)
    if url:
        return Document(url=url, title=title)
    if not data:
        raise _uploaded(f"{where}file_data", "file")
    if not data.startswith("data:"):
        return Document(data=data, title=title)
    media_type, data = data_url(data, f"{where}file_data")
    return Document(media_type, data, title=title)


def _uploaded(where: str, what: str) -> BadRequest:
    remedy = f"this model cannot be given what was uploaded, send the {what} itself"
    return BadRequest(f"{where} is missing: {remedy}", param=where)
