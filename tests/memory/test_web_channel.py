"""Connections: limits of size and time, refusals in words, and what one connection does after another request."""

from __future__ import annotations

import tempfile

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from web_rig import FakeEngine, Wire, ask, hello, request

from lmgw.web.channel import CROWDED_IDLE_MS, IDLE_MS, LAST_WORDS_MS, LINGER_MS, Phase
from lmgw.web.client import client_site
from lmgw.web.head import HEAD_LIMIT

HEALTH = request("GET", "/healthz")


class ChannelTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.engine = FakeEngine(
            header_timeout_ms=1000, body_timeout_ms=3000, client_write_timeout_ms=2000, max_request_bytes=100
        )
        self.engine.reply = hello
        self.site = client_site(self.engine, self.clock)
        self.client = self.connect()

    def connect(self) -> Wire:
        return Wire(self.site)

    def pass_ms(self, milliseconds: float) -> None:
        """Let time go by in steps as small as the ticker's."""
        for _ in range(int(milliseconds / 50)):
            self.clock.advance(0.05)

    def assert_refused(self, status: int, words: str, client: Wire | None = None) -> None:
        client = client or self.client
        answer = client.answer()
        self.assertEqual(answer.status, status)
        self.assertIn(words, answer.message)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertTrue(answer.headers["x-request-id"])
        self.assertTrue(client.half_closed)
        client.send(HEALTH)
        self.assertEqual(client.value(), b"", "a refused connection hears nothing more")


class HeadTests(ChannelTestCase):
    def test_a_malformed_request_line_is_refused(self) -> None:
        self.client.send(b"GET\r\n\r\n")
        self.assert_refused(400, "malformed request line")

    def test_tls_on_a_plain_port_is_refused_at_once(self) -> None:
        self.client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.assert_refused(400, "malformed request line")

    def test_lines_that_end_in_lf_alone_are_refused_at_once(self) -> None:
        self.client.send(b"GET / HTTP/1.1\nHost: gw\n\n")
        self.assert_refused(400, "malformed request line")

    def test_a_refusal_is_in_the_dialect_of_the_path(self) -> None:
        self.client.send(b"POST /v1/messages HTTP/1.1\r\n\r\n")
        self.assertEqual(self.client.answer().json["type"], "error")
        other = self.connect()
        other.send(b"POST /api/chat HTTP/1.1\r\n\r\n")
        self.assertIsInstance(other.answer().json["error"], str)

    def test_one_line_that_is_too_large_is_refused_before_it_ends(self) -> None:
        self.client.send(b"GET /" + b"a" * HEAD_LIMIT)
        self.assert_refused(431, f"larger than {HEAD_LIMIT} bytes")

    def test_many_lines_that_are_too_large_together_are_refused(self) -> None:
        self.client.send(request("GET", "/healthz", *[f"X-{n}: {'a' * 1000}" for n in range(40)]))
        self.assert_refused(431, f"larger than {HEAD_LIMIT} bytes")

    def test_a_head_of_just_the_limit_is_read(self) -> None:
        bare = len(request("GET", "/healthz", "X: ")) - 4
        self.client.send(request("GET", "/healthz", "X: " + "a" * (HEAD_LIMIT - bare)))
        self.assertEqual(self.client.answer().status, 200)

    def test_a_head_in_pieces_is_the_same_head(self) -> None:
        for byte in ask(b'{"a":1}', "X-Thing: b"):
            self.client.send(bytes([byte]))
        self.assertEqual(self.client.answer().status, 200)
        self.assertEqual(self.engine.inbound.body, b'{"a":1}')
        self.assertEqual(self.engine.inbound.headers[b"x-thing"], b"b")

    def test_empty_lines_before_a_request_are_skipped(self) -> None:
        self.client.send(b"\r\n\r\n\r\n" + HEALTH + b"\r\n" + HEALTH)
        self.assertEqual([answer.status for answer in self.client.answers()], [200, 200])

    def test_a_refused_head_request_gets_no_body(self) -> None:
        self.client.send(b"HEAD / HTTP/1.1\r\n\r\n")
        self.assertEqual(self.client.answer(head=True).status, 400)


