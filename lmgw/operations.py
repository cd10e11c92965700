"""What the admin side shows and does, put together from the parts that know it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from lmgw.config.redact import effective
from lmgw.config.snapshot import Gateway
from lmgw.core.record import Filter
from lmgw.errors import NotFound
from lmgw.gateway import figures
from lmgw.gateway.engine import Engine
from lmgw.gateway.explaining import Circumstances, explained
from lmgw.gateway.inbound import Sink
from lmgw.gateway.metrics import Exposition
from lmgw.gateway.playground import play
from lmgw.reload import Reloader
from lmgw.version import VERSION
from lmgw.web.operations import ReloadResult


class GatewayOperations:
    """The :class:`~lmgw.web.operations.Operations` of a running gateway.

    :param reload: reads the files again and tells everyone who must know.
    :param client_url: how the client port is reached from this machine.
    """

    def __init__(
        self,
        engine: Engine,
        reloader: Reloader,
        reload: Callable[[], Awaitable[ReloadResult]],
        client_url: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._reloader = reloader
        self._client_url = client_url
        self._exposition = Exposition(engine, lambda: reloader.counts)
        self.reload = reload
        self.metrics = self._exposition.render
        self.listen = engine.events.listen
        self.in_flight = engine.snapshot
        self.queues = engine.queues.figures

    @property
    def gateway(self) -> Gateway:
        """The settings now in force."""
        return self._reloader.config.gateway

    def config(self) -> Mapping[str, Any]:
        """Return the configuration in force, without secrets."""
        return effective(self._reloader.config)

    def health(self) -> Mapping[str, Any]:
        """Return how the gateway stands; ``last_reload`` keeps its problems until a reload succeeds."""
        config, engine = self._reloader.config, self._engine
        lost = engine.export.warning()
        return {
            "status": "draining" if engine.draining else "ok",
            "ready": config.ready,
            "version": VERSION,
            "started_at": engine.started_s,
            "uptime_secs": engine.uptime_s,
            "now": round(engine.epoch_s(), 3),
            "client_url": self._client_url(),
            "tiers": len(config.tiers),
            "backends": len(config.backends),
            "in_flight": engine.in_flight,
            "held": {
                "upstream_connections": sum(pool.open for pool in engine.pools.figures().values()),
                "timers": len(engine.reactor.getDelayedCalls()),
            },
            "missing": list(config.unresolved),
            "missing_clients": list(config.unresolved_clients),
            "warnings": [*config.warnings, *([lost] if lost else [])],
            "losing": lost,
            "troubles": engine.watch.figures(),
            "config": {"path": config.path, "hash": config.fingerprint},
            "reloads": dict(self._reloader.counts),
            "last_reload": _reload(self._reloader.last, self._reloader.last_at),
        }

    # --- traffic -----------------------------------------------------------------------------------------------------

    def traffic(self, wanted: Filter, limit: int, *, failures: bool) -> Mapping[str, Any]:
        """Return the totals since start and the newest entries that are wanted, newest first."""
        books = self._engine.books
        ring = books.failures if failures else books.ring
        return {
            "stats": books.totals.stats(),
            "entries": list(islice(filter(wanted.admits, ring), limit)),
        }

    def request(self, id: str) -> Mapping[str, Any]:
        """Return one request: its entry, with ``request`` (its body as text) where that was kept; or its row in flight.

        Raises :class:`~lmgw.errors.NotFound`.
        """
        books = self._engine.books
        kept = books.ring.find(id) or books.failures.find(id)
        if kept is None:
            return self._running(id)
        entry, body = kept
        shown: dict[str, Any] = msgspec.to_builtins(entry)
        return shown if body is None else shown | {"request": body.decode("utf-8", "replace")}

    def _running(self, id: str) -> Mapping[str, Any]:
        row = self._engine.running(id)
        if row is None:
            raise NotFound(
                f"no request {id[:128]} among the last {self.gateway.traffic_log_capacity} (traffic_log_capacity); "
                "older ones are in the file that traffic_log_path names, if one is written"
            )
        return row

    def spend(self) -> Mapping[str, Any]:
        """Return what each client used of each tier, in the last hour and today."""
        return self._engine.books.ledger.spend(self._engine.epoch_s())

    def history(self, since: float) -> Mapping[str, Any]:
        """Return what plots show: points of ten seconds, and what changed."""
        return {
            "points": self._engine.books.history.points(since),
            "marks": [mark for mark in self._engine.events.marks if mark["at"] >= since],
        }

    # --- asking ------------------------------------------------------------------------------------------------------

    def backends(self) -> Awaitable[Mapping[str, Any]]:
        """Probe all backends."""
        return figures.backends(self._engine)

    def explain(self, body: bytes, given: Circumstances) -> Awaitable[Mapping[str, Any]]:
        """Return the plan for a request."""
        return explained(self._engine, body, given)

    def play(self, body: bytes, request_id: str, peer: str, sink: Sink) -> None:
        """Answer an operator's chat."""
        play(self._engine, body, request_id, peer, sink)


def _reload(result: ReloadResult | None, at: datetime | None) -> Mapping[str, Any] | None:
    if result is None or at is None:
        return None
    return {
        "at": at.isoformat(timespec="seconds"),
        "ok": not result.problems,
        "summary": result.summary,
        "problems": result.problems,
    }
