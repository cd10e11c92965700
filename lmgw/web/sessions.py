"""Browser sessions of the admin port: a random cookie that stands for the token, in memory only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from secrets import token_urlsafe

from lmgw.secret import Secret

COOKIE = b"lmgw_session"
LIFETIME_S = 12 * 3600
#: More than these at once, and the oldest ends.
LIMIT = 100


class Sessions:
    """Who has logged in; a session ends with its time, with the process, or with the token it was opened for.

    :param now: seconds, of a clock that does not go back.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: dict[bytes, tuple[float, Secret]] = {}

    def start(self, token: Secret) -> str:
        """Open a session; return the value of its cookie."""
        while len(self._open) >= LIMIT:
            del self._open[next(iter(self._open))]
        value = token_urlsafe(32)
        self._open[_digest(value.encode())] = (self._now() + LIFETIME_S, token)
        return value

    def holds(self, cookie_header: bytes, token: Secret) -> bool:
        """Whether a ``Cookie`` header carries an open session of this token."""
        for pair in cookie_header.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            expires, of = self._open.get(_digest(value), (0.0, None)) if name == COOKIE else (0.0, None)
            if self._now() < expires and of == token:
                return True
        return False


def _digest(value: bytes) -> bytes:
    """Sessions are looked up by digest: the time that takes says nothing about a value."""
    return hashlib.sha256(value).digest()
