"""Headers across the gateway: nothing out that is not ours to give, nothing back that is not the caller's to see."""

import pytest

from lmgw.errors import RateLimited
from lmgw.gateway.headers import inbound, of_error, outbound
from lmgw.gateway.inbound import Inbound, Route
from lmgw.upstream.exchange import Head

CALLER = {
    b"authorization": b"Bearer mine",
    b"x-api-key": b"mine",
    b"cookie": b"a=b",
    b"openai-organization": b"org",
    b"anthropic-version": b"2026-10-21",
    b"anthropic-beta": b"one,two",
    b"traceparent": b"00-1-2-01",
    b"tracestate": b"x=1",
}
OWN = ((b"anthropic-version", b"2023-06-01"),)


def sent(caller=CALLER, own=(), **flags):
    request = Inbound(Route.CHAT, "req_1", b"", caller)
    return dict(outbound(request, own, **({"native": False, "anthropic": False} | flags)))


def test_of_the_callers_headers_only_the_trace_context_leaves():
    assert sent() == {b"X-Request-ID": b"req_1", b"Traceparent": b"00-1-2-01", b"Tracestate": b"x=1"}


def test_a_beta_flag_goes_to_anthropic_only_whatever_the_callers_dialect():
    assert sent(anthropic=True)[b"anthropic-beta"] == b"one,two"
    assert b"anthropic-beta" not in sent(native=True)


@pytest.mark.parametrize(("native", "version"), [(True, b"2026-10-21"), (False, b"2023-06-01")])
def test_the_callers_version_wins_only_where_both_sides_speak_anthropic(native, version):
    assert sent(own=OWN, native=native, anthropic=True)[b"anthropic-version"] == version


def test_without_a_version_of_the_callers_the_dialects_own_is_sent():
    assert sent({}, OWN, native=True, anthropic=True)[b"anthropic-version"] == b"2023-06-01"


HEAD = Head(
    200,
    [
        (b"content-type", b"application/json"),
        (b"set-cookie", b"a=b"),
        (b"server", b"x"),
        (b"retry-after", b"3"),
        (b"retry-after-ms", b"3000"),
        (b"x-ratelimit-remaining-tokens", b"9"),
        (b"anthropic-ratelimit-tokens-limit", b"8"),
        (b"openai-processing-ms", b"7"),
        (b"request-id", b"up"),
    ],
)


def test_rate_limits_pass_back_in_the_same_dialect_only():
    always = {
        b"Retry-After": b"3",
        b"Retry-After-Ms": b"3000",
        b"Openai-Processing-Ms": b"7",
        b"X-Upstream-Request-ID": b"up",
    }
    limits = {b"X-Ratelimit-Remaining-Tokens": b"9", b"Anthropic-Ratelimit-Tokens-Limit": b"8"}
    assert dict(inbound(HEAD, native=True)) == always | limits
    assert dict(inbound(HEAD, native=False)) == always


def test_an_error_brings_its_headers_along():
    error = RateLimited("slow down", retry_after_s=3, scope="ip", limit=60)
    assert dict(of_error(error)) == {
        b"Retry-After": b"3",
        b"X-Ratelimit-Scope": b"ip",
        b"X-Ratelimit-Limit": b"60",
        b"X-Ratelimit-Policy": b"60;w=60",
    }
