"""Floods over real sockets: of connections, of slow senders, of requests; the others are served meanwhile."""

import json

import pytest
import pytest_twisted
from fakes import FakeUpstream, Stream
from gateway_rig import ONE_TIER, Client, Gateway
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from web_rig import read_answers

CHAT = "/v1/chat/completions"
HELLO = {"model": "local:fast", "messages": [{"role": "user", "content": "hello"}]}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\n"


class Flood:
    """A gateway, its upstream, and everybody who is connected."""

    def __init__(self, gateway, upstream):
        self.gateway, self.upstream = gateway, upstream
        self.clients = []

    async def connect(self, data=b""):
        """Open a connection and send these bytes."""
        client = Client()
        self.clients.append(client)
        port = self.gateway.port.getHost().port
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=30), client)
        client.transport.write(data)
        return client

    async def post(self, body=HELLO):
        """Ask on a connection of its own."""
        client = await self.gateway.open(CHAT, body)
        self.clients.append(client)
        return client

    async def stop(self):
        for client in self.clients:
            client.drop()
            await client.closed
        while self.gateway.engine.in_flight or self.gateway.port.factory.connections:
            await deferLater(reactor, 0)
        assert self.gateway.port.factory.buffered_bytes == 0
        await self.gateway.stop()
        await self.upstream.stop()


@pytest.fixture
def start(tmp_path):
    running = []

    async def start(gateway="", backend=""):
        upstream = await FakeUpstream.start()
        text = f"[gateway]\n{gateway}\n" + ONE_TIER.format(url=upstream.url).replace(
            "[[tiers]]", f"{backend}\n[[tiers]]", 1
        )
        running.append(Flood(await Gateway.start(tmp_path, text), upstream))
        return running[-1]

    yield start
    for flood in running:
        pytest_twisted.blockon(Deferred.fromCoroutine(flood.stop()))


async def served(flood, body=HELLO):
    """Whether somebody who behaves gets an answer now."""
    client = await flood.post(body)
    answer = await client.answer()
    client.drop()
    await client.closed
    return answer.status == 200


@pytest_twisted.ensureDeferred
async def test_no_more_connections_are_opened_to_a_backend_than_it_may_have(start):
    flood = await start(backend="max_connections = 3")
    streams = []

    def begin(connection, request):
        streams.append(Stream(first=b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'))
        streams[-1](connection)

    flood.upstream.default = begin
    clients = [await flood.post({**HELLO, "stream": True}) for _ in range(20)]
    done = 0
    while done < 20:
        await flood.upstream.asked(min(done + 3, 20))
        assert len(flood.upstream.open) <= 3
        assert flood.gateway.engine.pools.figures()["up"].open <= 3
        streams[done].send(b"data: [DONE]\n\n")
        streams[done].end()
        done += 1
    answers = await gatherResults([Deferred.fromCoroutine(client.answer()) for client in clients])
    assert [answer.status for answer in answers] == [200] * 20


@pytest.mark.parametrize("data", [HEAD, HEAD + b"Content-Length: 99999\r\n\r\n{"], ids=["head", "body"])
@pytest_twisted.ensureDeferred
async def test_two_hundred_slow_senders_are_cut_in_time_while_others_are_served(start, data):
    flood = await start("header_timeout_ms = 300\nbody_timeout_ms = 300")
    slow = [await flood.connect(data) for _ in range(200)]
    began = reactor.seconds()
    while not all(client.closed.called for client in slow):
        for client in slow:
            if not client.closed.called and not client.bytes:
                client.transport.write(b"x")
        assert await served(flood)
        assert reactor.seconds() - began < 10
    for client in slow:
        (answer,) = read_answers(client.bytes)
        assert answer.status == 408
        assert answer.message


@pytest_twisted.ensureDeferred
async def test_a_flood_of_connections_waits_and_everybody_gets_an_answer_in_the_end(start):
    flood = await start("max_client_connections = 10")
    request = b"GET /healthz HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"
    clients = [await flood.connect(request) for _ in range(100)]
    while not all(client.closed.called for client in clients):
        assert sum(1 for each in flood.gateway.port.factory.connections) < 100
        await deferLater(reactor, 0)
    assert all(client.bytes.startswith(b"HTTP/1.1 200") for client in clients)


@pytest_twisted.ensureDeferred
async def test_more_in_flight_than_allowed_is_a_503_and_health_is_answered(start):
    flood = await start("max_in_flight = 5")
    flood.upstream.default = lambda connection, request: None
    for _ in range(5):
        await flood.post()
    await flood.upstream.asked(5)
    answer = await (await flood.post()).answer()
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert (await flood.gateway.get("/healthz")).status == 200
    flood.clients[0].drop()
    flood.upstream.default = FakeUpstream().default
    while flood.gateway.engine.in_flight == 5:
        await deferLater(reactor, 0)
    assert await served(flood)


@pytest_twisted.ensureDeferred
async def test_more_bodies_in_memory_than_allowed_are_a_503_and_those_that_are_there_are_served(start):
    flood = await start("max_buffered_bytes = 100000")
    flood.upstream.default = lambda connection, request: None
    body = json.dumps({**HELLO, "padding": "x" * 30_000}).encode()
    for _ in range(3):
        await flood.post(body)
    await flood.upstream.asked(3)
    answer = await (await flood.post(body)).answer()
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    flood.upstream.default = FakeUpstream().default
    assert await served(flood), "a small one still fits"
    flood.clients[0].drop()
    while flood.gateway.engine.in_flight == 3:
        await deferLater(reactor, 0)
    assert await served(flood, body)


@pytest_twisted.ensureDeferred
async def test_five_hundred_requests_at_once_are_all_answered(start):
    flood = await start()
    clients = [await flood.connect() for _ in range(500)]
    body = json.dumps(HELLO).encode()
    for client in clients:
        client.transport.write(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    answers = await gatherResults([Deferred.fromCoroutine(client.answer()) for client in clients])
    assert {answer.status for answer in answers} <= {200, 503}
    assert sum(answer.status == 200 for answer in answers) > 400
    assert all(int(answer.headers["retry-after"]) for answer in answers if answer.status == 503)
