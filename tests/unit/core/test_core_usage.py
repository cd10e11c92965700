"""Tokens and dollars: measured where the provider says so, estimated otherwise, never zero where unknown."""

import pytest

from lmgw.config.snapshot import Tier
from lmgw.core.usage import Tokens, cost_usd, tokens
from lmgw.wire.events import Usage
from lmgw.wire.progress import Progress


def tier(**prices: float) -> Tier:
    return Tier("t", "b", "m", **prices)


def test_the_providers_figures_are_taken():
    usage = Usage(input=10, output=5, cache_read=3, cache_write=2)
    progress = Progress(content=True, usage=usage, chars=999, finish="stop")
    assert tokens(progress, 5000) == Tokens(10, 5, 3, 2, "measured")


def test_the_output_of_an_answer_that_broke_off_is_what_came_of_it():
    started = Progress(content=True, usage=Usage(input=10, output=1, cache_read=3), chars=350)
    assert tokens(started, 5000) == Tokens(10, 100, 3, source="estimated")


@pytest.mark.parametrize("usage", [None, Usage()])
def test_without_figures_they_are_estimated_and_said_to_be(usage):
    assert tokens(Progress(content=True, usage=usage, chars=35), 70) == Tokens(20, 10, source="estimated")


def test_an_answer_that_never_came_cost_nothing():
    assert tokens(Progress(), 5000) == Tokens(source="estimated")


def test_each_disjoint_kind_has_its_price():
    priced = tier(input_price=3.0, output_price=15.0, cache_read_price=0.3, cache_write_price=3.75)
    assert cost_usd(priced, Tokens(1_000_000, 100_000, 10_000, 1_000)) == pytest.approx(3 + 1.5 + 0.003 + 0.00375)


def test_cache_prices_default_to_the_input_price():
    assert cost_usd(tier(input_price=1.0, output_price=1.0), Tokens(0, 0, 500_000, 500_000)) == pytest.approx(1.0)


def test_a_used_kind_without_a_price_makes_the_cost_unknown():
    assert cost_usd(tier(input_price=1.0), Tokens(10, 1)) is None
    assert cost_usd(tier(), Tokens()) is None
    assert cost_usd(tier(output_price=1.0), Tokens(0, 1_000_000)) == pytest.approx(1.0)
