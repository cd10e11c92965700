"""Failures over real sockets: what fails over without the client noticing, and what never does."""

import json

import grammar
import pytest
import pytest_twisted
from fakes import Cut, Silence, Stream, Whole, head, refused_port
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
)
from scenes import STREAMS, Scene

FAST = "[gateway]\nhealth_window = 0\n"
#: A local tier with a failover list, and a tier above it that nobody wrote down for it.
LISTED = FAST + ladder("local", "spare", "cloud", local='failover = ["tier:spare"]')
#: The same without the list.
UNLISTED = FAST + ladder("local", "spare", "cloud")
AUTOMATIC = UNLISTED + '[profiles.default]\nmode = "escalate"\nclassifier = "tier:local"\n'

OPEN_200 = head(200, [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")])
BUSY = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'

#: Failures before any content, after which another tier may answer.
BEFORE_CONTENT = {
    "closed at once": Cut(),
    "reset": Cut(reset=True),
    "closed after the head": Cut(OPEN_200),
    "closed after lifecycle events": Cut(OPEN_200 + b"%x\r\n%b\r\n" % (len(ROLE), ROLE)),
    "200, then an error": Cut(OPEN_200 + b"%x\r\n%b\r\n" % (len(ROLE + BUSY), ROLE + BUSY)),
    "200 with an error as its body": Whole(200, b'{"error":{"message":"overloaded","type":"server_error"}}'),
    "200 with nothing": Whole(200, b""),
    "200 with a page": Whole(200, b"<html>busy</html>", content_type="text/html"),
    "no HTTP": Cut(b"what?\r\n\r\n"),
    **{str(status): fails(status) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)},
    "a key refused": fails(401),
    "no credit": fails(402),
    "a quota used up": fails(429, "You exceeded your current quota", code="insufficient_quota"),
    "no such model": fails(404, "The model `x` does not exist", code="model_not_found"),
    "a key refused by 403": fails(403, "Your API key has no access"),
    "a redirect": Whole(302, b"", headers=(("Location", "http://elsewhere/"),)),
}
#: Failures that are the caller's own.
CALLERS = {status: fails(status, "your fault") for status in (400, 403, 405, 413, 418, 422)}


def three(folder, text):
    return house(folder, text, "local", "spare", "cloud")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("why", BEFORE_CONTENT)
@pytest_twisted.ensureDeferred
async def test_what_fails_before_content_fails_over_and_the_client_does_not_notice(tmp_path, why, stream):
    async with three(tmp_path, LISTED) as at:
        at["local"].next(BEFORE_CONTENT[why])
        at["spare"].next(says("Here I am."))
        answer = await at.chat("tier:local", stream=stream)
        assert (answer.status, answer.complete) == (200, True)
        said = grammar.openai(answer.body)["text"] if stream else text_of(answer)
        assert said == "Here I am."
        assert (answer.headers["x-lmg-tier"], answer.headers["x-lmg-attempts"]) == ("tier:spare", "2")
        assert at.asked == {"local": 1, "spare": 1}


@pytest.mark.parametrize(("caller", "upstream"), [(caller, upstream) for caller in ROUTES for upstream in ROUTES])
@pytest_twisted.ensureDeferred
async def test_between_all_dialects_a_200_that_breaks_off_before_content_fails_over(tmp_path, caller, upstream):
    begun = STREAMS[upstream](Scene("Four.")).encode()
    lifecycle = begun[: begun.index(b"Fo")].rpartition(b"\n\n" if upstream != "ollama" else b"\n")[0]
    text = LISTED.replace("base_url =", f'provider = "{upstream}"\nbase_url =')
    async with three(tmp_path, text) as at:
        for ending in ("close", "reset"):
            script = Stream(CONTENT_TYPES[upstream], first=lifecycle + b"\n\n")
            at["local"].next(script)
            at["spare"].next(says("Here I am.", upstream))
            body = asking(model="tier:local", stream=True, stream_options={"include_usage": True})
            client = await at.gateway.open(ROUTES[caller], body)
            await script.begun
            getattr(script, ending)()
            answer = await client.answer()
            assert grammar.check(caller, answer.body, include_usage=True)["text"] == "Here I am."
            await close(client)


@pytest.mark.parametrize("ending", ["close", "reset", "error"])
@pytest_twisted.ensureDeferred
async def test_after_content_nothing_is_replayed(tmp_path, ending):
    text = LISTED.replace("[gateway]", "[gateway]\nmax_retries = 2")
    async with three(tmp_path, text) as at:
        script = Stream(first=ROLE + delta("half"))
        at["local"].next(script)
        client = await at.stream("tier:local")
        await client.until(b"half")
        if ending == "error":
            script.send(BUSY)
        else:
            getattr(script, ending)()
        answer = await client.answer()
        assert not answer.complete
        assert grammar.openai(answer.body)["error"]
        assert client.bytes.count(b"half") == 1
        assert at.asked == {"local": 1}


@pytest_twisted.ensureDeferred
async def test_reasoning_is_content_too(tmp_path):
    async with three(tmp_path, LISTED) as at:
        script = Stream(first=ROLE + STREAMS["openai"](Scene(reasoning="hm")).split("\n\n")[1].encode() + b"\n\n")
        at["local"].next(script)
        client = await at.stream("tier:local")
        await client.until(b"reasoning_content")
        script.close()
        assert not (await client.answer()).complete
        assert at.asked == {"local": 1}


@pytest.mark.parametrize("status", CALLERS)
@pytest_twisted.ensureDeferred
async def test_the_callers_own_faults_are_passed_on(tmp_path, status):
    async with three(tmp_path, LISTED.replace("[gateway]", "[gateway]\nmax_retries = 2")) as at:
        at["local"].next(CALLERS[status])
        answer = await at.chat("tier:local")
        assert (answer.status, answer.message) == (status, "your fault")
        assert at.asked == {"local": 1}


@pytest.mark.parametrize("why", BEFORE_CONTENT)
@pytest_twisted.ensureDeferred
async def test_a_request_addressed_to_a_tier_never_reaches_one_that_nobody_wrote_down(tmp_path, why):
    async with three(tmp_path, UNLISTED) as at:
        at["local"].next(BEFORE_CONTENT[why])
        assert (await at.chat("tier:local")).status >= 400
        assert at.asked == {"local": 1}


@pytest_twisted.ensureDeferred
async def test_nor_when_nobody_listens_or_its_key_is_not_set_or_it_is_silent(tmp_path):
    text = UNLISTED.replace('"UP_KEY"', '"NOT_SET"', 1)
    async with three(tmp_path, text) as at:
        answer = await at.chat("tier:local")
        assert (answer.status, answer.headers["x-should-retry"]) == (503, "false")
        down = UNLISTED.replace("{local}", f"http://127.0.0.1:{refused_port()}")
        at.gateway.reload(down.format(spare=at["spare"].url, cloud=at["cloud"].url))
        assert (await at.chat("tier:local")).status == 502
        silent = UNLISTED.replace("api_key_env", "timeout_ms = 60\napi_key_env", 1)
        at.gateway.reload(silent.format(**{name: at[name].url for name in ("local", "spare", "cloud")}))
        at["local"].next(Silence())
        assert (await at.chat("tier:local")).status == 504
        assert at.asked == {"local": 1}


@pytest_twisted.ensureDeferred
async def test_the_failover_list_is_all_there_is(tmp_path):
    async with three(tmp_path, LISTED) as at:
        at["local"].next(fails(503))
        at["spare"].next(fails(500, "spare is down too"))
        answer = await at.chat("tier:local")
        assert (answer.status, answer.message) == (500, "spare is down too")
        assert at.asked == {"local": 1, "spare": 1}


@pytest_twisted.ensureDeferred
async def test_first_retries_then_the_failover_list_then_the_next_tier_up(tmp_path):
    text = AUTOMATIC.replace("[gateway]", "[gateway]\nmax_retries = 1\nretry_delay_ms = 1")
    text = text.replace('model = "model-local"', 'model = "model-local"\nfailover = ["tier:spare"]')
    async with three(tmp_path, text) as at:
        for name in ("local", "spare"):
            at[name].next(fails(503), fails(503))
        assert (await at.chat()).status == 200
        tried = [("tier:local", 503)] * 2 + [("tier:spare", 503)] * 2 + [("tier:cloud", 200)]
        assert at.tried == tried


@pytest_twisted.ensureDeferred
async def test_a_refused_key_is_the_gateways_fault(tmp_path):
    async with three(tmp_path, UNLISTED) as at:
        for stream in (True, False):
            at["local"].next(fails(401, "Incorrect API key provided: sk-secret"))
            answer = await at.chat("tier:local", stream=stream)
            assert (answer.status, answer.headers["x-should-retry"]) == (502, "false")
            assert "refused the gateway's key (upstream 401)" in answer.message
            assert "sk-secret" not in answer.message


@pytest_twisted.ensureDeferred
async def test_a_prompt_that_the_provider_finds_too_long_goes_to_the_next_larger_window(tmp_path):
    windows = {"local": "max_context_tokens = 4000", "spare": "max_context_tokens = 4000"}
    text = FAST + ladder("local", "spare", "cloud", **windows)
    async with three(tmp_path, text + '[profiles.default]\nmode = "escalate"\nclassifier = "tier:local"\n') as at:
        at["local"].next(fails(400, "This model's maximum context length is 4000", code="context_length_exceeded"))
        answer = await at.chat()
        assert (answer.status, answer.headers["x-lmg-tier"]) == (200, "tier:cloud")
        assert at.asked == {"local": 1, "cloud": 1}


@pytest_twisted.ensureDeferred
async def test_a_stream_that_ends_without_its_last_words_is_whole_by_its_finish(tmp_path):
    async with three(tmp_path, LISTED) as at:
        script = Stream(first=ROLE + delta("Four.") + STOP)
        at["local"].next(script)
        client = await at.stream("tier:local")
        await client.until(b"Four.")
        script.end()
        answer = await client.answer()
        assert answer.complete
        assert grammar.openai(answer.body)["text"] == "Four."
        assert answer.body.endswith(DONE)
        await close(client)


@pytest_twisted.ensureDeferred
async def test_the_record_tells_every_attempt(tmp_path):
    async with three(tmp_path, LISTED) as at:
        at["local"].next(fails(503, "no room"))
        await at.gateway.post(CHAT, json.dumps(asking(model="tier:local")).encode())
        first, second = at.gateway.last.attempts
        assert (first.tier, first.backend, first.status) == ("tier:local", "local", 503)
        assert "no room" in first.error
        assert (second.tier, second.status, second.error) == ("tier:spare", 200, None)
