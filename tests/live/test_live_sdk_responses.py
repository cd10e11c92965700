"""The Responses API of the official openai package, live against every kind of provider."""

import json

import fake_responses
import grammar
import openai
import pytest
import pytest_twisted
from fake_model import LEAD, TEXT, THOUGHT
from fakes import Silence, Stream, Whole
from rules_anthropic import signature
from scenes import ANSWERS, STREAMS
from sdk_callers import CLIENT_KEY, PICTURE, TOOLS, Weather
from sdk_responses import ResponsesCaller
from sdk_rig import answer_strictly, broken_off, in_thread, sdk_bench

#: Besides the tiers of ``sdk_rig``: a provider that has the API itself, and one that was thought to.
NATIVE = """
[backends.native]
base_url = "{url}/native"
api_key_env = "UP_KEY"
responses = "native"

[backends.lacking]
base_url = "{url}"
api_key_env = "UP_KEY"
max_tokens_field = "max_completion_tokens"
responses = "native"

[[tiers]]
name = "native"
backend = "native"
model = "gpt-5.4"

[[tiers]]
name = "lacking"
backend = "lacking"
model = "gpt-5.4"

"""
TIERS = ("openai", "anthropic", "adaptive", "ollama", "native", "lacking")
every_way = pytest.mark.parametrize(
    ("manner", "tier"), [(manner, tier) for manner in ResponsesCaller.manners for tier in TIERS]
)
HELLO = [{"role": "user", "content": "Hello"}]
USE_ALL = [
    ("GetWeather", {"city": "Paris"}),
    ("GetTime", {"city": "Paris"}),
    ("GetWeather", {"city": "Oslo"}),
]


def answer(connection, request):
    """Answer as the provider would that has this path."""
    if not request.path.startswith(b"/native/"):
        answer_strictly(connection, request)
        return
    status, content_type, pieces = fake_responses.answer(request.body)
    if len(pieces) == 1:
        Whole(status, pieces[0], content_type=content_type)(connection)
    else:
        stream = Stream(content_type, status)
        stream(connection)
        stream.send(*pieces)
        stream.end()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
        bench.upstream.default = answer
        text = bench.gateway.path.read_text()
        bench.gateway.reload(text.replace("[[tiers]]", NATIVE.format(url=bench.upstream.url) + "[[tiers]]", 1))
        yield bench


@pytest.fixture
def caller(bench):
    caller = ResponsesCaller(bench.gateway.url)
    yield caller
    caller.close()


@pytest.fixture
def client(caller):
    return caller.client


def paths(bench, since):
    return [request.path.decode() for request in bench.upstream.requests[since:]]


# --- what every provider can ---------------------------------------------------------------------------------


@every_way
@pytest_twisted.ensureDeferred
async def test_text(caller, manner, tier):
    told = await in_thread(caller.ask, manner, tier, caller.user("Hello"))
    assert (told.text, told.thought, told.calls) == (TEXT, "", [])
    assert (told.finish, told.usage) == ("completed", (11, 5))


@every_way
@pytest_twisted.ensureDeferred
async def test_a_tool_is_called_and_its_result_read(caller, manner, tier):
    history = caller.user("Please use the tool.")
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS)
    assert told.calls == [("GetWeather", {"city": "Paris"})]
    history += [*told.turn, *caller.results(told, ["rain"])]
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS)
    assert told.text == 'GetWeather({"city": "Paris"}) = rain'


@every_way
@pytest_twisted.ensureDeferred
async def test_tools_are_called_in_parallel_and_each_result_belongs_to_its_call(caller, manner, tier):
    history = caller.user("Please use all tools.")
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS)
    assert (told.calls, told.text) == (USE_ALL, LEAD)
    history += [*told.turn, *caller.results(told, ["rain", "noon", "snow"])]
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS)
    results = [f"{name}({json.dumps(arguments)})" for name, arguments in USE_ALL]
    assert told.text == f"{results[0]} = rain; {results[1]} = noon; {results[2]} = snow"


@every_way
@pytest_twisted.ensureDeferred
async def test_a_picture_is_seen(caller, manner, tier):
    told = await in_thread(caller.ask, manner, tier, caller.user("What is this?", PICTURE))
    assert told.text == f"I see image/png of {len(PICTURE)} bytes."


@every_way
@pytest_twisted.ensureDeferred
async def test_a_model_thinks_before_it_calls_a_tool_and_goes_on_afterwards(caller, manner, tier):
    history = caller.user("Please use the tool.")
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS, think=True)
    assert (told.thought, told.calls) == (THOUGHT, [("GetWeather", {"city": "Paris"})])
    history += [*told.turn, *caller.results(told, ["rain"])]
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS, think=True)
    assert told.text == 'GetWeather({"city": "Paris"}) = rain'


@every_way
@pytest_twisted.ensureDeferred
async def test_json_fits_the_schema(caller, manner, tier):
    told = await in_thread(caller.ask, manner, tier, caller.user("The weather as JSON"), schema=Weather)
    assert Weather.model_validate_json(told.text) == Weather(city="Paris", degrees=21)
    if told.parsed is not None:
        assert told.parsed == Weather(city="Paris", degrees=21)


