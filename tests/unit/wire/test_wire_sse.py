"""Server-sent events are cut into the same frames however their bytes arrive."""

from __future__ import annotations

import pytest
from cuts import cuts
from hypothesis import given
from hypothesis import strategies as st

from lmgw.errors import UpstreamFailed
from lmgw.wire import sse

#: (what arrives, the data of each frame that has any)
STREAMS = {
    "one line a frame": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "CR": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "line ends mixed": (b"data: a\n\r\ndata: b\r\n\ndata: c\r\r\n", [b"a", b"b", b"c"]),
    "several data lines": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "an empty data line": (b"data: a\ndata:\n\n", [b"a\n"]),
    "no space after the colon": (b"data:a\n\n", [b"a"]),
    "only the first space goes": (b"data:  a\n\n", [b" a"]),
    "an event's name": (b"event: e\ndata: a\n\n", [b"a"]),
    "an event's name and two lines": (b"event: e\ndata: a\ndata: b\n\n", [b"a\nb"]),
    "an event's name behind its data": (b"data: a\nevent: e\n\n", [b"a"]),
    "an event without data": (b"event: e\n\nevent: e\ndata:\n\n", []),
    "an event's name, an id, a retry": (b"event: e\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
    "comments": (b": ping\n\n:\n\n: x\ndata: a\n\n", [b"a"]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "more blank lines than needed": (b"\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    "the last blank line is missing": (b"data: a\n\ndata: b\n", [b"a", b"b"]),
    "the last line end is missing": (b"data: a\n\ndata: [DONE]", [b"a", b"[DONE]"]),
    "a carriage return inside JSON is escaped": (b'data: {"a":"\\r\\n"}\n\n', [b'{"a":"\\r\\n"}']),
    "characters of several bytes": ("data: Grüße ✓ 🎉\n\n".encode(), ["Grüße ✓ 🎉".encode()]),
    "a bare object": (b'{"error": {\n  "message": "no"}}\n', [b'{"error": {\n  "message": "no"}}']),
    "nothing": (b"", []),
    "a blank line": (b"\n", []),
}


def read(chunks: list[bytes]) -> list[bytes]:
    frames = sse.Frames()
    found = [frame for chunk in chunks for frame in frames.feed(chunk)]
    return [data for frame in (*found, *frames.rest()) if (data := sse.payload(frame))]


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_every_cut_gives_the_same_data(stream: bytes, expected: list[bytes]) -> None:
    for chunks in cuts(stream):
        assert read(chunks) == expected


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS.values()], ids=STREAMS)
def test_frames_keep_their_bytes(stream: bytes) -> None:
    for chunks in cuts(stream):
        frames = sse.Frames()
        passed = b"".join(frame for chunk in chunks for frame in frames.feed(chunk))
        missing = b"".join(frames.rest()).removesuffix(b"\n\n")
        assert (passed + missing).rstrip(b"\n") == stream.removeprefix(b"\xef\xbb\xbf").rstrip(b"\n")


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b":", b"\n\n", b"event: y", b"\xef"])))
def test_any_bytes_in_any_cut_give_what_the_whole_gives(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    whole = read([stream])
    for chunks in cuts(stream, seeds=3):
        assert read(chunks) == whole


def test_a_whole_frame_in_one_read_is_given_at_once() -> None:
    frames = sse.Frames()
    assert frames.feed(b"data: a\n\n") == [b"data: a\n\n"]
    assert frames.feed(b"data: b\n") == []
    assert frames.feed(b"\n") == [b"data: b\n\n"]


def test_a_frame_that_is_too_large_is_an_error_of_the_provider() -> None:
    frames = sse.Frames()
    frames.feed(b"x" * sse.MAX_FRAME)
    with pytest.raises(UpstreamFailed, match="more than 8 MiB"):
        frames.feed(b"x")


def test_a_large_frame_in_small_pieces_is_taken() -> None:
    frames = sse.Frames()
    piece = b"x" * 65536
    for _ in range(100):
        assert frames.feed(piece) == []
    (frame,) = frames.feed(b"\n\n")
    assert len(frame) == 100 * 65536 + 2
