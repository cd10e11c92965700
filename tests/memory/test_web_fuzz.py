"""Whatever comes in, what goes out is answers in words, and every connection comes to an end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from web_rig import Answer, FakeEngine, Wire, ask, hello, read_answers, request

from lmgw.web.channel import IDLE_MS
from lmgw.web.client import client_site

GOOD = [
    request("GET", "/healthz"),
    request("GET", "/v1/models/a%2Fb?x=y", "anthropic-version: 2023-06-01"),
    request("OPTIONS", "/v1/models", "Origin: http://localhost", "Access-Control-Request-Method: GET"),
    request("OPTIONS", "*"),
    request("GET", "http://gw/status", "Connection: close"),
    ask(b'{"model":"x"}', "Expect: 100-continue", "X-Request-ID: abc"),
    ask(b"{}", path="/v1/messages?beta=true"),
    request("POST", "/api/chat", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nA: b\r\n\r\n"),
    b"GET / HTTP/1.0\r\n\r\n",
    request("DELETE", "//v1//models//"),
]

#: What breaks things: line ends, framing, encodings, numbers.
SPICE = [
    *(b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b"\xff", b"%", b"%00", b"%2F", b"/../", b"//", b"<b>"),
    *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: x\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Origin: null\r\n", b"HTTP/1.1", b"HTTP/9.9"),
    *(b"\r\n\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"9" * 30),
]

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(st.sampled_from(SPICE), st.binary(max_size=6))), max_size=5
)


def mutated(requests: list[bytes], changes: list[tuple[float, int, bytes]]) -> bytes:
    data = b"".join(requests)
    for place, cut, put in changes:
        at = int(place * len(data))
        data = data[:at] + put + data[at + cut :]
    return data


streams = st.one_of(
    st.binary(max_size=300),
    st.builds(mutated, st.lists(st.sampled_from(GOOD), min_size=1, max_size=4), edits),
)


def answers_to(pieces: list[bytes]) -> list[Answer]:
    """Send the pieces, let all deadlines pass, and return what came back; the connection must be over by then."""
    clock = Clock()
    engine = FakeEngine(max_request_bytes=1000)
    engine.reply = hello
    client = Wire(client_site(engine, clock))
    for piece in pieces:
        client.send(piece)
    for _ in range(3 * IDLE_MS // 1000):
        clock.advance(1)
    assert client.disconnecting
    data = client.value().replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert b"<html" not in data.lower()
    assert b"Traceback" not in data
    return read_answers(data, head=b"HEAD " in b"".join(pieces))


class FuzzTests(SynchronousTestCase):
    """An error that is logged fails these tests too."""

    @settings(max_examples=200, deadline=None)
    @given(streams)
    def test_any_bytes_get_words(self, data: bytes) -> None:
        for answer in answers_to([data]):
            self.assertIn(answer.status, {200, 204, 400, 403, 404, 405, 408, 413, 431, 501, 505})
            self.assertTrue(answer.complete)
            if answer.status >= 400:
                self.assertTrue(answer.message)
                self.assertEqual(answer.headers["content-type"], "application/json")

    @settings(max_examples=100, deadline=None)
    @given(streams, st.integers(1, 7))
    def test_how_the_bytes_are_cut_does_not_matter(self, data: bytes, size: int) -> None:
        whole = answers_to([data])
        cut = answers_to([data[at : at + size] for at in range(0, len(data), size)])
        self.assertEqual([a.status < 400 for a in cut], [a.status < 400 for a in whole])
        self.assertEqual([a.body for a in cut if a.status < 300], [a.body for a in whole if a.status < 300])
