"""A provider on a real socket, in the test's own reactor: records what it is asked, answers as told, fails on demand.

    upstream = await FakeUpstream.start()             # or start(tls=Authority(tmp_path).server("localhost"))
    upstream.next(Whole(503, b"busy"), Cut(b"HTTP/1.1 200 OK\\r\\n"))
    ...                                               # point a backend at upstream.url
    upstream.requests[0].body
    await upstream.stop()

Each request takes the next answer that was given to :meth:`FakeUpstream.next`; where there is none it is answered like
a provider would, in the dialect of its path (see ``fake_answers``). An answer is any callable that takes the
connection; those below cover what servers do, well or badly. Nothing sleeps: a :class:`Stream` goes on when the test
says so, :meth:`FakeUpstream.asked` and ``connection.closed`` are awaited.
"""

from __future__ import annotations

import datetime
import ipaddress
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import fake_answers
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer


@dataclass(frozen=True)
class Received:
    """One request as it came; header names keep their case and order."""

    method: bytes
    path: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class FakeConnection(Protocol):
    """One connection to the fake.

    :ivar requests: what came on it, complete.
    :ivar received: bytes of anything.
    :ivar closed: fires when the connection is gone; ``closed_at`` is then the reactor's time.
    :ivar sent: bytes handed to the socket; ``paused`` while the other side does not read.
    """

    def __init__(self, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.requests: list[Received] = []
        self.closed: Deferred[None] = Deferred()
        self.closed_at: float | None = None
        self.received = b""
        self.sent = 0
        self.paused = False
        self._buffer = bytearray()

    def connectionMade(self) -> None:
        self.upstream.connections.append(self)
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        if len(self.received) < 65_536:
            self.received += data
        self._buffer += data
        while (request := self._parse()) is not None:
            self.requests.append(request)
            self.upstream.take(self, request)

    def _parse(self) -> Received | None:
        head, gap, _ = self._buffer.partition(b"\r\n\r\n")
        if not gap:
            return None
        line, *lines = bytes(head).split(b"\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
        end = len(head) + 4 + length
        if len(self._buffer) < end:
            return None
        method, path, _ = line.split(b" ")
        body = bytes(self._buffer[len(head) + 4 : end])
        del self._buffer[:end]
        return Received(method, path, headers, body)

    def connectionLost(self, reason: object) -> None:
        self.closed_at = reactor.seconds()
        self.closed.callback(None)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sent += len(data)
        self.transport.write(data)

    def close(self) -> None:
        """Close after what was written."""
        self.transport.loseConnection()

    def reset(self) -> None:
        """Break the connection (RST)."""
        self.transport.abortConnection()


Answer = Callable[[FakeConnection], None]


class FakeUpstream(Factory):
    """The server; ``default`` answers what nothing was scripted for."""

    noisy = False

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.connections: list[FakeConnection] = []
        self.default: Callable[[FakeConnection, Received], None] = answer_like_a_provider
        self._script: deque[Answer] = deque()
        self._asked: list[tuple[int, Deferred[Received]]] = []

    @classmethod
    async def start(cls, tls: Certified | None = None, host: str = "127.0.0.1", port: int = 0) -> FakeUpstream:
        """Listen on a free port of ``host``; ``name`` is what its certificate says, if it speaks TLS."""
        upstream = cls()
        factory = upstream if tls is None else TLSMemoryBIOFactory(tls, False, upstream)
        upstream._listening = reactor.listenTCP(port, factory, backlog=1024, interface=host)
        upstream.port = upstream._listening.getHost().port
        name = f"[{host}]" if ":" in host else host
        upstream.url = f"http://{name}:{upstream.port}" if tls is None else f"https://{tls.name}:{upstream.port}"
        return upstream

    async def stop(self) -> None:
        """Close the port and every connection, and wait until they are gone."""
        await self.refuse()
        for connection in self.open:
            connection.transport.abortConnection()
            await connection.closed

    async def refuse(self) -> None:
        """Close the port only: new connections are refused from now on."""
        if self._listening.connected:
            await self._listening.stopListening()

    def buildProtocol(self, address: object) -> FakeConnection:
        return FakeConnection(self)

    def next(self, *answers: Answer) -> None:
        """Answer the next requests like this, one each."""
        self._script.extend(answers)

    def take(self, connection: FakeConnection, request: Received) -> None:
        """A request is complete: answer it."""
        self.requests.append(request)
        if self._script:
            self._script.popleft()(connection)
        else:
            self.default(connection, request)
        for count, waiting in self._asked[:]:
            if len(self.requests) >= count:
                self._asked.remove((count, waiting))
                waiting.callback(self.requests[count - 1])

    async def asked(self, count: int = 1) -> Received:
        """Wait until the fake has been asked ``count`` times in all; return that request."""
        if len(self.requests) >= count:
            return self.requests[count - 1]
        waiting: Deferred[Received] = Deferred()
        self._asked.append((count, waiting))
        return await waiting

    @property
    def open(self) -> list[FakeConnection]:
        """Connections that are not closed."""
        return [connection for connection in self.connections if connection.closed_at is None]


# --- answers -------------------------------------------------------------------------------------------------


def head(status: int = 200, headers: Iterable[tuple[str, str]] = (), reason: str = "Whatever") -> bytes:
    """Return an answer's head as bytes."""
    return b"".join(
        [f"HTTP/1.1 {status} {reason}\r\n".encode(), *(f"{n}: {v}\r\n".encode() for n, v in headers), b"\r\n"]
    )


def chunk(data: bytes) -> bytes:
    """Return one chunk of the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class Whole:
    """A whole answer with a Content-Length; ``headers`` come on top."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"

    def __call__(self, connection: FakeConnection) -> None:
        fields = [("Content-Type", self.content_type), ("Content-Length", str(len(self.body))), *self.headers]
        connection.write(head(self.status, fields) + self.body)


@dataclass(frozen=True)
class Raw:
    """These bytes, each piece in its own write, and the connection stays open."""

    pieces: tuple[bytes, ...]

    def __call__(self, connection: FakeConnection) -> None:
        for piece in self.pieces:
            connection.write(piece)


@dataclass(frozen=True)
class Cut:
    """These bytes, then the connection is closed (or reset): before the head, in the middle, wherever."""

    data: bytes = b""
    reset: bool = False

    def __call__(self, connection: FakeConnection) -> None:
        connection.write(self.data)
        if self.reset:
            # A reset drops what is not written yet; the reactor writes between these two calls.
            reactor.callLater(0, reactor.callLater, 0, connection.reset)
        else:
            connection.close()


@dataclass(frozen=True)
class Silence:
    """Nothing, or only the beginning of something, and the connection stays open."""

    data: bytes = b""

    def __call__(self, connection: FakeConnection) -> None:
        if self.data:
            connection.write(self.data)


@dataclass
class Stream:
    """A stream that the test drives: awaits ``begun``, then sends, ends, closes or resets.

    The head goes out with the request, and ``first`` with it.
    """

    content_type: str = "text/event-stream"
    status: int = 200
    first: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    begun: Deferred[FakeConnection] = field(default_factory=Deferred)

    def __call__(self, connection: FakeConnection) -> None:
        self.connection = connection
        fields = [("Content-Type", self.content_type), ("Transfer-Encoding", "chunked"), *self.headers]
        connection.write(head(self.status, fields) + (chunk(self.first) if self.first else b""))
        self.begun.callback(connection)

    def send(self, *pieces: bytes) -> None:
        """Send each piece as a chunk of its own, all in one write."""
        self.connection.write(b"".join(map(chunk, pieces)))

    def end(self) -> None:
        """Send the last chunk."""
        self.connection.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Close without the last chunk."""
        self.connection.close()

    def reset(self) -> None:
        """Break the connection."""
        self.connection.reset()


@implementer(IPushProducer)
class Endless:
    """A stream without end that stops writing while the other side does not read; ``connection.sent`` counts."""

    def __init__(self, piece: bytes = b"data: " + b"x" * 1018, content_type: str = "text/event-stream") -> None:
        self._chunk = chunk(piece) * max(1, 65_536 // len(piece))
        self._content_type = content_type
        self._call = None
        self.begun: Deferred[FakeConnection] = Deferred()

    def __call__(self, connection: FakeConnection) -> None:
        self.connection = connection
        connection.write(head(200, [("Content-Type", self._content_type), ("Transfer-Encoding", "chunked")]))
        connection.transport.registerProducer(self, True)
        self._go()
        self.begun.callback(connection)

    def _go(self) -> None:
        self.connection.write(self._chunk)
        if not self.connection.paused and self.connection.closed_at is None:
            self._call = reactor.callLater(0, self._go)

    def pauseProducing(self) -> None:
        self.connection.paused = True
        if self._call is not None and self._call.active():
            self._call.cancel()

    def resumeProducing(self) -> None:
        self.connection.paused = False
        self._call = reactor.callLater(0, self._go)

    stopProducing = pauseProducing


def answer_like_a_provider(connection: FakeConnection, request: Received) -> None:
    """Answer in the dialect of the path: text (or a tool call, if the text says "use the tool"), with usage."""
    status, content_type, pieces = fake_answers.answer(request.method, request.path, request.headers, request.body)
    if len(pieces) == 1:
        Whole(status, pieces[0], content_type=content_type)(connection)
    else:
        stream = Stream(content_type, status)
        stream(connection)
        stream.send(*pieces)
        stream.end()


def refused_port() -> int:
    """Return a port of 127.0.0.1 where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- TLS -----------------------------------------------------------------------------------------------------


@implementer(IOpenSSLServerConnectionCreator)
class Certified:
    """A server's certificate and key; ``name`` is the first name in it.

    Not Twisted's ``CertificateOptions``: those hand pyOpenSSL's own X509 objects over, which pyOpenSSL warns about.
    """

    def __init__(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.name = name
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate(certificate)
        self._context.use_privatekey(key)
        self._context.set_alpn_select_callback(self._choose)
        self.offered: list[list[bytes]] = []

    def _choose(self, connection: SSL.Connection, offered: list[bytes]) -> bytes:
        self.offered.append(offered)
        return offered[0]

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class Authority:
    """A certificate authority made for one test; ``ca_file`` in ``folder`` holds its root."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"authority {secrets.token_hex(8)}")
        self._now = datetime.datetime.now(datetime.UTC)
        root = (
            self._builder(self._name, self._key, days=(-1, 1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str, expired: bool = False) -> Certified:
        """Return a certificate for these names and addresses, ``localhost`` by default."""
        names = names or ("localhost",)
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        certificate = (
            self._builder(_named(names[0]), key, days=(-2, -1) if expired else (-1, 1))
            .add_extension(alternatives, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Certified(names[0], certificate, key)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[int, int]
    ) -> x509.CertificateBuilder:
        begin, end = (self._now + datetime.timedelta(days=day) for day in days)
        return x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number(), begin, end)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
