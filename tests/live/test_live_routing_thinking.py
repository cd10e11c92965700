"""Thinking messages over real sockets: text as soon as a provider has answered 2xx, once, and never a commit."""

import json

import grammar
import pytest
import pytest_twisted
from fakes import Cut, Stream, Whole
from routing_rig import (
    CHAT,
    CONTENT_TYPES,
    DONE,
    ROLE,
    ROUTES,
    STOP,
    asking,
    close,
    delta,
    fails,
    house,
    ladder,
    says,
    text_of,
    turns,
)

HM = "Hm, let me see.\n\n"
PROFILE = f"""
[profiles.default]
mode = "escalate"
classifier = "tier:one"
thinking_messages = {{ "tier:one" = [{json.dumps(HM)}], "tier:two" = ["And again.\\n\\n"] }}
"""
CONFIG = "[gateway]\nhealth_window = 0\n" + ladder("one", "two", "three", more=PROFILE)
DISPATCH = CONFIG.replace("escalate", "dispatch")
PAIRS = [(caller, upstream) for caller in (*ROUTES, "responses") for upstream in ROUTES]
PATHS = {**ROUTES, "responses": "/v1/responses"}


def musing(folder, text=CONFIG):
    return house(folder, text, "one", "two", "three")


def body_of(caller, **fields):
    if caller == "responses":
        return {"input": "hello", "stream": True, **fields}
    return asking(stream=True, stream_options={"include_usage": True}, **fields)


@pytest_twisted.ensureDeferred
async def test_it_comes_when_the_provider_has_answered_and_before_the_first_token(tmp_path):
    async with musing(tmp_path) as at:
        script = Stream()
        at["one"].next(script)
        client = await at.stream()
        await script.begun
        seen = await client.until(b"let me see")
        assert b"X-LMG-Profile: default" in seen
        assert b"X-LMG-Tier" not in seen  # nothing is committed: another tier may answer
        script.send(ROLE, delta("Four."), STOP, DONE)
        script.end()
        answer = await client.answer()
        assert grammar.openai(answer.body)["text"] == HM + "Four."
        await close(client)
        assert at.gateway.last.tokens.source == "estimated"
        assert at.asked == {"one": 1}


@pytest_twisted.ensureDeferred
async def test_it_does_not_come_before_the_provider_has_answered(tmp_path):
    async with musing(tmp_path, DISPATCH) as at:
        at["one"].next(fails(400, "yours"))
        answer = await at.chat("tier:one", stream=True)
        assert (answer.status, answer.message) == (400, "yours")


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
@pytest_twisted.ensureDeferred
async def test_between_all_dialects_the_answer_goes_on_in_the_same_stream(tmp_path, caller, upstream):
    text = CONFIG.replace("base_url =", f'provider = "{upstream}"\nbase_url =')
    async with musing(tmp_path, text) as at:
        at["one"].next(says("Four.", upstream, reasoning="2+2"))
        answer = await at.gateway.post(PATHS[caller], body_of(caller))
        assert answer.complete
        told = grammar.check(caller, answer.body, include_usage=True)
        assert (told["text"], told["reasoning"]) == (HM + "Four.", "2+2")
        assert at.asked == {"one": 1}


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
@pytest_twisted.ensureDeferred
async def test_between_all_dialects_it_is_no_commit_a_later_attempt_goes_on(tmp_path, caller, upstream):
    text = CONFIG.replace("base_url =", f'provider = "{upstream}"\nbase_url =')
    async with musing(tmp_path, text) as at:
        script = Stream(CONTENT_TYPES[upstream])
        at["one"].next(script)
        at["two"].next(says("As an AI, I do not.", upstream, reasoning="never shown"))
        at["three"].next(says("Four.", upstream, reasoning="2+2"))
        client = await at.gateway.open(PATHS[caller], body_of(caller))
        await client.until(b"let me see")
        script.close()
        answer = await client.answer()
        assert answer.complete
        told = grammar.check(caller, answer.body, include_usage=True)
        assert (told["text"], told["reasoning"]) == (HM + "Four.", "2+2")
        assert b"again" not in answer.body  # once a request
        await close(client)
        assert at.tried == [("tier:one", 0), ("tier:two", 200), ("tier:three", 200)]


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
@pytest_twisted.ensureDeferred
async def test_between_all_dialects_a_failure_after_it_is_the_dialects_error(tmp_path, caller, upstream):
    text = DISPATCH.replace("base_url =", f'provider = "{upstream}"\nbase_url =')
    async with musing(tmp_path, text) as at:
        script = Stream(CONTENT_TYPES[upstream])
        at["one"].next(script)
        client = await at.gateway.open(PATHS[caller], body_of(caller))
        await client.until(b"let me see")
        script.close()
        answer = await client.answer()
        told = grammar.check(caller, answer.body, include_usage=True)
        assert told["error"]
        assert told["text"] == HM
        assert at.gateway.last.success is False
        await close(client)


