"""Circuits: whether something that failed lately may be tried again."""

from __future__ import annotations

from collections import deque

import msgspec

#: Fewer outcomes than this say nothing: one bad request must not open a circuit alone.
MIN_OUTCOMES = 3


class Health(msgspec.Struct, frozen=True):
    """When a circuit opens: ``window`` outcomes looked at (0 = never opens), error share, seconds it stays open."""

    window: int = 10
    threshold: float = 0.7
    cooldown_s: float = 30.0


class Circuit:
    """The recent outcomes of one backend or tier; times are seconds of one clock, handed in.

    Closed it lets everything through. Open it lets nothing through until ``open_until``; then one request probes, and
    its outcome closes or reopens it.

    :ivar steady: it is closed and every outcome in the window is a success, so that one more says nothing new.
    """

    __slots__ = ("_outcomes", "_streak", "health", "open_until", "probing", "reason", "steady")

    def __init__(self, health: Health) -> None:
        self.health = health
        self._outcomes: deque[bool] = deque(maxlen=max(health.window, 1))
        self._streak = 0
        self.steady = False
        self.open_until: float | None = None
        self.probing = False
        self.reason = ""

    @property
    def is_open(self) -> bool:
        """Whether requests are kept away, or a single one is let through as a probe."""
        return self.open_until is not None

    @property
    def error_share(self) -> float:
        """The share of failures among the outcomes in the window, 0 to 1."""
        return self._outcomes.count(False) / len(self._outcomes) if self._outcomes else 0.0

    def configure(self, health: Health) -> None:
        """Take new figures from a reload, keeping what is known."""
        if health != self.health:
            self.health = health
            self._outcomes = deque(self._outcomes, maxlen=max(health.window, 1))
            self._streak = 0
            self.steady = False
            if health.window == 0:
                self._close()

    def available(self, now: float) -> bool:
        """Whether a request may go through now; an open circuit past its time takes one probe."""
        return self.open_until is None or (now >= self.open_until and not self.probing)

    def started(self, now: float) -> bool:
        """A request goes through; returns whether it is the probe, whose end must be told."""
        if self.open_until is None or now < self.open_until or self.probing:
            return False
        self.probing = True
        return True

    def abandoned(self) -> None:
        """The probe ended without saying anything about the backend (its client went away)."""
        self.probing = False

    def succeeded(self) -> None:
        """The backend did its part."""
        if self.open_until is not None:
            self._close()
        self._outcomes.append(True)
        self._streak += 1
        self.steady = self._streak >= self.health.window

    def failed(self, now: float, *, reason: str = "", at_least_s: float = 0.0) -> bool:
        """The backend failed; returns whether this opened the circuit. ``at_least_s`` is its ``Retry-After``."""
        self._outcomes.append(False)
        self._streak = 0
        self.steady = False
        was_open = self.is_open
        enough = len(self._outcomes) >= MIN_OUTCOMES and self.error_share >= self.health.threshold
        if self.health.window and (was_open or enough):
            self.trip(now, reason=reason, at_least_s=at_least_s)
        return self.is_open and not was_open

    def trip(self, now: float, *, reason: str, at_least_s: float = 0.0) -> None:
        """Open at once, whatever the window says (a refused key)."""
        if self.health.window == 0:
            return
        until = now + max(self.health.cooldown_s, at_least_s)
        self.open_until = max(until, self.open_until or 0.0)
        self.probing = False
        self.reason = reason
        self.steady = False

    def _close(self) -> None:
        self._outcomes.clear()
        self._streak = 0
        self.open_until = None
        self.probing = False
        self.reason = ""
