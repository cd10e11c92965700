"""Which tier, by mode: ROUTING.md, section 2."""

from dataclasses import replace

import playbooks as p
import pytest
from msgspec import structs

from lmgw.core.steps import Attempt, Commit, FaultKind, Reply
from lmgw.errors import Forbidden

LONG = "A long and honest answer. " * 10
REFUSED = "I don't know. " * 10
LADDER = ["local:fast", "cloud:mid", "cloud:big"]


def _escalate(tiers: list = LADDER, **fields: object) -> object:
    last = tiers[-1] if isinstance(tiers[-1], str) else tiers[-1].name
    return p.config(tiers, p.profile(mode="escalate", **fields), aliases={"hint:capable": last})


# --- hints ---------------------------------------------------------------------------------------------------------


def test_an_unknown_hint_is_a_404_where_unknown_model_says_reject() -> None:
    error = p.Playbook(p.config(LADDER), "gpt-9").error
    assert error.status == 404
    assert error.message == 'No model "gpt-9" here. You may use: default, local:fast, cloud:mid, cloud:big.'


@pytest.mark.parametrize("mode", ["dispatch", "escalate", "classify", "reply"])
def test_reject_rejects_in_every_mode(mode: str) -> None:
    assert p.play(p.config(LADDER, p.profile(mode=mode, unknown_model="reject")), "gpt-9") == ["fail 404"]


def test_an_unknown_hint_gives_the_classifier_tier_and_says_so_where_unknown_model_says_fallback() -> None:
    book = p.Playbook(p.config(LADDER, p.profile(classifier="cloud:mid", unknown_model="fallback")), "gpt-9")
    assert book.said == ["try cloud:mid"]
    assert book.headers["Fallback"] == "unknown-model"


@pytest.mark.parametrize("hint", [None, ""])
def test_no_model_at_all_means_the_profile_decides(hint: str | None) -> None:
    book = p.Playbook(p.config(LADDER, p.profile(classifier="cloud:mid")), hint)
    assert book.said == ["try cloud:mid"]
    assert "Fallback" not in book.headers


# --- dispatch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", ["cloud:mid", "hint:mid", "model-of-cloud:mid", "cloud:mid:latest"])
def test_dispatch_gives_the_tier_that_the_hint_names(hint: str) -> None:
    assert p.play(p.config(LADDER, aliases={"hint:mid": "cloud:mid"}), hint) == ["try cloud:mid"]


def test_a_profile_named_as_the_model_gives_its_classifier_tier() -> None:
    assert p.play(p.config(LADDER, p.profile(classifier="cloud:mid")), "default") == ["try cloud:mid"]


def test_dispatch_commits_with_the_first_content() -> None:
    assert p.play(p.config(LADDER), "cloud:mid", p.text("h"), p.ended("hello")) == ["try cloud:mid", "commit", "done"]


def test_an_answer_that_is_not_streamed_is_committed_when_it_is_complete() -> None:
    said = p.play(p.config(LADDER), "cloud:mid", p.ended(), p.ended(), stream=False)
    assert said == ["try cloud:mid", "commit", "done"]


def test_an_empty_answer_that_finished_by_itself_is_an_answer() -> None:
    assert p.play(p.config(LADDER), "cloud:mid", p.ended(""), p.ended("")) == ["try cloud:mid", "commit", "done"]


# --- escalate ------------------------------------------------------------------------------------------------------


def test_escalate_goes_up_the_ladder_from_the_cheapest() -> None:
    config = _escalate()
    book = p.Playbook(config, stream=False)
    book.feed(p.ended(REFUSED), p.DROPPED, p.ended(LONG), p.ended(LONG))
    assert book.said == ["try local:fast held", "reject", "try cloud:mid held", "commit", "done"]
    assert book.headers["Escalated"] == "true"
    assert book.headers["Tier"] == "cloud:mid"


def test_the_first_sufficient_answer_is_returned() -> None:
    book = p.Playbook(_escalate(), stream=False).feed(p.ended("Forty-two."), p.ended("Forty-two."))
    assert book.said == ["try local:fast held", "commit", "done"]
    assert "Escalated" not in book.headers


