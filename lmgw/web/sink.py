"""The only writer to one client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from lmgw.gateway.inbound import Flow
from lmgw.web import answers

if TYPE_CHECKING:
    from lmgw.web.channel import Channel
    from lmgw.web.request import Request

#: The last line of a head.
_CLOSE = b"Connection: close\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


@implementer(IPushProducer)
class ClientSink:
    """A :class:`~lmgw.gateway.inbound.Sink` over a request: every call is safe whatever has become of the client.

    The request is the channel's until its answer has ended; kept here, it would be a circle for the garbage collector.
    """

    __slots__ = ("_channel", "_chunked", "_flow", "begun", "closed", "paused")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._chunked = False
        self._flow: Flow | None = None
        self.begun = self.paused = self.closed = False

    def attach(self, flow: Flow) -> None:
        """Say who is told when the client is slow or gone; one that has gone already is told at once."""
        if self.closed:
            flow.gone("client_gone")
        else:
            self._flow = flow

    # -- the answer

    def answer(self, status: int, headers: Sequence[answers.Header], body: bytes, lines: bytes = b"") -> None:
        """Send a whole answer in one write, and end; nothing happens once an answer has begun."""
        channel = self._channel
        request, bare = channel.request, status in (204, 304)
        if self.begun or self.closed or request is None:
            return
        framing = b"" if bare else b"Content-Length: %d\r\n" % len(body)
        self._send(request, status, lines, headers, framing, b"" if bare or request.method == b"HEAD" else body)
        self._forget()
        request.end()

    def begin(self, status: int, headers: Sequence[answers.Header], lines: bytes = b"") -> None:
        """Send the head of a streamed answer."""
        channel = self._channel
        request = channel.request
        if self.begun or self.closed or request is None:
            return
        self._chunked = channel.head.version == b"HTTP/1.1"
        self._send(request, status, lines, headers, _CHUNKED if self._chunked else b"", b"")
        if channel.clogged:
            self.pauseProducing()

    def write(self, data: bytes) -> None:
        """Send a piece at once."""
        if self.closed or not data:
            return
        self._channel.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def finish(self) -> None:
        """End a streamed answer validly."""
        channel = self._channel
        request = channel.request
        if self.closed or not self.begun or request is None:
            return
        if self._chunked:
            channel.send(b"0\r\n\r\n")
        if channel.site.port.draining:
            channel.persistent = False
        self._forget()
        request.end()

    def abort(self, last: bytes = b"") -> None:
        """Send ``last`` and break the connection: a chunked answer misses its end, one without a length is reset."""
        if self.closed:
            return
        if self.begun:
            self.write(last)
        self._forget()
        self._channel.break_off(framed=self._chunked)

    def _send(
        self,
        request: Request,
        status: int,
        lines: bytes,
        headers: Sequence[answers.Header],
        framing: bytes,
        body: bytes,
    ) -> None:
        """Send a head with all that there is of the body so far."""
        self.begun = True
        channel = self._channel
        site, request_id = channel.site, request.request_id.encode()
        if site.port.draining:
            channel.persistent = False
        pieces = (
            answers.STATUS_LINES[status],
            lines,
            answers.header_lines(headers) if headers else b"",
            site.own_lines(),
            request_id,
            b"\r\nRequest-Id: %b\r\n" % request_id if request.dialect == "anthropic" else b"\r\n",
            request.stamp,
            framing,
            b"\r\n" if channel.persistent else _CLOSE,
            body,
        )
        channel.send(b"".join(pieces))

    def _forget(self) -> None:
        self.closed = True
        self.paused = False
        self._flow = None

    # -- the client

    def lost(self, reason: str) -> None:
        """The client is gone, or has not read for too long."""
        flow = self._flow
        if not self.closed:
            self._forget()
            if flow is not None:
                flow.gone(reason)

    def pauseProducing(self) -> None:
        """Pass on that the client's buffer is full; the transport says so at every write."""
        if not self.paused and not self.closed:
            self.paused = True
            if self._flow is not None:
                self._flow.pause()

    def resumeProducing(self) -> None:
        """Pass on that the client has read everything."""
        if self.paused:
            self.paused = False
            if self._flow is not None:
                self._flow.resume()

    def stopProducing(self) -> None:
        """Do nothing: the request hears of a lost connection by itself."""
