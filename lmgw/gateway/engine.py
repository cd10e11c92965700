"""The engine: takes requests, owns what outlives them, and keeps the books."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from lmgw.config.snapshot import Config
from lmgw.core.identity import Identity
from lmgw.core.tokens import CalibratedEstimate
from lmgw.errors import Overloaded
from lmgw.gateway.admission import Admission
from lmgw.gateway.events import Events
from lmgw.gateway.export import Export
from lmgw.gateway.figures import snapshot
from lmgw.gateway.headers import of_error
from lmgw.gateway.inbound import Inbound, Sink
from lmgw.gateway.inflight import row
from lmgw.gateway.listing import listing
from lmgw.gateway.measuring import counter
from lmgw.gateway.queues import Queues
from lmgw.gateway.recording import Books, WriteLines, by_logger
from lmgw.gateway.runtime import Runtime
from lmgw.gateway.task import JSON, Task
from lmgw.gateway.ticker import Ticker
from lmgw.gateway.watch import Watch
from lmgw.state.circuits import Circuits
from lmgw.state.learned import Learned
from lmgw.state.limits import Limits
from lmgw.upstream.client import RelayClient
from lmgw.upstream.pool import Pools
from lmgw.version import VERSION
from lmgw.wire.translate import DIALECTS

#: Where ``/status`` sends an operator whose keys are missing.
SETUP_URL = "/setup"

_BUSY = Overloaded("more requests come than this gateway can serve; try again in a moment")


class Engine:
    """Serves the client port with the configuration adopted last.

    :ivar current: what new requests are served with.
    :ivar draining: the gateway is about to stop.
    :ivar now: seconds of the reactor's clock; ``epoch_s`` are those since 1970.
    :ivar random: a number from 0 to 1.
    """

    current: Runtime

    def __init__(
        self,
        reactor: Any,
        epoch_s: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
        write_lines: WriteLines = by_logger,
    ) -> None:
        self.reactor = reactor
        self.now: Callable[[], float] = reactor.seconds
        self.epoch_s = epoch_s
        self.draining = False
        self.circuits = Circuits()
        self.learned = Learned()
        self.limits = Limits()
        self.queues = Queues(reactor)
        self.admission = Admission(reactor)
        self.count_tokens: Callable[[str], int] = CalibratedEstimate().count
        self.pools = Pools(reactor)
        self.client = RelayClient.over(reactor, self.pools)
        self.random = random
        self.started_s = int(epoch_s())
        self._started_at = reactor.seconds()
        self._tasks: Ticker[Task] = Ticker(reactor)
        self.events = Events(reactor, self._greeting, self.snapshot, epoch_s)
        self.export = Export(self.now, epoch_s)
        self.watch = Watch(self.circuits, self.now, epoch_s, self.events.mark)
        self._books = Books(self.events, self.export, epoch_s, write_lines)
        self._ended: list[tuple[Task, float]] = []
        self.events.mark("start", f"lmgw {VERSION} started")

    # --- configurations ----------------------------------------------------------------------------------------------

    def prepare(self, config: Config) -> Runtime:
        """Make a configuration ready. Raises :class:`~lmgw.errors.ConfigError` where that cannot be done."""
        return Runtime.prepare(config)

    def adopt(self, runtime: Runtime) -> None:
        """Serve every request from now on with ``runtime``; cannot fail."""
        gateway = runtime.config.gateway
        self.circuits.adopt(runtime.config)
        self.learned.adopt()
        self.queues.adopt(runtime.config)
        self.pools.adopt(runtime.targets.values())
        self._books.adopt(gateway)
        self.watch.adopt(runtime.config)
        if runtime.routes.largest_window:
            self.count_tokens = counter()
        self._tasks.configure(gateway.keepalive_ms, gateway.early_begin_ms, gateway.request_timeout_ms)
        before = getattr(self, "current", runtime)
        self.current = runtime
        if before.config.gateway.admin_token != gateway.admin_token:
            self.events.drop_all()

    def dispose(self, runtime: Runtime) -> None:
        """Give back what a runtime that was never adopted holds: it holds nothing that is open."""

    @property
    def uptime_s(self) -> int:
        """Whole seconds since the start."""
        return int(self.now() - self._started_at)

    def snapshot(self) -> dict[str, Any]:
        """Return what runs now, JSON-ready."""
        return snapshot(self, self._tasks.members)

    def running(self, id: str) -> dict[str, Any] | None:
        """Return the request of this id as it stands; ``None`` where none is in flight."""
        return next((row(task, self.now()) for task in self._tasks.members if task.inbound.request_id == id), None)

    def _greeting(self) -> dict[str, Any]:
        """What every dashboard is told first: a change of ``started_at`` is a restart."""
        return {"version": VERSION, "started_at": self.started_s, "config": self.current.config.fingerprint}

    # --- requests ----------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many requests are being served."""
        return len(self._tasks.members)

    def refusal(self) -> Overloaded | None:
        """Return why no request can be taken right now; asked when the head of one has been read."""
        return None if self.admission.admits() else _BUSY

    def handle(self, inbound: Inbound, sink: Sink, identity: Identity | None = None) -> None:
        """Start answering; ``sink`` is always brought to an end, whatever happens.

        ``identity`` is whom the gateway has let in by other means than a client's key: an operator.
        """
        runtime = self.current
        if len(self._tasks.members) >= runtime.config.gateway.max_in_flight:
            error = Overloaded("The gateway serves as many requests as it may; try again in a moment")
            body = DIALECTS[inbound.route.dialect].render_error(error, inbound.request_id)
            sink.answer(error.status, [JSON, *of_error(error)], body)
            self._books.turned_away(inbound, error)
            return
        task = Task(self, runtime, inbound, sink, identity)
        self._tasks.add(task)
        task.start()

    def finished(self, task: Task) -> None:
        """A request is over: its record is made at the end of this turn of the event loop."""
        self._tasks.remove(task)
        if not self._ended:
            self.reactor.callLater(0, self._record)
        self._ended.append((task, self.now()))
        if self.watch.troubles and task.session is not None:
            self.watch.ended(task.session.trace, task.runtime.config.tiers, task.inbound.request_id)

    @property
    def books(self) -> Books:
        """What finished requests have left behind, up to the last one."""
        self._record()
        return self._books

    def _record(self) -> None:
        """Make the records of what has ended; one after the other they cost half of what each does alone."""
        ended, self._ended = self._ended, []
        if ended:
            self._books.finished(ended, self.epoch_s() - self.now())

    def reopen(self) -> None:
        """Open the traffic log again: it may have been moved away; the old file gets what has ended."""
        self._record()
        self.export.reopen()

    def mark(self, kind: str, text: str) -> None:
        """Note that something changed, for whoever looks at plots."""
        self.events.mark(kind, text)

    def cut(self) -> None:
        """Abort everything in flight: the gateway stops."""
        for task in list(self._tasks.members):
            task.end("shutdown")

    def close(self) -> Deferred[None]:
        """Close what is open towards providers, dashboards and the disk; fires when it is."""
        self._tasks.stop()
        self._record()
        self.events.drop_all()
        self.export.close()
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
            "uptime_secs": self.uptime_s,
            "version": VERSION,
            "requests": self.books.totals.public(),
        }
        if not ready:
            body["setup_url"] = SETUP_URL
        return msgspec.json.encode(body)
