"""Context fit in the plan: ROUTING.md, section 4."""

from dataclasses import replace

import playbooks as p
import pytest

from lmgw.core.steps import Measure
from lmgw.errors import ContextTooLong

TIERS = [
    p.tier("local:fast", max_context_tokens=8_192),
    p.tier("local:long", max_context_tokens=32_768),
    p.tier("cloud:big", max_context_tokens=200_000),
]
PROMPT = p.Prompt(turns=(p.Turn("user", "hi"),), texts=("x" * 300_000,), messages=1)


def _long(tokens: int, config: object, model: str | None = None, *outcomes: object, **how: object) -> p.Playbook:
    """Play a request whose prompt comes to about ``tokens``."""
    book = p.Playbook(config, model, size=300_000, prompt=PROMPT, **how)
    for outcome in [*outcomes, None]:
        if isinstance(book.step, Measure):
            book.feed(p.measured(int(tokens / 1.1) - 4))
        if outcome is not None:
            book.feed(outcome)
    return book


def _mode(mode: str, tiers: list = TIERS, **fields: object) -> object:
    return p.config(tiers, p.profile(mode=mode, **fields))


def test_it_costs_nothing_when_no_tier_in_play_has_a_limit() -> None:
    def parsed() -> p.Prompt:
        raise AssertionError("nothing may be parsed")

    tiers = ["local:fast", p.tier("cloud:big", max_context_tokens=10)]
    assert p.play(p.config(tiers), "local:fast", size=10**8, prompt=parsed) == ["try local:fast"]


def test_only_the_unclear_middle_is_counted() -> None:
    assert p.play(p.config(TIERS), "local:fast", size=7_000) == ["try local:fast"]
    assert p.play(p.config(TIERS), "local:fast", size=300_000, prompt=PROMPT) == ["measure"]


def test_a_prompt_is_counted_once() -> None:
    book = _long(20_000, _mode("escalate"), None, p.status(500))
    assert book.said == ["measure", "try local:long held", "try cloud:big"]


def test_too_small_goes_to_the_next_tier_up_the_ladder_that_fits() -> None:
    assert _long(20_000, _mode("classify"), None, p.labelled("instant")).said[-1] == "try local:long"
    assert _long(50_000, _mode("classify"), None, p.labelled("instant")).said[-1] == "try cloud:big"
    assert _long(20_000, _mode("escalate")).said[-1] == "try local:long held"


def test_none_fits_gives_the_largest_of_the_ladder() -> None:
    config = _mode("classify", max_auto_tier="local:long")
    assert _long(90_000, config, None, p.labelled("instant")).said[-1] == "try local:long"
    shuffled = _mode("classify", [TIERS[0], TIERS[2], TIERS[1]])
    assert _long(900_000, shuffled, None, p.labelled("deep")).said[-1] == "try cloud:big"


def test_a_tier_without_a_limit_fits() -> None:
    assert _long(900_000, _mode("escalate", [TIERS[0], "cloud:any"])).said[-1] == "try cloud:any"


def test_a_rules_tier_above_the_ladder_is_kept() -> None:
    tiers = [TIERS[2], TIERS[0]]
    config = _mode("classify", tiers, max_auto_tier="cloud:big", rules=(p.rule("local:fast"),))
    assert _long(20_000, config, None, p.labelled("x")).said[-1] == "try local:fast"


def test_a_rules_tier_of_the_ladder_moves_up() -> None:
    config = _mode("classify", rules=(p.rule("local:fast"),))
    assert _long(20_000, config, None, p.labelled("x")).said[-1] == "try local:long"


def test_a_tier_that_the_caller_named_in_dispatch_mode_does_not_move_by_itself() -> None:
    error = _long(41_200, p.config(TIERS), "local:fast").error
    assert isinstance(error, ContextTooLong)
    assert (error.status, error.code) == (400, "context_length_exceeded")
    assert error.message == (
        "prompt is too long: about 41,200 tokens, local:fast takes 8,192; shorten it or name one of cloud:big"
    )


def test_the_error_says_so_where_no_tier_takes_it() -> None:
    assert _long(500_000, p.config(TIERS), "local:fast").error.message.endswith("no tier here takes it: shorten it")


def test_it_moves_up_where_the_profile_says_max_auto_tier() -> None:
    config = _mode("dispatch", max_auto_tier="cloud:big")
    assert _long(20_000, config, "local:fast").said[-1] == "try local:long"
    assert _long(50_000, config, "local:fast").said[-1] == "try cloud:big"
    assert _long(900_000, config, "local:fast").said[-1] == "try cloud:big"
    low = _mode("dispatch", max_auto_tier="local:long")
    assert _long(50_000, low, "local:fast").said[-1] == "try local:long"


