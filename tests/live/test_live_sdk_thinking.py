"""Thinking and structured answers through the official SDKs, on models of every kind: what is proved, and what is not."""

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