def test_if_none_was_sufficient_the_last_answer_is_returned_marked_exhausted() -> None:
    book = p.Playbook(_escalate(), stream=False)
    book.feed(p.ended(REFUSED), p.DROPPED, p.ended(REFUSED), p.DROPPED, p.ended(REFUSED), p.ended(REFUSED))
    assert book.said[-3:] == ["try cloud:big", "commit", "done"]
    assert book.headers["Escalated"] == "exhausted"


def test_if_all_failed_the_last_error_is_returned() -> None:
    book = p.Playbook(_escalate()).feed(p.status(503), p.fault(FaultKind.CONNECT), p.status(500, "the last"))
    assert book.said == ["try local:fast held", "try cloud:mid held", "try cloud:big", "fail 500"]
    assert book.error.message == "the last"


def test_an_insufficient_answer_is_better_than_none_if_all_above_it_failed() -> None:
    book = p.Playbook(_escalate(), stream=False)
    book.feed(p.ended(REFUSED), p.DROPPED, p.status(503), p.status(503), p.ended(REFUSED), p.ended(REFUSED))
    assert book.said[-5:] == ["try cloud:mid held", "try cloud:big", "try local:fast", "commit", "done"]
    assert book.headers["Escalated"] == "exhausted"


def test_that_answer_is_asked_for_once_only() -> None:
    book = p.Playbook(_escalate(LADDER[:2])).feed(p.text(REFUSED), p.DROPPED, p.status(503), p.status(500))
    assert book.said == ["try local:fast held", "reject", "try cloud:mid", "try local:fast", "fail 500"]


def test_that_tier_is_not_asked_again_after_the_requests_time() -> None:
    said = p.play(_escalate(LADDER[:2]), None, p.text(REFUSED), p.DROPPED, p.fault(FaultKind.DEADLINE))
    assert said[-2:] == ["try cloud:mid", "fail 504"]


def test_that_tier_is_not_asked_again_if_its_circuit_has_opened_since() -> None:
    book = p.Playbook(_escalate(LADDER[:2])).feed(p.text(REFUSED), p.DROPPED)
    book.health.open["local:fast"] = 30.0
    assert book.feed(p.status(503)).said[-1] == "fail 503"


def test_a_hint_that_names_a_tier_sets_where_the_ladder_starts() -> None:
    assert p.play(_escalate(), "cloud:mid", p.text(REFUSED), p.DROPPED) == [
        "try cloud:mid held",
        "reject",
        "try cloud:big",
    ]
    assert p.play(_escalate(), "hint:capable") == ["try cloud:big"]


def test_a_hint_above_the_ladder_is_a_single_attempt() -> None:
    config = _escalate(max_auto_tier="cloud:mid")
    assert p.play(config, "cloud:big") == ["try cloud:big"]
    assert p.play(config, "cloud:big", p.ended(REFUSED), stream=False) == ["try cloud:big", "commit"]
    assert p.play(config, "cloud:big", p.status(500)) == ["try cloud:big", "fail 500"]
    assert p.play(config, "cloud:big", health=p.Conditions(open={"cloud:big": 9.0})) == ["try cloud:big"]
    assert "Escalated" not in p.Playbook(config, "cloud:big").feed(p.ended(REFUSED)).headers


def test_an_unknown_hint_starts_the_ladder_at_its_bottom_and_is_said() -> None:
    book = p.Playbook(_escalate(classifier="cloud:mid"), "gpt-9")
    assert book.said == ["try local:fast held"]
    assert book.headers["Fallback"] == "unknown-model"


def test_a_stream_is_held_until_the_peek_is_seen_then_committed() -> None:
    said = p.play(_escalate(), None, p.text("Let me"), p.text(LONG), p.text(LONG * 2), p.ended(LONG * 3))
    assert said == ["try local:fast held", "go on", "commit", "go on", "done"]


def test_a_stream_is_held_until_a_finish() -> None:
    said = p.play(_escalate(), None, p.text("Forty"), p.ended("Forty-two."), p.ended("Forty-two."))
    assert said == ["try local:fast held", "go on", "commit", "done"]


