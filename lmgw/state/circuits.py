"""The circuits of all backends and tiers, by name; they outlive configurations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lmgw.config.snapshot import Config, Tier
from lmgw.core.circuit import Circuit, Health
from lmgw.core.record import WORDS_KEPT
from lmgw.core.retry import Verdict


class Passage:
    """The way to a tier through the two circuits in front of it; attempts that probe none of them share one.

    Of an attempt that probes, the circuits in ``_probing`` wait for its end.
    """

    __slots__ = ("_probing", "backend", "tier")

    def __init__(self, backend: Circuit, tier: Circuit, probing: tuple[Circuit, ...] = ()) -> None:
        self.backend = backend
        self.tier = tier
        self._probing = probing

    def succeeded(self) -> None:
        """The provider answered as it should."""
        self._probing = ()
        if not self.backend.steady:
            self.backend.succeeded()
        if not self.tier.steady:
            self.tier.succeeded()

    def failed(self, now: float, verdict: Verdict, retry_after_s: float) -> None:
        """The attempt failed; the verdict says whose circuit counts it, if any."""
        if verdict.circuit is None:
            return
        circuit = self.backend if verdict.circuit == "backend" else self.tier
        self._probing = tuple(other for other in self._probing if other is not circuit)
        if verdict.trips:
            circuit.trip(now, reason=verdict.error.message[:WORDS_KEPT], at_least_s=retry_after_s)
        else:
            circuit.failed(now, reason=verdict.error.message[:WORDS_KEPT], at_least_s=retry_after_s)

    def leave(self) -> None:
        """The attempt is over; a probe that said nothing leaves its place to another."""
        for circuit in self._probing:
            circuit.abandoned()
        self._probing = ()


class Circuits:
    """One circuit a backend (connection faults, timeouts, 5xx, keys) and one a tier (429, 529, no such model).

    A throttled big model must not block its small sister on the same backend.
    """

    def __init__(self) -> None:
        self._health = Health()
        self._backends: dict[str, Circuit] = {}
        self._tiers: dict[str, Circuit] = {}
        self._passages: dict[tuple[str, str], Passage] = {}
        self._keyless: frozenset[str] = frozenset()

    def adopt(self, config: Config) -> None:
        """Take a configuration: its figures, its names (those that are gone are forgotten), its missing keys."""
        gateway = config.gateway
        self._health = Health(gateway.health_window, gateway.health_error_threshold, gateway.health_cooldown_ms / 1000)
        self._backends = self._kept(self._backends, config.backends)
        self._tiers = self._kept(self._tiers, config.tiers)
        self._passages = {
            (name, tier.backend): Passage(self._backends[tier.backend], self._tiers[name])
            for name, tier in config.tiers.items()
        }
        self._keyless = frozenset(name for name, backend in config.backends.items() if not backend.usable)

    def _kept(self, circuits: dict[str, Circuit], names: Iterable[str]) -> dict[str, Circuit]:
        kept = {name: circuits.get(name) or Circuit(self._health) for name in names}
        for circuit in kept.values():
            circuit.configure(self._health)
        return kept

    def backend(self, name: str) -> Circuit:
        """The circuit of this backend; one that a reload removed gets a circuit nobody reads."""
        return self._backends.get(name) or Circuit(self._health)

    def tier(self, name: str) -> Circuit:
        """The circuit of this tier, as for :meth:`backend`."""
        return self._tiers.get(name) or Circuit(self._health)

    def _to(self, tier: Tier) -> Passage:
        """The way to a tier; a reload may have moved it to another backend, or removed it, since it was chosen."""
        passage = self._passages.get((tier.name, tier.backend))
        return passage or Passage(self.backend(tier.backend), self.tier(tier.name))

    def enter(self, tier: Tier, now: float) -> Passage:
        """Begin an attempt at this tier."""
        passage = self._to(tier)
        backend, own = passage.backend, passage.tier
        if backend.open_until is None and own.open_until is None:
            return passage
        return Passage(backend, own, tuple(circuit for circuit in (backend, own) if circuit.started(now)))

    def backends(self) -> Iterator[tuple[str, Circuit]]:
        """All backends with their circuits."""
        yield from self._backends.items()

    def tiers(self) -> Iterator[tuple[str, Circuit]]:
        """All tiers with their circuits."""
        yield from self._tiers.items()

    # What the plan asks (core.plan.Health):

    def available(self, tier: Tier, now: float) -> bool:
        """Whether the backend's key is there and both circuits in front of this tier let a request through."""
        if tier.backend in self._keyless:
            return False
        passage = self._to(tier)
        backend, own = passage.backend, passage.tier
        if backend.open_until is None and own.open_until is None:  # as nearly always: two calls saved
            return True
        return backend.available(now) and own.available(now)

    def open_until(self, tier: Tier) -> float | None:
        """When the later of the two circuits lets a probe through; ``None`` where both are closed."""
        passage = self._to(tier)
        times = [until for until in (passage.backend.open_until, passage.tier.open_until) if until is not None]
        return max(times, default=None)

    def key_missing(self, backend: str) -> bool:
        """Whether the backend's key variable is missing, so that it must not be called."""
        return backend in self._keyless
