"""What to try next, given what came of the tries so far: the route of one request as a state machine.

The session says one :mod:`step <lmgw.core.steps>` at a time and is told its outcome. It knows no socket and no clock:
``now`` is handed in, in seconds of one clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from lmgw.config.snapshot import Profile, Tier
from lmgw.core import classify
from lmgw.core.ask import Ask
from lmgw.core.candidates import Course, Health
from lmgw.core.direction import Direction, Question, Where
from lmgw.core.ending import failed, friendly
from lmgw.core.fit import Unmeasured
from lmgw.core.identity import Identity, effective_priority
from lmgw.core.inquiry import Inquiry
from lmgw.core.prompts import system_text
from lmgw.core.retry import Verdict, delay_s, verdict
from lmgw.core.routes import Choice, Routes
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
    Fault,
    FaultKind,
    Labelled,
    Measure,
    Measured,
    Outcome,
    Overflowed,
    Reject,
    Sleep,
    Slept,
    Step,
    Wait,
)
from lmgw.core.sufficiency import Judgement
from lmgw.core.trace import Trace
from lmgw.errors import GatewayError, UpstreamTimeout

__all__ = ["Ask", "Health", "RouteSession", "Routes"]

COMMIT, DONE, REJECT = Commit(), Done(), Reject()


class RouteSession:
    """The route of one request. Call ``start`` once, then ``feed`` with each outcome until the last step.

    ``Reply``, ``Fail`` and ``Done`` are last steps. Every session comes to one: retries are counted, a tier is chosen
    once, and only a tier that answered is asked a second time, where nothing else is left.

    :ivar trace: what was decided and why, always up to date.
    """

    # Not set before they are needed:
    _choice: Choice
    _choose: Callable[[float], Tier | None]
    _tier: Tier
    _step: Step
    _started: float
    # What most requests never change:
    _inquiry: Inquiry | None = None
    _laid: Course | None = None
    _retries = 0
    _fault: Fault | None = None
    _error: GatewayError | None = None
    _answered: Tier | None = None
    _waited: frozenset[str] = frozenset()
    _blamed: frozenset[tuple[str, str]] = frozenset()

    def __init__(
        self, routes: Routes, identity: Identity, ask: Ask, health: Health, random: Callable[[], float]
    ) -> None:
        """``random`` returns a number from 0 to 1: for jitter, and to choose among thinking messages."""
        priority = identity.priority
        if ask.priority is not None:
            priority = effective_priority(identity, ask.priority, auth_required=routes.config.auth_required)
        self.trace = Trace(routes, ask.model, priority)
        self._routes = routes
        self._identity = identity
        self._ask = ask
        self._deadline = math.inf if ask.deadline is None else ask.deadline
        self._health = health
        self._random = random
        self._direction = Direction(routes, identity, ask, health, self.trace, routes.profiles[identity.profile])

    @property
    def profile(self) -> Profile:
        """The profile that decides: after ``start`` the one the request named, later the one that rules led to."""
        return self._direction.here.profile

    def start(self, now: float) -> Step:
        """Return the first step."""
        try:
            step = self._go(self._direction.start(), now)
        except GatewayError as error:
            step = self._cannot(error)
        self._step = step
        return step

    def feed(self, outcome: Outcome, now: float) -> Step | None:
        """Return the step after this outcome; ``None`` means: carry on.

        Raises :class:`ValueError` for an outcome that is no answer to the last step.
        """
        answer = ANSWERS.get((type(self._step), type(outcome)))
        if answer is None:
            raise ValueError(f"{type(outcome).__name__} is no answer to {type(self._step).__name__}")
        try:
            step = answer(self, outcome, now)
        except GatewayError as error:
            step = self._cannot(error)
        if step is not None:
            self._step = step
        return step

    def judge(self, fault: Fault) -> Verdict:
        """Say what a fault means for the circuits; to be called once a fault, before it is fed.

        ``circuit`` is ``None`` where this request has been counted against the same circuit already: a request that
        fails on every try may itself be at fault, and must not open a circuit alone.
        """
        judged = verdict(fault)
        step = self._step
        tier = step.tier if isinstance(step, Attempt | Classify) else self.trace.tier
        if judged.circuit is None or tier is None:
            return judged
        target = (judged.circuit, tier.name if judged.circuit == "tier" else tier.backend)
        if target in self._blamed:
            return replace(judged, circuit=None)
        self._blamed |= {target}
        return judged

    # --- choosing ----------------------------------------------------------------------------------------------------

    def _go(self, where: Where, now: float) -> Step:
        if isinstance(where, Choice):
            self._inquiry = None
            self._choice = where
            fits = where.kept and not self._direction.judged
            if fits and now < self._deadline and self._health.available(where.tier, now):
                self.trace.reasons += where.reasons
                return self._line_up(where.tier, now)
            return self._pick(self._lay().first, now)
        if isinstance(where, Question):
            self._inquiry = Inquiry(where, self._routes, self._health, self.trace, self._deadline)
            return self._inquire(now)
        return where

    @property
    def _course(self) -> Course:
        """Where else the request may go: laid out when the first choice did not do."""
        return self._laid or self._lay().begun()

    def _lay(self) -> Course:
        size = self._direction.size
        self._laid = Course(self._routes, self._identity, self._health, self.trace, size, self._choice)
        return self._laid

    def _pick(self, choose: Callable[[float], Tier | None], now: float) -> Step:
        """Go on with the tier that ``choose`` returns, counting the prompt first where that must be known."""
        if now >= self._deadline:
            return self._fail()
        tier = None
        try:
            tier = choose(now)
            if self._direction.judged and self._routes.largest_window:
                self._course.weigh()  # whether to hold is asked later, when there is no time to count
        except Unmeasured:
            chosen = tier
            self._choose = choose if chosen is None else lambda now: chosen
            return self._direction.size.measure()
        if tier is None:
            return self._give_up(now)
        self._retries = 0
        return self._line_up(tier, now)

    def _measured(self, outcome: Measured, now: float) -> Step:
        self._direction.size.count(outcome.tokens)
        return self._pick(self._choose, now)

    def _give_up(self, now: float) -> Step:
        """No tier is left: an answer that was not sufficient is better than none, else the last error."""
        answered, self._answered = self._answered, None
        if answered is not None and self._course.again(answered, now):
            self._direction.judged = False
            self.trace.escalated = "exhausted"
            self._retries = 0
            return self._line_up(answered, now)
        if self._error is None:
            self._error = self._course.down(now)
        return self._fail()

    # --- classifying -------------------------------------------------------------------------------------------------

    def _inquire(self, now: float) -> Step:
        """Ask the next classifier; without one the ladder decides."""
        if now >= self._deadline:
            return self._fail()
        step = None if self._inquiry is None else self._inquiry.next(now)
        return step or self._go(self._direction.unlabelled(), now)

    def _labelled(self, outcome: Labelled, now: float) -> Step:
        label = classify.read(outcome.text)
        return self._inquire(now) if label is None else self._go(self._direction.labelled(label), now)

    def _unlabelled(self, outcome: Failed, now: float) -> Step:
        return self._stopped(outcome, now) if outcome.fault.kind is FaultKind.DEADLINE else self._inquire(now)

    # --- waiting and sending -----------------------------------------------------------------------------------------

    def _line_up(self, tier: Tier, now: float) -> Step:
        """Get in line for a tier that was chosen, or send at once where it has no line."""
        self._tier = self.trace.tier = tier
        if not tier.max_concurrent or self._ask.operation == "count_tokens":
            return self._send(tier, now)
        if tier.overflow_depth is None or tier.name in self._waited or self._ask.operation == "embeddings":
            return Wait(tier, tier.queue_id, self.trace.priority)
        return Wait(tier, tier.queue_id, self.trace.priority, tier.overflow_tier, tier.overflow_depth)

    def _admitted(self, outcome: Admitted, now: float) -> Step:
        if now >= self._deadline:
            return self._fail()
        return self._send(self._tier, now) if self._inquiry is None else self._inquiry.ask(now)

    def _overflowed(self, outcome: Overflowed, now: float) -> Step:
        self._waited |= {self._tier.name}
        return self._pick(self._course.overflow, now)

    def _not_admitted(self, outcome: Failed, now: float) -> Step:
        if self._inquiry is None:
            return self._stopped(outcome, now)
        self._inquiry.turned_away()
        return self._unlabelled(outcome, now)

    def _send(self, tier: Tier, now: float, *, fresh: bool = False) -> Attempt:
        self._started = now
        direction = self._direction
        hold = direction.judged and self._course.can_climb(now)
        system = message = None
        if self._ask.operation == "chat":
            here, label = direction.here, self.trace.label
            system = here.system if label is None else system_text(here.profile, label)
            messages = here.profile.thinking_messages.get(tier.name) if self._ask.stream else None
            if messages:
                message = messages[int(self._random() * len(messages)) % len(messages)]
        return Attempt(tier, hold, direction.think, system, message, fresh)

    def _slept(self, outcome: Slept, now: float) -> Step:
        return self._fail() if now >= self._deadline else self._line_up(self._tier, now)

    # --- answers -----------------------------------------------------------------------------------------------------

    def _came(self, outcome: Event, now: float) -> Step | None:
        """Some of the answer came: where it is held, see whether its fate is decided."""
        if not self._held:
            return self._commit(now) if outcome.progress.content else None
        judgement = self._direction.here.jury.so_far(outcome.progress)
        if judgement is Judgement.INSUFFICIENT:
            return self._refuse(now)
        return self._commit(now) if outcome.full or judgement is Judgement.SUFFICIENT else None

    def _complete(self, outcome: Ended, now: float) -> Step:
        """The whole answer is there and nothing of it was sent."""
        if not self._direction.judged:
            return self._commit(now)
        sufficient = self._direction.here.jury.final(outcome.progress) is Judgement.SUFFICIENT
        return self._commit(now) if sufficient else self._refuse(now)

    def _refuse(self, now: float) -> Step:
        """The answer is not sufficient: go up, unless there is nowhere to go (any more)."""
        if not self._course.can_climb(now):
            self.trace.escalated = "exhausted"
            return self._commit(now)
        self.trace.tried(self._tier, 200, "not sufficient", now - self._started)
        self._answered = self._tier
        return REJECT

    def _dropped(self, outcome: Dropped, now: float) -> Step:
        self.trace.escalated = True
        return self._pick(self._course.after_refusal, now)

    def _commit(self, now: float) -> Step:
        self.trace.tried(self._tier, 200, None, now - self._started)
        return COMMIT

    def _more(self, outcome: Event, now: float) -> None:
        """What is committed is relayed without asking."""

    def _done(self, outcome: Ended, now: float) -> Step:
        return DONE

    def _broke(self, outcome: Failed, now: float) -> Step:
        """What is committed is never tried again."""
        error = verdict(outcome.fault).error
        self.trace.broke(_words(outcome.fault))
        return Fail(error)

    # --- failures ----------------------------------------------------------------------------------------------------

    def _failed(self, outcome: Failed, now: float) -> Step:
        """An attempt failed before anything of it was sent: again, elsewhere, or not at all."""
        fault = outcome.fault
        if fault.reused and not self._fresh and now < self._deadline:  # a kept connection was closed: no try at all
            return self._send(self._tier, now, fresh=True)
        judged = verdict(fault)
        self.trace.tried(self._tier, fault.status, _words(fault), now - self._started)
        self._error, self._fault = judged.error, fault
        if fault.kind is FaultKind.DEADLINE:
            return self._fail()
        if judged.roomier:
            return self._pick(self._course.roomier, now)
        if judged.retry and self._retries < self._routes.max_retries and self._course.may_repeat(now):
            seconds = delay_s(self._retries, self._routes.retry_delay_s, self._random(), fault.retry_after_s)
            if now + seconds < self._deadline:
                self._retries += 1
                return Sleep(seconds)
        return self._pick(self._course.after_failure, now) if judged.failover else self._give_up(now)

    def _stopped(self, outcome: Failed, now: float) -> Step:
        """Something besides an attempt failed: there is nothing to try instead."""
        self._error, self._fault = verdict(outcome.fault).error, outcome.fault
        return self._fail()

    def _fail(self) -> Step:
        """End with the last error."""
        error = self._error or UpstreamTimeout("the request's time is used up (request_timeout_ms)")
        end = failed(error, self._fault, retried=0 < self._routes.max_retries <= self._retries)
        return friendly(end, self.profile) if self._ask.operation == "chat" else end

    def _cannot(self, error: GatewayError) -> Step:
        """End with an error that was found before anything was sent: the caller's, unless nothing here can be used."""
        self._error, self._fault = error, None
        return Fail(error) if error.status < 500 else self._fail()

    # --- small -------------------------------------------------------------------------------------------------------

    @property
    def _held(self) -> bool:
        return isinstance(self._step, Attempt) and self._step.hold

    @property
    def _fresh(self) -> bool:
        return isinstance(self._step, Attempt) and self._step.fresh


def _words(fault: Fault) -> str:
    return fault.detail or fault.error.message


#: What is done with an outcome, by the step it answers; every other pair is an error of the engine.
ANSWERS: dict[tuple[type, type], Callable[[RouteSession, Any, float], Step | None]] = {
    (Measure, Measured): RouteSession._measured,
    (Measure, Failed): RouteSession._stopped,
    (Classify, Labelled): RouteSession._labelled,
    (Classify, Failed): RouteSession._unlabelled,
    (Wait, Admitted): RouteSession._admitted,
    (Wait, Overflowed): RouteSession._overflowed,
    (Wait, Failed): RouteSession._not_admitted,
    (Sleep, Slept): RouteSession._slept,
    (Sleep, Failed): RouteSession._stopped,
    (Attempt, Event): RouteSession._came,
    (Attempt, Ended): RouteSession._complete,
    (Attempt, Failed): RouteSession._failed,
    (Reject, Dropped): RouteSession._dropped,
    (Reject, Failed): RouteSession._stopped,
    (Commit, Event): RouteSession._more,
    (Commit, Ended): RouteSession._done,
    (Commit, Failed): RouteSession._broke,
}
