"""Overload told from a burst: first step by step, then in a model of an event loop, a second at a time."""

import heapq
import itertools
import math
import random
from dataclasses import dataclass, field

import pytest

from lmgw.core.pressure import BURST_S, LATEST_S, Pressure

LONG = LATEST_S * 1.1
SHORT = LATEST_S / 10


def turns(pressure: Pressure, now: float, lasting: float, seconds: float) -> float:
    """Let turns of one length go by; returns the time at which the last one began."""
    for _ in range(math.ceil(seconds / lasting)):
        now += lasting
        pressure.turned(now)
    return now


def overloaded() -> tuple[Pressure, float]:
    """A queue that has stood for long enough, and the time at which the last long turn began."""
    pressure = Pressure()
    pressure.woke(0.0)
    return pressure, turns(pressure, 0.0, LONG, BURST_S + LONG)


def test_whoever_comes_into_a_quiet_loop_is_let_in():
    pressure = Pressure()
    pressure.woke(5.0)
    assert pressure.admits(5.0 + 10)


def test_one_turn_of_any_length_is_a_burst():
    pressure = Pressure()
    pressure.woke(0.0)
    assert pressure.turned(30.0)
    assert pressure.admits(30.0)
    assert not pressure.turned(30.0 + SHORT)
    assert pressure.admits(99.0)


def test_where_turns_stay_long_those_that_have_waited_too_long_are_turned_away():
    pressure, now = overloaded()
    assert pressure.admits(now - LONG + LATEST_S - 0.001), "it has come since the last turn began, a moment ago"
    assert not pressure.admits(now - LONG + LATEST_S + 0.001)


def patience(seconds: float) -> float:
    """How long a request may have waited where turns have been long for this time."""
    pressure = Pressure()
    pressure.woke(0.0)
    now = turns(pressure, 0.0, LONG, LONG + seconds)
    return LONG + next(ms for ms in itertools.count() if not pressure.admits(now + ms / 1000)) / 1000


def test_the_longer_turns_stay_long_the_less_may_a_request_have_waited():
    allowed = [patience(share * BURST_S) for share in (0.1, 0.2, 0.4, 0.8)]
    assert allowed == sorted(allowed, reverse=True)
    assert allowed[0] > 3 * LATEST_S
    assert allowed[-1] < 1.3 * LATEST_S


def test_one_short_turn_ends_the_count():
    pressure = Pressure()
    pressure.woke(0.0)
    for _ in range(3):
        now = turns(pressure, 0.0, LONG, BURST_S / 2)
        now = turns(pressure, now, SHORT, SHORT)
    assert pressure.admits(now + 1)


def test_once_requests_are_turned_away_short_turns_alone_do_not_end_it():
    """They are short because of that; it ends when nobody had to be turned away for a while."""
    pressure, now = overloaded()
    assert not pressure.admits(now + LATEST_S)
    now = turns(pressure, now + LATEST_S, SHORT, BURST_S / 2)
    assert not pressure.admits(now + LATEST_S)
    now = turns(pressure, now + LATEST_S, SHORT, BURST_S)
    assert pressure.admits(now + LATEST_S)


def test_a_loop_that_came_to_rest_before_anybody_was_turned_away_begins_anew():
    pressure, now = overloaded()
    pressure.woke(now + 1)
    assert pressure.admits(now + 1 + LATEST_S + 0.001)


