"""The record of one finished request, the rings that keep the last of them, and the counters since start."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from lmgw.config.snapshot import Tier
from lmgw.core.usage import Tokens, cost_usd

#: Who failed a request: its ``caller`` (malformed, no such model), the gateway's ``policy`` (key, permission, rate),
#: a ``provider``, or the ``gateway`` itself (a bug, no room, a key that is not set, a shutdown).
Fault = Literal["caller", "policy", "provider", "gateway"]
FAULTS = get_args(Fault)

#: Characters that are kept of what went wrong, and of a name that a caller chose: either could be megabytes.
WORDS_KEPT, NAME_KEPT = 1000, 256

#: What became of a request, for metrics: a closed set.
OUTCOMES = ("success", "client_gone", *FAULTS)


class TriedTier(msgspec.Struct, frozen=True, gc=False):
    """One attempt: ``status`` is the upstream's (0 = none came), ``latency_ms`` until it was decided."""

    tier: str
    backend: str
    status: int
    error: str | None
    latency_ms: float


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why a tier was chosen, or skipped; ``why`` reads on from "chosen: " or "skipped: "."""

    tier: str
    chosen: bool
    why: str


class Span(msgspec.Struct, frozen=True, gc=False):
    """A piece of a request's time, both ends in milliseconds since it was received.

    :ivar what: ``body`` (read from the client), ``auth`` (key and limits), ``queued``, ``counting``, ``classifying``,
        ``retrying`` (the pause before a retry) or ``attempt``.
    :ivar tier: whose queue, classifier or attempt it was; empty for the others.
    """

    what: str
    tier: str
    start_ms: float
    end_ms: float


class Spent(msgspec.Struct, frozen=True, gc=False):
    """An answer that was paid for beside the one that was sent."""

    tier: str
    backend: str
    tokens: Tokens
    cost_usd: float | None

    @classmethod
    def at(cls, tier: Tier, used: Tokens) -> Spent:
        """Return what these tokens of a tier were paid for."""
        return cls(tier.name, tier.backend, used, cost_usd(tier, used))


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One request from its arrival to its end; all ``_ms`` are milliseconds, ``timestamp`` seconds since the epoch.

    Its JSON is what the admin port, the live events and the JSONL export show; a body is never in it.

    :ivar status: what the caller got; 499 where it left before there was one.
    :ivar overhead_ms: the gateway's own time up to the first content (or the failure).
    :ivar tokens: of the answer that was sent; ``cost_usd`` is of all that was paid for.
    :ivar reasons: why each tier was chosen or skipped.
    :ivar discarded: answers that were not sufficient, or broke before they were shown.
    :ivar classifying: what classifiers answered.
    :ivar lossy: the request's fields that could not be carried over to the tier's dialect.
    :ivar timeline: where the time went, in order.
    """

    id: str
    timestamp: float
    client: str = ""
    profile: str = ""
    profile_chain: Sequence[str] = ()
    requested_model: str | None = None
    tier: str = ""
    backend: str = ""
    model: str = ""
    dialect: str = ""
    operation: str = "chat"
    routing_mode: str = ""
    class_label: str | None = None
    priority: int = 0
    stream: bool = False
    escalated: bool = False
    overflowed: bool = False
    attempts: Sequence[TriedTier] = ()
    queue_ms: float = 0.0
    ttft_ms: float | None = None
    latency_ms: float = 0.0
    overhead_ms: float = 0.0
    success: bool = True
    status: int = 0
    error: str | None = None
    fault: Fault | None = None
    end_reason: str = "complete"
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    reasons: Sequence[Reason] = ()
    # Of few requests:
    discarded: tuple[Spent, ...] = ()
    classifying: tuple[Spent, ...] = ()
    user: str | None = None
    attribution: Mapping[str, str] = {}
    lossy: tuple[str, ...] = ()
    timeline: tuple[Span, ...] = ()

    @property
    def outcome(self) -> str:
        """What became of it, one of :data:`OUTCOMES`."""
        return self.fault or ("client_gone" if self.end_reason == "client_gone" else "success")


