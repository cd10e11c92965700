"""The configuration of the setup guide: one Anthropic tier, mode escalate, an alias. It works on the first try."""

import grammar
import pytest
import pytest_twisted
from canary import CANARY
from fake_model import TEXT
from fakes import Stream
from routing_rig import CHAT, ROUTES, asking, close, house, says, text_of
from scenes import Scene, anthropic_stream, sse

SEED = """
[gateway]
client_port = 8080
admin_port  = 8081

[backends.anthropic]
provider    = "anthropic"
base_url    = "{anthropic}"
api_key_env = "ANTHROPIC_API_KEY"

[[tiers]]
name    = "cloud:capable"
backend = "anthropic"
model   = "claude-haiku-4-5-20251001"

[aliases]
"hint:capable" = "cloud:capable"

[profiles.default]
mode               = "escalate"
classifier         = "cloud:capable"
max_auto_tier      = "cloud:capable"
expert_requires_flag = false
"""
KEY = {"ANTHROPIC_API_KEY": CANARY}
NAMES = ["hint:capable", "cloud:capable", "claude-haiku-4-5-20251001", "default", "default:latest", None]


def seed(folder, environ=KEY):
    return house(folder, SEED, "anthropic", environ=environ)


@pytest.mark.parametrize("caller", ROUTES)
@pytest.mark.parametrize("model", NAMES)
@pytest_twisted.ensureDeferred
async def test_it_answers_whatever_of_its_names_is_asked_for(tmp_path, caller, model):
    async with seed(tmp_path) as at:
        answer = await at.gateway.post(ROUTES[caller], asking(model=model))
        assert answer.status == 200, answer
        assert TEXT in answer.body.decode()
        assert answer.headers["x-lmg-tier"] == "cloud:capable"
        assert "x-lmg-fallback" not in answer.headers
        (request,) = at["anthropic"].requests
        assert request.path == b"/v1/messages"
        assert request.get(b"x-api-key") == CANARY.encode()
        assert at.sent("anthropic")["model"] == "claude-haiku-4-5-20251001"


@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_it_streams(tmp_path, caller):
    async with seed(tmp_path) as at:
        answer = await at.gateway.post(ROUTES[caller], asking(model="hint:capable", stream=True))
        assert answer.complete
        assert grammar.check(caller, answer.body)["text"] == TEXT


@pytest_twisted.ensureDeferred
async def test_an_unknown_name_falls_back_and_the_answer_says_so(tmp_path):
    async with seed(tmp_path) as at:
        answer = await at.chat("gpt-4o")
        assert (answer.status, answer.headers["x-lmg-fallback"]) == (200, "unknown-model")


@pytest.mark.parametrize("caller", ROUTES)
@pytest.mark.parametrize("text", ["As an AI", "x"])
@pytest_twisted.ensureDeferred
async def test_a_one_tier_ladder_streams_from_the_first_token_whatever_it_says(tmp_path, caller, text):
    frames = anthropic_stream(Scene(text)).split("event: content_block_stop")[0]
    async with seed(tmp_path) as at:
        script = Stream(first=frames.encode())
        at["anthropic"].next(script)
        client = await at.gateway.open(ROUTES[caller], asking(model="hint:capable", stream=True))
        assert text[-2:].encode() in await client.until(text[-2:].encode())
        script.send(sse({"type": "message_stop"}, "message_stop").encode())
        script.end()
        await client.answer()
        await close(client)


@pytest_twisted.ensureDeferred
async def test_its_only_answer_is_given_even_if_it_refuses(tmp_path):
    async with seed(tmp_path) as at:
        at["anthropic"].next(says("As an AI I cannot help.", "anthropic"))
        answer = await at.chat("hint:capable")
        assert text_of(answer) == "As an AI I cannot help."
        assert at.asked == {"anthropic": 1}


@pytest_twisted.ensureDeferred
async def test_without_its_key_it_says_what_is_missing_but_not_to_callers_which(tmp_path):
    async with seed(tmp_path, environ={}) as at:
        assert (await at.gateway.get("/status")).json["ready"] is False
        answer = await at.gateway.post(CHAT, asking())
        assert answer.status == 503
        assert "key" in answer.message
        assert "ANTHROPIC_API_KEY" not in answer.message
        assert at.asked == {}