@dataclass
class Loop:
    """An event loop that serves requests: each costs time when it is read and when its answer comes."""

    scale: float = 1.0
    now: float = 0.0
    shed: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)

    READ_S, ANSWER_S, SHED_S, TURN_S, UPSTREAM_S = 200e-6, 200e-6, 60e-6, 20e-6, 1e-3

    @property
    def capacity(self) -> float:
        """Requests a second."""
        return 1 / (self.READ_S + self.ANSWER_S) / self.scale

    def run(self, arrivals: list[float], closed: int = 0, until: float = 1e9) -> None:
        """Serve requests that come at these times, and ``closed`` clients that ask again as soon as answered."""
        pressure, dice = Pressure(), random.Random(1)
        # (when, 0 = a request or 1 = an answer, when it was asked, whether the client comes back)
        events = [(at, 0, at, False) for at in arrivals] + [(0.0, 0, 0.0, True)] * closed
        heapq.heapify(events)
        watching = False
        while events and self.now < until:
            if watching and events[0][0] > self.now:  # a turn without anything to do
                watching = pressure.turned(self.now)
                self.now += self.TURN_S
                continue
            self.now = max(self.now, events[0][0])
            began, asked = self.now, False
            batch = []
            while events and events[0][0] <= began:
                batch.append(heapq.heappop(events))
            dice.shuffle(batch)
            long = pressure.turned(began) if watching else False
            for _, kind, since, again in batch:
                if kind:
                    self.now += self.ANSWER_S * self.scale
                    self.latencies.append((since, self.now - since))
                    if again:
                        heapq.heappush(events, (self.now, 0, self.now, True))
                    continue
                if not (watching or asked):
                    pressure.woke(self.now)
                asked = True
                if pressure.admits(self.now):
                    self.now += self.READ_S * self.scale
                    heapq.heappush(events, (self.now + self.UPSTREAM_S, 1, since, again))
                else:
                    self.now += self.SHED_S * self.scale
                    self.shed += 1
                    if again:
                        heapq.heappush(events, (self.now, 0, self.now, True))
            self.now += self.TURN_S
            watching = asked or long

    def p99(self, since: float = 0.0) -> float:
        """Seconds, of those that were asked from ``since`` on."""
        found = sorted(latency for at, latency in self.latencies if at >= since)
        return found[int(len(found) * 0.99)]


def poisson(rate: float, seconds: float) -> list[float]:
    dice, now, found = random.Random(2), 0.0, []
    while now < seconds:
        now += dice.expovariate(rate)
        found.append(now)
    return found


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0], ids=["a faster machine", "this machine", "one half as fast"])
def test_at_three_times_capacity_those_let_in_wait_less_than_five_times_as_long_as_at_capacity(scale):
    full, triple = Loop(scale), Loop(scale)
    full.run([], closed=64, until=10)
    triple.run(poisson(3 * triple.capacity, 20))
    assert full.shed == 0
    assert triple.shed > 0
    assert triple.p99(since=2) < 5 * full.p99()
    assert len(triple.latencies) > 0.6 * 20 * triple.capacity


def test_while_an_overload_begins_nobody_waits_for_long():
    loop = Loop()
    loop.run(poisson(3 * loop.capacity, 5))
    assert loop.shed > 0
    assert max(latency for _, latency in loop.latencies) < BURST_S


def test_nobody_is_turned_away_as_long_as_the_machine_carries_it():
    loop = Loop()
    loop.run(poisson(0.95 * loop.capacity, 20))
    assert loop.shed == 0


def test_two_hundred_that_ask_again_as_soon_as_they_are_answered_are_carried():
    loop = Loop()
    loop.run([], closed=200, until=10)
    assert loop.shed == 0


@pytest.mark.parametrize("many", [100, 1000, 5000])
def test_nobody_of_a_burst_is_turned_away(many):
    loop = Loop()
    loop.run([1.0] * many)
    assert loop.shed == 0


@pytest.mark.parametrize("many", [300, 1000])
def test_nobody_of_a_crowd_that_comes_in_as_fast_as_it_can_is_turned_away(many):
    """They come for a fifth of a second, at twice the rate that is carried."""
    loop = Loop()
    loop.run([1 + n / (2 * loop.capacity) for n in range(many)])
    assert loop.shed == 0


def test_after_the_overload_everybody_is_let_in_again():
    loop = Loop()
    calm = [7 + at for at in poisson(0.5 * loop.capacity, 5)]
    loop.run(poisson(3 * loop.capacity, 5) + calm)
    later = [latency for at, latency in loop.latencies if at >= 7]
    assert len(later) == len(calm)
    assert max(later) < 0.05
