"""The client for providers: treq's API over our agent, and the hot call beside it."""

from __future__ import annotations

from collections.abc import Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred
from twisted.web.iweb import IAgent

from lmgw.config.snapshot import Provider
from lmgw.upstream.agent import RelayAgent
from lmgw.upstream.attempt import HttpExchange
from lmgw.upstream.demo import DemoExchange
from lmgw.upstream.endpoint import Reactor
from lmgw.upstream.exchange import Exchange, Timers
from lmgw.upstream.pool import Pools
from lmgw.upstream.target import BackendTarget

#: Looked at with every request: as an attribute of an Enum it takes as long as a call.
_DEMO = Provider.DEMO


class RelayClient(HTTPClient):
    """A treq client that remembers no cookies, follows no redirects and buffers nothing, however it is called.

    ``treq.content``, ``treq.collect`` and the others work on its responses. :meth:`exchange` is for completions: it
    takes a prepared target and skips treq's layers of URL, cookies, redirects and decoding, which cost ten times as
    much as the rest of a request.
    """

    def __init__(self, agent: IAgent, reactor: Reactor, pools: Pools) -> None:
        super().__init__(agent, IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[])))
        self._reactor = reactor
        self._pools = pools

    @classmethod
    def over(cls, reactor: Reactor, pools: Pools) -> RelayClient:
        """Return a client over these pools."""
        return cls(RelayAgent(reactor, pools), reactor, pools)

    def exchange(
        self,
        target: BackendTarget,
        path: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        timers: Timers,
        method: bytes = b"POST",
        fresh: bool = False,
    ) -> Exchange:
        """Return one attempt at a backend; nothing is sent before its ``head``.

        ``path`` is relative to the backend's base, ``headers`` come on top of the target's own; ``fresh`` uses no
        connection that has served another. Raises ``ValueError`` for a path or a header with a line break in it.
        """
        if target.provider is _DEMO:
            return DemoExchange(self._reactor, path, body)
        request = target.head(method, path, headers, len(body)), body
        return HttpExchange(self._reactor, self._pools.get(target), request, timers, method == b"HEAD", fresh)

    def request(self, method: str, url: Any, **kwargs: Any) -> Deferred[Any]:
        """See :func:`treq.request`; three of its defaults are wrong for a gateway."""
        kwargs |= {"allow_redirects": False, "unbuffered": True, "reactor": self._reactor}
        return super().request(method, url, **kwargs)