# --- reasoning -----------------------------------------------------------------------------------------------


async def two_turns(caller, first, second, manner="create"):
    """Let one tier's model think and call, and another's go on."""
    history = caller.user("Please use the tool.")
    told = await in_thread(caller.ask, manner, first, history, tools=TOOLS, think=True)
    history += [*told.turn, *caller.results(told, ["rain"])]
    return await in_thread(caller.ask, manner, second, history, tools=TOOLS, think=True)


@pytest.mark.parametrize("manner", ResponsesCaller.manners)
@pytest_twisted.ensureDeferred
async def test_what_proves_a_thought_to_anthropic_goes_there_and_back(bench, caller, manner):
    await two_turns(caller, "anthropic", "anthropic", manner)
    thought = {"type": "thinking", "thinking": THOUGHT, "signature": signature(THOUGHT)}
    assert bench.sent["messages"][1]["content"][0] == thought


@pytest.mark.parametrize("tiers", [("anthropic", "native"), ("openai", "native"), ("native", "anthropic")])
@pytest_twisted.ensureDeferred
async def test_a_conversation_may_change_its_model(caller, tiers):
    told = await two_turns(caller, *tiers)
    assert told.text == 'GetWeather({"city": "Paris"}) = rain'


# --- who is asked how ----------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_provider_with_the_api_gets_the_request_as_it_is(bench, client):
    since = len(bench.upstream.requests)
    raw = await in_thread(
        client.responses.with_raw_response.create, model="native", input="Hello", truncation="auto", user="me"
    )
    assert paths(bench, since) == ["/native/v1/responses"]
    assert bench.sent == {"model": "gpt-5.4", "input": "Hello", "truncation": "auto", "user": "me"}
    assert raw.headers["x-lmg-backend"] == "native"
    assert raw.parse().id == "resp_up"


@pytest_twisted.ensureDeferred
async def test_a_provider_without_it_is_asked_once_until_a_reload(bench, client):
    def ask():
        return client.responses.create(model="lacking", input="Hello")

    chat, responses = "/v1/chat/completions", "/v1/responses"
    bench.gateway.reload(bench.gateway.path.read_text())
    since = len(bench.upstream.requests)
    assert (await in_thread(ask)).output_text == TEXT
    assert paths(bench, since) == [responses, chat]
    assert bench.gateway.last.success
    assert len(bench.gateway.last.attempts) == 1
    await in_thread(ask)
    assert paths(bench, since) == [responses, chat, chat]
    bench.gateway.reload(bench.gateway.path.read_text())
    await in_thread(ask)
    assert paths(bench, since) == [responses, chat, chat, responses, chat]


@pytest_twisted.ensureDeferred
async def test_an_unknown_model_does_not_speak_against_the_api(bench, client):
    words = b'{"error":{"message":"The model `gpt-5.4` does not exist","type":"x","code":"model_not_found"}}'
    bench.upstream.next(Whole(404, words))
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await in_thread(client.responses.create, model="native", input="Hello")
    since = len(bench.upstream.requests)
    await in_thread(client.responses.create, model="native", input="Hello")
    assert paths(bench, since) == ["/native/v1/responses"]


