"""The official ollama package against a live gateway, and the habits of Home Assistant, which is built on it."""

import json

import ollama
import pytest
import pytest_twisted
from fake_model import TEXT
from fakes import Whole
from sdk_callers import CLIENT_KEY, PICTURE
from sdk_rig import broken_off, in_thread, sdk_bench

HELLO = [{"role": "user", "content": "Hello"}]
KEY = {"Authorization": f"Bearer {CLIENT_KEY}"}
TIERS = ("openai", "anthropic", "ollama")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
        yield bench


@pytest.fixture
def client(bench):
    return bench.callers["ollama"].client


# --- what there is -------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_profiles_are_listed_running_and_shown(client):
    (model,) = (await in_thread(client.list)).models
    assert model.model == "default:latest"
    assert model.modified_at.year > 2000
    (running,) = (await in_thread(client.ps)).models
    assert (running.model, running.name) == ("default:latest", "default:latest")
    assert running.expires_at.year > 2300
    shown = await in_thread(client.show, "default:latest")
    assert {"completion", "tools", "vision"} <= set(shown.capabilities)
    assert shown.modelinfo["general.architecture"]


@pytest_twisted.ensureDeferred
async def test_what_is_not_there_is_a_404(client):
    for call in (client.show, client.pull, lambda name: client.chat(name, HELLO)):
        with pytest.raises(ollama.ResponseError, match="no-such-model") as caught:
            await in_thread(call, "no-such-model")
        assert caught.value.status_code == 404


@pytest_twisted.ensureDeferred
async def test_what_is_there_need_not_be_pulled(client):
    assert (await in_thread(client.pull, "default:latest")).status == "success"
    states = await in_thread(lambda: list(client.pull("default", stream=True)))
    assert [state.status for state in states] == ["success"]


@pytest_twisted.ensureDeferred
async def test_the_first_things_a_client_asks(bench):
    answer = await bench.gateway.get("/api/version", KEY)
    assert [int(part) for part in answer.json["version"].split(".")] >= [0, 12, 0]
    assert (await bench.gateway.get("/")).body == b"Ollama is running"
    client = await bench.gateway.open("/", method="HEAD")
    assert b"200 OK" in await client.until(b"\r\n\r\n")
    client.drop()


@pytest_twisted.ensureDeferred
async def test_a_wrong_key_is_refused(bench):
    client = ollama.Client(bench.gateway.url, headers={"Authorization": "Bearer sk-wrong"})
    for call in (client.list, lambda: client.chat("default", HELLO)):
        with pytest.raises(ollama.ResponseError) as caught:
            await in_thread(call)
        assert caught.value.status_code == 401
    client._client.close()


# --- asking --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_the_answer_names_the_model_that_was_asked_for(client, tier):
    for name in (tier, f"{tier}:latest"):
        assert (await in_thread(client.chat, name, HELLO)).model == name
        parts = await in_thread(lambda name=name: list(client.chat(name, HELLO, stream=True)))
        assert {part.model for part in parts} == {name}


