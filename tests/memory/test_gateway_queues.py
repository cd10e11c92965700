"""Queues: slots are taken, waited for, given back, and survive a reload."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lmgw.config.snapshot import Config, Tier
from lmgw.gateway.queues import Queues, Slot


def config(**limits: int) -> Config:
    return Config(tiers={name: Tier(name, "b", "m", max_concurrent=n, queue_id="gpu") for name, n in limits.items()})


class QueuesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.queues = Queues(self.clock)
        self.adopt(fast=1)

    def adopt(self, **limits: int) -> None:
        self.queues.adopt(config(**limits))
        self.clock.advance(0)

    def enter(self, client: str = "a", priority: int = 0) -> Slot:
        slot = self.queues.get("gpu").enter(priority, client, 1000)
        assert slot is not None
        return slot

    def release(self, slot: Slot) -> None:
        slot.release()
        self.clock.advance(0)

    def test_a_slot_is_held_until_released_and_then_the_next_is_told(self) -> None:
        first, second = self.enter(), self.enter()
        assert second.ready is not None
        self.assertTrue(first.running)
        self.assertNoResult(second.ready)
        self.release(first)
        self.successResultOf(second.ready)
        self.assertTrue(second.running)

    def test_releasing_twice_frees_one_slot_only(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        self.release(first)
        self.release(first)
        self.assertTrue(second.running)
        self.assertFalse(third.running)

    def test_a_waiter_that_is_released_leaves_the_line(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        self.release(second)
        self.release(first)
        self.assertTrue(third.running)

    def test_of_those_that_leave_in_one_turn_none_is_called_up(self) -> None:
        slots = [self.enter() for _ in range(500)]
        other = self.enter("b")
        for slot in slots:
            slot.release()
        self.assertEqual([slot.running for slot in slots[1:]], [False] * 499)
        self.clock.advance(0)
        self.assertTrue(other.running)

    def test_a_thousand_that_end_as_soon_as_they_begin_do_not_pile_up_on_the_stack(self) -> None:
        first = self.enter()
        for _ in range(1000):
            waiter = self.enter()
            assert waiter.ready is not None
            waiter.ready.addCallback(lambda _, waiter=waiter: waiter.release())
        first.release()
        for _ in range(1001):
            self.clock.advance(0)
        self.assertEqual(self.queues.figures()["gpu"]["waiting"], 0)

    def test_a_full_queue_turns_away_and_says_when_to_come_back(self) -> None:
        queue = self.queues.get("gpu")
        first = self.enter()
        self.assertIsNone(queue.enter(0, "a", 0))
        self.assertEqual(queue.gate.retry_after_s, 1)
        self.clock.advance(7.5)
        self.release(first)
        self.assertEqual(queue.gate.retry_after_s, 8)

    def test_the_position_counts_from_one_and_is_zero_while_running(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        self.assertEqual([first.position, second.position, third.position], [0, 1, 2])

    def test_a_reload_with_a_larger_limit_admits_those_that_wait(self) -> None:
        self.enter()
        second = self.enter()
        self.adopt(fast=2)
        self.assertTrue(second.running)

    def test_a_reload_that_drops_the_limit_lets_everybody_run(self) -> None:
        first, second, third = self.enter(), self.enter(), self.enter()
        self.adopt()
        self.assertTrue(second.running)
        self.assertTrue(third.running)
        self.assertEqual(self.queues.figures(), {})
        for slot in (first, second, third):
            slot.release()

    def test_a_limit_that_comes_back_counts_those_that_still_run(self) -> None:
        first, second = self.enter(), self.enter()
        self.adopt()
        self.adopt(fast=1)
        third = self.enter()
        self.release(first)
        self.assertFalse(third.running)
        self.release(second)
        self.assertTrue(third.running)

    def test_a_queue_that_nobody_has_a_limit_for_is_forgotten_once_it_is_empty(self) -> None:
        slot = self.enter()
        self.adopt()
        queue = self.queues.get("gpu")
        self.release(slot)
        self.adopt()
        self.assertIsNot(self.queues.get("gpu"), queue)

    def test_a_request_that_planned_with_a_limit_which_is_gone_runs_at_once(self) -> None:
        self.assertTrue(all(self.queues.get("gone").enter(0, "a", 0) for _ in range(3)))

    def test_tiers_that_share_a_queue_share_the_smallest_limit(self) -> None:
        self.adopt(fast=3, deep=2)
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


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(-1, 1), st.sampled_from("abc")),
        st.tuples(st.just("release"), st.integers(0, 50), st.just("")),
        st.tuples(st.just("cancel"), st.integers(0, 50), st.just("")),
        st.tuples(st.just("reload"), st.integers(0, 3), st.just("")),  # 0: without a limit
        st.tuples(st.just("turn"), st.just(0), st.just("")),
    ),
    max_size=100,
)


@settings(max_examples=300)
@given(MOVES)
def test_whatever_is_entered_cancelled_and_reloaded_no_slot_is_lost(moves):
    """Each slot here is used as a task does: its Deferred may be cancelled, and it is released once it is over."""
    clock = Clock()
    queues = Queues(clock)
    queues.adopt(config(fast=1))
    limit, held = 1, []
    for what, value, client in moves:
        if what == "enter":
            slot = queues.get("gpu").enter(value, client, 10)
            if slot is not None:
                if slot.ready is not None:
                    slot.ready.addErrback(lambda _: None)
                held.append(slot)
        elif what in ("release", "cancel") and held:
            slot = held.pop(value % len(held))
            if what == "cancel" and slot.ready is not None:
                slot.ready.cancel()
            slot.release()
        elif what == "reload":
            limit = value
            queues.adopt(config(fast=value))
        else:
            clock.advance(0)
            waiting = [slot for slot in held if not slot.running]
            running = len(held) - len(waiting)
            figures = queues.figures().get("gpu")
            if limit:
                assert figures == {**figures, "limit": limit, "running": running, "waiting": len(waiting)}
                assert not waiting or running >= limit
            else:
                assert (figures, waiting) == (None, [])
    for slot in held:
        slot.release()
    clock.advance(0)
    queues.adopt(config(fast=2))
    assert queues.figures()["gpu"] == {"limit": 2, "running": 0, "waiting": 0, "waiting_by_priority": {}}
