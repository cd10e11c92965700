"""Queues: slots are taken, waited for, given back, and survive a reload."""

from twisted.trial.unittest import SynchronousTestCase

from lmgw.config.snapshot import Config, Tier
from lmgw.gateway.queues import Queues, Slot


def config(**limits: int) -> Config:
    return Config(tiers={name: Tier(name, "b", "m", max_concurrent=n, queue_id="gpu") for name, n in limits.items()})


class QueuesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.queues = Queues()
        self.queues.adopt(config(fast=1))

    def enter(self, client: str = "a", priority: int = 0) -> Slot:
        slot = self.queues.enter("gpu", priority, client, 1000)
        assert slot is not None
        return slot

    def test_a_slot_is_held_until_released_and_then_the_next_is_told(self) -> None:
        first, second = self.enter(), self.enter()
        assert second.ready is not None
        self.assertTrue(first.running)
        self.assertNoResult(second.ready)
        first.release()
        self.successResultOf(second.ready)
        self.assertTrue(second.running)

    def test_releasing_twice_frees_one_slot_only(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        first.release()
        first.release()
        self.assertTrue(second.running)
        self.assertFalse(third.running)

    def test_a_waiter_that_is_released_leaves_the_line(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        second.release()
        first.release()
        self.assertTrue(third.running)

    def test_a_full_queue_turns_away(self) -> None:
        self.enter()
        self.assertIsNone(self.queues.enter("gpu", 0, "a", 0))

    def test_the_position_counts_from_one_and_is_zero_while_running(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        self.assertEqual([first.position, second.position, third.position], [0, 1, 2])

    def test_a_reload_with_a_larger_limit_admits_those_that_wait(self) -> None:
        self.enter()
        second = self.enter()
        self.queues.adopt(config(fast=2))
        self.assertTrue(second.running)

    def test_a_reload_that_drops_the_limit_lets_everybody_run(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        self.queues.adopt(Config())
        self.assertTrue(second.running)
        self.assertTrue(third.running)
        for slot in (first, second, third):
            slot.release()

    def test_tiers_that_share_a_queue_share_the_smallest_limit(self) -> None:
        self.queues.adopt(config(fast=3, deep=2))
        self.assertEqual(self.queues.figures()["gpu"]["limit"], 2)

    def test_figures_count_running_and_waiting_by_priority(self) -> None:
        self.enter()
        self.enter(priority=5)
        self.enter(priority=5)
        self.enter(priority=-1)
        self.assertEqual(
            self.queues.figures()["gpu"],
            {"limit": 1, "running": 1, "waiting": 3, "waiting_by_priority": {"5": 2, "-1": 1}},
        )
