"""Classification in the plan: ROUTING.md, section 3."""

from dataclasses import replace

import playbooks as p
import pytest

from lmgw.config.snapshot import Backend, Provider
from lmgw.core.prompts import CLASSIFIER_PROMPT
from lmgw.core.steps import Attempt, Classify, FaultKind

LADDER = ["local:instant", "local:fast", "cloud:deep"]


def _classify(tiers: list = LADDER, *others: object, **fields: object) -> object:
    return p.config(tiers, p.profile(mode="classify", **fields), *others)


def _asked(book: p.Playbook) -> Classify:
    assert isinstance(book.step, Classify)
    return book.step


# --- the call ------------------------------------------------------------------------------------------------------


def test_one_cheap_call_labels_the_request() -> None:
    said = p.play(_classify(), None, p.labelled("deep"), p.text("x"), p.ended())
    assert said == ["classify local:instant", "try cloud:deep", "commit", "done"]


def test_the_call_is_the_classifiers_with_its_prompt_and_at_most_10_tokens() -> None:
    step = _asked(p.Playbook(_classify(classifier="local:fast", classifier_timeout_ms=3000)))
    assert (step.tier.name, step.text, step.prompt) == ("local:fast", "hello", CLASSIFIER_PROMPT)
    assert (step.think, step.timeout_s, step.max_tokens) == (False, 3.0, 10)
    assert _asked(p.Playbook(_classify(classifier_prompt="Sort!"))).prompt == "Sort!"


def test_16_tokens_where_the_providers_minimum_is_higher() -> None:
    config = _classify(LADDER)
    config = replace(config, backends={**config.backends, "local": Backend("local", Provider.OPENROUTER)})
    assert _asked(p.Playbook(config)).max_tokens == 16


def test_a_classifier_that_thinks_has_room_to() -> None:
    step = _asked(p.Playbook(_classify(classifier_think=True)))
    assert step.think
    assert step.max_tokens > 1000


def test_the_call_has_no_more_time_than_the_request() -> None:
    assert _asked(p.Playbook(_classify(), deadline=4.0)).timeout_s == 4.0


@pytest.mark.parametrize(
    ("prompt", "context"),
    [(p.HELLO, 0), (p.Prompt(), None), (p.Prompt(turns=(p.Turn("user", "a"), p.Turn("assistant", "b"))), 1)],
)
def test_without_user_text_in_the_window_there_is_no_call_but_the_classifier_tier(
    prompt: p.Prompt, context: int | None
) -> None:
    config = _classify(classifier="local:fast", classifier_context=context)
    book = p.Playbook(config, prompt=prompt)
    assert book.said == ["try local:fast"]
    assert "Class" not in book.headers


def test_without_a_call_and_without_the_right_to_the_classifier_tier_it_is_the_ladders_first() -> None:
    config = _classify(classifier="local:fast", classifier_context=0)
    identity = replace(p.ANYBODY, tiers=frozenset({"local:instant"}))
    assert p.play(config, identity=identity) == ["try local:instant"]


def test_a_failure_asks_the_fallback_classifier() -> None:
    config = _classify(classifier_fallback="cloud:deep")
    for outcome in (p.status(500), p.fault(FaultKind.TIMEOUT), p.labelled(" \n")):
        said = p.play(config, None, outcome, p.labelled("fast"))
        assert said == ["classify local:instant", "classify cloud:deep", "try local:fast"]


def test_without_any_label_it_is_the_ladders_first_tier_and_no_class() -> None:
    book = p.Playbook(_classify(classifier="local:fast", classifier_fallback="cloud:deep"))
    book.feed(p.status(500), p.fault(FaultKind.TIMEOUT))
    assert book.said == ["classify local:fast", "classify cloud:deep", "try local:instant"]
    assert "Class" not in book.headers


def test_a_classifier_that_cannot_be_asked_is_passed_over() -> None:
    config = _classify(classifier_fallback="cloud:deep")
    assert p.play(config, health=p.Conditions(keyless=["local"])) == ["classify cloud:deep"]
    assert p.play(config, health=p.Conditions(open={"local:instant": 9.0})) == ["classify cloud:deep"]


def test_the_call_is_queued_like_any_other_at_the_requests_priority() -> None:
    tiers = [p.tier("local:instant", max_concurrent=1, overflow_tier="cloud:deep", overflow_depth=0), *LADDER[1:]]
    book = p.Playbook(_classify(tiers), priority=4)
    assert (book.step.priority, book.step.overflow_depth) == (4, None)
    book.feed(p.ADMITTED, p.labelled("fast"))
    assert book.said == ["wait local:instant", "classify local:instant", "try local:fast"]


