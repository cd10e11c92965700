"""The admin port over real sockets: traffic, what runs, live events, backends, playground, explain."""

import json
import time

import pytest
import pytest_twisted
from admin_rig import Both, read_events
from canary import CANARY
from fakes import Cut, FakeUpstream, Stream, Whole
from twisted.internet.defer import Deferred

CHAT = "/v1/chat/completions"
HELLO = {"model": "local:fast", "messages": [{"role": "user", "content": "hello"}]}
STREAMED = {**HELLO, "stream": True}
CONFIG = """
[gateway]
admin_allowed_hosts = ["gw"]
max_retries = 1
retry_delay_ms = 1
traffic_log_capacity = 3
{gateway}

[backends.up]
base_url = "{url}"
api_key_env = "UP_KEY"

[[tiers]]
name = "local:fast"
backend = "up"
model = "real-model"
input_price = 1.0
output_price = 2.0
max_concurrent = 1

[[tiers]]
name = "cloud:big"
backend = "up"
model = "big-model"

[profiles.default]
mode = "dispatch"
classifier = "local:fast"

[profiles.sorted]
mode = "classify"
classifier = "cloud:big"
"""


def event(**choice: object) -> bytes:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "real-model"}
    return b"data: " + json.dumps({**chunk, "choices": [{"index": 0, **choice}]}).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event(delta={"content": text})


def pieces(entry: dict) -> list[str]:
    """What the time went to; a busy machine takes a moment to read a body."""
    return [span["what"] for span in entry["timeline"] if span["what"] != "body"]


