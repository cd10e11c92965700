"""Ollama's own answers on their way to an Ollama caller: every field kept but ``model``, which is the caller's name.

Clients compare the name with the one they asked for. An object is re-encoded only where ``model`` does not come first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from lmgw.errors import UpstreamFailed
from lmgw.wire.dialect import Reply
from lmgw.wire.ollama_answer import (
    AnswerMessage,
    Line,
    call_object,
    error_inside,
    finish_reason,
    head,
    line_usage,
    read_line,
)
from lmgw.wire.progress import Progress
from lmgw.wire.tool_repair import CallText

_ENCODE = msgspec.json.encode
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
#: How an object begins whose first key is its model.
_HEAD = re.compile(rb'(\s*\{\s*"model"\s*:\s*)"[^"\\]*(?:\\.[^"\\]*)*"')
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class OllamaScanner:
    """Reads the lines of one stream as they pass, and gives them the caller's name for the model.

    With ``tools`` (names that the request offered) text that may still be nothing but calls of them is held back, see
    :mod:`lmgw.wire.tool_repair`.
    """

    def __init__(self, reply: Reply, tools: Collection[str] = ()) -> None:
        self.progress = Progress()
        self._reply = reply
        self._rename = Renamer(reply.model)
        self._text = CallText(tools, reply.id)
        self._held: list[bytes] = []

    def scan(self, frame: bytes) -> bytes:
        """Read one line; return the caller's, ``b""`` for an error and for what is held back."""
        try:
            line = read_line(frame)
        except _UNREADABLE:
            return frame
        if line.error is not None:
            self.progress.error = error_inside(line.error)
            return self._release()
        note(self.progress, line)
        frame = self._rename(frame)
        return self._repaired(line, frame) if self._text.open else frame

    def end(self) -> bytes:
        """An Ollama stream lacks nothing at its end."""
        return b""

    def _repaired(self, line: Line, frame: bytes) -> bytes:
        message = line.message or AnswerMessage()
        if message.tool_calls or (message.content and not self._text.push(message.content)):
            return self._release() + frame
        if not line.done:
            if not message.content:
                return frame
            self._held.append(frame)
            return b""
        calls = repaired(self._text, self._reply, self.progress)
        if not calls:
            return self._release() + frame
        self._text.open = False
        silent = {"role": "assistant", "content": ""}
        called = _ENCODE({**head(self._reply), "message": {**silent, "tool_calls": calls}, "done": False})
        return called + b"\n" + (_edited(frame, {"message": silent}) + b"\n" if message.content else frame)

    def _release(self) -> bytes:
        self._text.open = False
        held = b"".join(self._held)
        self._held.clear()
        return held


class Renamer:
    """Gives the objects of one answer another model's name."""

    def __init__(self, name: str) -> None:
        self._name = _ENCODE(name)
        self._old = self._new = b""

    def __call__(self, data: bytes) -> bytes:
        """Return ``data``, one JSON object, with the name as its ``model``."""
        if self._old and data.startswith(self._old):
            return self._new + data[len(self._old) :]
        begins = _HEAD.match(data)
        if begins is None:
            return _edited(data, {"model": Raw(self._name)}) + (b"\n" if data.endswith(b"\n") else b"")
        self._old, self._new = begins.group(), begins[1] + self._name
        return self._new + data[begins.end() :]


def relay_answer(body: bytes, reply: Reply, tools: Collection[str] = ()) -> tuple[bytes, Progress]:
    """Return a whole answer with the caller's name in it, and what is known of it.

    An error inside a 200 is in ``progress.error`` and the bytes are empty. ``tools`` as for :class:`OllamaScanner`.
    """
    progress = Progress()
    try:
        line = read_line(body)
    except _UNREADABLE:
        progress.error = UpstreamFailed("the provider's answer is not what Ollama's API sends")
        return b"", progress
    if line.error is not None:
        progress.error = error_inside(line.error)
    elif line.message is None:
        progress.error = UpstreamFailed("the provider's answer holds no message")
    if progress.error is not None:
        return b"", progress
    line.done = True
    note(progress, line)
    body = Renamer(reply.model)(body)
    if tools and line.message is not None and line.message.content and not line.message.tool_calls:
        text = CallText(tools, reply.id)
        text.push(line.message.content)
        if calls := repaired(text, reply, progress):
            message = _edited(bytes(_FIELDS.decode(body)["message"]), {"content": "", "tool_calls": calls})
            body = _edited(body, {"message": Raw(message)})
    return body, progress


def note(progress: Progress, line: Line) -> None:
    """Write down what one object of an answer tells."""
    if progress.model is None:
        progress.model = line.model
    message = line.message
    if message is not None:
        if text := message.content:
            progress.add_text(text)
        if message.thinking:
            progress.content = progress.reasoning = True
            progress.chars += len(message.thinking)
        if message.tool_calls:
            progress.content = progress.tool_call = True
            progress.chars += sum(len(bytes(call.function.arguments)) for call in message.tool_calls)
    if line.done:
        progress.finish = finish_reason(line.done_reason, progress.tool_call)
        progress.usage = line_usage(line)


def repaired(text: CallText, reply: Reply, progress: Progress) -> list[dict[str, Any]]:
    """Return the calls that a finished text is, as clients take them, and write them down; nothing if it is text."""
    calls = text.calls()
    if calls:
        progress.tool_call = True
        if progress.finish == "stop":
            progress.finish = "tool_calls"
    return [call_object(index, call, reply) for index, call in enumerate(calls)]


def _edited(data: bytes, edits: Mapping[str, Any]) -> bytes:
    return _ENCODE({**_FIELDS.decode(data), **edits})
