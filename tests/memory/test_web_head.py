"""Heads: what is read out of good ones, and what is said of bad ones."""

from __future__ import annotations

import pytest

from lmgw.errors import GatewayError
from lmgw.web.head import Head, _known_fields, is_host, looks_wrong, parse


def lines(*parts: bytes) -> bytes:
    return b"\r\n".join(parts)


def test_a_head_becomes_values() -> None:
    head = parse(lines(b"POST /v1/x?y=1 HTTP/1.1", b"Host: gw:80", b"Content-Length:  5 ", b"X-Thing:\tA b\xff"))
    assert (head.method, head.target, head.version) == (b"POST", b"/v1/x?y=1", b"HTTP/1.1")
    assert (head.path, head.query, head.length) == (b"/v1/x", b"y=1", 5)
    assert head.headers == {b"host": b"gw:80", b"content-length": b"5", b"x-thing": b"A b\xff"}


def test_a_head_needs_no_headers_in_http_1_0() -> None:
    assert parse(b"GET / HTTP/1.0") == Head(b"GET", b"/", b"HTTP/1.0", b"/", b"", {}, 0, persistent=False)


def test_the_first_of_two_lines_counts_but_lists_are_joined() -> None:
    head = parse(
        lines(
            b"GET / HTTP/1.1",
            b"Host: gw",
            b"Authorization: Bearer one",
            b"Authorization: Bearer two",
            b"X-Forwarded-For: 203.0.113.9",
            b"X-Forwarded-For: 192.0.2.1",
        )
    )
    assert head.headers[b"authorization"] == b"Bearer one"
    assert head.headers[b"x-forwarded-for"] == b"203.0.113.9, 192.0.2.1"


def test_only_lines_without_secrets_are_remembered() -> None:
    for _ in range(2):
        head = parse(
            lines(b"GET / HTTP/1.1", b"Host: known", b"Authorization: Bearer s", b"Cookie: s", b"X-API-Key: s")
        )
        assert head.headers == {b"host": b"known", b"authorization": b"Bearer s", b"cookie": b"s", b"x-api-key": b"s"}
    assert b"Host: known" in _known_fields
    assert not any(line.endswith(b": s") or b"Bearer" in line for line in _known_fields)


def test_only_so_many_short_lines_are_remembered() -> None:
    for number in range(3000):
        parse(lines(b"GET / HTTP/1.1", b"Host: gw%d" % number, b"Accept: %200d" % number))
    assert len(_known_fields) <= 1024
    assert max(map(len, _known_fields)) <= 128


@pytest.mark.parametrize(
    ("fields", "persistent"),
    [
        ([], True),
        ([b"Connection: keep-alive"], True),
        ([b"Connection: close"], False),
        ([b"Connection: TE, Close"], False),
        ([b"Connection: TE", b"Connection: close"], False),
    ],
)
def test_a_connection_lasts_unless_its_client_says_otherwise(fields: list[bytes], persistent: bool) -> None:
    assert parse(lines(b"GET / HTTP/1.1", b"Host: gw", *fields)).persistent is persistent


HOST = b"Host: gw"


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"GET", 400, "malformed request line"),
        (b"GET /", 400, "malformed request line"),
        (b"GET  / HTTP/1.1", 400, "malformed request line"),
        (b"GET /a b HTTP/1.1", 400, "malformed request line"),
        (b"GET / HTTP/1.1 ", 400, "malformed request line"),
        (b"G(T / HTTP/1.1", 400, "malformed request line"),
        (b"GET /\x00 HTTP/1.1", 400, "malformed request line"),
        (b"GET /\xc3\xa4 HTTP/1.1", 400, "malformed request line"),
        (b"GET / http/1.1", 400, "malformed request line"),
        (b"GET / HTTP/0.9", 505, "only HTTP/1.1"),
        (b"PRI * HTTP/2.0", 505, "only HTTP/1.1"),
        (b"GET / HTTP/1.1", 400, "the Host header is missing"),
        (lines(b"GET / HTTP/1.1", b"Host:"), 400, "the Host header is missing"),
        (lines(b"GET / HTTP/1.1", HOST, b"Host: gw"), 400, "more than one host header"),
        (lines(b"GET / HTTP/1.1", b"Host: a b"), 400, "the Host header is malformed"),
        (lines(b"GET / HTTP/1.1", b"Host: a/b"), 400, "the Host header is malformed"),
        (lines(b"GET / HTTP/1.1", b"Host: " + b"a" * 256), 400, "the Host header is malformed"),
        (lines(b"GET / HTTP/1.1", HOST, b"nonsense"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", HOST, b": x"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", HOST, b"X Y: x"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", HOST, b"X : x"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", b" Host: gw"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", HOST, b"X: a", b" folded"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", HOST, b"X: a\x00"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", HOST, b"X: a\nY: b"), 400, "malformed header"),
        (lines(b"GET / HTTP/1.1", HOST, b"X: a\rY: b"), 400, "malformed header"),
        (lines(b"POST / HTTP/1.1", HOST, b"Content-Length: -1"), 400, "Content-Length must be a number"),
        (lines(b"POST / HTTP/1.1", HOST, b"Content-Length: 1_0"), 400, "Content-Length must be a number"),
        (lines(b"POST / HTTP/1.1", HOST, b"Content-Length:"), 400, "Content-Length must be a number"),
        (lines(b"POST / HTTP/1.1", HOST, b"Content-Length: " + b"9" * 5000), 400, "Content-Length must be a number"),
        (lines(b"POST / HTTP/1.1", HOST, b"Content-Length: 1", b"Content-Length: 1"), 400, "more than one"),
        (
            lines(b"POST / HTTP/1.1", HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked"),
            400,
            "not come together",
        ),
        (lines(b"POST / HTTP/1.1", HOST, b"Transfer-Encoding: gzip"), 501, "chunked"),
        (lines(b"POST / HTTP/1.1", HOST, b"Transfer-Encoding: gzip, chunked"), 501, "chunked"),
    ],
)
def test_a_bad_head_gets_words(data: bytes, status: int, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse(data)
    assert caught.value.status == status
    assert words in caught.value.message


@pytest.mark.parametrize("value", [b"gw", b"gw:8080", b"192.0.2.1:80", b"[::1]:8080", b"my_box.lan", b"gw."])
def test_a_host_is_a_name_or_an_address(value: bytes) -> None:
    assert is_host(value)


@pytest.mark.parametrize("value", [b"", b"a b", b"a@b", b"a:b", b"[::1", b"a\\b", b"<x>", b"a:123456", "ä".encode()])
def test_a_host_is_nothing_else(value: bytes) -> None:
    assert not is_host(value)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02", b"GET / HTTP/1.1\nHost: gw\n\n", b'{"model":'])
def test_what_cannot_become_a_head_is_seen_early(data: bytes) -> None:
    assert looks_wrong(data)


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\nHo", b"PRI * HTTP/2.0"])
def test_the_beginning_of_a_head_is_waited_for(data: bytes) -> None:
    assert not looks_wrong(data)
