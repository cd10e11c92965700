"""Pictures and PDFs in a body, which are translated without being read.

To decode, copy and encode eight megabytes of base64 takes longer than all else that is done to a request. So a mark
stands for the most of each such string while a request goes through the neutral form, and its bytes are put back into
what is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: The shortest string that is taken out, in bytes.
LEAST = 65536
#: What of a string stays where it is: enough to tell its media type.
_HEAD = 512
#: How a picture or a PDF begins, in a data URL or as bare base64 (PNG, JPEG, GIF, WebP, PDF).
_BEGINS = re.compile(rb"data:(?:image/|application/pdf)|iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0")
#: Marks are numbers between two of these. A body in which any is, however spelled, is left whole.
_EDGE = b"\x7f"
_EDGES = (_EDGE, rb"\u007f", rb"\u007F")
_MARK = re.compile(rb"\x7f(\d+)\x7f")


class Blobs:
    """What was taken out of one JSON value.

    :ivar outline: the value with a mark for each.
    """

    __slots__ = ("_taken", "outline")

    def __init__(self, outline: bytes, taken: list[memoryview]) -> None:
        self.outline = outline
        self._taken = taken

    @classmethod
    def of(cls, data: bytes, places: Iterable[tuple[int, int]]) -> Blobs | None:
        """Take the large base64 strings out of ``places`` (in order) of ``data``; ``None`` where there are none."""
        view = memoryview(data)
        kept: list[bytes] = []
        taken: list[memoryview] = []
        at = 0
        for place in places:
            for start, end in _runs(data, *place):
                kept.append(data[at:start])
                taken.append(view[start:end])
                at = end
        kept.append(data[at:] if taken else b"")
        if not taken or any(edge in piece for edge in _EDGES for piece in kept):
            return None
        outline = [kept[0]]
        for number, piece in enumerate(kept[1:]):
            outline += (b"%b%d%b" % (_EDGE, number, _EDGE), piece)
        return cls(b"".join(outline), taken)

    def restored(self, data: bytes) -> bytes:
        """Return JSON that was made of :attr:`outline` with what was taken out in place of the marks."""
        pieces: list[bytes | memoryview] = list(_MARK.split(data))
        pieces[1::2] = [self._taken[int(number)] for number in pieces[1::2]]
        return b"".join(pieces)


def _runs(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where pictures are in ``data[start:end]``, but for their heads, where none of it is escaped.

    What begins like a picture after a quote lies within a string: behind a string's end stands a comma, a colon, a
    bracket or white space.
    """
    while (probe := start + LEAST) < end:
        left, right = data.rfind(b'"', start, probe), data.find(b'"', probe, end)
        if right < 0:
            return
        if left >= 0 and right - left > LEAST and _BEGINS.match(data, left + 1) and data.find(b"\\", left, right) < 0:
            yield left + 1 + _HEAD, right
        start = right
