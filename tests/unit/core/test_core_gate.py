"""The priority gate: a true maximum, priorities, turns by client, nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from lmgw.core.gate import Entry, Gate


def full(limit: int = 1) -> Gate[str]:
    gate: Gate[str] = Gate(limit)
    for n in range(limit):
        assert gate.arrive(f"running{n}", 0, "x", 1000) is Entry.RUNS
    return gate


def served(gate: Gate[str], count: int) -> list[str]:
    return [ticket for _ in range(count) for ticket in gate.leave()]


def test_the_limit_is_a_true_maximum_whatever_the_priority():
    gate = full(2)
    assert gate.arrive("urgent", 99, "a", 1000) is Entry.WAITS
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


def test_a_waiter_that_gives_up_leaves_at_once():
    gate = full()
    gate.arrive("a1", 0, "a", 1000)
    gate.arrive("b1", 0, "b", 1000)
    gate.withdraw("a1", 0, "a")
    assert gate.waiting == 1
    assert served(gate, 1) == ["b1"]


def test_a_larger_limit_admits_at_once_and_a_smaller_one_as_others_leave():
    gate = full()
    for n in range(3):
        gate.arrive(f"w{n}", 0, "a", 1000)
    assert gate.resize(3) == ["w0", "w1"]
    assert gate.resize(1) == []
    assert served(gate, 2) == []
    assert served(gate, 1) == ["w2"]


def test_positions_tell_who_is_served_before():
    gate = full()
    for ticket, priority in (("a1", 0), ("a2", 0), ("b1", 0), ("c1", 7)):
        gate.arrive(ticket, priority, ticket[0], 1000)
    assert [gate.position(t, p, t[0]) for t, p in (("c1", 7), ("a1", 0), ("b1", 0), ("a2", 0))] == [1, 2, 3, 4]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.integers(-1, 2), st.sampled_from("abc")),
        st.tuples(st.just("leave"), st.just(0), st.just("")),
        st.tuples(st.just("withdraw"), st.integers(0, 30), st.just("")),
        st.tuples(st.just("resize"), st.integers(1, 4), st.just("")),
    ),
    max_size=80,
)


@given(OPERATIONS)
def test_no_slot_is_lost_nobody_starves_and_the_order_holds(operations):
    gate: Gate[int] = Gate(2)
    running, waiting = 0, {}
    for number, (what, value, client) in enumerate(operations):
        admitted: list[int] = []
        if what == "arrive":
            entry = gate.arrive(number, value, client, 20)
            running += entry is Entry.RUNS
            if entry is Entry.WAITS:
                assert running >= gate.limit
                waiting[number] = (value, client)
        elif what == "leave" and running:
            running -= 1
            admitted = gate.leave()
        elif what == "withdraw" and waiting:
            ticket = list(waiting)[value % len(waiting)]
            gate.withdraw(ticket, *waiting.pop(ticket))
        elif what == "resize":
            admitted = gate.resize(value)
        for ticket in admitted:
            priority, owner = waiting.pop(ticket)
            assert priority == max([priority, *(p for p, _ in waiting.values())])
            assert all(ticket < other for other, place in waiting.items() if place == (priority, owner))
            running += 1
        assert gate.running == running
        assert gate.waiting == len(waiting)
        assert not waiting or running >= gate.limit
    for _ in range(running + len(waiting)):
        if gate.running:
            for ticket in gate.leave():
                del waiting[ticket]
    assert waiting == {}
    assert gate.running == 0
