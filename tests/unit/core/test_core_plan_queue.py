"""Lines in front of tiers, and overflow: the plan's part of ROUTING.md, section 6."""

import playbooks as p

from lmgw.config.snapshot import Client
from lmgw.core.identity import Identity
from lmgw.core.steps import FaultKind, Wait

FULL = p.tier("local:fast", max_concurrent=1, queue_id="gpu", overflow_tier="cloud:big", overflow_depth=2)


def test_only_tiers_with_max_concurrent_have_a_line() -> None:
    config = p.config([p.tier("local:fast", max_concurrent=1), "cloud:big"])
    assert p.play(config, "local:fast", p.ADMITTED) == ["wait local:fast", "try local:fast"]
    assert p.play(config, "cloud:big") == ["try cloud:big"]


def test_the_line_is_the_queue_ids_and_the_priority_the_callers() -> None:
    client = Client("c", "default", default_priority=1, priority_ceiling=3)
    book = p.Playbook(
        p.config([FULL, "cloud:big"], clients=(client,)),
        "local:fast",
        identity=Identity(client, "default", None, None, "c", True),
        priority=9,
    )
    assert book.step == Wait(book.step.tier, "gpu", 3, "cloud:big", 2)
    assert book.trace.priority == 3


def test_each_retry_waits_in_line_again() -> None:
    config = p.config([p.tier("local:fast", max_concurrent=1)], gateway=p.Gateway(max_retries=1))
    said = p.play(config, "local:fast", p.ADMITTED, p.status(503), p.SLEPT, p.ADMITTED)
    assert said == ["wait local:fast", "try local:fast", "sleep 0.2", "wait local:fast", "try local:fast"]


def test_a_stale_connection_is_retried_without_losing_its_place() -> None:
    config = p.config([p.tier("local:fast", max_concurrent=1)])
    said = p.play(config, "local:fast", p.ADMITTED, p.fault(FaultKind.CLOSED, reused=True))
    assert said == ["wait local:fast", "try local:fast", "try local:fast fresh"]


def test_overflow_goes_to_the_overflow_tier_instead_of_waiting_and_is_marked() -> None:
    book = p.Playbook(p.config([FULL, "cloud:big"]), "local:fast").feed(p.OVERFLOWED, p.text("x"))
    assert book.said == ["wait local:fast", "try cloud:big", "commit"]
    assert book.headers["Overflowed"] == "true"
    assert book.headers["Tier"] == "cloud:big"


def test_an_overflow_tier_that_cannot_be_used_leaves_the_request_in_line() -> None:
    config = p.config([FULL, "cloud:big"])
    for conditions in (p.Conditions(open={"cloud:big": 9.0}), p.Conditions(keyless=["cloud"])):
        book = p.Playbook(config, "local:fast", health=conditions).feed(p.OVERFLOWED)
        assert book.said == ["wait local:fast", "wait local:fast"]
        assert book.step == Wait(book.step.tier, "gpu", 0)
        assert "Overflowed" not in book.headers


def test_a_client_does_not_overflow_to_a_tier_that_it_may_not_use() -> None:
    identity = Identity(None, "default", None, frozenset({"local:fast"}), "", False)
    assert p.play(p.config([FULL, "cloud:big"]), "local:fast", p.OVERFLOWED, identity=identity)[-1] == "wait local:fast"


def test_an_overflow_tier_may_overflow_itself() -> None:
    tiers = [
        p.tier("a:1", max_concurrent=1, overflow_tier="b:2", overflow_depth=0),
        p.tier("b:2", max_concurrent=1, overflow_tier="c:3", overflow_depth=0),
        "c:3",
    ]
    said = p.play(p.config(tiers), "a:1", p.OVERFLOWED, p.OVERFLOWED)
    assert said == ["wait a:1", "wait b:2", "try c:3"]


def test_after_a_failed_overflow_the_request_goes_where_its_own_tier_would() -> None:
    tiers = [p.replace(FULL, failover=("spare:one",)), "cloud:big", "spare:one"]
    said = p.play(p.config(tiers), "local:fast", p.OVERFLOWED, p.status(503), p.status(503))
    assert said == ["wait local:fast", "try cloud:big", "try spare:one", "wait local:fast"]


def test_after_a_failed_overflow_the_ladder_goes_on() -> None:
    tiers = [FULL, "local:big", "cloud:big"]
    said = p.play(p.config(tiers, p.profile(mode="escalate")), None, p.OVERFLOWED, p.status(503))
    assert said == ["wait local:fast", "try cloud:big", "try local:big"]


def test_an_overflowed_answer_in_escalate_mode_is_judged_unless_nothing_is_above_it() -> None:
    tiers = [p.replace(FULL, overflow_tier="local:big"), "local:big", "cloud:big"]
    assert p.play(p.config(tiers, p.profile(mode="escalate")), None, p.OVERFLOWED)[-1] == "try local:big held"


def test_the_end_of_the_requests_time_in_line_is_a_504() -> None:
    assert p.play(p.config([FULL, "cloud:big"]), "local:fast", p.fault(FaultKind.DEADLINE))[-1] == "fail 504"


def test_a_place_that_comes_too_late_is_not_taken() -> None:
    book = p.Playbook(p.config([FULL, "cloud:big"]), "local:fast", deadline=5.0)
    book.now = 5.0
    assert book.feed(p.ADMITTED).said == ["wait local:fast", "fail 504"]
