"""One attempt at one tier: sends the request, and reads or relays what comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lmgw.core.steps import Attempt, Commit, Dropped, Ended, Failed, Fault, FaultKind, Outcome, Reject, Step
from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.gateway.failing import clean, refused
from lmgw.gateway.headers import inbound, outbound
from lmgw.gateway.measuring import estimate
from lmgw.gateway.relay import Relay
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

    __slots__ = (
        "_asked",
        "_dialect",
        "_engine",
        "_exchange",
        "_lane",
        "_native",
        "_outcome",
        "_passage",
        "_relay",
        "_sent_at",
        "_since",
        "_step",
        "_task",
    )

    def __init__(self, task: Task, step: Attempt) -> None:
        asked, engine, spans = task.asked, task.engine, task.spans
        assert asked is not None
        self._task = task
        self._asked = asked
        self._step = step
        self._engine = engine
        self._lane: Lane = task.runtime.lanes[step.tier.name]
        self._dialect = self._spoken() if asked.dialect is RESPONSES else self._lane.dialect
        self._native = self._dialect == asked.dialect.name
        self._passage = engine.circuits.enter(step.tier, task.told_at)
        # Where the last span ended; on another connection it is the same attempt that goes on.
        self._since = spans.pop()[2] if step.fresh and spans[-1][0] == "attempt" else spans[-1][3]
        self._exchange: Exchange | None = None
        self._relay: Relay | None = None
        self._sent_at: float | None = None
        #: For the watch, which hears of a failure at once.
        self._outcome: Literal["unsent", "abandoned", "success", "failed"] = "unsent"

    async def run(self) -> Step | None:
        """Return what the session says once the attempt is over."""
        task, asked, lane, step = self._task, self._asked, self._lane, self._step
        try:
            if asked.operation == "count_tokens" and not (self._native and lane.dialect == "anthropic"):
                return await self._estimate()
            target = lane.wire if step.think is None and step.system is None else self._target()
            try:
                translation = asked.translate(self._dialect, target, lambda: task.reply_form(lane.tier.model))
            except GatewayError as error:
                self._passage.leave()
                return task.feed(Failed(Fault(FaultKind.REFUSED, error)))
            sent = translation.request
            task.lossy = sent.lossy
            extra = outbound(task.inbound, sent.headers, self._native, lane.dialect == "anthropic")
            self._exchange = exchange = self._engine.client.exchange(
                lane.upstream, sent.path, extra, sent.body, lane.timers, b"POST", step.fresh
            )
            sent.body = b""
            self._outcome = "abandoned"
            self._sent_at = self._engine.now()
            head = await exchange
            if isinstance(head, Fault):
                return self._feed(Failed(head))
            if not 200 <= head.status < 300:
                return self._refused(head, translation, await exchange.body(ERROR_BYTES))
            if asked.stream and not _is_json(head) and not isinstance(translation, Embeddings | Count):
                return await self._stream(exchange, translation, head)
            body = exchange.at_hand(ANSWER_BYTES)
            return self._whole(translation, head, await exchange.body(ANSWER_BYTES) if body is None else body)
        finally:
            self._end()

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
        """The dialect for a Responses caller's provider: its own where that has it and the answer's bytes can pass.

        They cannot where words of the gateway's own come first.
        """
        lane = self._lane
        if not lane.responses or self._task.said or self._step.thinking_message:
            return lane.dialect
        return "responses" if self._engine.learned.has_responses(lane.backend.name) else lane.dialect

    def _target(self) -> Target:
        """The tier's target, with what the plan decided for this request."""
        step, wire = self._step, self._lane.wire
        return replace(wire, system=step.system, think=wire.think if step.think is None else step.think)

    async def _estimate(self) -> Step | None:
        """Count the prompt's tokens here: this provider cannot be asked to."""
        task, engine = self._task, self._engine
        self._passage.leave()
        try:
            tokens = await estimate(engine.reactor, engine.count_tokens, self._asked)
        except GatewayError as error:
            return task.feed(Failed(Fault(FaultKind.REFUSED, error)))
        counted = Ended(Progress(finish="stop"))
        task.feed(counted)
        dialect = RESPONSES if self._asked.dialect is RESPONSES else ANTHROPIC
        task.answer(200, dialect.render_count(tokens), self._lines())
        return task.feed(counted)

    def _refused(self, head: Head, translation: Translation | Embeddings | Count, body: bytes | Fault) -> Step | None:
        """The provider answered with an error."""
        error = translation.error(head.status, b"" if isinstance(body, Fault) else body)
        if self._dialect == "responses" and lacks_route(error):
            self._engine.learned.no_responses(self._lane.backend.name, head.status)
            return self._step  # the same attempt, translated now
        return self._feed(Failed(refused(head, error, self._lane, self._engine.epoch_s(), native=self._native)))

    async def _stream(self, exchange: Exchange, translation: Translation, head: Head) -> Step | None:
        """Relay the answer as it comes."""
        task = self._task
        if self._step.thinking_message is not None:
            task.think_aloud(self._step.thinking_message, self._lane.tier.model)
        stream = translation.stream(task.said)

        def begin() -> None:
            task.begin(self._lines(), inbound(head, self._native, task.lossy))
            task.last_words = stream.last_words

        self._relay = relay = Relay(exchange, stream, task.sink, feed=self._feed, begin=begin)
        task.progress = relay.progress
        exchange.relay(relay)
        step = await relay.decided
        return task.feed(Dropped()) if isinstance(step, Reject) else step

    def _whole(self, translation: Translation | Embeddings | Count, head: Head, body: bytes | Fault) -> Step | None:
        """The whole answer is there: ask whether it is good enough."""
        if isinstance(body, Fault):
            return self._feed(Failed(body))
        task = self._task
        data, progress = translation.answer(body)
        if progress.error is None and self._asked.stream:
            progress.error = UpstreamFailed("the provider did not stream its answer although it was asked to")
        task.progress = progress
        if progress.error is not None:
            return self._feed(Failed(Fault(FaultKind.STREAM, progress.error, status=progress.error.status)))
        self._exchange = None  # it has come to its end
        step = self._feed(Ended(progress))
        if isinstance(step, Commit):
            task.answer(200, data, self._lines(), inbound(head, self._native, task.lossy))
            return None  # and nothing is left to be decided
        return task.feed(Dropped()) if isinstance(step, Reject) else step

    def _lines(self) -> bytes:
        """What the client sees of the route; also the moment when its first content is there."""
        task = self._task
        assert task.session is not None
        task.first_content_at = now = task.told_at
        if self._sent_at is not None:
            self._count_wait(now)
        overhead_s = now - task.inbound.received_at - task.waited_s
        return b"%bX-LMG-Overhead-Ms: %.1f\r\n" % (task.session.trace.lines(), max(overhead_s, 0.0) * 1000)

    def _count_wait(self, now: float) -> None:
        """The provider's time, up to its first content or its failure, is not the gateway's."""
        if self._sent_at is not None:
            self._task.waited_s += now - self._sent_at
            self._sent_at = None

    def _feed(self, outcome: Outcome) -> Step | None:
        """Tell the circuits, the watch and the session what came of the attempt."""
        task = self._task
        if isinstance(outcome, Failed):
            self._outcome = "failed"
            fault = outcome.fault
            clean(fault.error, self._lane)
            assert task.session is not None
            judged = task.session.judge(fault)
            self._passage.failed(self._engine.now(), judged, fault.retry_after_s or 0.0)
            self._engine.watch.failed(self._lane, fault, judged, task.inbound.request_id)
        step = task.feed(outcome)
        if isinstance(step, _VERDICTS):
            self._outcome = "success"
            self._passage.succeeded()
        return step

    def _end(self) -> None:
        """Let go of what is held, and write down what came of the attempt."""
        task, engine = self._task, self._engine
        if self._exchange is not None:
            self._exchange.abort()
        now = engine.now()
        task.spans.append(("attempt", self._step.tier.name, self._since, now))
        task.trial = None
        if self._sent_at is not None:
            self._count_wait(now)
        if self._outcome == "success":
            engine.watch.succeeded(self._lane)
        else:
            self._passage.leave()
            if self._outcome == "abandoned":
                engine.watch.abandoned(self._lane)


def _is_json(head: Head) -> bool:
    """Whether a provider that was asked for a stream answered with a whole body (an error, as a rule)."""
    return (head.get(b"content-type") or b"").startswith(b"application/json")
