"""A relay without a gateway in it: our HTTP server and our client for providers, bytes in and bytes out.

    python benchmarks/bare.py PORT UPSTREAM_PORT

No keys, routes, records, metrics or logs, nor any look into a body. What lmgw needs more than this is the price of its
features.
"""

from __future__ import annotations

import sys
from typing import Any

from klein import Klein
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from lmgw.config.snapshot import Backend, Gateway
from lmgw.core.steps import Fault
from lmgw.upstream.client import RelayClient
from lmgw.upstream.exchange import Exchange, Timers
from lmgw.upstream.pool import Pools
from lmgw.upstream.target import BackendTarget
from lmgw.web.head import Head
from lmgw.web.request import Request
from lmgw.web.sink import ClientSink
from lmgw.web.site import Site

#: Of Twisted's, whichever its platform has.
REACTOR: Any = reactor
TIMERS = Timers()
#: The largest answer in bytes.
LIMIT = 64 << 20


class Piping:
    """Passes a stream on; a slow client makes the upstream wait."""

    def __init__(self, exchange: Exchange, sink: ClientSink) -> None:
        self._exchange = exchange
        self._sink = sink
        sink.attach(self)

    def data(self, data: bytes) -> None:
        """Take what one read of the upstream's socket brought."""
        self._sink.write(data)

    def ended(self, fault: Fault | None) -> None:
        """End as the upstream did."""
        if fault is None:
            self._sink.finish()
        else:
            self._sink.abort()

    def pause(self) -> None:
        """The client does not read."""
        self._exchange.pause()

    def resume(self) -> None:
        """It reads again."""
        self._exchange.resume()

    def gone(self, reason: str) -> None:
        """It reads no more."""
        self._exchange.abort()


class Relay:
    """One route, to one upstream."""

    app = Klein()
    gateway = Gateway()
    draining = False

    def __init__(self, upstream: int) -> None:
        self._target = BackendTarget.prepare(Backend("up", base_url=f"http://127.0.0.1:{upstream}/v1"))
        pools = Pools(REACTOR)
        pools.adopt([self._target])
        self._client = RelayClient.over(REACTOR, pools)

    def refusal(self, head: Head) -> None:
        """Turn nobody away."""

    def screen(self, request: Request) -> bool:
        """Let everybody in."""
        return True

    @app.route("/v1/chat/completions", methods=["POST"])
    def chat(self, request: Request) -> Deferred[None]:
        """Pass a request on, and its answer back."""
        return Deferred.fromCoroutine(self._chat(request))

    async def _chat(self, request: Request) -> None:
        exchange = self._client.exchange(self._target, "/chat/completions", (), request.body, timers=TIMERS)
        head = await exchange.head()
        if isinstance(head, Fault):
            request.sink.answer(502, (), b"")
            return
        content_type = [(b"Content-Type", head.get(b"content-type") or b"")]
        if head.get(b"content-length") is None:
            request.sink.begin(head.status, content_type)
            exchange.relay(Piping(exchange, request.sink))
            return
        body = await exchange.body(LIMIT)
        request.sink.answer(head.status, content_type, b"" if isinstance(body, Fault) else body)


def main() -> None:
    """Serve until killed."""
    site = Site(Relay(int(sys.argv[2])), REACTOR)
    REACTOR.listenTCP(int(sys.argv[1]), site, interface="127.0.0.1", backlog=1024)
    REACTOR.run()


if __name__ == "__main__":
    main()
