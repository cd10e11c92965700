"""Opening a connection: name lookup, the fastest of the addresses, TLS on top."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import chain, zip_longest

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lmgw.upstream.target import BackendTarget

#: Seconds until the next address is tried beside the one before (RFC 8305, 5).
ATTEMPT_DELAY_S = 0.25
#: What the endpoints wait themselves: longer than any attempt, whose own clock is the one that counts.
NO_LIMIT_S = 86_400


class Reactor(IReactorTCP, IReactorTime, IReactorPluggableNameResolver):
    """What connecting needs of a reactor."""


async def connect(reactor: Reactor, target: BackendTarget, factory: IProtocolFactory) -> IProtocol:
    """Connect to the target and return the protocol; over TLS, the handshake is only begun.

    Raises Twisted's connection errors. Nothing blocks: names are looked up in the reactor's threads.
    """
    hosts = [target.host] if _is_literal(target.host) else await _resolve(reactor, target.host)
    endpoints = [_endpoint(reactor, host, target) for host in hosts]
    if len(endpoints) == 1:
        return await endpoints[0].connect(factory)
    return await Race(reactor, endpoints, factory).winner


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _endpoint(reactor: Reactor, host: str, target: BackendTarget) -> IStreamClientEndpoint:
    kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    endpoint = kind(reactor, host, target.port, timeout=NO_LIMIT_S)
    return endpoint if target.tls is None else wrapClientTLS(target.tls, endpoint, clock=reactor)


async def _resolve(reactor: Reactor, host: str) -> list[str]:
    addresses = _Addresses()
    reactor.nameResolver.resolveHostName(addresses, host)
    found = await addresses.complete
    if not found:
        raise DNSLookupError(host)
    return alternate(found)


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects what a name resolves to."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self.complete: Deferred[list[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing to do: a lookup cannot be cancelled."""

    def addressResolved(self, address: IAddress) -> None:
        """Keep one address."""
        if isinstance(address, IPv4Address | IPv6Address) and address.host not in self._found:
            self._found.append(address.host)

    def resolutionComplete(self) -> None:
        """That was all."""
        if not self.complete.called:
            self.complete.callback(self._found)


def alternate(hosts: Sequence[str]) -> list[str]:
    """Let address families take turns, the system's favourite first (RFC 8305, 4)."""
    favourite = ":" in hosts[0]
    same = [host for host in hosts if (":" in host) == favourite]
    other = [host for host in hosts if (":" in host) != favourite]
    return [host for host in chain.from_iterable(zip_longest(same, other)) if host is not None]


class Race:
    """Tries addresses one after the other, each a little later or as soon as the one before has failed.

    Twisted's own ``HostnameEndpoint`` waits out its delay after a refusal as well: 300 ms for every connection to a
    server on ``localhost`` that listens on one address family only.

    :ivar winner: fires with the first protocol to be connected, or fails with the last reason; may be cancelled.
    """

    def __init__(
        self, reactor: IReactorTime, endpoints: Sequence[IStreamClientEndpoint], factory: IProtocolFactory
    ) -> None:
        self._reactor = reactor
        self._rest = deque(endpoints)
        self._factory = factory
        self._pending: list[Deferred[IProtocol]] = []
        self._delay: IDelayedCall | None = None
        self._over = False
        self.winner: Deferred[IProtocol] = Deferred(lambda _: self._stop())
        self._next()

    def _next(self) -> None:
        if self._delay is not None and self._delay.active():
            self._delay.cancel()
        self._delay = None
        attempt = self._rest.popleft().connect(self._factory)
        self._pending.append(attempt)
        if self._rest:
            self._delay = self._reactor.callLater(ATTEMPT_DELAY_S, self._next)
        attempt.addCallbacks(self._connected, self._failed, callbackArgs=(attempt,), errbackArgs=(attempt,))

    def _connected(self, protocol: IProtocol, attempt: Deferred[IProtocol]) -> None:
        self._pending.remove(attempt)
        self._stop()
        self.winner.callback(protocol)

    def _failed(self, reason: Failure, attempt: Deferred[IProtocol]) -> None:
        self._pending.remove(attempt)
        if self._over:
            return
        if self._rest:
            self._next()
        elif not self._pending:
            self._over = True
            self.winner.errback(reason)

    def _stop(self) -> None:
        """Give up whatever is still under way."""
        self._over = True
        if self._delay is not None and self._delay.active():
            self._delay.cancel()
        for attempt in self._pending[:]:
            attempt.cancel()
