"""Token buckets: a burst of half a minute's requests, then the rate; memory is bounded."""

import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lmgw.core.bucket import Buckets, Refusal


def allowed(buckets: Buckets, times: int, now: float, rpm: int = 60) -> int:
    return sum(buckets.take("a", rpm, now) is None for _ in range(times))


@pytest.mark.parametrize(("rpm", "burst"), [(60, 30), (1, 1), (3, 2), (7, 4)])
def test_the_burst_is_half_the_limit_rounded_up(rpm, burst):
    assert allowed(Buckets(), 100, 0.0, rpm) == burst


def test_tokens_come_back_at_the_rate():
    buckets = Buckets()
    allowed(buckets, 30, 0.0)
    assert allowed(buckets, 10, 5.0) == 5


def test_a_refusal_says_when_the_next_token_comes():
    buckets = Buckets()
    allowed(buckets, 1, 0.0, rpm=2)
    assert buckets.take("a", 2, 0.0) == Refusal(limit=2, retry_after_s=30)
    assert buckets.take("a", 2, 29.9) == Refusal(limit=2, retry_after_s=1)
    assert buckets.take("a", 2, 30.0) is None


def test_zero_means_no_limit_and_nothing_is_remembered():
    buckets = Buckets()
    assert allowed(buckets, 1000, 0.0, rpm=0) == 1000
    assert len(buckets) == 0


def test_keys_do_not_share():
    buckets = Buckets()
    allowed(buckets, 30, 0.0)
    assert buckets.take("b", 60, 0.0) is None


def test_however_many_keys_come_only_so_many_are_remembered():
    buckets = Buckets(capacity=1000)
    for n in range(5000):
        buckets.take(f"10.0.{n // 256}.{n % 256}", 60, 0.0)
    assert 500 <= len(buckets) <= 1000


def test_idle_keys_are_forgotten():
    buckets = Buckets()
    for n in range(100):
        buckets.take(str(n), 60, 0.0)
    for n in range(61):
        buckets.take("busy", 600, 100.0 + n)
    assert len(buckets) == 1


def test_after_a_quiet_time_everything_is_forgotten_at_once():
    buckets = Buckets()
    for n in range(100):
        buckets.take(str(n), 60, 0.0)
    buckets.take("late", 60, 500.0)
    assert len(buckets) == 1


def test_a_bucket_that_is_not_full_again_is_remembered_across_the_generations():
    buckets = Buckets()
    buckets.take("other", 1, 0.0)
    buckets.take("slow", 1, 59.0)
    assert buckets.take("slow", 1, 61.0) == Refusal(limit=1, retry_after_s=58)
    assert buckets.take("slow", 1, 118.0) == Refusal(limit=1, retry_after_s=1)
    assert buckets.take("slow", 1, 119.0) is None


def test_a_limit_that_a_reload_raises_helps_within_one_of_its_own_intervals():
    buckets = Buckets()
    buckets.take("a", 1, 0.0)
    assert buckets.take("a", 600, 0.0) is not None
    assert buckets.take("a", 600, 0.2) is None


def test_a_hundred_thousand_addresses_take_less_than_thirty_megabytes():
    tracemalloc.start()
    buckets = Buckets()
    for n in range(100_000):
        buckets.take(f"2001:db8:{n >> 8:x}:{n & 255:x}::/64", 60, n / 1e6)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(buckets) == 100_000
    assert size < 30e6


TAKES = st.lists(st.tuples(st.floats(0, 30), st.sampled_from("ab")), max_size=150)


@given(st.integers(1, 200), TAKES)
def test_it_answers_as_if_tokens_were_counted(rpm, takes):
    """The plain token bucket, with exact arithmetic, is the oracle."""
    buckets, burst, now = Buckets(), -(-rpm // 2), 0.0
    counted: dict[str, tuple[Fraction, Fraction]] = {}
    for wait, key in takes:
        now += wait
        at = Fraction(now)
        tokens, then = counted.get(key, (Fraction(burst), at))
        tokens = min(Fraction(burst), tokens + (at - then) * rpm / 60)
        assume(not 0 < abs(tokens - 1) < Fraction(1, 1000))
        refusal = buckets.take(key, rpm, now)
        assert (refusal is None) == (tokens >= 1)
        if refusal is not None:
            assert abs(refusal.retry_after_s - max(1, (1 - tokens) * 60 / rpm)) < Fraction(1001, 1000)
        counted[key] = (tokens - (refusal is None), at)
