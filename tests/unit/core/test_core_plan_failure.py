"""Failure, failover, retries, circuits, the commit point: ROUTING.md, section 5."""

import playbooks as p
import pytest
from msgspec.structs import replace

from lmgw.core.circuit import Circuit
from lmgw.core.circuit import Health as Figures
from lmgw.core.steps import Attempt, Fail, FaultKind, Reply, Sleep
from lmgw.errors import BadRequest, KeyRefused, RateLimited, UpstreamFailed

LADDER = ["local:fast", "cloud:mid", "cloud:big"]
LISTED = [p.tier("local:fast", failover=("cloud:mid", "cloud:big")), *LADDER[1:]]


def _retries(times: int, tiers: list = LADDER, *profiles: object, **gateway: object) -> object:
    return p.config(tiers, *profiles, gateway=p.Gateway(max_retries=times, **gateway))


# --- order ---------------------------------------------------------------------------------------------------------


def test_order_max_retries_on_the_same_tier_then_its_failover_list_then_the_next_tier_up() -> None:
    tiers = [p.tier("local:fast", failover=("spare:one",)), "cloud:mid", "spare:one"]
    config = _retries(1, tiers, p.profile(mode="classify", max_auto_tier="cloud:mid"))
    book = p.Playbook(config).feed(p.labelled("instant"))
    book.feed(p.status(503), p.SLEPT, p.status(503), p.status(503), p.SLEPT, p.status(503), p.text("x"))
    assert book.said == [
        "classify local:fast",
        *["try local:fast", "sleep 0.2", "try local:fast"],
        *["try spare:one", "sleep 0.2", "try spare:one"],
        *["try cloud:mid", "commit"],
    ]
    assert book.headers["Attempts"] == "5"


def test_a_named_tier_in_dispatch_mode_goes_nowhere_that_the_operator_did_not_write_down() -> None:
    assert p.play(p.config(LADDER), "local:fast", p.status(503)) == ["try local:fast", "fail 503"]
    config = p.config(LADDER, p.profile(max_auto_tier="cloud:big"))
    assert p.play(config, "local:fast", p.status(503)) == ["try local:fast", "fail 503"]


def test_what_the_profile_gives_in_dispatch_mode_does_not_go_up_either() -> None:
    assert p.play(p.config(LADDER), None, p.status(503)) == ["try local:fast", "fail 503"]


def test_the_failover_list_is_tried_in_its_order() -> None:
    said = p.play(p.config(LISTED), "local:fast", p.status(503), p.fault(FaultKind.CONNECT), p.status(502))
    assert said == ["try local:fast", "try cloud:mid", "try cloud:big", "fail 502"]


def test_the_list_of_a_failover_target_is_not_the_requests() -> None:
    tiers = [p.tier("local:fast", failover=("local:big",)), p.tier("local:big", failover=("cloud:mid",)), "cloud:mid"]
    assert p.play(p.config(tiers), "local:fast", p.status(503), p.status(503))[-1] == "fail 503"


def test_each_rung_of_the_ladder_has_its_own_failover_list() -> None:
    tiers = ["local:fast", p.tier("cloud:mid", failover=("spare:one",)), "cloud:big", "spare:one"]
    config = p.config(tiers, p.profile(mode="escalate", max_auto_tier="cloud:big"))
    said = p.play(config, None, p.status(503), p.status(503), p.status(503))
    assert said == ["try local:fast held", "try cloud:mid held", "try spare:one", "try cloud:big"]


def test_no_tier_is_tried_twice() -> None:
    tiers = [p.tier("local:fast", failover=("cloud:mid", "local:fast")), "cloud:mid"]
    config = p.config(tiers, p.profile(mode="escalate"))
    assert p.play(config, None, p.status(503), p.status(503)) == ["try local:fast held", "try cloud:mid", "fail 503"]


