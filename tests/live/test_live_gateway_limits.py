"""Limits over real sockets: how often, how many, which tiers, and whose word counts."""

import pytest
import pytest_twisted
from canary import CANARY
from fakes import FakeUpstream, Whole
from gateway_rig import Gateway
from twisted.internet.defer import Deferred

CHAT = "/v1/chat/completions"
KEYS = {"UP_KEY": CANARY, "A_KEY": "key-of-a", "B_KEY": "key-of-b"}
CONFIG = """
[gateway]
{gateway}
[backends.up]
base_url = "{url}"
api_key_env = "UP_KEY"
[[tiers]]
name = "small"
backend = "up"
model = "small-model"
failover = ["large"]
[[tiers]]
name = "large"
backend = "up"
model = "large-model"
[aliases]
"hint:small" = "small"
"hint:large" = "large"
{more}
"""
TRUSTED = 'trusted_proxies = ["127.0.0.0/8"]'


def asking(model="small", dialect=CHAT):
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}


@pytest.fixture
def upstream():
    fake = pytest_twisted.blockon(Deferred.fromCoroutine(FakeUpstream.start()))
    yield fake
    pytest_twisted.blockon(Deferred.fromCoroutine(fake.stop()))


@pytest.fixture
def start(tmp_path, upstream):
    running = []

    async def start(gateway="", more=""):
        text = CONFIG.format(gateway=gateway, url=upstream.url, more=more)
        running.append(await Gateway.start(tmp_path, text, KEYS))
        return running[-1]

    yield start
    for gateway in running:
        pytest_twisted.blockon(Deferred.fromCoroutine(gateway.stop()))


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


# --- rate limits -----------------------------------------------------------------------------------------------------


def assert_limited(answer, scope, limit, retry_after):
    assert answer.status == 429
    assert answer.headers["x-ratelimit-scope"] == scope
    assert answer.headers["x-ratelimit-limit"] == str(limit)
    assert answer.headers["x-ratelimit-policy"] == f"{limit};w=60"
    assert int(answer.headers["retry-after"]) in retry_after
    assert answer.headers["retry-after"] in answer.message


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/api/chat"])
@pytest_twisted.ensureDeferred
async def test_the_burst_of_an_address_is_half_its_limit_then_it_is_told_when_to_come_back(start, path):
    gateway = await start("rate_limit_rpm = 5")
    assert [(await gateway.post(path, asking() | {"stream": False})).status for _ in range(3)] == [200] * 3
    assert_limited(await gateway.post(path, asking()), "ip", 5, (11, 12))


@pytest_twisted.ensureDeferred
async def test_a_wrong_key_counts_against_its_address_too(start):
    gateway = await start("rate_limit_rpm = 2", '[[clients]]\nkey_env = "A_KEY"\nprofile = "default"\n')
    assert (await gateway.post(CHAT, asking(), bearer("sk-guess-1"))).status == 401
    assert_limited(await gateway.post(CHAT, asking(), bearer("key-of-a")), "ip", 2, (29, 30))


@pytest_twisted.ensureDeferred
async def test_behind_a_trusted_proxy_each_address_has_its_own_limit(start):
    gateway = await start(f"rate_limit_rpm = 2\n{TRUSTED}")
    for peer in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"):
        assert (await gateway.post(CHAT, asking(), {"X-Forwarded-For": peer})).status == 200, peer
    for peer in ("192.0.2.1", "6.6.6.6, 192.0.2.2", "2001:db8::2", "2001:db8:0:1:ff::9"):
        assert_limited(await gateway.post(CHAT, asking(), {"X-Forwarded-For": peer}), "ip", 2, (29, 30))


@pytest_twisted.ensureDeferred
async def test_a_caller_that_is_no_trusted_proxy_cannot_name_its_address(start):
    gateway = await start("rate_limit_rpm = 2\ntrusted_proxies = ['192.0.2.0/24']")
    assert (await gateway.post(CHAT, asking(), {"X-Forwarded-For": "198.51.100.1"})).status == 200
    assert_limited(await gateway.post(CHAT, asking(), {"X-Forwarded-For": "198.51.100.2"}), "ip", 2, (29, 30))


@pytest_twisted.ensureDeferred
async def test_a_client_has_a_limit_wherever_it_calls_from(start):
    more = """
        [[clients]]
        key_env = "A_KEY"
        profile = "default"
        rate_limit_rpm = 2
        [[clients]]
        key_env = "B_KEY"
        profile = "default"
        """
    gateway = await start(TRUSTED, more)
    one, other = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    assert (await gateway.post(CHAT, asking(), bearer("key-of-a") | one)).status == 200
    assert_limited(await gateway.post(CHAT, asking(), bearer("key-of-a") | other), "client", 2, (29, 30))
    for _ in range(3):
        assert (await gateway.post(CHAT, asking(), bearer("key-of-b") | one)).status == 200


@pytest_twisted.ensureDeferred
async def test_a_profiles_limit_is_shared_and_the_named_one_counts(start):
    more = """
        [profiles.default]
        classifier = "small"
        [profiles.slow]
        classifier = "small"
        rate_limit_rpm = 2
        """
    gateway = await start(TRUSTED, more)
    one, other = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    assert (await gateway.post(CHAT, asking("slow"), one)).status == 200
    assert_limited(await gateway.post(CHAT, asking("slow"), other), "profile", 2, (29, 30))
    assert (await gateway.post(CHAT, asking("small"), other)).status == 200


