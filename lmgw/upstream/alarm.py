"""A timer that is moved at every read of a stream."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarm:
    """Calls ``ring`` when its time has come. Moving the time further away costs an assignment: the pending call looks
    when it fires, and sleeps on."""

    __slots__ = ("_at", "_call", "_due", "_reactor", "ring")

    def __init__(self, reactor: IReactorTime, ring: Callable[[], None] | None = None) -> None:
        self._reactor = reactor
        self.ring = ring or _silence
        self._due = inf
        self._at = inf
        self._call: IDelayedCall | None = None

    def set(self, due: float) -> None:
        """Ring at ``due``, seconds of the reactor's clock; ``inf`` is never."""
        self._due = due
        if due < self._at:
            if self._call is not None:
                self._call.cancel()
            self._at = due
            self._call = self._reactor.callLater(max(0.0, due - self._reactor.seconds()), self._fired)

    def rest(self) -> None:
        """Do not ring until it is set again, for somebody else perhaps; what waits in the reactor goes on waiting."""
        self.ring = _silence
        self._due = inf

    def stop(self) -> None:
        """Never ring again, for good; nothing is left behind in the reactor."""
        self.ring = _silence
        self._due = self._at = inf
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fired(self) -> None:
        self._call = None
        self._at = inf
        if self._due <= self._reactor.seconds():
            self._due = inf
            self.ring()
        else:
            self.set(self._due)


def _silence() -> None:
    """What a stopped alarm rings: the cycle with its owner is broken, so that no garbage collector is needed."""