@pytest.mark.parametrize("code", [400, 404, 405, 413, 422])
def test_the_callers_4xx_are_passed_on_at_once(code: int) -> None:
    config = _retries(2, LISTED, p.profile(mode="escalate"))
    book = p.Playbook(config).feed(p.status(code, "your mistake"))
    assert book.said == ["try local:fast held", f"fail {code}"]
    assert book.error.message == "your mistake"


@pytest.mark.parametrize(
    "failure",
    [
        p.status(401),
        p.status(403, "invalid api key"),
        p.status(402),
        p.status(429, error_code="insufficient_quota"),
        p.status(404, "model not found"),
        p.fault(FaultKind.KEY_MISSING),
        p.fault(FaultKind.REFUSED, BadRequest("no http images")),
    ],
)
def test_keys_quotas_and_missing_models_are_not_retried_but_fail_over(failure: object) -> None:
    assert p.play(_retries(3, LISTED), "local:fast", failure) == ["try local:fast", "try cloud:mid"]


@pytest.mark.parametrize("kind", [FaultKind.QUEUE_FULL, FaultKind.CAPACITY])
def test_a_full_line_is_a_429_not_a_failed_attempt(kind: FaultKind) -> None:
    tiers = [p.tier("local:fast", max_concurrent=1, failover=("cloud:mid",)), "cloud:mid"]
    error = RateLimited("full", retry_after_s=1, scope="queue")
    book = p.Playbook(p.config(tiers), "local:fast").feed(p.fault(kind, error))
    assert book.said == ["wait local:fast", "fail 429"]
    assert book.trace.attempts == ()


# --- retries -------------------------------------------------------------------------------------------------------


def test_retries_are_off_by_default() -> None:
    assert p.play(p.config(LADDER), "local:fast", p.status(503))[-1] == "fail 503"


def test_delays_grow_and_are_jittered() -> None:
    book = p.Playbook(_retries(3), "local:fast")
    for _ in range(3):
        book.feed(p.status(503), p.SLEPT)
    assert [step.seconds for step in book.steps if isinstance(step, Sleep)] == pytest.approx([0.2, 0.4, 0.8])


def test_retry_after_is_the_least_wait() -> None:
    assert p.play(_retries(1), "local:fast", p.status(429, after=7.0))[-1] == "sleep 7"


def test_a_wait_longer_than_what_is_left_fails_over_at_once() -> None:
    assert p.play(_retries(1, LISTED), "local:fast", p.status(429, after=7.0), deadline=7.0)[-1] == "try cloud:mid"


@pytest.mark.parametrize("code", [429, 503])
def test_or_answers_with_that_retry_after(code: int) -> None:
    book = p.Playbook(_retries(1), "local:fast", deadline=7.0).feed(p.status(code, after=7.2))
    assert book.said[-1] == f"fail {code}"
    assert book.error.headers == (("retry-after", "8"),)


def test_a_retry_after_that_the_upstream_sent_is_not_repeated() -> None:
    failure = p.status(429, after=7.0)
    failure.fault.error.headers = (("Retry-After", "7"),)
    assert p.Playbook(p.config(LADDER), "local:fast").feed(failure).error.headers == (("Retry-After", "7"),)


def test_sdks_need_not_repeat_what_was_retried_here() -> None:
    book = p.Playbook(_retries(1), "local:fast").feed(p.status(500), p.SLEPT, p.status(500))
    assert ("x-should-retry", "false") in book.error.headers
    assert p.Playbook(p.config(LADDER), "local:fast").feed(p.status(500)).error.headers == ()


def test_nothing_is_tried_after_the_requests_time() -> None:
    book = p.Playbook(_retries(1, LISTED), "local:fast", deadline=5.0)
    book.now = 5.0
    assert book.feed(p.status(503)).said == ["try local:fast", "fail 503"]
    late = p.Playbook(p.config(LADDER), "local:fast", deadline=5.0, now=6.0)
    assert late.said == ["fail 504"]
    assert "request_timeout_ms" in late.error.message


