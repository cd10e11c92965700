"""The books: the record of each finished request, and everything that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec.structs import replace
from twisted.logger import Logger

from lmgw.config.snapshot import Gateway, Tier
from lmgw.core.history import History
from lmgw.core.ledger import Ledger
from lmgw.core.record import NAME_KEPT, WORDS_KEPT, Entry, Fault, Kept, Ring, Spent, Totals, milliseconds, whole
from lmgw.core.trace import Trace
from lmgw.core.usage import Tokens, cost_usd, tokens
from lmgw.errors import GatewayError, Overloaded, RateLimited
from lmgw.gateway.events import Events
from lmgw.gateway.export import Export
from lmgw.gateway.failing import Bug
from lmgw.gateway.inbound import Inbound
from lmgw.gateway.metrics import Counters

if TYPE_CHECKING:
    from lmgw.gateway.task import Task

#: How much of a header that says who is calling is kept, in characters.
ATTRIBUTION_CHARS = 128
#: How much of a request's body is kept with ``traffic_log_debug``, in bytes.
BODY_BYTES = 64 << 10
#: A provider's statuses that say something against the request, not against the provider.
_CALLERS_OWN = (400, 413, 422)

#: Writes the log's lines of requests that ended at a time (seconds since the epoch), in one go: whoever reads the log
#: is woken once.
WriteLines = Callable[[Sequence[Entry], float], None]

#: The route of a request that was refused before it had one.
NOWHERE = Trace(cast("Any", None), None, 0)
NO_TIER = Tier("", "", "")

log = Logger()
_encode = msgspec.json.Encoder().encode


def by_logger(entries: Sequence[Entry], epoch_s: float) -> None:
    """Write lines by Twisted's logger: where the process has no :class:`~lmgw.logs.Logs` (syslog, tests)."""
    for entry in entries:
        log.info("{words}", words=words(entry))


class Books:
    """Keeps what finished requests leave behind.

    :param write_lines: writes requests' lines to the log.
    :ivar ring: the last requests, and ``failures`` the last of those that failed.
    """

    def __init__(self, events: Events, export: Export, epoch_s: Callable[[], float], write_lines: WriteLines) -> None:
        self.ring = Ring(1)
        self.failures = Ring(1)
        self.totals = Totals()
        self.ledger = Ledger(lambda moment: datetime.fromtimestamp(moment).toordinal())
        self.history = History()
        self.counters = Counters()
        self._events = events
        self._export = export
        self._epoch_s = epoch_s
        self._write_lines = write_lines
        self._keeps_bodies = False

    def adopt(self, gateway: Gateway) -> None:
        """Take the settings of a configuration."""
        self.ring = self.ring.resized(gateway.traffic_log_capacity)
        self.failures = self.failures.resized(gateway.traffic_log_capacity)
        self._keeps_bodies = gateway.traffic_log_debug
        self._export.configure(gateway.traffic_log_path)

    def finished(self, ended: Sequence[tuple[Task, float]], zero_s: float) -> None:
        """These requests are over, each ended at a time of the reactor's clock, whose zero was ``zero_s`` after 1970.

        As they ended within one turn of the event loop, they are added up as of the last one's time.
        """
        kept: list[Kept] = []
        for task, now in ended:
            if isinstance(task.error, RateLimited):
                self.counters.limited[task.error.scope] += 1
            body = task.inbound.body[:BODY_BYTES] if self._keeps_bodies else None
            kept.append((entry_of(task, now, zero_s), body, task.inbound.received_at, task.spans))
        self._enter(kept, zero_s + ended[-1][1])

    def turned_away(self, inbound: Inbound, error: Overloaded) -> None:
        """A request was not even begun with."""
        self.counters.limited["gateway"] += 1
        epoch_s = self._epoch_s()
        entry = Entry(
            id=inbound.request_id,
            timestamp=epoch_s,
            dialect=inbound.route.dialect,
            operation=inbound.route.operation,
            success=False,
            status=error.status,
            error=error.message,
            fault="gateway",
        )
        self._enter([(entry, None, epoch_s, ())], epoch_s)

    def _enter(self, kept: Sequence[Kept], epoch_s: float) -> None:
        entries = [each[0] for each in kept]
        self.ring.add(kept)
        self.failures.add([each for each in kept if each[0].fault is not None])
        self.totals.add(entries)
        self.ledger.add(entries, epoch_s)
        self.history.add(entries, epoch_s)
        self.counters.add(entries)
        if self._events.wanted or self._export.wanted:
            for line in map(_encode, map(whole, kept)):
                self._events.entry(line)
                self._export.write(line)
        self._write_lines(entries, epoch_s)


