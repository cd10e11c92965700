"""Classification over real sockets: one cheap call, what it sees, and what happens when it fails."""

import json

import grammar
import pytest
import pytest_twisted
from fakes import Cut, Silence, Stream, Whole
from routing_rig import CHAT, ROLE, ROUTES, asking, close, delta, fails, house, ladder, says, text_of, turns

from lmgw.core.usage import Tokens

NAMES = ("small", "mid", "big", "label", "other")
PROFILE = """
[profiles.default]
mode = "classify"
classifier = "tier:label"
max_auto_tier = "tier:big"
"""
CONFIG = ladder(*NAMES, more=PROFILE)
PROMPT = 'classifier_prompt = "Sort this."\n'


def classifying(folder, text=CONFIG):
    return house(folder, text, *NAMES)


@pytest_twisted.ensureDeferred
async def test_one_cheap_call_that_does_not_stream_labels_the_request(tmp_path):
    async with classifying(tmp_path, CONFIG + PROMPT) as at:
        at["label"].next(says("deep"))
        answer = await at.chat(None, "Prove it.", temperature=1.5, top_p=0.5, stop=["x"])
        assert answer.headers["x-lmg-tier"] == "tier:big"
        assert answer.headers["x-lmg-class"] == "deep"
        assert at.asked == {"label": 1, "big": 1}
        assert at.sent("label") == {
            "model": "model-label",
            "messages": [{"role": "system", "content": "Sort this."}, {"role": "user", "content": "Prove it."}],
            "temperature": 0,
            "max_tokens": 10,
        }


@pytest_twisted.ensureDeferred
async def test_what_it_takes_stands_in_the_record_and_is_the_classifiers_tiers_spending(tmp_path):
    priced = CONFIG.replace('model = "model-label"', 'model = "model-label"\ninput_price = 2.0\noutput_price = 4.0')
    async with classifying(tmp_path, priced) as at:
        at["label"].next(says("deep"))
        await at.chat()
        (spent,) = at.gateway.last.classifying
        assert (spent.tier, spent.backend, spent.tokens) == ("tier:label", "label", Tokens(10, 5))
        assert spent.cost_usd == pytest.approx(0.00004)
        rows = at.gateway.engine.books.ledger.spend(at.gateway.engine.epoch_s())["today"]
        assert [(row["requests"], row["input"]) for row in rows if row["tier"] == "tier:label"] == [(0, 10)]


@pytest_twisted.ensureDeferred
async def test_it_sees_what_users_and_the_assistant_said_and_nothing_else(tmp_path):
    call = {"id": "c1", "type": "function", "function": {"name": "secret_tool", "arguments": '{"a":"secret"}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    messages = [
        {"role": "system", "content": "secret system text"},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, picture]},
        {"role": "assistant", "content": "Looking.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "secret result"},
        {"role": "developer", "content": "secret, too"},
        {"role": "user", "content": "And?"},
    ]
    tools = [{"type": "function", "function": {"name": "secret_tool", "parameters": {"type": "object"}}}]
    text = CONFIG + PROMPT + 'system_prompt = "secret profile text"\n'
    async with classifying(tmp_path, text) as at:
        at["label"].next(says("deep"))
        headers = {"X-Private": "secret", "Authorization": "Bearer secret", "Cookie": "secret"}
        answer = await at.chat(None, "", messages=messages, tools=tools, user="secret", headers=headers)
        assert answer.status == 200
        (request,) = at["label"].requests
        assert b"secret" not in request.body + repr(request.headers).encode()
        said = "[3 messages in conversation]\nUser: Look:\nAssistant: Looking.\nUser: And?"
        assert at.sent("label")["messages"][1:] == [{"role": "user", "content": said}]


@pytest_twisted.ensureDeferred
async def test_a_part_that_only_its_provider_knows_is_passed_over_and_passed_on(tmp_path):
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    content = [{"type": "text", "text": "What is this sound?"}, sound]
    async with classifying(
        tmp_path, CONFIG.replace('model = "model-big"', 'model = "model-big"\nmax_context_tokens = 4000')
    ) as at:
        at["label"].next(says("deep"))
        assert (await at.chat(None, "", messages=[{"role": "user", "content": content}])).status == 200
        assert at.sent("label")["messages"][1]["content"] == "What is this sound?"
        assert at.sent("big")["messages"][0]["content"] == content


@pytest.mark.parametrize(
    ("context", "seen"), [(1, "two"), (2, "[2 messages in conversation]\nAssistant: one\nUser: two")]
)
@pytest_twisted.ensureDeferred
async def test_it_sees_the_last_of_a_long_conversation(tmp_path, context, seen):
    messages = [{"role": role, "content": text} for role, text in (("user", "zero"), ("assistant", "one"))]
    messages.append({"role": "user", "content": "two"})
    async with classifying(tmp_path, CONFIG + f"classifier_context = {context}\n") as at:
        await at.chat(None, "", messages=messages)
        assert at.sent("label")["messages"][1]["content"] == seen


