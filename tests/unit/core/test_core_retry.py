"""What a failed attempt means, and how long to wait."""

from email.utils import formatdate

import playbooks as p
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.core.retry import RETRYABLE, delay_s, retry_after_s, verdict
from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import BadRequest, KeyRefused, UpstreamFailed


def _status(code: int, message: str = "no", **fields: object) -> Fault:
    return p.status(code, message, **fields).fault


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_retryable_are_408_409_425_429_500_502_503_504_529(code: int) -> None:
    judged = verdict(_status(code))
    assert judged.retry
    assert judged.failover
    assert judged.error.status == code


@pytest.mark.parametrize("code", [code for code in range(400, 500) if code not in RETRYABLE | {401, 402}])
def test_other_4xx_are_not_retryable_but_passed_on(code: int) -> None:
    judged = verdict(_status(code, "you did something wrong"))
    assert not judged.retry
    assert not judged.failover
    assert judged.circuit is None
    assert judged.error.status == code


@pytest.mark.parametrize("kind", [FaultKind.CONNECT, FaultKind.TIMEOUT, FaultKind.CLOSED, FaultKind.PROTOCOL])
def test_connection_failures_and_timeouts_are_retryable_and_count_for_the_backend(kind: FaultKind) -> None:
    judged = verdict(p.fault(kind).fault)
    assert (judged.retry, judged.failover, judged.circuit, judged.trips) == (True, True, "backend", False)


def test_a_stale_connection_says_nothing_about_the_backend() -> None:
    assert verdict(p.fault(FaultKind.CLOSED, reused=True).fault).circuit is None


def test_an_error_event_before_any_content_is_retryable() -> None:
    judged = verdict(Fault(FaultKind.STREAM, UpstreamFailed("boom"), status=200))
    assert (judged.retry, judged.failover, judged.circuit) == (True, True, "backend")


def test_an_error_event_is_judged_by_its_own_status() -> None:
    overloaded = verdict(Fault(FaultKind.STREAM, UpstreamFailed("overloaded", status=529), status=200))
    assert (overloaded.retry, overloaded.circuit) == (True, "tier")
    wrong = verdict(Fault(FaultKind.STREAM, UpstreamFailed("bad field", status=400), status=200))
    assert (wrong.retry, wrong.failover) == (False, False)


@pytest.mark.parametrize("code", [500, 502, 503, 504, 501, 520])
def test_5xx_count_for_the_backend(code: int) -> None:
    judged = verdict(_status(code))
    assert (judged.circuit, judged.trips, judged.failover) == ("backend", False, True)


@pytest.mark.parametrize("code", [429, 529])
def test_429_and_529_count_for_the_tier_only(code: int) -> None:
    assert verdict(_status(code)).circuit == "tier"


@pytest.mark.parametrize("code", [408, 409, 425])
def test_what_is_not_the_backends_fault_does_not_count(code: int) -> None:
    assert verdict(_status(code)).circuit is None


QUOTA = [
    (402, "anything", None),
    (429, "You exceeded your current quota, please check your plan and billing details.", None),
    (429, "slow down", "insufficient_quota"),
    (400, "Your credit balance is too low to access the Anthropic API.", None),
    (400, "You have reached your specified API usage limits.", None),
    (403, "Key limit exceeded (total limit).", None),
]


@pytest.mark.parametrize(("code", "message", "error_code"), QUOTA)
def test_a_quota_used_up_is_not_retried_fails_over_and_opens_the_backend(
    code: int, message: str, error_code: str | None
) -> None:
    judged = verdict(_status(code, message, error_code=error_code))
    assert (judged.retry, judged.failover, judged.circuit, judged.trips) == (False, True, "backend", True)
    assert judged.error.status == code


def test_a_quota_that_says_when_to_come_back_is_a_rate_limit() -> None:
    judged = verdict(_status(429, "You exceeded your current quota", after=20.0))
    assert (judged.retry, judged.circuit, judged.trips) == (True, "tier", False)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, "whatever"),
        (403, "Your API key does not have permission to use the specified resource."),
        (403, "Method doesn't allow unregistered callers"),
        (403, "authentication failed"),
    ],
)
def test_a_refused_key_is_a_502_that_says_so_fails_over_and_opens_the_backend(code: int, message: str) -> None:
    judged = verdict(_status(code, message))
    assert (judged.retry, judged.failover, judged.circuit, judged.trips) == (False, True, "backend", True)
    assert isinstance(judged.error, KeyRefused)
    assert judged.error.status == 502
    expected = f"the provider refused the gateway's key (upstream {code}); retrying will not help"
    assert judged.error.message == expected
    assert ("x-should-retry", "false") in judged.error.headers


@pytest.mark.parametrize("message", ["Your input was flagged by moderation", "unsupported country", ""])
def test_a_403_is_a_key_fault_only_if_its_body_says_so(message: str) -> None:
    judged = verdict(_status(403, message))
    assert (judged.failover, judged.circuit, judged.error.status) == (False, None, 403)


