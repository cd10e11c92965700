"""Answers of every kind, good, odd and hostile, fed whole and byte by byte, and beside them twisted.web's own client.

Each case is fed to a connection that then closes. What came of it is one of three things: the status and body of a
complete answer, ``refused`` (no head was handed over) or ``broken`` (the body failed). The last column says what
twisted.web makes of it where that is something else, and why ours is.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory
from upstream_rig import CHUNKED, Reader, Rig, Transport, result
from zope.interface import implementer

from lmgw.core.steps import Fault, FaultKind
from lmgw.upstream.protocol import OVERHEAD_LIMIT

REFUSED, BROKEN = "refused", "broken"
Verdict = tuple[int, bytes] | str

HELLO = (200, b"hello")


def head(*lines: str, start: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (start, *lines, "")).encode("latin-1")


LENGTH = "Content-Length: 5"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
CODED = "Transfer-Encoding: chunked"

#: name: (bytes, our verdict, twisted.web's where it differs)
CASES: dict[str, tuple[bytes, Verdict] | tuple[bytes, Verdict, Verdict]] = {
    # Good answers, as servers send them.
    "length": (head(LENGTH) + b"hello", HELLO),
    "chunked": (CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", HELLO),
    "chunked, any case": (head("transfer-encoding: CHUNKED") + b"5\r\nhello\r\n0\r\n\r\n", HELLO),
    "chunk sizes with leading zeros": (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", HELLO),
    "chunk extensions": (CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n", HELLO),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", HELLO),
    "ended by the close": (head() + b"hello", HELLO),
    "ended by the close, HTTP/1.0": (head(start="HTTP/1.0 200 OK") + b"hello", HELLO),
    "identity coding": (head("Transfer-Encoding: identity") + b"hello", HELLO, REFUSED),
    "connection: close": (head(LENGTH, "Connection: close") + b"hello", HELLO),
    "204": (head(start="HTTP/1.1 204 None"), (204, b"")),
    "204 with a length": (head(LENGTH, start="HTTP/1.1 204 None"), (204, b"")),
    "304 with a length": (head(LENGTH, start="HTTP/1.1 304 Same"), (304, b"")),
    "no reason phrase": (head(LENGTH, start="HTTP/1.1 200") + b"hello", HELLO),
    "empty body": (head("Content-Length: 0"), (200, b"")),
    "an error status": (head(LENGTH, start="HTTP/1.1 529 Overloaded") + b"hello", (529, b"hello")),
    "interim answers first": (INTERIM + head(LENGTH) + b"hello", HELLO),
    "bytes of no text in a header": (head(LENGTH, "X: \xe9\xff") + b"hello", HELLO),
    "header without a value": (head(LENGTH, "X:") + b"hello", HELLO),
    # Cut off.
    "closed at once": (b"", REFUSED),
    "closed in the head": (b"HTTP/1.1 200 OK\r\nContent-", REFUSED),
    "closed in the body": (head(LENGTH) + b"hell", BROKEN),
    "closed in a chunk": (CHUNKED + b"5\r\nhel", BROKEN),
    "closed before the last chunk": (CHUNKED + b"5\r\nhello\r\n", BROKEN),
    "closed in the last chunk": (CHUNKED + b"5\r\nhello\r\n0\r\n", BROKEN),
    "closed after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n", REFUSED),
    # Two framings, two lengths: where one answer ends is a matter of opinion, so nobody may have the wrong one.
    "length and chunked": (head(LENGTH, CODED) + b"5\r\nhello\r\n0\r\n\r\n", REFUSED, HELLO),
    "chunked and length": (head(CODED, LENGTH) + b"5\r\nhello\r\n0\r\n\r\n", REFUSED, HELLO),
    "two lengths": (head(LENGTH, "Content-Length: 4") + b"hello", REFUSED),
    "the same length twice": (head(LENGTH, LENGTH) + b"hello", REFUSED, HELLO),
    "a length among the trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", BROKEN, HELLO),
    "a list of lengths": (head("Content-Length: 5, 5") + b"hello", REFUSED, HELLO),
    "a length with a sign": (head("Content-Length: +5") + b"hello", REFUSED),
    "a negative length": (head("Content-Length: -5") + b"hello", REFUSED),
    "a length in hex": (head("Content-Length: 0x5") + b"hello", REFUSED),
    "no length in it": (head("Content-Length:") + b"hello", REFUSED),
    "a length beyond all bounds": (head("Content-Length: 99999999999999999999999") + b"hello", REFUSED, BROKEN),
    "space before the colon": (head("Content-Length : 5") + b"hello", REFUSED),
    "chunked twice": (head("Transfer-Encoding: chunked, chunked") + b"5\r\nhello\r\n0\r\n\r\n", REFUSED),
    "chunked in two lines": (head(CODED, CODED) + b"5\r\nhello\r\n0\r\n\r\n", REFUSED, HELLO),
    "a coding nobody asked for": (head("Transfer-Encoding: gzip, chunked") + b"5\r\nhello\r\n0\r\n\r\n", REFUSED),
    "nearly chunked": (head("Transfer-Encoding: xchunked") + b"5\r\nhello\r\n0\r\n\r\n", REFUSED),
    "chunked after a vertical tab": (
        head("Transfer-Encoding: \x0bchunked") + b"5\r\nhello\r\n0\r\n\r\n",
        REFUSED,
        HELLO,
    ),
    "compressed": (head(LENGTH, "Content-Encoding: gzip") + b"hello", REFUSED, HELLO),
    # Chunks that are none.
    "a size that is no number": (CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n", BROKEN),
    "a negative size": (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", BROKEN),
    "a size with 0x": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", BROKEN),
    "a size beyond all bounds": (CHUNKED + b"fffffffffffffffff\r\nhello", BROKEN),
    "no size": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", BROKEN),
    "a chunk longer than its size": (CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", BROKEN),
    "bare line feeds in chunks": (CHUNKED + b"5\nhello\n0\n\n", BROKEN),
    # Heads that are none.
    "a web page": (b"<html>hello</html>", REFUSED),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", REFUSED),
    "another protocol": (b"ICY 200 OK\r\n\r\nhello", REFUSED),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", REFUSED, HELLO),
    "HTTP/2 after interim answers": (INTERIM + b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", REFUSED, HELLO),
    "HTTP/0.9": (b"HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello", REFUSED, HELLO),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello", REFUSED, HELLO),
    "a status of two digits": (head(LENGTH, start="HTTP/1.1 99 X") + b"hello", REFUSED, (99, b"hello")),
    "a status below 100": (head(LENGTH, start="HTTP/1.1 099 X") + b"hello", REFUSED, (99, b"hello")),
    "a status of four digits": (head(LENGTH, start="HTTP/1.1 1000 X") + b"hello", REFUSED, (1000, b"hello")),
    "a status that is no number": (head(LENGTH, start="HTTP/1.1 OK") + b"hello", REFUSED),
    "another protocol on the line": (head("Upgrade: h2c", "Connection: upgrade", start="HTTP/1.1 101 X"), REFUSED),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", REFUSED, HELLO),
    "a folded header": (head("X: a\r\n b", LENGTH) + b"hello", REFUSED, HELLO),
    "a header without a colon": (head("X", LENGTH) + b"hello", REFUSED),
    "a header without a name": (head(": a", LENGTH) + b"hello", REFUSED),
    "NUL in a header": (head("X: a\0b", LENGTH) + b"hello", REFUSED, HELLO),
    "a bare carriage return in a header": (head("X: a\rb", LENGTH) + b"hello", REFUSED, HELLO),
    "a huge header": (head(f"X: {'a' * OVERHEAD_LIMIT}", LENGTH) + b"hello", REFUSED),
    "a huge head": (head(*["X-Y: abcdefgh"] * 5_000, LENGTH) + b"hello", REFUSED, HELLO),
    # More than was asked for: the answer stands, the connection does not.
    "a second answer": (head(LENGTH) + b"hello" + head(LENGTH) + b"again", HELLO),
    "garbage after the answer": (head(LENGTH) + b"hello, world", HELLO),
    "garbage after the last chunk": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\nmore", HELLO),
    "garbage after connection: close": (head(LENGTH, "Connection: close") + b"hello!", HELLO),
    "a body where none may be": (head(LENGTH, start="HTTP/1.1 204 None") + b"hello", (204, b"")),
}


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def ours(data: bytes, size: int = 65_536, method: bytes = b"POST") -> tuple[Verdict, Rig]:
    """Feed an answer to our client, ``size`` bytes a read, then close."""
    rig = Rig()
    exchange, answer = rig.ask(method=method)
    transport = rig.accept()
    reader = Reader()
    answer.addCallback(lambda head: head if isinstance(head, Fault) else exchange.relay(reader) or head)
    for piece in pieces(data, size):
        if not transport.disconnecting:
            transport.protocol.dataReceived(piece)
    transport.lose(ConnectionDone())
    head = result(answer)
    if isinstance(head, Fault):
        assert head.kind in (FaultKind.CLOSED, FaultKind.PROTOCOL)
        assert not reader.pieces
        return REFUSED, rig
    (end,) = reader.ends
    return (BROKEN if end is not None else (head.status, reader.body)), rig


@implementer(IAgentEndpointFactory)
class Endpoints:
    """Hands twisted.web's agent a connection to a string transport."""

    def __init__(self, reactor: MemoryReactorClock) -> None:
        self.transport = Transport(reactor)

    def endpointForURI(self, uri: object) -> Endpoints:
        return self

    def connect(self, factory: object) -> Deferred[object]:
        self.transport.protocol = factory.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)
        return succeed(self.transport.protocol)