@pytest.mark.parametrize("caller", PATHS)
@pytest_twisted.ensureDeferred
async def test_friendly_words_go_on_in_the_same_stream_too(tmp_path, caller):
    async with musing(tmp_path, DISPATCH + 'on_error = "chat"\n') as at:
        at["one"].next(Cut(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"))
        answer = await at.gateway.post(PATHS[caller], body_of(caller))
        assert answer.complete
        told = grammar.check(caller, answer.body, include_usage=True)
        assert told["text"].startswith(HM + "Sorry")
        assert told["error"] is None


@pytest_twisted.ensureDeferred
async def test_a_held_answer_is_judged_without_it(tmp_path):
    async with musing(tmp_path, CONFIG + "escalate_min_chars = 10\n") as at:
        at["one"].next(says("Short."))
        at["two"].next(says("This is long enough."))
        answer = await at.chat(stream=True)
        assert grammar.openai(answer.body)["text"] == HM + "This is long enough."


@pytest_twisted.ensureDeferred
async def test_keep_alives_follow_it_while_the_answer_is_held(tmp_path):
    text = CONFIG.replace("[gateway]", "[gateway]\nkeepalive_ms = 40\nearly_begin_ms = 0")
    async with musing(tmp_path, text) as at:
        script = Stream(first=ROLE)
        at["one"].next(script)
        client = await at.stream()
        assert b"let me see" in await client.until(b": keep-alive\n")
        script.send(delta("Four."), STOP, DONE)
        script.end()
        assert (await client.answer()).complete
        await close(client)


@pytest_twisted.ensureDeferred
async def test_the_clients_that_leave_end_it(tmp_path):
    async with musing(tmp_path) as at:
        script = Stream()
        at["one"].next(script)
        client = await at.stream()
        await client.until(b"let me see")
        await close(client)
        await (await script.begun).closed
        assert at.gateway.last.end_reason == "client_gone"


@pytest_twisted.ensureDeferred
async def test_streams_only(tmp_path):
    async with musing(tmp_path) as at:
        at["one"].next(says("Four."))
        assert text_of(await at.chat()) == "Four."


@pytest.mark.parametrize(
    ("caller", "fields"),
    [
        ("openai", {"response_format": {"type": "json_object"}}),
        ("openai", {"n": 2}),
        ("anthropic", {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
        ("ollama", {"format": "json"}),
        ("responses", {"text": {"format": {"type": "json_object"}}}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_not_where_the_answer_is_json_or_one_of_several(tmp_path, caller, fields):
    upstream = "openai" if caller == "responses" else caller
    text = CONFIG.replace("base_url =", f'provider = "{upstream}"\nbase_url =')
    async with musing(tmp_path, text) as at:
        at["one"].next(says('{"a": 1}', upstream))
        answer = await at.gateway.post(PATHS[caller], body_of(caller, **fields))
        assert grammar.check(caller, answer.body, include_usage=True)["text"] == '{"a": 1}'
        assert answer.headers["x-lmg-tier"] == "tier:one"


@pytest_twisted.ensureDeferred
async def test_not_in_completions(tmp_path):
    async with musing(tmp_path) as at:
        answer = await at.gateway.post("/v1/completions", {"model": "tier:one", "prompt": "x", "stream": True})
        assert answer.status == 200
        assert b"let me see" not in answer.body


@pytest_twisted.ensureDeferred
async def test_a_whole_answer_instead_of_a_stream_fails_over_before_anything_was_said(tmp_path):
    async with musing(tmp_path, CONFIG.replace('"tier:two" =', '"tier:three" =')) as at:
        at["one"].next(Whole(200, b'{"error":{"message":"busy","type":"server_error"}}'))
        at["two"].next(says("Four."))
        answer = await at.chat(stream=True)
        assert grammar.openai(answer.body)["text"] == "Four."
        assert answer.headers["x-lmg-tier"] == "tier:two"


@pytest_twisted.ensureDeferred
async def test_one_of_several_is_picked_by_chance(tmp_path):
    text = CONFIG.replace(f"[{json.dumps(HM)}]", '["a ", "b ", "c "]')
    async with musing(tmp_path, text) as at:
        chances = iter((0.0, 0.5, 0.99))
        at.gateway.engine.random = lambda: next(chances)
        said = []
        for _ in range(3):
            at["one"].next(says("x" * 120))
            said.append(grammar.openai((await at.chat(stream=True)).body)["text"][0])
        assert said == ["a", "b", "c"]


@pytest_twisted.ensureDeferred
async def test_the_callers_request_still_passes_through_unchanged(tmp_path):
    body = b'{"x_odd":1.50e2,"messages":[{"role":"user","content":"hi"}],"model":"tier:one","stream":true}'
    async with musing(tmp_path, DISPATCH.replace("base_url", "stream_usage = false\nbase_url")) as at:
        await at.gateway.post(CHAT, body)
        await turns()
        assert at["one"].requests[0].body == body.replace(b'"tier:one"', b'"model-one"')
