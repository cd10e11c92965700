"""Queues over real sockets: who waits, who is next, and what gives a slot back."""

import json

import pytest
import pytest_twisted
from canary import CANARY
from fakes import FakeUpstream, Silence, Stream, Whole
from gateway_rig import Gateway
from twisted.internet import reactor
from twisted.internet.task import deferLater

CHAT = "/v1/chat/completions"
KEYS = {"UP_KEY": CANARY, "A_KEY": "key-of-a", "B_KEY": "key-of-b", "VIP_KEY": "key-of-vip"}
CONFIG = """
[gateway]
{gateway}
[backends.up]
base_url = "{url}"
api_key_env = "UP_KEY"
[[tiers]]
name = "gpu"
backend = "up"
model = "gpu-model"
max_concurrent = {limit}
{gpu}
[[tiers]]
name = "cloud"
backend = "up"
model = "cloud-model"
{more}
"""
CLIENTS = """
[[clients]]
key_env = "A_KEY"
profile = "default"
[[clients]]
key_env = "B_KEY"
profile = "default"
[[clients]]
key_env = "VIP_KEY"
profile = "default"
default_priority = 1
priority_ceiling = 5
"""


def chunk(text: str) -> bytes:
    event = {"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


END = b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Scene:
    """A gateway with a queue in front of one tier, and its upstream, on which every answer is a stream by hand."""

    def __init__(self, folder, upstream):
        self.folder, self.upstream = folder, upstream
        self.streams = []
        upstream.default = self.begin

    @classmethod
    async def start(cls, folder, *, limit=1, gateway="", gpu="", more=""):
        scene = cls(folder, await FakeUpstream.start())
        scene.text = CONFIG.replace("{url}", scene.upstream.url)
        scene.values = {"limit": limit, "gateway": gateway, "gpu": gpu, "more": more}
        scene.gateway = await Gateway.start(folder, scene.text.format(**scene.values), KEYS)
        return scene

    def reload(self, **changes):
        self.values |= changes
        self.gateway.reload(self.text.format(**self.values))

    def begin(self, connection, request):
        stream = Stream(first=chunk("first"))
        self.streams.append(stream)
        stream(connection)

    async def ask(self, words, *, model="gpu", key=None, **headers):
        """Ask for a stream of the gated tier; what is asked is known by its words."""
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": words}]}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return await self.gateway.open(CHAT, body, headers)

    async def wait_in_line(self, words, **how):
        """The same, and see that it waits; the order of these calls is the order of the line."""
        before = self.figures["waiting"]
        client = await self.ask(words, **how)
        while self.figures["waiting"] == before:
            await deferLater(reactor, 0)
        return client

    @property
    def figures(self):
        return self.gateway.engine.queues.figures()["gpu"]

    @property
    def served(self):
        """The words of the requests that have reached the upstream, in order."""
        return [json.loads(request.body)["messages"][-1]["content"] for request in self.upstream.requests]

    async def finish(self, number=-1):
        """End one stream validly."""
        self.streams[number].send(END)
        self.streams[number].end()

    async def serve(self, count):
        """End streams, the oldest first, until ``count`` requests have reached the upstream; returns their words."""
        while len(self.streams) < count:
            asked = self.upstream.asked(len(self.streams) + 1)
            await self.finish(len(self.streams) - 1)
            await asked
        return self.served

    async def stop(self, *clients):
        for client in clients:
            client.drop()
            await client.closed
        while self.gateway.engine.in_flight:
            await deferLater(reactor, 0)
        for figures in self.gateway.engine.queues.figures().values():
            assert (figures["running"], figures["waiting"]) == (0, 0), "a slot was lost"
        await self.gateway.stop()
        await self.upstream.stop()


async def turns(count=20):
    """Let the reactor go round; no time is waited for."""
    for _ in range(count):
        await deferLater(reactor, 0)


# --- what holds a slot, and what gives it back -----------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_slot_is_held_until_the_last_byte_of_the_stream_is_relayed(tmp_path):
    scene = await Scene.start(tmp_path)
    first = await scene.ask("first")
    await first.until(b"first")
    second = await scene.wait_in_line("second")
    scene.streams[0].send(chunk("more"))
    await first.until(b"more")
    await turns()
    assert scene.served == ["first"]
    await scene.finish()
    assert (await first.answer()).complete
    await scene.upstream.asked(2)
    await scene.finish()
    assert (await second.answer()).complete
    assert scene.gateway.last.queue_ms > 0
    await scene.stop(first, second)


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_away_gives_its_slot_to_the_next(tmp_path):
    scene = await Scene.start(tmp_path)
    first = await scene.ask("first")
    await first.until(b"first")
    second = await scene.wait_in_line("second")
    first.drop()
    await scene.upstream.asked(2)
    assert scene.served == ["first", "second"]
    await scene.stop(second)


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_away_while_it_waits_leaves_the_line_at_once(tmp_path):
    scene = await Scene.start(tmp_path)
    first = await scene.ask("first")
    await first.until(b"first")
    second, third = await scene.wait_in_line("second"), await scene.wait_in_line("third")
    second.drop()
    while scene.figures["waiting"] == 2:
        await turns(1)
    assert scene.gateway.last.status == 499
    await scene.finish()
    await scene.upstream.asked(2)
    assert scene.served == ["first", "third"]
    await scene.stop(first, third)


@pytest_twisted.ensureDeferred
async def test_of_a_client_that_goes_away_with_all_it_has_nothing_more_is_begun(tmp_path):
    scene = await Scene.start(tmp_path)
    clients = [await scene.ask("0")]
    await clients[0].until(b"first")
    clients += [await scene.wait_in_line(str(n)) for n in range(1, 60)]
    for client in clients:
        client.drop()
    while scene.gateway.engine.in_flight:
        await turns(1)
    await turns()
    assert len(scene.served) < 10
    await scene.stop()


@pytest_twisted.ensureDeferred
async def test_a_failed_attempt_gives_its_slot_back_before_another_tier_answers(tmp_path):
    scene = await Scene.start(tmp_path, gpu='failover = ["cloud"]')
    scene.upstream.next(Whole(503, b"busy"))
    first = await scene.ask("first")
    await first.until(b"X-LMG-Tier: cloud")
    assert scene.figures["running"] == 0
    second = await scene.ask("second")
    await second.until(b"X-LMG-Tier: gpu")
    await scene.stop(first, second)


@pytest_twisted.ensureDeferred
async def test_a_request_whose_time_is_used_up_in_line_gets_a_504_and_leaves_it(tmp_path):
    scene = await Scene.start(tmp_path, gateway="request_timeout_ms = 150")
    first = await scene.ask("first")
    await first.until(b"first")
    second = await scene.ask("second")
    answer = await second.answer()
    assert answer.status == 504
    assert scene.figures["waiting"] == 0
    assert scene.served == ["first"]
    await scene.stop(first, second)


@pytest_twisted.ensureDeferred
async def test_the_classifiers_own_call_waits_in_line_and_holds_its_slot_no_longer_than_it_lasts(tmp_path):
    more = '[profiles.default]\nmode = "classify"\nclassifier = "gpu"\n[profiles.direct]\nclassifier = "gpu"\n'
    scene = await Scene.start(tmp_path, more=more + '[aliases]\n"fixed" = "gpu"\n')
    label = Whole(200, b'{"choices":[{"message":{"content":"deep"},"finish_reason":"stop"}]}')
    holder = await scene.ask("holder", model="gpu")
    await holder.until(b"first")
    waiting = await scene.wait_in_line("label me", model="anything")
    assert scene.served == ["holder"]
    scene.upstream.next(label)
    await scene.finish()
    await waiting.until(b"X-LMG-Tier: cloud")
    assert scene.figures["running"] == 0, "the classifier's slot is held by an answer of another tier"
    scene.upstream.next(label)
    another = await scene.ask("label me too", model="anything")
    await another.until(b"X-LMG-Tier: cloud")
    await scene.stop(holder, waiting, another)


# --- limits of the line ----------------------------------------------------------------------------------------------

HELLO = {"model": "gpu", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/api/chat"])
@pytest_twisted.ensureDeferred
async def test_deeper_than_the_limit_is_a_429_that_says_when_to_come_back(tmp_path, path):
    scene = await Scene.start(tmp_path, gpu="max_queue_depth = 1")
    first = await scene.ask("first")
    await first.until(b"first")
    second = await scene.wait_in_line("second")
    answer = await scene.gateway.post(path, HELLO)
    assert answer.status == 429
    assert answer.headers["x-ratelimit-scope"] == "queue"
    assert answer.headers["retry-after"] == "1"
    assert "queue of gpu is full" in answer.message
    await scene.stop(first, second)


@pytest_twisted.ensureDeferred
async def test_deeper_than_the_overflow_depth_goes_to_the_overflow_tier_instead_of_waiting(tmp_path):
    scene = await Scene.start(tmp_path, gpu='overflow_tier = "cloud"\noverflow_depth = 1')
    first = await scene.ask("first")
    await first.until(b"X-LMG-Tier: gpu")
    second = await scene.wait_in_line("second")
    third = await scene.ask("third")
    assert b"X-LMG-Overflowed: true" in await third.until(b"X-LMG-Tier: cloud")
    await scene.stop(first, second, third)


@pytest_twisted.ensureDeferred
async def test_a_request_that_need_not_wait_does_not_overflow(tmp_path):
    scene = await Scene.start(tmp_path, limit=2, gpu='overflow_tier = "cloud"\noverflow_depth = 0')
    first, second = await scene.ask("first"), await scene.ask("second")
    await first.until(b"X-LMG-Tier: gpu")
    await second.until(b"X-LMG-Tier: gpu")
    third = await scene.ask("third")
    await third.until(b"X-LMG-Tier: cloud")
    await scene.stop(first, second, third)


# --- whose turn ------------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_single_request_gets_at_latest_the_second_slot_behind_a_flood_of_another_client(tmp_path):
    scene = await Scene.start(tmp_path, more=CLIENTS)
    clients = [await scene.ask("holder", key="key-of-a")]
    await clients[0].until(b"first")
    clients += [await scene.wait_in_line(f"flood {n}", key="key-of-a") for n in range(500)]
    clients.append(await scene.wait_in_line("single", key="key-of-b"))
    assert "single" in (await scene.serve(3))[1:]
    await scene.stop(*clients)


@pytest_twisted.ensureDeferred
async def test_users_of_one_client_take_turns_where_a_trusted_proxy_names_them(tmp_path):
    gateway = 'identity_header = "X-Forwarded-User"\ntrusted_proxies = ["127.0.0.0/8"]'
    scene = await Scene.start(tmp_path, gateway=gateway, more=CLIENTS)
    clients = [await scene.ask("holder", key="key-of-a", X_Forwarded_User="alice")]
    await clients[0].until(b"first")
    for user, words in (("alice", "a1"), ("alice", "a2"), ("alice", "a3"), ("bob", "b1")):
        clients.append(await scene.wait_in_line(words, key="key-of-a", X_Forwarded_User=user))
    assert await scene.serve(5) == ["holder", "a1", "b1", "a2", "a3"]
    await scene.stop(*clients)


@pytest_twisted.ensureDeferred
async def test_what_a_caller_says_of_its_user_without_a_trusted_proxy_counts_for_nothing(tmp_path):
    gateway = 'identity_header = "X-Forwarded-User"\ntrusted_proxies = ["192.0.2.0/24"]'
    scene = await Scene.start(tmp_path, gateway=gateway, more=CLIENTS)
    clients = [await scene.ask("holder", key="key-of-a")]
    await clients[0].until(b"first")
    for user, words in (("alice", "a1"), ("alice", "a2"), ("bob", "b1")):
        clients.append(await scene.wait_in_line(words, key="key-of-a", X_Forwarded_User=user))
    assert await scene.serve(4) == ["holder", "a1", "a2", "b1"]
    await scene.finish()
    await clients[-1].answer()
    assert scene.gateway.last.user is None
    await scene.stop(*clients)


@pytest_twisted.ensureDeferred
async def test_strangers_take_turns_by_their_networks(tmp_path):
    scene = await Scene.start(tmp_path, gateway='trusted_proxies = ["127.0.0.0/8"]')
    clients = [await scene.ask("holder")]
    await clients[0].until(b"first")
    for peer, words in (
        ("2001:db8::1", "a1"),
        ("2001:db8::2", "a2"),
        ("2001:db8:0:0:ffff::3", "a3"),
        ("2001:db8:0:1::1", "b1"),
        ("192.0.2.7", "c1"),
    ):
        clients.append(await scene.wait_in_line(words, X_Forwarded_For=peer))
    assert await scene.serve(6) == ["holder", "a1", "b1", "c1", "a2", "a3"]
    await scene.stop(*clients)


# --- priorities ------------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_priorities_are_the_clients_default_and_never_above_its_ceiling(tmp_path):
    scene = await Scene.start(tmp_path, more=CLIENTS)
    clients = [await scene.ask("holder", key="key-of-a")]
    await clients[0].until(b"first")
    for words, key, headers in (
        ("a asks for 99, gets 0", "key-of-a", {"X_LMG_Priority": "99"}),
        ("b asks for -3", "key-of-b", {"X_LMG_Priority": "-3"}),
        ("vip by default 1", "key-of-vip", {}),
        ("vip asks for 99, gets 5", "key-of-vip", {"X_LMG_Priority": "99"}),
        ("b by default 0", "key-of-b", {}),
        ("b asks for nonsense", "key-of-b", {"X_LMG_Priority": "high"}),
    ):
        clients.append(await scene.wait_in_line(words, key=key, **headers))
    assert scene.figures["waiting_by_priority"] == {"5": 1, "1": 1, "0": 3, "-3": 1}
    assert (await scene.serve(7))[1:] == [
        "vip asks for 99, gets 5",
        "vip by default 1",
        "a asks for 99, gets 0",
        "b by default 0",
        "b asks for nonsense",
        "b asks for -3",
    ]
    await scene.stop(*clients)


@pytest_twisted.ensureDeferred
async def test_strangers_have_at_most_priority_0_where_there_are_clients(tmp_path):
    scene = await Scene.start(tmp_path, gateway='public_profile = "default"', more=CLIENTS)
    clients = [await scene.ask("holder")]
    await clients[0].until(b"first")
    for words, how in (
        ("stranger asks for 9", {"X_LMG_Priority": "9"}),
        ("wrong key asks for 9", {"X_LMG_Priority": "9", "key": "sk-wrong"}),
        ("vip", {"key": "key-of-vip"}),
        ("stranger asks for -1", {"X_LMG_Priority": "-1"}),
    ):
        clients.append(await scene.wait_in_line(words, **how))
    assert scene.figures["waiting_by_priority"] == {"1": 1, "0": 2, "-1": 1}
    await scene.stop(*clients)


# --- reload and shutdown while requests wait -------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_reload_resizes_the_queue_while_requests_wait(tmp_path):
    scene = await Scene.start(tmp_path)
    clients = [await scene.ask("0")]
    await clients[0].until(b"first")
    clients += [await scene.wait_in_line(str(n)) for n in range(1, 6)]
    scene.reload(limit=3)
    await scene.upstream.asked(3)
    await turns()
    assert scene.served == ["0", "1", "2"]
    scene.reload(limit=1)
    await scene.finish(0)
    await scene.finish(1)
    await turns()
    assert scene.served == ["0", "1", "2"]
    await scene.finish(2)
    await scene.upstream.asked(4)
    await turns()
    assert scene.served == ["0", "1", "2", "3"]
    scene.reload(limit=0)
    await scene.upstream.asked(6)
    assert scene.served == ["0", "1", "2", "3", "4", "5"]
    await scene.stop(*clients)


@pytest_twisted.ensureDeferred
async def test_a_reload_that_removes_the_tier_lets_those_that_wait_have_their_answer(tmp_path):
    scene = await Scene.start(tmp_path)
    first = await scene.ask("first")
    await first.until(b"first")
    second = await scene.wait_in_line("second")
    scene.gateway.reload(scene.text.format(**scene.values).replace('"gpu"', '"other"'))
    await second.until(b"X-LMG-Tier: gpu")
    for number in (0, 1):
        await scene.finish(number)
    assert (await second.answer()).complete
    assert (await scene.gateway.post(CHAT, HELLO)).status == 404
    await scene.stop(first, second)


@pytest_twisted.ensureDeferred
async def test_when_it_is_cut_those_that_wait_are_told_and_never_begun(tmp_path):
    scene = await Scene.start(tmp_path)
    clients = [await scene.ask("0")]
    await clients[0].until(b"first")
    clients += [await scene.wait_in_line(str(n)) for n in range(1, 6)]
    scene.gateway.engine.cut()
    for client in clients[1:]:
        answer = await client.answer()
        assert answer.status == 503
        assert "shutting down" in answer.message
    await turns()
    assert scene.served == ["0"]
    await scene.stop(*clients)


@pytest_twisted.ensureDeferred
async def test_a_stuck_backend_holds_up_its_own_queue_alone(tmp_path):
    scene = await Scene.start(tmp_path, more="")
    scene.upstream.next(Silence())
    stuck = await scene.ask("stuck")
    await scene.upstream.asked(1)
    waiting = [await scene.wait_in_line(str(n)) for n in range(20)]
    other = await scene.ask("other", model="cloud")
    await other.until(b"X-LMG-Tier: cloud")
    assert scene.figures["waiting"] == 20
    await scene.stop(stuck, *waiting, other)
