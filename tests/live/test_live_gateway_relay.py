"""The relay over real sockets: what is passed on, when, and what happens when either side stops."""

import json
import tracemalloc
from pathlib import Path

import pytest
import pytest_twisted
from fakes import Authority, Cut, Endless, FakeUpstream, Silence, Stream, Whole
from gateway_rig import ENVIRON, ONE_TIER, Gateway
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

import lmgw

CHAT = "/v1/chat/completions"
HELLO = {"model": "local:fast", "messages": [{"role": "user", "content": "hello"}]}
STREAMED = {**HELLO, "stream": True}


def event(**choice: object) -> bytes:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "real-model"}
    return b"data: " + json.dumps({**chunk, "choices": [{"index": 0, **choice}]}).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event(delta={"content": text})


ROLE = event(delta={"role": "assistant", "content": ""})
STOP = event(delta={}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def upstream():
    fake = pytest_twisted.blockon(Deferred.fromCoroutine(FakeUpstream.start()))
    yield fake
    pytest_twisted.blockon(Deferred.fromCoroutine(fake.stop()))


@pytest.fixture
def gateway(tmp_path, upstream):
    running = pytest_twisted.blockon(Deferred.fromCoroutine(Gateway.start(tmp_path, ONE_TIER.format(url=upstream.url))))
    yield running
    pytest_twisted.blockon(Deferred.fromCoroutine(running.stop()))


@pytest_twisted.ensureDeferred
async def test_only_the_model_changes_on_the_way_out(gateway, upstream):
    body = (
        b'{"x_unknown": 1.50e2,  "model":"hint:fast",'
        b'"messages":[{"role":"user","content":"hi"}],"seed":10000000000000000000000}'
    )
    answer = await gateway.post(CHAT, body)
    assert answer.status == 200
    assert upstream.requests[0].body == body.replace(b'"hint:fast"', b'"real-model"')
    assert upstream.requests[0].path == b"/v1/chat/completions"


@pytest_twisted.ensureDeferred
async def test_the_answers_bytes_come_back_as_they_were(gateway, upstream):
    message = b'{"role":"assistant","content":"h\\u00e9"}'
    sent = b'{ "id":"x", "choices":[{"index":0,"message":%b,"finish_reason":"stop"}],"odd":1.0 }' % message
    upstream.next(
        Whole(200, sent, headers=(("X-Request-Id", "up-1"), ("Set-Cookie", "a=b"), ("X-RateLimit-Limit-Requests", "9")))
    )
    answer = await gateway.post(CHAT, HELLO)
    assert answer.body == sent
    assert answer.headers["x-upstream-request-id"] == "up-1"
    assert answer.headers["x-ratelimit-limit-requests"] == "9"
    assert "set-cookie" not in answer.headers
    for name, value in (("tier", "local:fast"), ("model", "real-model"), ("backend", "up"), ("profile", "default")):
        assert answer.headers[f"x-lmg-{name}"] == value
    assert float(answer.headers["x-lmg-overhead-ms"]) < 1000


@pytest_twisted.ensureDeferred
async def test_the_callers_headers_stay_here_and_the_gateways_key_goes_out(gateway, upstream):
    headers = {"Authorization": "Bearer sk-mine", "x-api-key": "sk-mine", "Cookie": "a=b", "OpenAI-Organization": "o"}
    await gateway.post(CHAT, HELLO, {**headers, "traceparent": "00-1-2-01", "X-Request-ID": "my-id"})
    request = upstream.requests[0]
    names = {name.lower() for name, _ in request.headers}
    assert names == {
        b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"content-length", b"authorization",
        b"x-request-id", b"traceparent",
    }  # fmt: skip
    assert request.get(b"authorization") == b"Bearer " + ENVIRON["UP_KEY"].encode()
    assert request.get(b"x-request-id") == b"my-id"


@pytest_twisted.ensureDeferred
async def test_each_upstream_read_is_relayed_at_once(gateway, upstream):
    script = Stream()
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await script.begun
    script.send(ROLE, delta("one"))
    assert b"one" in await client.until(b"one")
    script.send(delta("two"))
    assert b"two" in await client.until(b"two")
    script.send(STOP, DONE)
    script.end()
    answer = await client.answer()
    assert answer.complete
    assert answer.body == ROLE + delta("one") + delta("two") + STOP + DONE
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    client.drop()
    await client.closed


@pytest_twisted.ensureDeferred
async def test_lifecycle_events_are_held_until_content_comes(gateway, upstream):
    script = Stream(first=ROLE)
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    connection = await script.begun
    script.close()
    await connection.closed
    answer = await client.answer()
    assert answer.status == 502
    assert "closed the connection" in answer.message
    client.drop()


@pytest_twisted.ensureDeferred
async def test_a_stream_that_breaks_after_content_ends_with_an_error_event_and_a_broken_connection(gateway, upstream):
    script = Stream(first=ROLE + delta("half"))
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await client.until(b"half")
    script.reset()
    await client.closed
    answer = await client.answer()
    assert not answer.complete
    assert b"half" in answer.body
    assert b'data: {"error":' in answer.body
    assert DONE not in answer.body
    assert gateway.last.end_reason == "upstream_error"
    assert gateway.last.success is False


@pytest_twisted.ensureDeferred
async def test_an_error_event_after_content_reaches_the_client_in_its_dialect(gateway, upstream):
    script = Stream(first=ROLE + delta("half"))
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await client.until(b"half")
    script.send(b'data: {"error":{"message":"boom","type":"server_error"}}\n\n')
    await client.closed
    answer = await client.answer()
    assert b"boom" in answer.body
    assert not answer.complete


async def _gone_within_100_ms(gateway, upstream):
    script = Stream(first=ROLE + delta("x"))
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await client.until(b'"x"')
    connection = await script.begun
    left_at = reactor.seconds()
    client.drop()
    await connection.closed
    assert connection.closed_at - left_at < 0.1
    assert gateway.last.end_reason == "client_gone"
    assert gateway.last.success


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_away_closes_the_upstream_within_100_ms(gateway, upstream):
    await _gone_within_100_ms(gateway, upstream)


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_away_closes_a_tls_upstream_within_100_ms(tmp_path):
    authority = Authority(tmp_path)
    upstream = await FakeUpstream.start(tls=authority.server("localhost"))
    text = ONE_TIER.replace("[[tiers]]", f'ca_file = "{authority.ca_file}"\n[[tiers]]', 1).format(url=upstream.url)
    gateway = await Gateway.start(tmp_path, text)
    await _gone_within_100_ms(gateway, upstream)
    await gateway.stop()
    await upstream.stop()


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_away_before_the_answer_closes_the_upstream_too(gateway, upstream):
    upstream.next(Silence())
    client = await gateway.open(CHAT, HELLO)
    await upstream.asked()
    client.drop()
    await upstream.connections[0].closed
    assert gateway.last.status == 499


@pytest_twisted.ensureDeferred
async def test_while_the_provider_thinks_a_body_is_held_once(gateway, upstream):
    """As it came, for another tier; not also as it was sent."""
    body = json.dumps({**HELLO, "messages": [{"role": "user", "content": "x" * 2_000_000}]}).encode()
    upstream.next(Silence())
    tracemalloc.start()
    try:
        client = await gateway.open(CHAT, body)
        await upstream.asked()
        held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, f"{Path(lmgw.__file__).parent}/*")])
    finally:
        tracemalloc.stop()
    client.drop()
    await upstream.connections[0].closed
    assert sum(trace.size for trace in held.traces) < 1.2 * len(body)


