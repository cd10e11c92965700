"""The golden cases through a whole gateway: what the provider is sent, headers too, and what the client gets."""

import json

import golden
import grammar
import pytest
import pytest_twisted
from canary import CANARY
from fakes import FakeUpstream, Stream, Whole
from gateway_rig import Gateway
from twisted.internet.defer import Deferred

CLIENT_KEY = "sk-client-test"
CONFIG = """
[gateway]
health_window = 0
public_profile = "default"

[backends.up]
provider = "{provider}"
base_url = "{url}"
api_key_env = "UP_KEY"

[[tiers]]
name = "tier"
backend = "up"
model = "{model}"
capabilities = {{ {capabilities} }}

[aliases]
test-model = "tier"

[[clients]]
key_env = "CLIENT_KEY"
profile = "default"
"""
ANTHROPIC_HEADERS = {"x-api-key": CLIENT_KEY, "anthropic-version": "2023-06-01"}
OPENAI_HEADERS = {"authorization": f"Bearer {CLIENT_KEY}"}
#: Where a caller of each dialect asks, and with what; Ollama's have no key as a rule.
CALLERS = {
    "openai": ("/v1/chat/completions", OPENAI_HEADERS),
    "openai_embeddings": ("/v1/embeddings", OPENAI_HEADERS),
    "responses": ("/v1/responses", OPENAI_HEADERS),
    "anthropic": ("/v1/messages", ANTHROPIC_HEADERS),
    "ollama": ("/api/chat", {}),
    "ollama_embeddings": ("/api/embed", {}),
}
STREAMS = {
    "openai": "text/event-stream",
    "anthropic": "text/event-stream",
    "responses": "text/event-stream",
    "ollama": "application/x-ndjson",
}


def cases(kind):
    found = golden.load(kind).items()
    return [pytest.param(case, id=name) for name, case in found if case["caller"] in CALLERS]


@pytest.fixture(scope="module")
def upstream():
    fake = pytest_twisted.blockon(Deferred.fromCoroutine(FakeUpstream.start()))
    yield fake
    pytest_twisted.blockon(Deferred.fromCoroutine(fake.stop()))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, upstream):
    text = configured(upstream, {"model": "m", "upstream": "openai", "capabilities": {}})
    folder = tmp_path_factory.mktemp("gateway")
    environ = {"UP_KEY": CANARY, "CLIENT_KEY": CLIENT_KEY}
    running = pytest_twisted.blockon(Deferred.fromCoroutine(Gateway.start(folder, text, environ)))
    yield running
    pytest_twisted.blockon(Deferred.fromCoroutine(running.stop()))


def configured(upstream, case):
    capabilities = ", ".join(f"{name} = {json.dumps(value)}" for name, value in case["capabilities"].items())
    provider = case["upstream"].removesuffix("_embeddings")
    return CONFIG.format(url=upstream.url, provider=provider, model=case["model"], capabilities=capabilities)


async def ask(gateway, upstream, case, answer=None):
    """Configure the gateway for a case, send its request, let the provider answer like this."""
    gateway.reload(configured(upstream, case))
    if answer is not None:
        upstream.next(answer)
    path, headers = CALLERS[case["caller"]]
    return await gateway.post(path, case["request"], headers)


@pytest.mark.parametrize("case", cases("request"))
@pytest_twisted.ensureDeferred
async def test_what_is_sent(gateway, upstream, case):
    answer = await ask(gateway, upstream, case)
    assert answer.status == 200, answer.body
    sent = upstream.requests[-1]
    assert (sent.method, sent.path.decode()) == (b"POST", case["path"])
    assert golden.problems(json.loads(sent.body), case["checks"]) == []
    headers = {name.lower(): value for name, value in sent.headers}
    assert headers[b"content-type"] == b"application/json"
    key = CANARY.encode()
    if case["upstream"] == "anthropic":
        assert headers[b"x-api-key"] == key
        assert headers[b"anthropic-version"] == b"2023-06-01"
        assert b"authorization" not in headers
    else:
        assert headers[b"authorization"] == b"Bearer " + key
        assert not {b"x-api-key", b"anthropic-version"} & headers.keys()
    assert CLIENT_KEY.encode() not in b"".join(headers.values())


@pytest.mark.parametrize("case", cases("answer"))
@pytest_twisted.ensureDeferred
async def test_what_is_answered(gateway, upstream, case):
    answer = await ask(gateway, upstream, case, Whole(200, json.dumps(case["answer"]).encode()))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert golden.problems(answer.json, case["checks"]) == []


@pytest.mark.parametrize("case", cases("error"))
@pytest_twisted.ensureDeferred
async def test_what_an_error_becomes(gateway, upstream, case):
    body = case["answer"]
    script = (
        Whole(case["status"], body.encode(), content_type="text/html")
        if isinstance(body, str)
        else Whole(case["status"], json.dumps(body).encode())
    )
    answer = await ask(gateway, upstream, case, script)
    assert answer.status in case["expected_status"]
    assert answer.headers["content-type"] == "application/json"
    assert golden.problems(answer.json, case["checks"]) == []


@pytest.mark.parametrize("case", cases("stream"))
@pytest_twisted.ensureDeferred
async def test_what_is_streamed(gateway, upstream, case):
    content_type = STREAMS[case["upstream"]]
    script = Stream(content_type)
    script.begun.addCallback(lambda _: (script.send(*(piece.encode() for piece in case["stream"])), script.end()))
    answer = await ask(gateway, upstream, case, script)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(STREAMS[case["caller"]])
    include_usage = (case["request"].get("stream_options") or {}).get("include_usage", False)
    told = grammar.check(case["caller"], answer.body, include_usage)
    assert golden.problems(told, case["checks"]) == []
    assert answer.complete == (told["error"] is None), "a broken answer looks complete, or the other way round"


FINISHES = [
    pytest.param(entry, *pair, id=f"{entry['upstream']}-{entry['caller']}-{pair[0]}{'-tools' * entry['tools']}")
    for case in golden.load("finish").values()
    for entry in case["maps"]
    for pair in entry["pairs"]
]


@pytest.mark.parametrize(("entry", "given", "expected"), FINISHES)
@pytest_twisted.ensureDeferred
async def test_why_an_answer_ended(gateway, upstream, entry, given, expected):
    asked = {"model": "test-model", "max_tokens": 5, "stream": False, "messages": [{"role": "user", "content": "x"}]}
    case = {**entry, "model": "m", "capabilities": {}, "request": asked}
    body = json.dumps(golden.answer_of(entry["upstream"], given, entry["tools"])).encode()
    found = (await ask(gateway, upstream, case, Whole(200, body))).json
    reason = {
        "openai": lambda: found["choices"][0]["finish_reason"],
        "anthropic": lambda: found["stop_reason"],
        "ollama": lambda: found["done_reason"],
    }
    assert reason[entry["caller"]]() == expected


@pytest.mark.parametrize("case", cases("local"))
@pytest_twisted.ensureDeferred
async def test_what_the_gateway_answers_itself(gateway, upstream, case):
    gateway.reload(configured(upstream, {"model": "m", "upstream": "openai", "capabilities": {}}))
    before = len(upstream.requests)
    client = await gateway.open(case["path"], case["request"], case["headers"], method=case["method"])
    answer = await client.answer()
    client.drop()
    await client.closed
    assert (answer.status, answer.headers["content-type"]) == (case["status"], "application/json")
    assert golden.problems(answer.json, case["checks"]) == []
    assert len(upstream.requests) == before