def test_a_sleep_that_ends_too_late_ends_the_request() -> None:
    book = p.Playbook(_retries(1), "local:fast", deadline=5.0).feed(p.status(503, "the error"))
    book.now = 5.1
    assert book.feed(p.SLEPT).error.message == "the error"


def test_the_end_of_the_requests_time_is_a_504() -> None:
    assert p.play(_retries(1, LISTED), "local:fast", p.fault(FaultKind.DEADLINE)) == ["try local:fast", "fail 504"]


def test_a_stale_connection_is_retried_once_at_once_without_counting() -> None:
    stale = p.fault(FaultKind.CLOSED, reused=True)
    book = p.Playbook(_retries(1), "local:fast").feed(stale, p.fault(FaultKind.CLOSED), p.SLEPT, p.status(503))
    assert book.said == ["try local:fast", "try local:fast fresh", "sleep 0.2", "try local:fast", "fail 503"]
    assert len(book.trace.attempts) == 2


def test_a_stale_connection_is_not_retried_after_the_requests_time() -> None:
    book = p.Playbook(p.config(LADDER), "local:fast", deadline=5.0)
    book.now = 5.0
    assert book.feed(p.fault(FaultKind.CLOSED, reused=True)).said[-1] == "fail 502"


def test_a_connection_that_is_stale_again_is_a_failure() -> None:
    stale = p.fault(FaultKind.CLOSED, reused=True)
    assert p.play(p.config(LISTED), "local:fast", stale, stale)[-1] == "try cloud:mid"


# --- the commit point ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [p.status(503), p.fault(FaultKind.CLOSED), p.fault(FaultKind.STREAM)])
@pytest.mark.parametrize("content", [p.text("T"), p.text("", reasoning=True), p.text("", tool_call=True)])
def test_once_content_was_sent_nothing_is_retried_or_replayed(content: object, failure: object) -> None:
    book = p.Playbook(_retries(3, LISTED), "local:fast").feed(content, failure)
    assert book.said[:2] == ["try local:fast", "commit"]
    assert isinstance(book.step, Fail)
    assert [(t.status, t.error is None) for t in book.trace.attempts] == [(200, False)]


def test_a_key_refused_in_the_middle_is_the_gateways_fault_too() -> None:
    failure = p.fault(FaultKind.STREAM, UpstreamFailed("sk-something is wrong", status=401))
    book = p.Playbook(p.config(LADDER), "local:fast").feed(p.text("T"), failure)
    assert isinstance(book.error, KeyRefused)


def test_a_failure_right_after_200_still_fails_over() -> None:
    lifecycle = replace(p.text(""), progress=p.Progress())
    said = p.play(p.config(LISTED), "local:fast", lifecycle, p.fault(FaultKind.STREAM))
    assert said == ["try local:fast", "go on", "try cloud:mid"]


def test_an_empty_close_fails_over() -> None:
    assert p.play(p.config(LISTED), "local:fast", p.fault(FaultKind.CLOSED))[-1] == "try cloud:mid"


def test_friendly_words_never_follow_a_commit() -> None:
    config = p.config(LADDER, p.profile(on_error="chat"))
    assert p.play(config, "local:fast", p.text("T"), p.fault(FaultKind.CLOSED))[-1] == "fail 502"


# --- keys ----------------------------------------------------------------------------------------------------------


def test_a_refused_key_is_the_gateways_fault() -> None:
    book = p.Playbook(p.config(LADDER), "local:fast").feed(p.status(401, "sk-something is wrong"))
    assert isinstance(book.error, KeyRefused)
    assert book.error.status == 502
    assert "upstream 401" in book.error.message
    assert "sk-something" not in book.error.message


