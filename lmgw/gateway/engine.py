"""The engine: takes requests, owns what outlives them, and keeps the books."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lmgw.config.snapshot import Config
from lmgw.core.identity import Identity
from lmgw.core.plan import RouteSession
from lmgw.core.record import Ring, Totals
from lmgw.core.tokens import CalibratedEstimate
from lmgw.errors import Overloaded
from lmgw.gateway.asked import Asked
from lmgw.gateway.headers import of_error
from lmgw.gateway.inbound import Inbound, Sink
from lmgw.gateway.listing import listing
from lmgw.gateway.queues import Queues
from lmgw.gateway.recording import entry_of, log_line
from lmgw.gateway.runtime import Runtime
from lmgw.gateway.task import JSON, Task
from lmgw.gateway.ticker import Ticker
from lmgw.state.circuits import Circuits
from lmgw.state.limits import Limits
from lmgw.upstream.client import RelayClient
from lmgw.upstream.pool import Pools
from lmgw.version import VERSION
from lmgw.wire.translate import DIALECTS

#: Where ``/status`` sends an operator whose keys are missing.
SETUP_URL = "https://github.com/lmgw/lmgw/blob/main/docs/setup.md"

log = Logger()


class Engine:
    """Serves the client port with the configuration adopted last.

    :ivar current: what new requests are served with.
    :ivar draining: the gateway is about to stop.
    :ivar now: seconds of the reactor's clock; ``epoch_s`` are those since 1970.
    """

    current: Runtime

    def __init__(
        self, reactor: Any, epoch_s: Callable[[], float] = time.time, random: Callable[[], float] = random.random
    ) -> None:
        self.reactor = reactor
        self.now: Callable[[], float] = reactor.seconds
        self.epoch_s = epoch_s
        self.draining = False
        self.circuits = Circuits()
        self.limits = Limits()
        self.queues = Queues()
        self.totals = Totals()
        self.ring = Ring(1)
        self.count_tokens = CalibratedEstimate().count
        self.pools = Pools(reactor)
        self.client = RelayClient.over(reactor, self.pools)
        self._random = random
        self.started_s = int(epoch_s())
        self._started_at = reactor.seconds()
        self._tasks: dict[Task, None] = {}
        self._ticker = Ticker(reactor)

    # --- configurations ----------------------------------------------------------------------------------------------

    def prepare(self, config: Config) -> Runtime:
        """Make a configuration ready. Raises :class:`~lmgw.errors.ConfigError` where that cannot be done."""
        return Runtime.prepare(config)

    def adopt(self, runtime: Runtime) -> None:
        """Serve every request from now on with ``runtime``; cannot fail."""
        gateway = runtime.config.gateway
        self.circuits.adopt(runtime.config)
        self.queues.adopt(runtime.config)
        self.pools.adopt(runtime.targets.values())
        self.ring = self.ring.resized(gateway.traffic_log_capacity)
        self._ticker.configure(gateway.keepalive_ms, gateway.early_begin_ms, gateway.request_timeout_ms)
        self.current = runtime

    def dispose(self, runtime: Runtime) -> None:
        """Give back what a runtime that was never adopted holds: it holds nothing that is open."""

    # --- requests ----------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many requests are being served."""
        return len(self._tasks)

    def handle(self, inbound: Inbound, sink: Sink) -> None:
        """Start answering; ``sink`` is always brought to an end, whatever happens."""
        runtime = self.current
        if len(self._tasks) >= runtime.config.gateway.max_in_flight:
            error = Overloaded("The gateway serves as many requests as it may; try again in a moment")
            body = DIALECTS[inbound.route.dialect].render_error(error, inbound.request_id)
            sink.answer(error.status, [JSON, *of_error(error)], body)
            return
        task = Task(self, runtime, inbound, sink)
        self._tasks[task] = None
        self._ticker.add(task)
        task.start()

    def session(self, runtime: Runtime, identity: Identity, asked: Asked) -> RouteSession:
        """Return the route session of one request."""
        return RouteSession(runtime.routes, identity, asked.routing(), self.circuits, self._random)

    def finished(self, task: Task) -> None:
        """A request is over: keep its record."""
        self._ticker.remove(task)
        del self._tasks[task]
        entry = entry_of(task, self.now(), self.epoch_s())
        self.totals.add(entry)
        self.ring.add(entry)
        log_line(entry)

    def cut(self) -> None:
        """Abort everything in flight: the gateway stops."""
        for task in list(self._tasks):
            task.end("shutdown")

    def close(self) -> Deferred[None]:
        """Close what is open towards providers; fires when it is."""
        self._ticker.stop()
        return self.pools.close()

    # --- what the client port asks besides ---------------------------------------------------------------------------

    def listing(self, kind: str, name: str | None, inbound: Inbound) -> bytes:
        """Return the JSON of a listing, see :class:`~lmgw.gateway.inbound.Handler`."""
        return listing(self, kind, name, inbound)

    def status(self) -> bytes:
        """Return the JSON of ``GET /status``: what everybody may know."""
        ready = self.current.config.ready
        body = {
            "status": "ok",
            "ready": ready,
            "uptime_secs": int(self.now() - self._started_at),
            "version": VERSION,
            "requests": self.totals.public(),
        }
        if not ready:
            body["setup_url"] = SETUP_URL
        return msgspec.json.encode(body)
