"""The last hour in slots of ten seconds, for plots: rates, faults, times and dollars."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, exp2, log2
from typing import Any

from lmgw.core.record import FAULTS, Entry

#: Seconds of a slot, and how many are kept.
SLOT_S, SLOTS = 10, 360
#: Steps of the scale of times between a number and its double: quantiles are at most an eighth too high.
_STEPS = 6


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
    ttft_ms: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)


class History:
    """Counts finished requests into slots; a slot in which nothing ended is left out.

    Of a slot that is over no single time is kept, only its point.
    """

    def __init__(self) -> None:
        self._points: deque[dict[str, Any]] = deque(maxlen=SLOTS - 1)
        self._slot = Slot(-SLOT_S)

    def add(self, entries: Sequence[Entry], epoch_s: float) -> None:
        """Count requests that ended at ``epoch_s``."""
        slot = self._slot
        if not 0 <= epoch_s - slot.at < SLOT_S:
            if slot.requests:
                self._points.append(_point(slot))
            slot = self._slot = Slot(int(epoch_s // SLOT_S) * SLOT_S)
        slot.requests += len(entries)
        ttft_ms, latency_ms = slot.ttft_ms, slot.latency_ms
        for entry in entries:
            latency_ms.append(entry.latency_ms)
            if entry.ttft_ms is not None:
                ttft_ms.append(entry.ttft_ms)
            if entry.fault is not None:
                setattr(slot, entry.fault, getattr(slot, entry.fault) + 1)
            slot.output_tokens += entry.tokens.output
            if entry.cost_usd:
                slot.cost_usd += entry.cost_usd

    def points(self, since: float) -> list[dict[str, Any]]:
        """Return the slots that begin at ``since`` (seconds since the epoch) or later, oldest first; JSON-ready."""
        points = [*self._points, _point(self._slot)]
        return [point for point in points if point["requests"] and point["at"] >= since]


def _point(slot: Slot) -> dict[str, Any]:
    ttft_ms, latency_ms = sorted(slot.ttft_ms), sorted(slot.latency_ms)
    return {
        "at": slot.at,
        "requests": slot.requests,
        "errors": {name: getattr(slot, name) for name in FAULTS},
        "ttft_p50_ms": _quantile(ttft_ms, 0.5),
        "ttft_p95_ms": _quantile(ttft_ms, 0.95),
        "latency_p50_ms": _quantile(latency_ms, 0.5),
        "latency_p95_ms": _quantile(latency_ms, 0.95),
        "output_tokens": slot.output_tokens,
        "cost_usd": slot.cost_usd,
    }


def _quantile(sorted_ms: Sequence[float], share: float) -> float | None:
    """Return the upper end of the step that holds this quantile, in milliseconds."""
    if not sorted_ms:
        return None
    step = int(log2(sorted_ms[ceil(share * len(sorted_ms)) - 1] + 1) * _STEPS)
    return round(exp2((step + 1) / _STEPS) - 1, 1)
