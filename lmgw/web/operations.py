"""The seam between the admin port and what it shows and does."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

import msgspec

from lmgw.config.snapshot import Gateway
from lmgw.core.record import Filter
from lmgw.gateway.explaining import Circumstances
from lmgw.gateway.inbound import Sink


class ReloadResult(msgspec.Struct, frozen=True):
    """What came of a reload.

    :ivar summary: the line that the log has too: ``reloaded 3f9c21a: +1 tier``, ``files unchanged since 13:40:02``.
    :ivar changes: what is different now, one sentence each.
    :ivar problems: why nothing changed, one sentence each; empty where the reload succeeded.
    """

    summary: str
    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Operations(Protocol):
    """What an operator may see and do; secrets are in none of it."""

    @property
    def gateway(self) -> Gateway:
        """The settings now in force."""

    def health(self) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/health``."""

    def traffic(self, wanted: Filter, limit: int, *, failures: bool) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/traffic``; with ``failures`` from the ring of their own."""

    def request(self, id: str) -> Mapping[str, Any]:
        """Return one request, finished or in flight. Raises :class:`~lmgw.errors.NotFound`."""

    def in_flight(self) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/inflight``."""

    def listen(self, sink: Sink) -> None:
        """Answer with live events until either side ends it."""

    def queues(self) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/queues``."""

    def spend(self) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/spend``."""

    def history(self, since: float) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/history``, from a time on (seconds since the epoch)."""

    def backends(self) -> Awaitable[Mapping[str, Any]]:
        """Probe all backends; ``ok`` says whether all are well."""

    def explain(self, body: bytes, given: Circumstances) -> Awaitable[Mapping[str, Any]]:
        """Return the plan for a request. Raises :class:`~lmgw.errors.GatewayError`."""

    def play(self, body: bytes, request_id: str, peer: str, sink: Sink) -> None:
        """Answer an operator's chat. Raises :class:`~lmgw.errors.GatewayError` before anything is sent."""

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body of ``GET /metrics``."""

    def config(self) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/config``."""

    def reload(self) -> Awaitable[ReloadResult]:
        """Read the files again, as SIGHUP does."""
