"""HTTP/1.1 towards one provider on one connection, one request at a time, parsed by httptools (llhttp).

Strict where leniency could be used to smuggle an answer in (RFC 9112, 6.3): both framings at once, a second length,
an unknown transfer coding, a bare line feed. Bytes that nobody asked for end the connection, never a later request.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from math import inf

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lmgw.core.steps import FaultKind
from lmgw.plainsocket import ONE_WRITE, Outbox, is_plain_socket
from lmgw.upstream.alarm import Alarm
from lmgw.upstream.exchange import Head
from lmgw.upstream.faults import HandshakeFailed

#: Bytes of an answer's head, and of anything else that is no body (chunk extensions, trailers, 1xx), read in a row.
OVERHEAD_LIMIT = 65_536
#: Seconds a closed connection may take to say goodbye (TLS waits for the peer's) before it is broken.
GOODBYE_S = 1.0
#: The headers that say how to read the body.
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))


class Transport(ITCPTransport, IPushProducer):
    """What Twisted's TCP and TLS transports both are."""


class Caller(typing.Protocol):
    """Who is served by a connection, from :meth:`Connection.send` until ``complete`` or ``broken``."""

    def received(self, head: Head | None, data: bytes, complete: bool) -> None:
        """Take what one read brought: the head when it is whole, the body's next bytes, whether that was all."""

    def broken(self, kind: FaultKind, what: str, reused: bool) -> None:
        """The answer will not be completed: the provider did ``what``."""

    def expired(self) -> None:
        """The connection's alarm has rung."""


class Enough(Exception):
    """Tells the parser that what follows in this read is no part of the answer."""


class Owner(typing.Protocol):
    """Who keeps connections: the pool.

    :ivar outbox: for connections without TLS.
    """

    outbox: Outbox

    def released(self, connection: Connection) -> None:
        """The answer is complete and the connection can serve another request."""

    def lost(self, connection: Connection) -> None:
        """The connection serves nobody any more. May be told twice."""