def test_a_backend_without_its_key_is_not_called() -> None:
    keyless = p.Conditions(keyless=["local"])
    book = p.Playbook(p.config(LADDER), "local:fast", health=keyless)
    assert book.said == ["fail 503"]
    assert book.error.message.startswith("local:fast is off: the key of its provider is not set")
    assert p.play(p.config(LADDER, p.profile(mode="escalate")), health=keyless) == ["try cloud:mid held"]
    assert p.play(p.config(LISTED), "local:fast", health=keyless) == ["try cloud:mid"]


def test_a_named_start_of_the_ladder_without_its_key_is_skipped() -> None:
    config = p.config(["a:1", "b:2", "c:3"], p.profile(mode="escalate"))
    assert p.play(config, "b:2", health=p.Conditions(keyless=["b"])) == ["try c:3"]
    assert p.play(config, "c:3", health=p.Conditions(keyless=["c"])) == ["fail 503"]


# --- circuits ------------------------------------------------------------------------------------------------------


def test_an_open_circuit_is_skipped_by_failover() -> None:
    down = p.Conditions(open={"cloud:mid": 9.0})
    assert p.play(p.config(LISTED), "local:fast", p.status(503), health=down)[-1] == "try cloud:big"


@pytest.mark.parametrize(("mode", "first"), [("escalate", []), ("classify", [p.labelled("instant")])])
def test_an_open_circuit_is_skipped_by_every_automatic_mode(mode: str, first: list) -> None:
    config = p.config(LADDER, p.profile(mode=mode, classifier="cloud:big"))
    assert p.play(config, None, *first, health=p.Conditions(open={"local:fast": 9.0}))[-1].startswith("try cloud:mid")


def test_an_explicit_dispatch_goes_to_its_alternative() -> None:
    assert p.play(p.config(LISTED), "local:fast", health=p.Conditions(open={"local:fast": 9.0})) == ["try cloud:mid"]


def test_an_explicit_dispatch_with_no_alternative_still_tries() -> None:
    down = p.Conditions(open={"local:fast": 9.0})
    assert p.play(p.config(LADDER), "local:fast", health=down) == ["try local:fast"]
    all_down = p.Conditions(open=dict.fromkeys(LADDER, 9.0))
    assert p.play(p.config(LISTED), "local:fast", health=all_down) == ["try local:fast"]


def test_an_explicit_dispatch_tries_at_last_what_it_skipped() -> None:
    down = p.Conditions(open={"local:fast": 9.0, "cloud:big": 9.0})
    said = p.play(p.config(LISTED), "local:fast", p.status(503), p.status(500), health=down)
    assert said == ["try cloud:mid", "try local:fast", "fail 500"]


def test_every_tier_down_is_a_503_with_retry_after() -> None:
    down = p.Conditions(open={"local:fast": 19.5, "cloud:mid": 12.2, "cloud:big": 30.0})
    book = p.Playbook(p.config(LADDER, p.profile(mode="escalate")), health=down, now=10.0)
    assert book.said == ["fail 503"]
    assert ("retry-after", "3") in book.error.headers
    assert "local:fast, cloud:mid, cloud:big: down" in book.error.message


def test_a_circuit_that_opens_meanwhile_ends_the_retries_where_there_is_an_alternative() -> None:
    for tiers, step in ((LISTED, "try cloud:mid"), (LADDER, "sleep 0.2")):
        book = p.Playbook(_retries(3, tiers), "local:fast")
        book.health.open["local:fast"] = 9.0
        assert book.feed(p.status(503)).said[-1] == step


def test_a_failover_target_whose_circuit_opens_is_not_tried_again() -> None:
    book = p.Playbook(_retries(1, LISTED), "local:fast").feed(p.status(503), p.SLEPT, p.status(503))
    book.health.open |= {"cloud:mid": 9.0, "cloud:big": 9.0}
    assert book.feed(p.status(500)).said[-2:] == ["try cloud:mid", "fail 500"]


