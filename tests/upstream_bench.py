"""The client under test with real sockets: targets, exchanges, fakes, and all of it closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_twisted
from fakes import Authority, FakeUpstream
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from lmgw.config.snapshot import Backend
from lmgw.core.steps import Fault
from lmgw.upstream.client import RelayClient
from lmgw.upstream.exchange import Exchange, Head, Timers
from lmgw.upstream.pool import Figures, Pools
from lmgw.upstream.target import BackendTarget

TIMERS = Timers(connect_s=5.0, first_byte_s=5.0, idle_s=5.0)


class Reader:
    """A receiver that can be awaited: its first bytes, and its end."""

    def __init__(self, keep: bool = True) -> None:
        self.size = 0
        self.pieces: list[bytes] = []
        self.first: Deferred[None] = Deferred()
        self.end: Deferred[Fault | None] = Deferred()
        self._keep = keep

    def data(self, data: bytes) -> None:
        self.size += len(data)
        if self._keep:
            self.pieces.append(data)
        if not self.first.called:
            self.first.callback(None)

    def ended(self, fault: Fault | None) -> None:
        self.end.callback(fault)


class Bench:
    """A client and the fakes that it calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pools = Pools(reactor)
        self.client = RelayClient.over(reactor, self.pools)
        self.fakes: list[FakeUpstream] = []

    async def upstream(self, **settings: Any) -> FakeUpstream:
        """Start a fake provider."""
        upstream = await FakeUpstream.start(**settings)
        self.fakes.append(upstream)
        return upstream

    async def pair(self, tls: bool = False, **settings: Any) -> tuple[FakeUpstream, BackendTarget]:
        """Start a fake and return it with its target, over TLS if asked for."""
        if not tls:
            upstream = await self.upstream()
        else:
            authority = Authority(self.folder)
            settings["ca_file"] = str(authority.ca_file)
            upstream = await self.upstream(tls=authority.server("localhost"))
        return upstream, self.target(upstream.url, **settings)

    def target(self, base_url: str, **settings: Any) -> BackendTarget:
        """Make this backend the configuration."""
        target = BackendTarget.prepare(Backend(**{"name": "fake", "base_url": base_url, **settings}))
        self.pools.adopt([target])
        return target

    def exchange(self, target: BackendTarget, body: bytes = b"{}", timers: Timers = TIMERS) -> Exchange:
        return self.client.exchange(target, "/chat/completions", (), body, timers=timers)

    async def ask(self, target: BackendTarget, **settings: Any) -> bytes | Fault:
        """Make one exchange to its end."""
        exchange = self.exchange(target, **settings)
        head = await exchange.head()
        return head if isinstance(head, Fault) else await exchange.body(1 << 20)

    async def fault(self, target: BackendTarget, **settings: Any) -> Fault:
        """Make one exchange that fails."""
        answer = await self.ask(target, **settings)
        assert isinstance(answer, Fault), answer
        return answer

    async def relay(self, target: BackendTarget, keep: bool = True) -> tuple[Exchange, Reader]:
        """Begin an exchange and have its body relayed."""
        exchange, reader = self.exchange(target), Reader(keep)
        head = await exchange.head()
        assert isinstance(head, Head), head
        exchange.relay(reader)
        return exchange, reader

    def figures(self) -> Figures:
        return self.pools.figures()["fake"]

    async def close(self) -> None:
        await self.pools.close()
        for upstream in self.fakes:
            await upstream.stop()


@pytest_twisted.async_yield_fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench that is empty again after the test."""
    made = Bench(tmp_path)
    yield made
    await made.close()


async def turns(count: int = 3) -> None:
    """Let the reactor go round a few times, so that what is under way on this machine arrives."""
    for _ in range(count):
        await deferLater(reactor, 0)
