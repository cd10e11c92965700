"""Taking a chunked request body apart (RFC 9112, 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Bytes of one size line with its extensions, and of all trailers together.
LINE_LIMIT, TRAILER_LIMIT = 1024, 16_384

#: Extensions are dropped, but what could hide a line's end from others is refused.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class ChunkedBody:
    """Takes what comes and gives back the body in it, until it is complete.

    :ivar rest: what came behind the body, once it is complete; ``None`` before.
    """

    __slots__ = ("_in_chunk", "_in_trailers", "_kept", "_left", "_trailers", "rest")

    def __init__(self) -> None:
        self.rest: bytes | None = None
        self._kept = b""
        self._left = 0
        self._in_chunk = self._in_trailers = False
        self._trailers = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the bytes of the body that ``data`` brings. Raises ``ValueError`` at what is malformed."""
        data, self._kept = self._kept + data, b""
        at = 0
        while True:
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                if piece:
                    yield piece
                if self._left:
                    return
            end = data.find(b"\r\n", at)
            if end < 0:
                self._keep(data[at:])
                return
            last = self._is_last(data[at:end])
            at = end + 2
            if last:
                self.rest = data[at:]
                return

    def _keep(self, part: bytes) -> None:
        """Keep the beginning of a line; the line after a chunk is empty, so that no more than a CR may begin it."""
        if len(part) > LINE_LIMIT or (self._in_chunk and part not in (b"", b"\r")):
            raise ValueError("a chunk is longer than its size, or a line too long")
        self._kept = part

    def _is_last(self, line: bytes) -> bool:
        """Read a line between chunks, or of the trailers; returns whether the body ends with it."""
        if self._in_chunk:
            if line:
                raise ValueError("a chunk is longer than its size")
            self._in_chunk = False
        elif self._in_trailers:
            self._trailers += len(line)
            if not line:
                return True
            if self._trailers > TRAILER_LIMIT or _TRAILER.fullmatch(line) is None:
                raise ValueError("malformed trailer")
        else:
            size = _SIZE.fullmatch(line) if len(line) <= LINE_LIMIT else None
            if size is None:
                raise ValueError("malformed chunk size")
            self._left = int(size[1], 16)
            self._in_chunk = self._left > 0
            self._in_trailers = not self._in_chunk
        return False