@pytest_twisted.ensureDeferred
async def test_a_client_that_stops_reading_stops_the_upstream(gateway, upstream):
    script = Endless(ROLE + delta("x" * 900))
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    client.transport.setTcpNoDelay(True)
    await client.until(b"xxx")
    client.pause()
    connection = await script.begun
    before = -1
    while not connection.paused or connection.sent != before:
        before = connection.sent
        await _turns(50)
    assert connection.sent < 40_000_000  # what both kernels' buffers hold, no more
    client.resume()
    while connection.sent == before:
        await _turns(5)
    client.drop()
    await connection.closed


async def _turns(count: int) -> None:
    """Let the reactor go round; no time is waited for."""
    for _ in range(count):
        await deferLater(reactor, 0)


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read_for_too_long_is_cut_and_gives_everything_back(tmp_path, upstream):
    gateway = await Gateway.start(
        tmp_path, "[gateway]\nclient_write_timeout_ms = 100\n" + ONE_TIER.format(url=upstream.url)
    )
    script = Endless(ROLE + delta("x" * 900))
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await client.until(b"xxx")
    client.pause()
    connection = await script.begun
    await connection.closed
    assert gateway.engine.in_flight == 0
    client.drop()
    await gateway.stop()


@pytest_twisted.ensureDeferred
async def test_usage_that_only_the_gateway_asked_for_is_not_in_the_stream_but_in_the_record(gateway, upstream):
    usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    script = Stream(first=ROLE + delta("x") + STOP + usage + DONE)
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await script.begun
    script.end()
    assert (await client.answer()).complete
    assert json.loads(upstream.requests[0].body)["stream_options"] == {"include_usage": True}
    assert b"usage" not in client.bytes
    client.drop()
    await client.closed
    assert (gateway.last.tokens.input, gateway.last.tokens.output) == (7, 3)


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        (Cut(), 502, "closed"),
        (Cut(reset=True), 502, "broke"),
        (Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), 502, ""),
        (Cut(b"not http at all\r\n\r\n"), 502, ""),
        (Whole(200, b""), 502, ""),
        (Whole(200, b"<html>busy</html>", content_type="text/html"), 502, ""),
        (Whole(200, b'{"error":{"message":"inside","type":"server_error"}}'), 500, "inside"),
        (
            Whole(400, b'{"error":{"message":"no such field","type":"invalid_request_error","code":"c","param":"p"}}'),
            400,
            "no such field",
        ),
        (Whole(429, b'{"error":{"message":"slow down"}}', headers=(("Retry-After", "7"),)), 429, "slow down"),
        (Whole(500, b"<html>oops</html>", content_type="text/html"), 500, "oops"),
        (Whole(401, b'{"error":{"message":"bad key sk-abc"}}'), 502, "refused the gateway's key"),
        (Whole(302, b"", headers=(("Location", "http://elsewhere/"),)), 502, ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_every_failure_has_words_and_a_status(gateway, upstream, script, status, words):
    for body in (HELLO, STREAMED):
        upstream.next(script)
        answer = await gateway.post(CHAT, body)
        assert answer.status == status, answer
        assert words in answer.message
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"]
        if status == 429:
            assert answer.headers["retry-after"] == "7"
        gateway.engine.circuits.backend("up").succeeded()
        gateway.engine.adopt(gateway.engine.current)


@pytest_twisted.ensureDeferred
async def test_a_request_whose_time_is_used_up_gets_a_504(tmp_path, upstream):
    gateway = await Gateway.start(tmp_path, "[gateway]\nrequest_timeout_ms = 80\n" + ONE_TIER.format(url=upstream.url))
    upstream.next(Silence(), Stream(first=ROLE))
    for body in (HELLO, STREAMED):
        answer = await gateway.post(CHAT, body)
        assert answer.status == 504
        assert gateway.last.end_reason == "timeout"
    await gateway.stop()


@pytest_twisted.ensureDeferred
async def test_a_long_stream_outlives_the_limit_for_its_first_content(tmp_path, upstream):
    gateway = await Gateway.start(tmp_path, "[gateway]\nrequest_timeout_ms = 80\n" + ONE_TIER.format(url=upstream.url))
    script = Stream(first=ROLE + delta("x"))
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await client.until(b'"x"')
    started = reactor.seconds()
    while reactor.seconds() - started < 0.2:
        await _turns(10)
    script.send(STOP, DONE)
    script.end()
    assert (await client.answer()).complete
    client.drop()
    await client.closed
    await gateway.stop()


@pytest_twisted.ensureDeferred
async def test_a_silent_stream_is_begun_early_and_kept_alive(tmp_path, upstream):
    text = "[gateway]\nearly_begin_ms = 40\nkeepalive_ms = 40\n" + ONE_TIER.format(url=upstream.url)
    gateway = await Gateway.start(tmp_path, text)
    script = Stream()
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await client.until(b": keep-alive\n")
    assert b"200" in client.bytes
    assert b"X-LMG-Profile: default" in client.bytes
    assert b"X-LMG-Tier" not in client.bytes
    await script.begun
    script.send(ROLE, delta("late"), STOP, DONE)
    script.end()
    answer = await client.answer()
    assert answer.complete
    assert b"late" in answer.body
    client.drop()
    await client.closed
    await gateway.stop()


@pytest_twisted.ensureDeferred
async def test_a_failure_after_an_early_beginning_is_an_error_event(tmp_path, upstream):
    text = "[gateway]\nearly_begin_ms = 40\n" + ONE_TIER.format(url=upstream.url)
    gateway = await Gateway.start(tmp_path, text)
    script = Stream()
    upstream.next(script)
    client = await gateway.open(CHAT, STREAMED)
    await client.until(b"X-LMG-Profile")
    script.close()
    await client.closed
    assert b'data: {"error":' in client.bytes
    assert not (await client.answer()).complete
    await gateway.stop()


@pytest_twisted.ensureDeferred
async def test_a_kept_connection_that_turns_out_to_be_closed_costs_the_client_nothing(gateway, upstream):
    assert (await gateway.post(CHAT, HELLO)).status == 200
    upstream.next(Cut(reset=True))
    answer = await gateway.post(CHAT, HELLO)
    assert answer.status == 200
    assert "x-lmg-attempts" not in answer.headers
    assert len(upstream.requests) == 3
    assert upstream.connections[0].closed_at is not None
    assert len(upstream.connections) == 2


@pytest.mark.parametrize(("words", "status"), [(150, 200), (9000, 400)])
@pytest_twisted.ensureDeferred
async def test_a_completions_prompt_is_measured_like_any_other(tmp_path, upstream, words, status):
    text = ONE_TIER.replace('model = "real-model"', 'model = "real-model"\nmax_context_tokens = 1000', 1)
    gateway = await Gateway.start(tmp_path, text.format(url=upstream.url))
    body = {"model": "local:fast", "prompt": "lorem ipsum " * (words // 2), "max_tokens": 5}
    answer = await gateway.post("/v1/completions", body)
    assert answer.status == status, answer
    if status == 400:
        assert "prompt is too long" in answer.message
    await gateway.stop()
