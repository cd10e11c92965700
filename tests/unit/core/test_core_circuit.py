"""Circuits open on a share of failures, let one probe through after their time, and close on its success."""

from lmgw.core.circuit import Circuit, Health

HEALTH = Health(window=10, threshold=0.7, cooldown_s=30)


def opened(now: float = 0.0) -> Circuit:
    circuit = Circuit(HEALTH)
    for _ in range(3):
        circuit.failed(now)
    return circuit


def test_one_or_two_failures_never_open_it():
    circuit = Circuit(HEALTH)
    assert [circuit.failed(0.0), circuit.failed(0.0)] == [False, False]
    assert circuit.available(0.0)


def test_three_failures_open_it_for_the_cooldown():
    circuit = opened()
    assert not circuit.available(29.9)
    assert circuit.available(30.0)


def test_it_stays_closed_below_the_threshold():
    circuit = Circuit(HEALTH)
    for _ in range(2):
        circuit.succeeded()
    for _ in range(4):
        assert circuit.failed(0.0) is False  # at most 4 of 6
    assert circuit.failed(0.0) is True  # 5 of 7 is above 0.7


def test_retry_after_is_the_least_cooldown():
    circuit = Circuit(HEALTH)
    for _ in range(3):
        circuit.failed(0.0, at_least_s=120)
    assert circuit.open_until == 120
    assert not circuit.available(119)


def test_after_the_cooldown_exactly_one_request_probes():
    circuit = opened()
    assert circuit.started(31.0) is True
    assert not circuit.available(31.0)


def test_a_good_probe_closes_it_and_forgets_the_failures():
    circuit = opened()
    circuit.started(31.0)
    circuit.succeeded()
    assert circuit.available(31.0)
    assert circuit.failed(32.0) is False


def test_a_bad_probe_reopens_it():
    circuit = opened()
    circuit.started(31.0)
    circuit.failed(31.0)
    assert not circuit.available(60.9)
    assert circuit.available(61.0)


def test_a_probe_whose_client_went_away_leaves_the_place_to_another():
    circuit = opened()
    circuit.started(31.0)
    circuit.abandoned()
    assert circuit.available(31.0)


def test_a_refused_key_opens_it_at_once():
    circuit = Circuit(HEALTH)
    circuit.trip(0.0, reason="key refused")
    assert not circuit.available(1.0)
    assert circuit.reason == "key refused"


def test_window_zero_never_opens():
    circuit = Circuit(Health(window=0))
    for _ in range(9):
        circuit.failed(0.0)
    circuit.trip(0.0, reason="key refused")
    assert circuit.available(0.0)


def test_a_reload_keeps_what_is_known():
    circuit = opened()
    circuit.configure(Health(window=5, threshold=0.5, cooldown_s=1))
    assert not circuit.available(1.0)
    circuit.configure(Health(window=0))
    assert circuit.available(1.0)


def test_it_is_steady_once_its_window_holds_only_successes():
    circuit = Circuit(Health(window=3, threshold=0.6))
    told = []
    for _ in range(3):
        circuit.succeeded()
        told.append(circuit.steady)
    assert told == [False, False, True]
    circuit.failed(0.0)
    told = []
    for _ in range(3):
        circuit.succeeded()
        told.append(circuit.steady)
    assert told == [False, False, True]


def test_a_larger_window_or_a_refused_key_ends_the_steadiness():
    circuit = Circuit(Health(window=3))
    for _ in range(9):
        circuit.succeeded()
    circuit.configure(Health(window=10))
    circuit.succeeded()
    assert not circuit.steady
    for _ in range(9):
        circuit.succeeded()
    assert circuit.steady
    circuit.trip(0.0, reason="key refused")
    assert not circuit.steady
    circuit.succeeded()
    assert not circuit.is_open
    assert not circuit.steady