@pytest.mark.parametrize("more", ["classifier_context = 0\n", ""])
@pytest_twisted.ensureDeferred
async def test_where_there_is_nothing_to_classify_the_classifier_tier_answers(tmp_path, more):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content = "hello" if more else [picture]
    async with classifying(tmp_path, CONFIG + more) as at:
        answer = await at.chat(None, "", messages=[{"role": "user", "content": content}])
        assert (answer.headers["x-lmg-tier"], at.asked) == ("tier:label", {"label": 1})
        assert "x-lmg-class" not in answer.headers


@pytest.mark.parametrize(
    ("label", "tier"),
    [
        ("instant", "small"),
        (" Simple.\n", "small"),
        ("**moderate**", "mid"),
        ("fast", "mid"),
        ("complex", "big"),
        ("tier=deep class=math", "big"),
        ("mid", "mid"),
        ("tier:mid", "mid"),
        ("what?", "mid"),
        ("<think>deep? no.</think>instant", "small"),
        ("mood=calm", "small"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_label_means_a_tier_of_the_ladder(tmp_path, label, tier):
    async with classifying(tmp_path) as at:
        at["label"].next(says(label))
        assert (await at.chat()).headers["x-lmg-tier"] == f"tier:{tier}"


@pytest.mark.parametrize("caller", ROUTES)
@pytest.mark.parametrize("upstream", ROUTES)
@pytest_twisted.ensureDeferred
async def test_between_all_dialects_a_request_is_classified_and_streamed(tmp_path, caller, upstream):
    text = CONFIG.replace("base_url =", f'provider = "{upstream}"\nbase_url =')
    async with classifying(tmp_path, text) as at:
        at["label"].next(says("instant", upstream))
        at["small"].next(says("Hi.", upstream))
        body = asking("hello", "default", stream=True, system="be kind", stream_options={"include_usage": True})
        answer = await at.gateway.post(ROUTES[caller], body)
        assert grammar.check(caller, answer.body, include_usage=True)["text"] == "Hi."
        assert answer.headers["x-lmg-class"] == "instant"
        sent = at.sent("label")
        assert sent["stream"] is False if upstream == "ollama" else "stream" not in sent
        assert (sent.get("options") or sent)["temperature"] == 0
        assert "be kind" not in json.dumps(sent)
        assert sent["messages"][-1]["content"] in ("hello", [{"type": "text", "text": "hello"}])


@pytest_twisted.ensureDeferred
async def test_thinking_is_off_unless_the_profile_wants_it(tmp_path):
    able = CONFIG.replace('"model-label"', '"qwen3:4b"\n[tiers.capabilities]\nthinking = "budget"')
    able = able.replace("[backends.label]\nbase_url", '[backends.label]\nprovider = "ollama"\nbase_url')
    for more, think in (("", False), ("classifier_think = true\n", None)):
        async with classifying(tmp_path, able + more) as at:
            at["label"].next(says("deep", "ollama"))
            assert (await at.chat()).headers["x-lmg-tier"] == "tier:big"
            assert at.sent("label").get("think") is think


BROKEN = {
    "an error": fails(500),
    "a refusal": fails(400),
    "closed": Cut(),
    "no answer": Silence(),
    "nothing said": says(""),
    "only thoughts": says("<think>hm"),
    "no JSON": Whole(200, b"<html>"),
}


@pytest.mark.parametrize("why", BROKEN)
@pytest_twisted.ensureDeferred
async def test_a_failure_or_an_empty_answer_asks_the_fallback_classifier(tmp_path, why):
    text = CONFIG + 'classifier_timeout_ms = 80\nclassifier_fallback = "tier:other"\n'
    async with classifying(tmp_path, text) as at:
        at["label"].next(BROKEN[why])
        at["other"].next(says("deep"))
        answer = await at.chat()
        assert (answer.headers["x-lmg-tier"], answer.headers["x-lmg-class"]) == ("tier:big", "deep")
        assert at.asked == {"label": 1, "other": 1, "big": 1}


@pytest.mark.parametrize("why", BROKEN)
@pytest_twisted.ensureDeferred
async def test_without_one_it_is_the_ladders_first_tier_and_no_class(tmp_path, why):
    async with classifying(tmp_path, CONFIG + "classifier_timeout_ms = 80\n") as at:
        at["label"].next(BROKEN[why])
        answer = await at.chat()
        assert (answer.status, answer.headers["x-lmg-tier"]) == (200, "tier:small")
        assert "x-lmg-class" not in answer.headers
        assert at.asked == {"label": 1, "small": 1}


@pytest_twisted.ensureDeferred
async def test_there_is_no_second_call_however_often_the_request_is_tried(tmp_path):
    text = "[gateway]\nmax_retries = 2\nretry_delay_ms = 1\n" + CONFIG
    async with classifying(tmp_path, text) as at:
        at["label"].next(says("instant"))
        for name in ("small", "mid"):
            at[name].next(*[fails(503)] * 3)
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:big"
        assert at.asked == {"label": 1, "small": 3, "mid": 3, "big": 1}


@pytest_twisted.ensureDeferred
async def test_what_names_a_tier_is_not_classified_and_what_names_nothing_here_is(tmp_path):
    async with classifying(tmp_path) as at:
        assert (await at.chat("tier:mid")).headers["x-lmg-tier"] == "tier:mid"
        assert at.asked == {"mid": 1}
        at["label"].next(says("deep"), says("deep"))
        answer = await at.chat("gpt-9")
        assert (answer.headers["x-lmg-tier"], answer.headers["x-lmg-fallback"]) == ("tier:big", "unknown-model")
        assert "x-lmg-fallback" not in (await at.chat("default:latest")).headers


@pytest_twisted.ensureDeferred
async def test_the_call_is_queued_like_any_other_at_the_requests_priority(tmp_path):
    one_at_a_time = CONFIG.replace('model = "model-label"', 'model = "model-label"\nmax_concurrent = 1')
    async with classifying(tmp_path, one_at_a_time) as at:
        first = Silence()
        at["label"].next(first, says("instant"), says("instant"))
        holder = await at.stream(None, "first")
        await at["label"].asked(1)
        low = await at.gateway.open(CHAT, asking("low"), {"X-LMG-Priority": "1"})
        await turns()
        high = await at.gateway.open(CHAT, asking("high"), {"X-LMG-Priority": "9"})
        await turns()
        assert at.asked == {"label": 1}
        await close(holder)
        assert (await high.answer()).status == (await low.answer()).status == 200
        assert [at.sent("label", nth)["messages"][1]["content"] for nth in (1, 2)] == ["high", "low"]
        await close(low)
        await close(high)


@pytest_twisted.ensureDeferred
async def test_the_place_in_the_classifiers_line_is_free_while_the_answer_streams(tmp_path):
    one_at_a_time = CONFIG.replace('model = "model-label"', 'model = "model-label"\nmax_concurrent = 1')
    async with classifying(tmp_path, one_at_a_time) as at:
        script = Stream(first=ROLE + delta("long"))
        at["label"].next(says("deep"), says("instant"))
        at["big"].next(script)
        client = await at.stream()
        await client.until(b"long")
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:small"
        await close(client)


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_ends_the_call(tmp_path):
    async with classifying(tmp_path) as at:
        at["label"].next(Silence())
        client = await at.stream()
        await at["label"].asked()
        await close(client)
        await at["label"].connections[0].closed
        assert at.asked == {"label": 1}


@pytest_twisted.ensureDeferred
async def test_a_classifier_that_is_down_is_not_asked_again_for_a_while(tmp_path):
    async with classifying(tmp_path) as at:
        at["label"].next(*[fails(503)] * 3)
        for _ in range(4):
            answer = await at.chat()
            assert (answer.status, answer.headers["x-lmg-tier"]) == (200, "tier:small")
        assert at.asked == {"label": 3, "small": 4}


@pytest_twisted.ensureDeferred
async def test_a_failed_attempt_goes_up_from_the_tier_of_the_label(tmp_path):
    async with classifying(tmp_path) as at:
        at["label"].next(says("moderate"))
        at["mid"].next(fails(500))
        answer = await at.chat()
        assert answer.headers["x-lmg-tier"] == "tier:big"
        assert text_of(answer)
        assert at.asked == {"label": 1, "mid": 1, "big": 1}


@pytest_twisted.ensureDeferred
async def test_completions_and_embeddings_are_never_classified(tmp_path):
    async with classifying(tmp_path) as at:
        answer = await at.gateway.post("/v1/completions", {"model": "default", "prompt": "Once"})
        assert answer.headers["x-lmg-tier"] == "tier:label"
        answer = await at.gateway.post("/v1/embeddings", {"model": "tier:mid", "input": "x"})
        assert answer.headers["x-lmg-tier"] == "tier:mid"
        assert at.asked == {"label": 1, "mid": 1}
        assert (await at.gateway.post("/v1/embeddings", {"model": "default", "input": "x"})).status == 404
