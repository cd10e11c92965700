"""What the admin side shows and does, put together from the parts that know it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from lmgw.config.redact import effective
from lmgw.config.snapshot import Gateway
from lmgw.reload import Reloader
from lmgw.version import VERSION
from lmgw.web.operations import ReloadResult


class GatewayOperations:
    """The :class:`~lmgw.web.operations.Operations` of a running gateway.

    :param reload: reads the files again and tells everyone who must know.
    :param draining: whether the gateway is on its way out.
    :param uptime_s: seconds since the start.
    """

    def __init__(
        self,
        reloader: Reloader,
        reload: Callable[[], Awaitable[ReloadResult]],
        draining: Callable[[], bool],
        uptime_s: Callable[[], float],
    ) -> None:
        self._reloader = reloader
        self.reload = reload
        self._draining = draining
        self._uptime_s = uptime_s

    @property
    def gateway(self) -> Gateway:
        """The settings now in force."""
        return self._reloader.config.gateway

    def config(self) -> Mapping[str, Any]:
        """Return the configuration in force, without secrets."""
        return effective(self._reloader.config)

    def health(self) -> Mapping[str, Any]:
        """Return how the gateway stands; ``last_reload`` keeps its problems until a reload succeeds."""
        config = self._reloader.config
        return {
            "status": "draining" if self._draining() else "ok",
            "ready": config.ready,
            "version": VERSION,
            "uptime_secs": int(self._uptime_s()),
            "tiers": len(config.tiers),
            "backends": len(config.backends),
            "missing": list(config.unresolved),
            "missing_clients": list(config.unresolved_clients),
            "warnings": list(config.warnings),
            "config": {"path": config.path, "hash": config.fingerprint},
            "reloads": dict(self._reloader.counts),
            "last_reload": _reload(self._reloader.last, self._reloader.last_at),
        }


def _reload(result: ReloadResult | None, at: datetime | None) -> Mapping[str, Any] | None:
    if result is None or at is None:
        return None
    return {
        "at": at.isoformat(timespec="seconds"),
        "ok": not result.problems,
        "summary": result.summary,
        "problems": result.problems,
    }
