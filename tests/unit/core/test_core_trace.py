"""What the client can see of a route: ROUTING.md, section 7."""

from dataclasses import replace

import playbooks as p

from lmgw.core.trace import Reason


def test_every_routed_response_says_tier_model_backend_and_profile() -> None:
    book = p.Playbook(p.config(["local:fast"]), "local:fast").feed(p.text("x"))
    assert book.headers == {
        "Tier": "local:fast",
        "Model": "model-of-local:fast",
        "Backend": "local",
        "Profile": "default",
    }


def test_class_attempts_escalated_and_overflowed_are_said_only_where_they_apply() -> None:
    config = p.config(
        ["a:1", p.tier("a:2", max_concurrent=1, overflow_tier="b:3", overflow_depth=0), "b:3"],
        p.profile(mode="classify", rules=(p.rule("next", to_profile=True),)),
        p.profile("next", "escalate"),
    )
    book = p.Playbook(config, "what").feed(p.labelled("fast"), p.text("I don't know " * 10), p.DROPPED, p.OVERFLOWED)
    book.feed(p.text("x" * 200))
    assert book.headers == {
        "Tier": "b:3",
        "Model": "model-of-b:3",
        "Backend": "b",
        "Profile": "default -> next",
        "Class": "fast",
        "Attempts": "2",
        "Escalated": "true",
        "Overflowed": "true",
        "Fallback": "unknown-model",
    }


def test_an_error_before_any_tier_was_chosen_says_the_profile() -> None:
    assert p.Playbook(p.config(["a:1"]), "gpt-9").headers == {"Profile": "default"}


def test_names_that_no_header_can_carry_are_made_to_fit() -> None:
    config = p.config([p.tier("a:1", model="modèle\r\nX-Evil: 1")])
    assert p.Playbook(config, "a:1").headers["Model"] == "mod?le??X-Evil: 1"


def test_the_trace_holds_what_a_traffic_entry_needs() -> None:
    trace = p.Playbook(p.config(["a:1"]), "a:1", priority=3).feed(p.text("x")).trace
    assert (trace.requested, trace.profiles, trace.mode, trace.label) == ("a:1", ("default",), "dispatch", None)
    assert (trace.tier and trace.tier.name, trace.priority) == ("a:1", 3)
    assert (trace.escalated, trace.overflowed, trace.fallback) == (False, False, None)


def test_every_tier_chosen_or_skipped_has_a_reason() -> None:
    tiers = ["local:fast", "off:mid", "cloud:tiny", "cloud:down", "cloud:mine", "cloud:big"]
    tiers[2] = p.tier("cloud:tiny", max_context_tokens=1000)
    identity = replace(p.ANYBODY, tiers=frozenset({"local:fast", "off:mid", "cloud:tiny", "cloud:down", "cloud:big"}))
    health = p.Conditions(open={"cloud:down": 9.0}, keyless=["off"])
    prompt = p.Prompt(images=1)
    config = p.config(tiers, p.profile(mode="escalate"))
    book = p.Playbook(config, identity=identity, health=health, prompt=prompt, images=True, size=9999)
    book.feed(p.status(500))
    assert book.trace.reasons == (
        Reason("off:mid", False, "its backend's key is not set"),
        Reason("cloud:mine", False, "the caller's key may not use it"),
        Reason("local:fast", True, "the ladder starts here"),
        Reason("cloud:tiny", False, "it takes 1,000 tokens, the prompt has at least 1,650 tokens"),
        Reason("cloud:down", False, "its circuit is open after repeated failures"),
        Reason("cloud:big", True, "local:fast failed, the next tier up"),
    )


def test_a_reason_to_skip_is_said_once() -> None:
    tiers = [p.tier("a:1", failover=("b:2", "c:3", "d:4")), "b:2", "c:3", "d:4"]
    book = p.Playbook(p.config(tiers), "a:1", health=p.Conditions(open={"b:2": 9.0}))
    book.feed(p.status(503), p.status(503))
    assert [reason.tier for reason in book.trace.reasons] == ["a:1", "b:2", "c:3", "d:4"]