def test_it_never_moves_down() -> None:
    config = _mode("dispatch", [TIERS[2], TIERS[0]], max_auto_tier="local:fast")
    assert _long(20_000, config, "local:fast").said[-1] == "try local:fast"


@pytest.mark.parametrize("mode", ["escalate", "classify"])
def test_a_named_start_of_the_ladder_never_moves_down_either(mode: str) -> None:
    config = _mode(mode, [TIERS[1], TIERS[0]])
    assert _long(90_000, config, "local:fast").said[-1] == "try local:fast"


def test_a_named_tier_above_the_ladder_does_not_move() -> None:
    config = _mode("dispatch", [TIERS[2], TIERS[0]], max_auto_tier="cloud:big")
    assert _long(20_000, config, "local:fast").said[-1] == "fail 400"


def test_it_moves_through_its_failover_list() -> None:
    tiers = [replace(TIERS[0], failover=("local:long", "cloud:big")), *TIERS[1:]]
    assert _long(50_000, p.config(tiers), "local:fast").said[-1] == "try cloud:big"
    assert _long(900_000, p.config(tiers), "local:fast").said[-1] == "fail 400"


def test_what_the_profile_gives_in_dispatch_mode_moves_up_the_ladder() -> None:
    assert _long(20_000, _mode("dispatch"), None).said[-1] == "try local:long"


def test_every_failover_target_is_checked_the_same_way() -> None:
    tiers = [p.tier("local:any", failover=("local:fast", "cloud:big")), *TIERS]
    book = _long(20_000, p.config(tiers), "local:any", p.status(503))
    assert book.said == ["try local:any", "measure", "try cloud:big"]


def test_every_overflow_target_is_checked_the_same_way() -> None:
    first = p.tier("local:any", max_concurrent=1, overflow_tier="local:fast", overflow_depth=0)
    book = _long(20_000, p.config([first, *TIERS]), "local:any", p.OVERFLOWED)
    assert book.said == ["wait local:any", "measure", "wait local:any"]
    assert "Overflowed" not in book.headers


def test_a_tier_that_fits_but_is_down_is_waited_for_not_replaced_by_one_too_small() -> None:
    book = _long(20_000, _mode("escalate"), health=p.Conditions(open={"local:long": 9.0, "cloud:big": 7.0}))
    assert book.said == ["measure", "fail 503"]
    assert ("retry-after", "7") in book.error.headers


def test_whether_to_hold_is_known_before_a_place_in_line_is_taken() -> None:
    tiers = [p.tier("local:any", max_concurrent=1), *TIERS]
    book = _long(20_000, _mode("escalate", tiers), None, p.ADMITTED)
    assert book.said == ["measure", "wait local:any", "try local:any held"]


def test_a_tier_whose_circuit_closes_meanwhile_was_weighed_before() -> None:
    tiers = [p.tier("local:any", max_concurrent=1), TIERS[2]]
    book = _long(20_000, _mode("escalate", tiers), health=p.Conditions(open={"cloud:big": 5.0}))
    book.now = 5.0
    assert book.feed(p.ADMITTED).said == ["measure", "wait local:any", "try local:any held"]


@pytest.mark.parametrize("operation", ["embeddings", "count_tokens"])
def test_where_nothing_is_generated_length_does_not_matter(operation: str) -> None:
    assert _long(900_000, p.config(TIERS), "local:fast", operation=operation).said == ["try local:fast"]


# --- the upstream's own word ---------------------------------------------------------------------------------------

TOO_LONG = p.status(400, "prompt is too long: 9001 tokens > 8192 maximum")


def test_context_length_errors_go_straight_to_the_next_larger_window() -> None:
    config = replace(_mode("classify"), gateway=p.Gateway(max_retries=2))
    assert p.play(config, None, p.labelled("instant"), TOO_LONG)[-1] == "try local:long"
    small = [TIERS[0], p.tier("local:same", max_context_tokens=8_192), TIERS[2]]
    assert p.play(_mode("classify", small), None, p.labelled("instant"), TOO_LONG)[-1] == "try cloud:big"


def test_a_named_tiers_context_length_error_goes_where_the_operator_wrote() -> None:
    assert p.play(p.config(TIERS), "local:fast", TOO_LONG)[-1] == "fail 400"
    assert p.play(_mode("dispatch", max_auto_tier="cloud:big"), "local:fast", TOO_LONG)[-1] == "try local:long"
    tiers = [replace(TIERS[0], failover=("cloud:big",)), *TIERS[1:]]
    assert p.play(p.config(tiers), "local:fast", TOO_LONG)[-1] == "try cloud:big"


def test_without_a_larger_window_the_upstreams_own_words_are_passed_on() -> None:
    book = p.Playbook(_mode("classify"), None).feed(p.labelled("deep"), TOO_LONG)
    assert (book.error.status, book.error.message) == (400, "prompt is too long: 9001 tokens > 8192 maximum")
