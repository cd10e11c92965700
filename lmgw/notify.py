"""Tells the service manager how it stands: systemd's ``sd_notify`` protocol.

One datagram of ``NAME=value`` lines to ``$NOTIFY_SOCKET``; see sd_notify(3). Without the variable nothing is sent.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping

from twisted.logger import Logger


class Notifier:
    """Speaks to the manager named by ``environ``; an unreachable one is never an error.

    :ivar watchdog_s: how often, in seconds, :meth:`alive` must be called; ``None`` where nobody watches.
    """

    _log = Logger()

    def __init__(
        self, environ: Mapping[str, str], pid: int, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL byte that begins an abstract socket's name.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._monotonic_ns = monotonic_ns
        self.watchdog_s = _watchdog_s(environ, pid)

    def ready(self, status: str) -> None:
        """Serving: after the start, and again after each reload, whatever came of it."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Between ``RELOADING=1`` and the next ``READY=1`` the manager waits (Type=notify-reload wants the clock)."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """On the way out."""
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """The event loop turns."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(line.replace("\n", " ") for line in lines).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as peer:
                peer.sendto(message, self._address)
        except OSError as error:
            self._log.debug("could not notify the service manager: {error}", error=error)


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Half the manager's limit, as sd_watchdog_enabled(3) recommends; the limit may be meant for another process."""
    limit_us = environ.get("WATCHDOG_USEC", "")
    if not limit_us.isdecimal() or int(limit_us) == 0 or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(limit_us) / 2_000_000
