"""The alarm: late moves are free, early ones are kept, nothing stays behind."""

from math import inf

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lmgw.upstream.alarm import Alarm


class AlarmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rung: list[float] = []
        self.alarm = Alarm(self.clock, lambda: self.rung.append(self.clock.seconds()))

    def test_it_rings_once_at_its_time(self) -> None:
        self.alarm.set(3.0)
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.rung, [3.0])

    def test_a_later_time_costs_no_new_call_and_rings_then(self) -> None:
        self.alarm.set(3.0)
        (call,) = self.clock.getDelayedCalls()
        self.alarm.set(5.0)
        self.assertEqual(self.clock.getDelayedCalls(), [call])
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.rung, [5.0])

    def test_an_earlier_time_rings_then(self) -> None:
        self.alarm.set(5.0)
        self.alarm.set(2.0)
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.rung, [2.0])

    def test_never_is_never(self) -> None:
        self.alarm.set(2.0)
        self.alarm.set(0)
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.rung, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_limit_or_the_latest_time_whichever_comes_first(self) -> None:
        self.clock.advance(10.0)
        self.alarm.set(3.0, 12.0)
        self.clock.pump([1.0] * 3)
        self.alarm.set(3.0, 20.0)
        self.clock.pump([1.0] * 4)
        self.assertEqual(self.rung, [12.0, 16.0])

    def test_put_off_for_ever_it_rests(self) -> None:
        self.alarm.set(2.0)
        self.alarm.due = inf
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.rung, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_time_in_the_past_rings_in_the_next_turn(self) -> None:
        self.clock.advance(10.0)
        self.alarm.set(0, 5.0)
        self.assertEqual(self.rung, [])
        self.clock.advance(0)
        self.assertEqual(self.rung, [10.0])

    def test_it_can_be_set_again_from_its_own_ring(self) -> None:
        alarm = Alarm(self.clock, lambda: (self.rung.append(self.clock.seconds()), alarm.set(inf)))
        alarm.set(1.0)
        self.clock.pump([1.0] * 3)
        alarm.set(2.0)
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.rung, [1.0, 5.0])

    def test_stopped_it_leaves_nothing_in_the_reactor(self) -> None:
        self.alarm.set(2.0)
        self.alarm.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
