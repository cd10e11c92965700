"""The record of a finished task, and its line in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from lmgw.core.record import Entry
from lmgw.core.usage import Tokens, cost_usd, tokens

if TYPE_CHECKING:
    from lmgw.gateway.task import Task

#: How much of a header that says who is calling is kept, in characters.
ATTRIBUTION_CHARS = 128
#: Ends that are nobody's fault here: the client did not want the rest.
_CLIENTS_OWN = ("client_gone",)

log = Logger()


def entry_of(task: Task, now: float, epoch_s: float) -> Entry:
    """Return the record of a task that has just ended; ``now`` is of the reactor's clock, ``epoch_s`` since 1970.

    A request whose client went away is no failure: nobody failed it.
    """
    inbound, asked, session = task.inbound, task.asked, task.session
    trace = session.trace if session is not None else None
    tier = trace.tier if trace is not None else None
    latency_s = now - inbound.received_at
    used = tokens(task.progress, len(inbound.body)) if task.progress is not None else Tokens()
    first = task.first_content_at
    return Entry(
        id=inbound.request_id,
        timestamp=epoch_s - latency_s,
        client=task.identity.name if task.identity is not None else "",
        profile=trace.profiles[-1] if trace is not None and trace.profiles else "",
        profile_chain=tuple(trace.profiles) if trace is not None else (),
        requested_model=asked.body.model if asked is not None else None,
        tier=tier.name if tier is not None else "",
        backend=tier.backend if tier is not None else "",
        model=tier.model if tier is not None else "",
        dialect=inbound.route.dialect,
        routing_mode=trace.mode.value if trace is not None else "",
        class_label=trace.label if trace is not None else None,
        priority=trace.priority if trace is not None else 0,
        stream=asked is not None and asked.stream,
        escalated=trace is not None and bool(trace.escalated),
        overflowed=trace is not None and trace.overflowed,
        attempts=tuple(trace.attempts) if trace is not None else (),
        queue_ms=task.queued_s * 1000,
        ttft_ms=None if first is None else (first - inbound.received_at) * 1000,
        latency_ms=latency_s * 1000,
        success=task.error is None and task.end_reason in ("complete", *_CLIENTS_OWN),
        status=task.status,
        error=task.error.message if task.error is not None else None,
        end_reason=_end_reason(task),
        tokens=used,
        cost_usd=cost_usd(tier, used) if tier is not None else None,
        user=task.user,
        attribution=_attribution(task),
    )


def log_line(entry: Entry) -> None:
    """Write the request's one line at info."""
    log.info(
        "{id} {client} {profile} {tier} {status} {end_reason} ttft {ttft_ms} ms, {latency_ms} ms, "
        "{input_tokens} in, {output_tokens} out{error}",
        id=entry.id,
        client=entry.client or "-",
        profile=entry.profile or "-",
        tier=entry.tier or "-",
        status=entry.status,
        end_reason=entry.end_reason,
        ttft_ms="-" if entry.ttft_ms is None else round(entry.ttft_ms),
        latency_ms=round(entry.latency_ms),
        input_tokens=entry.tokens.input + entry.tokens.cache_read + entry.tokens.cache_write,
        output_tokens=entry.tokens.output,
        error=f": {entry.error}" if entry.error else "",
    )


def _end_reason(task: Task) -> str:
    """Why it ended, in the record's words: a client that would not read is as good as gone."""
    if task.end_reason == "client_stalled":
        return "client_gone"
    if task.end_reason == "complete" and task.error is not None and task.session is not None:
        return "upstream_error" if task.session.trace.attempts else "complete"
    return task.end_reason


def _attribution(task: Task) -> dict[str, str]:
    names = task.runtime.config.gateway.attribution_headers
    headers = task.inbound.headers
    found = ((name, headers.get(name.lower().encode())) for name in names)
    return {name: value.decode("utf-8", "replace")[:ATTRIBUTION_CHARS] for name, value in found if value is not None}
