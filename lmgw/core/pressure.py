"""Overload: whether requests wait so long for the event loop that taking more of them hurts everybody."""

from __future__ import annotations

import math

#: How much work a request may have waited for, in seconds, while more comes than is done. A turn of the event loop that
#: is more work is a long one.
LATEST_S = 0.060
#: How long turns stay long, in seconds, before that is held against requests to the full.
BURST_S = 1.0


class Pressure:
    """Tells a burst from overload, and says which requests to turn away (after CoDel, RFC 8289).

    An event loop looks at its sockets once a turn, so what it reads in this turn has arrived since the last one began:
    the time since then is the longest that a request can have waited. A burst makes one turn long, or some; it is
    worked off and costs nobody an answer. Where turns stay long, more comes than is done. The longer that lasts, the
    less a request may have waited: any time at first, ten times ``LATEST_S`` after a tenth of ``BURST_S``, once it
    after all of it. Who has waited longer is turned away, which is cheap. That makes turns short again; so it is over
    when nobody had to be turned away for as long.

    Times are seconds of one clock, handed in: the clock of the event loop's work, which stands while the loop sleeps.
    """

    __slots__ = ("_before", "_long_since", "_shed_at", "_turn")

    def __init__(self) -> None:
        self._before = self._turn = 0.0
        self._long_since: float | None = None
        self._shed_at = -math.inf

    def woke(self, now: float) -> None:
        """A turn begins after the loop had little to do."""
        self._turn = now
        self.turned(now)

    def turned(self, now: float) -> bool:
        """Another turn begins; returns whether the last one was long."""
        long = now - self._turn > LATEST_S
        if not long and now - self._shed_at >= BURST_S:
            self._long_since = None
        elif long and self._long_since is None:
            self._long_since = now
        self._before, self._turn = self._turn, now
        return long

    @property
    def calm(self) -> bool:
        """Whether turns have been short: then whoever comes may come in."""
        return self._long_since is None

    def admits(self, now: float) -> bool:
        """Whether a request that is read now may come in."""
        if self._long_since is None:
            return True
        lasting = min(now - self._long_since, BURST_S)
        if (now - self._before) * lasting <= LATEST_S * BURST_S:
            return True
        self._shed_at = now
        return False
