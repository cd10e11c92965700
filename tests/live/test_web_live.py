"""The web layer on real sockets: what only the kernel, TLS and a client that behaves badly can show."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl as stdlib_ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from OpenSSL import SSL
from twisted.internet import reactor, tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from web_rig import JSON_HEADERS, SSE_HEADERS, Answer, FakeEngine, ask, hello, read_answers, request
from zope.interface import implementer

from lmgw.gateway.inbound import Inbound, Sink
from lmgw.web.client import client_site
from lmgw.web.site import Site

HEALTH = request("GET", "/healthz")


class Peer(Protocol):
    """A client that sees every byte.

    :ivar reason: why the connection ended, ``None`` while it has not.
    """

    def __init__(self) -> None:
        self.received = b""
        self.reason: Failure | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._look()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason
        self._look()

    def _look(self) -> None:
        for entry in list(self._waiting):
            if entry[0]():
                self._waiting.remove(entry)
                entry[1].callback(None)

    def until(self, seen: Callable[[], bool]) -> Deferred[None]:
        """Fire when ``seen()`` is true, which is asked whenever something happened here."""
        done: Deferred[None] = Deferred()
        self._waiting.append((seen, done))
        self._look()
        return done.addTimeout(5, reactor)

    def has(self, data: bytes) -> Deferred[None]:
        """Fire when these bytes have come."""
        return self.until(lambda: data in self.received)

    @property
    def closed(self) -> Deferred[None]:
        """Fires when the connection is over."""
        return self.until(lambda: self.reason is not None)

    def send(self, data: bytes) -> Peer:
        """Send bytes."""
        assert self.transport is not None
        self.transport.write(data)
        return self

    def close(self) -> None:
        """Close at once."""
        self.transport.abortConnection()  # type: ignore[union-attr]


@implementer(IOpenSSLClientConnectionCreator)
class AnyServer:
    """TLS to a server that nobody vouches for."""

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)


class Rig:
    """A client port on a real socket, and its clients."""

    def __init__(self, **gateway: Any) -> None:
        self.engine = FakeEngine(**gateway)
        self.engine.reply = hello
        self.site: Site = client_site(self.engine, reactor)
        self.peers: list[Peer] = []
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")

    async def connect(self, endpoint: Any = None) -> Peer:
        peer = Peer()
        self.peers.append(peer)
        await connectProtocol(endpoint or TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port), peer)
        return peer

    async def ask_whole(self, data: bytes, endpoint: Any = None) -> list[Answer]:
        """Send bytes on a connection of their own, and read until the server closes it."""
        peer = (await self.connect(endpoint)).send(data)
        await peer.closed
        return read_answers(peer.received)

    async def stream(self, *headers: str) -> tuple[Peer, Sink]:
        """Return a client that has been sent the head of a stream, and its writer."""
        self.engine.reply = lambda inbound, sink: sink.begin(200, SSE_HEADERS)
        peer = (await self.connect()).send(ask(b"{}", *headers))
        await peer.has(b"\r\n\r\n")
        return peer, self.engine.sink

    async def stop(self) -> None:
        await self.port.stopListening()
        self.site.cut()
        for peer in self.peers:
            if peer.reason is None:
                peer.close()
                await peer.closed
        while self.site.connections:
            await deferLater(reactor, 0.001)


@pytest.fixture
def rig() -> Iterator[Rig]:
    deadlines = {"header_timeout_ms": 200, "body_timeout_ms": 200, "client_write_timeout_ms": 400}
    made = Rig(**deadlines, max_request_bytes=1000, max_client_connections=3)
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.stop()))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: gw\n\n", 400),
        (ask(b"{}", "Content-Length: x"), 400),
        (request("POST", "/v1/chat/completions", "Transfer-Encoding: chunked") + b"what\r\n", 400),
        (request("GET", "/healthz", "Origin: https://evil.example", "Connection: close"), 403),
        (request("GET", "/nowhere", "Connection: close"), 404),
        (request("GET", "/v1/chat/completions", "Connection: close"), 405),
        (b"POST /v1/messages HTTP/1.1\r\nHost: gw\r\nContent-Le", 408),
        (ask(b"{}")[:-1], 408),
        (ask(b"x" * 1001), 413),
        (request("GET", "/", *[f"X-{n}: {'a' * 900}" for n in range(40)]), 431),
        (request("GET", "/" + "a" * 70_000), 431),
        (ask(b"{}", "Transfer-Encoding: gzip"), 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_wrong_gets_words_and_the_connection_ends(rig: Rig, data: bytes, status: int) -> None:
    (answer,) = await rig.ask_whole(data)
    assert answer.status == status
    assert answer.complete
    assert answer.message
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert answer.headers["connection"] == "close"


@pytest_twisted.ensureDeferred
async def test_a_sender_of_far_too_much_gets_to_read_its_413(rig: Rig) -> None:
    (answer,) = await rig.ask_whole(ask(b"x" * 8_000_000))
    assert (answer.status, answer.complete) == (413, True)


@pytest_twisted.ensureDeferred
async def test_a_head_that_dribbles_is_cut_while_it_still_dribbles(rig: Rig) -> None:
    peer = await rig.connect()
    left = list(HEALTH[:-1])
    while left and not peer.received:
        peer.send(bytes([left.pop(0)]))
        await deferLater(reactor, 0.02)
    assert left, "all of it could be sent"
    (answer,) = read_answers(peer.received)
    assert answer.status == 408


@pytest_twisted.ensureDeferred
async def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    found = await rig.ask_whole(HEALTH + ask() + request("GET", "/", "Connection: close"))
    assert [answer.body for answer in found] == [b'{"status":"ok"}', b'{"hello":"you"}', b"Ollama is running"]


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read_stops_the_stream_and_goes_on_where_it_was(rig: Rig) -> None:
    rig.engine.configure()
    peer, sink = await rig.stream()
    peer.transport.pauseProducing()
    written = 0
    while not sink.paused:
        sink.write(b"x" * 65_536)
        written += 65_536
        assert written < 64 << 20, "the sink never said stop"
        await deferLater(reactor, 0)
    assert rig.engine.flow.told == ["pause"]
    peer.transport.resumeProducing()
    while sink.paused:
        await deferLater(reactor, 0.001)
    assert rig.engine.flow.told == ["pause", "resume"]
    sink.finish()
    await peer.has(b"\r\n0\r\n\r\n")
    assert len(read_answers(peer.received)[0].body) == written


@pytest_twisted.ensureDeferred
async def test_a_client_that_never_reads_is_cut(rig: Rig) -> None:
    peer, sink = await rig.stream()
    peer.transport.pauseProducing()
    while not sink.closed:
        if not sink.paused:
            sink.write(b"x" * 65_536)
        await deferLater(reactor, 0.001)
    assert rig.engine.flow.told == ["pause", "client_stalled"]
    while rig.site.connections:
        await deferLater(reactor, 0.001)


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_away_is_noticed_at_once(rig: Rig) -> None:
    peer, sink = await rig.stream()
    started = time.monotonic()
    peer.close()
    while not sink.closed:
        await deferLater(reactor, 0.001)
    assert rig.engine.flow.told == ["client_gone"]
    assert time.monotonic() - started < 2


@pytest_twisted.ensureDeferred
async def test_a_cut_stream_shows_its_last_words_and_does_not_look_complete(rig: Rig) -> None:
    peer, sink = await rig.stream()
    sink.write(b"data: 1\n\n")
    sink.abort(b'data: {"error":{}}\n\n')
    await peer.closed
    (answer,) = read_answers(peer.received)
    assert answer.body == b'data: 1\n\ndata: {"error":{}}\n\n'
    assert not answer.complete


@pytest_twisted.ensureDeferred
async def test_a_cut_stream_to_http_1_0_is_a_reset(rig: Rig) -> None:
    rig.engine.reply = lambda inbound, sink: sink.begin(200, SSE_HEADERS)
    peer = (await rig.connect()).send(b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
    await peer.has(b"\r\n\r\n")
    rig.engine.sink.write(b"data: 1\n\n")
    rig.engine.sink.abort()
    await peer.closed
    assert peer.reason is not None
    assert not peer.reason.check(ConnectionDone)


class Spy:
    """Counts what goes through a transport's queue instead of straight to its socket."""

    def __init__(self, transport: Any) -> None:
        self.queued = 0
        self._write = transport.write
        transport.write = self.write

    def write(self, data: bytes) -> None:
        self.queued += 1
        self._write(data)


