from dataclasses import replace
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lmgw.config.snapshot import Config, Gateway
from lmgw.notify import Notifier
from lmgw.service import LAST_WORDS_S, GatewayService


class Reactor(Clock):
    stopped = 0

    def stop(self):
        self.stopped += 1


class Bench:
    """A service whose parts only write down what is asked of them."""

    def __init__(self, **settings):
        self.reactor = Reactor()
        self.calls = []
        self.connections = set()
        self.engine = SimpleNamespace(in_flight=0, draining=False, cut=self.cut_engine, close=self.close_engine)
        client = SimpleNamespace(
            connections=self.connections, drop_idle=self.note("drop idle"), cut=self.note("cut client port")
        )
        admin = SimpleNamespace(connections=set(), drop_idle=None, cut=self.note("cut admin port"))
        listeners = SimpleNamespace(close=lambda side: succeed(self.calls.append(f"close {side} port")))
        config = Config(gateway=replace(Gateway(), **settings))
        self.service = GatewayService(
            self.reactor,
            self.engine,
            {"client": client, "admin": admin},
            listeners,
            SimpleNamespace(config=config, reload=lambda: Deferred()),
            Notifier({}, 1),
            None,
        )

    def note(self, words):
        return lambda: self.calls.append(words)

    def cut_engine(self):
        self.calls.append("cut engine")
        self.engine.in_flight = 0

    def close_engine(self):
        return succeed(self.calls.append("close engine"))

    def stop(self):
        self.stopped = self.service.stopService()

    def signal(self):
        self.service._stop_signal()


CLOSED = ["close client port", "drop idle"]
ENDED = ["close admin port", "cut client port", "cut admin port", "close engine"]


@pytest.fixture
def bench():
    return Bench()


def test_with_nothing_to_do_it_stops_at_once_and_in_order(bench):
    bench.stop()
    assert bench.calls == CLOSED + ENDED
    assert bench.stopped.called
    assert bench.reactor.getDelayedCalls() == []


def test_it_is_draining_from_the_first_moment_and_serves_through_the_delay():
    bench = Bench(shutdown_delay_ms=5000)
    bench.stop()
    assert bench.engine.draining
    bench.reactor.pump([1.0] * 4)
    assert bench.calls == []
    bench.reactor.advance(1)
    assert bench.stopped.called


def test_it_waits_for_requests_and_then_for_their_last_bytes(bench):
    bench.engine.in_flight = 2
    bench.connections.add("reader")
    bench.stop()
    assert bench.calls == CLOSED
    bench.engine.in_flight = 0
    bench.reactor.advance(1)
    assert bench.calls == CLOSED
    bench.connections.clear()
    bench.reactor.advance(1)
    assert bench.calls == CLOSED + ENDED
    assert bench.reactor.getDelayedCalls() == []


def test_after_the_grace_it_cuts_and_leaves_time_for_the_last_words():
    bench = Bench(shutdown_grace_ms=3000)
    bench.engine.in_flight = 1
    bench.connections.add("reader")
    bench.stop()
    bench.reactor.advance(2.9)
    assert bench.calls == CLOSED
    bench.reactor.advance(0.1)
    assert bench.calls == [*CLOSED, "cut engine"]
    bench.reactor.advance(LAST_WORDS_S)
    assert bench.calls == [*CLOSED, "cut engine", *ENDED]


def test_a_client_that_never_reads_the_end_is_cut_after_the_grace():
    bench = Bench(shutdown_grace_ms=3000)
    bench.connections.add("stalled")
    bench.stop()
    bench.reactor.advance(3)
    assert bench.calls == CLOSED + ENDED


@pytest.mark.parametrize("settings", [{}, {"shutdown_delay_ms": 60000}])
def test_a_second_signal_cuts_at_once(settings):
    bench = Bench(**settings)
    bench.engine.in_flight = 1
    bench.connections.add("reader")
    bench.signal()
    assert bench.reactor.stopped == 1
    bench.stop()
    assert not bench.stopped.called
    bench.signal()
    assert bench.stopped.called
    assert bench.calls == [*CLOSED, "cut engine", *ENDED]
    assert bench.reactor.stopped == 1


def test_two_signals_before_the_loop_turns_are_a_hurry_too(bench):
    bench.engine.in_flight = 1
    bench.signal()
    bench.signal()
    bench.stop()
    assert bench.stopped.called


def test_a_stopping_gateway_reloads_nothing(bench):
    bench.engine.draining = True
    results = []
    bench.service.reload().addCallback(results.append)
    assert results[0].problems
