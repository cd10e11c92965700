"""The gateway as Twisted runs it: built whole or not at all, stopped in order."""

from __future__ import annotations

import gc
import os
import random
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

import twisted
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from lmgw.config.loader import load
from lmgw.config.snapshot import Config
from lmgw.gateway.engine import Engine
from lmgw.gateway.recording import by_logger
from lmgw.listeners import ListenError, Listeners, addresses
from lmgw.logs import Logs
from lmgw.notify import Notifier
from lmgw.operations import GatewayOperations
from lmgw.reload import Reloader
from lmgw.signals import on_hangup, on_stop
from lmgw.version import VERSION
from lmgw.web.admin import admin_site
from lmgw.web.client import client_site
from lmgw.web.operations import ReloadResult

#: How long clients that are cut off have to read the last words, in seconds.
LAST_WORDS_S = 1.0
#: How often a stopping gateway looks whether it is done, in seconds.
_LOOK_S = 0.02
#: Objects made and not yet freed before the garbage collector looks; Python's own 700 are a few requests.
GARBAGE = 20_000

T = TypeVar("T")


class Servant(Protocol):
    """What serves requests, as far as its end concerns the service: the engine."""

    draining: bool

    @property
    def in_flight(self) -> int:
        """How many requests are being served."""

    def reopen(self) -> None:
        """Open the files again that it appends to."""

    def mark(self, kind: str, text: str) -> None:
        """Note that something changed, for whoever looks at plots."""

    def cut(self) -> None:
        """Abort everything in flight."""

    def close(self) -> Deferred[None]:
        """Close pools and exporters."""


class Site(Protocol):
    """What listens, as far as its end concerns the service."""

    connections: Collection[Any]

    def drop_idle(self) -> None:
        """Close connections now that wait for a request, and the others after the answer they are at."""

    def cut(self) -> None:
        """Break every connection."""


def build(reactor: Any, path: str, environ: Mapping[str, str], logs: Logs | None) -> GatewayService:
    """Load the configuration, make the engine, open the ports.

    Raises :class:`~lmgw.errors.ConfigError` or :class:`~lmgw.listeners.ListenError`: nothing has answered anybody yet.
    """
    config = load(path, environ)

    def apply(config: Config) -> None:
        if logs is not None:
            logs.configure(config.gateway.log_level, config.gateway.log_format)

    apply(config)
    engine = Engine(reactor, time.time, random.random, by_logger if logs is None else logs.requests)
    engine.adopt(engine.prepare(config))
    sites: dict[str, Any] = {"client": client_site(engine, reactor)}
    listeners = Listeners(reactor, sites)
    reloader = Reloader(
        lambda: load(path, environ), config, engine, listeners, apply, lambda: datetime.now().astimezone()
    )
    service = GatewayService(reactor, engine, sites, listeners, reloader, Notifier(environ, os.getpid()), logs)
    operations = GatewayOperations(engine, reloader, service.reload, lambda: listeners.url("client"))
    sites["admin"] = admin_site(operations, reactor)
    _now(listeners.change(addresses(config.gateway)))
    return service


