"""The seam of this layer: one attempt at one provider, as values and callbacks.

What comes of an attempt is always a value: a :class:`Head`, bytes, or a :class:`~lmgw.core.steps.Fault`. The only
exception that leaves is ``CancelledError``, to the coroutine that was cancelled itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred

from lmgw.core.steps import Fault


@dataclass(frozen=True, slots=True)
class Timers:
    """How long an attempt may take, in seconds; 0 switches a timer off.

    :ivar connect_s: name lookup, TCP and TLS handshake together; waiting for a free connection does not count.
    :ivar first_byte_s: from the request's last write to the answer's head.
    :ivar idle_s: longest silence in the middle of a body; stopped while the reader has paused it.
    :ivar total_s: the whole attempt, from :meth:`Exchange.head` to the last byte.
    """

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    idle_s: float = 120.0
    total_s: float = 0.0


class Head(msgspec.Struct, frozen=True, gc=False):
    """An answer's status and headers.

    :ivar headers: in the order they came, names in lower case.
    :ivar reused: the connection had served a request before.
    :ivar by_close: nothing but the close ends the body, so only the dialect can tell whether it is complete.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    reused: bool = False
    by_close: bool = False

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a header (lower-case name), ``None`` without one."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Receiver(Protocol):
    """Takes the body of one answer, on the reactor's stack."""

    def data(self, data: bytes) -> None:
        """Take what one read of the socket brought; may call back into the exchange."""

    def ended(self, fault: Fault | None) -> None:
        """The body is complete as its framing has it (``None``), or broke off. Called once, nothing follows."""


class Exchange(Protocol):
    """One request and its answer; nothing is sent before it, or its :meth:`head`, which is the same, is awaited.

    After the head exactly one of :meth:`relay` and :meth:`body` takes the body; an exchange that is not wanted to its
    end must be aborted.
    """

    def __await__(self) -> Generator[Any, None, Head | Fault]: ...

    async def head(self) -> Head | Fault:
        """Send the request and return what is heard. Cancelling it aborts."""

    def relay(self, receiver: Receiver) -> None:
        """Hand the body over as it comes. What came along with the head is delivered before this returns."""

    async def body(self, limit: int) -> bytes | Fault:
        """Read the whole body, at most ``limit`` bytes. Cancelling it aborts."""

    def at_hand(self, limit: int) -> bytes | Fault | None:
        """The same where nothing more will come, as when it came along with the head; else ``None``."""

    def pause(self) -> None:
        """Stop reading: the socket's window closes and the provider has to wait. Nothing is delivered until resumed."""

    def resume(self) -> None:
        """Go on; what was held is delivered before this returns."""

    def abort(self) -> None:
        """Break the connection now, paused or not. The receiver hears nothing more; does nothing after the end."""


class Asking:
    """What an exchange is for who waits for its head: awaited itself, which only a coroutine of ours can do.

    A Deferred, which :meth:`head` makes for all others, takes ten times as long.
    """

    __slots__ = ("_heard", "_resume")

    _heard: Head | Fault | None
    _resume: Callable[[Head | Fault | None], object] | None

    def ask(self) -> None:
        """Send the request; what comes of it is told once, perhaps before this returns."""
        raise NotImplementedError

    def abort(self) -> None:
        """See :meth:`Exchange.abort`."""
        raise NotImplementedError

    def __await__(self) -> Generator[Asking, None, Head | Fault]:
        self.ask()
        if self._heard is None:
            yield self
        if self._heard is None:
            raise CancelledError
        return self._heard

    async def head(self) -> Head | Fault:
        """Send the request and return the answer's head, whatever its status. Cancelling it aborts."""
        answer: Deferred[Head | Fault | None] = Deferred(lambda _: self.cancel())
        self.addBoth(answer.callback)
        self.ask()
        head = await answer
        if head is None:
            raise CancelledError
        return head

    # What is asked of a Deferred, too:

    def addBoth(self, resume: Callable[[Head | Fault | None], object]) -> None:
        """Call ``resume`` when the head is there, or the wait is broken off."""
        self._resume = resume

    def cancel(self) -> None:
        """Break the wait off, and abort."""
        resume, self._resume = self._resume, None
        self.abort()
        self._heard = None
        if resume is not None:
            resume(None)

    def _tell(self, head: Head | Fault) -> None:
        """Here it is: whoever waits goes on before this returns."""
        self._heard = head
        resume, self._resume = self._resume, None
        if resume is not None:
            resume(head)
