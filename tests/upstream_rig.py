"""Providers without sockets: a memory reactor, string transports, and the client under test."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from lmgw.config.snapshot import Backend
from lmgw.core.steps import Fault
from lmgw.upstream.client import RelayClient
from lmgw.upstream.exchange import Exchange, Timers
from lmgw.upstream.pool import Pool, Pools
from lmgw.upstream.target import BackendTarget

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
TIMERS = Timers(connect_s=5.0, first_byte_s=60.0, idle_s=30.0)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport(StringTransport):
    """A TCP transport that tells its protocol of a close one turn later, as the real one does."""

    def __init__(self, reactor: MemoryReactorClock) -> None:
        super().__init__()
        self._reactor = reactor
        self.aborting = False
        self.no_delay = False
        self.gone = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._reactor.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.aborting = self.disconnecting = True
        self._reactor.callLater(0, self.lose, ConnectionLost())

    def lose(self, reason: Exception) -> None:
        """End the connection, from either side."""
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason))

    def sent(self) -> bytes:
        """Return what was written since the last time."""
        written = self.value()
        self.clear()
        return written


class Reader:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[Fault | None] = []

    def data(self, data: bytes) -> None:
        assert data
        assert not self.ends, "data after the end"
        self.pieces.append(data)

    def ended(self, fault: Fault | None) -> None:
        self.ends.append(fault)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


class Rig:
    """A client with one backend ``ollama`` at 192.0.2.1:80, whose connections the test makes."""

    def __init__(self, **settings: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.pools = Pools(self.reactor)
        self.client = RelayClient.over(self.reactor, self.pools)
        self.target = self.adopt(**settings)
        self._dialled = 0

    def adopt(self, **settings: Any) -> BackendTarget:
        """Make a configuration of this one backend the current one."""
        settings = {"name": "ollama", "base_url": "http://192.0.2.1", **settings}
        target = BackendTarget.prepare(Backend(**settings))
        self.pools.adopt([target])
        return target

    @property
    def pool(self) -> Pool:
        return self.pools.get(self.target)

    @property
    def dialled(self) -> int:
        """Connections that are being opened."""
        return len(self.reactor.tcpClients) - self._dialled

    def exchange(self, timers: Timers = TIMERS, method: bytes = b"POST", body: bytes = b"{}") -> Exchange:
        return self.client.exchange(self.target, "/chat", (), body, timers=timers, method=method)

    def ask(self, **settings: Any) -> tuple[Exchange, Deferred[Any]]:
        """Begin an exchange; return it and its head to come."""
        exchange = self.exchange(**settings)
        return exchange, Deferred.fromCoroutine(exchange.head())

    def accept(self) -> Transport:
        """Let the oldest connection attempt succeed; return its transport (``protocol`` is on it)."""
        host, port, factory, *_ = self.reactor.tcpClients[self._dialled]
        self._dialled += 1
        transport = Transport(self.reactor)
        protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def refuse(self, reason: Exception | None = None) -> None:
        """Let the oldest connection attempt fail."""
        factory = self.reactor.tcpClients[self._dialled][2]
        self._dialled += 1
        factory.clientConnectionFailed(None, Failure(reason or ConnectionRefusedError()))

    def turn(self) -> None:
        """Let the reactor do what is due."""
        self.reactor.advance(0)


def result(deferred: Deferred[Any]) -> Any:
    """Return what has fired; fails if nothing has."""
    found: list[Any] = []
    deferred.addCallback(found.append)
    assert found, "nothing yet"
    return found[0]


def waiting(deferred: Deferred[Any]) -> bool:
    """Whether nothing has fired yet."""
    return not deferred.called
