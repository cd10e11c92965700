"""A timer that is moved at every read of a stream."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarm:
    """Calls ``ring`` when its time has come.

    :ivar due: that time, of the reactor's clock. Moving it further away costs this assignment: the pending call looks
        when it fires, and sleeps on. Nearer is for :meth:`set`.
    """

    __slots__ = ("_at", "_call", "_reactor", "_ring", "due")

    def __init__(self, reactor: IReactorTime, ring: Callable[[], None]) -> None:
        self.due = inf
        self._reactor = reactor
        self._ring = ring
        self._at = inf
        self._call: IDelayedCall | None = None

    def set(self, limit_s: float, latest: float = inf) -> None:
        """Ring when this many seconds are up, 0 = never; at ``latest`` of the reactor's clock if that comes sooner."""
        now = self._reactor.seconds()
        due = now + limit_s if limit_s else inf
        if latest < due:
            due = latest
        self.due = due
        if due < self._at:
            if self._call is not None:
                self._call.cancel()
            self._at = due
            self._call = self._reactor.callLater(max(0.0, due - now), self._fired)

    def stop(self) -> None:
        """Never ring again, for good; nothing is left behind in the reactor."""
        self._ring = _silence
        self.due = self._at = inf
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fired(self) -> None:
        self._call = None
        self._at = inf
        if self.due <= self._reactor.seconds():
            self.due = inf
            self._ring()
        else:
            self.set(0, self.due)


def _silence() -> None:
    """What a stopped alarm rings: the cycle with its owner is broken, so that no garbage collector is needed."""
