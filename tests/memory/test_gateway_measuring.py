"""Counting tokens: in slices, with turns of the event loop between, no further than needed."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lmgw.gateway.measuring import SLICE, measure


class MeasureTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slices: list[str] = []

    def count(self, text: str) -> int:
        self.slices.append(text)
        return len(text)

    def measure(self, *texts: str, enough: int = 10**9) -> Deferred[int]:
        return Deferred.fromCoroutine(measure(self.clock, self.count, texts, enough))

    def test_short_texts_are_counted_together_and_at_once(self) -> None:
        self.assertEqual(self.successResultOf(self.measure("one", "two", "three")), 11)
        self.assertEqual(self.slices, ["onetwothree"])

    def test_a_long_text_gives_the_reactor_a_turn_after_every_slice(self) -> None:
        result = self.measure("x" * (2 * SLICE + 1))
        self.assertEqual(len(self.slices), 1)
        self.assertNoResult(result)
        self.clock.pump([0, 0])
        self.assertEqual(self.successResultOf(result), 2 * SLICE + 1)
        self.assertEqual([len(s) for s in self.slices], [SLICE, SLICE, 1])

    def test_counting_stops_when_it_is_enough(self) -> None:
        self.assertEqual(self.successResultOf(self.measure("x" * (5 * SLICE), enough=SLICE - 1)), SLICE)
        self.assertEqual(len(self.slices), 1)

    def test_nothing_is_lost_or_counted_twice_whatever_the_sizes(self) -> None:
        texts = ["a" * (SLICE - 1), "b", "c" * SLICE, "", "d" * (SLICE + 5), "e"]
        result = self.measure(*texts)
        self.clock.pump([0] * 9)
        self.assertEqual(self.successResultOf(result), sum(map(len, texts)))
        self.assertEqual("".join(self.slices), "".join(texts))
        self.assertLessEqual(max(map(len, self.slices)), SLICE)
