"""Chunked request bodies, in one piece and cut anywhere."""

from __future__ import annotations

import pytest

from lmgw.web.chunked import LINE_LIMIT, TRAILER_LIMIT, ChunkedBody


def read(*pieces: bytes) -> tuple[bytes, bytes | None]:
    """Return the body in these pieces, and what came behind it."""
    body = ChunkedBody()
    found = b"".join(part for piece in pieces for part in body.feed(piece))
    return found, body.rest


WHOLE = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
    (b"A;name=value\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    (b'0000a ; x="y"\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\nTrailer: yes\r\nMore: of it\r\n\r\n', b"\r\n\r\n\r\n\r\n\r\n"),
]


@pytest.mark.parametrize(("data", "body"), WHOLE)
def test_a_body_is_read_and_what_follows_is_kept(data: bytes, body: bytes) -> None:
    assert read(data) == (body, b"")
    assert read(data + b"GET /") == (body, b"GET /")


@pytest.mark.parametrize(("data", "body"), WHOLE)
def test_it_does_not_matter_where_it_is_cut(data: bytes, body: bytes) -> None:
    for at in range(len(data)):
        assert read(data[:at], data[at:]) == (body, b"")
    assert read(*[data[at : at + 1] for at in range(len(data))]) == (body, b"")


@pytest.mark.parametrize(("data", "_body"), WHOLE)
def test_before_its_end_it_is_not_complete(data: bytes, _body: bytes) -> None:
    for at in range(len(data)):
        assert read(data[:at])[1] is None


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhelloworld",
        b"5\r\nhello\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;\x00\r\nhello\r\n",
        b"1" * 16 + b"\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"1" * (LINE_LIMIT + 2),
        b"1;" + b"x" * LINE_LIMIT + b"\r\n",
        b"0\r\n" + b"A: b\r\n" * (TRAILER_LIMIT // 4 + 1) + b"\r\n",
    ],
)
def test_what_is_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"malformed|longer"):
        read(data)