def test_a_stream_is_held_until_a_tool_call_has_begun() -> None:
    assert p.play(_escalate(), None, p.text("I don't know"), p.text("I don't know", tool_call=True))[-1] == "commit"


def test_reasoning_is_held_with_its_attempt() -> None:
    assert p.play(_escalate(), None, p.text("", reasoning=True))[-1] == "go on"


def test_what_cannot_be_held_any_longer_is_committed() -> None:
    full = structs.replace(p.text("", reasoning=True), full=True)
    assert p.play(_escalate(), None, full)[-1] == "commit"


def test_a_refused_answer_is_rejected_before_anything_of_it_was_sent() -> None:
    book = p.Playbook(_escalate()).feed(p.text("I don't know"), p.text(REFUSED))
    assert book.said == ["try local:fast held", "go on", "reject"]
    assert not any(isinstance(step, Commit) for step in book.steps)


def test_a_rejected_attempt_is_said_in_the_trace() -> None:
    book = p.Playbook(_escalate()).feed(p.text(REFUSED), p.DROPPED, p.text(LONG))
    assert [(t.tier, t.status, t.error) for t in book.trace.attempts] == [
        ("local:fast", 200, "not sufficient"),
        ("cloud:mid", 200, None),
    ]
    assert book.headers["Attempts"] == "2"


def test_a_one_tier_ladder_streams_from_the_first_token() -> None:
    config = _escalate(["cloud:capable"], classifier="cloud:capable", max_auto_tier="cloud:capable")
    assert p.play(config, "cloud:capable", p.text("I"), p.ended(REFUSED)) == ["try cloud:capable", "commit", "done"]


def test_the_last_tier_that_can_be_tried_is_never_held() -> None:
    assert p.play(_escalate(), "cloud:big") == ["try cloud:big"]  # the last
    keyless = p.Conditions(keyless=["cloud"])
    assert p.play(_escalate(), None, health=keyless) == ["try local:fast"]  # none above has a key
    down = p.Conditions(open={"cloud:mid": 9.0, "cloud:big": 9.0})
    assert p.play(_escalate(), None, health=down) == ["try local:fast"]  # all above are down
    small = ["local:fast", p.tier("cloud:mid", max_context_tokens=10)]
    assert p.play(_escalate(small), None, size=5000, prompt=p.Prompt(images=1), images=True) == ["try local:fast"]


def test_an_insufficient_answer_with_nowhere_left_to_go_is_returned_not_dropped() -> None:
    book = p.Playbook(_escalate(LADDER[:2]))
    book.health.open["cloud:mid"] = 30.0  # while the first tier answers
    assert book.feed(p.text(REFUSED)).said == ["try local:fast held", "commit"]
    assert book.headers["Escalated"] == "exhausted"


def test_an_attempt_that_fails_while_it_is_held_goes_up() -> None:
    said = p.play(_escalate(), None, p.text("Let me"), p.fault(FaultKind.CLOSED))
    assert said == ["try local:fast held", "go on", "try cloud:mid held"]


def test_a_failure_is_no_escalation() -> None:
    assert "Escalated" not in p.Playbook(_escalate()).feed(p.status(500), p.text(LONG)).headers


# --- reply ---------------------------------------------------------------------------------------------------------


def test_reply_is_a_fixed_answer() -> None:
    book = p.Playbook(p.config(LADDER, p.profile(mode="reply", reply_message="Closed today.")), "cloud:big")
    assert book.steps == [Reply("Closed today.")]


def test_reply_without_a_message_says_that_no_backend_is_configured() -> None:
    step = p.Playbook(p.config([], p.profile(mode="reply"))).step
    assert isinstance(step, Reply)
    assert "no model backend is configured" in step.text


# --- the expert flag -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["dispatch", "escalate", "classify"])
def test_a_tier_above_max_auto_tier_needs_the_expert_header(mode: str) -> None:
    config = p.config(LADDER, p.profile(mode=mode, max_auto_tier="cloud:mid", expert_requires_flag=True))
    error = p.Playbook(config, "cloud:big").error
    assert isinstance(error, Forbidden)
    assert "X-LMG-Expert: true" in error.message
    assert p.play(config, "cloud:big", expert=True) == ["try cloud:big"]
    assert p.play(config, "cloud:mid")[0].startswith("try cloud:mid")


