"""A whole gateway in the test's own reactor: a configuration as text, the engine, the client port on a real socket.

gateway = await Gateway.start(tmp_path, CONFIG.format(url=upstream.url))
answer = await gateway.post("/v1/chat/completions", {"model": "fast", "messages": [...]})
stream = await gateway.open("/v1/chat/completions", {..., "stream": True})    # a connection to read from by hand
await gateway.stop()
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary import CANARY
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from web_rig import Answer, read_answers

from lmgw.config.loader import load
from lmgw.gateway.engine import Engine
from lmgw.web.client import client_site

ONE_TIER = """
[backends.up]
base_url = "{url}"
api_key_env = "UP_KEY"

[[tiers]]
name = "local:fast"
backend = "up"
model = "real-model"

[aliases]
"hint:fast" = "local:fast"
"""
ENVIRON = {"UP_KEY": CANARY}


class Client(Protocol):
    """One connection to the gateway; ``closed`` fires when it is gone, ``bytes`` is what came so far."""

    def __init__(self) -> None:
        self.bytes = b""
        self.closed: Deferred[None] = Deferred()
        self._waiting: list[tuple[Any, Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.bytes += data
        assert CANARY.encode() not in self.bytes[-len(data) - len(CANARY) :], "a key came back to a client"
        self._look()

    def connectionLost(self, reason: Any) -> None:
        self._look(lost=True)
        self.closed.callback(None)

    def _look(self, lost: bool = False) -> None:
        for wanted, waiting in self._waiting[:]:
            if lost or wanted(self.bytes):
                self._waiting.remove((wanted, waiting))
                waiting.callback(self.bytes)

    async def until(self, wanted: bytes) -> bytes:
        """Wait until ``wanted`` has come, or the connection is gone; return all that came."""
        if wanted in self.bytes or self.closed.called:
            return self.bytes
        waiting: Deferred[bytes] = Deferred()
        self._waiting.append((lambda data: wanted in data, waiting))
        return await waiting

    async def answer(self) -> Answer:
        """Wait for one whole answer, or for the end of a broken one."""
        waiting: Deferred[bytes] = Deferred()
        self._waiting.append((_whole, waiting))
        self._look(lost=self.closed.called)
        await waiting
        (answer,) = read_answers(self.bytes)
        return answer

    def pause(self) -> None:
        """Stop reading."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def drop(self) -> None:
        """Go away, as a killed process does."""
        self.transport.abortConnection()


def _whole(data: bytes) -> bool:
    try:
        answers = read_answers(data)
    except (AssertionError, ValueError):
        return False
    return bool(answers) and answers[0].complete and b"\r\n\r\n" in data


@dataclass
class Gateway:
    """A running gateway; ``path`` is its file, to be rewritten before :meth:`reload`."""

    path: Path
    engine: Engine
    port: Any
    environ: Mapping[str, str]

    @classmethod
    async def start(cls, folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> Gateway:
        """Load ``text`` and listen on a free port of 127.0.0.1."""
        path = folder / "config.toml"
        path.write_text(text)
        engine = Engine(reactor)
        engine.adopt(engine.prepare(load(str(path), environ)))
        port = reactor.listenTCP(0, client_site(engine, reactor), interface="127.0.0.1")
        return cls(path, engine, port, environ)

    def reload(self, text: str) -> None:
        """Take over another configuration."""
        self.path.write_text(text)
        self.engine.adopt(self.engine.prepare(load(str(self.path), self.environ)))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port.getHost().port}"

    async def stop(self) -> None:
        """Close everything, and see that nothing is left in flight."""
        await self.port.stopListening()
        self.port.factory.cut()
        assert self.engine.in_flight == 0, "requests left in flight"
        assert CANARY not in repr((self.engine.current, *self.engine.books.ring)), "a key in a repr"
        await self.engine.close()

    async def open(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, method: str | None = None
    ) -> Client:
        """Send one request and return its connection."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        verb = method or ("GET" if body is None else "POST")
        lines = [f"{verb} {path} HTTP/1.1", "Host: gw:8080", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        client = Client()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port), client)
        client.transport.write("\r\n".join([*lines, "", ""]).encode() + data)
        return client

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """POST and return the whole answer."""
        client = await self.open(path, body, headers)
        answer = await client.answer()
        client.drop()
        await client.closed
        return answer

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET and return the whole answer."""
        client = await self.open(path, None, headers)
        answer = await client.answer()
        client.drop()
        await client.closed
        return answer

    @property
    def last(self) -> Any:
        """The record of the request that ended last."""
        return next(iter(self.engine.books.ring))
