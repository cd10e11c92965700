"""Streams of Anthropic's Messages API, read: an upstream's events to neutral ones.

Real servers weave the blocks of one answer together (llama-server), so nothing here depends on their order: each block
is known by its index until the answer is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.wire import sse
from lmgw.wire.anthropic_answer import Block, Body, input_text
from lmgw.wire.anthropic_fields import Counts, finish_reason
from lmgw.wire.calls import Calls, Fragment, Function
from lmgw.wire.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamError,
    TextDelta,
    Usage,
)
from lmgw.wire.relay import cut_short
from lmgw.wire.statuses import error_in

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Delta(msgspec.Struct, gc=False):
    """What one event adds: to a block, or (``stop_reason``) to the message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """Any event of a stream, as far as the gateway reads it."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Body | None = None
    usage: Counts | None = None
    error: Any = None

    @property
    def failure(self) -> GatewayError:
        """The error that this event is."""
        return error_in({"error": self.error}) or UpstreamFailed("the provider reported an error without saying which")


decode_event = msgspec.json.Decoder(StreamEvent).decode


_KNOWN = frozenset(
    (
        *("message_start", "message_delta", "message_stop", "error"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
    )
)


def unreadable(data: bytes) -> GatewayError | None:
    """Return the error that an event is which cannot be decoded; ``None`` for one of a kind that nobody knows."""
    try:
        found = msgspec.json.decode(data)
    except UNREADABLE:
        found = None if data == b"[DONE]" else {"type": "error"}
    kind = found.get("type") if isinstance(found, dict) else None
    if kind not in _KNOWN:
        return error_in(found) if isinstance(found, dict) and "error" in found else None
    return error_in(found) or UpstreamFailed("the provider sent an event that is not of Anthropic's API")


class MessagesParser:
    """The :class:`~lmgw.wire.dialect.StreamParser` of the Messages API.

    A stream is over with ``message_stop``, with an error, or with its body once a stop reason was given.
    """

    def __init__(self) -> None:
        self._frames = sse.Frames()
        self._over = False
        self._calls = Calls()
        self._inputs: dict[int, str] = {}  # open calls: the whole of their arguments, where no fragments come
        self._thoughts: dict[int, str | None] = {}  # open blocks of reasoning: their signatures
        self._usage: Usage | None = None
        self._stop: Delta | None = None

    def feed(self, data: bytes) -> Sequence[Event]:
        """Take the next bytes, cut anywhere; return the events that they completed."""
        events: list[Event] = []
        if not self._over:
            try:
                self._read(self._frames.feed(data), events)
            except GatewayError as error:
                self._fail(error, events)
        return events

    def eof(self, clean: bool) -> Sequence[Event]:
        """The body ended; ``clean`` is false when the connection broke."""
        events: list[Event] = []
        if clean and not self._over:
            self._read(self._frames.rest(), events)
        if not self._over:
            if self._stop is not None:
                self._finish(events)
            else:
                self._fail(cut_short(clean), events)
        return events

    def _fail(self, error: GatewayError, events: list[Event]) -> None:
        self._over = True
        events.append(StreamError(error))

    def _read(self, frames: list[bytes], events: list[Event]) -> None:
        for frame in frames:
            data = sse.payload(frame)
            if not data or self._over:
                continue
            try:
                event = decode_event(data)
            except UNREADABLE:
                if (failure := unreadable(data)) is not None:
                    self._fail(failure, events)
                continue
            self._event(event, events)

    def _event(self, event: StreamEvent, events: list[Event]) -> None:
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None:
                self._delta(event.index, event.delta, events)
        elif kind == "content_block_start":
            if event.content_block is not None:
                self._start_block(event.index, event.content_block, events)
        elif kind == "content_block_stop":
            self._stop_block(event.index, events)
        elif kind == "message_start":
            message = event.message or Body()
            self._calls.seed = message.id
            if message.usage is not None:
                self._usage = message.usage.usage()
            events.append(Start(str(message.id or ""), str(message.model or ""), self._usage))
        elif kind == "message_delta":
            if event.usage is not None:
                self._usage = event.usage.usage(self._usage)
            if event.delta is not None and event.delta.stop_reason is not None:
                self._stop = event.delta
        elif kind == "message_stop":
            self._finish(events)
        elif kind == "error" or event.error is not None:
            self._fail(event.failure, events)

    def _delta(self, index: int, delta: Delta, events: list[Event]) -> None:
        if delta.text:
            self._calls.pass_by(TextDelta(delta.text), events)
        elif delta.partial_json:
            if index in self._inputs:  # else it is input of a tool that runs at the provider
                self._calls.add(Fragment(index, None, Function(None, delta.partial_json)), events)
        elif delta.thinking:
            self._thoughts.setdefault(index)
            self._calls.pass_by(ReasoningDelta(delta.thinking), events)
        elif delta.signature:
            self._thoughts[index] = delta.signature

    def _start_block(self, index: int, block: Block, events: list[Event]) -> None:
        if block.type == "text" and block.text:
            self._calls.pass_by(TextDelta(block.text), events)
        elif block.type == "tool_use":
            # The input of the start is empty in a stream, or else (servers that do not stream it) the whole.
            self._inputs[index] = input_text(block.input)
            self._calls.add(Fragment(index, block.id, Function(block.name)), events)
        elif block.type == "thinking":
            self._thoughts[index] = block.signature or None
            if block.thinking:
                self._calls.pass_by(ReasoningDelta(block.thinking), events)
        elif block.type == "redacted_thinking":
            self._calls.pass_by(ReasoningEnd(redacted=block.data or ""), events)

    def _stop_block(self, index: int, events: list[Event]) -> None:
        if index in self._thoughts:
            self._calls.pass_by(ReasoningEnd(self._thoughts.pop(index)), events)
        if index in self._inputs:
            self._calls.end(index, self._inputs.pop(index), events)

    def _finish(self, events: list[Event]) -> None:
        for index in sorted((*self._thoughts, *self._inputs)):
            self._stop_block(index, events)
        self._calls.close(events)
        self._over = True
        stop = self._stop or Delta()
        reason = finish_reason(stop.stop_reason, self._calls.any)
        events.append(Finish(reason, self._usage, stop.stop_sequence))
