"""The demo's own configuration, as `make run` serves it: every mode can be seen at work."""

from pathlib import Path

import grammar
import pytest
import pytest_twisted
from routing_rig import house, text_of

import lmgw

DEMO = (Path(lmgw.__file__).parent / "demo" / "config.toml").read_text()


@pytest.mark.parametrize("stream", [False, True])
@pytest_twisted.ensureDeferred
async def test_auto_escalates_when_asked_to(tmp_path, stream):
    async with house(tmp_path, DEMO) as at:
        answer = await at.chat("auto", "Say: I cannot help", stream=stream, max_tokens=20)
        said = grammar.openai(answer.body)["text"] if stream else text_of(answer)
        assert said.startswith("This is the demo model demo-capable")
        headers = {name: answer.headers[f"x-lmg-{name}"] for name in ("tier", "attempts", "escalated")}
        assert headers == {"tier": "cloud:capable", "attempts": "3", "escalated": "true"}


@pytest_twisted.ensureDeferred
async def test_auto_takes_the_cheapest_answer_otherwise(tmp_path):
    async with house(tmp_path, DEMO) as at:
        answer = await at.chat("auto", "Hello!")
        assert answer.headers["x-lmg-tier"] == "local:instant"
        assert "x-lmg-escalated" not in answer.headers


@pytest.mark.parametrize(
    ("question", "label", "tier"),
    [
        ("hi there", "instant", "local:instant"),
        ("write an email", "fast", "local:fast"),
        ("prove it", "deep", "cloud:capable"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_smart_shows_classification(tmp_path, question, label, tier):
    async with house(tmp_path, DEMO) as at:
        answer = await at.chat("smart", question)
        assert (answer.headers["x-lmg-class"], answer.headers["x-lmg-tier"]) == (label, tier)
        assert question in text_of(answer)


@pytest_twisted.ensureDeferred
async def test_a_model_that_is_down_is_failed_over(tmp_path):
    async with house(tmp_path, DEMO) as at:
        answer = await at.chat("local:fast", "fail 503")
        assert answer.status == 503  # both of the demo's models do as they are told
        assert at.tried == [("local:fast", 503), ("cloud:capable", 503)]


@pytest_twisted.ensureDeferred
async def test_closed_answers_by_itself(tmp_path):
    async with house(tmp_path, DEMO) as at:
        assert text_of(await at.chat("closed")) == "This profile always answers with this sentence."
