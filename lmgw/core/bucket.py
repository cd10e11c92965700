"""Token buckets: so many requests a minute, and a burst."""

from __future__ import annotations

import math
from collections.abc import Hashable

import msgspec

#: Seconds after which any bucket that nobody takes from is full again: the burst is half a minute's requests, and
#: never less than one.
REFILL_S = 60.0


class Refusal(msgspec.Struct, frozen=True):
    """Why a request must wait: the limit in requests a minute, and whole seconds until the next token."""

    limit: int
    retry_after_s: int


class Buckets:
    """One bucket a key; one that has filled up again is forgotten.

    A bucket is one number, the time at which it will be full (the generic cell rate algorithm, GCRA: the same answers
    as counting tokens). They lie in two generations: what is used moves to the young one, which becomes the old one
    after ``REFILL_S``, when all that was left in the old one is full. ``capacity`` bounds how many keys are remembered
    however many come, those used last. Times are seconds of one clock, handed in.
    """

    __slots__ = ("_half", "_old", "_since", "_young")

    def __init__(self, capacity: int = 200_000) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[Hashable, float] = {}
        self._old: dict[Hashable, float] = {}
        self._since = -math.inf

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: Hashable, rpm: int, now: float) -> Refusal | None:
        """Take one token of ``key`` at ``rpm`` (0 = no limit); returns a refusal where there is none."""
        if rpm <= 0:
            return None
        self._age(now)
        seconds = 60 / rpm
        full = math.ceil(rpm / 2) * seconds
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._old.pop(key, now)
        # Clamped below for what the time has refilled, above for a limit that a reload has raised.
        then = min(max(full_at, now), now + full) + seconds
        wait_s = then - now - full
        if wait_s > _TINY_S:
            self._young[key] = then - seconds
            return Refusal(rpm, max(1, math.ceil(wait_s - _TINY_S)))
        self._young[key] = then
        return None

    def _age(self, now: float) -> None:
        if now - self._since >= REFILL_S or len(self._young) >= self._half:
            self._old = {} if now - self._since >= 2 * REFILL_S else self._young
            self._young = {}
            self._since = now


#: Sums of floats miss by less than this, in seconds.
_TINY_S = 1e-6
