"""Rate limits by address: a network counts as one, and a hundred thousand of them cost little and are forgotten."""

import tracemalloc

import pytest
from twisted.trial.unittest import SynchronousTestCase

from lmgw.errors import RateLimited
from lmgw.state.limits import Limits, network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_an_ipv6_address_counts_with_its_network_and_anything_else_for_itself(peer, network):
    assert network_of(peer) == network


class AddressTests(SynchronousTestCase):
    def test_a_hundred_thousand_addresses_take_less_than_thirty_megabytes_and_idle_ones_are_forgotten(self) -> None:
        limits = Limits()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for n in range(100_000):
            limits.address(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 60, n / 1e4)
        size, _ = tracemalloc.get_traced_memory()
        self.assertLess(size, 30e6)
        limits.address("192.0.2.1", 60, 500.0)
        size, _ = tracemalloc.get_traced_memory()
        self.assertLess(size, 1e6)

    def test_a_flood_of_addresses_makes_nobody_forget_who_has_used_up_his_limit_a_moment_ago(self) -> None:
        limits = Limits()
        limits.address("192.0.2.1", 1, 0.0)
        for n in range(90_000):
            limits.address(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 1, 1.0)
        with self.assertRaises(RateLimited):
            limits.address("192.0.2.1", 1, 2.0)
