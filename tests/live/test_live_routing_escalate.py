"""Escalation over real sockets: the cheapest sufficient answer, live from the moment it is accepted."""

import grammar
import pytest
import pytest_twisted
from fakes import Cut, Silence, Stream
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
    event,
    fails,
    house,
    ladder,
    says,
    text_of,
    turns,
)
from scenes import STREAMS, Scene

REFUSAL = "I'm sorry, but I cannot help with that."
LADDER = ladder("cheap", "mid", "big", more='[profiles.default]\nmode = "escalate"\nclassifier = "tier:cheap"\n')
SHORT = LADDER.replace("classifier =", 'max_auto_tier = "tier:mid"\nclassifier =')
PAIRS = [(caller, upstream) for caller in ROUTES for upstream in ROUTES]


def escalating(folder, text=LADDER):
    return house(folder, text, "cheap", "mid", "big")


@pytest_twisted.ensureDeferred
async def test_the_first_token_of_an_accepted_answer_arrives_as_soon_as_it_is_accepted(tmp_path):
    async with escalating(tmp_path) as at:
        script = Stream(first=ROLE + delta("x" * 119))
        at["cheap"].next(script)
        client = await at.stream()
        await script.begun
        await turns()
        assert client.bytes == b""  # 119 characters: a refusal may still come
        script.send(delta("y"))
        seen = await client.until(b'"y"')
        assert b'"' + b"x" * 119 in seen
        assert b"X-LMG-Tier: tier:cheap" in seen
        script.send(delta("live"))
        assert b"live" in await client.until(b"live")
        script.send(STOP, DONE)
        script.end()
        assert (await client.answer()).complete
        await close(client)
        assert at.asked == {"cheap": 1}


@pytest.mark.parametrize("last", [delta("Yes.") + STOP, delta("Yes.") + event(delta={}, finish_reason="length")])
@pytest_twisted.ensureDeferred
async def test_a_finish_decides(tmp_path, last):
    async with escalating(tmp_path) as at:
        script = Stream(first=ROLE + last)
        at["cheap"].next(script)
        client = await at.stream()
        assert b"Yes." in await client.until(b"Yes.")
        script.send(DONE)
        script.end()
        assert (await client.answer()).complete
        await close(client)


@pytest_twisted.ensureDeferred
async def test_the_beginning_of_a_tool_call_decides(tmp_path):
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    async with escalating(tmp_path) as at:
        at["cheap"].next(Stream(first=ROLE + delta("As an AI") + event(delta={"tool_calls": [call]})))
        client = await at.stream()
        assert b'"name": "f"' in await client.until(b'"name": "f"')
        await close(client)


