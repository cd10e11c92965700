"""Streams of OpenAI Chat Completions, read: chunks of upstreams of every make to events.

A stream is complete by its ``finish_reason``; ``[DONE]`` alone proves nothing (llama-cpp-python sends it when it cuts a
stream) and may be missing (transformers). Usage may come after the finish, with it, or on every chunk: the last counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.wire import sse
from lmgw.wire.calls import Calls, Fragment
from lmgw.wire.events import (
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamError,
    TextDelta,
    Usage,
)
from lmgw.wire.openai_answer import Counts, content_texts, finish_reason, parse_usage
from lmgw.wire.openai_reasoning import detail
from lmgw.wire.relay import cut_short
from lmgw.wire.statuses import error_in

DONE = b"[DONE]"


class Delta(msgspec.Struct, gc=False):
    """What one chunk adds; whatever else a server puts there is not read."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: list[Fragment] | None = None
    function_call: Any = None


class Choice(msgspec.Struct, gc=False):
    """One choice of a chunk or of a whole answer: ``delta`` or ``message``, or the ``text`` of ``/v1/completions``."""

    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    index: int | None = 0
    finish_reason: Any = None


class Chunk(msgspec.Struct, gc=False):
    """One chunk; the keys of other shapes of errors are there to be recognised."""

    id: Any = None
    model: Any = None
    choices: list[Choice] | None = None
    usage: Counts | None = None
    error: Any = None
    detail: Any = None
    message: Any = None
    code: Any = None

    @property
    def failure(self) -> GatewayError | None:
        """The error that this chunk is, ``None`` for any other."""
        if self.error is None and (self.choices is not None or self.usage is not None):
            return None
        return error_in({"error": self.error, "detail": self.detail, "message": self.message, "code": self.code})


class _OddChunk(Chunk, gc=False):
    """A chunk whose ``usage`` is not in integers."""

    usage: Any = None


#: Reads a chunk; what it raises is among :data:`UNREADABLE`, and :func:`odd_chunk` may still be able to.
decode_chunk = msgspec.json.Decoder(Chunk).decode
_decode_odd = msgspec.json.Decoder(_OddChunk).decode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def odd_chunk(data: bytes) -> Chunk | None:
    """Read a chunk whose ``usage`` is not in integers; ``None`` for what is no chunk of an answer."""
    try:
        return _decode_odd(data)
    except UNREADABLE:
        return None


class ChatParser:
    """The :class:`~lmgw.wire.dialect.StreamParser` of Chat Completions."""

    def __init__(self) -> None:
        self._frames = sse.Frames()
        self._calls = Calls()
        self._begun = False
        self._over = False
        self._reasoning = False
        self._plain = False  # reasoning has a field of its own: what details repeat of it is not read again
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None

    def feed(self, data: bytes) -> Sequence[Event]:
        """Take the next bytes; return the events that they completed."""
        events: list[Event] = []
        for frame in self._frames.feed(data):
            self._read(sse.payload(frame), events)
        return events

    def eof(self, clean: bool) -> Sequence[Event]:
        """The body ended: return ``Finish`` if a finish was seen, else ``StreamError``; nothing if one was given."""
        events: list[Event] = []
        for frame in self._frames.rest() if clean else ():
            self._read(sse.payload(frame), events)
        if not self._over:
            self._end(events, clean)
        return events

    def _read(self, data: bytes, events: list[Event]) -> None:
        if self._over or not data:
            return
        if data == DONE:
            self._end(events, clean=True)
            return
        try:
            chunk = decode_chunk(data)
        except UNREADABLE:
            odd = odd_chunk(data)
            if odd is None:
                self._fail(UpstreamFailed("the provider sent an event that is no chunk of an answer"), events)
                return
            chunk = odd
        if self._finish is None and (error := chunk.failure) is not None:
            self._fail(error, events)
            return
        if not self._begun:
            self._begun = True
            self._calls.seed = chunk.id
            events.append(Start(str(chunk.id or ""), str(chunk.model or ""), parse_usage(chunk.usage)))
        if chunk.usage is not None:
            self._usage = parse_usage(chunk.usage) or self._usage
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, events)
        if self._finish is not None and self._usage is not None and not chunk.choices:
            self._end(events, clean=True)

    def _choice(self, choice: Choice, events: list[Event]) -> None:
        delta = choice.delta
        if delta is not None:
            if content := delta.content:
                self._content(content, events)
            if delta.reasoning_content or delta.reasoning or delta.reasoning_details:
                self._thought(delta, events)
            if delta.tool_calls:
                for fragment in delta.tool_calls:
                    self._calls.add(fragment, events)
            elif isinstance(delta.function_call, dict):
                self._calls.add(msgspec.convert({"index": 0, "function": delta.function_call}, Fragment), events)
            if delta.refusal and isinstance(delta.refusal, str):
                self._text(delta.refusal, events)
        if choice.finish_reason and self._finish is None:
            self._finish = finish_reason(choice.finish_reason, self._calls.any)

    def _content(self, content: Any, events: list[Event]) -> None:
        if isinstance(content, str):
            self._text(content, events)
            return
        text, reasoning = content_texts(content)
        if reasoning:
            self._reasoning = True
            events.append(ReasoningDelta(reasoning))
        if text:
            self._text(text, events)

    def _text(self, text: str, events: list[Event]) -> None:
        self._reasoning = False
        self._calls.pass_by(TextDelta(text), events)

    def _thought(self, delta: Delta, events: list[Event]) -> None:
        details = delta.reasoning_details
        entries = [part for entry in details if (part := detail(entry))] if isinstance(details, list) else []
        text = delta.reasoning_content or delta.reasoning
        if text:
            self._plain = True
        elif not self._plain:
            text = "".join(entry.text for entry in entries)
        if text and isinstance(text, str):
            self._reasoning = True
            self._calls.pass_by(ReasoningDelta(text), events)
        for entry in entries:
            if entry.redacted or (entry.signature and self._reasoning):
                self._reasoning = False
                self._calls.pass_by(ReasoningEnd(entry.signature, entry.redacted), events)

    def _end(self, events: list[Event], clean: bool) -> None:
        if self._finish is None:
            self._fail(cut_short(clean), events)
            return
        self._over = True
        self._calls.close(events)
        events.append(Finish(self._finish, self._usage))

    def _fail(self, error: GatewayError, events: list[Event]) -> None:
        self._over = True
        events.append(StreamError(error))
