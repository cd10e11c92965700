"""Circuits over real sockets: opened by a backend's faults, skipped, probed, closed."""

import pytest
import pytest_twisted
from fakes import Cut, Silence, Stream
from routing_rig import ROLE, close, delta, fails, house, ladder, says, text_of, turns

LADDER = '[profiles.default]\nmode = "escalate"\nclassifier = "tier:one"\n'
#: Two tiers of one backend, and a third elsewhere.
SISTERS = """
[backends.up]
base_url = "{up}"
[backends.other]
base_url = "{other}"
[[tiers]]
name = "tier:little"
backend = "up"
model = "little"
[[tiers]]
name = "tier:large"
backend = "up"
model = "large"
failover = ["tier:other"]
[[tiers]]
name = "tier:other"
backend = "other"
model = "other"
"""


def two(folder, text):
    return house(folder, text, "one", "two")


async def passed(at, seconds):
    """Let the engine's clock be later than it is."""
    now = at.gateway.engine.now
    at.gateway.engine.now = lambda: now() + seconds
    await turns(1)


@pytest.mark.parametrize("fault", [fails(500), fails(503), Cut(), Cut(reset=True)], ids=["500", "503", "cut", "reset"])
@pytest_twisted.ensureDeferred
async def test_a_backend_that_fails_is_skipped_by_automatic_modes(tmp_path, fault):
    async with two(tmp_path, ladder("one", "two") + LADDER) as at:
        at["one"].next(fault, fault, fault)
        for _ in range(5):
            assert (await at.chat()).headers["x-lmg-tier"] == "tier:two"
        assert at.asked == {"one": 3, "two": 5}


@pytest_twisted.ensureDeferred
async def test_after_the_cooldown_one_request_probes_and_success_closes(tmp_path):
    async with two(tmp_path, ladder("one", "two") + LADDER) as at:
        at["one"].next(*[fails(500)] * 3)
        for _ in range(3):
            await at.chat()
        await passed(at, 31)
        probe = Stream(first=ROLE + delta("x" * 200))
        at["one"].next(Silence())
        waiting = await at.stream()
        await at["one"].asked(4)
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:two"  # only one probes
        await close(waiting)  # a probe that says nothing leaves its place
        at["one"].next(probe)
        client = await at.stream()
        await client.until(b"xxx")
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:one"
        await close(client)


@pytest_twisted.ensureDeferred
async def test_a_probe_that_fails_reopens(tmp_path):
    async with two(tmp_path, ladder("one", "two") + LADDER) as at:
        at["one"].next(*[fails(500)] * 4)
        for _ in range(3):
            await at.chat()
        await passed(at, 31)
        for _ in range(3):
            assert (await at.chat()).headers["x-lmg-tier"] == "tier:two"
        assert at.asked["one"] == 4


@pytest_twisted.ensureDeferred
async def test_an_explicit_dispatch_with_no_alternative_still_tries(tmp_path):
    async with two(tmp_path, ladder("one", "two")) as at:
        at["one"].next(*[fails(500)] * 5)
        for _ in range(5):
            assert (await at.chat("tier:one")).status == 500
        assert (await at.chat("tier:one")).status == 200
        assert at.asked == {"one": 6}


@pytest_twisted.ensureDeferred
async def test_with_one_it_goes_there(tmp_path):
    async with two(tmp_path, ladder("one", "two", one='failover = ["tier:two"]')) as at:
        at["one"].next(*[fails(500)] * 3)
        for _ in range(4):
            assert (await at.chat("tier:one")).headers["x-lmg-tier"] == "tier:two"
        assert at.asked == {"one": 3, "two": 4}


@pytest_twisted.ensureDeferred
async def test_a_throttled_big_model_does_not_block_its_small_sister(tmp_path):
    async with house(tmp_path, SISTERS, "up", "other") as at:
        at["up"].next(*[fails(429)] * 3)
        for _ in range(4):
            assert (await at.chat("tier:large")).headers["x-lmg-tier"] == "tier:other"
        assert at.asked == {"up": 3, "other": 4}
        assert (await at.chat("tier:little")).headers["x-lmg-tier"] == "tier:little"
        assert at.asked["up"] == 4


@pytest_twisted.ensureDeferred
async def test_a_refused_key_opens_the_whole_backend_at_once(tmp_path):
    async with house(tmp_path, SISTERS, "up", "other") as at:
        at["up"].next(fails(401))
        assert (await at.chat("tier:little")).status == 502
        assert (await at.chat("tier:large")).headers["x-lmg-tier"] == "tier:other"
        assert at.asked == {"up": 1, "other": 1}


@pytest.mark.parametrize("status", [400, 403, 404, 422])
@pytest_twisted.ensureDeferred
async def test_the_callers_faults_open_nothing(tmp_path, status):
    async with two(tmp_path, ladder("one", "two", one='failover = ["tier:two"]')) as at:
        at["one"].next(*[fails(status, "yours")] * 6)
        for _ in range(6):
            assert (await at.chat("tier:one")).status == status
        assert (await at.chat("tier:one")).headers["x-lmg-tier"] == "tier:one"


@pytest_twisted.ensureDeferred
async def test_clients_that_leave_open_nothing(tmp_path):
    async with two(tmp_path, ladder("one", "two", one='failover = ["tier:two"]')) as at:
        for count in range(1, 5):
            at["one"].next(Silence())
            client = await at.stream("tier:one")
            await at["one"].asked(count)
            await close(client)
            await turns()
        assert (await at.chat("tier:one")).headers["x-lmg-tier"] == "tier:one"


@pytest_twisted.ensureDeferred
async def test_a_request_that_fails_on_every_try_does_not_open_a_circuit_alone(tmp_path):
    retrying = "[gateway]\nmax_retries = 5\nretry_delay_ms = 1\n"
    async with two(tmp_path, retrying + ladder("one", "two") + LADDER) as at:
        at["one"].next(*[fails(500)] * 6)
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:two"
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:one"


@pytest_twisted.ensureDeferred
async def test_window_0_switches_them_off(tmp_path):
    async with two(tmp_path, "[gateway]\nhealth_window = 0\n" + ladder("one", "two") + LADDER) as at:
        at["one"].next(*[fails(500)] * 9)
        for _ in range(9):
            assert (await at.chat()).headers["x-lmg-tier"] == "tier:two"
        assert (await at.chat()).headers["x-lmg-tier"] == "tier:one"


@pytest_twisted.ensureDeferred
async def test_they_outlive_a_reload(tmp_path):
    text = ladder("one", "two") + LADDER
    async with two(tmp_path, text) as at:
        at["one"].next(*[fails(500)] * 3)
        for _ in range(3):
            await at.chat()
        at.gateway.reload(text.replace("{one}", at["one"].url).replace("{two}", at["two"].url))
        at["two"].next(says("still here"))
        assert text_of(await at.chat()) == "still here"
        assert at.asked == {"one": 3, "two": 4}
