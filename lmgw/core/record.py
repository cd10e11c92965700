"""The record of one finished request, the ring that keeps the last of them, and the counters since start."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmgw.core.usage import Tokens


@dataclass(frozen=True, slots=True)
class TriedTier:
    """One attempt: ``status`` is the upstream's (0 = none came), ``latency_ms`` until it was decided."""

    tier: str
    backend: str
    status: int
    error: str | None
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One request from its arrival to its end; all ``_ms`` are milliseconds, ``timestamp`` seconds since the epoch."""

    id: str
    timestamp: float
    client: str
    profile: str
    profile_chain: tuple[str, ...]
    requested_model: str | None
    tier: str
    backend: str
    model: str
    dialect: str
    routing_mode: str
    class_label: str | None
    priority: int
    stream: bool
    escalated: bool
    overflowed: bool
    attempts: tuple[TriedTier, ...]
    queue_ms: float
    ttft_ms: float | None
    latency_ms: float
    success: bool
    status: int
    error: str | None
    end_reason: str
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    user: str | None = None
    attribution: Mapping[str, str] = field(default_factory=dict)


class Ring:
    """The last ``capacity`` entries, newest first when iterated."""

    __slots__ = ("_entries",)

    def __init__(self, capacity: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return reversed(self._entries)

    def add(self, entry: Entry) -> None:
        """Keep this entry, forgetting the oldest where the ring is full."""
        self._entries.append(entry)

    def resized(self, capacity: int) -> Ring:
        """Return a ring of another capacity with the newest of these entries."""
        other = Ring(capacity)
        other._entries.extend(self._entries)
        return other


class Totals:
    """What was counted since start; never over the ring, so that it does not depend on its capacity."""

    __slots__ = ("errors", "escalations", "latency_ms", "requests", "tiers")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.escalations = 0
        self.latency_ms = 0.0
        self.tiers: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        """Count one finished request."""
        self.requests += 1
        self.errors += not entry.success
        self.escalations += entry.escalated
        self.latency_ms += entry.latency_ms
        if entry.tier:
            self.tiers[entry.tier] += 1

    def public(self) -> dict[str, Any]:
        """The figures of ``/status``: no name of anything."""
        return {
            "total": self.requests,
            "errors": self.errors,
            "error_rate": round(self.errors / self.requests, 4) if self.requests else 0.0,
            "escalations": self.escalations,
            "avg_latency_ms": round(self.latency_ms / self.requests, 1) if self.requests else 0.0,
        }
