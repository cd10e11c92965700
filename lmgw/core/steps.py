"""What a :class:`~lmgw.core.plan.RouteSession` says, and what it wants to hear.

Steps are orders to the engine; outcomes tell the session what came of them. Both are values: a playbook in a test is
a list of them.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from lmgw.config.snapshot import Tier
from lmgw.errors import GatewayError
from lmgw.wire.progress import Progress


class FaultKind(StrEnum):
    """Why an attempt failed, as far as routing cares."""

    CONNECT = "connect"  # refused, unreachable, DNS, TLS
    TIMEOUT = "timeout"  # no first byte, or silence, within its limit
    CLOSED = "closed"  # closed or empty before any content, or broken off after it
    PROTOCOL = "protocol"  # bytes that are no HTTP, or no answer of the dialect
    STATUS = "status"  # a status that is not 2xx
    STREAM = "stream"  # an error inside a 200
    KEY_MISSING = "key_missing"  # the backend's variable is not set: it was not called
    QUEUE_FULL = "queue_full"  # the gate turned the request away
    CAPACITY = "capacity"  # a limit of the gateway's own
    REFUSED = "refused"  # the request cannot be rendered for this dialect without changing its meaning
    DEADLINE = "deadline"  # request_timeout_ms is used up


class Fault(msgspec.Struct, frozen=True):
    """One failed attempt.

    :ivar error: what the caller would be told if this were the end of it.
    :ivar status: the upstream's status; 0 where there was none.
    :ivar retry_after_s: the least wait that the upstream asked for, in seconds.
    :ivar reused: the connection had served a request before and no byte of an answer came (a stale keep-alive).
    :ivar detail: for the log and the admin side; may name the backend, its address and its variable.
    """

    kind: FaultKind
    error: GatewayError
    status: int = 0
    retry_after_s: float | None = None
    reused: bool = False
    detail: str = ""


# --- steps ---------------------------------------------------------------------------------------------------


class Classify(msgspec.Struct, frozen=True):
    """Ask ``tier`` to label ``text`` (one non-streaming call).

    Feed ``Labelled`` or ``Failed``. Its slot is its own ``Wait``.
    """

    tier: Tier
    prompt: str
    text: str
    think: bool
    timeout_s: float
    max_tokens: int = 10


class Measure(msgspec.Struct, frozen=True):
    """Count the tokens of ``texts`` together, in slices that never hold the reactor for long.

    Feed ``Measured``. Counting may stop as soon as the sum is above ``enough``: no window in play is larger.
    """

    texts: tuple[str, ...]
    enough: int


class Wait(msgspec.Struct, frozen=True):
    """Get a slot of ``queue`` for ``tier``.

    Feed ``Admitted``, ``Failed``, or, where ``overflow_depth`` is set and more than that many run and wait already,
    ``Overflowed``: the session then says where the request goes instead. Sent only for tiers with ``max_concurrent``,
    before each ``Attempt`` and ``Classify`` of theirs. The slot is given back with the first step that is neither
    ``Attempt`` nor ``Classify`` of the same tier nor ``Commit`` (``None`` keeps it).
    """

    tier: Tier
    queue: str
    priority: int
    overflow_tier: str | None = None
    overflow_depth: int | None = None


class Attempt(msgspec.Struct, frozen=True):
    """Send the request to ``tier``.

    Feed ``Event`` at the first content, and (only with ``hold``) at each further progress until told ``Commit`` or
    ``Reject``;
    then ``Ended`` or ``Failed``. Nothing goes to the caller before ``Commit``, but for ``thinking_message``. An answer
    that is complete before it was committed (any that is not streamed) is told as ``Ended`` and gets ``Commit`` or
    ``Reject``; that it was sent after a ``Commit`` may be told as ``Ended`` once more.

    :ivar think: thinking on or off by label; ``None`` leaves it to the tier.
    :ivar system: text to put before the caller's own system text.
    :ivar thinking_message: streaming only: sent as text as soon as the upstream has answered 2xx, at most once a
        request whichever attempt comes first; not a commit.
    :ivar fresh: use no kept connection: the last one turned out to be closed.
    """

    tier: Tier
    hold: bool = False
    think: bool | None = None
    system: str | None = None
    thinking_message: str | None = None
    fresh: bool = False


class Sleep(msgspec.Struct, frozen=True):
    """Wait ``seconds``; feed ``Slept``."""

    seconds: float


class Commit(msgspec.Struct, frozen=True):
    """Send what is held and go on relaying; nothing is retried from here on."""


class Reject(msgspec.Struct, frozen=True):
    """Abort this attempt's upstream and drop what is held; feed ``Dropped``."""


class Reply(msgspec.Struct, frozen=True):
    """Answer with this text; no backend is called.

    ``error`` is what the text stands for (``on_error = "chat"``): the caller gets 200, the request counts as failed.
    """

    text: str
    error: GatewayError | None = None


class Fail(msgspec.Struct, frozen=True):
    """Answer with this error: as a status if nothing was sent, else as the dialect's error event."""

    error: GatewayError


class Done(msgspec.Struct, frozen=True):
    """The answer is complete."""


Step = Classify | Measure | Wait | Attempt | Sleep | Commit | Reject | Reply | Fail | Done


# --- outcomes ------------------------------------------------------------------------------------------------


class Labelled(msgspec.Struct, frozen=True):
    """The classifier's answer, as it came."""

    text: str


class Measured(msgspec.Struct, frozen=True):
    """``texts`` have this many tokens, or more than ``enough``."""

    tokens: int


class Admitted(msgspec.Struct, frozen=True):
    """The slot is ours."""


class Overflowed(msgspec.Struct, frozen=True):
    """More than ``overflow_depth`` run and wait: no place was taken."""


class Event(msgspec.Struct, frozen=True):
    """The attempt's answer has come this far; ``full``: no more of it can be held, it must be committed or rejected."""

    progress: Progress
    full: bool = False


class Ended(msgspec.Struct, frozen=True):
    """The attempt's answer is complete."""

    progress: Progress


class Failed(msgspec.Struct, frozen=True):
    """The attempt, the wait or the classification failed."""

    fault: Fault


class Slept(msgspec.Struct, frozen=True):
    """The wait is over."""


class Dropped(msgspec.Struct, frozen=True):
    """The rejected attempt is gone."""


Outcome = Labelled | Measured | Admitted | Overflowed | Event | Ended | Failed | Slept | Dropped
