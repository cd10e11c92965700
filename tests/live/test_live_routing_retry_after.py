"""``Retry-After`` in its three forms: the least wait, the circuit's least cool-down, or the answer's own."""

from email.utils import formatdate

import pytest
import pytest_twisted
from routing_rig import fails, house, ladder, says, text_of
from twisted.internet import reactor

RETRYING = "[gateway]\nmax_retries = 1\nretry_delay_ms = 1\n"
ONE, TWO = ladder("one"), ladder("one", "two", one='failover = ["tier:two"]')
#: An hour from 2026-11-22 on, in seconds since 1970.
NOON = 1_795_348_800


def date(seconds: float) -> str:
    """An HTTP date so many seconds from noon."""
    return formatdate(NOON + seconds, usegmt=True)


#: How each form says: wait 0.08 s (a date has whole seconds: the clock stands 0.08 s before it).
FORMS = {
    "seconds": ({"retry_after": "0.08"}, 0.0),
    "milliseconds": ({"retry_after_ms": "80", "retry_after": "9"}, 0.0),
    "date": ({"retry_after": date(1)}, 0.92),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [429, 503, 529])
@pytest_twisted.ensureDeferred
async def test_it_is_the_least_wait_before_a_retry(tmp_path, form, status):
    headers, clock = FORMS[form]
    async with house(tmp_path, RETRYING + ONE, "one") as at:
        at.gateway.engine.epoch_s = lambda: NOON + clock
        asked_at = []
        at["one"].next(
            lambda connection: (asked_at.append(reactor.seconds()), fails(status, **headers)(connection)),
            lambda connection: (asked_at.append(reactor.seconds()), says("Now.")(connection)),
        )
        assert text_of(await at.chat("tier:one")) == "Now."
        assert asked_at[1] - asked_at[0] >= 0.08


@pytest_twisted.ensureDeferred
async def test_whole_seconds_are_waited_for(tmp_path):
    async with house(tmp_path, RETRYING + ONE, "one") as at:
        at["one"].next(fails(429, retry_after="1"))
        begun = reactor.seconds()
        assert (await at.chat("tier:one")).status == 200
        assert reactor.seconds() - begun >= 1.0


@pytest.mark.parametrize("headers", [{"retry_after": "60"}, {"retry_after_ms": "60000"}, {"retry_after": date(60)}])
@pytest_twisted.ensureDeferred
async def test_a_wait_longer_than_what_is_left_fails_over_at_once(tmp_path, headers):
    text = RETRYING + "request_timeout_ms = 5000\n" + TWO
    async with house(tmp_path, text, "one", "two") as at:
        at.gateway.engine.epoch_s = lambda: NOON
        at["one"].next(fails(429, **headers))
        begun = reactor.seconds()
        answer = await at.chat("tier:one")
        assert (answer.status, answer.headers["x-lmg-tier"]) == (200, "tier:two")
        assert reactor.seconds() - begun < 4  # of the 5 it has


@pytest.mark.parametrize("headers", [{"retry_after": "60"}, {"retry_after_ms": "60000"}, {"retry_after": date(60)}])
@pytest.mark.parametrize("status", [429, 503])
@pytest_twisted.ensureDeferred
async def test_or_the_answer_says_the_same(tmp_path, headers, status):
    text = RETRYING + "request_timeout_ms = 5000\n" + ONE
    async with house(tmp_path, text, "one") as at:
        at.gateway.engine.epoch_s = lambda: NOON
        at["one"].next(fails(status, "slow down", **headers))
        answer = await at.chat("tier:one")
        assert (answer.status, answer.message) == (status, "slow down")
        told = answer.headers.get("retry-after-ms") or answer.headers["retry-after"]
        assert told in ("60", "60000", date(60))
        assert at.asked == {"one": 1}


@pytest.mark.parametrize("headers", [{"retry_after": "60"}, {"retry_after_ms": "60000"}, {"retry_after": date(60)}])
@pytest_twisted.ensureDeferred
async def test_it_is_the_circuits_least_cool_down(tmp_path, headers):
    text = "[gateway]\nhealth_cooldown_ms = 10\n" + ONE
    async with house(tmp_path, text, "one") as at:
        engine = at.gateway.engine
        engine.epoch_s = lambda: NOON
        at["one"].next(*[fails(429, **headers)] * 3)
        for _ in range(3):
            await at.chat("tier:one")
        until = engine.circuits.tier("tier:one").open_until
        assert 59 < until - engine.now() <= 60


@pytest_twisted.ensureDeferred
async def test_a_circuit_without_it_cools_down_as_configured(tmp_path):
    text = "[gateway]\nhealth_cooldown_ms = 7000\n" + ONE
    async with house(tmp_path, text, "one") as at:
        at["one"].next(*[fails(503)] * 3)
        for _ in range(3):
            await at.chat("tier:one")
        engine = at.gateway.engine
        assert 6 < engine.circuits.backend("one").open_until - engine.now() <= 7


@pytest_twisted.ensureDeferred
async def test_where_all_are_down_the_answer_says_when_to_come_back(tmp_path):
    text = ladder("one", "two") + '[profiles.default]\nmode = "escalate"\nclassifier = "tier:one"\n'
    async with house(tmp_path, text, "one", "two") as at:
        for name, after in (("one", "50"), ("two", "40")):
            at[name].next(*[fails(429, retry_after=after)] * 3)
        for _ in range(3):
            assert (await at.chat()).status == 429
        answer = await at.chat()
        assert answer.status == 503
        assert 35 <= int(answer.headers["retry-after"]) <= 40
        assert at.asked == {"one": 3, "two": 3}