@implementer(IHandshakeListener)
class Connection(Protocol):
    """One connection.

    :ivar secured: over TLS, fires when the handshake is complete; else fails with
        :class:`~lmgw.upstream.faults.HandshakeFailed`.
    :ivar served: requests sent on it so far.
    :ivar idle_since: the pool's note, seconds.
    :ivar alarm: for whoever is served; it goes from one to the next, which saves each a timer.
    :ivar on_body: takes a piece of the body for the parser: a list's own method, as calls of Python take longer.
    """

    transport: Transport

    def __init__(self, reactor: IReactorTime, owner: Owner, tls: bool = False) -> None:
        self.secured: Deferred[None] | None = Deferred() if tls else None
        self.served = 0
        self.idle_since = 0.0
        self.alarm = Alarm(reactor, self._expired)
        self._reactor = reactor
        self._owner = owner
        self._goodbye: IDelayedCall | None = None
        self._paused = self._direct = False
        self._caller: Caller | None = None
        # Of the answer:
        self._overhead = 0
        self._is_11 = self._bodiless = self._answered = self._complete = self._keep = self._by_close = False
        self._refusal = ""
        # Of what is being read:
        self._fields: list[tuple[bytes, bytes]] = []
        self._head: Head | None = None
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    # --- the pool's and the caller's side --------------------------------------------------------------------

    def send(self, caller: Caller, head: bytes, body: bytes, bodiless: bool) -> None:
        """Send one request and hand its answer to ``caller``; ``bodiless`` is an answer to HEAD."""
        self._caller = caller
        self._bodiless = bodiless
        self._fields = []  # there may be trailers
        self._overhead = 0
        self._answered = self._complete = False
        self.served += 1
        for data in (head + body,) if len(body) <= ONE_WRITE else (head, body):
            if self._direct:
                self._owner.outbox.write(self.transport, data)
            else:
                self.transport.write(data)

    def pause(self) -> None:
        """Stop reading from the socket."""
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Go on reading."""
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()

    def close(self) -> None:
        """Close an idle connection: politely, but not for long."""
        self._owner.lost(self)
        self.transport.loseConnection()
        if self._goodbye is None:
            self._goodbye = self._reactor.callLater(GOODBYE_S, self.cut)

    def cut(self) -> None:
        """Break the connection now; the caller hears of it as of any other end."""
        self.transport.abortConnection()

    def abort(self) -> None:
        """The same for a caller who does not want to hear anything any more."""
        self._caller = None
        self.cut()

    # --- Twisted's side --------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """A request's last segment must not wait for the acknowledgement of the one before."""
        self.transport.setTcpNoDelay(True)
        self._direct = is_plain_socket(self.transport)

    def handshakeCompleted(self) -> None:
        """The certificate was accepted."""
        if self.secured is not None:
            self.secured.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whatever the reason: the answer is over, complete if only the close could end it."""
        self._owner.lost(self)
        self.alarm.stop()
        self._parser = None
        if self._goodbye is not None and self._goodbye.active():
            self._goodbye.cancel()
        if self.secured is not None and not self.secured.called:
            self.secured.errback(HandshakeFailed(reason.value, self.transport))
        caller, self._caller = self._caller, None
        if caller is None:
            return
        if self._answered and self._by_close:
            caller.received(None, b"", True)
            return
        how = "closed" if isinstance(reason.value, ConnectionDone) else "broke"
        if self._answered:
            caller.broken(FaultKind.CLOSED, f"{how} the connection in the middle of its answer", False)
        else:
            when = "in the middle of its answer's head" if self._overhead else "before it answered"
            caller.broken(FaultKind.CLOSED, f"{how} the connection {when}", self.served > 1 and not self._overhead)

    def dataReceived(self, data: bytes) -> None:
        """Parse one read and tell the caller once what it brought."""
        caller, parser = self._caller, self._parser
        if caller is None or parser is None:
            self._owner.lost(self)
            self.abort()
            return
        if not self._answered and not self._overhead:
            self._is_11 = data.startswith(b"HTTP/1.1 ")
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._keep = False
            if not self._complete and not self._refusal:
                self._refusal = f"sent what is not HTTP/1.1: {error}"
        head, self._head = self._head, None
        body = b"".join(self._chunks)
        if body:
            self._chunks.clear()
            self._overhead = 0
        if self._complete:
            self._release()
            caller.received(head, body, True)
            return
        if self._overhead > OVERHEAD_LIMIT and not self._refusal:
            self._refusal = f"sent {self._overhead:,} bytes that are no body"
        if body or head is not None:
            caller.received(head, body, False)
        if self._refusal and self._caller is caller:
            self._refuse(caller)

    def _release(self) -> None:
        """The answer is whole: give the connection back before the caller hears, whose next request then finds it."""
        self._caller = None
        self.alarm.due = inf
        if self._paused:
            self.resume()
        if self._keep:
            self._owner.released(self)
        else:
            self.close()

    def _refuse(self, caller: Caller) -> None:
        what = self._refusal
        self.abort()
        caller.broken(FaultKind.PROTOCOL, what, False)

    def _expired(self) -> None:
        if self._caller is not None:
            self._caller.expired()

    # --- the parser's side -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; after a complete one it is one too many."""
        if self._complete:
            raise Enough

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or a trailer, which nobody will look at."""
        self._fields.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """The head is whole: that of an interim answer is dropped."""
        fields, self._fields = self._fields, []
        parser = self._parser
        if parser is None:
            return
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._is_11 = False
            return
        version = "1.1" if self._is_11 else parser.get_http_version()  # which takes as long as parsing
        self._refusal, by_close = judge(status, version, fields)
        if self._overhead > OVERHEAD_LIMIT and size(fields) > OVERHEAD_LIMIT:
            self._refusal = f"sent a head of {size(fields):,} bytes"
        if self._refusal:
            raise Enough
        self._answered = True
        self._by_close = by_close and not self._bodiless
        self._head = Head(status, fields, self.served > 1, self._by_close)
        if self._bodiless:
            self._complete = True
            raise Enough

    def on_message_complete(self) -> None:
        """The answer is whole, or was an interim one. Asked later, the parser no longer knows about keep-alive."""
        if self._answered and self._parser is not None:
            self._complete = True
            self._keep = self._parser.should_keep_alive()


def judge(status: int, version: str, fields: Sequence[tuple[bytes, bytes]]) -> tuple[str, bool]:
    """Look at a head that the parser let pass.

    Returns why it is not taken (``""`` if it is), and whether only the connection's end can end the body (RFC 9112,
    6.3, 8).
    """
    if not 200 <= status <= 999:
        return f"answered with status {status:03d}", False
    if version not in ("1.1", "1.0"):
        return f"answered in HTTP/{version}", False
    by_close = status not in (204, 304)
    coded = False
    for name, value in fields:
        if name not in _FRAMING:
            continue
        if name == b"content-length":
            by_close = False
        elif name == b"transfer-encoding":
            coding = value.lower()
            if coded or coding not in (b"chunked", b"identity"):
                return "sent its answer in a transfer coding that nobody asked for", False
            coded = True
            by_close = by_close and coding == b"identity"
        elif value.lower() not in (b"", b"identity"):
            return "compressed its answer, which nobody asked for", False
    return "", by_close


def size(fields: Sequence[tuple[bytes, bytes]]) -> int:
    """Return the bytes that these headers took."""
    return sum(len(name) + len(value) + 4 for name, value in fields)
