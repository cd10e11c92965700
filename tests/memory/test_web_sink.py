"""The one writer to a client: whole answers, streams, and what becomes of them when a client is slow or goes away."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from web_rig import JSON_HEADERS, SSE_HEADERS, FakeEngine, FakeFlow, Wire, ask, read_answers, request

from lmgw.gateway.inbound import Sink
from lmgw.web.client import client_site


class SinkTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.engine = FakeEngine(client_write_timeout_ms=2000)
        self.site = client_site(self.engine, self.clock)
        self.client = Wire(self.site)

    def ask(self, *headers: str) -> Sink:
        self.client.send(ask(b"{}", *headers))
        return self.engine.sink

    def stream(self, *headers: str) -> Sink:
        sink = self.ask(*headers)
        sink.begin(200, SSE_HEADERS)
        return sink

    @property
    def told(self) -> list[str]:
        return self.engine.flow.told


class AnswerTests(SinkTestCase):
    def test_a_whole_answer_is_these_bytes(self) -> None:
        self.ask("X-Request-ID: my-id").answer(200, [*JSON_HEADERS, (b"X-LMG-Tier", b"a")], b'{"a":1}')
        self.assertEqual(
            self.client.value(),
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-LMG-Tier: a\r\n"
            b"Server: lmgw\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Request-ID: my-id\r\n"
            b'Content-Length: 7\r\n\r\n{"a":1}',
        )

    def test_the_date_goes_on(self) -> None:
        self.ask().answer(200, [], b"")
        self.clock.advance(86_400)
        self.client = Wire(self.site)
        self.ask().answer(200, [], b"")
        self.assertEqual(self.client.answer().headers["date"], "Fri, 02 Jan 1970 00:00:00 GMT")

    def test_an_answer_is_one_write(self) -> None:
        writes: list[bytes] = []
        self.patch(self.client.channel, "send", writes.append)
        self.ask().answer(200, JSON_HEADERS, b"{}")
        self.assertEqual(len(writes), 1)

    def test_an_answer_without_a_body_has_none(self) -> None:
        self.ask().answer(204, [], b"")
        self.assertNotIn("content-length", self.client.answer().headers)

    def test_head_gets_the_head_alone(self) -> None:
        answer = self.client.get("/healthz", method="HEAD")
        self.assertEqual((answer.status, answer.headers["content-length"], answer.body), (200, "15", b""))

    def test_a_status_that_nobody_knows_is_passed_on(self) -> None:
        self.ask().answer(529, [], b"")
        self.assertEqual(self.client.answer().status, 529)

    def test_a_value_cannot_add_a_header(self) -> None:
        self.ask().answer(200, [(b"X-A", b"b\r\nSet-Cookie: c=d\nE: f\x00")], b"")
        self.assertEqual(self.client.answer().headers["x-a"], "b  Set-Cookie: c=d E: f ")

    def test_the_state_of_an_answer_is_seen(self) -> None:
        sink = self.ask()
        self.assertEqual((sink.begun, sink.closed), (False, False))
        sink.answer(200, [], b"")
        self.assertEqual((sink.begun, sink.closed), (True, True))

    def test_nothing_follows_an_answer(self) -> None:
        sink = self.ask()
        sink.answer(200, [], b"one")
        sink.answer(500, [], b"two")
        sink.begin(200, [])
        sink.write(b"three")
        sink.finish()
        sink.abort(b"four")
        self.assertEqual(self.client.answer().body, b"one")
        self.assertFalse(self.client.disconnecting)


class StreamTests(SinkTestCase):
    def test_a_stream_is_chunked_and_ends_validly(self) -> None:
        sink = self.stream()
        sink.write(b"data: 1\n\n")
        sink.write(b"")
        sink.write(b"data: 2\n\n")
        sink.finish()
        self.assertTrue(
            self.client.value().endswith(
                b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"
            )
        )
        self.assertFalse(self.client.disconnecting)

    def test_a_connection_goes_on_after_a_stream(self) -> None:
        self.stream().finish()
        self.client.answers()
        self.assertEqual(self.client.get("/healthz").status, 200)

    def test_to_http_1_0_a_stream_ends_with_the_connection(self) -> None:
        self.client.send(b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        sink = self.engine.sink
        sink.begin(200, SSE_HEADERS)
        sink.write(b"data: 1\n\n")
        sink.finish()
        answer = self.client.answer()
        self.assertEqual((answer.body, answer.headers["connection"]), (b"data: 1\n\n", "close"))
        self.assertTrue(self.client.disconnecting)

    def test_a_stream_that_was_begun_is_not_answered(self) -> None:
        sink = self.stream()
        sink.answer(500, [], b"no")
        sink.begin(200, [])
        sink.finish()
        self.assertEqual(self.client.answer().status, 200)


class AbortTests(SinkTestCase):
    def test_an_aborted_stream_has_its_last_words_and_no_end(self) -> None:
        sink = self.stream()
        sink.write(b"data: 1\n\n")
        sink.abort(b'data: {"error":1}\n\n')
        answer = self.client.answer()
        self.assertEqual(answer.body, b'data: 1\n\ndata: {"error":1}\n\n')
        self.assertFalse(answer.complete)
        self.assertTrue(self.client.disconnecting)
        self.assertFalse(self.client.disconnected, "what was written may still be sent")

    def test_an_aborted_stream_without_a_length_is_reset(self) -> None:
        self.client.send(b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        self.engine.sink.begin(200, SSE_HEADERS)
        self.engine.sink.abort(b"data: no\n\n")
        self.assertTrue(self.client.disconnected)

    def test_aborted_before_it_began_an_answer_is_nothing(self) -> None:
        self.ask().abort(b"words")
        self.assertEqual(self.client.value(), b"")
        self.assertTrue(self.client.disconnecting)

    def test_whoever_aborts_is_not_told_that_the_client_is_gone(self) -> None:
        self.stream().abort()
        self.client.close()
        self.assertEqual(self.told, [])


class SlowClientTests(SinkTestCase):
    def test_a_slow_client_is_told_once_and_once_again_when_it_reads_on(self) -> None:
        sink = self.stream()
        self.client.stop_reading()
        self.client.stop_reading()
        self.assertTrue(sink.paused)
        self.client.read_on()
        self.assertFalse(sink.paused)
        self.assertEqual(self.told, ["pause", "resume"])

    def test_a_client_that_was_slow_before_the_stream_began_is_told_of(self) -> None:
        sink = self.ask()
        self.client.stop_reading()
        self.assertEqual(self.told, [])
        sink.begin(200, [])
        self.assertEqual(self.told, ["pause"])
        self.assertTrue(sink.paused)

    def test_a_client_that_does_not_read_for_too_long_is_cut(self) -> None:
        sink = self.stream()
        self.client.stop_reading()
        self.clock.advance(1)
        self.client.stop_reading()  # the transport says so at every write, which is no news
        self.clock.advance(1.1)
        self.assertEqual(self.told, ["pause", "client_stalled"])
        self.assertTrue(self.client.disconnected)
        self.assertTrue(sink.closed)
        self.client.close()
        self.assertEqual(self.told, ["pause", "client_stalled"])

    def test_a_client_that_reads_now_and_then_is_kept(self) -> None:
        self.stream()
        for _ in range(10):
            self.client.stop_reading()
            self.clock.advance(1)
            self.client.read_on()
            self.clock.advance(1)
        self.assertFalse(self.client.disconnected)

    def test_slowness_after_the_end_is_nobodys_business(self) -> None:
        self.stream().finish()
        self.client.stop_reading()
        self.assertEqual(self.told, [])

    def test_the_next_request_of_a_client_that_does_not_read_has_no_more_time(self) -> None:
        sink = self.stream()
        self.client.send(ask())
        self.client.stop_reading()
        sink.finish()
        self.assertEqual(len(self.engine.asked), 2)
        self.clock.advance(2.1)
        self.assertEqual(self.told, ["client_stalled"])


class GoneClientTests(SinkTestCase):
    def test_a_client_that_goes_away_is_told_of_once(self) -> None:
        sink = self.stream()
        self.client.close()
        self.assertEqual(self.told, ["client_gone"])
        self.assertTrue(sink.closed)

    def test_nothing_is_written_to_a_client_that_is_gone(self) -> None:
        sink = self.stream()
        self.client.close()
        self.client.clear()
        sink.write(b"x")
        sink.finish()
        sink.abort(b"y")
        self.assertEqual(self.client.value(), b"")

    def test_a_client_gone_before_the_answer_is_told_of(self) -> None:
        sink = self.ask()
        self.client.close()
        self.assertEqual(self.told, ["client_gone"])
        sink.answer(200, [], b"late")
        self.assertFalse(sink.begun)

    def test_who_asks_late_is_told_at_once(self) -> None:
        sink = self.ask()
        self.client.close()
        late = FakeFlow()
        sink.attach(late)
        self.assertEqual(late.told, ["client_gone"])

    def test_the_end_of_a_connection_after_an_answer_is_no_news(self) -> None:
        self.ask().answer(200, [], b"")
        self.client.close()
        self.assertEqual(self.told, [])

    def test_a_pipelined_request_dies_unheard_with_its_connection(self) -> None:
        self.client.send(ask() + ask())
        self.client.close()
        self.assertEqual(len(self.engine.asked), 1)


class FailureTests(SinkTestCase):
    def test_a_handler_that_fails_is_a_500_with_an_id_that_the_log_has_too(self) -> None:
        self.engine.trouble = RuntimeError("secret detail")
        self.client.send(ask(b"{}", "X-Request-ID: find-me"))
        answer = self.client.answer()
        self.assertEqual(answer.status, 500)
        self.assertIn("find-me", answer.message)
        self.assertNotIn("secret detail", answer.message)
        self.assertEqual(answer.headers["x-request-id"], "find-me")
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(failure.getErrorMessage(), "secret detail")

    def test_a_handler_that_fails_in_a_stream_breaks_it(self) -> None:
        def begin_and_fail(inbound: object, sink: Sink) -> None:
            sink.begin(200, SSE_HEADERS)
            sink.write(b"data: 1\n\n")
            raise RuntimeError("oh")

        self.engine.reply = begin_and_fail
        self.client.send(ask())
        answer = self.client.answer()
        self.assertEqual((answer.status, answer.complete), (200, False))
        self.assertTrue(self.client.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_handler_that_fails_after_its_answer_harms_nobody(self) -> None:
        def answer_and_fail(inbound: object, sink: Sink) -> None:
            sink.answer(200, [], b"fine")
            raise RuntimeError("oh")

        self.engine.reply = answer_and_fail
        self.client.send(ask() + request("GET", "/healthz"))
        self.assertEqual([answer.status for answer in read_answers(self.client.value())], [200, 200])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