@pytest_twisted.ensureDeferred
async def test_a_refused_answer_never_shows_and_its_upstream_is_cancelled(tmp_path):
    async with escalating(tmp_path) as at:
        script, good = Stream(first=ROLE + delta(REFUSAL.ljust(120, "!"))), Stream(first=ROLE)
        at["cheap"].next(script)
        at["mid"].next(good)
        client = await at.stream()
        connection = await script.begun
        await connection.closed  # in the middle of its answer
        await good.begun
        assert client.bytes == b""
        good.send(delta("Certainly."), STOP, DONE)
        good.end()
        answer = await client.answer()
        assert grammar.openai(answer.body)["text"] == "Certainly."
        assert b"sorry" not in client.bytes
        headers = {name: answer.headers[f"x-lmg-{name}"] for name in ("tier", "model", "attempts", "escalated")}
        assert headers == {"tier": "tier:mid", "model": "model-mid", "attempts": "2", "escalated": "true"}
        await close(client)
        assert at.gateway.last.escalated


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
@pytest_twisted.ensureDeferred
async def test_between_all_dialects_a_refused_stream_never_shows(tmp_path, caller, upstream):
    provider = f'provider = "{upstream}"\nbase_url ='
    async with escalating(tmp_path, LADDER.replace("base_url =", provider)) as at:
        refused = STREAMS[upstream](Scene(REFUSAL.ljust(400, "!"), reasoning="hm, hm")).encode()
        script = Stream(CONTENT_TYPES[upstream], first=refused[: refused.rindex(b"!")])
        at["cheap"].next(script)
        at["mid"].next(says("Certainly.", upstream, reasoning="hm"))
        client = await at.gateway.open(ROUTES[caller], asking(stream=True, stream_options={"include_usage": True}))
        await (await script.begun).closed
        answer = await client.answer()
        told = grammar.check(caller, answer.body, include_usage=True)
        assert (told["text"], told["reasoning"]) == ("Certainly.", "hm")
        assert answer.headers["x-lmg-tier"] == "tier:mid"
        await close(client)


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
@pytest_twisted.ensureDeferred
async def test_between_all_dialects_a_refused_whole_answer_never_shows(tmp_path, caller, upstream):
    provider = f'provider = "{upstream}"\nbase_url ='
    async with escalating(tmp_path, LADDER.replace("base_url =", provider)) as at:
        at["cheap"].next(says(REFUSAL, upstream))
        at["mid"].next(says("Certainly.", upstream))
        answer = await at.gateway.post(ROUTES[caller], asking())
        assert b"Certainly." in answer.body
        assert b"sorry" not in answer.body
        assert answer.headers["x-lmg-escalated"] == "true"


@pytest_twisted.ensureDeferred
async def test_the_last_tier_is_never_held(tmp_path):
    async with escalating(tmp_path, SHORT) as at:
        at["cheap"].next(says("I don't know"))
        script = Stream(first=ROLE + delta("As"))
        at["mid"].next(script)
        client = await at.stream()
        assert b'"As"' in await client.until(b'"As"')
        assert b"X-LMG-Escalated: true" in client.bytes
        await close(client)
        assert at.asked == {"cheap": 1, "mid": 1}


@pytest_twisted.ensureDeferred
async def test_if_none_is_sufficient_the_last_answer_is_returned_marked_exhausted(tmp_path):
    async with escalating(tmp_path) as at:
        for name in ("cheap", "mid", "big"):
            at[name].next(says(f"I don\N{RIGHT SINGLE QUOTATION MARK}t know, says {name}"))
        answer = await at.chat()
        assert text_of(answer).endswith("says big")
        assert answer.headers["x-lmg-escalated"] == "exhausted"
        assert at.tried == [("tier:cheap", 200), ("tier:mid", 200), ("tier:big", 200)]


@pytest_twisted.ensureDeferred
async def test_if_all_failed_the_last_error_is_returned(tmp_path):
    async with escalating(tmp_path) as at:
        for status, name in ((500, "cheap"), (503, "mid"), (529, "big")):
            at[name].next(fails(status, f"{name} is busy"))
        answer = await at.chat(stream=True)
        assert (answer.status, answer.message) == (503, "big is busy")  # 529 is Anthropic's own


@pytest_twisted.ensureDeferred
async def test_an_insufficient_answer_is_better_than_none(tmp_path):
    async with escalating(tmp_path, SHORT) as at:
        at["cheap"].next(says("I don't know"), says("I don't know"))
        at["mid"].next(fails(503))
        answer = await at.chat(stream=True)
        assert grammar.openai(answer.body)["text"] == "I don't know"
        assert answer.headers["x-lmg-escalated"] == "exhausted"
        assert answer.headers["x-lmg-tier"] == "tier:cheap"
        assert at.asked == {"cheap": 2, "mid": 1}


@pytest_twisted.ensureDeferred
async def test_a_name_sets_where_the_ladder_starts_and_one_above_it_is_a_single_attempt(tmp_path):
    async with escalating(tmp_path, SHORT) as at:
        at["mid"].next(says("I don't know"))
        assert text_of(await at.chat("tier:mid")) == "I don't know"
        at["big"].next(says("I cannot help"), fails(503))
        assert text_of(await at.chat("tier:big")) == "I cannot help"
        assert (await at.chat("tier:big")).status == 503
        assert at.asked == {"mid": 1, "big": 2}


