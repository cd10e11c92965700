"""What runs now: a row a request, and how many there are of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, Any

from lmgw.core.usage import CHARS_PER_TOKEN

if TYPE_CHECKING:
    from lmgw.gateway.task import Task

#: What a request may be doing.
STATES = ("starting", "queued", "counting", "classifying", "retrying", "waiting", "streaming")
#: Rows that are shown at most: those that have been here the longest.
ROWS = 200


def in_flight(tasks: Collection[Task], now: float) -> dict[str, Any]:
    """Return all that runs, JSON-ready: ``count``, by state, by tier, and the oldest requests, oldest first."""
    return {
        "count": len(tasks),
        "states": Counter(state_of(task) for task in tasks),
        "tiers": Counter(task.session.trace.tier.name for task in tasks if task.session and task.session.trace.tier),
        "requests": [row(task, now) for task in islice(tasks, ROWS)],
    }


def state_of(task: Task) -> str:
    """Return what a request is doing, one of :data:`STATES`."""
    return "streaming" if task.doing == "waiting" and task.first_content_at is not None else task.doing


def row(task: Task, now: float) -> dict[str, Any]:
    """Return one request as it stands: ``position`` in its queue (1 = next), tokens so far and a second."""
    inbound, session = task.inbound, task.session
    trace = session.trace if session is not None else None
    tier = trace.tier if trace is not None else None
    tokens = task.progress.chars / CHARS_PER_TOKEN if task.progress is not None else 0.0
    first = task.first_content_at
    streamed_s = now - first if first is not None else 0.0
    return {
        "id": inbound.request_id,
        "client": task.identity.name if task.identity is not None else "",
        "user": task.user,
        "profile": trace.profiles[-1] if trace is not None and trace.profiles else "",
        "tier": tier.name if tier is not None else "",
        "backend": tier.backend if tier is not None else "",
        "model": tier.model if tier is not None else "",
        "dialect": inbound.route.dialect,
        "operation": inbound.route.operation,
        "stream": task.asked is not None and task.asked.stream,
        "state": state_of(task),
        "position": task.queue_position or None,
        "attempts": len(trace.attempts) if trace is not None else 0,
        "age_ms": round((now - inbound.received_at) * 1000),
        "ttft_ms": None if first is None else round((first - inbound.received_at) * 1000),
        "tokens": round(tokens),
        "tokens_per_s": round(tokens / streamed_s, 1) if streamed_s > 0.2 else None,
    }
