"""The official anthropic package against a live gateway: what its users and Claude Code do besides chatting."""

import base64
import json

import anthropic
import pytest
import pytest_twisted
from canary import CANARY
from fake_model import TEXT
from fakes import Whole
from rules_anthropic import signature
from sdk_callers import CLIENT_KEY, PICTURE
from sdk_rig import broken_off, in_thread, sdk_bench

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "look", "description": "Look", "input_schema": {"type": "object", "properties": {}}}
#: Two small turns, a tool and a picture: about forty tokens and what a picture costs.
LONG = {
    "system": "You are brief.",
    "tools": [TOOL],
    "messages": [
        {"role": "user", "content": "one two three four five six seven eight nine ten"},
        {"role": "assistant", "content": "Yes."},
        *HELLO,
    ],
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
        yield bench


@pytest.fixture
def client(bench):
    return bench.callers["anthropic"].client


def ask(client, tier="anthropic", **options):
    return in_thread(lambda: client.messages.create(**{"model": tier, "messages": HELLO, "max_tokens": 100, **options}))


# --- who asks ------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_models_are_listed_and_retrieved(client):
    models = await in_thread(lambda: list(client.models.list()))
    assert {"default", "openai", "anthropic", "ollama"} <= {model.id for model in models}
    assert all(model.type == "model" and model.created_at.year > 2000 for model in models)
    pages = await in_thread(lambda: list(client.models.list(limit=2).iter_pages()))
    assert [model.id for page in pages for model in page.data] == [model.id for model in models]
    assert {len(page.data) for page in pages[:-1]} == {2}
    with pytest.raises(anthropic.BadRequestError, match="names no model"):
        await in_thread(lambda: client.models.list(after_id="no-such-model"))
    model = await in_thread(client.models.retrieve, "ollama")
    assert (model.id, model.display_name) == ("ollama", "ollama")
    with pytest.raises(anthropic.NotFoundError):
        await in_thread(client.models.retrieve, "no-such-model")


@pytest_twisted.ensureDeferred
async def test_the_key_comes_as_bearer_or_as_x_api_key(bench, client):
    body = {"model": "openai", "messages": HELLO, "max_tokens": 5}
    for headers in ({"x-api-key": CLIENT_KEY}, {"Authorization": f"Bearer {CLIENT_KEY}"}):
        for path, asked in (("/v1/messages", body), ("/v1/messages/count_tokens", body)):
            assert (await bench.gateway.post(path, asked, headers)).status == 200
        assert (await bench.gateway.get("/v1/models", {**headers, "anthropic-version": "2023-06-01"})).status == 200
    with pytest.raises(anthropic.AuthenticationError) as caught:
        await ask(client.with_options(api_key="sk-wrong"))
    assert caught.value.body["error"]["type"] == "authentication_error"


@pytest_twisted.ensureDeferred
async def test_the_requests_id_is_found_under_anthropics_name(bench, client):
    message = await ask(client, "openai")
    assert message._request_id == bench.gateway.last.id
    with pytest.raises(anthropic.NotFoundError) as caught:
        await ask(client, "no-such-model")
    assert caught.value.request_id == caught.value.body["request_id"] == bench.gateway.last.id
    assert caught.value.body["error"]["type"] == "not_found_error"


# --- counting ------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_anthropic_counts_itself_and_is_asked_with_only_the_model_changed(bench, client):
    counted = await in_thread(lambda: client.messages.count_tokens(model="anthropic", **LONG))
    assert counted.input_tokens == 11
    sent = bench.upstream.requests[-1]
    assert sent.path == b"/v1/messages/count_tokens"
    assert bench.sent == {"model": "claude-sonnet-4-5", **LONG}
    headers = {name.lower(): value for name, value in sent.headers}
    assert headers[b"x-api-key"] == CANARY.encode()
    assert headers[b"anthropic-version"] == client.default_headers["anthropic-version"].encode()
    assert b"authorization" not in headers
    entry = bench.gateway.last
    assert (entry.success, entry.tokens.input, entry.tokens.output) == (True, 0, 0)


@pytest.mark.parametrize("tier", ["openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_for_others_the_gateway_estimates_and_asks_nobody(bench, client, tier):
    def count(**options):
        return client.messages.count_tokens(**{"model": tier, **LONG, **options}).input_tokens

    before = len(bench.upstream.requests)
    counted = await in_thread(count)
    assert 30 < counted < 90
    words = [{"role": "user", "content": "word " * 100_000}]
    assert 90_000 < await in_thread(count, messages=words) < 200_000
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PICTURE).decode()}
    picture = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    assert await in_thread(count, messages=[*HELLO, {"role": "assistant", "content": "Yes."}, *picture]) > 1500
    assert len(bench.upstream.requests) == before
    entry = bench.gateway.last
    assert (entry.success, entry.tier, entry.tokens.input) == (True, tier, 0)


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_counted_is_said_in_words(bench, client):
    with pytest.raises(anthropic.BadRequestError, match="must not be empty"):
        await in_thread(lambda: client.messages.count_tokens(model="openai", messages=[]))
    odd = [{"role": "user", "content": [{"type": "hologram"}]}]
    with pytest.raises(anthropic.BadRequestError, match="hologram"):
        await in_thread(lambda: client.messages.count_tokens(model="openai", messages=odd))
    bench.upstream.next(Whole(200, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        await in_thread(lambda: client.messages.count_tokens(model="anthropic", messages=HELLO))
    bench.upstream.next(Whole(200, b'{"count":"many"}'))
    with pytest.raises(anthropic.InternalServerError, match="no count of tokens"):
        await in_thread(lambda: client.messages.count_tokens(model="anthropic", messages=HELLO))


# --- passing through -----------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_what_anthropic_alone_knows_passes_to_anthropic_untouched(bench, client):
    cached = {"type": "text", "text": "You are brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": signature("Hm.")}
    asked = {
        "system": [cached],
        "messages": [
            *HELLO,
            {"role": "assistant", "content": [thought, {"type": "redacted_thinking", "data": "xyz"}, cached]},
            *HELLO,
        ],
        "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "metadata": {"user_id": "u" * 150},
        "service_tier": "auto",
    }
    raw = await in_thread(
        lambda: client.beta.messages.with_raw_response.create(
            model="anthropic", max_tokens=100, betas=["context-1m-2025-08-07", "x"], **asked
        )
    )
    assert raw.parse().content[0].text == TEXT
    assert "x-lmg-lossy" not in raw.headers
    assert bench.sent == {"model": "claude-sonnet-4-5", "max_tokens": 100, **asked}
    sent = bench.upstream.requests[-1]
    assert sent.get(b"anthropic-beta") == b"context-1m-2025-08-07,x"
    assert sent.get(b"anthropic-version") == client.default_headers["anthropic-version"].encode()


@pytest_twisted.ensureDeferred
async def test_rate_limits_pass_back_in_anthropics_dialect_only(bench, client):
    answer = {"type": "message", "id": "m", "role": "assistant", "model": "m", "content": [], "stop_reason": "end_turn"}
    body = json.dumps({**answer, "usage": {"input_tokens": 1, "output_tokens": 1}}).encode()
    limits = (("anthropic-ratelimit-requests-remaining", "7"), ("request-id", "req_up"))
    headers = {}
    for name in ("anthropic", "openai"):
        bench.upstream.next(Whole(200, body, headers=limits))
        caller = bench.callers[name].client
        create = caller.messages if name == "anthropic" else caller.chat.completions
        raw = await in_thread(create.with_raw_response.create, model="anthropic", messages=HELLO, max_tokens=5)
        headers[name] = raw.headers
    assert headers["anthropic"]["anthropic-ratelimit-requests-remaining"] == "7"
    assert "anthropic-ratelimit-requests-remaining" not in headers["openai"]
    assert headers["openai"]["x-upstream-request-id"] == headers["anthropic"]["x-upstream-request-id"] == "req_up"


@pytest.mark.parametrize("tier", ["anthropic", "openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_claude_code_talks_to_any_model(bench, client, tier):
    """It sends a long user id, cached blocks, betas, and fields that only Anthropic knows, and counts first."""
    cache = {"type": "ephemeral"}
    prompt = [{"type": "text", "text": "You are Claude Code.", "cache_control": cache}]
    reminder = {"type": "text", "text": "<system-reminder>Be careful.</system-reminder>"}
    question = {"type": "text", "text": "Please use the tool.", "cache_control": cache}
    asked = {
        "model": tier,
        "system": prompt,
        "messages": [{"role": "user", "content": [reminder, question]}],
        "tools": [TOOL, {**TOOL, "name": "edit", "cache_control": cache}],
        "betas": ["claude-code-20250219", "interleaved-thinking-2025-05-14"],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    only = {"max_tokens": 4000, "metadata": {"user_id": "user_" + "0" * 64 + "_account__session_" + "1" * 36}}

    def stream():
        with client.beta.messages.stream(**asked, **only, extra_body={"context_management": {"edits": []}}) as stream:
            return stream.get_final_message(), stream.response.headers

    counted = await in_thread(lambda: client.beta.messages.count_tokens(**asked))
    assert counted.input_tokens > 0
    message, headers = await in_thread(stream)
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    assert message.stop_reason == "tool_use"
    assert headers.get("x-lmg-lossy") == (None if tier == "anthropic" else "context_management")
    betas = b",".join(beta.encode() for beta in asked["betas"])
    assert bench.upstream.requests[-1].get(b"anthropic-beta") == (betas if tier == "anthropic" else None)


# --- to others -----------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_blocks_of_all_kinds_reach_openai(bench, client):
    picture = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PICTURE).decode()}
    asked = {
        "system": [
            {"type": "text", "text": "One."},
            {"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Please use the tool.", "cache_control": {"type": "ephemeral"}}],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_" + "x" * 50, "name": "look", "input": {}}],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_" + "x" * 50,
                        "content": [{"type": "text", "text": "a cat"}, {"type": "image", "source": picture}],
                    },
                    {"type": "text", "text": "What now?"},
                ],
            },
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "auto"},
    }
    message = await ask(client, "openai", **asked)
    assert message.content[0].text == "look({}) = a cat"
    roles = [turn["role"] for turn in bench.sent["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert bench.sent["messages"][4]["content"][0]["type"] == "image_url"


@pytest.mark.parametrize(
    ("tier", "options", "named"),
    [
        ("openai", {"metadata": {"user_id": "u" * 150}, "service_tier": "auto"}, None),
        ("openai", {"extra_body": {"top_k": 5}}, "top_k"),
        ("openai", {"stop_sequences": list("abcde")}, "stop_sequences"),
        ("openai", {"extra_body": {"context_management": {"edits": []}}}, "context_management"),
        ("ollama", {"extra_body": {"top_k": 5}}, None),
        ("ollama", {"tools": [TOOL], "tool_choice": {"type": "any"}}, "tool_choice"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_carried_over_is_named(client, tier, options, named):
    raw = await in_thread(
        lambda: client.messages.with_raw_response.create(model=tier, messages=HELLO, max_tokens=100, **options)
    )
    assert raw.headers.get("x-lmg-lossy") == named


@pytest.mark.parametrize("tier", ["openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_tools_that_run_at_anthropic_are_refused_elsewhere(bench, client, tier):
    before = len(bench.upstream.requests)
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        await ask(client, tier, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert len(bench.upstream.requests) == before


@pytest_twisted.ensureDeferred
async def test_a_picture_by_url_is_refused_where_nobody_fetches_it(client):
    source = {"type": "url", "url": "https://example.org/cat.png"}
    messages = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    with pytest.raises(anthropic.BadRequestError, match="image"):
        await ask(client, "ollama", messages=messages)
    await ask(client, "openai", messages=messages)


@pytest.mark.parametrize("error", [True, False])
@pytest.mark.parametrize("tier", ["anthropic", "openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_a_stream_that_breaks_off_raises(bench, client, tier, error):
    bench.upstream.next(broken_off(tier, error=error))
    seen = []

    def read():
        with client.messages.stream(model=tier, messages=HELLO, max_tokens=5) as stream:
            seen.extend(stream.text_stream)

    with pytest.raises(anthropic.APIStatusError, match="boom" if error else "closed the connection"):
        await in_thread(read)
    assert seen == ["half"]
