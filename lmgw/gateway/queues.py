"""The queues in front of tiers: slots taken, waited for and given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from lmgw.config.snapshot import Config
from lmgw.core.gate import Entry, Gate


class Slot:
    """A place in a queue: waiting until ``ready`` fires, then running until released."""

    __slots__ = ("_client", "_gate", "_over", "_priority", "ready", "running")

    def __init__(self, gate: Gate[Slot], priority: int, client: str) -> None:
        self._gate = gate
        self._priority = priority
        self._client = client
        self._over = False
        self.running = False
        self.ready: Deferred[None] | None = None

    @property
    def position(self) -> int:
        """Place in the line, 1 = next; 0 once it runs."""
        return 0 if self.running or self._over else self._gate.position(self, self._priority, self._client)

    def release(self) -> None:
        """Give the place back, whether it runs or still waits. May be called again."""
        if self._over:
            return
        self._over = True
        if self.running:
            _run(self._gate.leave())
        else:
            self._gate.withdraw(self, self._priority, self._client)


class Queues:
    """All gates by ``queue_id``; they outlive configurations, and what waits in them does too."""

    def __init__(self) -> None:
        self._gates: dict[str, Gate[Slot]] = {}

    def adopt(self, config: Config) -> None:
        """Take the limits of a configuration; a queue shared by several tiers has the smallest of theirs.

        A queue without a limit any more lets everybody through; it is forgotten once it is empty.
        """
        limits: dict[str, int] = {}
        for tier in config.tiers.values():
            if tier.max_concurrent:
                limits[tier.queue_id] = min(tier.max_concurrent, limits.get(tier.queue_id, tier.max_concurrent))
        for name, gate in list(self._gates.items()):
            if name not in limits:
                _run(gate.resize(gate.running + gate.waiting))
                del self._gates[name]
        for name, limit in limits.items():
            gate = self._gates.setdefault(name, Gate(limit))
            _run(gate.resize(limit))

    def load(self, queue: str) -> int:
        """How many run and wait in this queue."""
        gate = self._gates.get(queue)
        return 0 if gate is None else gate.running + gate.waiting

    def enter(self, queue: str, priority: int, client: str, max_waiting: int) -> Slot | None:
        """Take a place; ``None`` where the queue is full. Wait for ``slot.ready`` unless ``slot.running``."""
        gate = self._gates.get(queue)
        if gate is None:  # a reload took the limit away while the request was being planned
            gate = Gate(1)
        slot = Slot(gate, priority, client)
        entry = gate.arrive(slot, priority, client, max_waiting)
        if entry is Entry.FULL:
            return None
        slot.running = entry is Entry.RUNS
        if not slot.running:
            slot.ready = Deferred()
        return slot

    def figures(self) -> Mapping[str, Any]:
        """Limit, running and waiting by priority of each queue, JSON-ready."""
        return {
            name: {
                "limit": gate.limit,
                "running": gate.running,
                "waiting": gate.waiting,
                "waiting_by_priority": {str(p): n for p, n in gate.waiting_by_priority().items()},
            }
            for name, gate in self._gates.items()
        }


def _run(slots: list[Slot]) -> None:
    for slot in slots:
        slot.running = True
        if slot.ready is not None:
            slot.ready.callback(None)
