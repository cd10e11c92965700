"""Records: the ring keeps the newest, totals count since start."""

from typing import Any

from lmgw.core.record import Entry, Ring, Totals


def entry(id: str = "r", **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": id, "timestamp": 0.0, "client": "", "profile": "default", "profile_chain": ("default",),
        "requested_model": None, "tier": "local:fast", "backend": "ollama", "model": "m", "dialect": "openai",
        "routing_mode": "dispatch", "class_label": None, "priority": 0, "stream": False, "escalated": False,
        "overflowed": False, "attempts": (), "queue_ms": 0.0, "ttft_ms": None, "latency_ms": 100.0, "success": True,
        "status": 200, "error": None, "end_reason": "complete",
    }  # fmt: skip
    return Entry(**(fields | changes))


def ids(ring: Ring) -> list[str]:
    return [e.id for e in ring]


def test_the_ring_keeps_the_newest_and_lists_them_first():
    ring = Ring(2)
    for id in "abc":
        ring.add(entry(id))
    assert ids(ring) == ["c", "b"]


def test_a_resized_ring_keeps_what_fits():
    ring = Ring(3)
    for id in "abc":
        ring.add(entry(id))
    assert ids(ring.resized(2)) == ["c", "b"]
    assert ids(ring.resized(9)) == ["c", "b", "a"]


def test_totals_count_since_start_and_name_nothing():
    totals = Totals()
    for number in range(4):
        totals.add(entry(success=number != 0, escalated=number == 1, latency_ms=100.0 * number))
    assert totals.public() == {
        "total": 4, "errors": 1, "error_rate": 0.25, "escalations": 1, "avg_latency_ms": 150.0,
    }  # fmt: skip
    assert totals.tiers == {"local:fast": 4}


def test_totals_of_nothing_are_zero():
    assert Totals().public()["error_rate"] == 0.0
