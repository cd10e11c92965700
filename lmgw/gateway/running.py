"""A coroutine that is run for what it does, and that can be broken off."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()


class Running:
    """Runs a coroutine that awaits Deferreds: at once up to the first that has not fired, and on when that does.

    ``Deferred.fromCoroutine`` also makes its result a Deferred and keeps the context variables of its start, which
    costs thrice as much and is wanted by nobody here.
    """

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Deferred[Any], None, None]) -> None:
        self._coroutine = coroutine
        self._waiting: Deferred[Any] | None = None
        self._go(None)

    def cancel(self) -> None:
        """Cancel what it waits for, which raises ``CancelledError`` there; does nothing while it does not wait."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _go(self, result: object) -> None:
        self._waiting = None
        try:
            # The awaited Deferred looks up itself what it has come to, but for a failure.
            error = result.value if isinstance(result, Failure) else None
            waiting = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            return
        except Exception:
            log.failure("a fault of the gateway's own")
            return
        self._waiting = waiting
        waiting.addBoth(self._go)
