"""One request, its body in memory, and what becomes of it when a handler fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    :ivar headers: see :class:`~lmgw.gateway.inbound.Inbound`.
    :ivar received_at: ``reactor.seconds()`` when the head was complete.
    :ivar dialect: the caller's, for errors; empty where the path decides.
    :ivar stamp: header lines for whatever the answer will be (CORS, security), each with its line end.
    """

    _log = Logger()
    defaultContentType = None
    channel: Channel
    site: Site

    def __init__(self, channel: Channel, *args: Any) -> None:
        super().__init__(channel, *args, parsePOSTFormSubmission=False)
        self.site = channel.site
        self.headers = channel.head.headers
        self.body = b""
        self.received_at = channel.site.reactor.seconds()
        self.request_id = ""
        self.dialect = ""
        self.stamp = b""
        self.sink = ClientSink(self, channel)
        self._pieces: list[bytes] = []
        self._size = 0

    def __repr__(self) -> str:
        """Show nothing of the caller's: no query, no header."""
        return f"<Request {self.request_id}>"

    # -- the channel's calls

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory, whatever its length: no temporary file."""

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, within this request's limit and that of all requests together."""
        self._size += len(data)
        self.site.buffered_bytes += len(data)
        self._pieces.append(data)
        self.channel.check_size(self._size)
        if self.site.buffered_bytes > self.site.gateway.max_buffered_bytes:
            self.channel.refuse(Overloaded("the gateway holds as many request bodies as it can; try again"))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is here whole: process it."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path = path.partition(b"?")[0]
        self.args = {}
        self.body, self._pieces = b"".join(self._pieces), []
        self.request_id = answers.request_id(self.headers.get(b"x-request-id"))
        self.process()

    def connectionLost(self, reason: Failure) -> None:
        """Tell whoever answers that nobody listens."""
        super().connectionLost(reason)
        self.release()
        self.sink.lost("client_gone")

    def release(self) -> None:
        """Forget the body."""
        self.site.buffered_bytes -= self._size
        self.body, self._pieces, self._size = b"", [], 0

    # -- answering

    def process(self) -> None:
        """Find the handler and call it; whatever it raises is answered."""
        try:
            self.site.serve(self)
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
        super().finish()

    def finish(self) -> None:
        """Do nothing: Klein ends a request when its handler returns, but here the sink does, when the answer has."""

    def getRequestHostname(self) -> bytes:
        """Return a constant: routing does not depend on the host, and a strange one cannot upset it."""
        return b"localhost"
