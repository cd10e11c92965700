"""Streams of Ollama's native API: an upstream's lines to events, events to a caller's lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.wire import ndjson
from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Event,
    Finish,
    ReasoningDelta,
    Start,
    StreamError,
    TextDelta,
    ToolCall,
    ToolDelta,
    ToolEnd,
    ToolStart,
    Usage,
)
from lmgw.wire.ollama_answer import (
    CallReader,
    Shape,
    call_object,
    error_inside,
    finish_reason,
    head,
    line_usage,
    read_line,
    tail,
)
from lmgw.wire.relay import cut_short

_ENCODE = msgspec.json.encode
#: Stands for the changing value in a line's template.
_MARK = "\0"


class OllamaParser:
    """Reads one upstream stream; a stream is over with its ``done`` line or an error, whatever follows."""

    def __init__(self) -> None:
        self._frames = ndjson.Frames()
        self._calls = CallReader()
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, cut anywhere; return the events that they completed."""
        if self._ended:
            return []
        try:
            return self._read(self._frames.feed(data))
        except GatewayError as error:
            return self._fail(error)

    def eof(self, clean: bool) -> list[Event]:
        """The body ended: return what its last line says, or an error where it never said that it is done."""
        if self._ended:
            return []
        events = self._read(self._frames.rest()) if clean else []
        return events if self._ended else [*events, *self._fail(cut_short(clean))]

    def _fail(self, error: GatewayError) -> list[Event]:
        self._ended = True
        return [StreamError(error)]

    def _read(self, frames: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            self._line(frame, events)
            if self._ended:
                break
        return events

    def _line(self, frame: bytes, events: list[Event]) -> None:
        try:
            line = read_line(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            events += self._fail(UpstreamFailed("the provider sent a line that is not what Ollama's API sends"))
            return
        if line.error is not None:
            events += self._fail(error_inside(line.error))
            return
        if not self._begun:
            self._begun = True
            events.append(Start("", line.model or ""))
        message = line.message
        if message is not None:
            if message.thinking:
                events.append(ReasoningDelta(message.thinking))
            if message.content:
                events.append(TextDelta(message.content))
            if message.tool_calls:
                index = self._calls.count
                for at, call in enumerate(self._calls.read(line), index):
                    events += (ToolStart(at, call.id, call.name), ToolDelta(at, call.arguments), ToolEnd(at))
        if line.done:
            self._ended = True
            events.append(Finish(finish_reason(line.done_reason, self._calls.count > 0), line_usage(line)))


class OllamaRenderer:
    """Writes one caller's stream: a line for each piece of text or thinking, and for each call once it is whole.

    Errors are not rendered here: whoever knows that the stream is broken off writes them.
    """

    def __init__(self, reply: Reply, shape: Shape) -> None:
        self._reply = reply
        self._shape = shape
        self._head = head(reply)
        self._text = self._template(text=_MARK)
        self._thinking = self._template(text="", thinking=_MARK)
        self._open: dict[int, tuple[ToolStart, list[str]]] = {}
        self._calls = 0
        self._first_ns: int | None = None
        self._usage: Usage | None = None

    def render(self, events: Sequence[Event]) -> bytes:
        """Return the caller's lines for these events (empty where they only change state)."""
        lines: list[bytes] = []
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is ReasoningDelta:
                if self._first_ns is None:
                    self._first_ns = self._reply.elapsed_ns()
                before, after = self._text if kind is TextDelta else self._thinking
                lines += (before, _ENCODE(event.text), after)  # type: ignore[union-attr]
            elif isinstance(event, ToolStart):
                self._open[event.index] = (event, [])
            elif isinstance(event, ToolDelta):
                self._open[event.index][1].append(event.fragment)
            elif isinstance(event, ToolEnd):
                lines.append(self._call(*self._open.pop(event.index)))
            elif isinstance(event, Finish):
                lines.append(self._finish(event))
            elif isinstance(event, Start):
                self._usage = event.usage
        return b"".join(lines)

    def _call(self, start: ToolStart, fragments: list[str]) -> bytes:
        if self._first_ns is None:
            self._first_ns = self._reply.elapsed_ns()
        call = ToolCall(start.id, start.name, "".join(fragments))
        fields = self._shape.fields("", calls=[call_object(self._calls, call, self._reply)])
        self._calls += 1
        return self._line({**fields, "done": False})

    def _finish(self, finish: Finish) -> bytes:
        total_ns = self._reply.elapsed_ns()
        first_ns = total_ns if self._first_ns is None else self._first_ns
        last = tail(finish.reason, finish.usage or self._usage, first_ns, total_ns)
        return self._line({**self._shape.fields(""), **last})

    def _line(self, fields: dict[str, Any]) -> bytes:
        return _ENCODE({**self._head, **fields}) + b"\n"

    def _template(self, text: str, thinking: str = "") -> tuple[bytes, bytes]:
        """Return what stands before and after the one value that changes from line to line."""
        line = self._line({**self._shape.fields(text, thinking), "done": False})
        before, _, after = line.rpartition(_ENCODE(_MARK))
        return before, after