class Body:
    """What twisted.web delivers a body to."""

    def __init__(self) -> None:
        self.data = b""
        self.end: Failure | None = None

    def makeConnection(self, transport: object) -> None:
        """Nothing to send."""

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure) -> None:
        self.end = reason


def twisteds(data: bytes, size: int = 65_536) -> Verdict:
    """Feed an answer to twisted.web's client, the same way."""
    endpoints = Endpoints(MemoryReactorClock())
    transport = endpoints.transport
    body, heads, failures = Body(), [], []
    answer = Agent.usingEndpointFactory(MemoryReactorClock(), endpoints).request(b"POST", b"http://192.0.2.1/")
    answer.addCallback(lambda response: heads.append(response.code) or response.deliverBody(body))
    answer.addErrback(failures.append)
    for piece in pieces(data, size):
        if not transport.disconnecting:
            transport.protocol.dataReceived(piece)
    transport.lose(ConnectionDone())
    if failures or not heads:
        return REFUSED
    assert body.end is not None
    return (heads[0], body.data) if body.end.check(ResponseDone, PotentialDataLoss) else BROKEN


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize("name", CASES)
def test_an_answer_gets_its_verdict_however_it_is_cut(name: str, size: int) -> None:
    data, expected = CASES[name][:2]
    verdict, _ = ours(data, size)
    assert verdict == expected


