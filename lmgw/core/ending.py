"""How a request ends that could not be answered: what the caller is told."""

from __future__ import annotations

import math

from lmgw.config.snapshot import Profile
from lmgw.core.prompts import FRIENDLY_FAILURE, FRIENDLY_TIMEOUT
from lmgw.core.steps import Fail, Fault, Reply
from lmgw.errors import GatewayError

#: What ``on_error = "chat"`` never hides: the caller can and must do something about these.
NEVER_FRIENDLY = frozenset({400, 401, 403, 413, 429})
#: Statuses that go with ``Retry-After``.
_COME_BACK = (429, 503, 529)


def failed(error: GatewayError, fault: Fault | None, *, retried: bool) -> Fail:
    """Return the error as the caller gets it.

    The upstream's ``Retry-After`` goes with it; where our own retries are used up (``retried``) an SDK need not repeat
    them all.
    """
    told = {name.lower() for name, _ in error.headers}
    wait_s = None if fault is None else fault.retry_after_s
    if wait_s is not None and error.status in _COME_BACK:
        if "retry-after" not in told:
            error.headers += (("retry-after", str(math.ceil(wait_s))),)
    elif retried and "x-should-retry" not in told:
        error.headers += (("x-should-retry", "false"),)
    return Fail(error)


def friendly(end: Fail, profile: Profile) -> Fail | Reply:
    """Return the end of a chat that failed upstream as the profile's ``on_error`` wants it."""
    error = end.error
    if profile.on_error != "chat" or error.status in NEVER_FRIENDLY:
        return end
    return Reply(FRIENDLY_TIMEOUT if error.status == 504 else FRIENDLY_FAILURE, error)
