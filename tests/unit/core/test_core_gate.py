"""The priority gate: a true maximum, priorities, turns by client, nothing lost."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmgw.core.gate import Entry, Gate


def full(limit: int = 1) -> Gate[str]:
    gate: Gate[str] = Gate(limit)
    for n in range(limit):
        assert gate.arrive(f"running{n}", 0, "x", 1000) is Entry.RUNS
    return gate


def served(gate: Gate[str], count: int) -> list[str]:
    found = []
    for _ in range(count):
        gate.leave(1.0)
        found += gate.admit()
    return found


def test_the_limit_is_a_true_maximum_whatever_the_priority():
    gate = full(2)
    assert gate.arrive("urgent", 99, "a", 1000) is Entry.WAITS
    assert gate.admit() == []
    assert gate.running == 2


def test_the_highest_priority_goes_first():
    gate = full()
    for ticket, priority in (("low", -1), ("mid", 0), ("high", 5)):
        gate.arrive(ticket, priority, "a", 1000)
    assert served(gate, 3) == ["high", "mid", "low"]


def test_within_one_priority_the_clients_take_turns_each_in_its_own_order():
    gate = full()
    for ticket in ("a1", "a2", "a3", "b1", "c1", "c2"):
        gate.arrive(ticket, 0, ticket[0], 1000)
    assert served(gate, 6) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_with_500_of_one_client_waiting_another_gets_at_latest_the_second_slot():
    gate = full()
    for n in range(500):
        gate.arrive(f"flood{n}", 0, "flood", 1000)
    gate.arrive("single", 0, "other", 1000)
    assert "single" in served(gate, 2)


def test_deeper_than_the_limit_is_turned_away():
    gate = full()
    assert gate.arrive("first", 0, "a", 1) is Entry.WAITS
    assert gate.arrive("second", 0, "a", 1) is Entry.FULL
    assert gate.waiting == 1


def test_nobody_overtakes_those_that_are_about_to_be_called_up():
    gate = full()
    gate.arrive("first", 0, "a", 1000)
    gate.leave(1.0)
    assert not gate.is_free
    assert gate.arrive("second", 0, "b", 1000) is Entry.WAITS
    assert gate.admit() == ["first"]


def test_a_waiter_that_gives_up_leaves_at_once():
    gate = full()
    gate.arrive("a1", 0, "a", 1000)
    gate.arrive("b1", 0, "b", 1000)
    gate.withdraw("a1", 0, "a")
    assert gate.waiting == 1
    assert served(gate, 1) == ["b1"]


def test_a_larger_limit_admits_and_a_smaller_one_takes_effect_as_others_leave():
    gate = full()
    for n in range(3):
        gate.arrive(f"w{n}", 0, "a", 1000)
    gate.limit = 3
    assert gate.admit() == ["w0", "w1"]
    gate.limit = 1
    assert gate.admit() == []
    assert served(gate, 2) == []
    assert served(gate, 1) == ["w2"]


def test_positions_tell_who_is_served_before():
    gate = full()
    for ticket, priority in (("a1", 0), ("a2", 0), ("b1", 0), ("c1", 7)):
        gate.arrive(ticket, priority, ticket[0], 1000)
    assert [gate.position(t, p, t[0]) for t, p in (("c1", 7), ("a1", 0), ("b1", 0), ("a2", 0))] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("limit", "service_s", "seconds"),
    [
        (1, [], 1),
        (1, [0.01], 1),
        (1, [12.2], 13),
        (4, [12.2], 4),
        (1, [3600.0], 60),
        (math.inf, [5.0], 1),
        (1, [40.0] + [4.0] * 30, 5),
    ],
)
def test_a_refusal_says_when_a_place_is_likely_to_be_free_at_the_pace_of_late(limit, service_s, seconds):
    gate: Gate[str] = Gate(limit)
    for each in service_s:
        gate.arrive("one", 0, "a", 0)
        gate.leave(each)
    assert gate.retry_after_s == seconds


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.integers(-1, 2), st.sampled_from("abc")),
        st.tuples(st.just("leave"), st.just(0), st.just("")),
        st.tuples(st.just("withdraw"), st.integers(0, 30), st.just("")),
        st.tuples(st.just("resize"), st.integers(1, 4), st.just("")),
    ),
    max_size=120,
)


class Referee:
    """Watches a gate from outside, and knows the rules as they are written."""

    def __init__(self) -> None:
        self.gate: Gate[int] = Gate(2)
        self.running = 0
        self.waiting: dict[int, tuple[int, str]] = {}
        # who waits at the head of its own line -> the clients served before it since it came to stand there
        self.passed: dict[int, list[str]] = {}

    def heads(self) -> set[int]:
        """The first of each client at each priority."""
        first: dict[tuple[int, str], int] = {}
        for ticket, place in self.waiting.items():
            first.setdefault(place, ticket)
        return set(first.values())

    def admitted(self, tickets: list[int]) -> None:
        for ticket in tickets:
            priority, client = self.waiting.pop(ticket)
            assert priority == max([priority, *(p for p, _ in self.waiting.values())]), "a higher priority waits"
            assert all(ticket < other for other, place in self.waiting.items() if place == (priority, client)), "order"
            for other, clients in self.passed.items():
                if other in self.waiting and self.waiting[other][0] == priority:
                    assert client not in clients, f"{client} was served twice while {other} waited for its turn"
                    clients.append(client)
            self.passed.pop(ticket, None)
            self.running += 1
        heads = self.heads()
        self.passed = {ticket: self.passed.get(ticket, []) for ticket in heads}

    def agrees(self) -> None:
        assert self.gate.running == self.running
        assert self.gate.waiting == len(self.waiting)
        assert not self.waiting or self.running >= self.gate.limit, "a slot is free and somebody waits"
        assert sum(self.gate.waiting_by_priority().values()) == len(self.waiting)


@settings(max_examples=400)
@given(OPERATIONS)
def test_no_slot_is_lost_nobody_starves_and_the_order_holds(operations):
    referee = Referee()
    gate = referee.gate
    for number, (what, value, client) in enumerate(operations):
        if what == "arrive":
            free = gate.running < gate.limit
            entry = gate.arrive(number, value, client, 20)
            assert (entry is Entry.RUNS) == free
            referee.running += entry is Entry.RUNS
            if entry is Entry.WAITS:
                referee.waiting[number] = (value, client)
            else:
                assert entry is Entry.RUNS or len(referee.waiting) == 20
        elif what == "leave" and referee.running:
            referee.running -= 1
            gate.leave(1.0)
        elif what == "withdraw" and referee.waiting:
            ticket = list(referee.waiting)[value % len(referee.waiting)]
            gate.withdraw(ticket, *referee.waiting.pop(ticket))
        elif what == "resize":
            gate.limit = value
        referee.admitted(gate.admit())
        referee.agrees()
    for _ in range(len(operations) + 1):
        if referee.running:
            referee.running -= 1
            gate.leave(1.0)
            referee.admitted(gate.admit())
    assert referee.waiting == {}, "starved"
    assert gate.running == 0
