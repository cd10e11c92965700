"""The priority gate: who of those that wait runs next."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum
from typing import Generic, TypeVar

Ticket = TypeVar("Ticket")

#: How much the last service time counts in the average of the recent ones.
_LAST = 1 / 8
#: The longest wait that a refusal asks for, in seconds: SDKs ignore longer ones.
_LONGEST_S = 60


class Entry(Enum):
    """What became of an arrival."""

    RUNS = "runs"
    WAITS = "waits"
    FULL = "full"


class Gate(Generic[Ticket]):
    """At most ``limit`` run at once; the highest priority goes first, and within it the clients take turns.

    A client's own requests keep their order. A flood of one client therefore costs another at most one turn.
    Nobody is called up but by :meth:`admit`, which is due whenever one has left or the limit has changed.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.running = 0
        self.waiting = 0
        self._service_s = 0.0
        # priority -> client -> its tickets; the clients stand in the order of their turns
        self._lines: dict[int, dict[str, deque[Ticket]]] = {}

    def waiting_by_priority(self) -> dict[int, int]:
        """How many wait at each priority."""
        return {p: sum(map(len, self._lines[p].values())) for p in sorted(self._lines, reverse=True)}

    def arrive(self, ticket: Ticket, priority: int, client: str, max_waiting: int) -> Entry:
        """Take a request: it runs at once, waits, or is turned away where ``max_waiting`` wait already."""
        if self.is_free:
            self.running += 1
            return Entry.RUNS
        if self.waiting >= max_waiting:
            return Entry.FULL
        self._lines.setdefault(priority, {}).setdefault(client, deque()).append(ticket)
        self.waiting += 1
        return Entry.WAITS

    def leave(self, service_s: float) -> None:
        """One that ran for ``service_s`` seconds is done."""
        self.running -= 1
        self._service_s += (service_s - self._service_s) * (_LAST if self._service_s else 1)

    def withdraw(self, ticket: Ticket, priority: int, client: str) -> None:
        """One that waits gives up."""
        line = self._lines[priority][client]
        line.remove(ticket)
        self.waiting -= 1
        if not line:
            self._forget(priority, client)

    def admit(self) -> list[Ticket]:
        """Call up as many as there is room for; returns them, in the order of their turns."""
        admitted = []
        while self.running < self.limit and self._lines:
            admitted.append(self._next())
            self.running += 1
        return admitted

    @property
    def is_free(self) -> bool:
        """Whether a request that comes now need not wait: there is room, and nobody is before it."""
        return self.running < self.limit and not self.waiting

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until a place in a full line is likely to become free, at the pace of late."""
        return min(_LONGEST_S, max(1, math.ceil(self._service_s / self.limit)))

    def position(self, ticket: Ticket, priority: int, client: str) -> int:
        """How many are served before this one if nobody else comes, plus one."""
        ahead = sum(n for p, n in self.waiting_by_priority().items() if p > priority)
        clients = self._lines[priority]
        turn = clients[client].index(ticket)
        earlier = True  # in the order of the turns
        for other, line in clients.items():
            if other == client:
                earlier = False
                ahead += turn
            else:
                ahead += min(len(line), turn + earlier)
        return ahead + 1

    def _next(self) -> Ticket:
        priority = max(self._lines)
        clients = self._lines[priority]
        client, line = next(iter(clients.items()))
        ticket = line.popleft()
        self.waiting -= 1
        self._forget(priority, client)
        if line:  # to the end of the turns
            self._lines.setdefault(priority, {})[client] = line
        return ticket

    def _forget(self, priority: int, client: str) -> None:
        clients = self._lines[priority]
        del clients[client]
        if not clients:
            del self._lines[priority]
