"""The seam of this layer: one attempt at one provider, as values and callbacks.

What comes of an attempt is always a value: a :class:`Head`, bytes, or a :class:`~lmgw.core.steps.Fault`. The only
exception that leaves is ``CancelledError``, to the coroutine that was cancelled itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

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


#: Told what became of a request: the answer's head, whatever its status, or why there is none.
Heard = Callable[[Head | Fault], None]


class Exchange(Protocol):
    """One request and its answer; nothing is sent before :meth:`ask`, or :meth:`head`, which is the same.

    After the head exactly one of :meth:`relay` and :meth:`body` takes the body; an exchange that is not wanted to its
    end must be aborted.
    """

    def ask(self, heard: Heard) -> None:
        """Send the request; ``heard`` is called once, perhaps before this returns, unless the wait is cancelled."""

    def cancel(self) -> None:
        """Abort, and tell nobody."""

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
    """The coroutine over :meth:`Exchange.ask`, for whoever is not in a hurry."""

    __slots__ = ()

    def ask(self, heard: Heard) -> None:
        """See :meth:`Exchange.ask`."""
        raise NotImplementedError

    def cancel(self) -> None:
        """See :meth:`Exchange.cancel`."""
        raise NotImplementedError

    async def head(self) -> Head | Fault:
        """Send the request and return the answer's head, whatever its status. Cancelling it aborts."""
        answer: Deferred[Head | Fault] = Deferred(lambda _: self.cancel())
        self.ask(answer.callback)
        return await answer
