"""Rules, cascades, prompts and thinking by label, over real sockets."""

import json

import grammar
import pytest
import pytest_twisted
from routing_rig import ROUTES, asking, house, ladder, says, text_of

NAMES = ("small", "mid", "big", "code", "label", "other")
CONFIG = ladder(
    *NAMES,
    more="""
[aliases]
"hint:coder" = "tier:code"

[profiles.default]
mode = "classify"
classifier = "tier:label"
max_auto_tier = "tier:big"
system_prompt = "You are the house."

[profiles.default.class_prompts]
music = "Name the composer."

[[profiles.default.rules]]
when = { class = "greeting" }
route_to = "tier:mid"

[[profiles.default.rules]]
when = { class = "greeting", mood = "angry" }
route_to = "tier:big"
priority = 5

[[profiles.default.rules]]
when = { lang = "rust" }
route_to = "hint:coder"

[[profiles.default.rules]]
when = { topic = "code" }
route_to = "code"

[profiles.code]
mode = "classify"
classifier = "tier:other"
max_auto_tier = "tier:mid"
system_prompt = "You are a programmer."

[profiles.code.class_prompts]
bug = "Find the cause first."

[[profiles.code.rules]]
when = { topic = "review" }
route_to = "judged"

[profiles.judged]
mode = "escalate"
classifier = "tier:small"
""",
)


def ruled(folder, text=CONFIG):
    return house(folder, text, *NAMES)


