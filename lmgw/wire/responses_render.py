"""Streams of OpenAI's Responses API, written for callers.

Every event is numbered from 0. The first is ``response.created``; each item is added, filled and done before the next;
the last repeats the whole response. SDKs refuse a delta for an item or a part that was not added, and an id that
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from lmgw.errors import GatewayError
from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamError,
    TextDelta,
    ToolDelta,
    ToolEnd,
    ToolStart,
    Usage,
)
from lmgw.wire.responses_answer import Envelope, Items, summary_part, text_part
from lmgw.wire.responses_fields import REASONS, Origin, error_event, render_event, response_error, seal
from lmgw.wire.responses_tools import custom_input

#: An event's name and its fields, without number, item and place in the output.
_Event = tuple[str, dict[str, Any]]

_encode = msgspec.json.Encoder().encode


class _Item(Protocol):
    """An output item of one kind, while it is written."""

    prefix: str  # of its id
    delta: str  # the event that brings a piece of it
    place: dict[str, Any]  # what such an event says of where the piece belongs, besides the item

    def write(self, items: Items, index: int, text: str, status: str) -> dict[str, Any]:
        """Return the item as it is with ``text``."""

    def begin(self) -> Sequence[_Event]:
        """Return what comes between the item and its first delta."""

    def end(self, text: str) -> Sequence[_Event]:
        """Return what comes between the last delta and the item's end; ``text`` are all deltas together."""


class _Message:
    """Text."""

    prefix = "msg"
    delta = "response.output_text.delta"
    place = {"content_index": 0, "logprobs": []}

    def write(self, items: Items, index: int, text: str, status: str) -> dict[str, Any]:
        item = items.message(index, text, status)
        return item if text else {**item, "content": []}

    def begin(self) -> Sequence[_Event]:
        return [("response.content_part.added", {"content_index": 0, "part": text_part("")})]

    def end(self, text: str) -> Sequence[_Event]:
        return [
            ("response.output_text.done", {**self.place, "text": text}),
            ("response.content_part.done", {"content_index": 0, "part": text_part(text)}),
        ]


class _Reasoning:
    """Reasoning; with ``silent`` there is only its proof, as the provider keeps the text to itself."""

    prefix = "rs"
    delta = "response.reasoning_summary_text.delta"
    place = {"summary_index": 0}

    def __init__(self, *, silent: bool = False) -> None:
        self.proof: ReasoningEnd | None = None
        self._silent = silent

    def write(self, items: Items, index: int, text: str, status: str) -> dict[str, Any]:
        proof = self.proof or ReasoningEnd()
        sealed = None if status == "in_progress" else seal(proof.signature, proof.redacted)
        return items.reasoning(index, text, sealed)

    def begin(self) -> Sequence[_Event]:
        if self._silent:
            return ()
        return [("response.reasoning_summary_part.added", {"summary_index": 0, "part": summary_part("")})]

    def end(self, text: str) -> Sequence[_Event]:
        if self._silent:
            return ()
        return [
            ("response.reasoning_summary_text.done", {"summary_index": 0, "text": text}),
            ("response.reasoning_summary_part.done", {"summary_index": 0, "part": summary_part(text)}),
        ]


class _Call:
    """A call of a function."""

    prefix = "fc"
    delta = "response.function_call_arguments.delta"
    place: dict[str, Any] = {}

    def __init__(self, id: str, origin: Origin) -> None:
        self._id = id
        self._origin = origin

    def write(self, items: Items, index: int, text: str, status: str) -> dict[str, Any]:
        return items.call(index, self._id, self._origin, text, status)

    def begin(self) -> Sequence[_Event]:
        return ()

    def end(self, text: str) -> Sequence[_Event]:
        return [("response.function_call_arguments.done", {"name": self._origin.name, "arguments": text})]


class _CustomCall(_Call):
    """A call of a custom tool: its input stands in the arguments, and can be told once they are whole."""

    prefix = "ctc"

    def end(self, text: str) -> Sequence[_Event]:
        text = custom_input(text)
        return [
            ("response.custom_tool_call_input.delta", {"delta": text}),
            ("response.custom_tool_call_input.done", {"input": text}),
        ]


