"""The classifier's call: one cheap question to a tier, its answer as text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lmgw.core.record import Spent
from lmgw.core.retry import verdict
from lmgw.core.steps import Classify, Failed, Fault, FaultKind, Labelled
from lmgw.core.usage import tokens
from lmgw.errors import GatewayError
from lmgw.gateway.failing import refused
from lmgw.gateway.headers import outbound
from lmgw.gateway.inbound import Inbound
from lmgw.gateway.runtime import Lane
from lmgw.upstream.exchange import Exchange
from lmgw.wire.events import Answer, Message, Reasoning, Request, Text
from lmgw.wire.neutral import note_answer
from lmgw.wire.progress import Progress
from lmgw.wire.translate import DIALECTS

if TYPE_CHECKING:
    from lmgw.gateway.engine import Engine

#: A label is a word; an answer larger than this, in bytes, is none.
LABEL_BYTES = 256 << 10


async def classify(
    engine: Engine, lane: Lane, step: Classify, inbound: Inbound, bill: list[Spent]
) -> Labelled | Failed:
    """Ask ``lane`` to label the text; whatever goes wrong is a value. Cancelling it aborts the call.

    What an answer took is added to ``bill``.
    """
    dialect = DIALECTS[lane.dialect]
    rendered = dialect.render_request(_question(step), replace(lane.wire, think=None, system=None))
    extra = outbound(inbound, rendered.headers, native=False, anthropic=False)
    timers = replace(lane.timers, total_s=step.timeout_s)
    exchange = engine.client.exchange(lane.upstream, rendered.path, extra, rendered.body, timers=timers)
    passage = engine.circuits.enter(step.tier, engine.now())
    outcome: Labelled | Failed | None = None
    try:
        answer = await _answer(exchange, lane, engine.epoch_s())
        if isinstance(answer, Answer):
            bill.append(_spent(answer, lane, len(rendered.body)))
            outcome = Labelled("".join(part.text for part in answer.parts if isinstance(part, Text)))
            passage.succeeded()
            engine.watch.succeeded(lane)
        else:
            outcome = answer
            judged = verdict(outcome.fault)
            passage.failed(engine.now(), judged, outcome.fault.retry_after_s or 0.0)
            engine.watch.failed(lane, outcome.fault, judged, inbound.request_id)
        return outcome
    finally:
        exchange.abort()
        passage.leave()
        if outcome is None:
            engine.watch.abandoned(lane)


async def _answer(exchange: Exchange, lane: Lane, epoch_s: float) -> Answer | Failed:
    dialect = DIALECTS[lane.dialect]
    head = await exchange.head()
    if isinstance(head, Fault):
        return Failed(head)
    body = await exchange.body(LABEL_BYTES)
    if isinstance(body, Fault):
        return Failed(body)
    if not 200 <= head.status < 300:
        error = dialect.parse_error(head.status, body)
        return Failed(refused(head, error, lane, epoch_s, native=False))
    try:
        return dialect.parse_answer(body)
    except GatewayError as error:
        return Failed(Fault(FaultKind.STREAM, error, status=error.status))


def _spent(answer: Answer, lane: Lane, prompt_bytes: int) -> Spent:
    progress = Progress()
    note_answer(progress, answer)
    return Spent.at(lane.tier, tokens(progress, prompt_bytes))


def _question(step: Classify) -> Request:
    return Request(
        model=step.tier.model,
        messages=(Message("system", (Text(step.prompt),)), Message("user", (Text(step.text),))),
        max_tokens=step.max_tokens,
        temperature=0.0,
        reasoning=None if step.think else Reasoning(enabled=False, effort="none"),
    )