def test_without_the_flag_set_in_the_profile_it_is_allowed() -> None:
    assert p.play(p.config(LADDER, p.profile(max_auto_tier="cloud:mid")), "cloud:big") == ["try cloud:big"]


# --- other operations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["completions", "count_tokens"])
@pytest.mark.parametrize("mode", ["dispatch", "escalate", "classify"])
def test_completions_and_count_tokens_ignore_the_mode(mode: str, operation: str) -> None:
    config = p.config(LADDER, p.profile(mode=mode, classifier="cloud:mid", unknown_model="fallback"))
    for hint, tier in (("cloud:big", "cloud:big"), (None, "cloud:mid"), ("default", "cloud:mid"), ("x", "cloud:mid")):
        assert p.play(config, hint, operation=operation) == [f"try {tier}"]


@pytest.mark.parametrize("hint", [None, "default", "gpt-9"])
def test_embeddings_need_a_known_tier_or_alias(hint: str | None) -> None:
    config = p.config(LADDER, p.profile(unknown_model="fallback"))
    book = p.Playbook(config, hint, operation="embeddings")
    assert book.said == ["fail 404"]
    assert "Fallback" not in book.headers
    assert p.play(config, "cloud:mid", operation="embeddings") == ["try cloud:mid"]


def test_embeddings_never_change_model() -> None:
    first = p.tier("local:embed", failover=("cloud:big",), max_context_tokens=1, max_concurrent=1)
    config = p.config(
        [replace(first, overflow_tier="cloud:big", overflow_depth=0), "cloud:big"],
        p.profile(mode="classify", max_auto_tier="cloud:big"),
    )
    book = p.Playbook(config, "local:embed", operation="embeddings", size=9000)
    assert book.step.overflow_depth is None
    assert book.feed(p.ADMITTED, p.status(503)).said == ["wait local:embed", "try local:embed", "fail 503"]


def test_embeddings_are_retried_on_their_tier() -> None:
    config = p.config(LADDER, gateway=p.Gateway(max_retries=1))
    said = p.play(config, "cloud:mid", p.status(503), p.SLEPT, p.ended(), p.ended(), operation="embeddings")
    assert said == ["try cloud:mid", "sleep 0.2", "try cloud:mid", "commit", "done"]


def test_counting_tokens_waits_in_no_line() -> None:
    config = p.config([p.tier("local:fast", max_concurrent=1)])
    assert p.play(config, "local:fast", operation="count_tokens") == ["try local:fast"]


def test_a_profile_without_a_model_says_so_to_completions() -> None:
    config = p.config(LADDER, p.profile(mode="reply"))
    assert p.Playbook(config, operation="completions").error.message == (
        'Profile "default" answers by itself: there is no model behind it'
    )


def test_only_chats_get_the_profiles_prompts() -> None:
    config = p.config(LADDER, p.profile(system_prompt="Be kind."))
    for operation, system in (("chat", "Be kind."), ("completions", None), ("count_tokens", None)):
        step = p.Playbook(config, "cloud:mid", operation=operation).step
        assert isinstance(step, Attempt)
        assert step.system == system


# --- thinking messages ---------------------------------------------------------------------------------------------


def test_thinking_messages_are_for_streams_and_picked_by_chance() -> None:
    config = p.config(LADDER, p.profile(thinking_messages={"cloud:mid": ("hm", "let me see")}))
    step = p.Playbook(config, "cloud:mid").step
    assert isinstance(step, Attempt)
    assert step.thinking_message in ("hm", "let me see")
    for how in ({"stream": False}, {"operation": "completions"}):
        step = p.Playbook(config, "cloud:mid", **how).step
        assert isinstance(step, Attempt)
        assert step.thinking_message is None


def test_a_thinking_message_is_no_commit() -> None:
    tiers = [p.tier("local:fast", failover=("cloud:mid",)), "cloud:mid"]
    config = p.config(tiers, p.profile(thinking_messages={"local:fast": ("hm",)}))
    assert p.play(config, "local:fast", p.status(500)) == ["try local:fast", "try cloud:mid"]