@pytest.mark.parametrize(
    ("code", "message", "error_code"),
    [
        (404, "The model `gpt-9` does not exist or you do not have access to it.", "model_not_found"),
        (404, "model: claude-9", None),
        (404, 'model "llama9" not found, try pulling it first', None),
        (400, "foo/bar is not a valid model ID", None),
        (403, "Project does not have access to model `gpt-9`", "model_not_found"),
    ],
)
def test_a_model_that_the_provider_does_not_have_fails_over_and_counts_for_the_tier(
    code: int, message: str, error_code: str | None
) -> None:
    judged = verdict(_status(code, message, error_code=error_code))
    assert (judged.retry, judged.failover, judged.circuit, judged.trips) == (False, True, "tier", False)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (404, "404 page not found"),
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model"),
        (400, "The model does not support image input"),
    ],
)
def test_what_only_mentions_a_model_is_the_callers(code: int, message: str) -> None:
    judged = verdict(_status(code, message))
    assert (judged.failover, judged.circuit) == (False, None)


@pytest.mark.parametrize(
    ("code", "message", "error_code"),
    [
        (400, "no", "context_length_exceeded"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", None),
        (400, "the request exceeds the available context size, try increasing it", "exceed_context_size_error"),
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000", None),
        (400, "The input token count (40000) exceeds the maximum number of tokens allowed", None),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", None),
        (413, "Please reduce the length of the messages or completion.", None),
        (500, "Requested tokens (5000) exceed context window of 2048", None),
    ],
)
def test_context_length_errors_want_a_larger_window(code: int, message: str, error_code: str | None) -> None:
    judged = verdict(_status(code, message, error_code=error_code))
    assert (judged.roomier, judged.retry, judged.circuit) == (True, False, None)


@pytest.mark.parametrize("kind", [FaultKind.QUEUE_FULL, FaultKind.CAPACITY, FaultKind.DEADLINE])
def test_the_gateways_own_limits_are_final(kind: FaultKind) -> None:
    judged = verdict(p.fault(kind).fault)
    assert (judged.retry, judged.failover, judged.circuit) == (False, False, None)


def test_what_one_dialect_cannot_say_another_tier_may() -> None:
    judged = verdict(p.fault(FaultKind.REFUSED, BadRequest("no http images")).fault)
    assert (judged.retry, judged.failover, judged.circuit, judged.error.status) == (False, True, None, 400)


def test_a_redirect_is_the_backends_fault_and_not_repeated() -> None:
    judged = verdict(_status(302))
    assert (judged.retry, judged.failover, judged.circuit) == (False, True, "backend")


@given(st.sampled_from(FaultKind), st.integers(0, 999), st.text(), st.text())
def test_every_fault_gets_a_verdict(kind: FaultKind, code: int, message: str, error_code: str) -> None:
    judged = verdict(Fault(kind, UpstreamFailed(message, status=code, code=error_code), status=code))
    assert judged.failover or not judged.retry
    assert judged.circuit == "backend" or not judged.trips


def test_delays_double_from_the_configured_one_up_to_two_seconds() -> None:
    assert [delay_s(n, 0.2, 1.0, None) for n in range(6)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    assert delay_s(10_000, 0.2, 1.0, None) == 2.0


def test_delays_are_jittered_over_their_upper_half() -> None:
    assert delay_s(0, 0.2, 0.0, None) == pytest.approx(0.1)


def test_retry_after_is_the_least_wait_even_above_two_seconds() -> None:
    assert delay_s(0, 0.2, 1.0, 30.0) == 30.0
    assert delay_s(0, 0.2, 1.0, 0.01) == pytest.approx(0.2)


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("header", "milliseconds", "seconds"),
    [
        (b"7", None, 7.0),
        (b"1.5", None, 1.5),
        (b"7", b"250", 0.25),
        (b"7", b"soon", 7.0),
        (formatdate(NOW + 90, usegmt=True).encode(), None, 90.0),
        (formatdate(NOW - 90, usegmt=True).encode(), None, 0.0),
        (formatdate(NOW + 90).encode(), None, 90.0),  # "-0000": no zone at all
        (b"-3", None, 0.0),
        (b"99999999999", None, 86_400.0),
        (b"inf", None, None),
        (b"nan", None, None),
        (b"tomorrow", None, None),
        (b"Fri, 99 Foo 2026", None, None),
        (b"\xff\xfe", None, None),
        (b"", None, None),
        (None, None, None),
    ],
)
def test_retry_after_is_seconds_a_date_or_milliseconds(
    header: bytes | None, milliseconds: bytes | None, seconds: float | None
) -> None:
    assert retry_after_s(header, milliseconds, NOW) == (seconds if seconds is None else pytest.approx(seconds))


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_no_header_of_any_kind_breaks_it(header: bytes, milliseconds: bytes) -> None:
    seconds = retry_after_s(header, milliseconds, NOW)
    assert seconds is None or 0 <= seconds <= 86_400
