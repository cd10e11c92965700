"""Profiles, modes and what the client can see, over real sockets and in every dialect."""

import grammar
import pytest
import pytest_twisted
from canary import CANARY
from fakes import Silence
from routing_rig import CHAT, ROUTES, asking, fails, house, ladder, says, text_of
from twisted.logger import capturedLogs, formatEvent

CONFIG = ladder(
    "small",
    "big",
    "expert",
    more="""
[aliases]
"hint:big" = "tier:big"
"claude-*" = "tier:big"
"claude-opus-*" = "tier:expert"

[profiles.default]
mode = "dispatch"
classifier = "tier:small"

[profiles.guarded]
mode = "escalate"
classifier = "tier:small"
max_auto_tier = "tier:big"
expert_requires_flag = true

[profiles.open]
mode = "escalate"
classifier = "tier:small"
max_auto_tier = "tier:big"

[profiles.loose]
mode = "dispatch"
classifier = "tier:big"
unknown_model = "fallback"

[profiles.friendly]
mode = "dispatch"
classifier = "tier:small"
on_error = "chat"

[profiles.closed]
mode = "reply"
reply_message = "We are closed."
""",
)
FLAG = {"X-LMG-Expert": "true"}
CLIENTS = """
[[clients]]
key_env = "A_KEY"
name = "a"
profile = "guarded"
profiles = ["friendly"]
tiers = ["tier:small", "hint:big"]

[[clients]]
key_env = "B_KEY"
name = "b"
profile = "{b}"
profiles = ["*"]
"""
KEYS = {"UP_KEY": CANARY, "A_KEY": "key-of-a", "B_KEY": "key-of-b"}


