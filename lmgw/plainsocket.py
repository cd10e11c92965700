"""Writing to a plain socket at once, past the queue of Twisted's transport."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


def is_plain_socket(transport: Any) -> bool:
    """Whether :func:`write_now` may be used: TCP without TLS, with the attributes that it looks at."""
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
