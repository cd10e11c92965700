"""Which profile: ROUTING.md, section 1."""

from dataclasses import replace

import playbooks as p
import pytest

from lmgw.config.snapshot import Client
from lmgw.core.identity import Identity

CONFIG = p.config(
    ["local:fast", "cloud:big"],
    p.profile(),
    p.profile("team", classifier="cloud:big"),
    p.profile("auto", "escalate"),
    clients=(Client("anna", "team"),),
)
ANNA = Identity(CONFIG.clients[0], "team", frozenset({"team"}), None, "anna", True)
PUBLIC = Identity(None, "default", frozenset(), None, "public", False)


def test_the_clients_profile_is_used_where_the_request_names_none() -> None:
    book = p.Playbook(CONFIG, identity=ANNA)
    assert book.said == ["try cloud:big"]
    assert book.trace.profiles == ("team",)


@pytest.mark.parametrize("hint", ["auto", "auto:latest"])
def test_a_request_whose_model_is_a_profiles_name_uses_that_profile(hint: str) -> None:
    book = p.Playbook(CONFIG, hint)
    assert book.said == ["try local:fast held"]
    assert book.session.profile.name == "auto"


def test_the_clients_own_profile_may_be_named() -> None:
    assert p.play(CONFIG, "team", identity=ANNA) == ["try cloud:big"]


def test_a_profile_that_the_client_lists_may_be_named() -> None:
    assert p.play(CONFIG, "auto", identity=replace(ANNA, may_name=frozenset({"team", "auto"}))) == [
        "try local:fast held"
    ]
    assert p.play(CONFIG, "auto", identity=replace(ANNA, may_name=None)) == ["try local:fast held"]


def test_any_other_profile_is_a_403_naming_it() -> None:
    error = p.Playbook(CONFIG, "auto", identity=ANNA).error
    assert error.status == 403
    assert 'profile "auto"' in error.message
    assert "team" in error.message


def test_public_requests_name_no_profile() -> None:
    assert p.play(CONFIG, "default", identity=PUBLIC) == ["fail 403"]
    assert p.play(CONFIG, identity=PUBLIC) == ["try local:fast"]


def test_the_named_profiles_rate_limit_counts() -> None:
    assert p.Playbook(CONFIG, "team", identity=replace(PUBLIC, may_name=None)).session.profile.name == "team"
    assert p.Playbook(CONFIG, "nobody", identity=ANNA).session.profile.name == "team"


def test_a_client_names_only_its_tiers() -> None:
    error = p.Playbook(CONFIG, "cloud:big", identity=replace(ANNA, tiers=frozenset({"local:fast"}))).error
    assert error.status == 403
    assert error.message == 'Your key may not use the tier "cloud:big". You may use: team, local:fast.'


def test_a_client_is_routed_only_to_its_tiers() -> None:
    config = p.config(
        [p.tier("local:fast", failover=("cloud:big", "cloud:mid")), "cloud:mid", "cloud:big"],
        p.profile(mode="escalate"),
    )
    identity = replace(p.ANYBODY, tiers=frozenset({"local:fast", "cloud:mid"}))
    assert p.play(config, None, p.status(500), p.status(500), identity=identity) == [
        "try local:fast held",
        "try cloud:mid",
        "fail 500",
    ]


def test_a_client_that_may_use_no_tier_of_the_ladder_is_told_so() -> None:
    config = p.config(["local:fast", "cloud:big"], p.profile(mode="escalate", max_auto_tier="local:fast"))
    error = p.Playbook(config, identity=replace(p.ANYBODY, tiers=frozenset({"cloud:big"}))).error
    assert (error.status, 'profile "default"' in error.message) == (403, True)


def test_a_client_that_may_not_use_the_profiles_tier_is_told_so() -> None:
    assert p.play(CONFIG, "team", identity=replace(ANNA, tiers=frozenset({"local:fast"}))) == ["fail 403"]


@pytest.mark.parametrize(
    ("default", "ceiling", "asked", "effective"),
    [(0, 0, None, 0), (3, 5, None, 3), (3, 5, 9, 5), (3, 5, 0, 0), (3, 5, -2, -2), (3, 3, 4, 3)],
)
def test_priority_is_what_is_asked_or_the_default_but_never_above_the_ceiling(
    default: int, ceiling: int, asked: int | None, effective: int
) -> None:
    client = Client("c", "default", default_priority=default, priority_ceiling=ceiling)
    identity = Identity(client, "default", None, None, "c", True)
    assert p.Playbook(CONFIG, identity=identity, priority=asked).trace.priority == effective


@pytest.mark.parametrize(("asked", "effective"), [(None, 0), (5, 0), (-5, -5)])
def test_strangers_have_at_most_priority_0_where_clients_are_configured(asked: int | None, effective: int) -> None:
    assert p.Playbook(CONFIG, identity=PUBLIC, priority=asked).trace.priority == effective


def test_without_clients_anybody_may_ask_for_any_priority() -> None:
    assert p.Playbook(p.config(["a:1"]), priority=7).trace.priority == 7