def _now(work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` comes to without an event loop. Raises what it raises."""
    outcome: list[T | Failure] = []
    Deferred.fromCoroutine(work).addBoth(outcome.append)
    if not outcome:
        raise ListenError("an endpoint string of a kind that opens only later cannot be used at the start")
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result


class GatewayService(Service):
    """Starts, reloads and stops the gateway; its ports are already open when it is made.

    Stopping: not ready for ``shutdown_delay_ms`` while everything goes on, then no new connections, then up to
    ``shutdown_grace_ms`` for what is in flight, then the cut. A second SIGTERM or SIGINT leads there at once.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        engine: Servant,
        sites: Mapping[str, Site],
        listeners: Listeners,
        reloader: Reloader,
        notifier: Notifier,
        logs: Logs | None,
    ) -> None:
        self.listeners = listeners
        self._reactor = reactor
        self._engine = engine
        self._sites = sites
        self._reloader = reloader
        self._notifier = notifier
        self._logs = logs
        self._stop_asked = False
        self._hurried = False
        self._pause: Deferred[None] | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Become the application's service and, before its first line, its log."""
        if self._logs is not None:
            parent.setComponent(ILogObserver, self._logs)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Say what runs; the rest waits for the event loop, which sets signal handlers of its own when it starts."""
        super().startService()  # type: ignore[no-untyped-call]
        config = self._reloader.config
        versions = {"version": VERSION, "twisted": twisted.__version__, "python": sys.version.split()[0]}
        self._log.info(
            "lmgw {version} (Twisted {twisted}, Python {python}), process {pid}", pid=os.getpid(), **versions
        )
        self._log.info("configuration {hash} from {path}", hash=config.fingerprint, path=config.path)
        for warning in config.warnings:
            self._log.warn("{warning}", warning=warning)
        on_hangup(self._reactor, self._hangup)
        self._reactor.callWhenRunning(self._running)

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when all is closed."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    def _running(self) -> None:
        on_stop(self._reactor, self._stop_signal)
        if self._notifier.watchdog_s is not None:
            watchdog = LoopingCall(self._notifier.alive)
            watchdog.clock = self._reactor
            watchdog.start(self._notifier.watchdog_s)
        # What is here now stays, and requests leave no cycles behind: the garbage collector has little to look for.
        gc.freeze()
        gc.set_threshold(GARBAGE, 20, 20)
        self._engine.reopen()
        self._notifier.ready(self._status())
        self._log.info("ready")

    def _status(self) -> str:
        urls = ", ".join(f"{side} {self.listeners.url(side)}" for side in self._sites)
        return f"{urls}, configuration {self._reloader.config.fingerprint}"

    # --- reloading -------------------------------------------------------------------------------------------

    def _hangup(self) -> None:
        """Reload, and open the logs again: whoever rotates them sends the same signal."""
        if self._logs is not None:
            try:
                self._logs.reopen()
            except OSError as error:
                self._log.error("cannot open the log again: {error}", error=error)
        self._engine.reopen()
        self.reload()

    def reload(self) -> Deferred[ReloadResult]:
        """Load the files again; what came of it is logged, and returned."""
        if self._engine.draining:
            refusal = ReloadResult("reload: nothing changed, the gateway is stopping", problems=("it is stopping",))
            return succeed(refusal)
        self._notifier.reloading()
        return self._reloader.reload().addCallback(self._reloaded)

    def _reloaded(self, result: ReloadResult) -> ReloadResult:
        self._engine.mark("reload", result.summary)
        self._notifier.ready(result.summary if result.problems else self._status())
        return result

    # --- stopping --------------------------------------------------------------------------------------------

    def _stop_signal(self) -> None:
        if self._stop_asked:
            self._hurried = True
            self._go_on()
        else:
            self._stop_asked = True
            self._reactor.stop()

    async def _stop(self) -> None:
        gateway = self._reloader.config.gateway
        self._engine.draining = True
        self._notifier.stopping(f"draining, {self._engine.in_flight} in flight")
        self._log.info("stopping: {in_flight} in flight", in_flight=self._engine.in_flight)
        await self._wait(gateway.shutdown_delay_ms / 1000)
        await self.listeners.close("client")
        self._sites["client"].drop_idle()
        await self._wait(gateway.shutdown_grace_ms / 1000, self._is_idle)
        if self._engine.in_flight:
            self._log.warn("cutting off {in_flight} in flight", in_flight=self._engine.in_flight)
            self._engine.cut()
            await self._wait(LAST_WORDS_S, self._is_idle)
        await self.listeners.close("admin")
        for site in self._sites.values():
            site.cut()
        await self._engine.close()
        self._log.info("stopped")

    def _is_idle(self) -> bool:
        """Whether every answer has left: a request is done when its client has read it."""
        return not self._engine.in_flight and not self._sites["client"].connections

    async def _wait(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Come back after ``seconds``, when ``done``, or when a second signal asks to hurry."""
        if self._hurried or done() or not seconds:
            return
        self._pause = pause = Deferred[None]()
        timer = self._reactor.callLater(seconds, self._go_on)
        look = LoopingCall(lambda: self._go_on() if done() else None)
        look.clock = self._reactor
        look.start(_LOOK_S)
        await pause
        look.stop()
        if timer.active():
            timer.cancel()

    def _go_on(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.callback(None)
