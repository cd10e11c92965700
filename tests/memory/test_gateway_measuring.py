"""Counting tokens: in slices, with turns of the event loop between, no further than needed."""

import random
import sys
import time
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lmgw.core.ask import Prompt, Supposed
from lmgw.core.tokens import CalibratedEstimate
from lmgw.gateway.measuring import SLICE, counter, estimate, measure


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

    def test_an_estimate_counts_everything_whatever_the_size(self) -> None:
        """Each message costs 4 tokens, an image 1,500, and a tenth is added for what nobody can see."""
        prompt = Prompt(texts=("a" * SLICE, "b" * SLICE), messages=2, images=1)
        ask = Supposed("m", lambda: prompt, size=1, may_hold_images=lambda: True, operation="count_tokens")
        result = Deferred.fromCoroutine(estimate(self.clock, self.count, ask))
        self.clock.pump([0] * 3)
        self.assertEqual(self.successResultOf(result), -(-(2 * SLICE + 2 * 4 + 1500) * 11 // 10))


def slices() -> dict[str, str]:
    """A slice of each kind of text that takes long, by one counter or the other."""
    chance = random.Random(1)
    ranges = {"ascii": (33, 127), "chinese": (0x4E00, 0x9FFF), "rare": (0x1000, 0x2000), "emoji": (0x1F300, 0x1F650)}
    texts = {name: "".join(chr(chance.randrange(*ends)) for _ in range(SLICE)) for name, ends in ranges.items()}
    return texts | {"spaces": " " * SLICE, "one letter": "a" * SLICE, "prose": ("many words of text " * SLICE)[:SLICE]}


class CounterTest(SynchronousTestCase):
    def setUp(self) -> None:
        counter.cache_clear()
        self.addCleanup(counter.cache_clear)

    def assert_fast(self) -> None:
        """Best of five: the machine may have something else to do."""
        count = counter()
        for name, text in slices().items():
            took = []
            for _ in range(5):
                since = time.thread_time()
                count(text)
                took.append(time.thread_time() - since)
            self.assertLess(min(took), 0.002, name)

    def test_without_the_extra_it_estimates_every_slice_in_less_than_2_ms(self) -> None:
        with patch.dict(sys.modules, {"rs_bpe": None, "rs_bpe.bpe": None}):
            self.assertEqual(counter()("hello world"), CalibratedEstimate().count("hello world"))
            self.assert_fast()

    def test_with_the_extra_it_counts_every_slice_exactly_in_less_than_2_ms(self) -> None:
        self.assertEqual(counter()("hello world"), 2)
        self.assertEqual(counter()(" " * SLICE), SLICE // 128)
        self.assert_fast()
