"""One attempt at one tier: sends the request, and reads or relays what comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lmgw.core.steps import Attempt, Commit, Dropped, Ended, Failed, Fault, FaultKind, Outcome, Reject, Step
from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.gateway import headers
from lmgw.gateway.failing import clean, refused
from lmgw.gateway.headers import Header
from lmgw.gateway.measuring import estimate
from lmgw.gateway.relay import Relay
from lmgw.gateway.running import Pending
from lmgw.upstream.exchange import Exchange, Head
from lmgw.wire.anthropic import ANTHROPIC
from lmgw.wire.counting import Count
from lmgw.wire.embeddings import Embeddings
from lmgw.wire.progress import Progress
from lmgw.wire.responses import RESPONSES
from lmgw.wire.responses_native import lacks_route

if TYPE_CHECKING:
    from lmgw.gateway.runtime import Lane
    from lmgw.gateway.task import Task
    from lmgw.wire.dialect import Target
    from lmgw.wire.translate import Translation

#: How an attempt ends that did not fail.
_VERDICTS = (Commit, Reject)
#: The largest whole answer and the largest error body that are read, in bytes.
ANSWER_BYTES, ERROR_BYTES = 64 << 20, 64 << 10


class Trial:
    """Performs one ``Attempt`` of a task's session; its connection is let go of however it ends."""

    _exchange: Exchange | None = None
    _relay: Relay | None = None
    _sent_at: float | None = None
    _answered = _failed = False

    def __init__(self, task: Task, step: Attempt) -> None:
        assert task.asked is not None
        self._task = task
        self._asked = task.asked
        self._step = step
        self._engine = task.engine
        self._lane: Lane = task.runtime.lanes[step.tier.name]
        self._dialect = self._spoken()
        self._native = self._dialect == task.asked.dialect.name
        self._passage = self._engine.circuits.enter(step.tier, self._engine.now())

    async def run(self) -> Step | None:
        """Return what the session says once the attempt is over."""
        task, lane = self._task, self._lane
        if self._asked.operation == "count_tokens" and not (self._native and lane.dialect == "anthropic"):
            return await self._estimate()
        try:
            translation = self._asked.translate(self._dialect, self._target(), lambda: task.reply_form(lane.tier.model))
        except GatewayError as error:
            self._passage.leave()
            return task.feed(Failed(Fault(FaultKind.REFUSED, error)))
        sent = translation.request
        task.lossy = sent.lossy
        extra = headers.outbound(task.inbound, sent.headers, native=self._native, anthropic=lane.dialect == "anthropic")
        self._sent_at = self._engine.now()
        self._exchange = exchange = self._engine.client.exchange(
            lane.upstream, sent.path, extra, sent.body, timers=lane.timers, fresh=self._step.fresh
        )
        try:
            return await self._converse(exchange, translation)
        finally:
            exchange.abort()
            self._passage.leave()
            self._count_wait(self._engine.now())
            self._tell()

    def pause(self) -> None:
        """The client does not read."""
        if self._relay is not None and self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        """The client reads again."""
        if self._relay is not None and self._exchange is not None:
            self._exchange.resume()

    def has_written(self) -> bool:
        """Whether anything was relayed since this was last asked."""
        wrote = self._relay is not None and self._relay.wrote
        if wrote and self._relay is not None:
            self._relay.wrote = False
        return wrote

    def _spoken(self) -> str:
        """The dialect for this provider: Responses where both sides have it and the answer's bytes can pass.

        They cannot where words of the gateway's own come first.
        """
        lane = self._lane
        if not lane.responses or self._asked.dialect is not RESPONSES:
            return lane.dialect
        if self._task.said or self._step.thinking_message:
            return lane.dialect
        return "responses" if self._engine.learned.has_responses(lane.backend.name) else lane.dialect

    def _target(self) -> Target:
        """The tier's target, with what the plan decided for this request."""
        step, wire = self._step, self._lane.wire
        if step.think is None and step.system is None:
            return wire
        return replace(wire, system=step.system, think=wire.think if step.think is None else step.think)

    async def _estimate(self) -> Step | None:
        """Count the prompt's tokens here: this provider cannot be asked to."""
        task, engine = self._task, self._engine
        self._passage.leave()
        try:
            tokens = await estimate(engine.reactor, engine.count_tokens, self._asked.routing())
        except GatewayError as error:
            return task.feed(Failed(Fault(FaultKind.REFUSED, error)))
        counted = Ended(Progress(finish="stop"))
        task.feed(counted)
        dialect = RESPONSES if self._asked.dialect is RESPONSES else ANTHROPIC
        task.answer(200, dialect.render_count(tokens), self._lines())
        return task.feed(counted)

    async def _converse(self, exchange: Exchange, translation: Translation | Embeddings | Count) -> Step | None:
        answer: Pending[Head | Fault] = Pending(exchange.cancel)
        exchange.ask(answer.tell)
        head = await answer
        if isinstance(head, Fault):
            return self._feed(Failed(head))
        if not 200 <= head.status < 300:
            body = await exchange.body(ERROR_BYTES)
            data = b"" if isinstance(body, Fault) else body
            error = translation.error(head.status, data)
            if self._dialect == "responses" and lacks_route(error):
                self._engine.learned.no_responses(self._lane.backend.name, head.status)
                return self._step  # the same attempt, translated now
            return self._feed(Failed(refused(head, error, self._lane, self._engine.epoch_s(), native=self._native)))
        more = headers.inbound(head, native=self._native)
        if translation.request.lossy:
            more.append((b"X-LMG-Lossy", ", ".join(translation.request.lossy).encode()))
        if self._asked.stream and not _is_json(head) and not isinstance(translation, Embeddings | Count):
            return await self._stream(exchange, translation, more)
        return await self._whole(exchange, translation, more)

    async def _stream(self, exchange: Exchange, translation: Translation, more: list[Header]) -> Step | None:
        """Relay the answer as it comes."""
        task = self._task
        if self._step.thinking_message is not None:
            task.think_aloud(self._step.thinking_message, self._lane.tier.model)
        stream = translation.stream(task.said)

        def begin() -> None:
            task.begin(self._lines(), more)
            task.last_words = stream.last_words

        self._relay = relay = Relay(exchange, stream, task.sink, feed=self._feed, begin=begin)
        task.progress = relay.progress
        exchange.relay(relay)
        step = await relay.decided
        return task.feed(Dropped()) if isinstance(step, Reject) else step

    async def _whole(
        self, exchange: Exchange, translation: Translation | Embeddings | Count, more: list[Header]
    ) -> Step | None:
        """Read the whole answer, then ask."""
        body = await exchange.body(ANSWER_BYTES)
        if isinstance(body, Fault):
            return self._feed(Failed(body))
        data, progress = translation.answer(body)
        if progress.error is None and self._asked.stream:
            progress.error = UpstreamFailed("the provider did not stream its answer although it was asked to")
        self._task.progress = progress
        if progress.error is not None:
            return self._feed(Failed(Fault(FaultKind.STREAM, progress.error, status=progress.error.status)))
        step = self._feed(Ended(progress))
        if isinstance(step, Reject):
            return self._task.feed(Dropped())
        if isinstance(step, Commit):
            self._task.answer(200, data, self._lines(), more)
            return None  # and nothing is left to be decided
        return step

    def _lines(self) -> bytes:
        """What the client sees of the route; also the moment when its first content is there."""
        task = self._task
        now = self._engine.now()
        self._count_wait(now)
        task.first_content_at = now
        return task.route_lines(now)

    def _count_wait(self, now: float) -> None:
        """The provider's time, up to its first content or its failure, is not the gateway's."""
        if self._sent_at is not None:
            self._task.waited_s += now - self._sent_at
            self._sent_at = None

    def _feed(self, outcome: Outcome) -> Step | None:
        """Tell the circuits, the watch and the session what came of the attempt."""
        if isinstance(outcome, Failed):
            self._failed = True
            fault = outcome.fault
            clean(fault.error, self._lane)
            session = self._task.session
            assert session is not None
            judged = session.judge(fault)
            self._passage.failed(self._engine.now(), judged, fault.retry_after_s or 0.0)
            self._engine.watch.failed(self._lane, fault, judged, self._task.inbound.request_id)
        step = self._task.feed(outcome)
        if isinstance(step, _VERDICTS):
            self._answered = True
            self._passage.succeeded()
        return step

    def _tell(self) -> None:
        """Tell the watch of an attempt that did not fail."""
        if self._failed:
            return
        if self._answered:
            self._engine.watch.succeeded(self._lane)
        else:
            self._engine.watch.abandoned(self._lane)


def _is_json(head: Head) -> bool:
    """Whether a provider that was asked for a stream answered with a whole body (an error, as a rule)."""
    return (head.get(b"content-type") or b"").startswith(b"application/json")
