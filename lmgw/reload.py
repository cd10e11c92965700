"""Takes over a changed configuration whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from lmgw.config.diff import describe
from lmgw.config.snapshot import Config
from lmgw.errors import ConfigError
from lmgw.listeners import ListenError, Listeners, addresses
from lmgw.web.operations import ReloadResult

Runtime = TypeVar("Runtime")


class Engine(Protocol[Runtime]):
    """What serves requests, as far as a change of configuration concerns it."""

    def prepare(self, config: Config) -> Runtime:
        """Build everything that ``config`` needs beside what runs. Raises :class:`~lmgw.errors.ConfigError`."""

    def adopt(self, runtime: Runtime) -> None:
        """Serve every request from now on with ``runtime``. Cannot fail."""

    def dispose(self, runtime: Runtime) -> None:
        """Give back what a runtime that was never adopted holds."""


class Reloader:
    """Loads the files again, one reload at a time, and keeps what came of the last one.

    :param load: reads and validates the files. Raises :class:`~lmgw.errors.ConfigError`.
    :param config: what runs now.
    :param apply: takes over what is neither the engine's nor the listeners' (the log's level); cannot fail.
    :param now: local time, aware.
    :ivar last: what the last reload came to, and ``last_at`` when; ``None`` before the first.
    :ivar counts: reloads so far, by outcome.
    """

    _log = Logger()

    def __init__(
        self,
        load: Callable[[], Config],
        config: Config,
        engine: Engine[Runtime],
        listeners: Listeners,
        apply: Callable[[Config], None],
        now: Callable[[], datetime],
    ) -> None:
        self.config = config
        self.last: ReloadResult | None = None
        self.last_at: datetime | None = None
        self.counts = {"ok": 0, "failed": 0}
        self._load = load
        self._engine = engine
        self._listeners = listeners
        self._apply = apply
        self._now = now
        self._since = now()
        self._one_at_a_time = DeferredLock()

    def reload(self) -> Deferred[ReloadResult]:
        """Reload now, or after the reload that runs; never fails."""
        return self._one_at_a_time.run(lambda: Deferred.fromCoroutine(self._reload()))

    async def _reload(self) -> ReloadResult:
        try:
            config = self._load()
            await self._take_over(config)
        except ConfigError as error:
            return self._refused(error.problems)
        except ListenError as error:
            return self._refused((str(error),))
        except Exception as error:
            self._log.failure("reload: a fault of the gateway's own")
            return self._refused((f"a fault of the gateway's own ({type(error).__name__}); its log has the details",))
        return self._done(config)

    async def _take_over(self, config: Config) -> None:
        """Do all that can fail, then all that cannot."""
        runtime = self._engine.prepare(config)
        try:
            await self._listeners.change(addresses(config.gateway))
        except Exception:
            self._engine.dispose(runtime)
            raise
        self._engine.adopt(runtime)
        self._apply(config)

    def _done(self, config: Config) -> ReloadResult:
        now = self._now()
        if config.fingerprint == self.config.fingerprint:
            # The usual sign of a single file mounted into a container: an editor's save made a new file elsewhere.
            result = ReloadResult(f"reload: files unchanged since {_moment(self._since, now)}")
        else:
            changes = describe(self.config, config)
            result = ReloadResult(f"reloaded {config.fingerprint}: {changes}", (changes,))
            self._since = now
        self.config = config
        self._log.info("{summary}", summary=result.summary)
        for warning in config.warnings:
            self._log.warn("{warning}", warning=warning)
        return self._keep(result, now)

    def _refused(self, problems: tuple[str, ...]) -> ReloadResult:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        result = ReloadResult(f"reload: nothing changed, {count}", problems=problems)
        for problem in problems:
            self._log.error("reload: {problem}", problem=problem)
        self._log.error("{summary}", summary=result.summary)
        return self._keep(result, self._now())

    def _keep(self, result: ReloadResult, now: datetime) -> ReloadResult:
        self.last, self.last_at = result, now
        self.counts["failed" if result.problems else "ok"] += 1
        return result


def _moment(then: datetime, now: datetime) -> str:
    """The time of day, with its date unless that is today."""
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")