@pytest.mark.parametrize("name", CASES)
def test_twisted_web_agrees_or_is_known_not_to(name: str) -> None:
    data = CASES[name][0]
    assert twisteds(data) == CASES[name][-1]


KEPT = ["length", "chunked", "trailers", "204", "304 with a length", "empty body", "interim answers first"]
DROPPED = [
    "connection: close",
    "ended by the close, HTTP/1.0",
    "a second answer",
    "garbage after the answer",
    "garbage after the last chunk",
    "a body where none may be",
]


@pytest.mark.parametrize("size", [1, 65_536])
@pytest.mark.parametrize("name", KEPT + DROPPED)
def test_only_a_connection_that_brought_exactly_its_answer_is_used_again(name: str, size: int) -> None:
    rig = Rig()
    exchange, answer = rig.ask()
    answer.addCallback(lambda _: exchange.relay(Reader()))
    transport = rig.accept()
    for piece in pieces(CASES[name][0], size):
        if not transport.disconnecting:
            transport.protocol.dataReceived(piece)
    assert (rig.pool.figures().idle == 1) == (name in KEPT)


@pytest.mark.parametrize("name", ["length", "chunked", "trailers", "interim answers first"])
def test_an_answer_cut_at_any_byte_is_never_taken_for_complete(name: str) -> None:
    data = CASES[name][0]
    for at in range(len(data)):
        verdict, rig = ours(data[:at])
        assert verdict in (REFUSED, BROKEN), data[:at]
        assert rig.pool.figures().open == 0


def test_trailers_are_in_no_head_neither_their_own_nor_the_next_ones() -> None:
    rig = Rig()
    exchange, answer = rig.ask()
    answer.addCallback(lambda head: exchange.relay(Reader()) or head)
    transport = rig.accept()
    transport.protocol.dataReceived(CHUNKED + b"0\r\nContent-Encoding: gzip\r\n\r\n")
    assert result(answer).headers == [(b"transfer-encoding", b"chunked")]
    _, answer = rig.ask()
    transport.protocol.dataReceived(head(LENGTH) + b"hello")
    got = result(answer)
    assert got.reused
    assert got.headers == [(b"content-length", b"5")]


