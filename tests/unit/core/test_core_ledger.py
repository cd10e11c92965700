"""The ledger: who used what, since start, today and in the last hour."""

from typing import Any

import pytest

from lmgw.core.ledger import Account, Ledger
from lmgw.core.record import Entry, Spent
from lmgw.core.usage import Tokens

HOUR, DAY = 3600.0, 86_400.0
NOON = 20_000 * DAY + 12 * HOUR


def ledger() -> Ledger:
    return Ledger(lambda moment: int(moment // DAY))


def entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": "r", "timestamp": 0.0, "dialect": "openai", "client": "app", "profile": "default", "tier": "fast",
        "backend": "up", "success": True, "status": 200, "tokens": Tokens(10, 5, 3, 2), "cost_usd": 0.5,
    }  # fmt: skip
    return Entry(**(fields | changes))


def row(rows: list[dict[str, Any]], client: str = "app", tier: str = "fast") -> dict[str, Any]:
    (found,) = [row for row in rows if (row["client"], row["tier"]) == (client, tier)]
    return found


def test_everything_is_added_up_by_client_and_tier():
    books = ledger()
    books.add([entry()], NOON)
    books.add([entry(dialect="anthropic", profile="other")], NOON)
    books.add([entry(tier="big", status=429, tokens=Tokens(), cost_usd=None)], NOON)
    spent = books.spend(NOON)
    assert spent["last_hour"] == spent["today"]
    assert row(spent["today"]) == {
        "client": "app", "tier": "fast", "requests": 2, "limited": 0, "input": 20, "output": 10, "cache_read": 6,
        "cache_write": 4, "cost_usd": 1.0, "unpriced": 0,
    }  # fmt: skip
    assert row(spent["today"], tier="big")["limited"] == 1
    assert row(spent["today"], tier="big")["unpriced"] == 0


def test_a_tier_without_prices_is_counted_as_such():
    books = ledger()
    books.add([entry(cost_usd=None)], NOON)
    assert row(books.spend(NOON)["today"])["unpriced"] == 1


def test_the_most_expensive_comes_first():
    books = ledger()
    books.add([entry(client="cheap")], NOON)
    books.add([entry(client="dear", cost_usd=9.0)], NOON)
    assert [row["client"] for row in books.spend(NOON)["today"]] == ["dear", "cheap"]


def test_looking_often_changes_no_figure():
    books = ledger()
    for minute in range(3):
        books.add([entry()], NOON + 60 * minute)
        for _ in range(2):
            assert row(books.spend(NOON + 60 * minute)["last_hour"])["requests"] == minute + 1
    assert books.spend(NOON + 62 * 60)["last_hour"] == []


def test_an_hour_later_it_counts_for_the_day_only():
    books = ledger()
    books.add([entry()], NOON)
    assert books.spend(NOON + HOUR - 60)["last_hour"]
    assert books.spend(NOON + HOUR)["last_hour"] == []
    assert row(books.spend(NOON + HOUR)["today"])["requests"] == 1


def test_a_new_day_begins_with_nothing_and_the_sums_since_start_stay():
    books = ledger()
    books.add([entry()], NOON)
    books.add([entry()], NOON + DAY)
    assert row(books.spend(NOON + DAY)["today"])["requests"] == 1
    account = Account("app", "default", "fast", "up", "openai", "success", "measured")
    assert books.lifetime()[account].requests == 2


def test_what_was_used_before_midnight_is_not_todays():
    books = ledger()
    midnight = 20_001 * DAY
    books.add([entry()], midnight - 1)
    spent = books.spend(midnight + 1)
    assert spent["today"] == []
    assert row(spent["last_hour"])["requests"] == 1


def test_an_answer_that_was_not_used_is_its_own_tiers_spending():
    books = ledger()
    waste = Spent("small", "up", Tokens(100, 50), 0.2)
    books.add([entry(cost_usd=0.7, discarded=(waste,))], NOON)
    rows = books.spend(NOON)["today"]
    assert row(rows)["cost_usd"] == pytest.approx(0.5)
    small = row(rows, tier="small")
    assert (small["requests"], small["input"], small["output"], small["cost_usd"]) == (0, 100, 50, 0.2)


def test_what_a_classifier_said_is_its_own_tiers_spending():
    books = ledger()
    books.add([entry(cost_usd=0.51, classifying=(Spent("label", "up", Tokens(90, 1), 0.01),))], NOON)
    rows = books.spend(NOON)["today"]
    assert row(rows)["cost_usd"] == pytest.approx(0.5)
    label = row(rows, tier="label")
    assert (label["requests"], label["input"], label["output"], label["cost_usd"]) == (0, 90, 1, 0.01)


def test_nobody_pays_for_who_does_not_ask():
    assert ledger().spend(NOON) == {"last_hour": [], "today": []}
