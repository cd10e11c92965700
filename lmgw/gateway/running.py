"""A coroutine that is run for what it does, and that can be broken off."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lmgw.upstream.exchange import Asking

log = Logger()


class Running:
    """Runs a coroutine that awaits Deferreds and exchanges: at once up to a wait, and on when that is over.

    ``Deferred.fromCoroutine`` also makes its result a Deferred and keeps the context variables of its start, which
    costs thrice as much and is wanted by nobody here.
    """

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Deferred[Any] | Asking, None, None]) -> None:
        self._coroutine = coroutine
        self._waiting: Deferred[Any] | Asking | None = None
        self._go(None)

    def cancel(self) -> None:
        """Cancel what it waits for, which raises ``CancelledError`` there; does nothing while it does not wait."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _go(self, result: object) -> None:
        self._waiting = None
        try:
            # What is awaited looks up itself what it has come to, but for a Deferred's failure.
            error = result.value if isinstance(result, Failure) else None
            waiting = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            return
        except Exception:
            log.failure("a fault of the gateway's own")
            return
        self._waiting = waiting
        waiting.addBoth(self._go)
