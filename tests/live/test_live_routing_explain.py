"""What a plan decides stands in the record, in the headers, and in what ``/admin/explain`` says beforehand."""

import json

import msgspec
import pytest
import pytest_twisted
from canary import CANARY
from routing_rig import asking, fails, house, ladder, says

from lmgw.gateway.explaining import Circumstances, explained

NAMES = ("down", "keyless", "tight", "one", "two")
CONFIG = ladder(
    *NAMES,
    tight="max_context_tokens = 300",
    more="""
[profiles.default]
mode = "escalate"
classifier = "tier:down"

[profiles.sorted]
mode = "classify"
classifier = "tier:two"
rules = [{ when = { class = "hard" }, route_to = "default" }, { when = { class = "odd" }, route_to = "tier:tight" }]
""",
).replace(
    '[backends.keyless]\nbase_url = "{keyless}"\napi_key_env = "UP_KEY"',
    '[backends.keyless]\nbase_url = "{keyless}"\napi_key_env = "NO_KEY"',
)
LONG = "many words of text " * 100


def explaining(folder):
    text = CONFIG.replace("[backends.down]", "[gateway]\nhealth_cooldown_ms = 60000\n[backends.down]")
    return house(folder, text, *NAMES, environ={"UP_KEY": CANARY})


async def plan_for(at, body, label=None):
    plan = await explained(at.gateway.engine, json.dumps(body).encode(), Circumstances(label=label))
    return json.loads(msgspec.json.encode(plan))


async def break_down(at):
    """Open the circuit in front of the first tier."""
    for _ in range(3):
        at["down"].next(fails(500))
        await at.chat("tier:down")


@pytest.mark.parametrize(
    ("model", "label", "order"),
    [
        ("default", None, ["tier:one", "tier:two"]),
        ("sorted", "hard", ["tier:one", "tier:two"]),
        ("sorted", "two", ["tier:two"]),
        ("sorted", None, ["tier:one", "tier:two"]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_plan_is_what_happens_then_with_a_reason_for_every_tier_skipped(tmp_path, model, label, order):
    async with explaining(tmp_path) as at:
        await break_down(at)
        asked = dict(at.asked)
        plan = await plan_for(at, asking(LONG, model), label)
        assert (plan["order"], at.asked) == (order, asked)  # no model was called

        if model == "sorted":
            at["two"].next(says(label) if label else fails(500))
        at["one"].next(fails(500))
        at["two"].next(fails(500))
        answer = await at.chat(model, LONG)
        entry = at.gateway.last
        assert answer.status == 502 or answer.status == 500
        assert [attempt.tier for attempt in entry.attempts] == order
        assert answer.headers["x-lmg-profile"] == " -> ".join(entry.profile_chain)
        assert list(entry.profile_chain) == plan["profiles"]
        assert (entry.routing_mode, entry.class_label) == (plan["mode"], plan["label"])
        assert answer.headers.get("x-lmg-class") == plan["label"]
        happened = [msgspec.to_builtins(reason) for reason in entry.reasons]
        assert happened == plan["reasons"]
        for skipped in {"tier:down", "tier:keyless", "tier:tight"} if "tier:one" in order else ():
            assert skipped in {reason["tier"] for reason in happened if not reason["chosen"]}


@pytest.mark.parametrize(
    ("model", "status"), [("tier:keyless", 503), ("nobody", 404), ("tier:tight", 400), ("tier:down", 500)]
)
@pytest_twisted.ensureDeferred
async def test_a_refusal_is_explained_in_the_same_words(tmp_path, model, status):
    async with house(tmp_path, CONFIG.replace('"escalate"', '"dispatch"'), *NAMES, environ={"UP_KEY": CANARY}) as at:
        plan = await plan_for(at, asking(LONG, model))
        at["down"].next(fails(500))
        answer = await at.chat(model, LONG)
        assert answer.status == status
        if model == "tier:down":  # what a provider will answer, nobody can know
            assert (plan["error"], plan["order"]) == (None, ["tier:down"])
        else:
            assert plan["error"] == {"status": status, "message": answer.message}
            assert at.asked == {}