def test_a_full_line_in_front_of_the_classifier_is_a_failure_of_its_call() -> None:
    tiers = [p.tier("local:instant", max_concurrent=1), *LADDER[1:]]
    said = p.play(_classify(tiers, classifier_fallback="local:fast"), None, p.fault(FaultKind.QUEUE_FULL))
    assert said == ["wait local:instant", "classify local:fast"]


def test_there_is_no_second_call_however_the_request_is_retried() -> None:
    config = replace(_classify(), gateway=p.Gateway(max_retries=1))
    book = p.Playbook(config).feed(p.labelled("instant"), p.status(503), p.SLEPT, p.status(503), p.status(400))
    assert book.said[1:] == ["try local:instant", "sleep 0.2", "try local:instant", "try local:fast", "fail 400"]


def test_the_end_of_the_requests_time_ends_a_classification() -> None:
    assert p.play(_classify(), None, p.fault(FaultKind.DEADLINE)) == ["classify local:instant", "fail 504"]
    book = p.Playbook(_classify(classifier_fallback="local:fast"), deadline=5.0)
    book.now = 5.0
    assert book.feed(p.labelled("")).said[-1] == "fail 504"


# --- hints ---------------------------------------------------------------------------------------------------------


def test_a_hint_that_names_a_tier_is_used_without_classifying() -> None:
    book = p.Playbook(_classify(), "local:fast")
    assert book.said == ["try local:fast"]
    assert "Class" not in book.headers


def test_an_unknown_or_missing_hint_is_classified() -> None:
    assert p.play(_classify()) == ["classify local:instant"]
    book = p.Playbook(_classify(), "gpt-9")
    assert book.said == ["classify local:instant"]
    assert book.headers["Fallback"] == "unknown-model"


# --- labels, rules, cascades ---------------------------------------------------------------------------------------


def test_the_label_chooses_a_tier_of_the_ladder_and_is_said() -> None:
    book = p.Playbook(_classify(), None).feed(p.labelled("Fast-Think."))
    assert book.said[-1] == "try local:fast thinking"
    assert book.headers["Class"] == "fast"


def test_a_label_without_think_leaves_thinking_to_the_tier() -> None:
    step = p.Playbook(_classify(), None).feed(p.labelled("fast")).step
    assert isinstance(step, Attempt)
    assert step.think is None


def test_a_label_never_means_a_tier_above_the_ladder() -> None:
    assert p.play(_classify(max_auto_tier="local:fast"), None, p.labelled("cloud:deep"))[-1] == "try local:fast"


def test_a_rule_names_a_tier_even_above_the_ladder() -> None:
    config = _classify(max_auto_tier="local:fast", rules=(p.rule("cloud:deep", **{"class": "law"}),))
    assert p.play(config, None, p.labelled("class=law fast"))[-1] == "try cloud:deep"


def test_a_rule_names_a_profile_and_its_own_classifier_rules_and_ladder_go_on() -> None:
    code = p.profile(
        "code",
        "classify",
        classifier="local:fast",
        rules=(p.rule("cloud:deep", lang="rust"),),
        max_auto_tier="local:fast",
    )
    config = _classify(LADDER, code, rules=(p.rule("code", to_profile=True, **{"class": "code"}),))
    book = p.Playbook(config).feed(p.labelled("class=code"), p.labelled("lang=rust instant"))
    assert book.said == ["classify local:instant", "classify local:fast", "try cloud:deep"]
    assert book.headers["Profile"] == "default -> code"
    assert book.session.profile.name == "code"


def test_a_profile_already_visited_is_skipped() -> None:
    code = p.profile("code", "classify", rules=(p.rule("default", to_profile=True), p.rule("cloud:deep")))
    config = _classify(LADDER, code, rules=(p.rule("code", to_profile=True),))
    book = p.Playbook(config).feed(p.labelled("instant"), p.labelled("instant"))
    assert book.said[-1] == "try cloud:deep"
    assert book.trace.profiles == ("default", "code")


@pytest.mark.parametrize(
    ("mode", "step"),
    [("dispatch", "try local:fast"), ("escalate", "try local:instant held"), ("reply", "reply")],
)
def test_a_route_to_profile_runs_in_its_own_mode(mode: str, step: str) -> None:
    other = p.profile("other", mode, classifier=None if mode == "reply" else "local:fast")
    config = _classify(LADDER, other, rules=(p.rule("other", to_profile=True),))
    book = p.Playbook(config).feed(p.labelled("deep"))
    assert book.said[-1] == step
    assert book.trace.mode == mode