@pytest_twisted.ensureDeferred
async def test_what_a_profile_says_of_sufficiency_counts(tmp_path):
    text = LADDER + 'escalate_min_chars = 10\nescalate_peek_chars = 30\nrefusals = ["Ask Someone Else"]\n'
    async with escalating(tmp_path, text) as at:
        at["cheap"].next(says("too short"))
        at["mid"].next(says("Please ask SOMEONE else"), says("As an AI I do know: it is " + "42 " * 9))
        at["big"].next(says("42, as you wanted"))
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:big"
        at["cheap"].next(says(""))
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:mid"


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_while_an_answer_is_held_ends_it(tmp_path):
    async with escalating(tmp_path) as at:
        script = Stream(first=ROLE + delta("Hm"))
        at["cheap"].next(script)
        client = await at.stream()
        connection = await script.begun
        await close(client)
        await connection.closed
        assert at.asked == {"cheap": 1}
        assert at.gateway.last.end_reason == "client_gone"


@pytest_twisted.ensureDeferred
async def test_reasoning_is_held_with_its_attempt_up_to_a_megabyte(tmp_path):
    thought = event(delta={"reasoning_content": "hm " * 20_000})  # more bytes than its 60,000 characters
    async with escalating(tmp_path) as at:
        script = Stream(first=ROLE)
        at["cheap"].next(script)
        client = await at.stream()
        await script.begun
        script.send(*[thought] * 16)
        await turns(200)
        assert client.bytes == b""
        script.send(*[thought] * 2, delta("As an AI"))
        assert b"hm hm" in await client.until(b"As an AI")
        script.send(STOP, DONE)
        script.end()
        assert (await client.answer()).complete
        await close(client)
        assert at.asked == {"cheap": 1}  # what cannot be held any longer is the answer, whatever it says


@pytest.mark.parametrize("mode", ["escalate", "dispatch"])
@pytest_twisted.ensureDeferred
async def test_a_stream_without_any_content_is_not_held_for_ever(tmp_path, mode):
    text = LADDER.replace('"escalate"', f'"{mode}"').replace(
        'model = "model-cheap"', 'model = "model-cheap"\nfailover = ["tier:mid"]'
    )
    async with escalating(tmp_path, text) as at:
        script = Stream(first=ROLE)
        at["cheap"].next(script)
        at["mid"].next(says("Certainly."))
        client = await at.stream("tier:cheap")
        connection = await script.begun
        script.send(*[b": nothing\n" + ROLE] * 12_000)
        answer = await client.answer()
        assert grammar.openai(answer.body)["text"] == "Certainly."
        await connection.closed
        await close(client)


@pytest_twisted.ensureDeferred
async def test_a_held_answer_that_breaks_off_goes_up(tmp_path):
    async with escalating(tmp_path) as at:
        at["cheap"].next(Cut(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + ROLE + delta("Hm")))
        at["mid"].next(says("Certainly."))
        answer = await at.chat(stream=True)
        assert grammar.openai(answer.body)["text"] == "Certainly."
        assert "x-lmg-escalated" not in answer.headers  # a failure is no judgement


@pytest_twisted.ensureDeferred
async def test_a_held_answer_that_takes_too_long_is_a_504(tmp_path):
    text = "[gateway]\nrequest_timeout_ms = 80\n" + LADDER
    async with escalating(tmp_path, text) as at:
        script = Stream(first=ROLE + delta("Hm"))
        at["cheap"].next(script)
        at["mid"].next(Silence())
        answer = await at.gateway.post(CHAT, asking(stream=True))
        assert answer.status == 504
        assert b"Hm" not in answer.body
        await (await script.begun).closed
