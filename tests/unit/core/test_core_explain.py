"""A dry run: the plan for a request, and why, without a model."""

import playbooks as p

from lmgw.core.ask import Supposed
from lmgw.core.explain import Explanation, explain
from lmgw.core.routes import Routes

LADDER = ["local:instant", p.tier("local:fast", failover=("spare:one",)), "cloud:deep", "spare:one"]
CONFIG = p.config(
    LADDER,
    p.profile(
        "default", "classify", max_auto_tier="cloud:deep", rules=(p.rule("code", to_profile=True, **{"class": "code"}),)
    ),
    p.profile("code", "escalate", max_auto_tier="cloud:deep", system_prompt="Write code."),
    p.profile("closed", "reply", reply_message="Closed."),
)


def _explain(model: str | None = None, label: str | None = None, **how: object) -> Explanation:
    health = how.pop("health", p.Conditions())
    size = how.pop("size", 100)
    prompt = how.pop("prompt", p.HELLO)
    ask = Supposed(model, lambda: prompt, size, lambda: False, **how)
    return explain(
        Routes(how.pop("config", CONFIG)), p.ANYBODY, ask, health, 0.0, label=label, count=lambda step: 20_000
    )


def test_it_says_profile_mode_label_tier_order_and_why() -> None:
    plan = _explain(label="fast")
    assert (plan.profiles, plan.mode, plan.label) == (("default",), "classify", "fast")
    assert plan.order == ("local:fast", "spare:one", "cloud:deep")
    assert [(reason.tier, reason.why) for reason in plan.reasons] == [
        ("local:fast", 'label "fast"'),
        ("spare:one", "local:fast failed, the next of the failover list"),
        ("cloud:deep", "spare:one failed, the next tier up"),
    ]
    assert plan.question is not None
    assert plan.question.text == "hello"
    assert (plan.reply, plan.error) == (None, None)


def test_rules_prompts_and_held_tiers_are_followed() -> None:
    plan = _explain(label="class=code instant-think")
    assert (plan.profiles, plan.mode, plan.label) == (("default", "code"), "escalate", "code")
    assert plan.order == ("local:instant", "local:fast", "spare:one", "cloud:deep")
    assert plan.held == ("local:instant", "local:fast")
    assert (plan.think, plan.system) == (True, "Write code.")


def test_without_a_label_it_is_the_plan_for_a_classifier_that_gives_none() -> None:
    plan = _explain()
    assert (plan.label, plan.order[0]) == (None, "local:instant")
    assert plan.question is not None


def test_every_tier_skipped_has_a_reason() -> None:
    health = p.Conditions(open={"spare:one": 9.0}, keyless=["cloud"])
    plan = _explain("local:fast", health=health)
    assert plan.order == ("local:fast",)
    assert {reason.tier: reason.why for reason in plan.reasons if not reason.chosen} == {
        "spare:one": "its circuit is open after repeated failures",
        "cloud:deep": "its backend's key is not set",
    }


def test_retries_do_not_repeat_a_tier_in_the_order() -> None:
    config = p.config(["a:1"], gateway=p.Gateway(max_retries=3))
    ask = Supposed("a:1", lambda: p.HELLO, 9, lambda: False)
    plan = explain(Routes(config), p.ANYBODY, ask, p.Conditions(), 0.0, label=None, count=lambda step: 0)
    assert plan.order == ("a:1",)


def test_lines_are_passed_and_prompts_counted() -> None:
    config = p.config([p.tier("a:1", max_context_tokens=1000, max_concurrent=1)])
    ask = Supposed("a:1", lambda: p.Prompt(texts=("x" * 9000,)), 9000, lambda: False)
    plan = explain(Routes(config), p.ANYBODY, ask, p.Conditions(), 0.0, label=None, count=lambda step: 20_000)
    assert plan.order == ()
    assert plan.error is not None
    assert plan.error.status == 400
    assert "about 22,000 tokens" in plan.error.message


def test_a_fixed_reply_and_an_error_are_the_plan_too() -> None:
    assert _explain("closed").reply == "Closed."
    assert _explain("closed").order == ()
    refused = p.config(["a:1"])
    ask = Supposed("gpt-9", lambda: p.HELLO, 9, lambda: False)
    plan = explain(Routes(refused), p.ANYBODY, ask, p.Conditions(), 0.0, label=None, count=lambda step: 0)
    assert plan.error is not None
    assert plan.error.status == 404
    assert plan.profiles == ("default",)