class Filter(msgspec.Struct, frozen=True):
    """Which entries are wanted; ``None`` asks for nothing, the others must all hold.

    :ivar since: seconds since the epoch: those that were received then or later; ``until``: then or earlier.
    :ivar status: one status (``"429"``) or a class of them (``"4xx"``).
    """

    id: str | None = None
    client: str | None = None
    profile: str | None = None
    tier: str | None = None
    backend: str | None = None
    fault: str | None = None
    success: bool | None = None
    status: str | None = None
    since: float | None = None
    until: float | None = None

    def admits(self, entry: Entry) -> bool:
        """Whether this entry is one of them."""
        return (
            all(
                wanted is None or wanted == getattr(entry, name)
                for name in ("id", "client", "profile", "tier", "backend", "fault", "success")
                for wanted in (getattr(self, name),)
            )
            and (self.since is None or entry.timestamp >= self.since)
            and (self.until is None or entry.timestamp <= self.until)
            and (self.status is None or self.status in (str(entry.status), f"{entry.status // 100}xx"))
        )


#: What was done when, in seconds of the reactor's clock: what, tier, from and until.
Times = Sequence[tuple[str, str, float, float]]

#: An entry without its timeline, the request's body where that is kept too, when it was received, and where its time
#: went: most timelines are never looked at.
Kept = tuple[Entry, bytes | None, float, Times]


def whole(kept: Kept) -> Entry:
    """Return an entry with its timeline."""
    entry, _, received, times = kept
    spans = [
        Span(what, at, (a - received) * 1e6 // 1.0 / 1e3, (b - received) * 1e6 // 1.0 / 1e3) for what, at, a, b in times
    ]
    return msgspec.structs.replace(entry, timeline=tuple(spans))


class Ring:
    """The last ``capacity`` entries, newest first when iterated."""

    __slots__ = ("_kept",)

    def __init__(self, capacity: int) -> None:
        self._kept: deque[Kept] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Entry]:
        return map(whole, reversed(self._kept))

    def add(self, kept: Iterable[Kept]) -> None:
        """Keep these, forgetting the oldest where the ring is full."""
        self._kept.extend(kept)

    def find(self, id: str) -> tuple[Entry, bytes | None] | None:
        """Return the newest entry of this id, with its body if that was kept."""
        return next(((whole(kept), kept[1]) for kept in reversed(self._kept) if kept[0].id == id), None)

    def resized(self, capacity: int) -> Ring:
        """Return a ring of another capacity with the newest of these entries."""
        other = Ring(capacity)
        other._kept.extend(self._kept)
        return other


class Totals:
    """What was counted since start; never over the ring, so that it does not depend on its capacity."""

    __slots__ = ("errors", "escalations", "latency_ms", "requests", "tiers")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.escalations = 0
        self.latency_ms = 0.0
        self.tiers: defaultdict[str, int] = defaultdict(int)

    def add(self, entries: Sequence[Entry]) -> None:
        """Count finished requests."""
        tiers = self.tiers
        self.requests += len(entries)
        for entry in entries:
            if not entry.success:
                self.errors += 1
            if entry.escalated:
                self.escalations += 1
            self.latency_ms += entry.latency_ms
            if entry.tier:
                tiers[entry.tier] += 1

    @property
    def _average_ms(self) -> float:
        return round(self.latency_ms / self.requests, 1) if self.requests else 0.0

    def public(self) -> dict[str, Any]:
        """The figures of ``/status``: no name of anything."""
        return {
            "total": self.requests,
            "errors": self.errors,
            "error_rate": round(self.errors / self.requests, 4) if self.requests else 0.0,
            "escalations": self.escalations,
            "avg_latency_ms": self._average_ms,
        }

    def stats(self) -> dict[str, Any]:
        """The figures of ``/admin/traffic``, under lm-gateway-rs's names."""
        return {
            "total_requests": self.requests,
            "error_count": self.errors,
            "escalation_count": self.escalations,
            "avg_latency_ms": self._average_ms,
            "tier_counts": dict(self.tiers),
        }


def milliseconds(seconds: float) -> float:
    """Return milliseconds in whole microseconds; the clock is the wall's and may have gone back."""
    return seconds * 1e6 // 1.0 / 1e3 if seconds > 0.0 else 0.0