STOP = event(delta={}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def upstream():
    fake = pytest_twisted.blockon(Deferred.fromCoroutine(FakeUpstream.start()))
    yield fake
    pytest_twisted.blockon(Deferred.fromCoroutine(fake.stop()))


@pytest.fixture
def start(tmp_path, upstream):
    """Start both ports with these settings in [gateway]."""
    running = []

    async def begin(gateway: str = "", text: str = CONFIG) -> Both:
        both = await Both.start(tmp_path, text.format(url=upstream.url, gateway=gateway))
        running.append(both)
        return both

    yield begin
    for both in running:
        pytest_twisted.blockon(Deferred.fromCoroutine(both.stop()))


# --- traffic -------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_request_is_shown_with_everything_about_it(start):
    both = await start()
    await both.client.post(CHAT, HELLO, {"X-Request-ID": "mine"})
    (entry,) = (await both.show("/admin/traffic"))["entries"]
    assert entry == await both.show("/admin/traffic/mine")
    assert entry["id"] == "mine"
    assert (entry["profile"], entry["profile_chain"]) == ("default", ["default"])
    assert (entry["tier"], entry["backend"], entry["model"]) == ("local:fast", "up", "real-model")
    assert (entry["dialect"], entry["operation"], entry["routing_mode"]) == ("openai", "chat", "dispatch")
    assert (entry["success"], entry["status"], entry["fault"], entry["end_reason"]) == (True, 200, None, "complete")
    (attempt,) = entry["attempts"]
    assert (attempt["tier"], attempt["status"], attempt["error"]) == ("local:fast", 200, None)
    assert [reason["chosen"] for reason in entry["reasons"]] == [True]
    assert pieces(entry) == ["auth", "attempt"]
    assert entry["tokens"]["source"] == "measured"
    used = entry["tokens"]
    assert entry["cost_usd"] == pytest.approx((used["input"] + 2 * used["output"]) / 1e6)
    assert 0 <= entry["overhead_ms"] <= entry["ttft_ms"] <= entry["latency_ms"]


@pytest_twisted.ensureDeferred
async def test_of_what_a_caller_or_a_provider_wrote_no_more_is_kept_than_a_person_reads(start, upstream):
    both = await start()
    upstream.next(Whole(400, b'{"error":{"message":"%b"}}' % (b"x" * 50_000)))
    await both.client.post(CHAT, HELLO, {"X-Request-ID": "long-answer"})
    await both.client.post(CHAT, {**HELLO, "model": "y" * 500_000})
    kept = await both.show("/admin/traffic/long-answer")
    assert (len(kept["error"]), len(kept["attempts"][0]["error"])) == (1000, 1000)
    (entry, _) = (await both.show("/admin/traffic"))["entries"]
    assert entry["requested_model"] == "y" * 256


@pytest_twisted.ensureDeferred
async def test_health_says_the_time_and_where_clients_go(start):
    both = await start()
    before = time.time()
    health = await both.show("/admin/health")
    assert before - 1 <= health["now"] <= time.time() + 1
    assert health["client_url"] == both.client.url
    assert health["losing"] is None


@pytest_twisted.ensureDeferred
async def test_the_stats_are_of_all_requests_under_the_old_names(start):
    both = await start()
    for _ in range(4):
        await both.client.post(CHAT, HELLO)
    shown = await both.show("/admin/traffic?limit=2")
    assert len(shown["entries"]) == 2
    stats = shown["stats"]
    assert stats.pop("avg_latency_ms") > 0
    assert stats == {"total_requests": 4, "error_count": 0, "escalation_count": 0, "tier_counts": {"local:fast": 4}}


@pytest_twisted.ensureDeferred
async def test_failures_are_not_washed_out_by_successes(start, upstream):
    both = await start()
    upstream.next(Whole(400, b'{"error":{"message":"no"}}'))
    await both.client.post(CHAT, HELLO, {"X-Request-ID": "bad"})
    for _ in range(3):
        await both.client.post(CHAT, HELLO)
    assert "bad" not in [entry["id"] for entry in (await both.show("/admin/traffic"))["entries"]]
    assert [entry["id"] for entry in (await both.show("/admin/traffic?failures=1"))["entries"]] == ["bad"]
    assert (await both.show("/admin/traffic/bad"))["fault"] == "caller"


@pytest_twisted.ensureDeferred
async def test_filters_narrow_what_is_shown(start, upstream):
    both = await start()
    await both.client.post(CHAT, HELLO)
    await both.client.post(CHAT, {**HELLO, "model": "cloud:big"})
    upstream.next(Whole(404, b'{"error":{"message":"gone"}}'))
    await both.client.post(CHAT, {**HELLO, "model": "cloud:big"})

    async def statuses(query: str) -> list[int]:
        return [entry["status"] for entry in (await both.show(f"/admin/traffic?{query}"))["entries"]]

    assert await statuses("tier=cloud:big") == [404, 200]
    assert await statuses("tier=cloud:big&success=true") == [200]
    assert await statuses("status=4xx") == [404]
    assert await statuses("status=404&profile=default&backend=up") == [404]
    assert await statuses("fault=provider") == [404]
    assert await statuses("client=nobody") == []
    assert await statuses("since=2000-01-01T00:00:00Z&limit=1") == [404]
    assert await statuses("since=99999999999") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("teir=x", "no parameter teir here; there are limit, failures"),
        ("limit=0", "limit: a whole number above 0"),
        ("limit=1e3", "limit: a whole number"),
        ("status=999", "status: a status (429) or a class of them (4xx)"),
        ("since=yesterday", "since: seconds since 1970"),
        ("since=0001-01-01T00:00:00", "since: seconds since 1970"),
        ("success=maybe", "success: 1 or 0"),
        ("fault=mine", "fault: one of caller, policy, provider, gateway"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_filter_that_cannot_be_read_is_named(start, query, words):
    both = await start()
    answer = await both.admin.get(f"/admin/traffic?{query}")
    assert answer.status == 400
    assert words in answer.message


@pytest_twisted.ensureDeferred
async def test_an_unknown_request_is_a_404_that_says_where_else_to_look(start):
    answer = await (await start()).admin.get("/admin/traffic/nowhere")
    assert answer.status == 404
    assert "traffic_log_path" in answer.message


@pytest_twisted.ensureDeferred
async def test_bodies_are_kept_only_when_told_to_and_in_part(start, upstream):
    both = await start("traffic_log_debug = true")
    body = {**HELLO, "user": "x" * 100_000}
    await both.client.post(CHAT, body, {"X-Request-ID": "big"})
    kept = (await both.show("/admin/traffic/big"))["request"]
    assert len(kept) == 65_536
    assert json.dumps(body).startswith(kept)
    assert "request" not in (await both.show("/admin/traffic"))["entries"][0]


# --- what a request went through -----------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_each_attempt_is_shown_with_its_error_and_its_time(start, upstream):
    both = await start()
    busy = Whole(503, b'{"error":{"message":"busy"}}')
    upstream.next(busy, busy)
    answer = await both.client.post(CHAT, HELLO, {"X-Request-ID": "tried"})
    assert answer.status == 503
    entry = await both.show("/admin/traffic/tried")
    assert [attempt["status"] for attempt in entry["attempts"]] == [503, 503]
    assert "busy" in entry["attempts"][0]["error"]
    assert pieces(entry) == ["auth", "attempt", "retrying", "attempt"]
    assert (entry["fault"], entry["end_reason"]) == ("provider", "upstream_error")


@pytest_twisted.ensureDeferred
async def test_a_connection_that_had_been_closed_is_no_attempt_of_its_own(start, upstream):
    both = await start()
    await both.client.post(CHAT, HELLO)
    upstream.next(Cut())
    await both.client.post(CHAT, HELLO, {"X-Request-ID": "again"})
    entry = await both.show("/admin/traffic/again")
    assert len(entry["attempts"]) == 1
    assert pieces(entry) == ["auth", "attempt"]
    assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    ("body", "status", "fault"),
    [(b"{", 400, "caller"), ({**HELLO, "model": "nobody"}, 404, "caller"), ({"model": "local:fast"}, 400, "caller")],
)
@pytest_twisted.ensureDeferred
async def test_what_the_caller_did_wrong_is_the_callers_fault(start, body, status, fault):
    both = await start()
    await both.client.post(CHAT, body)
    (entry,) = (await both.show("/admin/traffic"))["entries"]
    assert (entry["status"], entry["fault"], entry["attempts"]) == (status, fault, [])


@pytest_twisted.ensureDeferred
async def test_a_limit_is_policy(start):
    both = await start("rate_limit_rpm = 1")
    await both.client.post(CHAT, HELLO)
    assert (await both.client.post(CHAT, HELLO)).status == 429
    assert (await both.show("/admin/traffic"))["entries"][0]["fault"] == "policy"


@pytest_twisted.ensureDeferred
async def test_what_a_full_gateway_turns_away_is_recorded_as_its_own_fault(start, upstream):
    both = await start("max_in_flight = 1")
    script = Stream(first=delta("one"))
    upstream.next(script)
    running = await both.client.open(CHAT, STREAMED)
    await running.until(b"one")
    assert (await both.client.post(CHAT, HELLO)).status == 503
    (entry,) = (await both.show("/admin/traffic?failures=1"))["entries"]
    assert (entry["status"], entry["fault"], entry["dialect"], entry["tier"]) == (503, "gateway", "openai", "")
    running.drop()
    await script.connection.closed


@pytest_twisted.ensureDeferred
async def test_a_provider_that_repeats_its_key_gives_nothing_away(start, upstream):
    both = await start()
    upstream.next(Whole(401, b'{"error":{"message":"bad key %b!"}}' % CANARY.encode()))
    answer = await both.client.post(CHAT, HELLO)
    assert answer.status == 502
    upstream.next(Whole(400, b'{"error":{"message":"not with %b"}}' % CANARY.encode()))
    answer = await both.client.post(CHAT, {**HELLO, "model": "cloud:big"})
    for path in ("/admin/traffic", "/admin/health", "/admin/history", "/metrics"):
        assert CANARY.encode() not in (await both.admin.get(path)).body
    shown = (await both.show("/admin/traffic?failures=1"))["entries"]
    assert any("***" in (attempt["error"] or "") for entry in shown for attempt in entry["attempts"])


# --- what runs -----------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_what_runs_is_shown_by_what_it_does(start, upstream):
    both = await start()
    script = Stream(first=delta("words " * 50))
    upstream.next(script)
    first = await both.client.open(CHAT, STREAMED, {"X-Request-ID": "first"})
    await first.until(b"words")
    second = await both.client.open(CHAT, HELLO, {"X-Request-ID": "second"})
    while not (await both.show("/admin/queues"))["local:fast"]["waiting"]:
        pass
    running = await both.show("/admin/inflight")
    assert (running["count"], running["states"]) == (2, {"streaming": 1, "queued": 1})
    assert running["tiers"] == {"local:fast": 2}
    streaming, queued = running["requests"]
    assert (streaming["id"], streaming["state"], streaming["tier"]) == ("first", "streaming", "local:fast")
    assert streaming["tokens"] == round(300 / 3.5)
    assert (queued["id"], queued["state"], queued["position"]) == ("second", "queued", 1)
    assert running["queues"] == await both.show("/admin/queues")
    figures = running["queues"]["local:fast"]
    assert figures == {"limit": 1, "running": 1, "waiting": 1, "waiting_by_priority": {"0": 1}}
    assert (await both.show("/admin/traffic/second"))["state"] == "queued"
    script.send(STOP, DONE)
    script.end()
    await second.answer()
    for client in (first, second):
        client.drop()
        await client.closed
    entry = await both.show("/admin/traffic/second")
    assert pieces(entry) == ["auth", "queued", "attempt"]
    assert entry["queue_ms"] > 0


# --- live ----------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_listener_is_greeted_and_told_what_happens(start, upstream):
    both = await start()
    events = await both.listen()
    (hello,) = events.of("hello")
    assert hello["started_at"] == both.engine.started_s
    await both.client.post(CHAT, HELLO, {"X-Request-ID": "live"})
    (entry,) = await events.until("entry")
    assert entry == await both.show("/admin/traffic/live")
    await both.admin.post("/admin/reload", b"")
    (mark,) = await events.until("mark")
    assert mark["kind"] == "reload"
    assert "files unchanged" in mark["text"]


@pytest_twisted.ensureDeferred
async def test_a_head_of_the_stream_alone_opens_none(start):
    both = await start()
    client = await both.admin.open("/admin/events", method="HEAD")
    assert b"text/event-stream" in await client.until(b"\r\n\r\n")
    assert not both.engine.events.wanted
    client.drop()
    await client.closed


@pytest_twisted.ensureDeferred
async def test_a_circuit_that_flips_is_told_and_kept(start, upstream):
    both = await start("health_cooldown_ms = 1")
    events = await both.listen()
    upstream.next(Whole(401, b'{"error":{"message":"invalid x-api-key"}}'))
    await both.client.post(CHAT, HELLO)
    (opened,) = await events.until("mark")
    assert opened["kind"] == "circuit"
    assert 'circuit of backend "up" opened' in opened["text"]
    (trouble,) = (await both.show("/admin/health"))["troubles"]
    assert (trouble["scope"], trouble["name"], trouble["kind"]) == ("backend", "up", "key_refused")
    assert (trouble["brief"], trouble["requests"]) == ("up refuses UP_KEY", 1)
    assert "refused UP_KEY (401): invalid x-api-key" in trouble["sentence"]
    assert "read at start" in trouble["words"]
    await both.client.post(CHAT, HELLO)
    _, closed = await events.until("mark", 2)
    assert "closed" in closed["text"]
    assert (await both.show("/admin/health"))["troubles"] == []
    marks = (await both.show("/admin/history"))["marks"]
    assert [mark["kind"] for mark in marks] == ["start", "circuit", "circuit"]


@pytest_twisted.ensureDeferred
async def test_a_new_token_ends_what_the_old_one_opened(start, upstream, tmp_path):
    text = CONFIG.replace("{gateway}", 'admin_token_env = "ADMIN"\n{gateway}')
    both = await Both.start(tmp_path, text.format(url=upstream.url, gateway=""), {"UP_KEY": CANARY, "ADMIN": "one"})
    events = await both.listen({"Authorization": "Bearer one"})
    both.client.environ = {"UP_KEY": CANARY, "ADMIN": "two"}
    both.client.reload(text.format(url=upstream.url, gateway=""))
    await events.connection.closed
    await both.stop()


# --- backends ------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_backends_are_probed_without_a_token_spent(start, upstream):
    both = await start()
    shown = await both.show("/admin/backends/health")
    assert shown["ok"]
    (backend,) = shown["backends"]
    assert (backend["name"], backend["ok"], backend["status"], backend["words"]) == ("up", True, 200, "answers")
    assert backend["circuit"] == {"state": "closed", "error_share": 0.0, "retry_in_ms": None, "reason": ""}
    assert set(backend["tiers"]) == {"local:fast", "cloud:big"}
    assert backend["loaded_models"] is None
    assert [request.path for request in upstream.requests] == [b"/v1/models"]
    upstream.next(Whole(401, b"{}"))
    answer = await both.admin.get("/admin/backends/health")
    assert (answer.status, answer.json["ok"]) == (207, False)
    assert "refuses the key in UP_KEY" in answer.json["backends"][0]["words"]


@pytest_twisted.ensureDeferred
async def test_what_ollama_has_loaded_is_shown(start, upstream):
    text = (
        '[gateway]\nadmin_allowed_hosts = ["gw"]\n{gateway}\n[backends.gpu]\nprovider = "ollama"\nbase_url = "{url}"\n'
    )
    both = await start(text=text + '[[tiers]]\nname = "t"\nbackend = "gpu"\nmodel = "m"\n')
    loaded = b'{"models":[{"name":"qwen3:8b","size":6000,"size_vram":5000,"context_length":4096,"digest":"x"}]}'
    upstream.next(Whole(200, b'{"version":"0.12"}'), Whole(200, loaded))
    (backend,) = (await both.show("/admin/backends/health"))["backends"]
    (model,) = backend["loaded_models"]
    assert (model["name"], model["size"], model["size_vram"]) == ("qwen3:8b", 6000, 5000)


# --- explain and playground ----------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_dry_run_calls_nobody(start, upstream):
    both = await start()
    plan = (await both.admin.post("/admin/explain?label=complex&profile=sorted", {**HELLO, "model": None})).json
    assert (plan["mode"], plan["profiles"], plan["question"]["tier"]) == ("classify", ["sorted"], "cloud:big")
    assert plan["question"]["text"]
    assert plan["reasons"][-1]["chosen"]
    plan = (await both.admin.post("/admin/explain?route=/v1/messages", {**HELLO, "max_tokens": 5})).json
    assert plan["order"] == ["local:fast"]
    assert plan["error"] is None
    plan = (await both.admin.post("/admin/explain", {**HELLO, "model": "nobody"})).json
    assert plan["error"]["status"] == 404
    assert upstream.requests == []
    assert both.engine.books.totals.requests == 0


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/admin/explain", b"{", "not valid JSON"),
        ("/admin/explain?client=nobody", HELLO, 'no client "nobody"'),
        ("/admin/explain?profile=nope", HELLO, 'no profile "nope"; there are default, sorted'),
        ("/admin/explain?route=/nope", HELLO, "route: one of /v1/chat/completions"),
        ("/admin/playground", b"[]", "must be a chat"),
        ("/admin/playground", {**HELLO, "tier": "nope"}, 'no tier "nope"; there are local:fast, cloud:big'),
        ("/admin/playground", {**HELLO, "profile": "nope"}, 'no profile "nope"'),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_an_operator_asks_wrongly_gets_words(start, path, body, words):
    answer = await (await start()).admin.post(path, body)
    assert answer.status == 400
    assert words in answer.message


@pytest_twisted.ensureDeferred
async def test_a_chat_of_the_operators_shows_its_head_and_streams(start, upstream):
    both = await start()
    script = Stream()
    upstream.next(script)
    playing = await both.admin.open("/admin/playground", {"tier": "cloud:big", "messages": HELLO["messages"]})
    await script.begun
    script.send(delta("one"))
    await playing.until(b"one")
    (head,) = [data for name, data in read_events(playing.bytes) if name == "head"]
    assert head["status"] == 200
    assert head["headers"]["X-LMG-Tier"] == "cloud:big"
    assert head["headers"]["X-LMG-Profile"] == "default"
    script.send(STOP, DONE)
    script.end()
    answer = await playing.answer()
    assert answer.headers["x-lmg-tier"] == "cloud:big"
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _ in read_events(playing.bytes)] == ["head", "message", "message", "message"]
    playing.drop()
    await playing.closed
    entry = await both.show(f"/admin/traffic/{head['headers']['X-Request-ID']}")
    assert (entry["client"], entry["tier"], entry["success"]) == ("playground", "cloud:big", True)
    assert upstream.requests[0].get(b"cookie") is None


@pytest_twisted.ensureDeferred
async def test_a_chat_through_a_profile_that_is_whole_is_one_event(start, upstream):
    both = await start()
    body = {"profile": "default", "messages": HELLO["messages"], "stream": False}
    playing = await both.admin.open("/admin/playground", body)
    await playing.answer()
    (_, head), (name, answer) = read_events(playing.bytes)
    assert head["headers"]["X-LMG-Tier"] == "local:fast"
    assert name == "answer"
    assert answer["choices"]
    playing.drop()
    await playing.closed


@pytest_twisted.ensureDeferred
async def test_a_chat_that_fails_first_is_an_ordinary_error(start, upstream):
    both = await start()
    upstream.next(Whole(400, b'{"error":{"message":"too hot"}}'))
    answer = await both.admin.post("/admin/playground", {"tier": "cloud:big", "messages": HELLO["messages"]})
    assert (answer.status, answer.message) == (400, "too hot")


@pytest_twisted.ensureDeferred
async def test_an_operator_who_leaves_ends_the_upstream_too(start, upstream):
    both = await start()
    script = Stream(first=delta("one"))
    upstream.next(script)
    playing = await both.admin.open("/admin/playground", STREAMED)
    await playing.until(b"one")
    playing.drop()
    await script.connection.closed
    assert both.client.last.end_reason == "client_gone"


@pytest_twisted.ensureDeferred
async def test_keys_of_clients_do_not_keep_the_operator_out(start, upstream, tmp_path):
    text = CONFIG + '[[clients]]\nname = "app"\nkey_env = "APP_KEY"\nprofile = "default"\ntiers = ["cloud:big"]\n'
    environ = {"UP_KEY": CANARY, "APP_KEY": "app-key-0123456789"}
    both = await Both.start(tmp_path, text.format(url=upstream.url, gateway=""), environ)
    assert (await both.client.post(CHAT, HELLO)).status == 401
    assert (await both.show("/admin/traffic"))["entries"][0]["fault"] == "policy"
    answer = await both.admin.post("/admin/playground", {**HELLO, "stream": False})
    assert answer.status == 200
    plan = (await both.admin.post("/admin/explain?client=app", HELLO)).json
    assert plan["error"]["status"] == 403
    await both.stop()
