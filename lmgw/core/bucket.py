"""Token buckets: so many requests a minute, and a burst."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request must wait: the limit in requests a minute, and whole seconds until the next token."""

    limit: int
    retry_after_s: int


class Buckets:
    """One bucket a key, all with the same rate; a bucket that has filled up again is forgotten.

    ``capacity`` bounds how many keys are remembered: beyond it the least recently used is forgotten, so that memory is
    bounded however many addresses come. Times are seconds of one clock, handed in.
    """

    __slots__ = ("_buckets", "_capacity")

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, rpm: int, now: float) -> Refusal | None:
        """Take one token of ``key`` at ``rpm`` (0 = no limit); returns a refusal where there is none."""
        if rpm <= 0:
            return None
        burst = math.ceil(rpm / 2)
        rate = rpm / 60
        tokens, then = self._buckets.pop(key, (float(burst), now))
        tokens = min(burst, tokens + (now - then) * rate)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        self._forget(burst / rate, now)
        return None if allowed else Refusal(rpm, max(1, math.ceil((1 - tokens) / rate)))

    def _forget(self, full_after_s: float, now: float) -> None:
        """Drop what is too much, and the oldest entries that are full again: one step a call keeps up with arrivals."""
        while len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        for _ in range(2):
            key = next(iter(self._buckets))
            if now - self._buckets[key][1] <= full_after_s:
                return
            del self._buckets[key]