@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_generate_is_a_chat_of_one_turn(bench, client, tier):
    answer = await in_thread(client.generate, tier, "Hello", system="You are brief.")
    assert (answer.response, answer.done, answer.done_reason) == (TEXT, True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (11, 5)
    parts = await in_thread(lambda: list(client.generate(tier, "Hello", stream=True)))
    assert "".join(part.response for part in parts) == TEXT
    answer = await in_thread(client.generate, tier, "What is this?", images=[PICTURE])
    assert answer.response == f"I see image/png of {len(PICTURE)} bytes."
    answer = await in_thread(client.generate, tier, "Answer in JSON.", format="json")
    assert json.loads(answer.response) == {"city": "Paris"}


@pytest_twisted.ensureDeferred
async def test_what_no_chat_has_is_refused_in_words(client):
    for option in ({"raw": True}, {"template": "x"}, {"context": [1]}, {"suffix": "x"}):
        with pytest.raises(ollama.ResponseError, match="not supported") as caught:
            await in_thread(lambda option=option: client.generate("openai", "Hello", **option))
        assert caught.value.status_code == 400


@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_a_chat_about_nothing_loads_a_model(bench, client, tier):
    before = len(bench.upstream.requests)
    assert (await in_thread(client.chat, tier)).done_reason == "load"
    assert (await in_thread(client.generate, tier)).done_reason == "load"
    assert (await in_thread(client.chat, tier, keep_alive=0)).done_reason == "unload"
    assert len(bench.upstream.requests) == before


@pytest.mark.parametrize("tier", ["openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_embeddings(client, tier):
    answer = await in_thread(client.embed, tier, ["a", "b"], truncate=True)
    assert answer.embeddings == [[0.5, -0.5, 0.25], [0.5, -0.5, 1.25]]
    assert answer.prompt_eval_count == 11
    assert (await in_thread(client.embed, tier, "a", dimensions=2)).embeddings == [[0.5, -0.5]]
    assert (await in_thread(client.embeddings, tier, "a")).embedding == [0.5, -0.5, 0.25]


@pytest_twisted.ensureDeferred
async def test_embeddings_of_a_provider_that_has_none_are_refused_in_words(client):
    with pytest.raises(ollama.ResponseError, match="makes no embeddings"):
        await in_thread(client.embed, "anthropic", "a")


@pytest_twisted.ensureDeferred
async def test_what_a_caller_says_to_ollama_passes_through(bench, client):
    asked = {"options": {"num_ctx": 8192, "mirostat": 1}, "keep_alive": "5m", "think": "high"}
    await in_thread(client.chat, "ollama", HELLO, **asked)
    assert {key: bench.sent[key] for key in asked} == asked
    assert (bench.sent["model"], bench.sent["stream"]) == ("qwen3-vl:8b", False)


@pytest.mark.parametrize(
    ("tier", "options", "named"),
    [
        ("openai", {"options": {"num_predict": 5, "num_ctx": 8192}, "think": True}, "options.num_ctx"),
        ("openai", {"keep_alive": -1}, None),
        ("anthropic", {"options": {"top_k": 5, "seed": 1, "mirostat": 1}}, "options.mirostat, options.seed"),
        ("anthropic", {"logprobs": True}, "logprobs"),
        ("ollama", {"options": {"mirostat": 1}}, None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_carried_over_is_named(bench, tier, options, named):
    body = {"model": tier, "messages": HELLO, "stream": False, **options}
    answer = await bench.gateway.post("/api/chat", body, KEY)
    assert answer.status == 200
    assert answer.headers.get("x-lmg-lossy") == named


@pytest.mark.parametrize("error", [True, False])
@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_a_stream_that_breaks_off_raises(bench, client, tier, error):
    bench.upstream.next(broken_off(tier, error=error))
    seen = []

    def read():
        seen.extend(part.message.content for part in client.chat(tier, HELLO, stream=True))

    with pytest.raises(ollama.ResponseError, match="boom" if error else "closed the connection"):
        await in_thread(read)
    assert seen == ["half"]


# --- Home Assistant ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_home_assistant_talks_and_calls_its_tools(bench, client, tier):
    """It sends whole numbers as floats, keeps models for ever, and gives results back with neither a name nor an id."""
    options = {"options": {"num_ctx": 8192.0}, "keep_alive": -1, "think": False, "stream": True}
    function = {"name": "HassTurnOn", "description": "Turns a device on", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    history = [{"role": "system", "content": "You are a voice assistant."}, {"role": "user", "content": "use the tool"}]

    def chat():
        return list(client.chat(tier, history, tools=tools, **options))

    parts = await in_thread(chat)
    (call,) = [call for part in parts for call in part.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("HassTurnOn", {"city": "Paris"})
    history += [
        {"role": "assistant", "tool_calls": [{"function": {"name": "HassTurnOn", "arguments": {"city": "Paris"}}}]},
        {"role": "tool", "content": json.dumps({"success": True})},
    ]
    parts = await in_thread(chat)
    said = "".join(part.message.content or "" for part in parts)
    assert said == 'HassTurnOn({"city": "Paris"}) = {"success": true}'
    for keep_alive in ("300s", -1, 0):
        answer = await in_thread(client.chat, tier, HELLO, keep_alive=keep_alive, think=False)
        assert answer.message.content == TEXT


@pytest_twisted.ensureDeferred
async def test_home_assistant_sets_itself_up(bench, client):
    """It lists the models, takes one of these names, and asks for it exactly; without a good key it is told so."""
    names = [model.model for model in (await in_thread(client.list)).models]
    assert (await in_thread(client.chat, names[0], HELLO)).message.content == TEXT
    assert (await bench.gateway.get("/api/tags")).status == 401


@pytest_twisted.ensureDeferred
async def test_a_failure_upstream_is_said_by_the_assistant_where_nobody_shows_errors(bench, client):
    with bench.configured('classifier = "openai"', 'on_error = "chat"'):
        for ask in (
            lambda: [client.chat("default", HELLO)],
            lambda: list(client.chat("default", HELLO, stream=True)),
        ):
            bench.upstream.next(Whole(500, b'{"error":{"message":"boom"}}'))
            parts = await in_thread(ask)
            said = "".join(part.message.content for part in parts)
            assert said
            assert "boom" not in said
            assert parts[-1].done
            assert bench.gateway.last.error
