"""One request from its arrival to its record: performs the steps of its route session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lmgw.core.identity import Identity
from lmgw.core.names import told
from lmgw.core.plan import RouteSession
from lmgw.core.steps import (
    Admitted,
    Attempt,
    Classify,
    Commit,
    Done,
    Fail,
    Failed,
    Fault,
    FaultKind,
    Measure,
    Measured,
    Outcome,
    Overflowed,
    Reply,
    Sleep,
    Slept,
    Step,
    Wait,
)
from lmgw.errors import GatewayError, RateLimited, Unavailable, UpstreamTimeout
from lmgw.gateway import headers
from lmgw.gateway.asked import Asked
from lmgw.gateway.classifying import classify
from lmgw.gateway.failing import Bug
from lmgw.gateway.headers import Header
from lmgw.gateway.inbound import Inbound, Sink
from lmgw.gateway.measuring import measure
from lmgw.gateway.recording import ATTRIBUTION_CHARS
from lmgw.gateway.running import Running
from lmgw.gateway.spoken import spoken
from lmgw.gateway.trial import Trial
from lmgw.state.limits import network_of
from lmgw.wire.dialect import Reply as ReplyForm
from lmgw.wire.dialect import StreamRenderer
from lmgw.wire.events import StreamError
from lmgw.wire.neutral import opening
from lmgw.wire.progress import Progress
from lmgw.wire.statuses import caller_status
from lmgw.wire.translate import DIALECTS

if TYPE_CHECKING:
    from lmgw.config.snapshot import Tier
    from lmgw.core.record import Spent
    from lmgw.gateway.engine import Engine
    from lmgw.gateway.queues import Slot
    from lmgw.gateway.runtime import Runtime

JSON = (b"Content-Type", b"application/json")
_JSON = b"Content-Type: application/json\r\n"
_STREAMED = b"Content-Type: %b\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
#: A body that took less than this to come, in seconds, is no part of where the time went.
SHOWN_S = 0.001
#: The status in the record of a request whose client did not wait for one (nginx's convention).
CLIENT_CLOSED = 499

log = Logger()


class Task:
    """One request in flight.

    It is one coroutine, which is broken off when the client goes away, the request's time is used up or
    the gateway stops; ``end_reason`` says which. What it holds (an exchange, a slot) is given back in ``finally``.
    """

    __slots__ = (
        "_heard_at",
        "_running",
        "_slot",
        "_slot_tier",
        "answering",
        "asked",
        "classifying",
        "discarded",
        "doing",
        "end_reason",
        "engine",
        "error",
        "first_content_at",
        "identity",
        "inbound",
        "last_words",
        "lossy",
        "named",
        "progress",
        "queued_s",
        "runtime",
        "said",
        "session",
        "sink",
        "spans",
        "status",
        "told_at",
        "trial",
        "waited_s",
    )

    def __init__(
        self, engine: Engine, runtime: Runtime, inbound: Inbound, sink: Sink, identity: Identity | None = None
    ) -> None:
        """``identity`` is whom the gateway itself has let in already; ``None``: the request's own key decides."""
        self.engine = engine
        self.runtime = runtime
        self.inbound = inbound
        self.sink = sink
        self.identity = identity
        self.asked: Asked | None = None
        self.session: RouteSession | None = None
        self.status = 0
        self.error: GatewayError | None = None
        self.end_reason = "complete"
        #: What it does now, one of :data:`~lmgw.gateway.inflight.STATES`, and for how long it did what before.
        self.doing = "starting"
        self.spans: list[tuple[str, str, float, float]] = []
        self.first_content_at: float | None = None
        self.waited_s = self.queued_s = 0.0
        #: The answer, and the tier that it is of; and answers that were paid for and not used.
        self.progress: Progress | None = None
        self.answering: Tier | None = None
        self.discarded: tuple[tuple[Tier, Progress], ...] = ()
        #: What classifiers answered, as it was paid for.
        self.classifying: list[Spent] = []
        self.lossy: tuple[str, ...] = ()
        #: The thinking message that stands in the answer already, and the model that the stream named with it.
        self.said = self.named = ""
        #: How the stream that has begun ends where it breaks off, for dialects in which that depends on it.
        self.last_words: Callable[[GatewayError], bytes] | None = None
        #: When the session was last told something, in the reactor's seconds.
        self.told_at = inbound.received_at
        self._heard_at = inbound.received_at
        self._running: Running | None = None
        self.trial: Trial | None = None
        self._slot: Slot | None = None
        self._slot_tier: Tier | None = None

    # --- from outside ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; the sink is brought to an end whatever happens."""
        self.sink.attach(self)
        if self.end_reason == "complete":
            self._running = Running(self._run())

    def gone(self, reason: str) -> None:
        """The client is lost (``client_gone``, ``client_stalled``)."""
        self.end(reason)

    def end(self, reason: str) -> None:
        """Break off: ``client_gone``, ``client_stalled``, ``timeout`` or ``shutdown``; the first reason counts."""
        if self.end_reason == "complete":
            self.end_reason = reason
            if self._running is not None:
                self._running.cancel()

    def pause(self) -> None:
        """The client does not read: the provider has to wait."""
        if self.trial is not None:
            self.trial.pause()

    def resume(self) -> None:
        """The client reads again."""
        if self.trial is not None:
            self.trial.resume()

    def tick(self, now: float) -> None:
        """Look after the deadline, an early beginning and keep-alives."""
        if self.asked is None:
            return
        gateway = self.runtime.config.gateway
        deadline = self.asked.deadline
        if deadline is not None and now >= deadline and self.first_content_at is None:
            self.end("timeout")
        elif self.asked.stream and self.sink.begun:
            self._keep_alive(now, gateway.keepalive_ms / 1000)
        elif self.asked.stream and 0 < gateway.early_begin_ms / 1000 <= now - self.inbound.received_at:
            self._heard_at = now
            self._begin_early()

    def _begin_early(self) -> None:
        """Open the response while nobody knows yet who will answer."""
        self.begin(b"" if self.session is None else self.session.trace.profile_line())

    def _keep_alive(self, now: float, silence_s: float) -> None:
        if self.trial is not None and self.trial.has_written():
            self._heard_at = now
        elif silence_s and not self.sink.paused and now - self._heard_at >= silence_s:
            self._heard_at = now
            self.sink.write(self.asked.dialect.keepalive if self.asked is not None else b"")

    # --- the request's life ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            step = self._route()
            while step is not None:
                if isinstance(step, Attempt):
                    if self.progress is not None:
                        self._discard(self.progress)
                    self.doing, self.answering = "waiting", step.tier
                    self.trial = trial = Trial(self, step)
                    step = await trial.run()
                else:
                    step = await self._perform(step)
        except GatewayError as error:
            self._fail(error)
        except CancelledError:
            self._broken_off()
        except Exception:
            log.failure("request {id}: a fault of the gateway's own", id=self.inbound.request_id)
            self._fail(Bug(self.inbound.request_id))
        finally:
            if self._slot is not None:
                self._slot.release()
            self.engine.finished(self)

    def _route(self) -> Step | None:
        """Find out who asks for what; returns the session's first step, ``None`` where the answer is given already."""
        inbound, engine, runtime = self.inbound, self.engine, self.runtime
        limits = engine.limits if runtime.limited else None
        self.told_at = now = engine.now()
        if limits is not None:
            limits.address(inbound.peer, runtime.config.gateway.rate_limit_rpm, now)
        if now - inbound.received_at > SHOWN_S:
            self.spans.append(("body", "", inbound.received_at, now))
        self.identity = identity = self.identity or runtime.doorman.identify(
            inbound.headers.get(b"authorization"), inbound.headers.get(b"x-api-key")
        )
        if limits is not None and identity.client is not None:
            limits.client(identity.client, now)
        limit_s = runtime.timeout_s
        self.asked = asked = Asked(inbound, inbound.received_at + limit_s if limit_s else None)
        if asked.loads_model:
            self.answer(200, asked.loaded(self.reply_form("")))
            return None
        self.session = session = RouteSession(runtime.routes, identity, asked, engine.circuits, engine.random)
        step = session.start(now)
        if limits is not None:
            limits.profile(session.profile, now)
        if session.trace.fallback is not None:
            self._log_fallback(session)
        self.spans.append(("auth", "", now, engine.now()))
        return step

    def _log_fallback(self, session: RouteSession) -> None:
        log.info(
            'request {id}: there is no model "{hint}" here, so profile "{profile}" decides',
            id=self.inbound.request_id,
            hint=told(session.trace.requested or ""),
            profile=session.profile.name,
        )

    async def _perform(self, step: Step) -> Step | None:
        """Do one step; returns the next, ``None`` at the end."""
        match step:
            case Done():
                self.sink.finish()
            case Wait():
                return self.feed(await self._wait(step))
            case Classify():
                lane = self.runtime.lanes[step.tier.name]
                with self._elsewhere("classifying", step.tier.name):
                    outcome = await classify(self.engine, lane, step, self.inbound, self.classifying)
                return self.feed(outcome)
            case Measure():
                with self._doing("counting"):
                    counter = self.engine.count_tokens
                    tokens = await measure(self.engine.reactor, counter, step.texts, step.enough)
                return self.feed(Measured(tokens))
            case Sleep():
                with self._elsewhere("retrying"):
                    await deferLater(self.engine.reactor, step.seconds)
                return self.feed(Slept())
            case Reply():
                self._say(step.text, step.error)
            case Fail():
                self._fail(step.error)
        return None

    def _discard(self, progress: Progress) -> None:
        """An answer came to nothing, and another tier is asked."""
        assert self.answering is not None
        self.discarded += ((self.answering, progress),)
        self.progress = None

    def feed(self, outcome: Outcome) -> Step | None:
        """Tell the session; give the slot back where its next step is another's."""
        assert self.session is not None
        self.told_at = now = self.engine.now()
        step = self.session.feed(outcome, now)
        if self._slot is not None and step is not None and not self._keeps_slot(step):
            self._slot.release()
            self._slot = None
        return step

    def _keeps_slot(self, step: Step) -> bool:
        """Whether a step still belongs to the tier whose slot is held."""
        return isinstance(step, Commit) or (isinstance(step, Attempt | Classify) and step.tier is self._slot_tier)

    async def _wait(self, step: Wait) -> Outcome:
        queue = self.engine.queues.get(step.queue)
        gate = queue.gate
        depth = step.overflow_depth
        if depth is not None and not gate.is_free and gate.running + gate.waiting > depth:
            return Overflowed()
        slot = queue.enter(step.priority, self._turn_of, step.tier.max_queue_depth)
        if slot is None:
            seconds = gate.retry_after_s
            error = RateLimited(
                f"The queue of {step.tier.name} is full; try again in {seconds} s", retry_after_s=seconds, scope="queue"
            )
            return Failed(Fault(FaultKind.QUEUE_FULL, error))
        self._slot_tier = step.tier
        self._slot = slot
        if slot.ready is not None:
            waited_s = self.waited_s
            try:
                with self._elsewhere("queued", step.tier.name):
                    await slot.ready
            finally:
                self.queued_s += self.waited_s - waited_s
        return Admitted()

    @property
    def _turn_of(self) -> str:
        """Whose turn in a queue the request takes: its user's, its client's, or, for strangers, their network's."""
        assert self.identity is not None
        if self.user is not None:
            return f"user {self.user}"
        client = self.identity.client
        return f"address {network_of(self.inbound.peer)}" if client is None else f"client {client.name}"

    @property
    def queue_position(self) -> int:
        """Place in the line it waits in, 1 = next; 0 where it waits in none."""
        return self._slot.position if self._slot is not None else 0

    @contextmanager
    def _doing(self, what: str, tier: str = "") -> Iterator[None]:
        """What passes in here is shown as this, now and in the record."""
        self.doing = what
        since = self.engine.now()
        try:
            yield
        finally:
            self.spans.append((what, tier, since, self.engine.now()))

    @contextmanager
    def _elsewhere(self, what: str, tier: str = "") -> Iterator[None]:
        """The same, for what is not the gateway's own time."""
        since = self.engine.now()
        try:
            with self._doing(what, tier):
                yield
        finally:
            self.waited_s += self.engine.now() - since

    @property
    def user(self) -> str | None:
        """Who a trusted proxy says the request is from (``identity_header``)."""
        header = self.runtime.config.gateway.identity_header
        if header is None or not self.inbound.proxied:
            return None
        value = self.inbound.headers.get(header.lower().encode())
        return None if value is None else value.decode("utf-8", "replace")[:ATTRIBUTION_CHARS]

    # --- what the client gets ----------------------------------------------------------------------------------------

    def reply_form(self, model: str) -> ReplyForm:
        """Return what the answer must look like; ``model`` is named where the upstream names none.

        A stream that has begun goes on under the name that it began with, whichever tier answers in the end.
        """
        assert self.asked is not None
        received_s = int(self.engine.epoch_s() - self._elapsed_s)
        return self.asked.reply(self.named or model, received_s, lambda: int(self._elapsed_s * 1e9))

    @property
    def _elapsed_s(self) -> float:
        return self.engine.now() - self.inbound.received_at

    def begin(self, lines: bytes, more: Sequence[Header] = ()) -> None:
        """Open a streamed answer, unless that was done early."""
        assert self.asked is not None
        self.status = 200
        if not self.sink.begun:
            self.sink.begin(200, more, _STREAMED % self.asked.dialect.stream_content_type + lines)

    def think_aloud(self, text: str, model: str) -> None:
        """Send a thinking message as the answer's first text: once, and where the answer may hold one."""
        assert self.asked is not None
        if self.said or not self.asked.takes_asides:
            return
        self.said, self.named = text, model
        self._heard_at = self.engine.now()
        self._begin_early()
        form = self.reply_form(model)
        renderer = self.asked.dialect.render_stream(form)
        self.sink.write(opening(renderer, form, text))
        self.last_words = _ending(renderer)

    def answer(self, status: int, body: bytes, lines: bytes = b"", more: Sequence[Header] = ()) -> None:
        """Send a whole answer."""
        self.status = status
        self.sink.answer(status, more, body, _JSON + lines)

    def _say(self, text: str, error: GatewayError | None) -> None:
        """Let the assistant say something of the gateway's own; ``error`` is what it stands for."""
        assert self.asked is not None
        assert self.session is not None
        self.error = error
        stream = self.asked.stream
        form = self.reply_form("lm-gateway")
        said = spoken(self.asked.dialect.name, text, form, stream=stream, after=self.said)
        if stream:
            self.begin(self.session.trace.lines())
            self.sink.write(said)
            self.sink.finish()
        else:
            self.answer(200, said, self.session.trace.lines())

    def _fail(self, error: GatewayError) -> None:
        """Answer with an error: as a status where nothing was sent, else as the dialect's last words."""
        self.error = error
        dialect = self.asked.dialect if self.asked is not None else DIALECTS[self.inbound.route.dialect]
        request_id = self.inbound.request_id
        if self.sink.begun:
            self._end_stream(error)
            return
        routed = self.session.trace.lines() if self.session is not None else b""
        status = caller_status(error.status, dialect.name)
        self.answer(status, dialect.render_error(error, request_id), routed, headers.of_error(error))

    def _end_stream(self, error: GatewayError) -> None:
        """End a stream that has begun and cannot go on.

        Where the dialect has an end of its own for that, it is a proper end; elsewhere the connection breaks, as
        clients overlook an error among the events, but not an answer that is cut.
        """
        assert self.asked is not None
        dialect = self.asked.dialect
        words = self.last_words
        if words is None:  # nothing of the answer was sent yet
            renderer = dialect.render_stream(self.reply_form(self.asked.body.model or ""))
            words = _ending(renderer)
        last = words(error)
        if last:
            self.sink.write(last)
            self.sink.finish()
        else:
            self.sink.abort(dialect.render_stream_error(error, self.inbound.request_id))

    def _broken_off(self) -> None:
        """Say why there will be no answer, where anybody still listens."""
        if self.end_reason == "timeout":
            limit_s = self.runtime.config.gateway.request_timeout_ms / 1000
            error = UpstreamTimeout(f"no answer within the gateway's limit of {limit_s:g} s (request_timeout_ms)")
            step = None if self.session is None else self.feed(Failed(Fault(FaultKind.DEADLINE, error)))
            if isinstance(step, Reply):
                self._say(step.text, step.error)
            else:
                self._fail(step.error if isinstance(step, Fail) else error)
        elif self.end_reason == "shutdown":
            self._fail(Unavailable("the gateway is shutting down; try again in a moment"))
        else:
            self.status = self.status or CLIENT_CLOSED


def _ending(renderer: StreamRenderer) -> Callable[[GatewayError], bytes]:
    """Return what ends a stream of this renderer where it breaks off."""
    return lambda error: renderer.render([StreamError(error)])
