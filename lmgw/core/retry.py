"""What a failed attempt means: whose fault it was, and what may be tried after it."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import GatewayError, KeyRefused

#: The longest wait between two attempts that we choose ourselves, in seconds.
LONGEST_DELAY_S = 2.0
#: What an upstream may ask for at most, in seconds: a circuit must not stay open for a year.
LONGEST_RETRY_AFTER_S = 86_400.0

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
#: Answers that say nothing against the whole backend, only against one of its models.
_THROTTLED = (429, 529)

_CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|exceed_context|(?:prompt|input|request) is too long"
    r"|maximum context|input token count|too many (?:input|prompt) tokens|reduce the length of"
)
_QUOTA = re.compile(
    r"insufficient[ _-]?(?:quota|funds|balance|credit)|exceeded your current quota|credit balance"
    r"|out of credits|used all available credits|billing[ _-]?(?:hard[ _-]?limit|not[ _-]?active|error)"
    r"|payment required|key limit exceeded|(?:spend|spending|usage) limit"
)
_MODEL = re.compile(
    r"model[ _-]?not[ _-]?found|(?:unknown|invalid|no such) model|not a valid model|access to (?:the )?model"
    r"|\bmodel\b.{0,200}?(?:not found|does ?n[o']t exist|does not exist)",
    re.DOTALL,
)
_KEY = re.compile(
    r"api[ _-]?key|access[ _-]?key|authenticat|credential|\bkey (?:is|was|has|not)\b|unregistered callers"
)


class Verdict(msgspec.Struct, frozen=True):
    """What a fault means for the request and for the circuits.

    :ivar retry: the same tier may be tried again.
    :ivar failover: another tier may be tried.
    :ivar roomier: only a tier with a larger window can help.
    :ivar circuit: which circuit counts it; ``None``: it says nothing about the backend.
    :ivar trips: it opens the backend's circuit at once.
    :ivar error: what the caller is told if this is the end.
    """

    error: GatewayError
    retry: bool = False
    failover: bool = False
    roomier: bool = False
    circuit: Literal["backend", "tier"] | None = None
    trips: bool = False


def verdict(fault: Fault) -> Verdict:
    """Judge one fault by its kind, and where the upstream answered, by its status and words."""
    error = fault.error
    match fault.kind:
        case FaultKind.CONNECT | FaultKind.TIMEOUT | FaultKind.CLOSED | FaultKind.PROTOCOL:
            return Verdict(error, retry=True, failover=True, circuit=None if fault.reused else "backend")
        case FaultKind.STATUS:
            return _by_status(fault, fault.status or error.status)
        case FaultKind.STREAM:
            return _by_status(fault, error.status)
        case FaultKind.KEY_MISSING | FaultKind.REFUSED:
            return Verdict(error, failover=True)
        case FaultKind.QUEUE_FULL | FaultKind.CAPACITY | FaultKind.DEADLINE:
            return Verdict(error)


def _by_status(fault: Fault, status: int) -> Verdict:
    error = fault.error
    words = f"{error.code or ''} {error.type or ''}\n{error.message}".lower()
    if status == 402 or _is_quota(status, words, fault.retry_after_s):
        return Verdict(error, failover=True, circuit="backend", trips=True)
    if status in (400, 413, 422, 500) and _CONTEXT.search(words):
        return Verdict(error, roomier=True)
    if (status == 404 and "model" in words) or (status in (400, 403) and _MODEL.search(words)):
        return Verdict(error, failover=True, circuit="tier")
    if status == 401 or (status == 403 and _KEY.search(words)):
        return Verdict(KeyRefused(status), failover=True, circuit="backend", trips=True)
    if status in _THROTTLED:
        return Verdict(error, retry=True, failover=True, circuit="tier")
    if status >= 500:
        return Verdict(error, retry=status in RETRYABLE, failover=True, circuit="backend")
    if status < 400:  # a redirect is never followed: the address is wrong
        return Verdict(error, failover=True, circuit="backend")
    retryable = status in RETRYABLE
    return Verdict(error, retry=retryable, failover=retryable)


def _is_quota(status: int, words: str, retry_after_s: float | None) -> bool:
    """Whether the account is used up; a throttled one that says when to come back is not."""
    if status not in (400, 403, 429) or not _QUOTA.search(words):
        return False
    return status != 429 or retry_after_s is None or "insufficient_quota" in words


def delay_s(nth: int, base_s: float, random: float, retry_after_s: float | None) -> float:
    """Return the wait before retry number ``nth`` (from 0), in seconds: doubling, jittered, at least ``Retry-After``.

    ``random`` is a number from 0 to 1; the wait is between half of the full delay and all of it.
    """
    full = min(base_s * 2.0 ** min(nth, 30), LONGEST_DELAY_S)
    return max(full * (0.5 + random / 2), retry_after_s or 0.0)


def retry_after_s(retry_after: bytes | None, retry_after_ms: bytes | None, epoch_s: float) -> float | None:
    """Read ``retry-after-ms``, else ``Retry-After`` (seconds or an HTTP date, RFC 9110 10.2.3), as seconds from now.

    ``epoch_s`` is now, in seconds since 1970. ``None`` where neither header says anything.
    """
    milliseconds = _number(retry_after_ms)
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    seconds = _number(retry_after)
    if seconds is None and retry_after:
        seconds = _date(retry_after, epoch_s)
    return None if seconds is None else _bounded(seconds)


def _number(value: bytes | None) -> float | None:
    try:
        number = float(value or b"")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(value: bytes, epoch_s: float) -> float | None:
    try:
        when = parsedate_to_datetime(value.decode("latin-1"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp() - epoch_s


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)
