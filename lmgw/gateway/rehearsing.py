"""Labels as requests would get them: the part of a route up to the classifier's answer, and nothing after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmgw.config.snapshot import Mode, Profile
from lmgw.core.ask import Prompt, Supposed, Turn
from lmgw.core.classify import Label, read
from lmgw.core.plan import RouteSession
from lmgw.core.steps import Admitted, Classify, Labelled, Wait
from lmgw.errors import BadRequest
from lmgw.gateway.classifying import classify
from lmgw.gateway.explaining import operator
from lmgw.gateway.inbound import Inbound, Route

if TYPE_CHECKING:
    from lmgw.gateway.engine import Engine


class Rehearsal(msgspec.Struct, frozen=True):
    """What a profile's classifiers made of one text.

    :ivar label: ``None`` where none of them gave one.
    :ivar tier: which tier gave it.
    :ivar latency_ms: how long it took, failed calls included.
    :ivar faults: why calls failed, for the operator.
    """

    label: Label | None
    tier: str
    latency_ms: float
    faults: tuple[str, ...]


def classifying_profile(engine: Engine, name: str) -> Profile:
    """Return a profile that classifies. Raises :class:`~lmgw.errors.BadRequest` for any other, and for missing keys."""
    config = engine.current.config
    profile = config.profiles[operator(engine.current, name, "").profile]
    if profile.mode is not Mode.CLASSIFY:
        able = [other.name for other in config.profiles.values() if other.mode is Mode.CLASSIFY]
        others = f"these do: {', '.join(able)}" if able else "no profile does"
        raise BadRequest(f'profile "{name}" has mode "{profile.mode.value}" and classifies nothing; {others}')
    if profile.classifier_context == 0:
        raise BadRequest(f'profile "{name}" has classifier_context = 0: it never asks its classifier')
    asked = [config.tiers[tier] for tier in (profile.classifier, profile.classifier_fallback) if tier]
    keyless = [config.backends[tier.backend] for tier in asked if not config.backends[tier.backend].usable]
    if len(keyless) == len(asked):
        missing = ", ".join(dict.fromkeys(str(backend.api_key_env) for backend in keyless))
        raise BadRequest(f'profile "{name}" has no classifier that can be called: set {missing} in the environment')
    return profile


async def rehearse(engine: Engine, profile: Profile, text: str) -> Rehearsal:
    """Have one text labelled: the same question, prompt, tiers and timeout as for a request, but no queue.

    Whoever rehearses does so in a process of its own, where no other request could be ahead of it.
    """
    prompt = Prompt(turns=(Turn("user", text),), texts=(text,), messages=1)
    ask = Supposed(None, lambda: prompt, len(text), lambda: False)
    who = operator(engine.current, profile.name, "classify-test")
    session = RouteSession(engine.current.routes, who, ask, engine.circuits, lambda: 0.0)
    inbound = Inbound(Route.CHAT, "classify-test", b"")
    began = engine.now()
    faults: list[str] = []
    step = session.start(began)
    while isinstance(step, Wait | Classify):
        if isinstance(step, Wait):
            step = session.feed(Admitted(), engine.now()) or step
            continue
        outcome = await classify(engine, engine.current.lanes[step.tier.name], step, inbound, [])
        label = read(outcome.text) if isinstance(outcome, Labelled) else None
        if label is not None:
            return Rehearsal(label, step.tier.name, (engine.now() - began) * 1000, tuple(faults))
        if isinstance(outcome, Labelled):
            faults.append(f"{step.tier.name} answered nothing that is a label: {outcome.text[:80]!r}")
        else:
            faults.append(f"{step.tier.name}: {outcome.fault.detail or outcome.fault.error.message}")
        step = session.feed(outcome, engine.now()) or step
    return Rehearsal(None, "", (engine.now() - began) * 1000, tuple(faults))
