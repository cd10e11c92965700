"""What requests cost, whatever dialects meet: the provider's figures where it gives any, else estimates."""

import json

import pytest
import pytest_twisted
from admin_rig import Both
from fake_answers import INPUT_TOKENS, OUTPUT_TOKENS
from fakes import FakeUpstream, Stream, Whole
from twisted.internet.defer import Deferred

from lmgw.core.usage import Tokens

CONFIG = """
[backends.openai]
base_url = "{url}"
[backends.anthropic]
provider = "anthropic"
base_url = "{url}"
[backends.ollama]
provider = "ollama"
base_url = "{url}"
""" + "".join(
    f'[[tiers]]\nname = "{name}"\nbackend = "{name}"\nmodel = "m"\ninput_price = 3.0\noutput_price = 15.0\n'
    "cache_read_price = 0.3\ncache_write_price = 3.75\n"
    for name in ("openai", "anthropic", "ollama")
)
LADDER = '[profiles.default]\nmode = "escalate"\nclassifier = "openai"\nmax_auto_tier = "anthropic"\n'
CALLERS = {
    "openai": ("/v1/chat/completions", {}),
    "anthropic": ("/v1/messages", {"max_tokens": 50}),
    "ollama": ("/api/chat", {}),
    "responses": ("/v1/responses", {}),
}
MEASURED = Tokens(INPUT_TOKENS, OUTPUT_TOKENS)
DOLLARS = (3 * INPUT_TOKENS + 15 * OUTPUT_TOKENS) / 1e6


@pytest.fixture
def upstream():
    fake = pytest_twisted.blockon(Deferred.fromCoroutine(FakeUpstream.start()))
    yield fake
    pytest_twisted.blockon(Deferred.fromCoroutine(fake.stop()))


@pytest.fixture
def both(tmp_path, upstream, request):
    text = CONFIG.format(url=upstream.url) + getattr(request, "param", "")
    running = pytest_twisted.blockon(Deferred.fromCoroutine(Both.start(tmp_path, text)))
    yield running
    pytest_twisted.blockon(Deferred.fromCoroutine(running.stop()))


def asking(caller, tier, stream):
    path, more = CALLERS[caller]
    said = {"input": "hello"} if caller == "responses" else {"messages": [{"role": "user", "content": "hello"}]}
    return path, {"model": tier, "stream": stream, **said, **more}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("tier", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("caller", CALLERS)
@pytest_twisted.ensureDeferred
async def test_the_providers_figures_reach_the_record(both, caller, tier, stream):
    answer = await both.client.post(*asking(caller, tier, stream))
    assert answer.status == 200
    entry = both.client.last
    assert (entry.tier, entry.stream) == (tier, stream)
    assert entry.tokens == MEASURED
    assert entry.cost_usd == pytest.approx(DOLLARS)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "hello", "model": "openai"}),
        ("/v1/completions", {"prompt": "hello", "model": "openai", "stream": True}),
        ("/api/generate", {"prompt": "hello", "model": "anthropic", "stream": False}),
        ("/api/generate", {"prompt": "hello", "model": "ollama"}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_completions_are_measured_too(both, path, body):
    assert (await both.client.post(path, body)).status == 200
    assert both.client.last.tokens == MEASURED


@pytest.mark.parametrize("tier", ["openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_embeddings_cost_their_input(both, tier):
    assert (await both.client.post("/v1/embeddings", {"model": tier, "input": ["a"]})).status == 200
    assert both.client.last.tokens == Tokens(INPUT_TOKENS)


@pytest.mark.parametrize("tier", ["openai", "anthropic"])
@pytest_twisted.ensureDeferred
async def test_counting_tokens_costs_none(both, tier):
    body = {"model": tier, "messages": [{"role": "user", "content": "hello"}]}
    assert (await both.client.post("/v1/messages/count_tokens", body)).status == 200
    used = both.client.last.tokens
    assert (used.input, used.output, both.client.last.cost_usd) == (0, 0, 0.0)


@pytest_twisted.ensureDeferred
async def test_cached_tokens_are_their_own_kinds_and_have_their_own_prices(both, upstream):
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 1000,
        "output_tokens": 1,
    }
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
               "content": [{"type": "text", "text": "hi"}], "usage": usage}  # fmt: skip
    upstream.next(Whole(200, json.dumps(message).encode()))
    await both.client.post(*asking("openai", "anthropic", stream=False))
    entry = both.client.last
    assert entry.tokens == Tokens(10, 1, 100, 1000)
    assert entry.cost_usd == pytest.approx((3 * 10 + 15 + 0.3 * 100 + 3.75 * 1000) / 1e6)


@pytest_twisted.ensureDeferred
async def test_openais_cached_tokens_are_taken_out_of_its_input(both, upstream):
    usage = {"prompt_tokens": 110, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 100}}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    upstream.next(Whole(200, json.dumps({"id": "c", "choices": [choice], "usage": usage}).encode()))
    await both.client.post(*asking("openai", "openai", stream=False))
    assert both.client.last.tokens == Tokens(10, 1, 100)


@pytest_twisted.ensureDeferred
async def test_without_figures_they_are_estimated(both, upstream):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x" * 35}}
    upstream.next(Whole(200, json.dumps({"id": "c", "choices": [choice]}).encode()))
    await both.client.post(*asking("openai", "openai", stream=False))
    used = both.client.last.tokens
    assert (used.output, used.source) == (10, "estimated")
    assert used.input > 0


@pytest_twisted.ensureDeferred
async def test_what_came_before_the_client_left_is_estimated(both, upstream):
    events = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 9, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 350}},
    ]
    first = b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events)
    script = Stream(first=first)
    upstream.next(script)
    client = await both.client.open(*asking("anthropic", "anthropic", stream=True))
    await client.until(b"xxx")
    client.drop()
    await script.connection.closed
    entry = both.client.last
    assert entry.end_reason == "client_gone"
    assert entry.tokens == Tokens(9, 100, source="estimated")


@pytest.mark.parametrize("both", [LADDER], indirect=True)
@pytest_twisted.ensureDeferred
async def test_an_answer_that_was_not_good_enough_is_paid_for_all_the_same(both, upstream):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "I don't know"}}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    upstream.next(Whole(200, json.dumps({"id": "c", "choices": [choice], "usage": usage}).encode()))
    path, body = asking("openai", None, stream=False)
    await both.client.post(path, body)
    entry = both.client.last
    assert (entry.tier, entry.escalated, entry.tokens) == ("anthropic", True, MEASURED)
    (waste,) = entry.discarded
    assert (waste.tier, waste.tokens) == ("openai", Tokens(1000, 100))
    assert entry.cost_usd == pytest.approx(DOLLARS + (3 * 1000 + 15 * 100) / 1e6)
    rows = {row["tier"]: row for row in (await both.show("/admin/spend"))["today"]}
    assert (rows["openai"]["requests"], rows["openai"]["input"]) == (0, 1000)
    assert (rows["anthropic"]["requests"], rows["anthropic"]["input"]) == (1, INPUT_TOKENS)
    assert rows["anthropic"]["cost_usd"] == pytest.approx(DOLLARS)