@pytest.mark.parametrize(
    ("label", "tier"),
    [
        ("class=greeting", "mid"),
        ("Greeting", "mid"),  # a bare label counts as its class
        ("class=GREETING mood=Angry.", "big"),  # the higher priority, though it comes later
        ("deep lang=rust", "code"),  # an alias of a tier above the ladder
        ("deep lang=c", "big"),  # no rule: the ladder
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_first_rule_whose_pairs_all_match_says_where(tmp_path, label, tier):
    async with ruled(tmp_path) as at:
        at["label"].next(says(label))
        answer = await at.chat()
        assert answer.headers["x-lmg-tier"] == f"tier:{tier}"
        assert at.asked == {"label": 1, tier: 1}


@pytest_twisted.ensureDeferred
async def test_a_rule_leads_on_to_a_profile_with_its_own_classifier_rules_and_ladder(tmp_path):
    async with ruled(tmp_path) as at:
        at["label"].next(says("deep topic=code"))
        at["other"].next(says("deep class=bug"))
        answer = await at.chat()
        assert answer.headers["x-lmg-tier"] == "tier:mid"  # the last of that profile's ladder
        assert answer.headers["x-lmg-profile"] == "default -> code"
        assert answer.headers["x-lmg-class"] == "bug"
        assert at.asked == {"label": 1, "other": 1, "mid": 1}
        system = "Find the cause first.\n\nYou are a programmer."
        assert at.sent("mid")["messages"][0] == {"role": "system", "content": system}


@pytest_twisted.ensureDeferred
async def test_a_profile_that_a_rule_leads_to_runs_in_its_own_mode(tmp_path):
    async with ruled(tmp_path) as at:
        at["label"].next(says("topic=code"))
        at["other"].next(says("topic=review"))
        at["small"].next(says("I cannot help"))
        at["mid"].next(says("Looks good."))
        answer = await at.chat()
        assert text_of(answer) == "Looks good."
        assert answer.headers["x-lmg-profile"] == "default -> code -> judged"
        assert answer.headers["x-lmg-escalated"] == "true"


@pytest.mark.parametrize("upstream", ROUTES)
@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_the_class_prompt_goes_before_the_profiles_before_the_callers(tmp_path, caller, upstream):
    text = CONFIG.replace("base_url =", f'provider = "{upstream}"\nbase_url =')
    body = asking("hello", "default")
    if caller == "anthropic":
        body["system"] = "Be kind."
    else:
        body["messages"].insert(0, {"role": "system", "content": "Be kind."})
    async with ruled(tmp_path, text) as at:
        at["label"].next(says("deep class=music", upstream))
        at["big"].next(says("Bach.", upstream))
        answer = await at.gateway.post(ROUTES[caller], body)
        assert answer.status == 200, answer
        assert answer.headers["x-lmg-class"] == "music"
        sent = at.sent("big")
        system = sent["system"] if upstream == "anthropic" else sent["messages"][0]["content"]
        said = system if isinstance(system, str) else "\n\n".join(part["text"] for part in system)
        assert said == "Name the composer.\n\nYou are the house.\n\nBe kind."
        users = [message["content"] for message in sent["messages"] if message["role"] == "user"]
        assert users in (["hello"], [[{"type": "text", "text": "hello"}]])


@pytest_twisted.ensureDeferred
async def test_without_system_text_of_the_callers_a_system_message_is_put_in_front(tmp_path):
    async with ruled(tmp_path) as at:
        at["label"].next(says("deep"))
        await at.chat()
        assert at.sent("big")["messages"] == [
            {"role": "system", "content": "You are the house."},
            {"role": "user", "content": "hello"},
        ]


KINDS = {
    "openai": ("gpt-5.4", "reasoning = true", lambda sent: sent.get("reasoning_effort"), "medium"),
    "ollama": ("qwen3:4b", 'thinking = "budget"', lambda sent: sent.get("think"), True),
    "anthropic": (
        "claude-sonnet-4-5",
        'thinking = "budget"',
        lambda sent: (sent.get("thinking") or {}).get("type"),
        "enabled",
    ),
}


#: What ``think = false`` sends.
OFF = {"openai": "none", "anthropic": None, "ollama": False}


@pytest.mark.parametrize("kind", KINDS)
@pytest_twisted.ensureDeferred
async def test_a_label_with_think_switches_thinking_on(tmp_path, kind):
    model, able, thinks, on = KINDS[kind]
    plain = 'model = "model-big"\n'
    text = CONFIG.replace(plain, f'model = "{model}"\n[tiers.capabilities]\n{able}\n')
    text = text.replace("[backends.big]\n", f'[backends.big]\nprovider = "{kind}"\n')
    async with ruled(tmp_path, text) as at:
        for label, expected in (("deep-think", on), ("deep", None)):
            at["label"].next(says(label))
            at["big"].next(says("Four.", kind))
            answer = await at.chat(None, "hello", max_tokens=9000)
            assert (answer.status, answer.headers["x-lmg-tier"]) == (200, "tier:big"), answer
            assert thinks(at.sent("big")) == expected, json.dumps(at.sent("big"))


@pytest.mark.parametrize("kind", KINDS)
@pytest_twisted.ensureDeferred
async def test_without_it_the_tiers_own_switch_counts(tmp_path, kind):
    model, able, thinks, on = KINDS[kind]
    for switch, label, expected in (("true", "deep", on), ("false", "deep", OFF[kind]), ("false", "deep-think", on)):
        text = CONFIG.replace(
            'model = "model-big"\n', f'model = "{model}"\nthink = {switch}\n[tiers.capabilities]\n{able}\n'
        )
        text = text.replace("[backends.big]\n", f'[backends.big]\nprovider = "{kind}"\n')
        async with ruled(tmp_path, text) as at:
            at["label"].next(says(label))
            at["big"].next(says("Four.", kind))
            assert (await at.chat(None, "hello", max_tokens=9000)).status == 200
            assert thinks(at.sent("big")) == expected, json.dumps(at.sent("big"))


@pytest_twisted.ensureDeferred
async def test_what_the_caller_says_of_thinking_stands(tmp_path):
    plain = 'model = "model-big"\n'
    text = CONFIG.replace(plain, 'model = "gpt-5.4"\n[tiers.capabilities]\nreasoning = true\n')
    async with ruled(tmp_path, text) as at:
        at["label"].next(says("deep-think"))
        await at.chat(None, "hello", reasoning_effort="high")
        assert at.sent("big")["reasoning_effort"] == "high"


@pytest_twisted.ensureDeferred
async def test_a_model_without_thinking_is_told_nothing(tmp_path):
    async with ruled(tmp_path) as at:
        at["label"].next(says("deep-think"))
        await at.chat()
        assert at.sent("big").keys() == {"model", "messages", "stream", "max_tokens"}


@pytest.mark.parametrize("caller", ROUTES)
@pytest_twisted.ensureDeferred
async def test_a_conversation_with_a_tool_result_never_lands_on_the_first_tier(tmp_path, caller):
    calls = {
        "openai": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "ollama": [{"function": {"name": "f", "arguments": {}}}],
    }
    if caller == "anthropic":
        turns = [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "7"}]},
        ]
    else:
        turns = [
            {"role": "assistant", "content": "", "tool_calls": calls[caller]},
            {"role": "tool", "tool_call_id": "c1", "content": "7"},
        ]
    body = asking("hello", "default")
    body["messages"] += turns
    async with ruled(tmp_path) as at:
        at["label"].next(says("instant"))
        answer = await at.gateway.post(ROUTES[caller], body)
        assert (answer.status, answer.headers["x-lmg-tier"]) == (200, "tier:mid"), answer


@pytest_twisted.ensureDeferred
async def test_a_cascade_streams(tmp_path):
    async with ruled(tmp_path) as at:
        at["label"].next(says("topic=code"))
        at["other"].next(says("instant"))
        answer = await at.chat(stream=True)
        assert grammar.openai(answer.body)["finish_reason"] == "stop"
        assert answer.headers["x-lmg-profile"] == "default -> code"
