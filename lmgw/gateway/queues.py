"""The queues in front of tiers: slots taken, waited for and given back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lmgw.config.snapshot import Config
from lmgw.core.gate import Entry, Gate


class Slot:
    """A place in a queue: waiting until ``ready`` fires, then running until released."""

    __slots__ = ("_began", "_over", "_queue", "client", "priority", "ready", "running")

    def __init__(self, queue: Queue, priority: int, client: str) -> None:
        self.priority = priority
        self.client = client
        self.running = False
        self.ready: Deferred[None] | None = None
        self._queue = queue
        self._over = False
        self._began = 0.0

    @property
    def position(self) -> int:
        """Place in the line, 1 = next; 0 once it runs."""
        return 0 if self.running or self._over else self._queue.gate.position(self, self.priority, self.client)

    def run(self, now: float) -> None:
        """Begin; whoever waits for it is told."""
        self.running = True
        self._began = now
        if self.ready is not None:
            self.ready.callback(None)

    def release(self) -> None:
        """Give the place back, whether it runs or still waits. May be called again."""
        if self._over:
            return
        self._over = True
        if self.running:
            self._queue.left(self._began)
        else:
            self._queue.gate.withdraw(self, self.priority, self.client)


class Queue:
    """One gate in the event loop.

    Those who wait are called up in the next turn of the event loop: when a hundred connections of one client end in
    the same turn, none of its requests is begun only to be broken off.
    """

    def __init__(self, reactor: IReactorTime, limit: float) -> None:
        self.gate: Gate[Slot] = Gate(limit)
        self._reactor = reactor
        self._due = False

    def enter(self, priority: int, client: str, max_waiting: int) -> Slot | None:
        """Take a place; ``None`` where the queue is full. Wait for ``slot.ready`` unless ``slot.running``."""
        slot = Slot(self, priority, client)
        entry = self.gate.arrive(slot, priority, client, max_waiting)
        if entry is Entry.FULL:
            return None
        if entry is Entry.RUNS:
            slot.run(self._reactor.seconds())
        else:
            slot.ready = Deferred()
        return slot

    def left(self, began: float) -> None:
        """One that ran since ``began`` is done."""
        self.gate.leave(max(0.0, self._reactor.seconds() - began))
        self._call_up_soon()

    def resize(self, limit: float) -> None:
        """Take a new limit; a lower one takes effect as those that run leave."""
        self.gate.limit = limit
        self._call_up_soon()

    def _call_up_soon(self) -> None:
        if self.gate.waiting and not self._due:
            self._due = True
            self._reactor.callLater(0, self._call_up)

    def _call_up(self) -> None:
        self._due = False
        now = self._reactor.seconds()
        for slot in self.gate.admit():
            slot.run(now)


class Queues:
    """All queues by ``queue_id``; they outlive configurations, and what waits in them does too."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._queues: dict[str, Queue] = {}

    def adopt(self, config: Config) -> None:
        """Take the limits of a configuration; a queue shared by several tiers has the smallest of theirs.

        A queue without a limit any more lets everybody through; it is forgotten by the first configuration that finds
        it empty, so that one that comes back in between still knows who runs.
        """
        limits: dict[str, int] = {}
        for tier in config.tiers.values():
            if tier.max_concurrent:
                limits[tier.queue_id] = min(tier.max_concurrent, limits.get(tier.queue_id, tier.max_concurrent))
        for name, queue in list(self._queues.items()):
            if name not in limits:
                queue.resize(math.inf)
                if not (queue.gate.running or queue.gate.waiting):
                    del self._queues[name]
        for name, limit in limits.items():
            if name in self._queues:
                self._queues[name].resize(limit)
            else:
                self._queues[name] = Queue(self._reactor, limit)

    def get(self, name: str) -> Queue:
        """Return a queue; where a reload has taken its limit away in the meantime, one that holds nobody up."""
        if name not in self._queues:
            self._queues[name] = Queue(self._reactor, math.inf)
        return self._queues[name]

    def figures(self) -> Mapping[str, Any]:
        """Limit, running and waiting by priority of each queue that has a limit, JSON-ready."""
        return {
            name: {
                "limit": queue.gate.limit,
                "running": queue.gate.running,
                "waiting": queue.gate.waiting,
                "waiting_by_priority": {str(p): n for p, n in queue.gate.waiting_by_priority().items()},
            }
            for name, queue in self._queues.items()
            if queue.gate.limit != math.inf
        }
