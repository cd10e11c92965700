"""Streams of Anthropic's Messages API, written for callers.

SDKs want blocks one after the other, numbered without a gap, each begun, filled and ended; a signature on every block
of thinking; ``usage`` in ``message_start`` and ``message_delta``; and never an empty block of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lmgw.wire.anthropic_fields import UNSIGNED, render_usage, stop_reason
from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    TextDelta,
    ToolDelta,
    ToolEnd,
    ToolStart,
    Usage,
)

_TEXT = b'{"type":"text","text":""}'
_THINKING = b'{"type":"thinking","thinking":"","signature":""}'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
_DELTA_END = b"}}\n\n"

_encode = msgspec.json.Encoder().encode


class MessagesRenderer:
    """The :class:`~lmgw.wire.dialect.StreamRenderer` of the Messages API.

    A block is opened with its first content and closed when another kind begins. What comes while a call is open waits
    until it is complete, but for the call's own fragments. Errors are not rendered here: whoever knows that the stream
    is broken off writes them.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._begun = False
        self._usage: Usage | None = None
        self._blocks = 0
        self._open: type[Event] | None = None  # the kind of delta that the open block takes
        self._head = b""  # what stands before the value of such a delta
        self._call: int | None = None  # the call that is open
        self._called = False
        self._waiting: list[Event] = []
        self._late_ends = 0  # blocks of thinking that were closed before their end was told

    def render(self, events: Sequence[Event]) -> bytes:
        """Return the caller's bytes for these events (empty where they only change state)."""
        if len(events) == 1:
            return self._render(events[0])
        return b"".join([self._render(event) for event in events])

    def _render(self, event: Event) -> bytes:
        if self._call is not None:
            return self._within_call(event)
        if isinstance(event, TextDelta):
            if not event.text:
                return b""
            head = b"" if self._open is TextDelta else self._start(TextDelta, _TEXT, b"text_delta", b"text")
            return head + self._head + _encode(event.text) + _DELTA_END
        if isinstance(event, ReasoningDelta):
            if not event.text:
                return b""
            return self._thinking() + self._head + _encode(event.text) + _DELTA_END
        if isinstance(event, ToolStart):
            return self._tool(event)
        if isinstance(event, Start):
            return self._message_start(event)
        if isinstance(event, ReasoningEnd):
            return self._reasoning_end(event)
        if isinstance(event, Finish):
            return self._close() + self._finish(event)
        return b""

    def _within_call(self, event: Event) -> bytes:
        """Render while a call is open."""
        if isinstance(event, ToolDelta) and event.index == self._call:
            return self._head + _encode(event.fragment) + _DELTA_END if event.fragment else b""
        if isinstance(event, ToolEnd) and event.index == self._call:
            return self._end_call()
        if isinstance(event, Finish):
            ended = []
            while self._call is not None:
                ended.append(self._end_call())
            return b"".join(ended) + self._render(event)
        self._waiting.append(event)
        return b""

    def _end_call(self) -> bytes:
        self._call = None
        waiting, self._waiting = self._waiting, []
        return self._close() + self.render(waiting)

    def _message_start(self, start: Start) -> bytes:
        self._usage = start.usage or self._usage
        if self._begun:
            return b""
        self._begun = True
        message: dict[str, Any] = {
            "id": self._reply.id,
            "type": "message",
            "role": "assistant",
            "model": start.model or self._reply.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": render_usage(self._usage),
        }
        return _frame("message_start", {"type": "message_start", "message": message})

    def _start(self, kind: type[Event], block: bytes, delta: bytes, key: bytes) -> bytes:
        """Close the open block and begin another, whose deltas are of type ``delta`` with their value at ``key``."""
        before = self._close() if self._begun else self._message_start(Start("", ""))
        index = self._blocks
        self._blocks += 1
        self._open = kind
        self._head = _DELTA % (index, delta, key)
        start = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
        return before + start % (index, block)

    def _thinking(self) -> bytes:
        if self._open is ReasoningDelta:
            return b""
        return self._start(ReasoningDelta, _THINKING, b"thinking_delta", b"thinking")

    def _tool(self, start: ToolStart) -> bytes:
        name = self._reply.tool_names.get(start.name, start.name)
        block = _encode({"type": "tool_use", "id": start.id, "name": name, "input": {}})
        begun = self._start(ToolDelta, block, b"input_json_delta", b"partial_json")
        self._call = start.index
        self._called = True
        return begun

    def _reasoning_end(self, end: ReasoningEnd) -> bytes:
        if end.redacted is not None:
            block = _encode({"type": "redacted_thinking", "data": end.redacted})
            return self._start(ReasoningEnd, block, b"", b"") + self._close()
        if self._open is ReasoningDelta:
            return self._close(end.signature or UNSIGNED)
        if self._late_ends:
            self._late_ends -= 1
            return b""
        if end.signature is None:
            return b""
        return self._thinking() + self._close(end.signature)  # thinking whose text the provider keeps to itself

    def _close(self, signature: str | None = None) -> bytes:
        """End the open block, if there is one; thinking gets ``signature``, else the gateway's own."""
        kind, self._open = self._open, None
        if kind is None:
            return b""
        index = self._blocks - 1
        stop = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index
        if kind is not ReasoningDelta:
            return stop
        if signature is None:
            self._late_ends += 1
        head = _DELTA % (index, b"signature_delta", b"signature")
        return head + _encode(signature or UNSIGNED) + _DELTA_END + stop

    def _finish(self, finish: Finish) -> bytes:
        begun = b"" if self._begun else self._message_start(Start("", ""))
        reason = stop_reason(finish.reason, finish.stop_sequence, self._called)
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": finish.stop_sequence},
            "usage": render_usage(finish.usage or self._usage),
        }
        return begun + _frame("message_delta", delta) + _frame("message_stop", {"type": "message_stop"})


def _frame(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _encode(data) + b"\n\n"
