"""The official openai package against a live gateway: what its users do besides chatting."""

import openai
import pytest
import pytest_twisted
from fake_model import TEXT
from fakes import Cut, Silence, Whole
from sdk_callers import CLIENT_KEY
from sdk_rig import broken_off, in_thread, sdk_bench

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
        yield bench


@pytest.fixture
def client(bench):
    return bench.callers["openai"].client


@pytest_twisted.ensureDeferred
async def test_models_are_listed_and_retrieved(bench, client):
    models = await in_thread(lambda: list(client.models.list()))
    assert {"default", "openai", "anthropic", "ollama"} <= {model.id for model in models}
    assert all(model.object == "model" and isinstance(model.created, int) for model in models)
    model = await in_thread(client.models.retrieve, "anthropic")
    assert (model.id, model.owned_by) == ("anthropic", "anthropic")
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        await in_thread(client.models.retrieve, "no-such-model")


@pytest_twisted.ensureDeferred
async def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        await in_thread(client.chat.completions.create, model="no-such-model", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


@pytest_twisted.ensureDeferred
async def test_a_wrong_key_is_an_authentication_error_in_openais_words(bench, client):
    other = client.with_options(api_key="sk-wrong")
    for call in (other.models.list, lambda: other.chat.completions.create(model="openai", messages=HELLO)):
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as caught:
            await in_thread(call)
        assert caught.value.code == "invalid_api_key"


@pytest_twisted.ensureDeferred
async def test_a_client_that_gives_up_frees_the_provider(bench, client):
    bench.upstream.next(Silence())
    with pytest.raises(openai.APITimeoutError):
        await in_thread(client.with_options(timeout=0.1).chat.completions.create, model="openai", messages=HELLO)
    await bench.upstream.connections[-1].closed
    assert bench.gateway.last.status == 499


@pytest_twisted.ensureDeferred
async def test_usage_comes_last_and_only_when_asked_for(bench, client):
    def stream(**options):
        return list(client.chat.completions.create(model="anthropic", messages=HELLO, stream=True, **options))

    chunks = await in_thread(stream)
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)
    chunks = await in_thread(stream, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 16


@pytest.mark.parametrize("tier", ["openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_embeddings_come_as_base64_unless_floats_are_asked_for(bench, client, tier):
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        answer = await in_thread(client.embeddings.create, model=tier, input=["a", "b"], **options)
        assert [item.index for item in answer.data] == [0, 1]
        assert answer.usage.prompt_tokens == 11
        if options.get("encoding_format") != "base64":
            assert [item.embedding for item in answer.data] == [[0.5, -0.5, 0.25], [0.5, -0.5, 1.25]]
        else:
            assert isinstance(answer.data[0].embedding, str)
    answer = await in_thread(client.embeddings.create, model=tier, input="a", dimensions=2)
    assert answer.data[0].embedding == [0.5, -0.5]


@pytest_twisted.ensureDeferred
async def test_embeddings_of_a_provider_that_has_none_are_refused_in_words(client):
    with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
        await in_thread(client.embeddings.create, model="anthropic", input="a")
    with pytest.raises(openai.NotFoundError):
        await in_thread(client.embeddings.create, model="no-such-model", input="a")


@pytest.mark.parametrize("tier", ["openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_completions_pass_through(bench, client, tier):
    answer = await in_thread(client.completions.create, model=tier, prompt="Say hello", max_tokens=5)
    assert answer.choices[0].text == TEXT
    assert bench.upstream.requests[-1].path == b"/v1/completions"

    def stream():
        return list(client.completions.create(model=tier, prompt="Say hello", stream=True))

    chunks = await in_thread(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest_twisted.ensureDeferred
async def test_completions_of_a_provider_that_has_none_are_refused_in_words(client):
    with pytest.raises(openai.BadRequestError, match="no completions"):
        await in_thread(client.completions.create, model="anthropic", prompt="Say hello")


@pytest.mark.parametrize("tier", ["anthropic", "ollama"])
@pytest_twisted.ensureDeferred
async def test_several_answers_at_once_are_refused_where_there_can_be_only_one(bench, client, tier):
    before = len(bench.upstream.requests)
    with pytest.raises(openai.BadRequestError, match="n must be 1") as caught:
        await in_thread(client.chat.completions.create, model=tier, messages=HELLO, n=2)
    assert caught.value.param == "n"
    assert len(bench.upstream.requests) == before


@pytest_twisted.ensureDeferred
async def test_a_picture_by_url_goes_where_the_provider_can_fetch_it(bench, client):
    parts = [{"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}]
    for tier in ("openai", "anthropic"):
        await in_thread(client.chat.completions.create, model=tier, messages=messages)
        assert b"https://example.org/cat.png" in bench.upstream.requests[-1].body
        assert [part["type"] for part in bench.sent["messages"][0]["content"]][1] == "text"
    with pytest.raises(openai.BadRequestError, match="image"):
        await in_thread(client.chat.completions.create, model="ollama", messages=messages)


async def lossy(client, tier, **options):
    raw = await in_thread(client.chat.completions.with_raw_response.create, model=tier, messages=HELLO, **options)
    return raw.headers.get("x-lmg-lossy")


@pytest.mark.parametrize(
    ("tier", "options", "named"),
    [
        ("openai", {"seed": 1, "logprobs": True, "top_logprobs": 2}, None),
        ("anthropic", {"temperature": 0.5, "stop": ["a"], "user": "u-1", "store": True}, None),
        ("anthropic", {"seed": 1}, "seed"),
        ("anthropic", {"logit_bias": {"1": 2}, "frequency_penalty": 0.5}, "logit_bias, frequency_penalty"),
        ("anthropic", {"temperature": 1.5, "top_p": 0.5}, "top_p, temperature"),
        ("anthropic", {"user": "me@example.org"}, "user"),
        ("adaptive", {"temperature": 0.5}, "temperature"),
        ("ollama", {"seed": 1, "temperature": 0.5, "presence_penalty": 1}, None),
        ("anthropic", {"reasoning_effort": "high", "max_tokens": 500}, "reasoning_effort"),
        ("ollama", {"logprobs": True}, "logprobs"),
        ("ollama", {"verbosity": "low", "modalities": ["text"]}, "verbosity"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_carried_over_is_named(client, tier, options, named):
    assert await lossy(client, tier, **options) == named


@pytest_twisted.ensureDeferred
async def test_a_choice_that_ollama_cannot_be_held_to_is_named(bench, client):
    function = {"name": "look", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    assert await lossy(client, "ollama", tools=tools, tool_choice="required") == "tool_choice"
    assert await lossy(client, "ollama", tools=tools, tool_choice="none") is None
    assert "tools" not in bench.sent


@pytest_twisted.ensureDeferred
async def test_results_in_any_order_reach_their_calls(bench, client):
    """OpenAI and Anthropic pair by id, Ollama by order."""
    calls = [
        {"id": f"call_{city}", "type": "function", "function": {"name": "look", "arguments": f'{{"city": "{city}"}}'}}
        for city in ("Oslo", "Rome")
    ]
    results = [{"role": "tool", "tool_call_id": f"call_{city}", "content": city.upper()} for city in ("Rome", "Oslo")]
    messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    for tier in ("openai", "anthropic", "ollama"):
        answer = await in_thread(client.chat.completions.create, model=tier, messages=messages)
        said = set(answer.choices[0].message.content.split("; "))
        assert said == {'look({"city": "Oslo"}) = OSLO', 'look({"city": "Rome"}) = ROME'}


@pytest_twisted.ensureDeferred
async def test_names_and_ids_that_a_provider_does_not_take_come_back_as_they_were(bench, client):
    long = "look_at_the_weather_of_a_place_that_the_user_names_" * 2
    tools = [{"type": "function", "function": {"name": long, "parameters": {"type": "object", "properties": {}}}}]
    messages = [{"role": "user", "content": "Please use the tool."}]
    for tier in ("anthropic", "ollama"):
        answer = await in_thread(client.chat.completions.create, model=tier, messages=messages, tools=tools)
        (call,) = answer.choices[0].message.tool_calls
        assert call.function.name == long
        odd = {"id": "call:1/é", "type": "function", "function": {"name": long, "arguments": "{}"}}
        turn = {"role": "assistant", "content": None, "tool_calls": [odd]}
        result = {"role": "tool", "tool_call_id": odd["id"], "content": "rain"}
        answer = await in_thread(
            client.chat.completions.create, model=tier, messages=[*messages, turn, result], tools=tools
        )
        assert answer.choices[0].message.content.endswith("({}) = rain")


@pytest_twisted.ensureDeferred
async def test_a_refused_key_of_the_gateways_is_not_retried_by_the_sdk(bench, client):
    bench.upstream.next(Whole(401, b'{"error":{"message":"Incorrect API key provided: sk-up"}}'))
    before = len(bench.upstream.requests)
    with pytest.raises(openai.InternalServerError, match="refused the gateway's key") as caught:
        await in_thread(client.with_options(max_retries=2).chat.completions.create, model="openai", messages=HELLO)
    assert caught.value.status_code == 502
    assert len(bench.upstream.requests) == before + 1


@pytest_twisted.ensureDeferred
async def test_the_sdk_waits_as_the_provider_asks(bench, client, monkeypatch):
    busy = Whole(429, b'{"error":{"message":"slow down"}}', headers=(("retry-after-ms", "1"),))
    bench.upstream.next(busy)
    waited = []
    monkeypatch.setattr("openai._base_client.time.sleep", waited.append)
    answer = await in_thread(
        client.with_options(max_retries=1).chat.completions.create, model="anthropic", messages=HELLO
    )
    assert answer.choices[0].message.content == TEXT
    assert waited == [0.001], "the SDK would have waited for its own time, half a second"


@pytest.mark.parametrize("error", [True, False])
@pytest.mark.parametrize("tier", ["openai", "anthropic", "ollama"])
@pytest_twisted.ensureDeferred
async def test_a_stream_that_breaks_off_raises(bench, client, tier, error):
    bench.upstream.next(broken_off(tier, error=error))
    seen = []

    def read():
        chunks = client.chat.completions.create(model=tier, messages=HELLO, stream=True)
        seen.extend(chunk.choices[0].delta.content for chunk in chunks)

    with pytest.raises(openai.APIError, match="boom" if error else "closed the connection"):
        await in_thread(read)
    assert "".join(seen) == "half"


@pytest_twisted.ensureDeferred
async def test_a_provider_that_cannot_be_reached_is_a_bad_gateway(bench, client):
    with bench.answering(Cut()), pytest.raises(openai.InternalServerError) as caught:
        await in_thread(client.chat.completions.create, model="ollama", messages=HELLO)
    assert caught.value.status_code == 502
    assert caught.value.request_id.startswith("req_")


@pytest_twisted.ensureDeferred
async def test_the_answers_headers_say_where_it_came_from(client):
    raw = await in_thread(client.chat.completions.with_raw_response.create, model="anthropic", messages=HELLO)
    told = {name: raw.headers[f"x-lmg-{name}"] for name in ("tier", "model", "backend", "profile")}
    assert told == {
        "tier": "anthropic",
        "model": "claude-sonnet-4-5",
        "backend": "anthropic",
        "profile": "default",
    }
    assert raw.parse()._request_id == raw.headers["x-request-id"]
    assert CLIENT_KEY not in str(raw.headers)
