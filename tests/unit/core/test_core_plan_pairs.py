"""Every pair of a step and an outcome: what the session says to it, or that it refuses it.

``TABLE`` has every pair that can be answered, as a playbook that leads to the step; all others are refused: they are
errors of whoever drives the session.
"""

from itertools import product
from typing import get_args

import playbooks as p
import pytest

from lmgw.core.plan import ANSWERS
from lmgw.core.steps import (
    Attempt,
    Classify,
    Commit,
    Done,
    Fail,
    FaultKind,
    Measure,
    Outcome,
    Reject,
    Reply,
    Sleep,
    Step,
    Wait,
)

GATED = [p.tier("a:1", max_concurrent=1, overflow_tier="b:2", overflow_depth=0), "b:2"]
SMALL = [p.tier("a:1", max_context_tokens=1000), "b:2"]
LATE = p.fault(FaultKind.DEADLINE)


def _to_measure() -> p.Playbook:
    config = p.config(SMALL, p.profile(mode="escalate"))
    return p.Playbook(config, size=9000, prompt=p.Prompt(texts=("x" * 9000,)))


def _to_classify() -> p.Playbook:
    return p.Playbook(p.config(["a:1", "b:2"], p.profile(mode="classify")))


def _to_wait() -> p.Playbook:
    return p.Playbook(p.config(GATED), "a:1")


def _to_classifiers_wait() -> p.Playbook:
    return p.Playbook(p.config(GATED, p.profile(mode="classify", classifier_fallback="b:2")))


def _to_attempt() -> p.Playbook:
    return p.Playbook(p.config([p.tier("a:1", failover=("b:2",)), "b:2"]), "a:1")


def _to_held_attempt() -> p.Playbook:
    return p.Playbook(p.config(["a:1", "b:2"], p.profile(mode="escalate")))


def _to_sleep() -> p.Playbook:
    return p.Playbook(p.config(["a:1"], gateway=p.Gateway(max_retries=1)), "a:1").feed(p.status(503))


def _to_commit() -> p.Playbook:
    return _to_attempt().feed(p.text("x"))


def _to_reject() -> p.Playbook:
    return _to_held_attempt().feed(p.text("I don't know. " * 10))


def _to_reply() -> p.Playbook:
    return p.Playbook(p.config([], p.profile(mode="reply")))


def _to_fail() -> p.Playbook:
    return p.Playbook(p.config(["a:1"]), "gpt-9")


def _to_done() -> p.Playbook:
    return _to_commit().feed(p.ended())


#: How to get to a step, the outcome, what the session says.
TABLE = [
    (_to_measure, p.measured(20_000), "try b:2"),
    (_to_measure, p.measured(10), "try a:1 held"),
    (_to_measure, LATE, "fail 504"),
    (_to_classify, p.labelled("deep"), "try b:2"),
    (_to_classify, p.labelled(""), "try a:1"),
    (_to_classify, p.status(500), "try a:1"),
    (_to_classify, LATE, "fail 504"),
    (_to_wait, p.ADMITTED, "try a:1"),
    (_to_wait, p.OVERFLOWED, "try b:2"),
    (_to_wait, p.fault(FaultKind.QUEUE_FULL), "fail 502"),
    (_to_classifiers_wait, p.ADMITTED, "classify a:1"),
    (_to_classifiers_wait, p.fault(FaultKind.QUEUE_FULL), "classify b:2"),
    (_to_classifiers_wait, LATE, "fail 504"),
    (_to_attempt, p.text("x"), "commit"),
    (_to_attempt, p.ended(), "commit"),
    (_to_attempt, p.status(503), "try b:2"),
    (_to_attempt, p.status(400), "fail 400"),
    (_to_attempt, p.fault(FaultKind.CLOSED, reused=True), "try a:1 fresh"),
    (_to_attempt, LATE, "fail 504"),
    (_to_held_attempt, p.text("x"), "go on"),
    (_to_held_attempt, p.text("x" * 200), "commit"),
    (_to_held_attempt, p.text("I don't know " * 20), "reject"),
    (_to_held_attempt, p.ended(), "commit"),
    (_to_held_attempt, p.ended("I don't know"), "reject"),
    (_to_held_attempt, p.status(503), "try b:2"),
    (_to_sleep, p.SLEPT, "try a:1"),
    (_to_sleep, LATE, "fail 504"),
    (_to_commit, p.text("xy"), "go on"),
    (_to_commit, p.ended("xy"), "done"),
    (_to_commit, p.fault(FaultKind.CLOSED), "fail 502"),
    (_to_reject, p.DROPPED, "try b:2"),
    (_to_reject, LATE, "fail 504"),
]

#: One way to each step.
STEPS = {
    Measure: _to_measure,
    Classify: _to_classify,
    Wait: _to_wait,
    Attempt: _to_attempt,
    Sleep: _to_sleep,
    Commit: _to_commit,
    Reject: _to_reject,
    Reply: _to_reply,
    Fail: _to_fail,
    Done: _to_done,
}

#: One outcome of each kind.
OUTCOMES = {type(o): o for o in (p.labelled("x"), p.measured(1), p.ADMITTED, p.OVERFLOWED, p.text("x"), p.ended())} | {
    type(o): o for o in (p.status(500), p.SLEPT, p.DROPPED)
}


def _covered() -> set[tuple[type, type]]:
    return {(type(lead().step), type(outcome)) for lead, outcome, _ in TABLE}


@pytest.mark.parametrize(("lead", "outcome", "says"), TABLE)
def test_what_the_session_says_to_an_outcome(lead: object, outcome: Outcome, says: str) -> None:
    assert lead().feed(outcome).said[-1] == says


def test_the_table_leads_to_every_step_and_knows_every_outcome() -> None:
    assert set(STEPS) == set(get_args(Step))
    assert set(OUTCOMES) == set(get_args(Outcome))
    for step, lead in STEPS.items():
        assert type(lead().step) is step


REFUSED = sorted(set(product(STEPS, OUTCOMES)) - _covered(), key=str)


@pytest.mark.parametrize(("step", "outcome"), REFUSED)
def test_every_other_pair_is_refused(step: type, outcome: type) -> None:
    book = STEPS[step]()
    with pytest.raises(ValueError, match=f"{outcome.__name__} is no answer to {step.__name__}"):
        book.session.feed(OUTCOMES[outcome], 0.0)
    assert type(book.step) is step


def test_the_table_is_complete() -> None:
    assert _covered() == set(ANSWERS)
