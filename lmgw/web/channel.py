"""One connection: reads requests within limits of size and time, and refuses in words what breaks them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from lmgw.errors import BadRequest, GatewayError, HeadTooLarge, RequestTimeout, RequestTooLarge
from lmgw.web import answers, guard
from lmgw.web.head import HEAD_LIMIT, Head, looks_wrong, malformed, parse

if TYPE_CHECKING:
    from lmgw.web.request import Request
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


class Phase(Enum):
    """What a connection is doing, and so which deadline runs."""

    IDLE = "waits for a request"
    HEAD = "reads a head"
    BODY = "reads a body"
    SKIP = "reads the body of a request that is turned away"
    BUSY = "answers"
    LINGER = "has refused, and reads without listening"
    CLOSING = "sends its last bytes"


class Channel(HTTPChannel):
    """An ``HTTPChannel`` with absolute deadlines and limits that are answered in JSON.

    A head is read here, whole, and the base class is given the little of it that it must see: the request line, and
    what frames the body. It delimits the body, says ``100 Continue``, and keeps what comes while a request is answered.

    :ivar head: of the request that is being read or answered.
    :ivar clogged: the client does not read: what is written waits in memory.
    """

    totalHeadersSize = MAX_LENGTH = HEAD_LIMIT
    head: Head
    site: Site
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.phase = Phase.IDLE
        self.due = inf
        self.clogged = False
        self.peer = self.local = ""
        self._unread = b""
        self._unskipped = 0
        self._turned_away: GatewayError | None = None
        self._reading = False
        self._retiring = False

    # -- the connection

    def connectionMade(self) -> None:
        """Start waiting for a request."""
        super().connectionMade()
        self._peer: IAddress = self.transport.getPeer()
        self._host: IAddress = self.transport.getHost()
        self.peer, self.local = guard.plain_address(self._peer), guard.plain_address(self._host)
        self._direct = is_plain_socket(self.transport)
        self._enter(Phase.IDLE, IDLE_MS)
        self.site.opened(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the site, and the request in progress."""
        self.due = inf
        self.site.closed(self)
        super().connectionLost(reason)

    def getPeer(self) -> IAddress:
        """Return the peer's address without asking the kernel again."""
        return self._peer

    def getHost(self) -> IAddress:
        """Return our own address without asking the kernel again."""
        return self._host

    def loseConnection(self) -> None:
        """Send what is still to be sent and close; a client that does not read it is cut in time."""
        if self.phase is not Phase.CLOSING:
            self._enter(Phase.CLOSING, self.site.gateway.client_write_timeout_ms)
        super().loseConnection()

    @property
    def ending(self) -> bool:
        """Whether the next answer is the last."""
        return self._retiring or self.site.draining

    def retire(self) -> None:
        """Close now if nothing is being asked or answered, else after the next answer."""
        self._retiring = True
        if self.phase is Phase.IDLE:
            self.loseConnection()

    def break_off(self, *, framed: bool) -> None:
        """End an answer so that it looks cut: a chunked one misses its last chunk, any other is reset."""
        self._enter(Phase.CLOSING, LAST_WORDS_MS)
        if framed:
            self.loseConnection()
        else:
            self.transport.abortConnection()

    # -- the clock

    def _enter(self, phase: Phase, timeout_ms: float) -> None:
        self.phase = phase
        self.due = self.site.reactor.seconds() + timeout_ms / 1000 if timeout_ms else inf

    def tick(self, now: float) -> None:
        """End what has taken too long."""
        in_the_way = self.phase is Phase.IDLE and self.site.in_the_way(self)
        if now < self.due - ((IDLE_MS - CROWDED_IDLE_MS) / 1000 if in_the_way else 0):
            return
        self.due = inf
        match self.phase:
            case Phase.HEAD:
                self.refuse(RequestTimeout("the request's head did not come in time"))
            case Phase.BODY | Phase.SKIP:
                self.refuse(RequestTimeout("the request's body did not come in time"))
            case Phase.BUSY:
                self.requests[0].sink.lost("client_stalled")
                self.transport.abortConnection()
            case Phase.CLOSING:
                self.transport.abortConnection()
            case Phase.IDLE | Phase.LINGER:
                self.loseConnection()

    # -- reading

    def dataReceived(self, data: bytes) -> None:
        """Read heads here, and let the base class have everything else; it calls back with what it had to keep."""
        self._unread += data
        if self._reading:
            return
        self._reading = True
        try:
            while self._unread and self.phase not in _DEAF and self._read_some():
                pass
        finally:
            self._reading = False

    def _read_some(self) -> bool:
        """Take the next piece of what is unread; returns false where more must come first."""
        if self.phase is Phase.SKIP:
            self._skip()
            return True
        if self.phase in _READING_HEAD:
            given = self._next_head()
        else:
            given, self._unread = self._unread, b""
        if given and self.phase not in _DEAF:
            super().dataReceived(given)
        return given is not None

    def _next_head(self) -> bytes | None:
        """Return what the base class must see of the next head, nothing of one that is turned away.

        ``None`` where the head is not whole yet, or not well formed.
        """
        self._unread = self._unread.lstrip(b"\r\n")
        if self.phase is Phase.IDLE and self._unread:
            self._enter(Phase.HEAD, self.site.gateway.header_timeout_ms)
        text, end, rest = self._unread.partition(b"\r\n\r\n")
        try:
            if len(text) > HEAD_LIMIT:
                raise HeadTooLarge(f"the request line and the headers are larger than {HEAD_LIMIT} bytes")
            if end:
                self.head = parse(text)
                self._unread = rest
                refusal = self.site.refusal(self.head)
                if refusal is not None:
                    self._turn_away(refusal)
                    return b""
                self._expect_body()
                return self.head.frame
            if text and looks_wrong(text):
                raise malformed()
        except GatewayError as problem:
            self.refuse(problem)
        return None

    def _turn_away(self, problem: GatewayError) -> None:
        """Answer a request from its head alone, which must be cheap: the connection is kept if little is to come."""
        head = self.head
        self._enter(Phase.SKIP, self.site.gateway.body_timeout_ms)
        known = head.length is not None and head.length <= SKIPPED_BYTES
        if known and head.persistent and not self.ending and b"expect" not in head.headers:
            self._turned_away, self._unskipped = problem, head.length or 0
            self._skip()
        else:
            self.refuse(problem)

    def _skip(self) -> None:
        """Throw away what has come of the body of a request that is turned away; answer once it is all there."""
        skipped = min(self._unskipped, len(self._unread))
        self._unread = self._unread[skipped:]
        self._unskipped -= skipped
        problem = self._turned_away
        if not self._unskipped and problem is not None:
            self._turned_away = None
            self.send(self._words(problem, b""))
            self._enter(Phase.IDLE, IDLE_MS)

    def _expect_body(self) -> None:
        gateway = self.site.gateway
        if self.head.length != 0:
            self._enter(Phase.BODY, gateway.body_timeout_ms)
        self.check_size(self.head.length or 0)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """Return whether the connection outlives this request."""
        return self.head.persistent

    def allContentReceived(self) -> None:
        """Hand the request over; from here on it is the answer's turn."""
        if self.phase in _DEAF:
            return
        self._enter(Phase.BUSY, self.site.gateway.client_write_timeout_ms if self.clogged else 0)
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        """Wait for the next request, or read the one that is here already."""
        if self.ending:
            self.persistent = False
        self._enter(Phase.IDLE, IDLE_MS)
        super().requestDone(request)

    # -- refusing

    def check_size(self, size: int) -> None:
        """Refuse a body of more bytes than the limit."""
        limit = self.site.gateway.max_request_bytes
        if size > limit:
            self.refuse(RequestTooLarge(f"the request's body is larger than the {limit} bytes that are taken here"))

    def refuse(self, problem: GatewayError) -> None:
        """Answer a request that cannot be read to its end; nothing more is heard on this connection.

        Only our half of it is closed, and for a while the rest is read and thrown away: closed at once, the
        connection would be reset under a sender who has not read the answer yet (RFC 9112, 9.6).
        """
        if self.phase in _DEAF:
            return
        words = self._words(problem, b"Connection: close\r\n")
        self._enter(Phase.LINGER, LINGER_MS)
        for request in self.requests:
            request.release()
        self.transport.write(words)
        if ITCPTransport.providedBy(self.transport) and not self.isSecure():
            self.transport.loseWriteConnection()

    def _words(self, problem: GatewayError, more: bytes) -> bytes:
        """Return the answer to the request that is being read; ``more`` are header lines."""
        method, target, headers = self._so_far()
        request_id = answers.request_id(headers.get(b"x-request-id"))
        lines, body = answers.error(answers.dialect_of(target), problem, request_id)
        own = b"%bContent-Length: %d\r\n%b" % (self.site.own_lines(request_id), len(body), more)
        return answers.head(problem.status, lines, own) + (b"" if method == b"HEAD" else body)

    def _so_far(self) -> tuple[bytes, bytes, Mapping[bytes, bytes]]:
        """Return method, target and headers of the request that is being read, as far as it is known."""
        if self.phase in (Phase.BODY, Phase.SKIP):
            return self.head.method, self.head.target, self.head.headers
        method, space, rest = self._unread.partition(b"\r\n")[0].partition(b" ")
        return method if space else b"", rest.partition(b" ")[0], {}

    def _respondToBadRequestAndDisconnect(self) -> None:
        # The base class's one way to refuse. Heads are well formed when it sees them; what is left is the body.
        self.refuse(BadRequest("malformed chunk in the request's body"))

    # -- writing

    def send(self, data: bytes) -> None:
        """Write now if nothing waits before it; a chunk of a stream saves a turn of the event loop that way."""
        transport = self.transport
        if self._direct and not transport._tempDataLen and not transport.dataBuffer and transport.connected:
            sent = transport.writeSomeData(data)
            if sent == len(data):
                return
            if isinstance(sent, int):
                data = data[sent:]
        transport.write(data)

    def pauseProducing(self) -> None:
        """The client does not read: its time to begin again runs from here."""
        if not self.clogged:
            self.clogged = True
            if self.phase is Phase.BUSY:
                self._enter(Phase.BUSY, self.site.gateway.client_write_timeout_ms)
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read everything."""
        self.clogged = False
        if self.phase is Phase.BUSY:
            self.due = inf
        super().resumeProducing()


_READING_HEAD = frozenset({Phase.IDLE, Phase.HEAD})
#: Phases in which nothing more is heard.
_DEAF = frozenset({Phase.LINGER, Phase.CLOSING})


def is_plain_socket(transport: Any) -> bool:
    """Whether bytes may go to the socket past the transport's buffer (never on TLS)."""
    return isinstance(transport, tcp.Server) and not transport.TLS and hasattr(transport, "_tempDataLen")
