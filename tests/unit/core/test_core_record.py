"""Records: the ring keeps the newest, totals count since start."""

from typing import Any

import pytest

from lmgw.core.record import Entry, Filter, Kept, Ring, Span, Totals


def entry(id: str = "r", **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": id, "timestamp": 0.0, "client": "", "profile": "default", "profile_chain": ("default",),
        "requested_model": None, "tier": "local:fast", "backend": "ollama", "model": "m", "dialect": "openai",
        "routing_mode": "dispatch", "class_label": None, "priority": 0, "stream": False, "escalated": False,
        "overflowed": False, "attempts": (), "queue_ms": 0.0, "ttft_ms": None, "latency_ms": 100.0, "success": True,
        "status": 200, "error": None, "end_reason": "complete",
    }  # fmt: skip
    return Entry(**(fields | changes))


def kept(entry: Entry, body: bytes | None = None) -> Kept:
    return entry, body, 100.0, [("auth", "", 100.0, 100.25), ("attempt", "fast", 100.25, 101.0000019)]


def ids(ring: Ring) -> list[str]:
    return [e.id for e in ring]


def test_the_ring_keeps_the_newest_and_lists_them_first():
    ring = Ring(2)
    ring.add(kept(entry(id)) for id in "abc")
    assert ids(ring) == ["c", "b"]


def test_a_resized_ring_keeps_what_fits():
    ring = Ring(3)
    ring.add(kept(entry(id)) for id in "abc")
    assert ids(ring.resized(2)) == ["c", "b"]
    assert ids(ring.resized(9)) == ["c", "b", "a"]


def test_the_newest_of_an_id_is_found_with_its_body():
    ring = Ring(3)
    ring.add([kept(entry("a", status=500), b"old"), kept(entry("a"), b"new")])
    ring.add([kept(entry("b"))])
    found = ring.find("a")
    assert found is not None
    assert (found[0].status, found[1]) == (200, b"new")
    assert ring.find("c") is None


def test_an_entry_of_the_ring_has_its_timeline():
    ring = Ring(3)
    ring.add([kept(entry("a"))])
    timeline = (Span("auth", "", 0.0, 250.0), Span("attempt", "fast", 250.0, 1000.001))
    assert list(ring) == [entry("a", timeline=timeline)]
    assert ring.find("a") == (entry("a", timeline=timeline), None)


@pytest.mark.parametrize(
    ("wanted", "admitted"),
    [
        ({}, "abc"),
        ({"tier": "big"}, "b"),
        ({"client": "app", "success": True}, "a"),
        ({"success": False}, "bc"),
        ({"status": "5xx"}, "b"),
        ({"status": "404"}, "c"),
        ({"fault": "caller"}, "c"),
        ({"since": 20.0}, "bc"),
        ({"until": 20.0}, "ab"),
        ({"since": 15.0, "until": 25.0}, "b"),
        ({"since": 20.0, "tier": "local:fast"}, "c"),
        ({"id": "a"}, "a"),
        ({"backend": "nobody"}, ""),
    ],
)
def test_a_filter_admits_what_fits_it_wholly(wanted, admitted):
    entries = (
        entry("a", client="app", timestamp=10.0),
        entry("b", client="app", timestamp=20.0, tier="big", success=False, status=503, fault="provider"),
        entry("c", timestamp=30.0, success=False, status=404, fault="caller"),
    )
    assert "".join(each.id for each in entries if Filter(**wanted).admits(each)) == admitted


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [({}, "success"), ({"end_reason": "client_gone"}, "client_gone"), ({"fault": "policy"}, "policy")],
)
def test_an_outcome_is_of_a_closed_set(changes, outcome):
    assert entry(**changes).outcome == outcome


def test_totals_count_since_start_and_name_nothing():
    totals = Totals()
    totals.add([entry(success=n != 0, escalated=n == 1, latency_ms=100.0 * n) for n in range(4)])
    assert totals.public() == {
        "total": 4, "errors": 1, "error_rate": 0.25, "escalations": 1, "avg_latency_ms": 150.0,
    }  # fmt: skip
    assert totals.stats() == {
        "total_requests": 4, "error_count": 1, "escalation_count": 1, "avg_latency_ms": 150.0,
        "tier_counts": {"local:fast": 4},
    }  # fmt: skip


def test_totals_of_nothing_are_zero():
    assert Totals().public()["error_rate"] == 0.0
