"""Token buckets: a burst of half a minute's requests, then the rate; memory is bounded."""

import pytest

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
    assert len(buckets) == 1000


def test_idle_keys_are_forgotten():
    buckets = Buckets()
    for n in range(100):
        buckets.take(str(n), 60, 0.0)
    for n in range(60):
        buckets.take("busy", 600, 100.0 + n)
    assert len(buckets) == 1