def test_one_request_must_not_open_a_circuit_alone() -> None:
    circuit = Circuit(Figures())
    book = p.Playbook(_retries(5), "local:fast")
    for _ in range(5):
        failure = p.status(500)
        if book.session.judge(failure.fault).circuit == "backend":
            circuit.failed(book.now)
        book.feed(failure, p.SLEPT)
    assert not circuit.is_open
    assert circuit.error_share == 1.0


def test_a_fault_counts_once_for_each_circuit_it_meets() -> None:
    tiers = [p.tier("local:fast", failover=("local:big", "cloud:mid")), "local:big", "cloud:mid"]
    book = p.Playbook(p.config(tiers), "local:fast")
    counted = []
    for failure in (p.status(500), p.status(500), p.status(429)):
        counted.append(book.session.judge(failure.fault).circuit)
        book.feed(failure)
    assert counted == ["backend", None, "tier"]


def test_a_failed_classification_counts_for_the_classifiers_backend() -> None:
    config = p.config(LADDER, p.profile(mode="classify", classifier="cloud:mid"))
    book = p.Playbook(config)
    assert book.session.judge(p.status(500).fault).circuit == "backend"


# --- friendly errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [p.status(500), p.status(404), p.status(401), p.fault(FaultKind.CONNECT), p.fault(FaultKind.DEADLINE)]
)
def test_a_request_that_failed_upstream_gets_friendly_words_where_the_profile_wants_them(failure: object) -> None:
    book = p.Playbook(p.config(LADDER, p.profile(on_error="chat")), "local:fast").feed(failure)
    assert isinstance(book.step, Reply)
    assert book.step.text.startswith("Sorry")
    assert book.step.error is not None


@pytest.mark.parametrize("code", [400, 403, 413, 429])
def test_but_never_a_400_401_403_413_or_429(code: int) -> None:
    config = p.config(LADDER, p.profile(on_error="chat"))
    assert p.play(config, "local:fast", p.status(code))[-1] == f"fail {code}"


def test_nor_what_the_caller_named_wrongly() -> None:
    config = p.config(LADDER, p.profile(on_error="chat"))
    assert p.play(config, "gpt-9") == ["fail 404"]
    small = p.config([p.tier("local:fast", max_context_tokens=9)], p.profile(on_error="chat"))
    assert p.play(small, "local:fast", prompt=p.Prompt(images=1), images=True, size=999) == ["fail 400"]


def test_a_gateway_without_keys_is_friendly_too() -> None:
    config = p.config(LADDER, p.profile(on_error="chat", mode="escalate"))
    assert p.play(config, health=p.Conditions(keyless=["local", "cloud"])) == ["reply 503"]


def test_only_chats_are_answered_with_words() -> None:
    config = p.config(LADDER, p.profile(on_error="chat"))
    assert p.play(config, "local:fast", p.status(500), operation="completions")[-1] == "fail 500"


# --- the body ------------------------------------------------------------------------------------------------------


def test_a_body_that_cannot_be_read_is_told_when_it_is_read() -> None:
    def broken() -> p.Prompt:
        raise BadRequest("messages[0].role is missing", param="messages")

    assert p.play(p.config(LADDER, p.profile(mode="classify")), prompt=broken) == ["fail 400"]
    assert p.play(p.config(LADDER), "local:fast", prompt=broken) == ["try local:fast"]


def test_attempts_are_recorded_with_status_error_and_milliseconds() -> None:
    book = p.Playbook(p.config(LISTED), "local:fast", now=10.0)
    book.now = 10.25
    book.feed(p.fault(FaultKind.CONNECT, detail='backend "local": connection refused'))
    book.now = 10.5
    book.feed(p.text("x"))
    assert [(a.tier, a.backend, a.status, a.error, a.latency_ms) for a in book.trace.attempts] == [
        ("local:fast", "local", 0, 'backend "local": connection refused', 250.0),
        ("cloud:mid", "cloud", 200, None, 250.0),
    ]
    assert isinstance(book.steps[1], Attempt)
