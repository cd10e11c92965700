"""The ticker: everybody in flight is looked at now and then, and nobody costs nothing."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lmgw.gateway.ticker import Ticker


class Member:
    def __init__(self, ticker: Ticker | None = None) -> None:
        self.ticks: list[float] = []
        self._leaves = ticker

    def tick(self, now: float) -> None:
        self.ticks.append(now)
        if self._leaves is not None:
            self._leaves.remove(self)


class TickerTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ticker = Ticker(self.clock)

    def test_without_members_no_timer_runs(self) -> None:
        member = Member()
        self.ticker.add(member)
        self.ticker.remove(member)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(member.ticks, [])

    def test_every_member_is_told_the_time_once_an_interval(self) -> None:
        one, two = Member(), Member()
        self.ticker.add(one)
        self.ticker.add(two)
        self.clock.pump([1.0, 1.0])
        self.assertEqual((one.ticks, two.ticks), ([1.0, 2.0], [1.0, 2.0]))

    def test_the_interval_is_a_quarter_of_the_shortest_time_that_is_on(self) -> None:
        for times, interval_s in (((15_000, 2_000, 0), 0.5), ((0, 0), 1.0), ((4,), 0.01), ((600_000,), 1.0)):
            self.ticker.configure(*times)
            self.assertEqual(self.ticker.interval_s, interval_s)

    def test_a_shorter_interval_counts_for_those_that_are_waiting(self) -> None:
        member = Member()
        self.ticker.add(member)
        self.ticker.configure(80)
        self.clock.advance(0.02)
        self.assertEqual(member.ticks, [0.02])

    def test_members_may_leave_while_being_told(self) -> None:
        leaving, staying = Member(self.ticker), Member()
        self.ticker.add(leaving)
        self.ticker.add(staying)
        self.clock.pump([1.0, 1.0])
        self.assertEqual((leaving.ticks, staying.ticks), ([1.0], [1.0, 2.0]))

    def test_stopping_forgets_everything(self) -> None:
        self.ticker.add(Member())
        self.ticker.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
