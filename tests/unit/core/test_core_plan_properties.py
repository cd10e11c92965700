"""What holds for every configuration and everything that may come: the promises of routing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import playbooks as p
from hypothesis import given, settings
from hypothesis import strategies as st

from lmgw.config.snapshot import Config, Mode, Rule
from lmgw.core.identity import Identity
from lmgw.core.plan import ANSWERS
from lmgw.core.steps import (
    Admitted,
    Attempt,
    Classify,
    Commit,
    Done,
    Dropped,
    Ended,
    Event,
    Fail,
    Failed,
    FaultKind,
    Labelled,
    Measure,
    Measured,
    Overflowed,
    Reject,
    Reply,
    Sleep,
    Slept,
    Wait,
)

NAMES = ("t0", "t1", "t2", "t3", "t4")
TEXTS = ("", "fine", "I don't know", "x" * 200, "I don't know. " * 20)


@dataclass
class Case:
    """One configuration, one request, and the outcomes that will come."""

    config: Config
    model: str | None
    how: dict[str, Any]


@st.composite
def _config(draw: st.DrawFn) -> Config:
    count = draw(st.integers(1, 5))
    names = NAMES[:count]
    some = st.lists(st.sampled_from(names), max_size=3, unique=True).map(tuple)
    tiers = []
    for n, name in enumerate(names):
        overflow = draw(st.sampled_from([None, *names[n + 1 :]]))
        tiers.append(
            p.tier(
                name,
                backend=draw(st.sampled_from(["red", "blue", "off"])),
                failover=draw(some),
                max_context_tokens=draw(st.sampled_from([None, None, 1_000, 50_000])),
                max_concurrent=draw(st.sampled_from([0, 0, 1])),
                overflow_tier=overflow,
                overflow_depth=None if overflow is None else 0,
            )
        )
    written = draw(st.booleans())
    last = draw(st.integers(0, count - 1))
    profiles = []
    for name in ("default", "other", "third"):
        mode = draw(st.sampled_from(Mode))
        rules = draw(st.lists(st.sampled_from([*names, "default", "other", "third"]), max_size=2))
        profiles.append(
            p.profile(
                name,
                mode,
                classifier=names[draw(st.integers(0, last))],
                classifier_fallback=draw(st.sampled_from([None, *names])),
                max_auto_tier=names[last] if written else None,
                expert_requires_flag=draw(st.booleans()),
                rules=tuple(Rule({}, target, target not in names) for target in rules),
                unknown_model=draw(st.sampled_from(["reject", "fallback"])),
                on_error=draw(st.sampled_from(["status", "chat"])),
            )
        )
    return p.config(tiers, *profiles, gateway=p.Gateway(max_retries=draw(st.integers(0, 2))))


@st.composite
def _case(draw: st.DrawFn) -> Case:
    config = draw(_config())
    names = list(config.tiers)
    permitted = draw(st.none() | st.lists(st.sampled_from(names), min_size=1).map(frozenset))
    down = draw(st.dictionaries(st.sampled_from(names), st.floats(1.0, 50.0), max_size=3))
    prompt = p.Prompt(turns=(p.Turn("user", "hi"),), texts=("x" * 9_000,), tool_result=draw(st.booleans()))
    how = {
        "identity": Identity(None, "default", None, permitted, "", False),
        "health": p.Conditions(open=down, keyless=draw(st.sampled_from([(), ("off",)]))),
        "prompt": prompt,
        "size": draw(st.sampled_from([10, 9_000])),
        "expert": draw(st.booleans()),
        "stream": draw(st.booleans()),
        "deadline": draw(st.none() | st.floats(0.5, 100.0)),
        "operation": draw(st.sampled_from(["chat", "chat", "chat", "completions", "embeddings", "count_tokens"])),
    }
    return Case(config, draw(st.sampled_from([None, "nobody", "default", "other", *names])), how)


@st.composite
def _failure(draw: st.DrawFn) -> Failed:
    if draw(st.booleans()):
        code = draw(st.sampled_from([400, 401, 402, 403, 404, 408, 429, 500, 503, 529]))
        message = draw(st.sampled_from(["no", "prompt is too long", "model not found", "bad api key"]))
        return p.status(code, message, after=draw(st.none() | st.floats(0, 200)))
    return p.fault(draw(st.sampled_from(FaultKind)), reused=draw(st.booleans()))


def _progress(draw: st.DrawFn) -> p.Progress:
    said = draw(st.sampled_from(TEXTS))
    return p.Progress(
        content=bool(said) or draw(st.booleans()),
        text=said,
        tool_call=draw(st.booleans()) and draw(st.booleans()),
        finish=draw(st.sampled_from(["stop", "length", "content_filter"])),
    )


@st.composite
def _outcome(draw: st.DrawFn, step: Any) -> Any:
    kind = draw(st.sampled_from([outcome for asked, outcome in ANSWERS if asked is type(step)]))
    if kind is Overflowed and step.overflow_depth is None:
        kind = Admitted
    return {
        Failed: lambda: draw(_failure()),
        Labelled: lambda: Labelled(draw(st.sampled_from(["", "fast", "deep-think", "t1", "class=x"]))),
        Measured: lambda: Measured(draw(st.sampled_from([10, 9_000, 900_000]))),
        Event: lambda: Event(_progress(draw), full=draw(st.booleans())),
        Ended: lambda: Ended(_progress(draw)),
        Admitted: Admitted,
        Overflowed: Overflowed,
        Slept: Slept,
        Dropped: Dropped,
    }[kind]()


#: Far more than any session needs that ends.
MANY = 400


def _play(case: Case, data: st.DataObject) -> p.Playbook:
    book = p.Playbook(case.config, case.model, **case.how)
    carried_on = 0
    while not isinstance(book.step, Done | Fail | Reply):
        assert len(book.steps) < MANY, book.said
        outcome = data.draw(_outcome(book.step))
        if isinstance(outcome, Event):  # an engine may tell of progress as often as it likes: not here
            carried_on += 1
            if carried_on > 5:
                outcome = Ended(outcome.progress)
        book.now += data.draw(st.sampled_from([0.0, 0.1, 5.0]))
        book.feed(outcome)
    return book


def _attempts(book: p.Playbook) -> list[Attempt]:
    return [step for step in book.steps if isinstance(step, Attempt)]


def _written_down(case: Case) -> set[str]:
    """The tiers above the ladder that somebody named: the caller, a rule, a failover list, an overflow."""
    tiers = case.config.tiers.values()
    rules = {rule.route_to for profile in case.config.profiles.values() for rule in profile.rules}
    named = {case.model} if case.model in case.config.tiers else set()
    return named | rules | {name for t in tiers for name in (*t.failover, t.overflow_tier) if name}


@settings(max_examples=120, deadline=None)
@given(_case(), st.data())
def test_never_an_attempt_above_max_auto_tier_but_for_a_tier_that_somebody_named(case: Case, data: Any) -> None:
    book = _play(case, data)
    ladders = {name for profile in book.trace.profiles for name in case.config.profiles[profile].ladder}
    for attempt in _attempts(book):
        assert attempt.tier.name in ladders | _written_down(case)


@settings(max_examples=120, deadline=None)
@given(_case(), st.data())
def test_a_tier_named_in_dispatch_mode_is_left_only_for_what_was_written_down_for_it(case: Case, data: Any) -> None:
    book = _play(case, data)
    profile = case.config.profiles["default"]
    if case.model not in case.config.tiers or profile.mode is not Mode.DISPATCH:
        return
    allowed, todo = set(), [case.model]
    while todo:  # itself, its failover list, where it overflows to, and where those overflow to
        tier = case.config.tiers[todo.pop()]
        allowed.add(tier.name)
        own = tier.failover if tier.name == case.model else ()
        todo += [name for name in (*own, tier.overflow_tier) if name and name not in allowed]
    if profile.ladder_written and case.how["operation"] in ("chat", "completions"):
        # for a prompt too long, a tier of the written ladder above it, and what is written for that one
        ladder = profile.ladder[profile.ladder.index(case.model) :] if case.model in profile.ladder else ()
        for name in ladder:
            rung = case.config.tiers[name]
            allowed |= {name, *rung.failover}
        allowed |= {t.overflow_tier for t in map(case.config.tiers.get, sorted(allowed)) if t.overflow_tier}
        allowed |= {t.overflow_tier for t in map(case.config.tiers.get, sorted(allowed)) if t.overflow_tier}
        allowed |= {t.overflow_tier for t in map(case.config.tiers.get, sorted(allowed)) if t.overflow_tier}
    assert {attempt.tier.name for attempt in _attempts(book)} <= allowed


@settings(max_examples=120, deadline=None)
@given(_case(), st.data())
def test_never_an_attempt_after_a_commit(case: Case, data: Any) -> None:
    steps = [type(step) for step in _play(case, data).steps if step is not None]
    if Commit in steps:
        assert steps.count(Commit) == 1
        assert steps[steps.index(Commit) + 1 :] in ([Done], [Fail])
    else:
        assert Done not in steps


@settings(max_examples=120, deadline=None)
@given(_case(), st.data())
def test_every_session_ends_and_attempts_are_bounded(case: Case, data: Any) -> None:
    book = _play(case, data)
    tiers, tries = len(case.config.tiers), 1 + case.config.gateway.max_retries
    attempts = _attempts(book)
    counted = [attempt for attempt in attempts if not attempt.fresh]
    assert len(counted) <= (tiers + 1) * tries  # one tier that answered may be asked again
    assert len(attempts) <= 2 * len(counted)
    assert sum(isinstance(step, Classify) for step in book.steps) <= 2 * len(case.config.profiles)
    assert sum(isinstance(step, Measure) for step in book.steps) <= 1


@settings(max_examples=80, deadline=None)
@given(_case(), st.data())
def test_no_tier_is_called_without_its_key_or_the_callers_right_to_it(case: Case, data: Any) -> None:
    identity, keyless = case.how["identity"], case.how["health"].keyless
    for step in _play(case, data).steps:
        if isinstance(step, Attempt):
            assert identity.may_use(step.tier.name)
        if isinstance(step, Attempt | Classify | Wait):
            assert step.tier.backend not in keyless


@settings(max_examples=80, deadline=None)
@given(_case(), st.data())
def test_a_tier_with_a_line_is_called_only_after_its_turn(case: Case, data: Any) -> None:
    book = _play(case, data)
    steps = [step for step in book.steps if step is not None]
    for before, step in zip([None, *steps], steps, strict=False):
        gated = isinstance(step, Attempt | Classify) and step.tier.max_concurrent
        if gated and case.how["operation"] != "count_tokens":
            again = isinstance(step, Attempt) and step.fresh
            assert isinstance(before, Attempt if again else Wait)
            assert before.tier is step.tier


@settings(max_examples=80, deadline=None)
@given(_case(), st.data())
def test_only_escalation_holds_answers_and_only_what_is_held_is_rejected(case: Case, data: Any) -> None:
    steps = [step for step in _play(case, data).steps if step is not None]
    for before, step in pairwise(steps):
        assert not isinstance(step, Reject) or (isinstance(before, Attempt) and before.hold)
        if isinstance(step, Attempt) and step.hold:
            assert Mode.ESCALATE in {case.config.profiles[name].mode for name in case.config.profiles}


@settings(max_examples=80, deadline=None)
@given(_case(), st.data())
def test_no_wait_goes_beyond_the_requests_time(case: Case, data: Any) -> None:
    deadline = case.how["deadline"]
    book = p.Playbook(case.config, case.model, **case.how)
    while not isinstance(book.step, Done | Fail | Reply):
        if isinstance(book.step, Sleep) and deadline is not None:
            assert book.now + book.step.seconds < deadline
        if deadline is not None and book.now >= deadline:
            assert not isinstance(book.steps[-1], Attempt | Classify | Sleep)
        outcome = data.draw(_outcome(book.step))
        if isinstance(outcome, Event):
            outcome = Ended(outcome.progress)
        book.now += data.draw(st.sampled_from([0.0, 1.0, 40.0]))
        book.feed(outcome)
