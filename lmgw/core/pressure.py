"""Overload: whether requests wait so long for the event loop that taking more of them hurts everybody."""

from __future__ import annotations

import math

#: A turn of the event loop is long from here on, in seconds; everything that arrives meanwhile waits for its end.
LONG_TURN_S = 0.030
#: Where turns are long for this time without a break, in seconds, the queue is a standing one and not a burst.
STANDING_S = 0.1
#: What a request may have waited, in seconds, to be taken while the queue stands.
LATEST_S = 0.060


class Pressure:
    """Tells a burst from overload, and says which requests to turn away (after CoDel, RFC 8289).

    An event loop looks at its sockets once a turn, so what it reads in this turn has arrived since the last one began:
    the time since then is the longest that a request can have waited. A burst makes one turn long, or some; it is
    worked off and costs nobody an answer. Where turns stay long, more comes than is done: from then on a request that
    has waited too long is turned away, which is cheap, until none had to be for a while.

    Times are seconds of one clock, handed in.
    """

    __slots__ = ("_before", "_shed_at", "_standing_since", "_turn")

    def __init__(self) -> None:
        self._before = self._turn = 0.0
        self._standing_since: float | None = None
        self._shed_at = -math.inf

    def woke(self, now: float) -> None:
        """A turn begins after the loop had little to do."""
        self._before = self._turn = now
        self._standing_since = None

    def turned(self, now: float) -> bool:
        """Another turn begins; returns whether the last one was long."""
        long = now - self._turn > LONG_TURN_S
        if not long:
            self._standing_since = None
        elif self._standing_since is None:
            self._standing_since = now
        self._before, self._turn = self._turn, now
        return long

    def overloaded(self, now: float) -> bool:
        """Whether the queue stands, or requests had to be turned away just now."""
        since = self._standing_since
        return (since is not None and now - since >= STANDING_S) or now - self._shed_at < STANDING_S

    def admits(self, now: float) -> bool:
        """Whether a request that is read now may come in."""
        if now - self._before <= LATEST_S or not self.overloaded(now):
            return True
        self._shed_at = now
        return False
