"""The last hour for plots: slots of ten seconds, quantiles that err a little high."""

from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.core.history import SLOTS, History, Times
from lmgw.core.record import Entry
from lmgw.core.usage import Tokens


def entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": "r", "timestamp": 0.0, "dialect": "openai", "success": True, "status": 200, "latency_ms": 100.0,
    }  # fmt: skip
    return Entry(**(fields | changes))


def test_requests_are_counted_in_slots_of_ten_seconds():
    history = History()
    for at in (1000.0, 1009.9, 1010.0, 1055.0):
        history.add([entry()], at)
    assert [(point["at"], point["requests"]) for point in history.points(0)] == [(1000, 2), (1010, 1), (1050, 1)]
    assert [point["at"] for point in history.points(1010)] == [1010, 1050]


def test_a_point_holds_faults_tokens_and_dollars():
    history = History()
    history.add([entry(tokens=Tokens(10, 5), cost_usd=0.5)], 1000.0)
    history.add([entry(fault="provider", success=False)], 1000.0)
    history.add([entry(fault="caller", success=False)], 1000.0)
    (point,) = history.points(0)
    assert point["errors"] == {"caller": 1, "policy": 0, "provider": 1, "gateway": 0}
    assert (point["output_tokens"], point["cost_usd"]) == (5, 0.5)


@pytest.mark.parametrize("value", [0.0, 0.3, 7.0, 150.0, 4321.0, 600_000.0])
def test_quantiles_are_at_most_an_eighth_too_high(value):
    history = History()
    history.add([entry(ttft_ms=value, latency_ms=value)], 1000.0)
    (point,) = history.points(0)
    for name in ("ttft_p50_ms", "ttft_p95_ms", "latency_p50_ms", "latency_p95_ms"):
        assert value - 0.1 <= point[name] <= value * 1.125 + 0.2


def test_a_quantile_is_of_all_values():
    history = History()
    for value in [10.0] * 90 + [1000.0] * 10:
        history.add([entry(ttft_ms=value)], 1000.0)
    (point,) = history.points(0)
    assert point["ttft_p50_ms"] < 12 < 1000 <= point["ttft_p95_ms"]


@given(st.lists(st.floats(0.0, 600_000.0), min_size=1, max_size=40), st.sampled_from((0.5, 0.95)))
def test_any_times_are_told_as_well_as_one(values, share):
    times = Times()
    times.new_ms += values
    exact = sorted(values)[ceil(share * len(values)) - 1]
    assert exact - 0.1 <= times.quantile(share) <= exact * 1.125 + 0.2


def test_more_times_than_are_counted_at_once_are_all_counted():
    history = History()
    for value in [10.0] * 1900 + [1000.0] * 200:
        history.add([entry(ttft_ms=value)], 1000.0)
    (point,) = history.points(0)
    assert point["requests"] == 2100
    assert point["ttft_p50_ms"] < 12 < 1000 <= point["ttft_p95_ms"]


def test_without_a_first_token_there_is_no_quantile():
    history = History()
    history.add([entry()], 1000.0)
    assert history.points(0)[0]["ttft_p95_ms"] is None


def test_an_hour_is_kept():
    history = History()
    for at in range(0, 20 * SLOTS, 10):
        history.add([entry()], float(at))
    points = history.points(0)
    assert len(points) == SLOTS
    assert points[-1]["at"] == 20 * SLOTS - 10


def test_a_clock_that_goes_back_begins_another_slot():
    history = History()
    history.add([entry()], 1000.0)
    history.add([entry()], 900.0)
    assert [point["requests"] for point in history.points(0)] == [1, 1]
