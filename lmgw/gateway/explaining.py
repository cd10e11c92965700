"""``POST /admin/explain``: what would become of a request, without a model being called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lmgw.core.auth import DEFAULT_PROFILE
from lmgw.core.explain import Explanation, explain
from lmgw.core.identity import Identity
from lmgw.errors import BadRequest
from lmgw.gateway.asked import Asked
from lmgw.gateway.inbound import Inbound, Route
from lmgw.gateway.measuring import measure

if TYPE_CHECKING:
    from lmgw.gateway.engine import Engine
    from lmgw.gateway.runtime import Runtime


class Circumstances(msgspec.Struct, frozen=True):
    """Under which circumstances a request is explained.

    :ivar route: whose dialect its body is in.
    :ivar client: as if this client's key had been shown; ``None``: as the operator, who may use everything.
    :ivar profile: the operator's profile where the request names none.
    :ivar label: what the classifier is taken to have answered.
    :ivar expert: as if ``X-LMG-Expert: true`` had been sent.
    :ivar priority: as ``X-LMG-Priority`` had asked for.
    """

    route: Route = Route.CHAT
    client: str | None = None
    profile: str | None = None
    label: str | None = None
    expert: bool = False
    priority: int | None = None


def operator(runtime: Runtime, profile: str | None, name: str) -> Identity:
    """Return who an operator is, shown as ``name``: may use everything. Raises :class:`~lmgw.errors.BadRequest`."""
    profile = profile or DEFAULT_PROFILE
    if profile not in runtime.config.profiles:
        raise BadRequest(f'there is no profile "{profile}"; there are {", ".join(runtime.config.profiles)}')
    return Identity(None, profile, None, None, name, True)


async def explained(engine: Engine, body: bytes, given: Circumstances) -> dict[str, Any]:
    """Return the plan for a request, JSON-ready. Raises :class:`~lmgw.errors.BadRequest` in words."""
    runtime = engine.current
    identity = _identity(runtime, given)
    headers = {b"x-lmg-expert": b"true" if given.expert else b"false"}
    if given.priority is not None:
        headers[b"x-lmg-priority"] = str(given.priority).encode()
    ask = Asked(Inbound(given.route, "explain", body, headers), None)
    counted = 0
    if runtime.routes.largest_window:
        counted = await measure(engine.reactor, engine.count_tokens, ask.prompt().texts, runtime.routes.largest_window)
    plan = explain(
        runtime.routes,
        identity,
        ask,
        engine.circuits,
        engine.now(),
        label=given.label,
        count=lambda step: counted,
    )
    return _shown(plan)


def _identity(runtime: Runtime, given: Circumstances) -> Identity:
    if given.client is None:
        return operator(runtime, given.profile, "operator")
    client = runtime.doorman.clients.get(given.client)
    if client is None:
        raise BadRequest(f'there is no client "{given.client}"')
    return client


def _shown(plan: Explanation) -> dict[str, Any]:
    question, error = plan.question, plan.error
    return {
        "profiles": plan.profiles,
        "mode": plan.mode,
        "label": plan.label,
        "question": None
        if question is None
        else {"tier": question.tier.name, "prompt": question.prompt, "text": question.text},
        "order": plan.order,
        "held": plan.held,
        "reasons": plan.reasons,
        "fallback": plan.fallback,
        "priority": plan.priority,
        "think": plan.think,
        "system": plan.system,
        "reply": plan.reply,
        "error": None if error is None else {"status": error.status, "message": error.message},
    }