def moded(folder, text=CONFIG, environ=None):
    return house(folder, text, "small", "big", "expert", environ=environ)


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("tier:big", "big"),
        ("hint:big", "big"),
        ("hint:big:latest", "big"),
        ("model-big", "big"),
        ("claude-sonnet-9", "big"),
        ("claude-opus-9", "expert"),
        ("default", "small"),
        ("loose:latest", "big"),
        (None, "small"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_dispatch_gives_the_tier_that_is_named(tmp_path, model, tier):
    async with moded(tmp_path) as at:
        assert (await at.chat(model)).headers["x-lmg-tier"] == f"tier:{tier}"
        assert at.asked == {tier: 1}


@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_every_routed_answer_says_where_it_came_from(tmp_path, caller):
    async with moded(tmp_path) as at:
        for stream in (False, True):
            body = asking(model="hint:big", stream=stream)
            answer = await at.gateway.post(ROUTES[caller], body, {"X-Request-ID": "mine-1"})
            told = {name.removeprefix("x-lmg-"): answer.headers[name] for name in answer.headers if "lmg" in name}
            assert float(told.pop("overhead-ms")) < 1000
            told.pop("lossy", None)
            assert told == {"tier": "tier:big", "model": "model-big", "backend": "big", "profile": "default"}
            assert answer.headers["x-request-id"] == "mine-1"


@pytest_twisted.ensureDeferred
async def test_a_request_id_that_cannot_be_used_is_replaced(tmp_path):
    async with moded(tmp_path) as at:
        for id in ("x" * 129, "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "two words"):
            answer = await at.gateway.post(CHAT, asking(), {"X-Request-ID": id})
            assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_an_unknown_name_is_a_404_that_lists_what_there_is_or_falls_back_and_says_so(tmp_path, caller):
    async with moded(tmp_path) as at:
        answer = await at.gateway.post(ROUTES[caller], asking(model="gpt-9"))
        assert answer.status == 404
        assert 'No model "gpt-9"' in answer.message
        assert "hint:big" in answer.message
    loose = CONFIG.replace("[profiles.loose]", "[profiles.other]").replace("[profiles.default]", "[profiles.loose]")
    async with moded(tmp_path, loose.replace("[profiles.other]", "[profiles.default]")) as at:
        answer = await at.gateway.post(ROUTES[caller], asking(model="gpt-9"))
        assert (answer.headers["x-lmg-tier"], answer.headers["x-lmg-fallback"]) == ("tier:big", "unknown-model")


@pytest_twisted.ensureDeferred
async def test_the_operator_finds_in_the_log_who_names_a_model_that_is_not_here(tmp_path):
    text = CONFIG.replace('mode = "dispatch"', 'mode = "dispatch"\nunknown_model = "fallback"', 1)
    async with moded(tmp_path, text) as at:
        with capturedLogs() as events:
            await at.chat("gpt-9\n", headers={"X-Request-ID": "r-1"})
            await at.chat("default")
        said = [formatEvent(event) for event in events if "decides" in formatEvent(event)]
        assert said == ['request r-1: there is no model "gpt-9?" here, so profile "default" decides']


@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_a_tier_above_the_ladder_needs_the_expert_flag(tmp_path, caller):
    text = CONFIG.replace("[profiles.default]", "[profiles.d]").replace("[profiles.guarded]", "[profiles.default]")
    async with moded(tmp_path, text) as at:
        answer = await at.gateway.post(ROUTES[caller], asking(model="tier:expert"))
        assert answer.status == 403
        assert "X-LMG-Expert: true" in answer.message
        if caller == "anthropic":
            assert answer.json["error"]["type"] == "permission_error"
        assert at.asked == {}
        answer = await at.gateway.post(ROUTES[caller], asking(model="tier:expert"), FLAG)
        assert answer.headers["x-lmg-tier"] == "tier:expert"


@pytest_twisted.ensureDeferred
async def test_without_the_flag_set_in_the_profile_it_is_allowed(tmp_path):
    text = CONFIG.replace("[profiles.default]", "[profiles.d]").replace("[profiles.open]", "[profiles.default]")
    async with moded(tmp_path, text) as at:
        assert (await at.chat("tier:expert")).headers["x-lmg-tier"] == "tier:expert"
        at["small"].next(fails(503))
        at["big"].next(fails(503))
        assert (await at.chat()).status == 503
        assert at.asked == {"expert": 1, "small": 1, "big": 1}  # never above max_auto_tier by itself


@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_reply_answers_by_itself(tmp_path, caller):
    async with moded(tmp_path) as at:
        answer = await at.gateway.post(ROUTES[caller], asking(model="closed"))
        assert answer.status == 200
        assert b"We are closed." in answer.body
        answer = await at.gateway.post(ROUTES[caller], asking(model="closed", stream=True))
        assert grammar.check(caller, answer.body)["text"] == "We are closed."
        assert answer.headers["x-lmg-profile"] == "closed"
        assert "x-lmg-tier" not in answer.headers
        assert at.asked == {}


@pytest_twisted.ensureDeferred
async def test_a_gateway_with_no_backend_at_all_says_so(tmp_path):
    async with house(tmp_path, '[profiles.default]\nmode = "reply"\n') as at:
        assert "no model backend is configured" in text_of(await at.chat())


@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_on_error_chat_answers_in_words_and_records_an_error(tmp_path, caller):
    async with moded(tmp_path) as at:
        for stream in (False, True):
            at["small"].next(fails(500, "kaboom"))
            answer = await at.gateway.post(ROUTES[caller], asking(model="friendly", stream=stream))
            assert (answer.status, answer.complete) == (200, True)
            assert b"Sorry" in answer.body
            assert b"kaboom" not in answer.body
            if stream:
                assert grammar.check(caller, answer.body)["error"] is None
            assert at.gateway.last.success is False
            assert "kaboom" in at.gateway.last.error


@pytest.mark.parametrize("status", [400, 403, 413, 429])
@pytest_twisted.ensureDeferred
async def test_but_never_what_the_caller_must_act_on(tmp_path, status):
    async with moded(tmp_path) as at:
        at["small"].next(fails(status))
        assert (await at.chat("friendly")).status == status


@pytest_twisted.ensureDeferred
async def test_a_timeout_is_answered_in_words_too(tmp_path):
    async with moded(tmp_path, "[gateway]\nrequest_timeout_ms = 60\n" + CONFIG) as at:
        at["small"].next(Silence(), Silence())
        for stream in (False, True):
            answer = await at.chat("friendly", stream=stream)
            assert answer.status == 200
            assert b"too long" in answer.body
            assert at.gateway.last.end_reason == "timeout"
            assert at.gateway.last.success is False


@pytest_twisted.ensureDeferred
async def test_profiles_and_tiers_are_named_only_by_those_who_may(tmp_path):
    async with moded(tmp_path, CONFIG + CLIENTS.replace("{b}", "default"), KEYS) as at:
        a, b = {"Authorization": "Bearer key-of-a"}, {"x-api-key": "key-of-b"}
        assert (await at.gateway.post(CHAT, asking())).status == 401
        answer = await at.gateway.post(CHAT, asking(), a)
        assert answer.headers["x-lmg-profile"] == "guarded"
        assert (await at.gateway.post(CHAT, asking(model="friendly"), a)).headers["x-lmg-profile"] == "friendly"
        for model in ("open", "default", "tier:expert", "claude-opus-1"):
            answer = await at.gateway.post(CHAT, asking(model=model), {**a, **FLAG})
            assert answer.status == 403
            assert "Your key may not use" in answer.message
            assert "expert" not in answer.message.partition("You may use")[2]
        for model in ("open", "closed", "tier:expert"):
            assert (await at.gateway.post(CHAT, asking(model=model), b)).status == 200
        models = (await at.gateway.get("/v1/models", a)).json["data"]
        assert "tier:expert" not in {model["id"] for model in models}
        assert {"guarded", "friendly", "tier:small"} <= {model["id"] for model in models}
        models = (await at.gateway.get("/v1/models", {**a, "anthropic-version": "2023-06-01"})).json["data"]
        assert {model["id"] for model in models} == {"guarded", "friendly", "tier:small", "tier:big", "hint:big"}
        models = (await at.gateway.get("/api/tags", a)).json["models"]
        assert {model["name"] for model in models} == {"guarded:latest", "friendly:latest"}


@pytest_twisted.ensureDeferred
async def test_strangers_use_the_public_profile_and_name_no_other_and_no_tier_above_its_ladder(tmp_path):
    text = '[gateway]\npublic_profile = "open"\n' + CONFIG + CLIENTS.replace("{b}", "default")
    async with moded(tmp_path, text, KEYS) as at:
        assert (await at.chat()).headers["x-lmg-profile"] == "open"
        assert (await at.chat("hint:big")).headers["x-lmg-tier"] == "tier:big"
        for model in ("default", "open", "tier:expert", "model-expert", "claude-opus-9"):
            answer = await at.chat(model, headers=FLAG)
            assert answer.status == 403
            assert answer.message.startswith("A request without a known key may not use the")
        listed = {model["id"] for model in (await at.gateway.get("/v1/models")).json["data"]}
        assert listed == {"tier:small", "tier:big", "hint:big"}


@pytest_twisted.ensureDeferred
async def test_a_client_is_never_routed_to_a_tier_that_is_not_its_own(tmp_path):
    text = CONFIG + CLIENTS.replace("{b}", "default").replace('"tier:small", "hint:big"', '"tier:small"')
    async with moded(tmp_path, text, KEYS) as at:
        at["small"].next(says("I cannot help"))
        answer = await at.gateway.post(CHAT, asking(), {"Authorization": "Bearer key-of-a"})
        assert text_of(answer) == "I cannot help"
        assert at.asked == {"small": 1}
