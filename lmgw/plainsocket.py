"""Writing to plain sockets past the queues of Twisted's transports: together, at the end of an event loop's turn."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorTime

#: What is written to one socket up to this many bytes is joined: copying costs less than another system call.
ONE_WRITE = 65_536


def is_plain_socket(transport: Any) -> bool:
    """Whether the two below may be used: TCP without TLS, with the attributes that they look at."""
    return (
        isinstance(transport, tcp.Connection)
        and not transport.TLS
        and all(hasattr(transport, name) for name in ("_tempDataLen", "_writeDisconnected", "dataBuffer", "socket"))
    )


def write_now(transport: Any, data: bytes) -> None:
    """Write to a plain socket: now if nothing waits before it, else (or what does not fit) by the transport's queue.

    The queue costs a turn of the event loop and, with epoll, three system calls more a write. Errors are the
    transport's to find.
    """
    idle = not (transport._tempDataLen or transport.dataBuffer or transport._writeDisconnected)
    if idle and transport.connected:
        try:
            sent = transport.socket.send(data)
        except OSError:
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


class Outbox:
    """What is written in a turn of the event loop: sent when the turn has done everything else.

    A write may wake whoever waits for it, and on a virtual machine that interrupts ours, after which the processor has
    to learn the interpreter's ways anew. Writes in a row wake others once, and nothing of ours runs in between. Where
    turns have one write each there is nothing to gain: then it is made at once.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: dict[Any, list[bytes]] = {}
        self._written = 0
        self._few = True

    def write(self, transport: Any, data: bytes) -> None:
        """Write to a plain socket before sockets are looked at again. Flush before the transport is closed."""
        self._written += 1
        if self._written == 1:
            self._reactor.callLater(0, self._end_turn)  # timers come before sockets
            if self._few:
                write_now(transport, data)
                return
        pieces = self._waiting.get(transport)
        if pieces is None:
            self._waiting[transport] = [data]
        elif len(data) + len(pieces[-1]) <= ONE_WRITE:
            pieces[-1] += data
        else:
            pieces.append(data)

    def flush(self) -> None:
        """Write what waits now."""
        waiting, self._waiting = self._waiting, {}
        for transport, pieces in waiting.items():
            for data in pieces:
                write_now(transport, data)

    def _end_turn(self) -> None:
        self._few, self._written = self._written == 1, 0
        self.flush()
