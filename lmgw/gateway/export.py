"""The traffic log on disk: a JSON line for each finished request; a full disk costs lines, never requests."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import datetime

from twisted.logger import Logger

#: Seconds between two tries to open a path that could not be opened.
RETRY_S = 10.0
#: Lines are appended whole even if others write to the file; a pipe without a reader, or a full one, holds nobody up.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
_MODE = 0o640

log = Logger()


class Export:
    """Appends lines to ``traffic_log_path``.

    The file is opened with the first line after :meth:`configure` or :meth:`reopen`, as the user that the process has
    become by then. A fault is said once, at its beginning, and again when it is over.

    :param now: seconds of a clock that does not go back.
    :param epoch_s: seconds since 1970, for people.
    :ivar lost: lines that were not written, ever.
    """

    def __init__(self, now: Callable[[], float], epoch_s: Callable[[], float]) -> None:
        self.lost = 0
        self._now = now
        self._epoch_s = epoch_s
        self._path: str | None = None
        self._file: int | None = None
        self._torn = False
        self._retry_at = 0.0
        self._fault: str | None = None
        self._since = 0.0
        self._lost_before = 0

    @property
    def wanted(self) -> bool:
        """Whether there is a path to write to."""
        return self._path is not None

    def configure(self, path: str | None) -> None:
        """Write to this absolute path from now on; ``None`` to none."""
        if path != self._path:
            self.close()
            self._path = path
            self._fault, self._retry_at = None, 0.0

    def reopen(self) -> None:
        """Open the file again: it may have been moved away."""
        self.close()
        self._retry_at = 0.0
        if self._path is not None:
            self._open()

    def close(self) -> None:
        """Write nothing more until the next line."""
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._torn = False

    def write(self, line: bytes) -> None:
        """Append a line (given without its end), or count it as lost; does nothing without a path."""
        if self._path is None:
            return
        if self._file is None and not (self._now() >= self._retry_at and self._open()):
            self.lost += 1
            return
        assert self._file is not None
        # What a full disk cut off stays one broken line: the next one begins on its own.
        data = b"\n%b\n" % line if self._torn else b"%b\n" % line
        try:
            if os.write(self._file, data) < len(data):
                self._torn = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._failed(error)
            self.lost += 1
            return
        self._torn = False
        if self._fault is not None:
            self._recovered()

    def warning(self) -> str | None:
        """Return what an operator must know, if lines are being lost."""
        if self._fault is None:
            return None
        since = datetime.fromtimestamp(self._since).strftime("%H:%M")
        lost = self.lost - self._lost_before
        return f"traffic_log_path {self._path}: {self._fault}; {lost} lines lost since {since}, requests are served"

    def _open(self) -> bool:
        assert self._path is not None
        try:
            self._file = os.open(self._path, _FLAGS, _MODE)
        except OSError as error:
            self._retry_at = self._now() + RETRY_S
            self._failed(error)
            return False
        return True

    def _failed(self, error: OSError) -> None:
        if self._fault is None:
            self._fault = error.strerror or str(error)
            self._since, self._lost_before = self._epoch_s(), self.lost
            log.error(
                "traffic_log_path {path}: {fault}; requests go on, their lines are lost until this is put right",
                path=self._path,
                fault=self._fault,
            )

    def _recovered(self) -> None:
        lost = self.lost - self._lost_before
        log.info("traffic_log_path {path} works again; {lost} lines were lost", path=self._path, lost=lost)
        self._fault = None
