"""The last hour in slots of ten seconds, for plots: rates, faults, times and dollars."""

from __future__ import annotations

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


@dataclass(slots=True)
class Slot:
    """Ten seconds from ``at`` (seconds since the epoch); the times are counted on a logarithmic scale."""

    at: int
    requests: int = 0
    caller: int = 0
    policy: int = 0
    provider: int = 0
    gateway: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    ttft: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    latency: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))


class History:
    """Counts finished requests into slots; a slot in which nothing ended is left out."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque(maxlen=SLOTS)
        self._slot = Slot(-SLOT_S)

    def add(self, entries: Sequence[Entry], epoch_s: float) -> None:
        """Count requests that ended at ``epoch_s``."""
        slot = self._slot
        if not 0 <= epoch_s - slot.at < SLOT_S:
            slot = self._slot = Slot(int(epoch_s // SLOT_S) * SLOT_S)
            self._slots.append(slot)
        slot.requests += len(entries)
        ttft, latency = slot.ttft, slot.latency
        for entry in entries:
            latency[int(log2(entry.latency_ms + 1) * _STEPS)] += 1
            if entry.ttft_ms is not None:
                ttft[int(log2(entry.ttft_ms + 1) * _STEPS)] += 1
            if entry.fault is not None:
                setattr(slot, entry.fault, getattr(slot, entry.fault) + 1)
            slot.output_tokens += entry.tokens.output
            if entry.cost_usd:
                slot.cost_usd += entry.cost_usd

    def points(self, since: float) -> list[dict[str, Any]]:
        """Return the slots that begin at ``since`` (seconds since the epoch) or later, oldest first; JSON-ready."""
        return [_point(slot) for slot in self._slots if slot.at >= since]


def _point(slot: Slot) -> dict[str, Any]:
    return {
        "at": slot.at,
        "requests": slot.requests,
        "errors": {name: getattr(slot, name) for name in FAULTS},
        "ttft_p50_ms": _quantile(slot.ttft, 0.5),
        "ttft_p95_ms": _quantile(slot.ttft, 0.95),
        "latency_p50_ms": _quantile(slot.latency, 0.5),
        "latency_p95_ms": _quantile(slot.latency, 0.95),
        "output_tokens": slot.output_tokens,
        "cost_usd": slot.cost_usd,
    }


def _quantile(counts: dict[int, int], share: float) -> float | None:
    """Return the upper end of the step that holds this quantile, in milliseconds."""
    rank = share * sum(counts.values())
    seen = 0
    for step in sorted(counts):
        seen += counts[step]
        if seen >= rank:
            return round(exp2((step + 1) / _STEPS) - 1, 1)
    return None
