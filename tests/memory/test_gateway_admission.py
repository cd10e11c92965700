"""Admission: the event loop is watched while there are requests, and only then."""

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lmgw.core.pressure import BURST_S, LATEST_S
from lmgw.gateway.admission import Admission


class AdmissionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.admission = Admission(self.clock, self.clock.seconds)

    def turn(self, seconds: float = 0.0) -> None:
        """Let the loop turn once, whose work takes this long; what is scheduled meanwhile waits for the next turn."""
        due, self.clock.calls = self.clock.calls, []
        self.clock.rightNow += seconds
        for call in due:
            call.called = 1
            call.func(*call.args, **call.kw)

    def overload(self) -> None:
        for _ in range(int(BURST_S / LATEST_S)):
            self.assertTrue(self.admission.admits())
            self.turn(LATEST_S * 1.01)

    def test_nothing_is_watched_before_the_first_request_and_after_the_last(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.admission.admits())
        self.turn()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1, "the turn in which it came")
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_busy_loop_is_watched_without_requests_too(self) -> None:
        self.admission.admits()
        self.turn()
        self.turn(LATEST_S * 2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_hundred_requests_in_one_turn_are_watched_once(self) -> None:
        for _ in range(100):
            self.admission.admits()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_in_an_overloaded_loop_those_that_come_late_in_a_turn_are_turned_away_and_counted(self) -> None:
        self.overload()
        self.assertTrue(self.admission.admits())
        self.clock.rightNow += LATEST_S
        self.assertEqual([self.admission.admits() for _ in range(3)], [False] * 3)
        self.assertEqual(self.admission.turned_away, 3)

    def test_an_overload_is_told_once_a_minute(self) -> None:
        told = []
        globalLogPublisher.addObserver(told.append)
        self.addCleanup(globalLogPublisher.removeObserver, told.append)
        self.overload()
        self.clock.rightNow += LATEST_S
        for _ in range(1000):
            self.admission.admits()
        self.assertEqual([event["count"] for event in told], [1])

    def test_once_the_loop_turns_quickly_again_everybody_is_let_in(self) -> None:
        self.overload()
        self.clock.rightNow += LATEST_S
        self.assertFalse(self.admission.admits())
        for _ in range(21):
            self.turn(BURST_S / 20)
        self.assertTrue(self.admission.admits())

    def test_time_that_others_took_of_a_shared_machine_is_no_overload(self) -> None:
        self.admission = Admission(self.clock, lambda: self.clock.seconds() / 100)
        for _ in range(100):
            self.assertTrue(self.admission.admits())
            self.turn(LATEST_S * 10)
