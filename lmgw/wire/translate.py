"""One request across one pair of dialects: pass-through where both sides are the same, the neutral form elsewhere."""

from __future__ import annotations

from typing import Protocol

from lmgw.wire.dialect import Rendered
from lmgw.wire.progress import Progress


class AnswerStream(Protocol):
    """One streamed answer on its way back: upstream bytes in, caller's bytes out, ``progress`` kept up to date.

    Bytes returned before ``progress.content`` is true are lifecycle only: whoever holds them back loses nothing but
    time.
    """

    progress: Progress

    def feed(self, data: bytes) -> bytes:
        """Take the next upstream bytes, cut anywhere."""

    def eof(self, clean: bool) -> bytes:
        """The upstream's body ended. Sets ``progress.error`` unless a finish was seen; renders no error itself."""


class Translation(Protocol):
    """A request made ready for one tier, and the way back for its answer."""

    request: Rendered

    def stream(self) -> AnswerStream:
        """Start the way back of a streamed answer."""

    def answer(self, body: bytes) -> tuple[bytes, Progress]:
        """The way back of a whole 2xx answer.

        An error inside a 200 is in ``progress.error`` and the bytes are empty.
        """
