"""What a model hint means."""

from dataclasses import replace

import playbooks as p
import pytest

from lmgw.core.names import Names, forbidden, unknown_model, visible

CONFIG = p.config(
    [p.tier("local:fast", model="llama3.2"), p.tier("local:big", model="llama3.2"), p.tier("cloud:capable")],
    p.profile(),
    p.profile("auto", "escalate"),
    p.profile("local:big"),
    p.profile("claude-mine"),
    aliases={"hint:capable": "cloud:capable", "claude-*": "cloud:capable", "claude-haiku-*": "local:fast"},
)


@pytest.mark.parametrize(
    ("hint", "means"),
    [
        ("hint:capable", "cloud:capable"),  # an alias
        ("claude-opus-9", "cloud:capable"),  # an alias with *
        ("claude-haiku-9", "local:fast"),  # the longest that matches
        ("local:fast", "local:fast"),  # a tier
        ("llama3.2", "local:fast"),  # the first tier with this upstream model
        ("llama3.2:latest", "local:fast"),  # the same without :latest
        ("hint:capable:latest", "cloud:capable"),
        ("claude-haiku-9:latest", "local:fast"),
        ("auto", "auto"),  # a profile
        ("auto:latest", "auto"),
        ("default:latest", "default"),
        ("local:big", "local:big"),  # a profile may have a tier's name: the tier wins
        ("claude-mine", "claude-mine"),  # a whole name before a pattern
        ("claude-", "cloud:capable"),
        ("claude-" + "x" * 300, None),  # nobody's name is that long
        ("Local:fast", None),
        ("", None),
        ("gpt-9", None),
    ],
)
def test_a_hint_is_an_alias_a_profile_a_tier_or_an_upstream_model(hint: str, means: str | None) -> None:
    found = Names(CONFIG).find(hint)
    assert (found and found.name) == means


def test_a_tier_wins_over_a_profile_of_its_name() -> None:
    assert Names(CONFIG).find("local:big") is CONFIG.tiers["local:big"]


def test_an_exact_alias_wins_over_a_longer_pattern() -> None:
    aliases = {"claude-1": "cloud:capable", "claude-1*": "local:fast"}
    assert Names(p.config(["local:fast", "cloud:capable"], aliases=aliases)).find("claude-1").name == "cloud:capable"


def test_the_unknown_are_told_what_they_may_use() -> None:
    config = p.config(["cloud:capable"], aliases={"hint:capable": "cloud:capable"})
    error = unknown_model("llama3.2", config, p.ANYBODY)
    assert error.message == 'No model "llama3.2" here. You may use: default, hint:capable, cloud:capable.'
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")


def test_only_what_the_key_may_use_is_told() -> None:
    identity = replace(p.ANYBODY, may_name=frozenset({"auto"}), tiers=frozenset({"local:fast"}))
    assert visible(CONFIG, identity).names == ("auto", "local:fast")
    assert "cloud" not in unknown_model("x", CONFIG, identity).message
    assert "cloud" not in forbidden("profile", "default", CONFIG, identity).message


def test_the_default_profile_is_listed_first_and_patterns_are_not() -> None:
    config = p.config(["a:b"], p.profile("auto"), p.profile(), aliases={"x": "a:b", "y*": "a:b"})
    assert visible(config, p.ANYBODY) == (("default", "auto"), (("x", "a:b"),), ("a:b",))


def test_a_key_that_may_name_nothing_is_told_so() -> None:
    identity = replace(p.ANYBODY, may_name=frozenset(), tiers=frozenset({"gone"}))
    assert unknown_model("x", CONFIG, identity).message == 'No model "x" here. Leave the model out: you may name none.'


def test_long_lists_and_hostile_names_are_cut_short() -> None:
    config = p.config([f"t:{n}" for n in range(50)])
    message = unknown_model("\r\nx" * 100, config, p.ANYBODY).message
    assert "\r" not in message
    assert "\n" not in message
    assert "and 31 more" in message
    assert len(message) < 400
