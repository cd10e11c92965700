"""What goes wrong at a provider, as the official SDKs raise it: every shape of error to each caller's dialect."""

import json

import anthropic
import ollama
import openai
import pytest
import pytest_twisted
from fakes import Cut, Silence, Whole
from sdk_rig import ERRORS, broken_off, in_thread, sdk_bench

CALLERS = ("openai", "anthropic", "ollama")
MANNERS = {"openai": ("create", "stream"), "anthropic": ("create", "stream"), "ollama": ("chat", "chat_stream")}
#: What each status is called, by Anthropic and by OpenAI.
TYPES = {
    400: ("invalid_request_error", "invalid_request_error", None),
    402: ("billing_error", "insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "permission_error", None),
    404: ("not_found_error", "invalid_request_error", "model_not_found"),
    409: ("conflict_error", "conflict_error", None),
    413: ("request_too_large", "invalid_request_error", None),
    422: ("invalid_request_error", "invalid_request_error", None),
    429: ("rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
    500: ("api_error", "server_error", None),
    502: ("api_error", "server_error", None),
    503: ("overloaded_error", "overloaded_error", None),
    504: ("timeout_error", "timeout_error", None),
    529: ("overloaded_error", "overloaded_error", None),
}
OPENAI_CLASSES = {
    400: openai.BadRequestError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}
ANTHROPIC_CLASSES = {
    400: anthropic.BadRequestError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    422: anthropic.UnprocessableEntityError,
    429: anthropic.RateLimitError,
}


def like_openai(message, type="invalid_request_error", **more):
    return {"error": {"message": message, "type": type, "param": None, "code": None, **more}}


def like_anthropic(message, type):
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_up"}


#: Who answers, with which status and body; what the caller gets: status and words.
SHAPES = [
    ("openai", 400, like_openai("no such field"), 400, "no such field"),
    ("openai", 403, like_openai("not from this country", code="unsupported_country"), 403, "country"),
    ("openai", 404, like_openai("The model `x` does not exist", code="model_not_found"), 404, "does not exist"),
    ("openai", 409, like_openai("try again", "conflict"), 409, "try again"),
    ("openai", 422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}, 422, "messages: Field"),
    ("openai", 422, {"detail": "Unprocessable"}, 422, "Unprocessable"),
    ("openai", 429, like_openai("slow down", "requests", code="rate_limit_exceeded"), 429, "slow down"),
    ("openai", 429, like_openai("You exceeded your current quota", "insufficient_quota"), 429, "current quota"),
    ("openai", 402, like_openai("Insufficient credits", code=402), 402, "Insufficient credits"),
    ("openai", 400, {"object": "error", "message": "too many", "type": "BadRequestError", "code": 400}, 400, "many"),
    ("openai", 500, {"error": "just words"}, 500, "just words"),
    ("openai", 500, like_openai("boom", "server_error"), 500, "boom"),
    ("openai", 502, "<html><head><title>x</title></head><body><h1>Bad gateway</h1></body></html>", 502, "Bad gateway"),
    ("openai", 500, "Internal Server Error", 500, "Internal Server Error"),
    ("openai", 400, "", 400, "gave no reason"),
    ("openai", 503, like_openai("Loading model", "unavailable_error", code=503), 503, "Loading model"),
    ("openai", 529, {"error": {"message": "overloaded", "type": "unknown"}}, 529, "overloaded"),
    ("openai", 200, like_openai("inside", "server_error"), 500, "inside"),
    ("openai", 200, like_openai("inside", code=429), 429, "inside"),
    ("openai", 200, {"strange": True}, 502, "holds no"),
    ("anthropic", 400, like_anthropic("max_tokens: too large", "invalid_request_error"), 400, "too large"),
    ("anthropic", 404, like_anthropic("model: x", "not_found_error"), 404, "model: x"),
    ("anthropic", 413, like_anthropic("Request exceeds the maximum size", "request_too_large"), 413, "maximum"),
    ("anthropic", 429, like_anthropic("of your organization", "rate_limit_error"), 429, "organization"),
    ("anthropic", 500, like_anthropic("Internal server error", "api_error"), 500, "Internal"),
    ("anthropic", 504, like_anthropic("took too long", "timeout_error"), 504, "too long"),
    ("anthropic", 529, like_anthropic("Overloaded", "overloaded_error"), 529, "Overloaded"),
    ("anthropic", 400, like_openai("as llama-server says it"), 400, "llama-server"),
    ("anthropic", 200, like_anthropic("inside", "overloaded_error"), 529, "inside"),
    ("ollama", 400, {"error": "invalid think value"}, 400, "think value"),
    ("ollama", 404, {"error": "model 'qwen3-vl:8b' not found"}, 404, "not found"),
    ("ollama", 500, {"error": "llama runner process has terminated"}, 500, "terminated"),
    ("ollama", 503, {"error": "server busy"}, 503, "busy"),
    ("ollama", 200, {"error": "inside"}, 502, "inside"),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
        yield bench


async def raised(bench, name, manner, tier):
    """Ask, and return the status, the words, the type and the code of what the SDK raises, and its class."""
    caller = bench.callers[name]
    with pytest.raises((openai.APIError, anthropic.APIError, ollama.ResponseError)) as caught:
        await in_thread(caller.ask, manner, tier, caller.user("Hello"))
    error = caught.value
    if name == "ollama":
        return error.status_code, error.error, None, None, type(error)
    if name == "anthropic":
        assert set(error.body) == {"type", "error", "request_id"}
        assert error.body["type"] == "error"
        return error.status_code, error.body["error"]["message"], error.body["error"]["type"], None, type(error)
    assert set(error.body) == {"message", "type", "param", "code"}
    return error.status_code, error.body["message"], error.body["type"], error.body["code"], type(error)


@pytest.mark.parametrize(("tier", "given", "body", "status", "words"), SHAPES)
@pytest.mark.parametrize("name", CALLERS)
@pytest_twisted.ensureDeferred
async def test_every_shape_of_error_becomes_the_callers(bench, name, tier, given, body, status, words):
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "application/json" if not isinstance(body, str) else "text/html" if "<" in body else "text/plain"
    if name != "anthropic" and status == 529:
        status = 503
    for manner in MANNERS[name]:
        bench.upstream.next(Whole(given, data, content_type=kind))
        got, message, type_, code, raised_class = await raised(bench, name, manner, tier)
        assert got == status
        assert words in message
        if name == "anthropic":
            assert type_ == TYPES[status][0]
            assert raised_class is ANTHROPIC_CLASSES.get(status, raised_class)
        elif name == "openai":
            assert raised_class is OPENAI_CLASSES.get(status, raised_class)
            if tier != "openai":
                assert (type_, code) == TYPES[status][1:]


@pytest.mark.parametrize(
    ("tier", "event", "status", "words"),
    [
        ("openai", ERRORS["openai"], 500, "boom"),
        ("openai", b'data: {"error":{"message":"busy","code":429}}\n\n', 429, "busy"),
        ("openai", b"data: [DONE]\n\n", 502, "before the answer was complete"),
        ("anthropic", ERRORS["anthropic"], 500, "boom"),
        (
            "anthropic",
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
            529,
            "Overloaded",
        ),
        ("ollama", ERRORS["ollama"], 502, "boom"),
    ],
)
@pytest.mark.parametrize("name", CALLERS)
@pytest_twisted.ensureDeferred
async def test_an_error_that_a_stream_begins_with_still_has_its_status(bench, name, tier, event, status, words):
    kind = "application/x-ndjson" if tier == "ollama" else "text/event-stream"
    bench.upstream.next(Whole(200, event, content_type=kind))
    got, message, type_, _, _ = await raised(bench, name, MANNERS[name][1], tier)
    if name != "anthropic" and status == 529:
        status = 503
    assert got == status
    assert words in message
    if name == "anthropic":
        assert type_ == TYPES[status][0]


@pytest.mark.parametrize("tier", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("name", CALLERS)
@pytest_twisted.ensureDeferred
async def test_a_refused_key_is_the_gateways_own_fault(bench, name, tier):
    bodies = {
        "openai": like_openai("Incorrect API key provided: sk-u***", code="invalid_api_key"),
        "anthropic": like_anthropic("invalid x-api-key", "authentication_error"),
        "ollama": {"error": "unauthorized"},
    }
    bench.upstream.next(Whole(401, json.dumps(bodies[tier]).encode()))
    status, message, *_ = await raised(bench, name, MANNERS[name][0], tier)
    assert status == 502
    assert message == "the provider refused the gateway's key (upstream 401); retrying will not help"


@pytest.mark.parametrize("script", [Cut(), Cut(reset=True), Cut(b"not http\r\n\r\n"), Whole(302)])
@pytest.mark.parametrize("name", CALLERS)
@pytest_twisted.ensureDeferred
async def test_what_is_no_answer_is_a_bad_gateway(bench, name, script):
    for manner in MANNERS[name]:
        with bench.answering(script):
            status, message, type_, _, _ = await raised(bench, name, manner, "openai")
        assert status == 502
        assert message
        assert type_ in (None, "api_error", "server_error")


@pytest.mark.parametrize("name", CALLERS)
@pytest_twisted.ensureDeferred
async def test_a_provider_that_says_nothing_is_a_timeout(bench, name):
    bench.upstream.next(Silence())
    with bench.configured('api_key_env = "UP_KEY"', "timeout_ms = 50"):
        status, _, type_, _, _ = await raised(bench, name, MANNERS[name][0], "openai")
    assert status == 504
    assert type_ in (None, "timeout_error")


@pytest.mark.parametrize("tier", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("name", CALLERS)
@pytest_twisted.ensureDeferred
async def test_a_stream_that_ends_without_a_finish_never_looks_complete(bench, name, tier):
    for error in (True, False):
        bench.upstream.next(broken_off(tier, error=error))
        caller = bench.callers[name]
        with pytest.raises((openai.APIError, anthropic.APIStatusError, ollama.ResponseError)):
            await in_thread(caller.ask, MANNERS[name][1], tier, caller.user("Hello"))
        assert bench.gateway.last.end_reason == "upstream_error"
