"""The web layer without sockets: an engine that does as it is told, and a client that holds the other end of a wire.

engine = FakeEngine(max_request_bytes=10)
client = Wire(client_site(engine, Clock()))
client.send(b"GET /healthz HTTP/1.1\\r\\nHost: gw\\r\\n\\r\\n")
assert client.answer().status == 200
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from lmgw.config.snapshot import Config, Gateway
from lmgw.errors import GatewayError
from lmgw.gateway.inbound import Inbound, Sink

JSON_HEADERS = [(b"Content-Type", b"application/json")]
SSE_HEADERS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]


class FakeFlow:
    """Notes what it is told; ``told`` reads like ``["pause", "resume", "client_gone"]``."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.paused = False

    def pause(self) -> None:
        """Note it."""
        self.paused = True
        self.told.append("pause")

    def resume(self) -> None:
        """Note it."""
        self.paused = False
        self.told.append("resume")

    def gone(self, reason: str) -> None:
        """Note why."""
        self.told.append(reason)


class FakeEngine:
    """A ``Handler``: keeps what it is asked, and answers at once if ``reply`` says how.

    :ivar asked: the requests and their sinks, in order; ``sink`` and ``flow`` are the last one's.
    """

    def __init__(self, **gateway: Any) -> None:
        self.current = replace_config(**gateway)
        self.draining = False
        self.asked: list[tuple[Inbound, Sink]] = []
        self.listed: list[tuple[str, str | None, Inbound]] = []
        self.reply: Callable[[Inbound, Sink], None] | None = None
        self.trouble: Exception | None = None
        self.busy: GatewayError | None = None
        self.flow = FakeFlow()

    @property
    def sink(self) -> Sink:
        """The last request's."""
        return self.asked[-1][1]

    @property
    def inbound(self) -> Inbound:
        """The last request."""
        return self.asked[-1][0]

    def configure(self, **gateway: Any) -> None:
        """Change settings, as a reload does."""
        self.current = replace_config(**gateway)

    def refusal(self) -> GatewayError | None:
        """Turn away whoever comes while ``busy`` says why."""
        return self.busy

    def handle(self, inbound: Inbound, sink: Sink) -> None:
        """Keep the request."""
        self.asked.append((inbound, sink))
        self.flow = FakeFlow()
        sink.attach(self.flow)
        if self.trouble is not None:
            raise self.trouble
        if self.reply is not None:
            self.reply(inbound, sink)

    def listing(self, kind: str, name: str | None, inbound: Inbound) -> bytes:
        """Name what was asked for."""
        if self.trouble is not None:
            raise self.trouble
        self.listed.append((kind, name, inbound))
        return json.dumps({"kind": kind, "name": name, "dialect": inbound.route.dialect}).encode()

    def status(self) -> bytes:
        """Say something."""
        return b'{"status":"ok","ready":true}'


@dataclass(frozen=True)
class _Serving:
    config: Config


def replace_config(**gateway: Any) -> _Serving:
    """Return what ``engine.current`` is, with these settings in ``[gateway]``."""
    return _Serving(replace(Config(), gateway=Gateway(**gateway)))


def hello(inbound: Inbound, sink: Sink) -> None:
    """Answer at once."""
    sink.answer(200, JSON_HEADERS, b'{"hello":"you"}')


@dataclass(frozen=True)
class Answer:
    """One answer as a client reads it; ``complete`` is false where it was cut."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The words of an error, whatever the dialect."""
        error = self.json["error"]
        return str(error if isinstance(error, str) else error["message"])


def read_answers(data: bytes, *, head: bool = False) -> list[Answer]:
    """Read everything that a server has sent on one connection, strictly; ``head`` if the requests were HEAD."""
    found = []
    while data:
        text, end, data = data.partition(b"\r\n\r\n")
        assert end, f"a head without an end: {text!r}"
        status_line, *lines = text.decode("latin-1").split("\r\n")
        version, status, phrase = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        assert phrase, status_line
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        body, complete = b"", True
        if "transfer-encoding" in headers:
            body, complete, data = _dechunk(data)
        elif "content-length" in headers and not head:
            length = int(headers["content-length"])
            body, complete, data = data[:length], len(data) >= length, data[length:]
        elif not (head or int(status) in (100, 204)):
            body, data = data, b""
        found.append(Answer(int(status), headers, body, complete))
    return found


def _dechunk(data: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while True:
        size, end, rest = data.partition(b"\r\n")
        if not end:
            return body, False, b""
        length = int(size, 16)
        body += rest[:length]
        data = rest[length + 2 :]
        if length == 0:
            return body, True, data


@implementer(ITCPTransport)
class Wire(StringTransport):
    """A client on an in-memory connection to a site.

    :ivar half_closed: the server has said that it will send nothing more.
    """

    half_closed = False

    def __init__(self, site: Any, *, peer: str = "192.0.2.1", local: str = "192.0.2.9") -> None:
        super().__init__(IPv4Address("TCP", local, 8080), IPv4Address("TCP", peer, 40000), lenient=True)
        self.site = site
        self.channel = site.buildProtocol(self.peerAddr)
        self.channel.makeConnection(self)

    # -- what the test does

    def send(self, data: bytes) -> Wire:
        """Send bytes, cut nowhere."""
        self.channel.dataReceived(data)
        return self

    def get(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
        """Make one request and return its answer, which must be there at once and be the only one."""
        self.send(request(method, target, *headers, body=body))
        return self.answer(head=method == "HEAD")

    def close(self) -> None:
        """Go away, as a socket does: first the producer hears of it, then the protocol."""
        self.connected = False
        if self.producer is not None:
            self.producer.stopProducing()
        self.channel.connectionLost(Failure(ConnectionDone()))

    def stop_reading(self) -> None:
        """Let the server's buffer be full."""
        self.channel.pauseProducing()

    def read_on(self) -> None:
        """Let the server's buffer be empty."""
        self.channel.resumeProducing()

    def answers(self, *, head: bool = False) -> list[Answer]:
        """Return the answers since the last call."""
        found = read_answers(self.value(), head=head)
        self.clear()
        return found

    def answer(self, *, head: bool = False) -> Answer:
        """Return the one answer since the last call."""
        (found,) = self.answers(head=head)
        return found

    # -- ITCPTransport

    def loseWriteConnection(self) -> None:
        """Close our half."""
        self.half_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing."""

    getTcpNoDelay = getTcpKeepAlive = setTcpKeepAlive = setTcpNoDelay


def request(method: str, target: str, *headers: str, body: bytes = b"", host: str = "gw:8080") -> bytes:
    """Return a request as bytes, with a Host and the body's length unless the headers have their own."""
    lines = [f"{method} {target} HTTP/1.1", *headers]
    names = {line.partition(":")[0].lower() for line in headers}
    if "host" not in names and host:
        lines.append(f"Host: {host}")
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def ask(body: bytes = b"{}", *headers: str, path: str = "/v1/chat/completions") -> bytes:
    """Return a request that goes to the engine."""
    return request("POST", path, *headers, body=body)
