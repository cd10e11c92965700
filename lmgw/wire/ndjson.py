"""Newline-delimited JSON as bytes: cut a stream into whole lines."""

from __future__ import annotations

from lmgw.errors import UpstreamFailed

#: The largest line that is read, in bytes.
MAX_LINE = 8 * 1024 * 1024


class Frames:
    """Cuts the bytes of one stream into lines, each with its LF, without blank ones; takes any cut of the bytes."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the lines they completed.

        Raises :class:`~lmgw.errors.UpstreamFailed` when one line is larger than :data:`MAX_LINE`.
        """
        end = data.rfind(b"\n") + 1
        if not end:
            self._hold(data)
            return []
        whole = b"".join((*self._held, data[:end])) if self._held else data[:end]
        self._held.clear()
        self._held_size = 0
        if end < len(data):
            self._hold(data[end:])
        return [line for line in whole.splitlines(keepends=True) if not line.isspace()]

    def rest(self) -> list[bytes]:
        """The stream is over: return the last line if only its LF was missing, with one."""
        tail = b"".join(self._held).strip()
        self._held.clear()
        return [tail + b"\n"] if tail else []

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > MAX_LINE:
            raise UpstreamFailed(f"the provider sent one line of more than {MAX_LINE >> 20} MiB")
