"""Every pair of dialects: an official SDK on one side, on the other a provider that refuses what is wrong."""

import json

import pytest
import pytest_twisted
from fake_model import LEAD, TEXT, THOUGHT
from sdk_callers import PICTURE, TOOLS, AnthropicCaller, OllamaCaller, OpenAICaller, Weather
from sdk_rig import in_thread, sdk_bench

UPSTREAMS = ("openai", "anthropic", "ollama")
WAYS = [
    pytest.param(caller.name, manner, upstream, id=f"{caller.name}-{manner}-{upstream}")
    for caller in (OpenAICaller, AnthropicCaller, OllamaCaller)
    for manner in caller.manners
    for upstream in UPSTREAMS
]
every_way = pytest.mark.parametrize(("name", "manner", "upstream"), WAYS)
USE_ALL = [
    ("GetWeather", {"city": "Paris"}),
    ("GetTime", {"city": "Paris"}),
    ("GetWeather", {"city": "Oslo"}),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
        yield bench


@every_way
@pytest_twisted.ensureDeferred
async def test_text(bench, name, manner, upstream):
    caller = bench.callers[name]
    told = await in_thread(caller.ask, manner, upstream, caller.user("Hello"))
    assert (told.text, told.thought, told.calls) == (TEXT, "", [])
    assert told.finish == caller.finish["stop"]
    assert told.usage == (11, 5)


@every_way
@pytest_twisted.ensureDeferred
async def test_a_tool_is_called_and_its_result_read(bench, name, manner, upstream):
    caller = bench.callers[name]
    history = caller.user("Please use the tool.")
    told = await in_thread(caller.ask, manner, upstream, history, tools=TOOLS)
    assert told.calls == [("GetWeather", {"city": "Paris"})]
    assert told.finish == caller.finish["tool_calls"]
    history += [told.turn, *caller.results(told, ["rain"])]
    told = await in_thread(caller.ask, manner, upstream, history, tools=TOOLS)
    assert told.text == 'GetWeather({"city": "Paris"}) = rain'
    assert told.finish == caller.finish["stop"]


@every_way
@pytest_twisted.ensureDeferred
async def test_tools_are_called_in_parallel_and_each_result_belongs_to_its_call(bench, name, manner, upstream):
    caller = bench.callers[name]
    history = caller.user("Please use all tools.")
    told = await in_thread(caller.ask, manner, upstream, history, tools=TOOLS)
    assert told.calls == USE_ALL
    assert told.text == LEAD
    assert told.finish == caller.finish["tool_calls"]
    history += [told.turn, *caller.results(told, ["rain", "noon", "snow"])]
    told = await in_thread(caller.ask, manner, upstream, history, tools=TOOLS)
    results = [f"{name}({json.dumps(arguments)})" for name, arguments in USE_ALL]
    assert told.text == f"{results[0]} = rain; {results[1]} = noon; {results[2]} = snow"


@every_way
@pytest_twisted.ensureDeferred
async def test_a_picture_is_seen(bench, name, manner, upstream):
    caller = bench.callers[name]
    told = await in_thread(caller.ask, manner, upstream, caller.user("What is this?", PICTURE))
    assert told.text == f"I see image/png of {len(PICTURE)} bytes."


@every_way
@pytest_twisted.ensureDeferred
async def test_thinking_is_asked_for_and_shown(bench, name, manner, upstream):
    caller = bench.callers[name]
    told = await in_thread(caller.ask, manner, upstream, caller.user("Hello"), think=True)
    assert (told.thought, told.text) == (THOUGHT, TEXT)
    assert told.usage == (11, 5)


@every_way
@pytest_twisted.ensureDeferred
async def test_json_fits_the_schema(bench, name, manner, upstream):
    caller = bench.callers[name]
    told = await in_thread(caller.ask, manner, upstream, caller.user("The weather as JSON"), schema=Weather)
    assert Weather.model_validate_json(told.text) == Weather(city="Paris", degrees=21)
    if told.parsed is not None:
        assert told.parsed == Weather(city="Paris", degrees=21)