class DeadlineTests(ChannelTestCase):
    def test_a_head_that_dribbles_is_cut_at_its_deadline(self) -> None:
        for byte in HEALTH[:11]:
            self.client.send(bytes([byte]))
            self.pass_ms(100)
        self.pass_ms(250)
        self.assert_refused(408, "head did not come in time")

    def test_a_method_that_has_not_ended_is_none(self) -> None:
        self.client.send(b"HEAD")
        self.pass_ms(1250)
        self.assert_refused(408, "head did not come in time")

    def test_a_connection_without_a_head_is_closed_without_words(self) -> None:
        self.client.send(b"\r\n")
        self.pass_ms(IDLE_MS + 1000)
        self.assertEqual(self.client.value(), b"")
        self.assertTrue(self.client.disconnecting)

    def test_an_idle_connection_is_closed_without_words(self) -> None:
        self.assertEqual(self.client.send(HEALTH).answer().status, 200)
        self.pass_ms(IDLE_MS - 1000)
        self.assertFalse(self.client.disconnecting)
        self.pass_ms(2000)
        self.assertEqual(self.client.value(), b"")
        self.assertTrue(self.client.disconnecting)

    def test_while_no_more_are_accepted_idle_connections_are_closed_soon(self) -> None:
        self.engine.configure(max_client_connections=2)
        busy, late = self.connect(), self.connect()
        self.engine.reply = None
        busy.send(ask())
        self.pass_ms(CROWDED_IDLE_MS + 1000)
        self.assertTrue(self.client.disconnecting)
        self.assertFalse(busy.disconnecting, "it is being answered")
        self.assertFalse(late.disconnecting, "it waits to be read")
        self.client.close()
        self.assertEqual(late.get("/healthz").status, 200)

    def test_a_body_that_dribbles_is_cut_at_its_deadline(self) -> None:
        self.client.send(ask(b"x" * 90)[:-90])
        for _ in range(29):
            self.client.send(b"x")
            self.pass_ms(100)
        self.assertEqual(self.client.value(), b"")
        self.pass_ms(500)
        self.assert_refused(408, "body did not come in time")
        self.assertEqual(self.engine.asked, [])

    def test_a_deadline_of_zero_is_none(self) -> None:
        self.engine.configure(header_timeout_ms=0, body_timeout_ms=0)
        client = self.connect()
        client.send(b"POST /v1/chat/")
        self.pass_ms(100_000)
        client.send(b"completions HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\n{")
        self.pass_ms(100_000)
        self.assertEqual(client.send(b"}").answer().status, 200)

    def test_an_answer_may_take_as_long_as_it_takes(self) -> None:
        self.engine.reply = None
        self.client.send(ask())
        self.pass_ms(10 * IDLE_MS)
        hello(self.engine.inbound, self.engine.sink)
        self.assertEqual(self.client.answer().status, 200)

    def test_a_reload_changes_the_deadline_of_the_next_request(self) -> None:
        self.client.send(HEALTH).answer()
        self.engine.configure(header_timeout_ms=200)
        self.client.send(b"GET ")
        self.pass_ms(300)
        self.assert_refused(408, "head did not come in time")

    def test_a_refused_sender_is_listened_to_for_a_while_and_then_closed(self) -> None:
        self.client.send(b"nonsense\r\n\r\n").answer()
        self.pass_ms(LINGER_MS - 500)
        self.assertFalse(self.client.disconnecting)
        self.pass_ms(1500)
        self.assertTrue(self.client.disconnecting)

    def test_a_closing_connection_whose_client_does_not_read_is_cut(self) -> None:
        self.client.send(request("GET", "/healthz", "Connection: close"))
        self.assertTrue(self.client.disconnecting)
        self.assertFalse(self.client.disconnected)
        self.pass_ms(2500)
        self.assertTrue(self.client.disconnected)

    def test_time_of_a_lost_connection_is_up(self) -> None:
        self.client.send(b"GET ")
        self.client.close()
        self.pass_ms(5000)
        self.assertEqual(self.client.value(), b"")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BodyTests(ChannelTestCase):
    def test_a_body_is_handed_over_whole(self) -> None:
        self.client.send(ask(b"x" * 100))
        self.assertEqual(self.engine.inbound.body, b"x" * 100)

    def test_a_large_body_touches_no_file(self) -> None:
        self.patch(tempfile, "TemporaryFile", None)
        self.engine.configure(max_request_bytes=1_000_000)
        self.client.send(ask(b"x" * 1_000_000))
        self.assertEqual(len(self.engine.inbound.body), 1_000_000)

    def test_a_chunked_body_is_put_together(self) -> None:
        head = request("POST", "/v1/chat/completions", "Transfer-Encoding: chunked")
        self.client.send(head + b"3;ext=1\r\nabc\r\n")
        self.client.send(b"2\r\nde\r\n0\r\nTrailer: x\r\n\r\n" + HEALTH)
        self.assertEqual([answer.status for answer in self.client.answers()], [200, 200])
        self.assertEqual(self.engine.inbound.body, b"abcde")

    def test_a_body_that_says_it_is_too_large_is_refused_unread(self) -> None:
        self.client.send(ask(b"x" * 101, "Content-Length: 99999999999")[:-101])
        self.assert_refused(413, "larger than the 100 bytes")

    def test_a_chunked_body_that_becomes_too_large_is_refused(self) -> None:
        self.client.send(request("POST", "/v1/chat/completions", "Transfer-Encoding: chunked"))
        self.client.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        self.assertEqual(self.client.value(), b"")
        self.client.send(b"1\r\nx\r\nnonsense\r\n")
        self.assert_refused(413, "larger than the 100 bytes")
        self.assertEqual(self.engine.asked, [])

    def test_tiny_chunks_of_one_read_are_kept_as_one_piece(self) -> None:
        self.client.send(request("POST", "/v1/chat/completions", "Transfer-Encoding: chunked") + b"2\r\nab\r\n" * 40)
        incoming = self.client.channel.request
        assert incoming is not None
        self.assertEqual(incoming._pieces, [b"ab" * 40])
        self.client.send(b"0\r\n\r\n")
        self.assertEqual(self.engine.inbound.body, b"ab" * 40)

    def test_a_malformed_chunk_is_refused(self) -> None:
        self.client.send(request("POST", "/v1/chat/completions", "Transfer-Encoding: chunked") + b"zz\r\n")
        self.assert_refused(400, "malformed chunk")

    def test_expect_100_continue_is_honoured(self) -> None:
        self.client.send(ask(b"{}", "Expect: 100-continue")[:-2])
        self.assertEqual(self.client.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.client.clear()
        self.assertEqual(self.client.send(b"{}").answer().status, 200)

    def test_no_continue_follows_a_413(self) -> None:
        self.client.send(ask(b"{}", "Expect: 100-continue", "Content-Length: 101")[:-2])
        self.assert_refused(413, "larger than the 100 bytes")

    def test_a_request_cut_in_its_body_is_forgotten(self) -> None:
        self.client.send(ask(b"x" * 50)[:-10])
        self.assertEqual(self.site.buffered_bytes, 40)
        self.client.close()
        self.assertEqual(self.engine.asked, [])
        self.assertEqual(self.site.buffered_bytes, 0)

    def test_bodies_in_memory_are_counted_until_their_answers_end(self) -> None:
        self.engine.reply = None
        self.client.send(ask(b"x" * 50))
        self.assertEqual(self.site.buffered_bytes, 50)
        hello(self.engine.inbound, self.engine.sink)
        self.assertEqual(self.site.buffered_bytes, 0)

    def test_more_bodies_than_fit_are_refused_until_there_is_room(self) -> None:
        self.engine.configure(max_buffered_bytes=150)
        self.engine.reply = None
        self.client.send(ask(b"x" * 90))
        other = self.connect()
        other.send(ask(b"x" * 61))
        self.assertEqual(other.value()[9:12], b"503")
        self.assertIn(b"retry-after: 1", other.value())
        self.assertEqual(self.site.buffered_bytes, 90)
        third = self.connect()
        third.send(ask(b"x" * 60))
        self.assertEqual(len(self.engine.asked), 2)


class ConnectionTests(ChannelTestCase):
    def test_pipelined_requests_are_answered_in_order(self) -> None:
        self.engine.reply = None
        self.client.send(ask(b"one") + ask(b"two") + HEALTH)
        self.assertEqual(len(self.engine.asked), 1, "one at a time")
        self.engine.sink.answer(200, [], b"1")
        self.assertEqual(self.client.answer().body, b"1")
        self.engine.sink.answer(200, [], b"2")
        self.assertEqual([answer.body for answer in self.client.answers()], [b"2", b'{"status":"ok"}'])

    def test_a_hundred_pipelined_requests_cost_no_stack(self) -> None:
        self.client.send(HEALTH * 1000)
        self.assertEqual(len(self.client.answers()), 1000)

    def test_a_bad_request_behind_good_ones_is_refused_in_its_turn(self) -> None:
        self.engine.reply = None
        self.client.send(ask() + b"nonsense\r\n\r\n")
        self.assertEqual(self.client.value(), b"")
        hello(self.engine.inbound, self.engine.sink)
        self.assertEqual([answer.status for answer in self.client.answers()], [200, 400])

    def test_a_body_does_not_swallow_the_next_request(self) -> None:
        self.client.send(ask(b"abc") + ask(b"de"))
        self.assertEqual([inbound.body for inbound, _ in self.engine.asked], [b"abc", b"de"])

    def test_headers_stay_with_their_request(self) -> None:
        anthropic = request("GET", "/v1/models", "anthropic-version: 2023-06-01")
        self.client.send(ask() + anthropic + request("GET", "/v1/models") + anthropic)
        self.assertEqual(
            [answer.json["dialect"] for answer in self.client.answers()[1:]], ["anthropic", "openai", "anthropic"]
        )

    def test_connection_close_is_obeyed(self) -> None:
        self.client.send(request("GET", "/healthz", "Connection: close") + HEALTH)
        answer = self.client.answer()
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(self.client.disconnecting)

    def test_http_1_0_is_answered_once(self) -> None:
        self.client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
        self.assertTrue(self.client.disconnecting)

    def test_a_stream_that_began_before_the_drain_is_the_last_too(self) -> None:
        self.engine.reply = None
        self.client.send(ask())
        self.engine.sink.begin(200, [])
        self.engine.draining = True
        self.engine.sink.finish()
        self.assertTrue(self.client.answer().complete)
        self.assertTrue(self.client.disconnecting)

    def test_a_draining_gateway_closes_after_each_answer(self) -> None:
        self.engine.reply = None
        self.client.send(ask())
        self.engine.draining = True
        hello(self.engine.inbound, self.engine.sink)
        self.assertEqual(self.client.answer().headers["connection"], "close")
        self.assertTrue(self.client.disconnecting)

    def test_drop_idle_closes_only_the_connections_that_wait(self) -> None:
        self.engine.reply = None
        busy, reading = self.connect().send(ask()), self.connect().send(b"GET ")
        self.client.send(HEALTH).answer()
        self.site.drop_idle()
        self.assertEqual([c.disconnecting for c in (self.client, busy, reading)], [True, False, False])
        hello(self.engine.inbound, self.engine.sink)
        reading.send(HEALTH[4:])
        for client in (busy, reading):
            self.assertEqual(client.answer().headers["connection"], "close")
            self.assertTrue(client.disconnecting)

    def test_cut_breaks_everything(self) -> None:
        self.engine.reply = None
        busy = self.connect().send(ask())
        self.site.cut()
        self.assertTrue(busy.disconnected)
        self.assertTrue(self.client.disconnected)

    def test_the_site_knows_its_connections(self) -> None:
        other = self.connect()
        self.assertEqual(self.site.connections, {self.client.channel, other.channel})
        other.close()
        self.assertEqual(self.site.connections, {self.client.channel})


class Port:
    """What a listening port has of ``FileDescriptor``."""

    def __init__(self) -> None:
        self.connected, self.disconnecting, self.reading = True, False, True

    def startReading(self) -> None:
        self.reading = True

    def stopReading(self) -> None:
        self.reading = False


class ManyConnectionsTests(ChannelTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.port = Port()
        Wire.server = self.port  # type: ignore[attr-defined]
        self.addCleanup(delattr, Wire, "server")
        self.engine.configure(max_client_connections=3)

    def test_above_the_limit_connections_wait_unread_and_the_port_accepts_no_more(self) -> None:
        self.connect()
        self.assertTrue(self.port.reading)
        self.connect()
        self.assertFalse(self.port.reading)
        fourth = self.connect()
        self.assertEqual(fourth.producerState, "paused")

    def test_one_that_closes_lets_the_next_one_in(self) -> None:
        second, third, fourth, fifth = (self.connect() for _ in range(4))
        second.close()
        self.assertEqual([fourth.producerState, fifth.producerState], ["producing", "paused"])
        self.assertFalse(self.port.reading)
        third.close()
        self.assertEqual(fifth.producerState, "producing")
        self.assertFalse(self.port.reading)
        fifth.close()
        self.assertTrue(self.port.reading)

    def test_one_that_gives_up_waiting_lets_nobody_in(self) -> None:
        *_, fourth, fifth = [self.connect() for _ in range(4)]
        fifth.close()
        self.assertEqual(fourth.producerState, "paused")

    def test_a_port_that_was_closed_stays_closed(self) -> None:
        second, _ = self.connect(), self.connect()
        self.port.disconnecting = True
        second.close()
        self.assertFalse(self.port.reading)


class BrokenOffTests(ChannelTestCase):
    def test_last_words_that_nobody_reads_do_not_keep_the_connection(self) -> None:
        self.engine.reply = None
        self.client.send(ask())
        self.engine.sink.begin(200, [])
        self.engine.sink.abort(b"the end")
        self.assertEqual(self.client.channel.phase, Phase.CLOSING)
        self.pass_ms(LAST_WORDS_MS + 1000)
        self.assertTrue(self.client.disconnected)
