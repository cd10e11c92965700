"""One attempt: its timers on a clock of ours, what is held while nobody reads, and every way to give up."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase
from upstream_rig import CHUNKED, OK, TIMERS, Reader, Rig, Transport, result, waiting

from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import UpstreamFailed, UpstreamTimeout
from lmgw.upstream.exchange import Exchange, Timers


class ExchangeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()

    def begun(self, first: bytes = b"", **settings: Any) -> tuple[Exchange, Transport]:
        """An exchange whose head has come, with the beginning of its chunked body."""
        exchange, head = self.rig.ask(**settings)
        transport = self.rig.accept()
        transport.protocol.dataReceived(CHUNKED + first)
        self.assertEqual(result(head).status, 200)
        return exchange, transport

    def relayed(self, **settings: Any) -> tuple[Exchange, Transport, Reader]:
        exchange, transport = self.begun(**settings)
        reader = Reader()
        exchange.relay(reader)
        return exchange, transport, reader

    def body(self, exchange: Exchange, limit: int = 1_000) -> Deferred[Any]:
        return Deferred.fromCoroutine(exchange.body(limit))

    # --- answers ---------------------------------------------------------------------------------------------

    def test_nothing_is_sent_before_the_head_is_asked_for(self) -> None:
        self.rig.exchange()
        self.assertEqual(self.rig.dialled, 0)

    def test_the_head_tells_status_and_headers_in_order(self) -> None:
        _, head = self.rig.ask()
        self.rig.accept().protocol.dataReceived(
            b"HTTP/1.1 429 X\r\nRetry-After: 3 \r\nX: a\r\nX: b\r\nContent-Length: 0\r\n\r\n"
        )
        got = result(head)
        self.assertEqual((got.status, got.reused, got.by_close), (429, False, False))
        self.assertEqual(got.headers[:3], [(b"retry-after", b"3"), (b"x", b"a"), (b"x", b"b")])
        self.assertEqual((got.get(b"x"), got.get(b"y")), (b"a", None))

    def test_a_body_that_only_the_close_ends_is_marked(self) -> None:
        exchange, head = self.rig.ask()
        transport = self.rig.accept()
        reader = Reader()
        head.addCallback(lambda head: exchange.relay(reader) or head)
        transport.protocol.dataReceived(b"HTTP/1.1 200 X\r\n\r\nhello")
        self.assertTrue(result(head).by_close)
        self.assertEqual(reader.ends, [])
        transport.lose(ConnectionDone())
        self.assertEqual(reader.ends, [None])

    def test_a_whole_answer_in_one_read_needs_no_waiting(self) -> None:
        exchange, head = self.rig.ask()
        self.rig.accept().protocol.dataReceived(OK)
        result(head)
        self.assertEqual(result(self.body(exchange)), b"hi")

    def test_a_body_is_read_to_its_end(self) -> None:
        exchange, transport = self.begun(b"2\r\nhe\r\n")
        body = self.body(exchange)
        transport.protocol.dataReceived(b"3\r\nllo\r\n")
        self.assertTrue(waiting(body))
        transport.protocol.dataReceived(b"0\r\n\r\n")
        self.assertEqual(result(body), b"hello")

    def test_a_body_over_the_limit_is_a_fault_and_breaks_the_connection(self) -> None:
        exchange, transport = self.begun(b"5\r\nhello\r\n")
        body = self.body(exchange, limit=9)
        self.assertTrue(waiting(body))
        transport.protocol.dataReceived(b"5\r\nworld\r\n")
        self.assertEqual(result(body).kind, FaultKind.PROTOCOL)
        self.assertTrue(transport.aborting)

    def test_a_whole_body_over_the_limit_is_a_fault(self) -> None:
        exchange, head = self.rig.ask()
        self.rig.accept().protocol.dataReceived(OK)
        result(head)
        self.assertIn("more than 1 bytes", result(self.body(exchange, limit=1)).detail)

    def test_a_body_that_breaks_off_is_a_fault(self) -> None:
        exchange, transport = self.begun(b"2\r\nhe\r\n")
        body = self.body(exchange)
        transport.lose(ConnectionLost())
        fault = result(body)
        self.assertEqual((fault.kind, fault.reused), (FaultKind.CLOSED, False))
        self.assertIsInstance(fault.error, UpstreamFailed)

    def test_a_fault_between_head_and_relay_is_told_to_the_reader(self) -> None:
        exchange, transport = self.begun(b"2\r\nhe\r\n")
        transport.lose(ConnectionLost())
        reader = Reader()
        exchange.relay(reader)
        self.assertEqual(reader.body, b"he")
        self.assertEqual([end.kind for end in reader.ends if end], [FaultKind.CLOSED])

    def test_an_answer_that_ends_between_head_and_relay_is_delivered_whole(self) -> None:
        exchange, head = self.rig.ask()
        self.rig.accept().protocol.dataReceived(OK)
        result(head)
        reader = Reader()
        exchange.relay(reader)
        self.assertEqual((reader.body, reader.ends), (b"hi", [None]))

    # --- back-pressure ---------------------------------------------------------------------------------------

    def test_nothing_is_read_until_somebody_takes_the_body(self) -> None:
        exchange, transport = self.begun(b"2\r\nhe\r\n")
        self.assertEqual(transport.producerState, "paused")
        reader = Reader()
        exchange.relay(reader)
        self.assertEqual((transport.producerState, reader.body), ("producing", b"he"))

    def test_a_caller_that_takes_the_body_at_once_never_pauses_the_transport(self) -> None:
        exchange, head = self.rig.ask()
        transport = self.rig.accept()
        transport.pauseProducing = lambda: self.fail("paused")
        head.addCallback(lambda _: exchange.relay(Reader()))
        transport.protocol.dataReceived(CHUNKED)

    def test_pause_and_resume_reach_the_transport(self) -> None:
        exchange, transport, _ = self.relayed()
        exchange.pause()
        self.assertEqual(transport.producerState, "paused")
        exchange.resume()
        self.assertEqual(transport.producerState, "producing")

    def test_what_was_read_already_is_held_while_paused(self) -> None:
        exchange, transport, reader = self.relayed()
        exchange.pause()
        transport.protocol.dataReceived(b"2\r\nab\r\n")  # TLS: decrypted before the pause
        transport.protocol.dataReceived(b"2\r\ncd\r\n0\r\n\r\n")
        self.assertEqual((reader.pieces, reader.ends), ([], []))
        exchange.resume()
        self.assertEqual((reader.pieces, reader.ends), ([b"abcd"], [None]))

    def test_a_connection_whose_answer_ended_while_paused_reads_again(self) -> None:
        exchange, transport, _ = self.relayed()
        exchange.pause()
        transport.protocol.dataReceived(b"0\r\n\r\n")
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(self.rig.pool.figures().idle, 1)
        exchange.pause()
        self.assertEqual(transport.producerState, "producing", "it serves somebody else now")

    def test_pausing_before_the_body_is_taken_holds_it(self) -> None:
        exchange, transport = self.begun(b"2\r\nhe\r\n")
        exchange.pause()
        reader = Reader()
        exchange.relay(reader)
        self.assertEqual((transport.producerState, reader.pieces), ("paused", []))
        exchange.resume()
        self.assertEqual((transport.producerState, reader.pieces), ("producing", [b"he"]))

    def test_pausing_before_the_head_comes_holds_the_body_and_the_transport(self) -> None:
        exchange, head = self.rig.ask()
        transport = self.rig.accept()
        reader = Reader()
        head.addCallback(lambda _: exchange.relay(reader))
        exchange.pause()
        transport.protocol.dataReceived(CHUNKED + b"2\r\nhe\r\n")
        self.assertEqual((transport.producerState, reader.pieces), ("paused", []))
        exchange.resume()
        self.assertEqual((transport.producerState, reader.pieces), ("producing", [b"he"]))

    def test_a_whole_body_can_be_paused_too(self) -> None:
        exchange, transport = self.begun()
        body = self.body(exchange)
        exchange.pause()
        self.assertEqual(transport.producerState, "paused")
        exchange.resume()
        transport.protocol.dataReceived(b"2\r\nhi\r\n0\r\n\r\n")
        self.assertEqual(result(body), b"hi")

    def test_a_reader_may_pause_from_its_own_data(self) -> None:
        exchange, transport, reader = self.relayed()
        reader.data = lambda data: (reader.pieces.append(data), exchange.pause())
        transport.protocol.dataReceived(b"2\r\nab\r\n")
        transport.protocol.dataReceived(b"2\r\ncd\r\n0\r\n\r\n")
        self.assertEqual((reader.pieces, reader.ends), ([b"ab"], []))
        exchange.resume()
        self.assertEqual(reader.pieces, [b"ab", b"cd"])
        self.assertEqual(reader.ends, [])
        exchange.resume()
        self.assertEqual(reader.ends, [None])

    # --- giving up -------------------------------------------------------------------------------------------

    def test_abort_breaks_the_connection_and_the_reader_hears_nothing(self) -> None:
        exchange, transport, reader = self.relayed()
        exchange.abort()
        exchange.abort()
        self.assertTrue(transport.aborting)
        self.rig.turn()
        self.assertEqual((reader.pieces, reader.ends), ([], []))
        self.assertEqual(self.rig.pool.figures().open, 0)

    def test_abort_works_while_paused(self) -> None:
        exchange, transport, reader = self.relayed()
        exchange.pause()
        transport.protocol.dataReceived(b"2\r\nab\r\n")
        exchange.abort()
        exchange.resume()
        self.assertTrue(transport.aborting)
        self.assertEqual((reader.pieces, reader.ends), ([], []))

    def test_a_reader_may_abort_from_its_own_data(self) -> None:
        exchange, transport, reader = self.relayed()
        reader.data = lambda data: (reader.pieces.append(data), exchange.abort())
        transport.protocol.dataReceived(b"2\r\nab\r\n2\r\ncd\r\nzz\r\n")
        self.rig.turn()
        self.assertEqual((reader.pieces, reader.ends), ([b"abcd"], []))

    def test_abort_after_the_end_leaves_the_connection_alone(self) -> None:
        exchange, transport, _ = self.relayed()
        transport.protocol.dataReceived(b"0\r\n\r\n")
        self.rig.ask()
        exchange.abort()
        self.assertFalse(transport.disconnecting)

    def test_abort_while_waiting_for_the_head_tells_it(self) -> None:
        exchange, head = self.rig.ask()
        transport = self.rig.accept()
        exchange.abort()
        self.assertEqual(result(head).kind, FaultKind.CLOSED)
        self.assertTrue(transport.aborting)

    def test_abort_before_the_head_calls_nobody(self) -> None:
        exchange = self.rig.exchange()
        exchange.abort()
        self.assertIsInstance(result(Deferred.fromCoroutine(exchange.head())), Fault)
        self.assertEqual(self.rig.dialled, 0)

    def test_cancelling_the_head_breaks_the_connection(self) -> None:
        _, head = self.rig.ask()
        transport = self.rig.accept()
        head.cancel()
        self.failureResultOf(head, CancelledError)
        self.assertTrue(transport.aborting)

    def test_cancelling_while_connecting_gives_the_connection_up(self) -> None:
        _, head = self.rig.ask()
        head.cancel()
        self.failureResultOf(head, CancelledError)
        self.assertEqual(self.rig.pool.figures().open, 0)

    def test_cancelling_the_body_breaks_the_connection(self) -> None:
        exchange, transport = self.begun()
        body = self.body(exchange)
        body.cancel()
        self.failureResultOf(body, CancelledError)
        self.assertTrue(transport.aborting)

    def test_aborting_ends_the_wait_for_the_body(self) -> None:
        exchange, _ = self.begun()
        body = self.body(exchange)
        exchange.abort()
        self.assertIsInstance(result(body), Fault)

    # --- timers ----------------------------------------------------------------------------------------------

    def expires(self, deferred: Deferred[Any], after_s: float) -> Fault:
        """The deferred gives a fault after this time and not before."""
        self.rig.reactor.advance(after_s - 0.01)
        self.assertTrue(waiting(deferred))
        self.rig.reactor.advance(0.01)
        fault = result(deferred)
        self.assertEqual(fault.kind, FaultKind.TIMEOUT)
        self.assertIsInstance(fault.error, UpstreamTimeout)
        return fault

    def test_connecting_has_its_own_time(self) -> None:
        _, head = self.rig.ask()
        fault = self.expires(head, TIMERS.connect_s)
        self.assertIn("did not accept a connection within 5,000 ms (connect_timeout_ms", fault.detail)
        self.assertEqual(fault.error.message, "the provider did not accept a connection within 5 s")
        self.assertEqual(self.rig.pool.figures().open, 0)

    def test_the_first_byte_has_its_own_time_that_begins_with_the_request(self) -> None:
        _, head = self.rig.ask()
        self.rig.reactor.advance(TIMERS.connect_s - 0.01)
        transport = self.rig.accept()
        fault = self.expires(head, TIMERS.first_byte_s)
        self.assertIn("sent no answer within 60,000 ms (timeout_ms", fault.detail)
        self.assertTrue(transport.aborting)

    def test_silence_in_a_stream_has_its_own_time(self) -> None:
        _, transport, reader = self.relayed()
        for _ in range(3):
            self.rig.reactor.advance(TIMERS.idle_s - 0.01)
            transport.protocol.dataReceived(b"1\r\nx\r\n")
        self.assertEqual(reader.ends, [])
        self.rig.reactor.advance(TIMERS.idle_s)
        (fault,) = reader.ends
        self.assertIn("sent nothing more within 30,000 ms (stream_idle_timeout_ms", fault.detail)
        self.assertTrue(transport.aborting)

    def test_silence_of_our_own_making_does_not_count(self) -> None:
        exchange, _transport, reader = self.relayed()
        exchange.pause()
        self.rig.reactor.advance(10 * TIMERS.idle_s)
        self.assertEqual(reader.ends, [])
        exchange.resume()
        self.rig.reactor.advance(TIMERS.idle_s - 0.01)
        self.assertEqual(reader.ends, [])
        self.rig.reactor.advance(0.01)
        self.assertEqual(len(reader.ends), 1)

    def test_time_before_the_body_is_taken_does_not_count(self) -> None:
        exchange, _ = self.begun()
        self.rig.reactor.advance(10 * TIMERS.idle_s)
        body = self.body(exchange)
        self.expires(body, TIMERS.idle_s)

    def test_the_whole_attempt_has_its_own_time_paused_or_not(self) -> None:
        exchange, transport, reader = self.relayed(timers=Timers(5.0, 60.0, 30.0, total_s=100.0))
        for _ in range(9):
            self.rig.reactor.advance(11.0)
            transport.protocol.dataReceived(b"1\r\nx\r\n")
        exchange.pause()
        self.rig.reactor.advance(1.0)
        self.assertTrue(transport.aborting)
        self.assertEqual(reader.ends, [])
        exchange.resume()
        self.assertIn("did not complete its answer within 100,000 ms", reader.ends[0].detail)

    def test_a_stream_that_goes_on_and_on_ends_with_the_whole(self) -> None:
        _, transport, reader = self.relayed(timers=Timers(5.0, 60.0, 30.0, total_s=100.0))
        for _ in range(9):
            self.rig.reactor.advance(11.0)
            transport.protocol.dataReceived(b"1\r\nx\r\n")
        self.assertEqual(reader.ends, [])
        self.rig.reactor.advance(1.0)
        self.assertEqual([end.kind for end in reader.ends if end], [FaultKind.TIMEOUT])

    def test_waiting_for_a_free_connection_counts_for_the_whole_only(self) -> None:
        self.rig.target = self.rig.adopt(max_connections=1)
        self.rig.ask(timers=Timers(0, 0, 0))
        self.rig.accept()
        _, head = self.rig.ask(timers=Timers(5.0, 60.0, 30.0, total_s=100.0))
        fault = self.expires(head, 100.0)
        self.assertIn("had no free connection", fault.detail)
        self.assertEqual(self.rig.pool.figures().waiting, 0)

    def test_zero_switches_a_timer_off(self) -> None:
        _, head = self.rig.ask(timers=Timers(0, 0, 0))
        self.rig.reactor.advance(10_000)
        transport = self.rig.accept()
        self.rig.reactor.advance(10_000)
        transport.protocol.dataReceived(CHUNKED)
        self.assertEqual(result(head).status, 200)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_a_finished_exchange_leaves_no_timer_behind(self) -> None:
        _, transport, reader = self.relayed(timers=Timers(5.0, 60.0, 30.0, total_s=100.0))
        transport.protocol.dataReceived(b"0\r\n\r\n")
        self.assertEqual(reader.ends, [None])
        transport.lose(ConnectionDone())
        self.rig.reactor.advance(5.0)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_a_failed_exchange_leaves_no_timer_behind(self) -> None:
        _, transport, reader = self.relayed(timers=Timers(5.0, 60.0, 30.0, total_s=100.0))
        transport.lose(ConnectionLost())
        self.assertEqual(len(reader.ends), 1)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])
