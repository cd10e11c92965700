"""The connections to each backend: reused, capped, closed before the provider closes them."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from lmgw.config.snapshot import Provider
from lmgw.core.steps import Fault, FaultKind
from lmgw.plainsocket import Outbox
from lmgw.upstream.endpoint import Reactor, connect
from lmgw.upstream.faults import broken, unreachable
from lmgw.upstream.protocol import Connection
from lmgw.upstream.target import BackendTarget, Key

#: Seconds an unused connection is kept. Inference servers close theirs after 5 to 6 s of silence, and a request that
#: meets the close is lost.
IDLE_S = 4.0


class Waiter(typing.Protocol):
    """Who wants a connection; exactly one of ``connected`` and ``failed`` ends the wait.

    :ivar fresh: only one that has served nobody yet will do.
    """

    fresh: bool

    def connecting(self) -> None:
        """A new connection is being opened."""

    def connected(self, connection: Connection) -> None:
        """Here it is: send."""

    def failed(self, fault: Fault) -> None:
        """There is none to be had."""


class Figures(msgspec.Struct, frozen=True):
    """A pool for the admin side: sockets open (or being opened), those of them idle, exchanges waiting for one."""

    open: int
    idle: int
    waiting: int


class Pool(Factory):
    """The connections to one backend, and the factory that builds them.

    ``retired`` pools belong to no configuration any more: they serve whoever still has them, and keep nothing.
    """

    def __init__(self, reactor: Reactor, target: BackendTarget, outbox: Outbox, forget: Callable[[Pool], None]) -> None:
        self.target = target
        self.outbox = outbox
        self.retired = True
        self._reactor = reactor
        self._forget = forget
        # Dicts as ordered sets: the youngest idle connection is used first, the oldest waiter served first.
        self._idle: dict[Connection, None] = {}
        self._busy: set[Connection] = set()
        self._opening: dict[Waiter, Deferred[Connection]] = {}
        self._waiting: dict[Waiter, None] = {}
        self._sweep: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []

    # --- for those who want a connection ---------------------------------------------------------------------

    def acquire(self, waiter: Waiter) -> None:
        """Give ``waiter`` a connection, at once if one is idle; else open one, or let it wait its turn."""
        if waiter.fresh:
            self._distrust()
        if self._idle:
            connection, _ = self._idle.popitem()
            self._busy.add(connection)
            waiter.connected(connection)
        elif self._has_room():
            self._open(waiter)
        else:
            self._waiting[waiter] = None

    def withdraw(self, waiter: Waiter) -> None:
        """Take ``waiter`` out, wherever it waits; does nothing where it does not."""
        self._waiting.pop(waiter, None)
        opening = self._opening.pop(waiter, None)
        if opening is not None:
            opening.cancel()
            self._advance()

    # --- for connections, and for those who make them --------------------------------------------------------

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """Make the protocol of a connection that has just been opened."""
        return Connection(self._reactor, self, tls=self.target.tls is not None)

    def released(self, connection: Connection) -> None:
        """Keep a connection for the next exchange, which may be waiting already."""
        if self._waiting:
            waiter = next(iter(self._waiting))
            if waiter.fresh:
                connection.close()  # its place is taken by a new one
            else:
                del self._waiting[waiter]
                waiter.connected(connection)
        elif self.retired:
            connection.close()
        else:
            self._busy.discard(connection)
            connection.idle_since = self._reactor.seconds()
            self._idle[connection] = None
            if self._sweep is None:
                self._sweep = self._reactor.callLater(IDLE_S, self._swept)

    def lost(self, connection: Connection) -> None:
        """A connection is of no use any more: its place is free."""
        if connection in self._busy:
            self._busy.remove(connection)
        elif connection in self._idle:
            del self._idle[connection]
        else:
            return
        self._advance()

    # --- for the registry ------------------------------------------------------------------------------------

    def adopt(self, target: BackendTarget) -> None:
        """Serve a (new) configuration."""
        self.target = target
        self.retired = False
        self._advance()

    def retire(self) -> None:
        """Keep nothing from now on; exchanges go on to their ends."""
        self.retired = True
        for connection in list(self._idle):
            connection.close()
        self._advance()

    def close(self) -> Deferred[None]:
        """Break every connection; fires when the last is gone."""
        self.retired = True
        for waiter in [*self._waiting, *self._opening]:
            self.withdraw(waiter)
            waiter.failed(broken(self.target, FaultKind.CLOSED, "was not called: the gateway is stopping"))
        for connection in [*self._idle, *self._busy]:
            connection.cut()
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._advance()
        return drained

    def figures(self) -> Figures:
        """Return how many there are of each kind."""
        in_use = len(self._busy) + len(self._opening)
        return Figures(open=in_use + len(self._idle), idle=len(self._idle), waiting=len(self._waiting))

    # --- inside ----------------------------------------------------------------------------------------------

    def _distrust(self) -> None:
        """Close what is idle: a provider that had closed one kept connection has closed the others too."""
        for connection in list(self._idle):
            connection.close()

    def _has_room(self) -> bool:
        cap = self.target.max_connections
        return cap == 0 or len(self._busy) + len(self._idle) + len(self._opening) < cap

    def _advance(self) -> None:
        """A place may have become free: let the next one have it, or say that nobody is left."""
        while self._waiting and self._has_room():
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            self._open(waiter)
        if self.retired and not (self._busy or self._idle or self._opening or self._waiting):
            self._forget(self)
            for drained in self._drained:
                drained.callback(None)
            self._drained.clear()

    def _open(self, waiter: Waiter) -> None:
        waiter.connecting()
        opening = Deferred.fromCoroutine(self._connect())
        self._opening[waiter] = opening
        opening.addCallbacks(self._opened, self._unopened, callbackArgs=(waiter,), errbackArgs=(waiter,))

    async def _connect(self) -> Connection:
        """Open a connection that a request can be sent on: over TLS, the peer is who it should be."""
        connection = cast(Connection, await connect(self._reactor, self.target, self))
        if connection.secured is not None:
            try:
                await connection.secured
            except BaseException:
                connection.abort()
                raise
        return connection

    def _opened(self, connection: Connection, waiter: Waiter) -> None:
        del self._opening[waiter]
        self._busy.add(connection)
        waiter.connected(connection)

    def _unopened(self, reason: Failure, waiter: Waiter) -> None:
        if self._opening.pop(waiter, None) is None:
            return  # withdrawn
        waiter.failed(unreachable(self.target, reason.value))
        self._advance()

    def _swept(self) -> None:
        """Close what has been idle for long enough; the oldest stand first."""
        self._sweep = None
        now = self._reactor.seconds()
        for connection in list(self._idle):
            left = connection.idle_since + IDLE_S - now
            if left > 0:
                self._sweep = self._reactor.callLater(left, self._swept)
                return
            connection.close()


class Pools:
    """The pools of all backends; they outlive configurations, as long as a backend's address does not change."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._outbox = Outbox(reactor)
        self._pools: dict[Key, Pool] = {}

    def get(self, target: BackendTarget) -> Pool:
        """Return the pool for a target; one that is in no configuration gets one that keeps nothing."""
        pool = self._pools.get(target.key)
        if pool is None:
            pool = self._pools[target.key] = Pool(self._reactor, target, self._outbox, self._forget)
        return pool

    def find(self, scheme: str, host: str, port: int) -> Pool | None:
        """Return a pool of the configuration with this address."""
        for pool in self._pools.values():
            target = pool.target
            if not pool.retired and (target.scheme, target.host, target.port) == (scheme, host, port):
                return pool
        return None

    def adopt(self, targets: Iterable[BackendTarget]) -> None:
        """Make these the configuration: pools of unchanged addresses go on, those of no target are retired.

        Retired pools close what is idle now, and each further connection as its exchange ends. Never fails.
        """
        wanted = {target.key: target for target in targets if target.provider is not Provider.DEMO}
        for key, pool in list(self._pools.items()):
            if key not in wanted:
                pool.retire()
        for target in wanted.values():
            self.get(target).adopt(target)

    def figures(self) -> Mapping[str, Figures]:
        """Return the figures of each backend of the configuration by its name."""
        return {pool.target.name: pool.figures() for pool in self._pools.values() if not pool.retired}

    def close(self) -> Deferred[None]:
        """Break every connection; fires when the last is gone."""
        closed = DeferredList([pool.close() for pool in list(self._pools.values())])
        return closed.addCallback(lambda _: None)

    def _forget(self, pool: Pool) -> None:
        if self._pools.get(pool.target.key) is pool:
            del self._pools[pool.target.key]
