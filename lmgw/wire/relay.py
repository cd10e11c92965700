"""Pass-through: caller and upstream speak the same dialect, so the answer's bytes are relayed as they came.

A dialect takes part with two things: a :class:`Scanner`, which reads each frame of a stream on its way past, and
:class:`Native`, which makes the upstream's request out of the caller's bytes and reads a whole answer. The relay itself
knows no dialect. It passes whole frames only: a client can do nothing with half of one, and where the upstream breaks
off in the middle of a frame, the error event that follows must not run into it.
"""

from __future__ import annotations

from typing import Protocol

from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.wire.body import Body
from lmgw.wire.dialect import LazyReply, Rendered, Target
from lmgw.wire.progress import Progress


class Scanner(Protocol):
    """Reads the frames of one stream as they pass and keeps ``progress``; one object a stream.

    ``progress.content`` is set with the first text, reasoning or tool fragment, ``progress.finish`` with the reason
    the model stopped, ``progress.error`` with an error of the upstream's own. Budget: under 10 µs a frame.
    """

    progress: Progress

    def scan(self, frame: bytes) -> bytes:
        """Read one whole frame, its terminator included; return what the caller gets instead of it.

        That is the frame itself as a rule, and ``b""`` for what must not reach the caller: an error (the engine writes
        its own event from ``progress.error``), an end mark before any finish, what only the gateway asked for.
        A frame that cannot be understood is passed on. Raises nothing.
        """

    def end(self) -> bytes:
        """Return what the stream lacks at its end, now that the body is over and ``progress.finish`` is known."""


class Frames(Protocol):
    """Cuts a byte stream into whole frames (``sse.Frames``, ``ndjson.Frames``)."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, cut anywhere; return the frames they completed, terminators included.

        Raises :class:`~lmgw.errors.UpstreamFailed` for a frame that is too large.
        """

    def rest(self) -> list[bytes]:
        """The stream is over: return the last frame if only its terminator was missing, with the terminator."""


class Native(Protocol):
    """What a dialect offers where both sides speak it, besides the :class:`~lmgw.wire.dialect.Dialect` protocol."""

    def edit_request(self, body: Body, target: Target) -> Rendered:
        """Return the caller's request for ``target``: its bytes with only the policy's edits (see ``splice``)."""

    def relay(self, body: Body, target: Target, reply: LazyReply) -> Relay:
        """Start the way back of a streamed answer to that request."""

    def relay_answer(self, body: Body, target: Target, reply: LazyReply, answer: bytes) -> tuple[bytes, Progress]:
        """The way back of ``answer``, a whole 2xx answer to that request.

        An error inside a 200 is in ``progress.error`` and the bytes are empty.
        """


class Relay:
    """The :class:`~lmgw.wire.translate.AnswerStream` of a pass-through pair."""

    def __init__(self, frames: Frames, scanner: Scanner) -> None:
        self.progress = scanner.progress
        self._frames = frames
        self._scanner = scanner

    def feed(self, data: bytes) -> bytes:
        """Take the next upstream bytes, cut anywhere; return the whole frames for the caller."""
        if self.progress.error is not None:
            return b""
        try:
            frames = self._frames.feed(data)
        except GatewayError as error:
            self.progress.error = error
            return b""
        if len(frames) == 1:
            return self._scanner.scan(frames[0])
        return self._scan(frames)

    def _scan(self, frames: list[bytes]) -> bytes:
        passed = []
        for frame in frames:
            passed.append(self._scanner.scan(frame))
            if self.progress.error is not None:
                break
        return b"".join(passed)

    def eof(self, clean: bool) -> bytes:
        """The upstream's body ended; ``clean`` is false when the connection broke.

        An answer is complete by its finish, however the body ended; without one ``progress.error`` is set. A last frame
        that was not ended counts only if it is the one that finishes the answer: it may be half a frame.
        """
        if self.progress.error is not None:
            return b""
        progress = self.progress
        last = self._scan(self._frames.rest()) if clean and progress.finish is None else b""
        if progress.error is None and progress.finish is None:
            progress.error = cut_short(clean)
        return last + self._scanner.end() if progress.error is None else b""

    def last_words(self, error: GatewayError) -> bytes:
        """Return how the stream ends where it breaks off here, ``b""`` where the dialect has no such end."""
        return b""


def cut_short(clean: bool) -> UpstreamFailed:
    """The error of an answer that ended before its finish."""
    how = "ended its answer" if clean else "closed the connection"
    return UpstreamFailed(f"the provider {how} before the answer was complete")