@pytest_twisted.ensureDeferred
async def test_a_chunk_goes_straight_to_a_socket_that_takes_it(rig: Rig) -> None:
    """Fails if Twisted renames what ``Channel.send`` looks at: then everything is queued, and streams cost more."""
    peer, sink = await rig.stream()
    (channel,) = rig.site.connections
    spy = Spy(channel.transport)
    sink.write(b"data: 1\n\n")
    assert spy.queued == 0
    await peer.has(b"data: 1\n\n")


@pytest_twisted.ensureDeferred
async def test_a_transport_without_the_short_cut_gets_everything_through_its_queue(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[bytes] = []
    write = tcp.Server.write

    def spy(transport: tcp.Server, data: bytes) -> None:
        queued.append(data)
        write(transport, data)

    monkeypatch.setattr("lmgw.web.channel.is_plain_socket", lambda transport: False)
    monkeypatch.setattr(tcp.Server, "write", spy)
    peer, sink = await rig.stream()
    head = len(queued)
    sink.write(b"data: 1\n\n")
    assert (head, len(queued)) == (1, 2)
    await peer.has(b"data: 1\n\n")


@pytest_twisted.ensureDeferred
async def test_a_piece_does_not_overtake_the_head(rig: Rig) -> None:
    def begin_and_write(inbound: Inbound, sink: Sink) -> None:
        sink.begin(200, SSE_HEADERS)
        sink.write(b"data: 1\n\n")
        sink.finish()

    rig.engine.reply = begin_and_write
    (answer,) = await rig.ask_whole(ask(b"{}", "Connection: close"))
    assert (answer.body, answer.complete) == (b"data: 1\n\n", True)


@pytest_twisted.ensureDeferred
async def test_a_piece_does_not_overtake_what_waits_even_if_the_socket_has_room(rig: Rig) -> None:
    rig.engine.configure()
    peer, sink = await rig.stream()
    peer.transport.pauseProducing()

    def read_behind_the_reactors_back() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                peer.received += peer.transport.getHandle().recv(1 << 20)

    sink.write(b"x" * (16 << 20))
    assert sink.paused
    for _ in range(3):  # whatever part of it the transport keeps where
        sink.write(b"x")
        read_behind_the_reactors_back()
        sink.write(b"y")
        await deferLater(reactor, 0)
    sink.finish()
    peer.transport.resumeProducing()
    await peer.has(b"\r\n0\r\n\r\n")
    assert read_answers(peer.received)[0].body.lstrip(b"x") == b"yxyxy"


@pytest_twisted.ensureDeferred
async def test_bytes_keep_their_order_whichever_way_they_go(rig: Rig) -> None:
    rig.engine.configure()
    peer, sink = await rig.stream()
    dice = random.Random(7)
    sent = b""
    for number in range(200):
        piece = b"%d," % number * dice.choice([1, 10, 1000, 20_000])
        sink.write(piece)
        sent += piece
        if dice.random() < 0.1:
            peer.transport.pauseProducing()
        if dice.random() < 0.3 or sink.paused:
            peer.transport.resumeProducing()
            await deferLater(reactor, 0)
    peer.transport.resumeProducing()
    sink.finish()
    await peer.has(b"\r\n0\r\n\r\n")
    assert read_answers(peer.received)[0].body == sent


@pytest_twisted.ensureDeferred
async def test_connections_above_the_limit_wait_for_one_that_closes(rig: Rig) -> None:
    first, second, third = [(await rig.connect()).send(HEALTH) for _ in range(3)]
    for peer in (first, second, third):
        await peer.has(b"ok")
    late = [(await rig.connect()).send(HEALTH) for _ in range(2)]
    first.received = b""
    await first.send(HEALTH).has(b"ok")
    assert [peer.received for peer in late] == [b"", b""]
    first.close()
    await late[0].has(b"ok")
    assert late[1].received == b""
    second.close()
    await late[1].has(b"ok")
    third.close()
    await (await rig.connect()).send(HEALTH).has(b"ok")


@pytest_twisted.ensureDeferred
async def test_a_draining_gateway_says_so_and_drops_who_waits(rig: Rig) -> None:
    idle = (await rig.connect()).send(HEALTH)
    await idle.has(b"ok")
    peer, sink = await rig.stream()
    rig.engine.draining = True
    rig.site.drop_idle()
    await idle.closed
    sink.write(b"data: 1\n\n")
    sink.finish()
    await peer.closed
    assert read_answers(peer.received)[0].complete


def chosen_protocol(port: int) -> str | None:
    """Offer HTTP/2 and HTTP/1.1; return what the server takes."""
    context = stdlib_ssl._create_unverified_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as peer:
        return peer.selected_alpn_protocol()


@pytest_twisted.ensureDeferred
async def test_tls_speaks_http_1_1_alone_and_streams(rig: Rig, tmp_path: Path) -> None:
    pem = tmp_path / "both.pem"
    order = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {pem} -out {pem}.crt"
    subprocess.run(["openssl", *order.split()], check=True, capture_output=True)
    endpoint = serverFromString(reactor, f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}.crt")
    port = await endpoint.listen(rig.site)
    try:
        number = port.getHost().port
        assert await deferToThread(chosen_protocol, number) == "http/1.1"
        client = wrapClientTLS(AnyServer(), TCP4ClientEndpoint(reactor, "127.0.0.1", number))
        rig.engine.reply = lambda inbound, sink: sink.begin(200, SSE_HEADERS)
        peer = (await rig.connect(client)).send(ask())
        await peer.has(b"\r\n\r\n")
        rig.engine.sink.write(b"data: 1\n\n")
        await peer.has(b"9\r\ndata: 1\n\n\r\n")
        rig.engine.sink.abort(b"data: no\n\n")
        await peer.closed
        assert not read_answers(peer.received)[0].complete
        (answer,) = await rig.ask_whole(request("GET", "/nowhere", "Connection: close"), client)
        assert answer.status == 404
        assert "https://gw:8080/v1" in answer.message
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_unix_socket_is_this_machine(rig: Rig, tmp_path: Path) -> None:
    path = str(tmp_path / "gw.sock")
    port = await UNIXServerEndpoint(reactor, path).listen(rig.site)
    try:
        peer = (await rig.connect(UNIXClientEndpoint(reactor, path))).send(
            ask() + request("GET", "/x", "Connection: close")
        )
        await peer.closed
        assert [answer.status for answer in read_answers(peer.received)] == [200, 404]
        assert rig.engine.inbound.peer == "127.0.0.1"
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_large_answer_to_a_slow_reader_is_whole(rig: Rig) -> None:
    def large(inbound: Inbound, sink: Sink) -> None:
        sink.answer(200, JSON_HEADERS, b"x" * 5_000_000)

    rig.engine.configure()
    rig.engine.reply = large
    peer = (await rig.connect()).send(ask(b"{}", "Connection: close"))
    for _ in range(20):
        peer.transport.pauseProducing()
        await deferLater(reactor, 0.005)
        peer.transport.resumeProducing()
        await deferLater(reactor, 0)
    await peer.closed
    (answer,) = read_answers(peer.received)
    assert (len(answer.body), answer.complete) == (5_000_000, True)
