"""One attempt over HTTP: a connection from the pool, the four timers, and the answer handed over."""

from __future__ import annotations

from enum import Enum, auto
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lmgw.core.steps import Fault, FaultKind
from lmgw.upstream.alarm import Alarm
from lmgw.upstream.exchange import Asking, Head, Receiver, Timers
from lmgw.upstream.faults import broken, late
from lmgw.upstream.pool import Pool
from lmgw.upstream.protocol import Connection


class Phase(Enum):
    """How far an attempt has come."""

    QUEUED = auto()
    CONNECTING = auto()
    ASKED = auto()
    ANSWERING = auto()


#: What every exchange goes through: as attributes of an Enum they take as long as a call.
_QUEUED, _ASKED, _ANSWERING = Phase.QUEUED, Phase.ASKED, Phase.ANSWERING


class HttpExchange(Asking):
    """An :class:`~lmgw.upstream.exchange.Exchange` with a provider on the network.

    What comes before anybody takes the body, or while it is paused, is held: at most what one read of the socket
    brought, as the transport is paused in the meantime.
    """

    __slots__ = (
        "_alarm",
        "_bodiless",
        "_connection",
        "_deadline",
        "_fault",
        "_held",
        "_limit",
        "_over",
        "_paused",
        "_phase",
        "_pool",
        "_reactor",
        "_receiver",
        "_request",
        "_size",
        "_timers",
        "_whole",
        "fresh",
    )

    def __init__(
        self,
        reactor: IReactorTime,
        pool: Pool,
        request: tuple[bytes, bytes],
        timers: Timers,
        bodiless: bool = False,
        fresh: bool = False,
    ) -> None:
        self.fresh = fresh
        self._reactor = reactor
        self._pool = pool
        self._request = request
        self._bodiless = bodiless
        self._timers = timers
        self._alarm: Alarm | None = None
        self._deadline = inf
        self._phase = _QUEUED
        self._connection: Connection | None = None
        self._heard = self._resume = None
        self._receiver: Receiver | None = None
        self._whole: Deferred[None] | None = None
        self._held: list[bytes] = []
        self._limit = self._size = 0
        self._paused = self._over = False
        self._fault: Fault | None = None

    # --- the caller's side -----------------------------------------------------------------------------------

    def ask(self) -> None:
        """Send the request; what comes of it is told once, perhaps before this returns."""
        if self._fault is not None:
            self._tell(self._fault)
            return
        if self._timers.total_s:
            self._deadline = self._reactor.seconds() + self._timers.total_s
            self._arm(0.0)
        self._pool.acquire(self)

    def relay(self, receiver: Receiver) -> None:
        """Hand the body over as it comes. What came along with the head is delivered before this returns."""
        self._receiver = receiver
        self._go()

    async def body(self, limit: int) -> bytes | Fault:
        """Read the whole body, at most ``limit`` bytes. Cancelling it aborts."""
        if not self._over:
            whole = self._whole = Deferred(lambda _: self._forsake())
            self._limit = limit
            self._size = sum(map(len, self._held))
            self._go()
            await whole
        body = self.at_hand(limit)
        assert body is not None
        return body

    def at_hand(self, limit: int) -> bytes | Fault | None:
        """The same where nothing more will come, as when it came along with the head; else ``None``."""
        if not self._over:
            return None
        body = b"".join(self._held)
        self._held.clear()
        if self._fault is None and len(body) > limit:
            return self._too_long(limit)
        return body if self._fault is None else self._fault

    def pause(self) -> None:
        """Stop reading: the socket's window closes and the provider has to wait. Nothing is delivered until resumed."""
        self._paused = True
        self._rest()

    def resume(self) -> None:
        """Go on; what was held is delivered before this returns."""
        if self._paused:
            self._paused = False
            if self._receiver is not None or self._whole is not None:
                self._go()

    def abort(self) -> None:
        """Break the connection now, paused or not. The receiver hears nothing more; does nothing after the end."""
        self._receiver = None
        self._held.clear()
        if not self._over:
            self._break(broken(self._pool.target, FaultKind.CLOSED, "was not heard to the end"))

    # --- the pool's side -------------------------------------------------------------------------------------

    def connecting(self) -> None:
        """A new connection is being opened: the clock of connecting starts."""
        self._phase = Phase.CONNECTING
        self._arm(self._timers.connect_s)

    def connected(self, connection: Connection) -> None:
        """There is a connection: send the request."""
        self._phase = _ASKED
        self._connection = connection
        if self._alarm is not None:
            self._alarm.stop()
        self._alarm = connection.alarm
        self._alarm.set(self._timers.first_byte_s, self._deadline)
        head, body = self._request
        self._request = (b"", b"")
        connection.send(self, head, body, self._bodiless)

    def failed(self, fault: Fault) -> None:
        """There is no connection to be had."""
        self._end(fault)

    # --- the connection's side -------------------------------------------------------------------------------

    def received(self, head: Head | None, data: bytes, complete: bool) -> None:
        """Take what one read brought and pass it on, if somebody wants it by now."""
        if complete:
            self._over = True
            self._connection = self._alarm = None
        if head is not None:
            self._phase = _ANSWERING
            if data:
                self._held.append(data)
            self._tell(head)  # the caller runs here, and as a rule has taken the body when it comes back
            if self._connection is not None and (self._paused or (self._receiver is None and self._whole is None)):
                self._rest()
            return
        if self._alarm is not None:
            self._alarm.set(self._timers.idle_s, self._deadline)
        receiver = self._receiver
        if receiver is not None and not self._paused and not self._held:
            if data:
                receiver.data(data)
        else:
            self._held.append(data)
            self._size += len(data)
            if self._whole is not None and self._size > self._limit:
                self._break(self._too_long(self._limit))
                return
        if complete:
            self._conclude()

    def broken(self, kind: FaultKind, what: str, reused: bool) -> None:
        """The answer will not be completed."""
        self._end(broken(self._pool.target, kind, what, reused=reused))

    def expired(self) -> None:
        """A limit is reached: say which, and give up."""
        timers, target = self._timers, self._pool.target
        if self._reactor.seconds() >= self._deadline:
            what = "had no free connection" if self._phase is Phase.QUEUED else "did not complete its answer"
            fault = late(target, what, timers.total_s, "the attempt's own limit")
        elif self._phase is Phase.CONNECTING:
            fault = late(target, "did not accept a connection", timers.connect_s, "connect_timeout_ms")
        elif self._phase is Phase.ASKED:
            fault = late(target, "sent no answer", timers.first_byte_s, "timeout_ms")
        else:
            fault = late(target, "sent nothing more", timers.idle_s, "stream_idle_timeout_ms")
        self._break(fault)

    # --- inside ----------------------------------------------------------------------------------------------

    def _go(self) -> None:
        """Deliver what is held, then read on."""
        receiver = self._receiver
        if receiver is not None and self._held and not self._paused:
            data = b"".join(self._held)
            self._held.clear()
            receiver.data(data)
        if self._over:
            self._conclude()
        elif not self._paused and self._connection is not None:
            self._connection.resume()
            self._arm(self._timers.idle_s)

    def _rest(self) -> None:
        """Do not read, and do not count the silence that follows from it."""
        if self._connection is not None and self._phase is _ANSWERING:
            self._connection.pause()
            self._arm(0.0)

    def _conclude(self) -> None:
        """The body is over: say so, unless something is still held for a reader who has paused."""
        if self._whole is not None:
            whole, self._whole = self._whole, None
            whole.callback(None)
        elif self._receiver is not None and not self._paused:
            receiver, self._receiver = self._receiver, None
            receiver.ended(self._fault)

    def _arm(self, limit_s: float) -> None:
        """Be woken when this time is up, 0 = never; or when that of the whole attempt is."""
        if self._alarm is None:
            self._alarm = Alarm(self._reactor, self.expired)
        self._alarm.set(limit_s, self._deadline)

    def _forsake(self) -> None:
        """Nobody waits for the whole body any more."""
        self._whole = None
        self.abort()

    def _too_long(self, limit: int) -> Fault:
        return broken(self._pool.target, FaultKind.PROTOCOL, f"sent an answer of more than {limit:,} bytes")

    def _break(self, fault: Fault) -> None:
        """Give up the connection, or the wait for one."""
        if self._connection is not None:
            self._connection.abort()
        else:
            self._pool.withdraw(self)
        self._end(fault)

    def _end(self, fault: Fault) -> None:
        """The attempt has failed: tell whoever waits for it."""
        self._over = True
        self._fault = fault
        self._connection = None
        if self._alarm is not None:
            self._alarm.stop()
            self._alarm = None
        if self._heard is None:
            self._tell(fault)
        else:
            self._conclude()
