"""What goes to a socket past its transport, and what must not."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lmgw import plainsocket
from lmgw.plainsocket import ONE_WRITE, Outbox, is_plain_socket, write_now


class Transport(tcp.Connection):
    """A real transport around one end of a socket pair, whose queue is only looked at."""

    def __init__(self, end: socket.socket) -> None:
        self.queued: list[bytes] = []
        super().__init__(end, None, None)  # type: ignore[arg-type]
        self.connected = True

    def write(self, data: bytes) -> None:
        self.queued.append(data)


class Sockets(SynchronousTestCase):
    """Our end of a socket pair in a transport, the other as it is."""

    def setUp(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.transport = Transport(ours)
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)

    def received(self) -> bytes:
        self.theirs.setblocking(False)
        try:
            return self.theirs.recv(100)
        except BlockingIOError:
            return b""


class WriteNowTests(Sockets):
    def test_this_twisted_has_what_it_looks_at(self) -> None:
        self.assertTrue(is_plain_socket(self.transport))

    def test_nothing_goes_past_tls(self) -> None:
        """A plain socket may be upgraded; its transport stays of the same class."""
        self.transport.TLS = True
        self.assertFalse(is_plain_socket(self.transport))

    def test_what_is_no_socket_is_left_alone(self) -> None:
        self.assertFalse(is_plain_socket(object()))

    def test_it_is_sent_at_once(self) -> None:
        write_now(self.transport, b"hello")
        self.assertEqual(self.theirs.recv(100), b"hello")
        self.assertEqual(self.transport.queued, [])

    def test_what_does_not_fit_is_queued(self) -> None:
        data = b"x" * (16 << 20)
        write_now(self.transport, data)
        sent = len(data) - sum(map(len, self.transport.queued))
        self.assertGreater(sent, 0)
        self.assertLess(sent, len(data))

    def test_nothing_overtakes_what_waits(self) -> None:
        for name, value in (("dataBuffer", b"earlier"), ("_tempDataLen", 7)):
            self.check_queued(name, value)

    def test_a_closed_half_is_not_written_to(self) -> None:
        self.check_queued("_writeDisconnected", True)

    def test_a_lost_connection_is_the_transports_to_find(self) -> None:
        self.check_queued("connected", False)
        self.theirs.close()
        write_now(self.transport, b"hello")
        write_now(self.transport, b"again")
        self.assertIn(b"again", self.transport.queued)

    def check_queued(self, name: str, value: Any) -> None:
        before = getattr(self.transport, name)
        setattr(self.transport, name, value)
        write_now(self.transport, b"late")
        self.assertEqual(self.transport.queued.pop(), b"late")
        setattr(self.transport, name, before)


class OutboxTests(Sockets):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.outbox = Outbox(self.clock)

    def turn(self, *writes: bytes) -> None:
        for data in writes:
            self.outbox.write(self.transport, data)
        self.clock.advance(0)

    def test_the_only_write_of_a_turn_is_made_at_once(self) -> None:
        for _ in range(3):
            self.outbox.write(self.transport, b"one")
            self.assertEqual(self.received(), b"one")
            self.clock.advance(0)

    def test_several_in_a_turn_are_made_together_at_its_end(self) -> None:
        self.turn(b"1", b"2")
        self.received()
        self.outbox.write(self.transport, b"3")
        self.outbox.write(self.transport, b"4")
        self.assertEqual(self.received(), b"")
        self.clock.advance(0)
        self.assertEqual(self.received(), b"34")

    def test_writes_keep_their_order_where_the_first_was_made_at_once(self) -> None:
        self.turn(b"1", b"2", b"3")
        self.assertEqual(self.received(), b"123")

    def test_after_a_turn_with_one_write_the_next_is_made_at_once_again(self) -> None:
        self.turn(b"1", b"2")
        self.turn(b"3")
        self.received()
        self.outbox.write(self.transport, b"4")
        self.assertEqual(self.received(), b"4")

    def test_a_flush_does_not_wait_for_the_end(self) -> None:
        self.turn(b"1", b"2")
        self.received()
        self.outbox.write(self.transport, b"last words")
        self.outbox.flush()
        self.assertEqual(self.received(), b"last words")
        self.clock.advance(0)
        self.assertEqual(self.received(), b"")

    def test_pieces_for_one_socket_go_out_as_one_unless_they_are_large(self) -> None:
        sent: list[int] = []
        self.patch(plainsocket, "write_now", lambda transport, data: sent.append(len(data)))
        large = b"x" * ONE_WRITE
        self.turn(b"1", b"2")
        sent.clear()
        self.turn(b"head", b"chunk", large, large)
        self.assertEqual(sent, [len(b"headchunk"), ONE_WRITE, ONE_WRITE])
