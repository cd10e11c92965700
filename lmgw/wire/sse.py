"""Server-sent events as bytes: cut a stream into whole frames, and take the data out of one.

Follows the WHATWG HTML standard, section 9.2.6: a frame ends at a blank line, lines end in LF, CRLF or CR, a line that
begins with a colon is a comment, several ``data`` lines are one text joined by LF. Frames keep their bytes, so a relay
can pass them on as they came.
"""

from __future__ import annotations

import re
from itertools import pairwise

from lmgw.errors import UpstreamFailed

#: The largest frame that is read, in bytes; a whole image in one event fits.
MAX_FRAME = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
#: The end of a line and of the empty one after it. A CR at the end of a read may be half a CRLF: its LF then opens the
#: next frame, where it is one more blank line and says nothing.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n?|\n)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Frames:
    """Cuts the bytes of one stream into frames, terminators included; takes any cut of the bytes."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_size = 0
        self._edge = b""  # the last byte held: a blank line may be cut by two reads
        self._begun = False
        self._cr = False  # a CR was seen: look for every kind of line end from here on

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the frames they completed.

        Raises :class:`~lmgw.errors.UpstreamFailed` when one frame is larger than :data:`MAX_FRAME`.
        """
        if not self._begun:
            data = self._without_bom(data)
        if not self._cr and b"\r" in data:
            self._cr = True
        if self._held:
            probe = self._edge + data
            if (_BLANK_LINE.search(probe) is None) if self._cr else (b"\n\n" not in probe):
                self._hold(data)
                return []
            data = b"".join((*self._held, data))
            self._held.clear()
            self._held_size = 0
        if not self._cr:
            if data.find(b"\n\n") == len(data) - 2 >= 0:
                return [data]
            *frames, tail = data.split(b"\n\n")
            frames = [frame + b"\n\n" for frame in frames]
        else:
            ends = [0, *(match.end() for match in _BLANK_LINE.finditer(data))]
            frames = [data[start:end] for start, end in pairwise(ends)]
            tail = data[ends[-1] :]
        if tail:
            self._hold(tail)
        return frames

    def rest(self) -> list[bytes]:
        """The stream is over: return the last frame if only its blank line was missing, with one."""
        tail = b"".join(self._held).rstrip(b"\r\n")
        self._held.clear()
        return [tail + b"\n\n"] if tail else []

    def _without_bom(self, data: bytes) -> bytes:
        data = b"".join((*self._held, data))
        self._held.clear()
        self._held_size = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._hold(data)
            return b""
        self._begun = True
        return data.removeprefix(_BOM)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_size += len(data)
        self._edge = data[-1:] or self._edge
        if self._held_size > MAX_FRAME:
            raise UpstreamFailed(f"the provider sent one event of more than {MAX_FRAME >> 20} MiB")


def payload(frame: bytes) -> bytes:
    """Return the data of one frame, ``b""`` where it has none (a comment, a blank line).

    A bare JSON object counts as data: it is the error of a server that had promised a stream.
    """
    # What nearly all frames are comes first: one line of data, perhaps after its event's name.
    start = frame.find(b"\n") + 1 if frame.startswith(b"event: ") else 0
    if frame.startswith(b"data: ", start) and frame.find(b"\n", start) == len(frame) - 2 and b"\r" not in frame:
        return frame[start + 6 : -2]
    lines = [line[5:].removeprefix(b" ") for line in _LINE_END.split(frame) if line.startswith(b"data:")]
    if not lines and frame.lstrip().startswith(b"{"):
        return frame.strip()
    return b"\n".join(lines)
