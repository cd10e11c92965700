"""Thinking and structured answers through the official SDKs, on models of every kind."""

import pytest
import pytest_twisted
from fake_model import THOUGHT
from rules_anthropic import signature
from sdk_callers import TOOLS, AnthropicCaller, OllamaCaller, OpenAICaller, Weather
from sdk_rig import in_thread, sdk_bench

CALLERS = (OpenAICaller, AnthropicCaller, OllamaCaller)
WAYS = [(caller.name, manner) for caller in CALLERS for manner in caller.manners]
TIERS = ("openai", "anthropic", "adaptive", "ollama")
every_way = pytest.mark.parametrize(("name", "manner"), WAYS)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
        yield bench


def wish(tier):
    """What an Anthropic caller says to a model of this tier so that it thinks."""
    return {"type": "adaptive"} if tier == "adaptive" else AnthropicCaller.thinking


@every_way
@pytest.mark.parametrize("tier", TIERS)
@pytest_twisted.ensureDeferred
async def test_a_model_thinks_before_it_calls_a_tool_and_goes_on_afterwards(bench, monkeypatch, name, manner, tier):
    monkeypatch.setattr(AnthropicCaller, "thinking", wish(tier))
    caller = bench.callers[name]
    history = caller.user("Please use the tool.")
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS, think=True)
    assert told.thought == THOUGHT
    assert told.calls == [("GetWeather", {"city": "Paris"})]
    history += [told.turn, *caller.results(told, ["rain"])]
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS, think=True)
    assert told.text == 'GetWeather({"city": "Paris"}) = rain'


async def two_turns(bench, name, manner, tier):
    """Let a model think, call and go on; return the request of the second turn."""
    caller = bench.callers[name]
    history = caller.user("Please use the tool.")
    told = await in_thread(caller.ask, manner, tier, history, tools=TOOLS, think=True)
    history += [told.turn, *caller.results(told, ["rain"])]
    await in_thread(caller.ask, manner, tier, history, tools=TOOLS, think=True)
    return bench.sent


@pytest.mark.parametrize(
    ("name", "manner"),
    [("openai", "create"), ("openai", "stream"), ("anthropic", "create"), ("anthropic", "stream")],
)
@pytest_twisted.ensureDeferred
async def test_what_proves_a_thought_goes_there_and_back(bench, name, manner):
    sent = await two_turns(bench, name, manner, "anthropic")
    thought = {"type": "thinking", "thinking": THOUGHT, "signature": signature(THOUGHT)}
    assert sent["messages"][1]["content"][0] == thought
    assert sent["thinking"]["type"] == "enabled"


@pytest.mark.parametrize(
    ("name", "manner"), [("openai", "create_stream"), ("ollama", "chat"), ("ollama", "chat_stream")]
)
@pytest_twisted.ensureDeferred
async def test_without_the_proof_a_model_that_thinks_by_budget_goes_on_without_thinking(bench, name, manner):
    sent = await two_turns(bench, name, manner, "anthropic")
    assert "thinking" not in sent
    sent = await two_turns(bench, name, manner, "adaptive")
    assert sent["thinking"]["type"] == "adaptive"


@pytest.mark.parametrize("tier", ["openai", "ollama"])
@pytest_twisted.ensureDeferred
async def test_what_another_model_thought_is_not_given_to_an_anthropic_one(bench, tier):
    """A conversation may change its model: thinking that the gateway signed is no proof to Anthropic."""
    caller = bench.callers["anthropic"]
    history = caller.user("Please use the tool.")
    told = await in_thread(caller.ask, "create", tier, history, tools=TOOLS, think=True)
    history += [told.turn, *caller.results(told, ["rain"])]
    await in_thread(caller.ask, "create", "anthropic", history, tools=TOOLS, think=True)
    assert [block["type"] for block in bench.sent["messages"][1]["content"]] == ["tool_use"]


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest_twisted.ensureDeferred
async def test_thoughts_of_earlier_turns_are_not_sent_where_the_dialect_has_no_place_for_them(bench, name):
    upstream = "ollama" if name == "openai" else "openai"
    sent = await two_turns(bench, name, "create", upstream)
    (turn,) = [message for message in sent["messages"] if message["role"] == "assistant"]
    assert not {"reasoning_content", "reasoning_details", "thinking_blocks"} & turn.keys()


@pytest.mark.parametrize(("name", "manner"), [way for way in WAYS if way[0] != "anthropic"])
@pytest_twisted.ensureDeferred
async def test_a_model_without_structured_outputs_fills_in_a_tool_instead(bench, name, manner):
    caller = bench.callers[name]
    told = await in_thread(caller.ask, manner, "old", caller.user("The weather as JSON"), schema=Weather)
    assert bench.sent["tool_choice"]["type"] == "tool"
    assert Weather.model_validate_json(told.text) == Weather(city="Paris", degrees=21)
    assert told.calls == []
    assert told.finish == caller.finish["stop"]


@pytest.mark.parametrize(("name", "manner"), [way for way in WAYS if way[0] != "anthropic"])
@pytest_twisted.ensureDeferred
async def test_such_a_model_may_still_call_a_tool_first(bench, name, manner):
    caller = bench.callers[name]
    history = caller.user("Please use the tool, then answer in JSON.")
    told = await in_thread(caller.ask, manner, "old", history, tools=TOOLS, schema=Weather)
    assert told.calls == [("GetWeather", {"city": "Paris"})]
    history += [told.turn, *caller.results(told, ["rain"]), *caller.user("Now the answer.")]
    told = await in_thread(caller.ask, manner, "old", history, tools=TOOLS, schema=Weather)
    assert Weather.model_validate_json(told.text) == Weather(city="Paris", degrees=21)
    assert told.calls == []