def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    verdict, rig = ours(head(LENGTH), method=b"HEAD")
    assert verdict == (200, b"")
    assert rig.pool.figures().idle == 0


@pytest.mark.parametrize(
    ("beginning", "filler"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Y: abcdefg\r\n"),
        (b"HTTP/1.1 200 ", b"OK "),
        (b"", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"),
        (CHUNKED + b"5;a=", b"b"),
        (CHUNKED + b"5\r\nhello\r\n0\r\nX: ", b"a"),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", b"X-Y: abcdefg\r\n"),
    ],
)
def test_what_is_no_body_cannot_go_on_for_ever(beginning: bytes, filler: bytes) -> None:
    rig = Rig()
    exchange, answer = rig.ask()
    reader = Reader()
    answer.addCallback(lambda head: exchange.relay(reader) if not isinstance(head, Fault) else reader.ended(head))
    transport = rig.accept()
    transport.protocol.dataReceived(beginning)
    read = 0
    while not transport.aborting:
        transport.protocol.dataReceived(filler * (4_096 // len(filler)))
        read += 4_096
        assert read < 2 * OVERHEAD_LIMIT
    (fault,) = reader.ends
    assert fault is not None
    assert fault.kind is FaultKind.PROTOCOL


def test_a_head_just_below_the_limit_is_taken() -> None:
    filler = f"X: {'a' * (OVERHEAD_LIMIT - 200)}"
    assert ours(head(filler, LENGTH) + b"hello", 1_000)[0] == HELLO


def test_chunk_sizes_that_come_alone_do_not_add_up() -> None:
    rig = Rig()
    exchange, answer = rig.ask()
    reader = Reader()
    answer.addCallback(lambda _: exchange.relay(reader))
    transport = rig.accept()
    transport.protocol.dataReceived(CHUNKED)
    for _ in range(OVERHEAD_LIMIT // 100):
        transport.protocol.dataReceived(b"5;" + b"x" * 200 + b"\r\n")
        transport.protocol.dataReceived(b"hello\r\n")
    assert reader.ends == []


def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    rig = Rig()
    _, answer = rig.ask()
    transport = rig.accept()
    transport.protocol.dataReceived(head(LENGTH) + b"hello")
    assert result(answer).status == 200
    transport.protocol.dataReceived(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    rig.turn()
    assert rig.pool.figures().open == 0


def test_what_one_read_brought_is_delivered_at_once() -> None:
    rig = Rig()
    exchange, answer = rig.ask()
    reader = Reader()
    answer.addCallback(lambda _: exchange.relay(reader))
    transport = rig.accept()
    transport.protocol.dataReceived(CHUNKED + b"2\r\nab\r\n2\r\ncd\r\n1\r\n")
    transport.protocol.dataReceived(b"e\r\n1\r\nf\r\n0\r\n\r\n")
    assert reader.pieces == [b"abcd", b"ef"]
    assert reader.ends == [None]


def test_body_bytes_before_a_bad_chunk_are_delivered_and_then_the_fault() -> None:
    rig = Rig()
    exchange, answer = rig.ask()
    reader = Reader()
    answer.addCallback(lambda _: exchange.relay(reader))
    rig.accept().protocol.dataReceived(CHUNKED + b"2\r\nab\r\nzz\r\n")
    assert reader.pieces == [b"ab"]
    (fault,) = reader.ends
    assert fault is not None
    assert "not HTTP/1.1" in fault.detail


@settings(max_examples=200, deadline=None)
@given(
    data=st.sampled_from([case[0] for case in CASES.values() if len(case[0]) < 1_000]),
    changes=st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), min_size=1, max_size=4),
    size=st.sampled_from([1, 5, 65_536]),
)
def test_no_garbling_of_any_answer_leaves_a_connection_or_a_timer(
    data: bytes, changes: list[tuple[int, bytes]], size: int
) -> None:
    for at, piece in changes:
        data = data[:at] + piece + data[at + 1 :]
    _, rig = ours(data, size)
    rig.reactor.advance(10)
    assert rig.pool.figures().open == 0
    assert rig.reactor.getDelayedCalls() == []
