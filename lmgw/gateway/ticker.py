"""One clock for all requests in flight: deadlines, early beginnings and keep-alives without a timer each."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds between ticks at most and at least.
SLOWEST, FASTEST = 1.0, 0.01


class Ticking(Protocol):
    """Something that wants to know the time now and then."""

    def tick(self, now: float) -> None:
        """Do what has become due."""


T = TypeVar("T", bound=Ticking)


class Ticker(Generic[T]):
    """Ticks all its members every ``interval_s`` seconds, and not at all while there are none.

    Ten thousand requests with three timers each would be a heap that every request pays for; one pass over them a
    second costs a millisecond. The price is that things happen up to an interval late.

    :ivar members: all of them, in the order in which they came; for reading.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self.members: dict[T, None] = {}
        self._call: IDelayedCall | None = None
        self.interval_s = SLOWEST

    def configure(self, *shortest_ms: int) -> None:
        """Tick four times within the shortest of these times (0 = off), within the ticker's own bounds."""
        times = [ms / 4000 for ms in shortest_ms if ms > 0]
        self.interval_s = min(SLOWEST, max(FASTEST, min(times, default=SLOWEST)))
        if self._call is not None:
            self._call.reset(self.interval_s)

    def add(self, member: T) -> None:
        """Tick this one from now on."""
        self.members[member] = None
        if self._call is None:
            self._call = self._reactor.callLater(self.interval_s, self._tick)

    def remove(self, member: T) -> None:
        """Tick this one no more; nothing happens where it is not there."""
        self.members.pop(member, None)

    def _tick(self) -> None:
        self._call = None
        now = self._reactor.seconds()
        for member in list(self.members):
            if member in self.members:
                member.tick(now)
        if self.members and self._call is None:
            self._call = self._reactor.callLater(self.interval_s, self._tick)

    def stop(self) -> None:
        """Forget everything."""
        self.members.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
