"""treq's way in: an ``IAgent`` over the pools, for the calls that are not on the hot path."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from twisted.web.client import URI, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from lmgw.core.steps import Fault
from lmgw.upstream.attempt import HttpExchange
from lmgw.upstream.endpoint import Reactor
from lmgw.upstream.exchange import Exchange, Head, Timers
from lmgw.upstream.faults import unknown
from lmgw.upstream.pool import Pools
from lmgw.upstream.target import authority, request_head, request_line

#: Calls by treq's API are short questions (probes, model lists), never completions.
CALL_TIMERS = Timers(connect_s=5.0, first_byte_s=10.0, idle_s=10.0, total_s=20.0)


class AttemptFailed(Exception):
    """What a :class:`~lmgw.core.steps.Fault` is where an interface of Twisted's wants an exception."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@implementer(IAgent)
class RelayAgent:
    """Makes requests over the backends' pools, and to no other address: there is no pool for one."""

    def __init__(self, reactor: Reactor, pools: Pools) -> None:
        self._reactor = reactor
        self._pools = pools

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send a request; the response is an ``IResponse`` whose body must be delivered.

        Fails with :class:`AttemptFailed`. Redirects are answers like any other, nothing is decoded or remembered.
        """
        parsed = URI.fromBytes(uri)  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._request(method, parsed, headers, bodyProducer))

    async def _request(
        self, method: bytes, uri: URI, headers: Headers | None, producer: IBodyProducer | None
    ) -> IResponse:
        scheme, host, port = uri.scheme.decode(), uri.host.decode().strip("[]"), uri.port
        pool = self._pools.find(scheme, host, port)
        if pool is None:
            raise AttemptFailed(unknown(f"{scheme}://{authority(host, port, scheme)}"))
        fields = [
            (name, value)
            for name, values in (headers or Headers()).getAllRawHeaders()
            if name.lower() not in (b"host", b"accept-encoding", b"content-length")
            for value in values
        ]
        body = await _collect(producer)
        fields += [(b"Host", authority(host, port, scheme).encode()), (b"Accept-Encoding", b"identity")]
        head = request_head(request_line(method, "", uri.originForm.decode("latin-1")), fields, len(body))
        exchange = HttpExchange(self._reactor, pool, (head, body), CALL_TIMERS, bodiless=method == b"HEAD")
        answer = await exchange.head()
        if isinstance(answer, Fault):
            raise AttemptFailed(answer)
        return cast(IResponse, Response(exchange, answer, bodiless=method == b"HEAD"))


async def _collect(producer: IBodyProducer | None) -> bytes:
    if producer is None:
        return b""
    body = _Buffer()
    await producer.startProducing(body)  # type: ignore[no-untyped-call]
    return bytes(body.data)


class _Buffer:
    """As much of a consumer as a body producer needs."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """Keep the next bytes."""
        self.data += data


@implementer(IResponse)
class Response:
    """An answer in the shape that treq knows."""

    version = (b"HTTP", 1, 1)
    phrase = b""
    request = None
    previousResponse = None

    def __init__(self, exchange: Exchange, head: Head, bodiless: bool) -> None:
        self._exchange = exchange
        self._by_close = head.by_close
        self.code = head.status
        self.headers = Headers()
        for name, value in head.headers:
            self.headers.addRawHeader(name, value)
        length = head.get(b"content-length")
        self.length = 0 if bodiless or head.status in (204, 304) else UNKNOWN_LENGTH if length is None else int(length)

    def deliverBody(self, protocol: IProtocol) -> None:
        """Connect ``protocol`` to the body."""
        self._exchange.relay(_Delivery(self._exchange, protocol, self._by_close))

    def setPreviousResponse(self, response: IResponse) -> None:
        """Keep what redirected here; treq's interface wants it, nothing here follows redirects."""
        self.previousResponse = response


@implementer(IPushProducer)
class _Delivery:
    """The transport of a body: a receiver towards the exchange, a producer towards the protocol."""

    def __init__(self, exchange: Exchange, protocol: IProtocol, by_close: bool) -> None:
        self._exchange = exchange
        self._protocol = protocol
        self._by_close = by_close
        protocol.makeConnection(cast(ITransport, self))

    def data(self, data: bytes) -> None:
        """Pass the next bytes on."""
        self._protocol.dataReceived(data)

    def ended(self, fault: Fault | None) -> None:
        """End the protocol's connection as ``IResponse.deliverBody`` says."""
        if fault is not None:
            reason = _failure(ResponseFailed([_failure(AttemptFailed(fault))]))  # type: ignore[no-untyped-call]
        else:
            reason = _failure(PotentialDataLoss() if self._by_close else ResponseDone())
        self._protocol.connectionLost(reason)

    def pauseProducing(self) -> None:
        """Make the provider wait."""
        self._exchange.pause()

    def resumeProducing(self) -> None:
        """Go on."""
        self._exchange.resume()

    def stopProducing(self) -> None:
        """Nobody wants the rest."""
        self._exchange.abort()

    loseConnection = abortConnection = stopProducing


def _failure(reason: Exception) -> Failure:
    return Failure(reason)  # type: ignore[no-untyped-call]
