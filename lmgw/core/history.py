"""The last hour in slots of ten seconds, for plots: rates, faults, times and dollars."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp2, log2
from typing import Any

from lmgw.core.record import FAULTS, Entry

#: Seconds of a slot, and how many are kept.
SLOT_S, SLOTS = 10, 360
#: Steps of the scale of times between a number and its double: quantiles are at most an eighth too high.
_STEPS = 6
#: Times that are counted at once, or sooner where somebody looks.
_AT_ONCE = 1000


class Times:
    """Times counted on a logarithmic scale.

    :ivar new_ms: times in milliseconds that were not counted yet.
    """

    __slots__ = ("_counts", "new_ms")

    def __init__(self) -> None:
        self.new_ms: list[float] = []
        self._counts: defaultdict[int, int] = defaultdict(int)

    def count(self) -> None:
        """Count what is new; once sorted, it takes a search a step instead of a logarithm a time."""
        new_ms, self.new_ms = sorted(self.new_ms), []
        at = 0
        while at < len(new_ms):
            step = int(log2(new_ms[at] + 1) * _STEPS)
            end = bisect_left(new_ms, _upper_ms(step), at + 1)
            self._counts[step] += end - at
            at = end

    def quantile(self, share: float) -> float | None:
        """Return the upper end of the step that holds this quantile, in milliseconds; ``None`` of no times."""
        self.count()
        rank = share * sum(self._counts.values())
        seen = 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= rank:
                return round(_upper_ms(step), 1)
        return None


def _upper_ms(step: int) -> float:
    return exp2((step + 1) / _STEPS) - 1


@dataclass(slots=True)
class Slot:
    """Ten seconds from ``at`` (seconds since the epoch)."""

    at: int
    requests: int = 0
    caller: int = 0
    policy: int = 0
    provider: int = 0
    gateway: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    ttft: Times = field(default_factory=Times)
    latency: Times = field(default_factory=Times)

    def count(self) -> None:
        """Count the times that are new."""
        self.ttft.count()
        self.latency.count()


class History:
    """Counts finished requests into slots; a slot in which nothing ended is left out."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque(maxlen=SLOTS)
        self._slot = Slot(-SLOT_S)

    def add(self, entries: Sequence[Entry], epoch_s: float) -> None:
        """Count requests that ended at ``epoch_s``."""
        slot = self._slot
        if not 0 <= epoch_s - slot.at < SLOT_S:
            slot.count()
            slot = self._slot = Slot(int(epoch_s // SLOT_S) * SLOT_S)
            self._slots.append(slot)
        slot.requests += len(entries)
        ttft_ms, latency_ms = slot.ttft.new_ms, slot.latency.new_ms
        for entry in entries:
            latency_ms.append(entry.latency_ms)
            if entry.ttft_ms is not None:
                ttft_ms.append(entry.ttft_ms)
            if entry.fault is not None:
                setattr(slot, entry.fault, getattr(slot, entry.fault) + 1)
            slot.output_tokens += entry.tokens.output
            if entry.cost_usd:
                slot.cost_usd += entry.cost_usd
        if len(latency_ms) >= _AT_ONCE:
            slot.count()

    def points(self, since: float) -> list[dict[str, Any]]:
        """Return the slots that begin at ``since`` (seconds since the epoch) or later, oldest first; JSON-ready."""
        return [_point(slot) for slot in self._slots if slot.at >= since]


def _point(slot: Slot) -> dict[str, Any]:
    return {
        "at": slot.at,
        "requests": slot.requests,
        "errors": {name: getattr(slot, name) for name in FAULTS},
        "ttft_p50_ms": slot.ttft.quantile(0.5),
        "ttft_p95_ms": slot.ttft.quantile(0.95),
        "latency_p50_ms": slot.latency.quantile(0.5),
        "latency_p95_ms": slot.latency.quantile(0.95),
        "output_tokens": slot.output_tokens,
        "cost_usd": slot.cost_usd,
    }
