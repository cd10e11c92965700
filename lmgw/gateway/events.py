"""What happens, live, as server-sent events: gathered, and written to all who listen twice a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lmgw.gateway.inbound import Sink

#: Seconds between two ticks.
PERIOD_S = 0.5
#: Finished requests that are told between two ticks; of more than these a listener learns only how many there were.
ENTRIES = 500
#: Bytes that are gathered at most: more is written before its time.
BLOCK_BYTES = 32 << 10
#: Seconds after which something is written even if nothing happened, so that both sides notice a dead connection.
QUIET_S = 15.0
#: Seconds that a listener may be without reading; what happens meanwhile is not kept for it.
STALLED_S = 10.0
#: Listeners at once, and marks that are kept.
LISTENERS, MARKS = 50, 200

#: The admin port's own headers say that nothing is to be stored.
HEADERS = ((b"Content-Type", b"text/event-stream; charset=utf-8"), (b"X-Accel-Buffering", b"no"))


class Listener:
    """One open dashboard."""

    def __init__(self, sink: Sink, leave: Callable[[Listener], None]) -> None:
        self._sink = sink
        self._leave = leave
        self._stalled_at: float | None = None
        self._missed = 0

    def start(self, first: bytes) -> None:
        """Begin the answer."""
        self._sink.attach(self)
        self._sink.begin(200, HEADERS)
        self._sink.write(first)

    def send(self, data: bytes, count: int, now: float) -> None:
        """Write ``data``, ``count`` entries; one who does not read misses them, and is dropped after a while."""
        if self._sink.paused:
            self._missed += count
            self._stalled_at = self._stalled_at or now
            if now - self._stalled_at >= STALLED_S:
                self.drop()
            return
        self._stalled_at = None
        if self._missed:
            data = event("missed", msgspec.json.encode({"count": self._missed})) + data
            self._missed = 0
        self._sink.write(data)

    def drop(self) -> None:
        """End it; the browser comes back by itself."""
        self._leave(self)
        self._sink.abort()

    # --- the sink's calls

    def pause(self) -> None:
        """The client's buffer is full: ``sink.paused`` says so."""

    def resume(self) -> None:
        """The client reads again."""

    def gone(self, reason: str) -> None:
        """The client has left."""
        self._leave(self)


class Events:
    """Gathers events while anybody listens, and costs next to nothing while nobody does.

    :param greet: what a new listener is told first.
    :param snapshot: what runs now; asked twice a second at most.
    :param epoch_s: seconds since 1970.
    :ivar marks: what changed lately (starts, reloads, circuits), newest last.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        greet: Callable[[], Any],
        snapshot: Callable[[], Any],
        epoch_s: Callable[[], float],
    ) -> None:
        self.marks: deque[dict[str, Any]] = deque(maxlen=MARKS)
        self._reactor = reactor
        self._greet = greet
        self._snapshot = snapshot
        self._epoch_s = epoch_s
        self._listeners: dict[Listener, None] = {}
        self._pending = bytearray()
        self._gathered = 0  # entries in it
        self._entries = 0  # since the last tick
        self._left_out = 0
        self._shown = b""
        self._wrote_at = 0.0
        self._call: IDelayedCall | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    # --- what happens ------------------------------------------------------------------------------------------------

    def entry(self, line: bytes) -> None:
        """A request is over; ``line`` is its record as JSON."""
        if not self._listeners:
            return
        if self._entries >= ENTRIES:
            self._left_out += 1
            return
        self._entries += 1
        self._gathered += 1
        self._pending += b"event: entry\ndata: %b\n\n" % line
        if len(self._pending) > BLOCK_BYTES:
            self._flush()

    def mark(self, kind: str, text: str) -> None:
        """Something changed that plots should show: ``start``, ``reload`` or ``circuit``."""
        mark = {"at": self._epoch_s(), "kind": kind, "text": text}
        self.marks.append(mark)
        if self._listeners:
            self._send(event("mark", msgspec.json.encode(mark)), 0)

    # --- who listens -------------------------------------------------------------------------------------------------

    def listen(self, sink: Sink) -> None:
        """Answer with events until one of both sides ends it; the one who has listened longest makes room."""
        while len(self._listeners) >= LISTENERS:
            next(iter(self._listeners)).drop()
        listener = Listener(sink, self._left)
        self._listeners[listener] = None
        hello = event("hello", msgspec.json.encode(self._greet()))
        now = event("inflight", msgspec.json.encode(self._snapshot()))
        self._shown = b""  # what this one is shown may differ from what the others were: the next tick tells all
        listener.start(b"retry: 2000\n\n" + hello + now)
        if self._call is None and self._listeners:
            self._wrote_at = self._reactor.seconds()
            self._call = self._reactor.callLater(PERIOD_S, self._tick)

    def drop_all(self) -> None:
        """End every listener: what let them in is no longer true, or the gateway stops."""
        for listener in list(self._listeners):
            listener.drop()

    def _left(self, listener: Listener) -> None:
        self._listeners.pop(listener, None)
        if not self._listeners:
            self._pending, self._gathered, self._left_out = bytearray(), 0, 0
            if self._call is not None:
                self._call.cancel()
                self._call = None

    # --- writing -----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._call = self._reactor.callLater(PERIOD_S, self._tick)
        now = self._reactor.seconds()
        self._entries = 0
        if self._left_out:
            self._pending += event("missed", msgspec.json.encode({"count": self._left_out}))
            self._left_out = 0
        shown = msgspec.json.encode(self._snapshot())
        if shown != self._shown:
            self._shown = shown
            self._pending += event("inflight", shown)
        if not self._pending and now - self._wrote_at >= QUIET_S:
            self._pending += b": quiet\n\n"
        if self._pending:
            self._wrote_at = now
            self._flush()

    def _flush(self) -> None:
        data, self._pending = bytes(self._pending), bytearray()
        count, self._gathered = self._gathered, 0
        self._send(data, count)

    def _send(self, data: bytes, count: int) -> None:
        now = self._reactor.seconds()
        for listener in list(self._listeners):
            listener.send(data, count, now)


def event(kind: str, data: bytes) -> bytes:
    """Return one server-sent event; ``data`` is JSON, which holds no line break."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