# --- what this API has besides -------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_what_needs_a_memory_is_refused_in_words(bench, client, tier):
    since = len(bench.upstream.requests)
    for options in ({"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}):
        with pytest.raises(openai.BadRequestError, match="nothing is stored here") as caught:
            await in_thread(client.responses.create, model=tier, input="Hello", **options)
        assert caught.value.param == next(iter(options))
    assert len(bench.upstream.requests) == since


@pytest_twisted.ensureDeferred
async def test_no_answer_can_be_read_later(client):
    for call in (
        client.responses.retrieve,
        client.responses.delete,
        client.responses.cancel,
        lambda id: list(client.responses.input_items.list(id)),
    ):
        with pytest.raises(openai.NotFoundError, match="no answer is stored"):
            await in_thread(call, "resp_1")


@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_the_size_of_the_input_is_estimated(bench, client, tier):
    since = len(bench.upstream.requests)
    told = await in_thread(client.responses.input_tokens.count, model=tier, input="Hello " * 100)
    assert (told.object, 100 <= told.input_tokens <= 300) == ("response.input_tokens", True)
    assert len(bench.upstream.requests) == since


@pytest_twisted.ensureDeferred
async def test_a_compressed_request_is_refused_with_its_remedy(bench):
    headers = {"Authorization": f"Bearer {CLIENT_KEY}", "Content-Encoding": "zstd"}
    told = await bench.gateway.post("/v1/responses", b"\x28\xb5\x2f\xfd\x00", headers)
    assert told.status == 400
    assert "enable_request_compression" in told.json["error"]["message"]


@pytest.mark.parametrize("tier", ["openai", "anthropic", "ollama"])
@pytest_twisted.ensureDeferred
async def test_tools_of_all_types_are_taken_and_called_by_their_own_names(client, tier):
    tools = [
        {"type": "custom", "name": "patch", "description": "Patches."},
        {"type": "namespace", "name": "n", "description": "x", "tools": [{"type": "function", "name": "g"}]},
        {"type": "web_search"},
    ]
    raw = await in_thread(
        client.responses.with_raw_response.create, model=tier, input="Please use all tools.", tools=tools
    )
    assert raw.headers["x-lmg-lossy"] == "tools.web_search"
    _, first, second, third = raw.parse().output
    assert (first.type, first.name, json.loads(first.input)) == ("custom_tool_call", "patch", {"city": "Paris"})
    assert (second.type, second.name, second.namespace) == ("function_call", "g", "n")
    assert third.type == "custom_tool_call"


# --- what goes wrong -----------------------------------------------------------------------------------------


def read(client, manner, tier):
    """Read a stream to its end; return its text and, of the helper, the final response."""
    if manner == "stream":
        with client.responses.stream(model=tier, input="Hello") as stream:
            for _ in stream:
                pass
            return stream.get_final_response()
    return list(client.responses.create(model=tier, input="Hello", stream=True))


@pytest.mark.parametrize("manner", ["stream", "create_stream"])
@pytest.mark.parametrize("tier", ["openai", "anthropic", "ollama"])
@pytest_twisted.ensureDeferred
async def test_a_stream_that_breaks_off_raises(bench, client, manner, tier):
    for error, words in ((True, "boom"), (False, "closed|ended")):
        bench.upstream.next(broken_off(tier, error=error))
        with pytest.raises(openai.APIError, match=words):
            await in_thread(read, client, manner, tier)


@pytest_twisted.ensureDeferred
async def test_a_native_stream_that_breaks_off_raises_and_ends_as_its_own_response(bench, client):
    *_, delta, _, _, _, _ = pieces = fake_responses.answer(b'{"model":"m","input":"Hello","stream":true}')[2]
    half = b"".join(pieces[: pieces.index(delta) + 1])
    for _ in range(2):
        script = Stream(first=half)
        script.begun.addCallback(lambda _, script=script: script.close())
        bench.upstream.next(script)
    with pytest.raises(openai.APIError, match="closed the connection"):
        await in_thread(read, client, "stream", "native")
    body = {"model": "native", "input": "Hello", "stream": True}
    told = await bench.gateway.post("/v1/responses", body, {"Authorization": f"Bearer {CLIENT_KEY}"})
    assert told.complete  # response.failed is an end: clients that see a cut connection lose its words
    assert told.body.startswith(half)
    events = [json.loads(data) for _, data in grammar.sse(told.body, grammar.Faults())]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1]["response"]["id"] == "resp_up"


@pytest_twisted.ensureDeferred
async def test_an_error_before_any_content_keeps_its_status(bench, client):
    bench.upstream.next(broken_off("anthropic", error=True, half=False))
    with pytest.raises(openai.InternalServerError, match="boom"):
        await in_thread(read, client, "stream", "anthropic")
    bench.upstream.next(Whole(429, b'{"error":{"message":"slow down"}}', headers=(("Retry-After", "7"),)))
    with pytest.raises(openai.RateLimitError, match="slow down") as caught:
        await in_thread(read, client, "create_stream", "openai")
    assert caught.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided"):
        await in_thread(read, client.with_options(api_key="sk-wrong"), "stream", "openai")


@pytest_twisted.ensureDeferred
async def test_an_answer_that_was_cut_is_incomplete(bench, client):
    message = {"role": "assistant", "content": "Four a"}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    bench.upstream.next(Whole(200, json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()))
    told = await in_thread(client.responses.create, model="openai", input="Hello")
    assert (told.status, told.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (told.output_text, told.usage) == ("Four a", None)


EARLY = "early_begin_ms = 1\nkeepalive_ms = 1"


@pytest_twisted.ensureDeferred
async def test_a_silent_provider_is_covered_by_comments(bench):
    with bench.configured("[gateway]", EARLY):
        script = Stream()
        bench.upstream.next(script)
        body = {"model": "openai", "input": "Hello", "stream": True}
        reader = await bench.gateway.open("/v1/responses", body, {"Authorization": f"Bearer {CLIENT_KEY}"})
        await reader.until(b": keep-alive\n")
        script.send(STREAMS["openai"](ANSWERS["text"]).encode())
        script.end()
        told = await reader.answer()
        reader.drop()
        await reader.closed
    assert grammar.responses(told.body)["text"] == ANSWERS["text"].text


@pytest_twisted.ensureDeferred
async def test_the_sdk_takes_comments_and_an_error_behind_them(bench, client):
    with bench.configured("[gateway]", f"{EARLY}\nrequest_timeout_ms = 60"):
        bench.upstream.next(Silence())
        with pytest.raises(openai.APIError, match="no answer within"):
            await in_thread(read, client, "stream", "openai")
