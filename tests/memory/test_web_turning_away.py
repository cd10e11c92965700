"""A busy gateway answers from the head alone: cheaply, in words, and without losing its place on the connection."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from web_rig import FakeEngine, Wire, ask, hello, request

from lmgw.errors import Overloaded
from lmgw.web.channel import SKIPPED_BYTES, Phase
from lmgw.web.client import client_site

BUSY = Overloaded("too much at once")
LARGE = ask(b"x" * (SKIPPED_BYTES + 1))


class TurningAwayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.engine = FakeEngine(body_timeout_ms=3000, max_request_bytes=1_000_000)
        self.engine.reply = hello
        self.engine.busy = BUSY
        self.site = client_site(self.engine, self.clock)
        self.client = Wire(self.site)

    def test_a_request_gets_a_503_that_says_when_to_come_back_and_the_connection_lives(self) -> None:
        answer = self.client.send(ask(b"{}", "X-Request-ID: mine")).answer()
        self.assertEqual((answer.status, answer.message), (503, "too much at once"))
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertEqual(answer.headers["x-request-id"], "mine")
        self.assertNotIn("connection", answer.headers)
        self.assertEqual(self.engine.asked, [])
        self.engine.busy = None
        self.assertEqual(self.client.send(ask()).answer().status, 200)

    def test_it_is_said_in_the_dialect_of_the_path(self) -> None:
        self.assertEqual(self.client.send(ask(path="/v1/messages")).answer().json["type"], "error")
        self.assertIsInstance(self.client.send(ask(path="/api/chat")).answer().json["error"], str)

    def test_whoever_asks_for_the_health_is_let_in(self) -> None:
        for path in ("/healthz", "/readyz", "/status", "/"):
            self.assertEqual(self.client.get(path).status, 200, path)
        self.assertEqual(self.client.get("/v1/models").status, 503)

    def test_a_body_that_comes_later_is_thrown_away_before_the_answer(self) -> None:
        data = ask(b'{"messages":[]}')
        for at in range(len(data)):
            self.assertEqual(self.client.value(), b"")
            self.client.send(data[at : at + 1])
        self.assertEqual(self.client.answer().status, 503)
        self.assertEqual(self.site.buffered_bytes, 0)

    def test_a_body_that_does_not_come_is_waited_for_no_longer_than_any_other(self) -> None:
        self.client.send(ask(b"{}")[:-1])
        for _ in range(80):
            self.clock.advance(0.05)
        self.assertEqual(self.client.answer().status, 408)
        self.assertTrue(self.client.half_closed)

    def test_a_body_that_is_large_or_of_unknown_length_is_not_read(self) -> None:
        for data in (
            LARGE,
            request("POST", "/v1/messages", "Transfer-Encoding: chunked"),
            ask(b"", "Content-Length: 9", "Expect: 100-continue"),
        ):
            client = Wire(self.site).send(data)
            answer = client.answer()
            self.assertEqual((answer.status, answer.headers["connection"]), (503, "close"))
            self.assertTrue(client.half_closed)

    def test_a_body_of_just_the_limit_is_skipped(self) -> None:
        answer = self.client.send(ask(b"x" * SKIPPED_BYTES)).answer()
        self.assertEqual(answer.status, 503)
        self.assertIs(self.client.channel.phase, Phase.IDLE)

    def test_a_client_that_does_not_want_the_connection_kept_gets_it_closed(self) -> None:
        answer = self.client.send(ask(b"{}", "Connection: close")).answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (503, "close"))

    def test_a_draining_gateway_keeps_no_connection(self) -> None:
        self.engine.draining = True
        self.assertEqual(self.client.send(ask()).answer().headers["connection"], "close")

    def test_requests_in_a_row_are_each_answered_in_their_turn(self) -> None:
        health = request("GET", "/healthz")
        found = self.client.send(ask() + health + ask() + request("GET", "/v1/models") + health).answers()
        self.assertEqual([answer.status for answer in found], [503, 200, 503, 503, 200])

    @settings(max_examples=100)
    @given(
        st.lists(st.sampled_from([ask(), ask(b"x" * 50), request("GET", "/"), LARGE]), max_size=5), st.integers(1, 9)
    )
    def test_how_the_bytes_are_cut_does_not_matter(self, requests: list[bytes], size: int) -> None:
        data = b"".join(requests)
        whole, cut = Wire(self.site).send(data), Wire(self.site)
        for at in range(0, len(data), size * 50):
            cut.send(data[at : at + size * 50])
        self.assertEqual([a.status for a in cut.answers()], [a.status for a in whole.answers()])
