"""What would become of a request, and why: its session played through with every attempt failing, no model called."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lmgw.core.ask import Ask
from lmgw.core.candidates import Health
from lmgw.core.identity import Identity
from lmgw.core.plan import RouteSession
from lmgw.core.record import Reason
from lmgw.core.routes import Routes
from lmgw.core.steps import (
    Admitted,
    Attempt,
    Classify,
    Fail,
    Failed,
    Fault,
    FaultKind,
    Labelled,
    Measure,
    Measured,
    Outcome,
    Reply,
    Sleep,
    Slept,
    Step,
    Wait,
)
from lmgw.errors import GatewayError, Unavailable


class Explanation(msgspec.Struct, frozen=True):
    """The plan for one request.

    :ivar question: what the classifier would be asked; ``None`` where nothing is classified. Without a label given the
        plan is the one for a classifier that gives none.
    :ivar order: the tiers in the order they would be tried if each failed (escalate: was not sufficient).
    :ivar held: those whose answers would be held and judged.
    :ivar reasons: why each was chosen, and why others were skipped.
    :ivar reply: the fixed answer of a profile without a backend.
    :ivar error: what the caller would be told at once.
    """

    profiles: tuple[str, ...]
    mode: str
    label: str | None
    question: Classify | None
    order: tuple[str, ...]
    held: tuple[str, ...]
    reasons: tuple[Reason, ...]
    fallback: str | None = None
    priority: int = 0
    think: bool | None = None
    system: str | None = None
    reply: str | None = None
    error: GatewayError | None = None


def explain(
    routes: Routes,
    identity: Identity,
    ask: Ask,
    health: Health,
    now: float,
    *,
    label: str | None,
    count: Callable[[Measure], int],
) -> Explanation:
    """Play a request through. ``label`` is the classifier's answer; ``count`` counts the tokens of a ``Measure``."""
    session = RouteSession(routes, identity, ask, health, lambda: 0.0)
    question: Classify | None = None
    attempts: list[Attempt] = []
    step: Step | None = session.start(now)
    while (outcome := _stub(step, label, count)) is not None:
        if isinstance(step, Classify):
            question = question or step
        elif isinstance(step, Attempt):
            attempts.append(step)
        step = session.feed(outcome, now)
    trace = session.trace
    first = attempts[0] if attempts else None
    return Explanation(
        profiles=tuple(trace.profiles),
        mode=trace.mode.value,
        label=trace.label,
        question=question,
        order=tuple(attempt.tier.name for attempt in attempts),
        held=tuple(attempt.tier.name for attempt in attempts if attempt.hold),
        reasons=tuple(trace.reasons),
        fallback=trace.fallback,
        priority=trace.priority,
        think=first.think if first else None,
        system=first.system if first else None,
        reply=step.text if isinstance(step, Reply) and not attempts else None,
        error=step.error if isinstance(step, Fail | Reply) and not attempts else None,
    )


def _stub(step: Step | None, label: str | None, count: Callable[[Measure], int]) -> Outcome | None:
    """Return what comes of a step in a dry run; ``None`` after the last."""
    match step:
        case Classify():
            return Labelled(label or "")
        case Measure():
            return Measured(count(step))
        case Wait():
            return Admitted()
        case Sleep():
            return Slept()
        case Attempt():
            # A failure without a retry, after which the plan goes on to the next tier.
            return Failed(Fault(FaultKind.KEY_MISSING, Unavailable("not called: this is a dry run")))
        case _:
            return None
