"""A coroutine that is run for what it does, and that can be broken off."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")

log = Logger()


class Pending(Generic[T]):
    """One value that a :class:`Running` waits for and somebody will tell: a Deferred's chain takes ten times as long.

    :param cancel: called where the wait is broken off; nothing is told after it.
    """

    __slots__ = ("_cancel", "_resume", "_told", "_value")

    _value: T

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._resume: Callable[[object], object] | None = None
        self._told = False

    def tell(self, value: T) -> None:
        """Here it is: whoever waits goes on before this returns."""
        self._value = value
        self._told = True
        if self._resume is not None:
            self._resume(value)

    def __await__(self) -> Generator[Pending[T], None, T]:
        if not self._told:
            yield self
        if not self._told:
            raise CancelledError
        return self._value

    # What a Running asks of a Deferred, too:

    def addBoth(self, resume: Callable[[object], object]) -> None:
        """Call ``resume`` when the value is told, or the wait is broken off."""
        self._resume = resume

    def cancel(self) -> None:
        """Break the wait off."""
        self._cancel()
        if self._resume is not None:
            self._resume(None)


class Running:
    """Runs a coroutine that awaits Deferreds and :class:`Pending`: at once up to a wait, and on when that is over.

    ``Deferred.fromCoroutine`` also makes its result a Deferred and keeps the context variables of its start, which
    costs thrice as much and is wanted by nobody here.
    """

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Deferred[Any] | Pending[Any], None, None]) -> None:
        self._coroutine = coroutine
        self._waiting: Deferred[Any] | Pending[Any] | None = None
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