class ResponsesRenderer:
    """The :class:`~lmgw.wire.dialect.StreamRenderer` of the Responses API.

    An item is opened with its first content and closed when another kind begins. A ``StreamError`` is rendered as the
    stream's end: ``error`` and ``response.failed``.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._items = Items(reply)
        self._envelope: Envelope | None = None  # None until the response was created
        self._usage: Usage | None = None
        self._number = 0  # of the next event
        self._output: list[Raw] = []  # items that are done
        self._open: _Item | None = None
        self._pieces: list[str] = []  # of the open item
        self._where: dict[str, Any] = {}  # its id and place
        self._head = b""  # what stands before a piece; empty where pieces are not told
        self._late_ends = 0  # reasoning that was closed before its end was told

    def render(self, events: Sequence[Event]) -> bytes:
        """Return the caller's bytes for these events (empty where they only change state)."""
        if len(events) == 1:
            return self._render(events[0])
        return b"".join([self._render(event) for event in events])

    def _render(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return self._piece_of(_Message, event.text)
        if isinstance(event, ReasoningDelta):
            return self._piece_of(_Reasoning, event.text)
        if isinstance(event, ToolDelta):
            return self._piece(event.fragment) if event.fragment else b""
        if isinstance(event, ToolStart):
            origin = self._items.origin(event.name)
            return self._add((_CustomCall if origin.custom else _Call)(event.id, origin))
        if isinstance(event, ToolEnd):
            return (b"" if self._pieces else self._piece("{}")) + self._close()
        if isinstance(event, ReasoningEnd):
            return self._reasoning_end(event)
        if isinstance(event, Start):
            self._usage = event.usage or self._usage
            return self._create(event.model)
        if isinstance(event, StreamError):
            return self._fail(event.error)
        return self._finish(event)

    def _event(self, name: str, fields: dict[str, Any]) -> bytes:
        number = self._number
        self._number += 1
        return render_event(name, number, fields)

    def _create(self, model: str = "") -> bytes:
        """Begin the response, once."""
        if self._envelope is not None:
            return b""
        self._envelope = envelope = Envelope(self._reply, model)
        response = {"response": envelope.render("in_progress")}
        return self._event("response.created", response) + self._event("response.in_progress", response)

    # --- items -------------------------------------------------------------------------------------------------------

    def _piece_of(self, kind: type[_Message] | type[_Reasoning], text: str) -> bytes:
        if not text:
            return b""
        return (b"" if type(self._open) is kind else self._add(kind())) + self._piece(text)

    def _piece(self, text: str) -> bytes:
        self._pieces.append(text)
        if not self._head:
            return b""
        number = self._number
        self._number += 1
        return self._head + _encode(text) + b',"sequence_number":%d}\n\n' % number

    def _add(self, item: _Item) -> bytes:
        """Close the open item and begin another."""
        before = self._create() + self._close()
        index = len(self._output)
        added = item.write(self._items, index, "", "in_progress")
        self._open, self._where = item, {"item_id": added["id"], "output_index": index}
        self._head = b""
        if not isinstance(item, _CustomCall):
            fields = _encode({"type": item.delta, **self._where, **item.place})
            self._head = b"event: %b\ndata: %b" % (item.delta.encode(), fields[:-1] + b',"delta":')
        events = [self._event("response.output_item.added", {"output_index": index, "item": added})]
        events += [self._event(name, self._where | fields) for name, fields in item.begin()]
        return before + b"".join(events)

    def _close(self, status: str = "completed") -> bytes:
        """End the open item, if there is one."""
        item, self._open = self._open, None
        if item is None:
            return b""
        if isinstance(item, _Reasoning) and item.proof is None:
            self._late_ends += 1
        text = "".join(self._pieces)
        events = [self._event(name, self._where | fields) for name, fields in item.end(text)]
        index = len(self._output)
        done = Raw(_encode(item.write(self._items, index, text, status)))
        self._pieces.clear()
        self._output.append(done)
        return b"".join(events) + self._event("response.output_item.done", {"output_index": index, "item": done})

    def _reasoning_end(self, end: ReasoningEnd) -> bytes:
        item = self._open
        if isinstance(item, _Reasoning) and end.redacted is None:
            item.proof = end
            return self._close()
        if end.redacted is None and self._late_ends:
            self._late_ends -= 1
            return b""
        if end.signature is None and end.redacted is None:
            return b""
        hidden = _Reasoning(silent=True)
        added = self._add(hidden)
        hidden.proof = end
        return added + self._close()

    # --- the end -----------------------------------------------------------------------------------------------------

    def _finish(self, finish: Finish) -> bytes:
        before = self._create() + self._close("incomplete" if finish.reason in REASONS else "completed")
        assert self._envelope is not None
        status, response = self._envelope.render_end(finish.reason, self._output, finish.usage or self._usage)
        return before + self._event(f"response.{status}", {"response": response})

    def _fail(self, error: GatewayError) -> bytes:
        before = self._create()
        output = list(self._output)
        if self._open is not None:
            text = "".join(self._pieces)
            output.append(Raw(_encode(self._open.write(self._items, len(output), text, "incomplete"))))
        assert self._envelope is not None
        response = self._envelope.render("failed", output, self._usage, error=response_error(error))
        told = self._event("error", error_event(error))
        return before + told + self._event("response.failed", {"response": response})