def test_escalation_after_a_rule_is_judged_by_that_profile() -> None:
    other = p.profile("other", "escalate", refusals=("nope",))
    config = _classify(LADDER, other, rules=(p.rule("other", to_profile=True),))
    said = p.play(config, None, p.labelled("x"), p.ended("I don't know."), stream=False)
    assert said[-1] == "commit"


def test_a_rule_for_a_tier_that_the_key_may_not_use_is_skipped() -> None:
    config = _classify(rules=(p.rule("cloud:deep"),))
    identity = replace(p.ANYBODY, tiers=frozenset({"local:instant", "local:fast"}))
    assert p.play(config, None, p.labelled("instant"), identity=identity)[-1] == "try local:instant"


def test_tiers_without_their_key_are_no_part_of_the_ladder() -> None:
    said = p.play(_classify(), None, p.labelled("deep"), health=p.Conditions(keyless=["cloud"]))
    assert said[-1] == "try local:fast"


def test_a_ladder_without_any_key_is_a_503_in_words() -> None:
    book = p.Playbook(_classify(), health=p.Conditions(keyless=["cloud", "local"]))
    assert book.error.status == 503
    assert "the key of its provider is not set" in book.error.message


# --- tool results --------------------------------------------------------------------------------------------------

WITH_RESULT = p.Prompt(turns=(p.Turn("user", "go"),), tool_result=True)


@pytest.mark.parametrize("answer", ["instant", "local:instant", ""])
def test_a_conversation_with_a_tool_result_never_lands_on_the_first_tier(answer: str) -> None:
    assert p.play(_classify(), None, p.labelled(answer), prompt=WITH_RESULT)[-1] == "try local:fast"


def test_not_by_a_rule_and_not_without_a_call_either() -> None:
    config = _classify(rules=(p.rule("local:instant"),))
    assert p.play(config, None, p.labelled("deep"), prompt=WITH_RESULT)[-1] == "try local:fast"
    assert p.play(_classify(classifier_context=0), None, prompt=WITH_RESULT) == ["try local:fast"]


def test_with_one_tier_it_lands_there() -> None:
    assert p.play(_classify(LADDER[:1]), None, p.labelled("instant"), prompt=WITH_RESULT)[-1] == "try local:instant"


def test_the_callers_own_choice_stands() -> None:
    assert p.play(_classify(), "local:instant", prompt=WITH_RESULT) == ["try local:instant"]


# --- prompts -------------------------------------------------------------------------------------------------------


def test_the_class_prompt_goes_before_the_profiles_system_prompt() -> None:
    config = _classify(system_prompt="Be kind.", class_prompts={"code": "Write code."})
    step = p.Playbook(config).feed(p.labelled("fast class=code")).step
    assert isinstance(step, Attempt)
    assert step.system == "Write code.\n\nBe kind."


def test_only_the_final_profiles_prompts_apply() -> None:
    other = p.profile("other", class_prompts={"law": "Cite."}, system_prompt="Final.")
    config = _classify(LADDER, other, system_prompt="First.", rules=(p.rule("other", to_profile=True),))
    book = p.Playbook(config).feed(p.labelled("deep topic=law"))
    assert isinstance(book.step, Attempt)
    assert book.step.system == "Cite.\n\nFinal."
    assert book.headers["Class"] == "law"


def test_a_second_classification_that_fails_leaves_no_class() -> None:
    other = p.profile("other", "classify")
    config = _classify(LADDER, other, rules=(p.rule("other", to_profile=True),))
    book = p.Playbook(config).feed(p.labelled("deep-think"), p.status(500))
    assert book.said[-1] == "try local:instant"
    assert "Class" not in book.headers


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_failed_attempt_goes_up_the_ladder_not_down() -> None:
    assert p.play(_classify(), None, p.labelled("fast"), p.status(503))[-1] == "try cloud:deep"
    assert p.play(_classify(), None, p.labelled("deep"), p.status(503))[-1] == "fail 503"
    assert p.play(_classify(), "local:fast", p.status(503))[-1] == "try cloud:deep"


def test_a_rules_tier_above_the_ladder_has_nothing_above_it() -> None:
    config = _classify(max_auto_tier="local:fast", rules=(p.rule("cloud:deep"),))
    assert p.play(config, None, p.labelled("x"), p.status(503))[-1] == "fail 503"


def test_answers_are_not_judged() -> None:
    said = p.play(_classify(), None, p.labelled("instant"), p.ended("I don't know."), stream=False)
    assert said[-1] == "commit"
