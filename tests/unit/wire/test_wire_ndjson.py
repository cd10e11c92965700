"""Newline-delimited JSON is cut into the same lines however its bytes arrive."""

from __future__ import annotations

import pytest
from cuts import cuts

from lmgw.errors import UpstreamFailed
from lmgw.wire import ndjson

STREAMS = {
    "lines": (b'{"a":1}\n{"b":2}\n', [b'{"a":1}\n', b'{"b":2}\n']),
    "CRLF": (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}\r\n', b'{"b":2}\r\n']),
    "blank lines": (b'\n{"a":1}\n\n \n{"b":2}\n', [b'{"a":1}\n', b'{"b":2}\n']),
    "the last line end is missing": (b'{"a":1}\n{"b":2}', [b'{"a":1}\n', b'{"b":2}\n']),
    "characters of several bytes": ('{"a":"✓🎉"}\n'.encode(), ['{"a":"✓🎉"}\n'.encode()]),
    "separators that are no line ends": (b'{"a":"\x0b\x0c\x1c\xc2\x85"}\n', [b'{"a":"\x0b\x0c\x1c\xc2\x85"}\n']),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_every_cut_gives_the_same_lines(stream: bytes, expected: list[bytes]) -> None:
    for chunks in cuts(stream):
        frames = ndjson.Frames()
        found = [line for chunk in chunks for line in frames.feed(chunk)]
        assert [*found, *frames.rest()] == expected


def test_a_line_that_is_too_large_is_an_error_of_the_provider() -> None:
    frames = ndjson.Frames()
    frames.feed(b"x" * ndjson.MAX_LINE)
    with pytest.raises(UpstreamFailed, match="more than 8 MiB"):
        frames.feed(b"x")
