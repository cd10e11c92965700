"""One connection: reads requests within limits of size and time, and refuses in words what breaks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lmgw.config.snapshot import Gateway
from lmgw.errors import BadRequest, GatewayError, HeadTooLarge, RequestTimeout, RequestTooLarge
from lmgw.plainsocket import is_plain_socket
from lmgw.web import answers, guard
from lmgw.web.chunked import ChunkedBody
from lmgw.web.head import HEAD_LIMIT, Head, looks_wrong, malformed, parse
from lmgw.web.request import Request

if TYPE_CHECKING:
    from lmgw.web.site import Site

#: How long a connection may wait for its next request: longer than the load balancers in front keep theirs (60 s).
IDLE_MS = 120_000
#: The same while no further connection is accepted.
CROWDED_IDLE_MS = 5_000
#: How long a refused sender is read on, unheard.
LINGER_MS = 2_000
#: How long the last words of a broken stream may take to be read.
LAST_WORDS_MS = 5_000
#: The largest body, in bytes, that is read for nothing, so that a connection whose request is turned away can be kept.
SKIPPED_BYTES = 65_536
#: How much is read ahead, in bytes, while a request is answered: reading on is how a client's leaving is noticed.
AHEAD_BYTES = 16_384


class Phase(Enum):
    """What a connection is doing, and so which deadline runs."""

    IDLE = "waits for a request"
    HEAD = "reads a head"
    BODY = "reads a body"
    SKIP = "reads the body of a request that is turned away"
    BUSY = "answers"
    LINGER = "has refused, and reads without listening"
    CLOSING = "sends its last bytes"

    __hash__ = object.__hash__  # an Enum's own is written in Python, and asked at every read


#: What is looked at with every request: as attributes of an Enum they take as long as a call.
_IDLE, _BUSY = Phase.IDLE, Phase.BUSY
#: Nothing more is heard in these.
_DEAF = (Phase.LINGER, Phase.CLOSING)


@implementer(IPushProducer)
class Channel(Protocol):
    """HTTP/1.1 with one client: one request at a time, absolute deadlines, limits that are answered in JSON.

    It stands where ``twisted.web`` has its ``HTTPChannel``, below the same ``Request``. Requests that come while one is
    answered wait unread.

    :ivar head: of the request that is being read or answered.
    :ivar request: the same, from its head to its answer's end.
    :ivar persistent: the connection outlives the answer.
    :ivar clogged: the client does not read: what is written waits in memory.
    """

    head: Head
    site: Site
    transport: Any

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.due = inf
        self.request: Request | None = None
        self.persistent = True
        self.clogged = False
        self.peer = self.local = ""
        self._unread = b""
        #: Bytes of the body that are still to come; of a chunked one nobody knows.
        self._left = 0
        self._chunked: ChunkedBody | None = None
        self._turned_away: GatewayError | None = None
        self._reading = False
        self._deafened = False
        self._retiring = False

    # -- the connection

    def connectionMade(self) -> None:
        """Start waiting for a request."""
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self._peer: IAddress = transport.getPeer()
        self._host: IAddress = transport.getHost()
        self.peer, self.local = guard.plain_address(self._peer), guard.plain_address(self._host)
        self._outbox = self.site.outbox
        #: Writes, before this turn of the event loop is over if the client reads.
        self.send: Callable[[bytes], None] = (
            partial(self._outbox.write, transport) if is_plain_socket(transport) else transport.write
        )
        self._enter(Phase.IDLE, IDLE_MS)
        self.site.opened(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the site, and the request in progress."""
        self.due = inf
        self.site.closed(self)
        request, self.request = self.request, None
        if request is not None:
            request.connectionLost(reason)

    def getPeer(self) -> IAddress:
        """Return the peer's address without asking the kernel again."""
        return self._peer

    def getHost(self) -> IAddress:
        """Return our own address without asking the kernel again."""
        return self._host

    def isSecure(self) -> bool:
        """Whether the connection is over TLS."""
        return ISSLTransport(self.transport, None) is not None

    def loseConnection(self) -> None:
        """Send what is still to be sent and close; a client that does not read it is cut in time."""
        if self.phase is not Phase.CLOSING:
            self._enter(Phase.CLOSING, self.site.gateway.client_write_timeout_ms)
        self._outbox.flush()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def retire(self) -> None:
        """Close now if nothing is being asked or answered, else after the next answer."""
        self._retiring, self.persistent = True, False
        if self.phase is Phase.IDLE:
            self.loseConnection()

    def break_off(self, *, framed: bool) -> None:
        """End an answer so that it looks cut: a chunked one misses its last chunk, any other is reset."""
        self._enter(Phase.CLOSING, LAST_WORDS_MS)
        if framed:
            self.loseConnection()
        else:
            self._outbox.flush()
            self.transport.abortConnection()

    # -- the clock

    def _enter(self, phase: Phase, timeout_ms: float) -> None:
        self.phase = phase
        self.due = self.site.reactor.seconds() + timeout_ms / 1000 if timeout_ms else inf

    def tick(self, now: float) -> None:
        """End what has taken too long."""
        if now < self.due and not (self._idle_for_long(now) and self.site.in_the_way(self)):
            return
        self.due = inf
        match self.phase:
            case Phase.HEAD:
                self.refuse(RequestTimeout("the request's head did not come in time"))
            case Phase.BODY | Phase.SKIP:
                self.refuse(RequestTimeout("the request's body did not come in time"))
            case Phase.BUSY:
                if self.request is not None:
                    self.request.sink.lost("client_stalled")
                self.transport.abortConnection()
            case Phase.CLOSING:
                self.transport.abortConnection()
            case Phase.IDLE | Phase.LINGER:
                self.loseConnection()

    def _idle_for_long(self, now: float) -> bool:
        return self.phase is Phase.IDLE and now >= self.due - (IDLE_MS - CROWDED_IDLE_MS) / 1000

    # -- reading

    def dataReceived(self, data: bytes) -> None:
        """Read as far as it goes: what follows a request that is being answered waits."""
        self._unread = self._unread + data if self._unread else data
        if not self._reading:
            self._read()

    def _read(self) -> None:
        self._reading = True
        try:
            while self._unread and _READERS[self.phase](self):
                pass
        except GatewayError as problem:
            self.refuse(problem)
        finally:
            self._reading = False

    # Each of these takes from what is unread, and returns whether there may be more to take. What one raises, refuses
    # the request.

    def _read_head(self) -> bool:
        if self._unread[0] in b"\r\n":  # empty lines before a request are overlooked (RFC 9112, 2.2)
            self._unread = self._unread.lstrip(b"\r\n")
        head, end, rest = self._unread.partition(b"\r\n\r\n")
        if len(head) > HEAD_LIMIT:
            raise HeadTooLarge(f"the request line and the headers are larger than {HEAD_LIMIT} bytes")
        if end:
            self.head = parse(head)
            self._unread = rest
            self._begin()
            return True
        if head and self.phase is Phase.IDLE:
            self._enter(Phase.HEAD, self.site.gateway.header_timeout_ms)
        if head and looks_wrong(head):
            raise malformed()
        return False

    def _begin(self) -> None:
        """Begin with the request whose head was read."""
        head, site, unread = self.head, self.site, self._unread
        refusal = site.port.refusal(head)
        if refusal is not None:
            self._turn_away(refusal)
            return
        self.persistent = head.persistent and not self._retiring
        request = self.request = Request(self)
        length, gateway = head.length, site.port.gateway  # past the site's own property: nothing is timed yet
        if length is None:
            self._chunked = ChunkedBody()
        elif length > gateway.max_request_bytes:
            raise _too_large(gateway)
        elif length <= len(unread):  # all of it is here: no deadline for that
            if length:
                self._unread = unread[length:]
                request.take(unread[:length], gateway.max_buffered_bytes)
            self._received(request)
            return
        else:
            self._left = length
        self._enter(Phase.BODY, site.gateway.body_timeout_ms)
        if head.headers.get(b"expect", b"").lower() == b"100-continue" and not unread:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_body(self) -> bool:
        request, chunked, unread, gateway = self.request, self._chunked, self._unread, self.site.gateway
        assert request is not None
        if chunked is None:
            left = self._left
            self._unread = unread[left:]
            part = unread[:left]
            self._left = left - len(part)
            request.take(part, gateway.max_buffered_bytes)
            complete = not self._left
        else:
            self._unread = b""
            pieces: list[bytes] = []
            malformed_chunk = False
            try:
                pieces.extend(chunked.feed(unread))
            except ValueError:
                malformed_chunk = True
            body = b"".join(pieces)  # in one: tiny chunks must not become a million objects
            if request.take(body, gateway.max_buffered_bytes) > gateway.max_request_bytes:
                raise _too_large(gateway)
            if malformed_chunk:
                raise BadRequest("malformed chunk in the request's body")
            complete = chunked.rest is not None
            if complete:
                self._unread, self._chunked = chunked.rest or b"", None
        if complete:
            self._received(request)
        return True

    def _received(self, request: Request) -> None:
        """Hand the request over; from here on it is the answer's turn."""
        self.phase, self.due = _BUSY, inf
        if self.clogged:
            self._enter(_BUSY, self.site.gateway.client_write_timeout_ms)
        request.process()

    def _read_ahead(self) -> bool:
        """Leave the next request for later; more than a little of it stays in the socket."""
        if len(self._unread) > AHEAD_BYTES and not self._deafened:
            self._deafened = True
            self.transport.pauseProducing()
        return False

    def _drop(self) -> bool:
        self._unread = b""
        return False

    def _turn_away(self, problem: GatewayError) -> None:
        """Answer a request from its head alone, which must be cheap: the connection is kept if little is to come."""
        head = self.head
        self._enter(Phase.SKIP, self.site.gateway.body_timeout_ms)
        known = head.length is not None and head.length <= SKIPPED_BYTES
        ending = self._retiring or self.site.port.draining or not head.persistent
        if known and not ending and b"expect" not in head.headers:
            self._turned_away, self._left = problem, head.length or 0
            self._skip()
        else:
            self.refuse(problem)

    def _skip(self) -> bool:
        """Throw away what has come of the body of a request that is turned away; answer once it is all there."""
        skipped = min(self._left, len(self._unread))
        self._unread = self._unread[skipped:]
        self._left -= skipped
        problem = self._turned_away
        if not self._left and problem is not None:
            self._turned_away = None
            self.send(self._words(problem, b""))
            self._enter(Phase.IDLE, IDLE_MS)
        return True

    def request_done(self) -> None:
        """Wait for the next request, or read the one that is here already."""
        self.request = None
        if not self.persistent:
            self.loseConnection()
            return
        self.phase, self.due = _IDLE, self.site.reactor.seconds() + IDLE_MS / 1000
        deafened, self._deafened = self._deafened, False
        if self.clogged:
            self.transport.pauseProducing()  # as long as answers are not read, no more requests are
        elif deafened:
            self.transport.resumeProducing()
        if self._unread and not self._reading:
            self._read()

    # -- refusing

    def refuse(self, problem: GatewayError) -> None:
        """Answer a request that cannot be read to its end; nothing more is heard on this connection.

        Only our half of it is closed, and for a while the rest is read and thrown away: closed at once, the
        connection would be reset under a sender who has not read the answer yet (RFC 9112, 9.6).
        """
        if self.phase in _DEAF:
            return
        words = self._words(problem, b"Connection: close\r\n")
        self._unread = b""
        self._enter(Phase.LINGER, LINGER_MS)
        if self.request is not None:
            self.request.release()
        self.send(words)
        self._outbox.flush()
        if ITCPTransport.providedBy(self.transport) and not self.isSecure():
            self.transport.loseWriteConnection()

    def _words(self, problem: GatewayError, more: bytes) -> bytes:
        """Return the answer to the request that is being read; ``more`` are header lines."""
        method, target, headers = self._so_far()
        request_id = answers.request_id(headers.get(b"x-request-id"))
        lines, body = answers.error(answers.dialect_of(target), problem, request_id)
        pieces = (
            answers.STATUS_LINES[problem.status],
            answers.header_lines(lines),
            self.site.own_lines(),
            request_id.encode(),
            b"\r\nContent-Length: %d\r\n" % len(body),
            more,
            b"\r\n",
            b"" if method == b"HEAD" else body,
        )
        return b"".join(pieces)

    def _so_far(self) -> tuple[bytes, bytes, Mapping[bytes, bytes]]:
        """Return method, target and headers of the request that is being read, as far as it is known."""
        if self.request is not None or self.phase is Phase.SKIP:
            return self.head.method, self.head.target, self.head.headers
        method, space, rest = self._unread.partition(b"\r\n")[0].partition(b" ")
        return method if space else b"", rest.partition(b" ")[0], {}

    # -- writing

    def pauseProducing(self) -> None:
        """The client does not read: its time to begin again runs from here."""
        if not self.clogged:
            self.clogged = True
            if self.phase is Phase.BUSY:
                self._enter(Phase.BUSY, self.site.gateway.client_write_timeout_ms)
            else:
                self.transport.pauseProducing()
        if self.request is not None and self.request.sink.begun:
            self.request.sink.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read everything."""
        self.clogged = False
        if self.phase is Phase.BUSY:
            self.due = inf
            if self.request is not None:
                self.request.sink.resumeProducing()
        else:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: the loss of the connection follows, and says the same."""


def _too_large(gateway: Gateway) -> RequestTooLarge:
    limit = gateway.max_request_bytes
    return RequestTooLarge(f"the request's body is larger than the {limit} bytes that are taken here")


_READERS = {
    Phase.IDLE: Channel._read_head,
    Phase.HEAD: Channel._read_head,
    Phase.BODY: Channel._read_body,
    Phase.SKIP: Channel._skip,
    Phase.BUSY: Channel._read_ahead,
    Phase.LINGER: Channel._drop,
    Phase.CLOSING: Channel._drop,
}
