"""One port's protocol factory: its connections and their limits, and what every request passes on its way in."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web import server
from twisted.web.http import datetimeToString

from lmgw.config.snapshot import Gateway
from lmgw.gateway.ticker import Ticker
from lmgw.plainsocket import Outbox
from lmgw.web.channel import Channel
from lmgw.web.request import Request
from lmgw.web.routes import Port, Router


class Site(server.Site):
    """Accepts connections up to ``max_client_connections``, and serves the routes of a port's Klein app on them.

    No access log, no sessions, no HTTP/2, nothing shared with other sites. Connections above the limit are left
    in the kernel's queue; those that came in the same turn of the event loop are accepted and not read from.

    :ivar route: calls a request's handler.
    :ivar connections: all of them, idle, busy and waiting.
    :ivar buffered_bytes: request bodies in memory.
    :ivar outbox: for connections without TLS.
    """

    protocol = Channel  # type: ignore[assignment]
    requestFactory: type[Request] = Request
    noisy = False

    def __init__(self, port: Port, reactor: IReactorTime) -> None:
        super().__init__(None, reactor=reactor, timeout=None, parsePOSTFormSubmission=False)
        self.connections: set[Channel] = set()
        self.buffered_bytes = 0
        self.outbox = Outbox(reactor)
        self.port = port
        self.route = Router(port).route
        self._waiting: dict[Channel, None] = {}
        self._shut: set[Any] = set()
        self._ticker: Ticker[Channel] = Ticker(reactor)
        self._configured: Gateway | None = None
        self._second, self._own = -1, b""

    # -- Twisted's calls

    def startFactory(self) -> None:
        """Open no access log."""

    def stopFactory(self) -> None:
        """Close no access log."""

    def log(self, request: object) -> None:
        """Log nothing: the engine records what it served."""

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 alone on TLS: HTTP/2 would come with another channel, and none of these limits."""
        return [b"http/1.1"]

    # -- for the channels

    @property
    def gateway(self) -> Gateway:
        """The limits now in force; asked at every connection and request, so that a reload is live."""
        gateway = self.port.gateway
        if gateway is not self._configured:
            self._configured = gateway
            self._ticker.configure(gateway.header_timeout_ms, gateway.body_timeout_ms, gateway.client_write_timeout_ms)
        return gateway

    def in_the_way(self, channel: Channel) -> bool:
        """Whether another connection could be accepted, or read from, if this one were closed."""
        return len(self.connections) >= self.gateway.max_client_connections and channel not in self._waiting

    def own_lines(self) -> bytes:
        """Return the header lines of every answer, up to the request id that ends them."""
        now = self.reactor.seconds()
        if not 0 <= now - self._second < 1:
            self._second = int(now)
            self._own = b"Server: lmgw\r\nDate: %b\r\nX-Request-ID: " % datetimeToString(now)
        return self._own

    def opened(self, channel: Channel) -> None:
        """Count a new connection; at the limit its port accepts no more, above it the connection waits unread."""
        self.connections.add(channel)
        self._ticker.add(channel)
        limit = self.gateway.max_client_connections
        if len(self.connections) >= limit:
            port = getattr(channel.transport, "server", None)
            if port is not None:
                port.stopReading()
                self._shut.add(port)
        if len(self.connections) > limit:
            self._waiting[channel] = None
            channel.transport.pauseProducing()

    def closed(self, channel: Channel) -> None:
        """Uncount a connection, read from the next one that waits, and accept again once none does."""
        self.connections.discard(channel)
        self._ticker.remove(channel)
        self._waiting.pop(channel, None)
        free = self.gateway.max_client_connections - len(self.connections) + len(self._waiting)
        while free > 0 and self._waiting:
            served = next(iter(self._waiting))
            del self._waiting[served]
            served.transport.resumeProducing()
            free -= 1
        if free > 0:
            for port in self._shut:
                if port.connected and not port.disconnecting:
                    port.startReading()
            self._shut.clear()

    # -- for the service

    def drop_idle(self) -> None:
        """Close the connections that wait for a request now, and the others after the answer they are at."""
        for channel in list(self.connections):
            channel.retire()

    def cut(self) -> None:
        """Break every connection now."""
        for channel in list(self.connections):
            channel.transport.abortConnection()
