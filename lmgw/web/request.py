"""One request, its body in memory, and what becomes of it when a handler fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server

from lmgw.errors import GatewayError, Overloaded
from lmgw.web import answers
from lmgw.web.sink import ClientSink

if TYPE_CHECKING:
    from lmgw.web.channel import Channel
    from lmgw.web.site import Site


class Request(server.Request):
    """A ``twisted.web`` request whose headers are a plain dict, whose body is bytes, and which answers by its sink.

    :ivar query: what stands behind the path's ``?``, as it came.
    :ivar headers: see :class:`~lmgw.gateway.inbound.Inbound`.
    :ivar received_at: ``reactor.seconds()`` when the head was complete.
    :ivar dialect: the caller's, for errors; empty where the path decides.
    :ivar stamp: header lines for whatever the answer will be (CORS, security), each with its line end.
    """

    _log = Logger()
    defaultContentType = None
    channel: Channel  # type: ignore[assignment]
    site: Site

    body = b""
    request_id = ""
    dialect = ""
    stamp = b""
    _size = 0
    _unfolded = False

    def __init__(self, channel: Channel) -> None:
        # Most of what twisted.web prepares for a request is never looked at: see unfold().
        self.channel = channel
        self.site = site = channel.site
        head = channel.head
        self.method, self.uri, self.path, self.query = head.method, head.target, head.path, head.query
        self.headers = head.headers
        self.received_at = site.reactor.seconds()
        self.sink = ClientSink(channel)
        self._pieces: list[bytes] = []

    def unfold(self) -> None:
        """Become all that ``twisted.web`` knows a request to be; Klein's own way needs it."""
        super().__init__(self.channel, parsePOSTFormSubmission=False)
        self.clientproto = self.channel.head.version
        self.args = {}
        self._unfolded = True

    def __repr__(self) -> str:
        """Show nothing of the caller's: no query, no header."""
        return f"<Request {self.request_id}>"

    # -- the channel's calls

    def take(self, data: bytes, most: int) -> int:
        """Take a piece of the body; returns the body's bytes so far.

        Raises ``Overloaded`` where that of all requests together are more bytes than ``most``.
        """
        site, size = self.site, len(data)
        self._size += size
        site.buffered_bytes += size
        self._pieces.append(data)
        if site.buffered_bytes > most:
            raise Overloaded("the gateway holds as many request bodies as it can; try again")
        return self._size

    def connectionLost(self, reason: Failure) -> None:
        """Tell whoever answers that nobody listens."""
        if self._unfolded:
            super().connectionLost(reason)
        self.release()
        self.sink.lost("client_gone")

    def release(self) -> None:
        """Forget the body."""
        self.site.buffered_bytes -= self._size
        self.body, self._pieces, self._size = b"", [], 0

    # -- answering

    def process(self) -> None:
        """Find the handler of a request that is here whole and call it; whatever it raises is answered."""
        site = self.site
        self.body, self._pieces = b"".join(self._pieces), []
        self.request_id = answers.request_id(self.headers.get(b"x-request-id"))
        try:
            if site.port.screen(self):
                site.route(self)
        except Exception:
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> None:
        """Answer a failure: a :class:`~lmgw.errors.GatewayError` in its words, anything else as a 500 with an id."""
        problem = reason.value
        if not isinstance(problem, GatewayError):
            self._log.failure("request {request_id} failed", failure=reason, request_id=self.request_id)
            problem = GatewayError(f"internal error; the log says more under {self.request_id}")
        if self.sink.begun:
            self.sink.abort()
        else:
            headers, body = answers.error(self.dialect or answers.dialect_of(self.path), problem, self.request_id)
            self.sink.answer(problem.status, headers, body)

    def end(self) -> None:
        """Account for an answer whose last byte the sink has written."""
        self.release()
        if self._unfolded:
            self.finished = 1
            for done in self.notifications:
                done.callback(None)
        self.channel.request_done()

    def finish(self) -> None:
        """Do nothing: Klein ends a request when its handler returns, but here the sink does, when the answer has."""

    def getRequestHostname(self) -> bytes:
        """Return a constant: routing does not depend on the host, and a strange one cannot upset it."""
        return b"localhost"