def entry_of(task: Task, now: float, zero_s: float) -> Entry:
    """Return the record of a task that has ended, all but its timeline.

    ``now`` is of the reactor's clock, whose zero was at ``zero_s`` since 1970.
    A request whose client went away is no failure: nobody failed it.
    """
    inbound, asked, session, error = task.inbound, task.asked, task.session, task.error
    trace = NOWHERE if session is None else session.trace
    tier = trace.tier or NO_TIER
    received, first = inbound.received_at, task.first_content_at
    used = Tokens() if task.progress is None else tokens(task.progress, len(inbound.body))
    cost = cost_usd(tier, used)
    discarded = _discarded(task) if task.discarded else ()
    classifying = tuple(task.classifying)
    if cost is not None and (discarded or classifying):
        cost += sum(spent.cost_usd or 0.0 for spent in discarded + classifying)
    # In the order of Entry's fields, and not more than 30: by their names it takes eight times as long, with one more
    # twice as long.
    entry = Entry(
        inbound.request_id,
        zero_s + received,
        "" if task.identity is None else task.identity.name,
        trace.profiles[-1] if trace.profiles else "",
        trace.profiles,
        None if asked is None or asked.body.model is None else asked.body.model[:NAME_KEPT],
        tier.name,
        tier.backend,
        tier.model,
        inbound.route.dialect,
        inbound.route.operation,
        "" if session is None else trace.mode,
        trace.label,
        trace.priority,
        asked is not None and asked.stream,
        bool(trace.escalated),
        trace.overflowed,
        trace.attempts,
        milliseconds(task.queued_s) if task.queued_s else 0.0,
        None if first is None else milliseconds(first - received),
        milliseconds(now - received),
        milliseconds((now if first is None else first) - received - task.waited_s),
        error is None,
        task.status,
        None if error is None else error.message[:WORDS_KEPT],
        None if error is None else _fault(task, error),
        "complete" if error is None and task.end_reason == "complete" else _end_reason(task),
        used,
        cost,
        trace.reasons,
    )
    if discarded or classifying or task.lossy or inbound.proxied:
        entry = replace(
            entry,
            discarded=discarded,
            classifying=classifying,
            user=task.user if inbound.proxied else None,
            attribution=_attribution(task) if inbound.proxied else {},
            lossy=task.lossy,
        )
    return entry


def _discarded(task: Task) -> tuple[Spent, ...]:
    prompt_bytes = len(task.inbound.body)
    answers = [(tier, tokens(progress, prompt_bytes)) for tier, progress in task.discarded]
    return tuple(Spent.at(tier, used) for tier, used in answers if used.any)


def _fault(task: Task, error: GatewayError) -> Fault:
    """Say whose fault it was; see :data:`~lmgw.core.record.Fault`."""
    tried = task.session is not None and bool(task.session.trace.attempts)
    status = error.status
    if isinstance(error, Bug | Overloaded) or task.end_reason == "shutdown":
        return "gateway"
    if isinstance(error, RateLimited) or (not tried and status in (401, 403)):
        return "policy"
    if tried:
        return "caller" if status in _CALLERS_OWN else "provider"
    if status < 500:
        return "caller"
    # Nothing was tried: its circuits are open, which is the provider's doing and says when to come back; or its key is
    # not set, or the request's time was used up in the gateway's own queue.
    return "provider" if any(name == "retry-after" for name, _ in error.headers) else "gateway"


def _end_reason(task: Task) -> str:
    """Why it ended, in the record's words: a client that would not read is as good as gone."""
    if task.end_reason == "client_stalled":
        return "client_gone"
    if task.end_reason == "complete" and task.error is not None and task.session is not None:
        return "upstream_error" if task.session.trace.attempts else "complete"
    return task.end_reason


def _attribution(task: Task) -> dict[str, str]:
    """Return what a trusted proxy says of who asks; others are not asked: what they say could be anything."""
    names = task.runtime.config.gateway.attribution_headers
    headers = task.inbound.headers
    found = ((name, headers.get(name.lower().encode())) for name in names)
    return {name: value.decode("utf-8", "replace")[:ATTRIBUTION_CHARS] for name, value in found if value is not None}


# --- the line in the log -----------------------------------------------------------------------------------------


def words(entry: Entry) -> str:
    """Return a request's line as text: no body, no key, nothing of the caller's headers."""
    used = entry.tokens
    ttft = "-" if entry.ttft_ms is None else round(entry.ttft_ms)
    return (
        f"{entry.id} {entry.client or '-'} {entry.profile or '-'} {entry.tier or '-'} {entry.status}"
        f" {entry.end_reason} ttft {ttft} ms, {round(entry.latency_ms)} ms,"
        f" {used.input + used.cache_read + used.cache_write} in, {used.output} out"
        f"{': ' + entry.error if entry.error else ''}"
    )


def fields(entry: Entry) -> dict[str, Any]:
    """Return the same, and a little more, by name."""
    used = entry.tokens
    return {
        "id": entry.id,
        "client": entry.client,
        "profile": entry.profile,
        "tier": entry.tier,
        "backend": entry.backend,
        "model": entry.model,
        "dialect": entry.dialect,
        "stream": entry.stream,
        "status": entry.status,
        "end_reason": entry.end_reason,
        "fault": entry.fault,
        "error": entry.error,
        "attempts": len(entry.attempts),
        "queue_ms": entry.queue_ms,
        "ttft_ms": entry.ttft_ms,
        "latency_ms": entry.latency_ms,
        "input_tokens": used.input,
        "output_tokens": used.output,
        "cache_read_tokens": used.cache_read,
        "cache_write_tokens": used.cache_write,
        "tokens_source": used.source,
        "cost_usd": entry.cost_usd,
    }