@pytest_twisted.ensureDeferred
async def test_a_limit_keeps_its_state_over_a_reload_and_takes_the_new_rate(start):
    gateway = await start("rate_limit_rpm = 2")
    await gateway.post(CHAT, asking())
    text = gateway.path.read_text()
    gateway.reload(text.replace("small-model", "other-model"))
    assert_limited(await gateway.post(CHAT, asking()), "ip", 2, (29, 30))
    gateway.reload(text.replace("= 2", "= 0"))
    assert (await gateway.post(CHAT, asking())).status == 200


@pytest_twisted.ensureDeferred
async def test_health_is_never_limited(start):
    gateway = await start("rate_limit_rpm = 1")
    await gateway.post(CHAT, asking())
    for path in ("/healthz", "/readyz", "/status", "/"):
        assert (await gateway.get(path)).status == 200


# --- a client's tiers ------------------------------------------------------------------------------------------------

ONLY_SMALL = """
[[clients]]
key_env = "A_KEY"
profile = "default"
tiers = ["hint:small"]
[[clients]]
key_env = "B_KEY"
profile = "default"
"""


@pytest.mark.parametrize("name", ["large", "hint:large", "large-model", "large:latest"])
@pytest_twisted.ensureDeferred
async def test_a_tier_that_is_not_a_clients_cannot_be_named(start, name):
    gateway = await start(more=ONLY_SMALL)
    answer = await gateway.post(CHAT, asking(name), bearer("key-of-a"))
    assert answer.status in (403, 404)
    assert (await gateway.post(CHAT, asking(name), bearer("key-of-b"))).status == 200
    assert (await gateway.post(CHAT, asking("hint:small"), bearer("key-of-a"))).status == 200


@pytest_twisted.ensureDeferred
async def test_a_failure_does_not_lead_to_a_tier_that_is_not_the_clients(start, upstream):
    gateway = await start(more=ONLY_SMALL)
    upstream.next(Whole(503, b"busy"), Whole(503, b"busy"))
    assert (await gateway.post(CHAT, asking(), bearer("key-of-a"))).status == 503
    assert (await gateway.post(CHAT, asking(), bearer("key-of-b"))).headers["x-lmg-tier"] == "large"


@pytest_twisted.ensureDeferred
async def test_automatic_modes_keep_to_a_clients_tiers(start, upstream):
    gateway = await start(more=ONLY_SMALL + '[profiles.default]\nmode = "escalate"\nclassifier = "small"\n')
    refusal = b'{"choices":[{"message":{"content":"I cannot help"},"finish_reason":"stop"}]}'
    upstream.next(Whole(200, refusal))
    assert (await gateway.post(CHAT, asking(), bearer("key-of-a"))).headers["x-lmg-tier"] == "small"
    upstream.next(Whole(200, refusal))
    assert (await gateway.post(CHAT, asking(), bearer("key-of-b"))).headers["x-lmg-tier"] == "large"


@pytest_twisted.ensureDeferred
async def test_an_overflow_keeps_to_a_clients_tiers_too(start, upstream):
    gateway = await start(more=ONLY_SMALL)
    text = gateway.path.read_text()
    gateway.reload(
        text.replace('failover = ["large"]', 'max_concurrent = 1\noverflow_tier = "large"\noverflow_depth = 0')
    )
    upstream.default = lambda connection, request: None
    clients = [await gateway.open(CHAT, asking(), bearer("key-of-a"))]
    await upstream.asked(1)
    clients += [
        await gateway.open(CHAT, asking(), bearer("key-of-a")),
        await gateway.open(CHAT, asking(), bearer("key-of-b")),
    ]
    await upstream.asked(2)
    assert b"large-model" in upstream.requests[1].body
    assert gateway.engine.queues.figures()["small"]["waiting"] == 1
    for client in clients:
        client.drop()
        await client.closed


@pytest_twisted.ensureDeferred
async def test_a_client_is_shown_its_own_tiers_alone(start):
    gateway = await start(more=ONLY_SMALL)
    shown = {model["id"] for model in (await gateway.get("/v1/models", bearer("key-of-a"))).json["data"]}
    assert "small" in shown
    assert not {"large", "hint:large"} & shown
    assert (await gateway.get("/v1/models/large", bearer("key-of-a"))).status == 404


# --- whose word counts -----------------------------------------------------------------------------------------------

NAMED = 'identity_header = "X-Forwarded-User"\nattribution_headers = ["X-OpenWebUI-Chat-Id", "X-Team"]\n'
HEADERS = {"X-Forwarded-User": "alice", "X-OpenWebUI-Chat-Id": "chat-" + "7" * 300, "X-Other": "secret"}


@pytest_twisted.ensureDeferred
async def test_a_trusted_proxys_user_and_the_headers_that_were_asked_for_are_recorded(start):
    gateway = await start(NAMED + TRUSTED)
    await gateway.post(CHAT, asking(), HEADERS)
    assert gateway.last.user == "alice"
    assert gateway.last.attribution == {"x-openwebui-chat-id": ("chat-" + "7" * 300)[:128]}


@pytest_twisted.ensureDeferred
async def test_a_strangers_word_is_not_recorded(start):
    gateway = await start(NAMED)
    await gateway.post(CHAT, asking(), HEADERS)
    assert gateway.last.user is None
    assert gateway.last.attribution == {}


@pytest_twisted.ensureDeferred
async def test_neither_header_reaches_the_provider(start, upstream):
    gateway = await start(NAMED + TRUSTED)
    await gateway.post(CHAT, asking(), HEADERS)
    assert not {b"x-forwarded-user", b"x-openwebui-chat-id"} & {
        name.lower() for name, _ in upstream.requests[0].headers
    }
