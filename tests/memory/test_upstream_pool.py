"""The pool: reuse, the cap and its queue, idle connections, and what a new configuration changes."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase
from upstream_rig import CHUNKED, OK, TIMERS, Reader, Rig, result, waiting

from lmgw.core.steps import Fault, FaultKind
from lmgw.upstream.pool import IDLE_S, Figures


class PoolTests(SynchronousTestCase):
    def rig(self, **settings: object) -> Rig:
        rig = Rig(**settings)
        self.addCleanup(lambda: self.assertEqual(rig.dialled, 0, "a connection nobody expected"))
        return rig

    def answered(self, rig: Rig) -> object:
        """One exchange on a new connection, answered; return its transport."""
        _, head = rig.ask()
        transport = rig.accept()
        transport.protocol.dataReceived(OK)
        result(head)
        transport.clear()
        return transport

    # --- reuse -----------------------------------------------------------------------------------------------

    def test_a_second_request_uses_the_first_ones_connection(self) -> None:
        rig = self.rig()
        transport = self.answered(rig)
        _, head = rig.ask()
        self.assertTrue(transport.value().startswith(b"POST /v1/chat HTTP/1.1\r\n"))
        transport.protocol.dataReceived(OK)
        self.assertTrue(result(head).reused)

    def test_the_caller_finds_the_connection_free_when_its_answer_is_whole(self) -> None:
        rig = self.rig()
        _, head = rig.ask()
        transport = rig.accept()
        head.addCallback(lambda _: rig.ask())
        transport.clear()
        transport.protocol.dataReceived(OK)
        self.assertTrue(transport.value().startswith(b"POST "))

    def test_the_youngest_idle_connection_is_used_first(self) -> None:
        rig = self.rig()
        heads = [rig.ask()[1] for _ in range(2)]
        old, young = rig.accept(), rig.accept()
        for transport in (old, young):
            transport.protocol.dataReceived(OK)
            transport.clear()
        self.assertEqual([result(head).reused for head in heads], [False, False])
        rig.ask()
        self.assertEqual((bool(old.value()), bool(young.value())), (False, True))

    def test_a_request_never_waits_behind_another_on_one_connection(self) -> None:
        rig = self.rig()
        rig.ask()
        transport = rig.accept()
        transport.clear()
        rig.ask()
        other = rig.accept()
        self.assertEqual(transport.value(), b"")
        self.assertTrue(other.value())

    def test_small_requests_are_one_write_without_delay(self) -> None:
        rig = self.rig()
        rig.ask(body=b"x" * 1_000)
        transport = rig.accept()
        self.assertTrue(transport.no_delay)
        self.assertTrue(transport.value().endswith(b"Content-Length: 1000\r\n\r\n" + b"x" * 1_000))

    def test_an_idle_connection_is_closed_before_the_provider_would(self) -> None:
        rig = self.rig()
        transport = self.answered(rig)
        rig.reactor.advance(IDLE_S - 0.01)
        self.assertFalse(transport.disconnecting)
        rig.reactor.advance(0.02)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(rig.pool.figures(), Figures(open=0, idle=0, waiting=0))

    def test_each_idle_connection_has_its_own_time(self) -> None:
        rig = self.rig()
        for _ in range(2):
            rig.ask()
        first, second = rig.accept(), rig.accept()
        first.protocol.dataReceived(OK)
        rig.reactor.advance(3.0)
        second.protocol.dataReceived(OK)
        rig.reactor.advance(1.0)
        self.assertEqual((first.disconnecting, second.disconnecting), (True, False))
        rig.reactor.advance(3.0)
        self.assertTrue(second.disconnecting)

    def test_use_starts_the_idle_time_anew(self) -> None:
        rig = self.rig()
        transport = self.answered(rig)
        rig.reactor.advance(3.0)
        rig.ask()
        transport.protocol.dataReceived(OK)
        rig.reactor.advance(3.0)
        self.assertFalse(transport.disconnecting)

    def test_a_connection_that_the_provider_closed_is_not_used(self) -> None:
        rig = self.rig()
        self.answered(rig).lose(ConnectionDone())
        rig.ask()
        rig.accept()

    def test_a_connection_that_will_not_say_goodbye_is_broken(self) -> None:
        rig = self.rig()
        transport = self.answered(rig)
        transport.loseConnection = lambda: None  # TLS, and a peer that does not answer the close
        rig.reactor.advance(IDLE_S)
        self.assertFalse(transport.aborting)
        rig.reactor.advance(1.0)
        self.assertTrue(transport.aborting)

    def test_a_stale_connection_is_told_from_a_bad_server(self) -> None:
        rig = self.rig()
        _fresh, fresh_head = rig.ask()
        rig.accept().lose(ConnectionDone())
        self.assertFalse(result(fresh_head).reused)
        transport = self.answered(rig)
        _, head = rig.ask()
        transport.lose(ConnectionDone())
        fault = result(head)
        self.assertEqual((fault.kind, fault.reused), (FaultKind.CLOSED, True))

    def test_one_byte_of_an_answer_and_the_connection_was_not_stale(self) -> None:
        rig = self.rig()
        transport = self.answered(rig)
        _, head = rig.ask()
        transport.protocol.dataReceived(b"H")
        transport.lose(ConnectionDone())
        self.assertFalse(result(head).reused)

    def test_a_fresh_exchange_uses_no_connection_that_is_idle(self) -> None:
        rig = self.rig()
        heads = [rig.ask()[1] for _ in range(2)]
        stale = [rig.accept(), rig.accept()]
        for transport in stale:
            transport.protocol.dataReceived(OK)
        self.assertEqual([result(head).status for head in heads], [200, 200])
        fresh = rig.client.exchange(rig.target, "/chat", (), b"{}", timers=TIMERS, fresh=True)
        Deferred.fromCoroutine(fresh.head())
        self.assertTrue(rig.accept().value())
        self.assertEqual([transport.disconnecting for transport in stale], [True, True])

    # --- the cap ---------------------------------------------------------------------------------------------

    def test_there_are_never_more_connections_than_the_cap(self) -> None:
        rig = self.rig(max_connections=2)
        heads = [rig.ask()[1] for _ in range(5)]
        transports = [rig.accept(), rig.accept()]
        self.assertEqual(rig.pool.figures(), Figures(open=2, idle=0, waiting=3))
        for turn in range(5):
            transports[turn % 2].protocol.dataReceived(OK)
        self.assertEqual([result(head).status for head in heads], [200] * 5)
        self.assertEqual(rig.pool.figures(), Figures(open=2, idle=2, waiting=0))

    def test_a_fresh_exchange_that_waits_at_the_cap_gets_a_new_connection_all_the_same(self) -> None:
        rig = self.rig(max_connections=1)
        _, head = rig.ask()
        transport = rig.accept()
        fresh = rig.client.exchange(rig.target, "/chat", (), b"{}", timers=TIMERS, fresh=True)
        fresh_head = Deferred.fromCoroutine(fresh.head())
        _, next_head = rig.ask()
        transport.clear()
        transport.protocol.dataReceived(OK)
        self.assertEqual(result(head).status, 200)
        self.assertEqual((transport.disconnecting, transport.value()), (True, b""))
        rig.accept().protocol.dataReceived(OK)
        self.assertFalse(result(fresh_head).reused)
        self.assertTrue(waiting(next_head))
        rig.pool.close()

    def test_who_waits_longest_is_served_first(self) -> None:
        rig = self.rig(max_connections=1)
        heads = [rig.ask(body=b"%d" % number)[1] for number in range(3)]
        transport = rig.accept()
        for number in range(3):
            self.assertTrue(transport.sent().endswith(b"\r\n\r\n%d" % number))
            transport.protocol.dataReceived(OK)
        self.assertEqual([result(head).reused for head in heads], [False, True, True])

    def test_who_gives_up_waiting_is_passed_over(self) -> None:
        rig = self.rig(max_connections=1)
        rig.ask(body=b"first")
        impatient, head = rig.ask(body=b"second")
        cancelled = rig.ask(body=b"third")[1]
        last = rig.ask(body=b"fourth")[1]
        transport = rig.accept()
        impatient.abort()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertIsInstance(result(head), Fault)
        transport.clear()
        transport.protocol.dataReceived(OK)
        self.assertTrue(transport.sent().endswith(b"fourth"))
        self.assertTrue(waiting(last))

    def test_a_lost_connection_makes_room(self) -> None:
        rig = self.rig(max_connections=1)
        exchange, head = rig.ask()
        rig.ask()
        transport = rig.accept()
        transport.protocol.dataReceived(CHUNKED)
        result(head)
        self.assertEqual(rig.dialled, 0)
        exchange.abort()
        rig.turn()
        self.assertTrue(rig.accept().value())

    def test_a_refused_connection_makes_room(self) -> None:
        rig = self.rig(max_connections=1)
        heads = [rig.ask()[1] for _ in range(2)]
        rig.refuse()
        self.assertEqual(result(heads[0]).kind, FaultKind.CONNECT)
        rig.accept()

    def test_giving_up_while_connecting_makes_room(self) -> None:
        rig = self.rig(max_connections=1)
        impatient, _ = rig.ask()
        rig.ask()
        impatient.abort()
        rig._dialled += 1
        rig.accept()

    # --- configurations --------------------------------------------------------------------------------------

    def test_an_unchanged_backend_keeps_its_connections(self) -> None:
        rig = self.rig()
        transport = self.answered(rig)
        rig.target = rig.adopt(timeout_ms=1, headers={"X-New": "1"})
        rig.ask()
        self.assertIn(b"X-New: 1", transport.value())

    def test_a_new_cap_counts_at_once(self) -> None:
        rig = self.rig(max_connections=1)
        rig.ask()
        rig.ask()
        rig.accept()
        rig.adopt(max_connections=2)
        rig.accept()

    def test_a_removed_backends_idle_connections_are_closed(self) -> None:
        rig = self.rig()
        transport = self.answered(rig)
        rig.adopt(base_url="http://192.0.2.2")
        self.assertTrue(transport.disconnecting)

    def test_a_removed_backends_exchange_goes_on_and_then_closes_its_connection(self) -> None:
        rig = self.rig()
        exchange, head = rig.ask()
        transport = rig.accept()
        reader = Reader()
        head.addCallback(lambda _: exchange.relay(reader))
        transport.protocol.dataReceived(CHUNKED)
        rig.adopt(base_url="http://192.0.2.2")
        self.assertFalse(transport.disconnecting)
        transport.protocol.dataReceived(b"2\r\nhi\r\n0\r\n\r\n")
        self.assertEqual((reader.body, reader.ends), (b"hi", [None]))
        self.assertTrue(transport.disconnecting)

    def test_a_request_of_an_old_configuration_still_finds_its_backend(self) -> None:
        rig = self.rig()
        old = rig.target
        rig.adopt(base_url="http://192.0.2.2")
        rig.target = old
        _, head = rig.ask()
        transport = rig.accept()
        transport.protocol.dataReceived(OK)
        self.assertEqual(result(head).status, 200)
        self.assertTrue(transport.disconnecting, "and keeps nothing")

    def test_figures_name_the_configurations_backends(self) -> None:
        rig = self.rig()
        self.answered(rig)
        self.assertEqual(rig.pools.figures(), {"ollama": Figures(open=1, idle=1, waiting=0)})
        rig.adopt(name="other", base_url="http://192.0.2.2")
        self.assertEqual(rig.pools.figures(), {"other": Figures(open=0, idle=0, waiting=0)})

    def test_closing_breaks_everything_and_says_when_it_is_done(self) -> None:
        rig = self.rig(max_connections=2)
        idle = self.answered(rig)
        heads = [rig.ask()[1] for _ in range(4)]
        opening = rig.dialled
        self.assertEqual(opening, 1)
        closed = rig.pools.close()
        self.assertTrue(waiting(closed))
        rig.turn()
        self.assertTrue(idle.aborting)
        self.assertEqual([result(head).kind for head in heads], [FaultKind.CLOSED] * 4)
        self.assertIsNone(result(closed))
        rig._dialled += opening
        self.assertEqual(rig.pools.figures(), {})

    def test_closing_nothing_is_done_at_once(self) -> None:
        self.assertIsNone(result(Rig().pools.close()))
