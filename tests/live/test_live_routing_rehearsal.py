"""`lmgw classify-test` asks as requests ask: the same call, to the same tiers, with the same limits."""

import pytest
import pytest_twisted
from canary import CANARY
from fakes import Silence
from routing_rig import fails, house, ladder, says
from twisted.internet import reactor

from lmgw.cli.cases import Case
from lmgw.cli.classify_test import label_all
from lmgw.config.loader import load
from lmgw.errors import BadRequest

CONFIG = ladder(
    "small",
    "label",
    "other",
    more="""
[profiles.default]
classifier = "tier:small"

[profiles.sorted]
mode = "classify"
classifier = "tier:label"
classifier_prompt = "Sort this."
classifier_timeout_ms = 80
system_prompt = "never shown"

[profiles.blind]
mode = "classify"
classifier = "tier:label"
classifier_context = 0
""",
)
FALLBACK = CONFIG.replace("classifier_timeout_ms", 'classifier_fallback = "tier:other"\nclassifier_timeout_ms')
HELLO = [Case("hello", "fast")]


def rehearsing(folder, text=CONFIG, environ=None):
    return house(folder, text, "small", "label", "other", environ=environ)


async def labels(at, cases, profile="sorted"):
    config = load(str(at.gateway.path), at.gateway.environ)
    return await label_all(reactor, config, profile, cases)


@pytest_twisted.ensureDeferred
async def test_the_call_is_the_one_that_a_request_makes(tmp_path):
    async with rehearsing(tmp_path) as at:
        at["label"].next(says("instant"))
        await at.chat("sorted")
        (result,) = await labels(at, HELLO)
        first, second = at["label"].requests
        assert first.body == second.body
        assert [f for f in first.headers if f[0] != b"X-Request-ID"] == [
            f for f in second.headers if f[0] != b"X-Request-ID"
        ]
        assert at.asked["small"] == 1  # the request's own answer: a rehearsal goes no further than the label
        assert result.tier == "tier:label"
        assert result.latency_ms > 0


@pytest_twisted.ensureDeferred
async def test_labels_are_read_as_a_request_reads_them(tmp_path):
    async with rehearsing(tmp_path) as at:
        at["label"].next(says("**Fast**"), says("<think>no</think> deep class=art"), says("tier=fast class=music"))
        cases = [Case("a", "fast"), Case("b", "fast"), Case("c", "class=music")]
        results = await labels(at, cases)
        assert [(result.got, result.right) for result in results] == [
            ("fast", True),
            ("deep", False),
            ("class=music", True),
        ]


@pytest_twisted.ensureDeferred
async def test_the_fallback_classifier_is_asked_after_a_failure_or_the_timeout(tmp_path):
    async with rehearsing(tmp_path, FALLBACK) as at:
        at["label"].next(Silence(), fails(500, "kaboom"))
        at["other"].next(says("fast"), says("fast"))
        first, second = await labels(at, HELLO * 2)
        assert (first.got, first.tier) == (second.got, second.tier) == ("fast", "tier:other")
        assert first.latency_ms >= 80
        assert "kaboom" in second.faults[0]


@pytest_twisted.ensureDeferred
async def test_a_classifier_that_fails_again_and_again_is_asked_all_the_same(tmp_path):
    async with rehearsing(tmp_path) as at:
        at["label"].next(*[fails(500)] * 5, says(""))
        results = await labels(at, HELLO * 7)
        assert [result.got for result in results[:6]] == ["-"] * 6
        assert "nothing that is a label" in results[5].faults[0]
        assert at.asked == {"label": 7}


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("nobody", 'there is no profile "nobody"'),
        ("default", 'has mode "dispatch" and classifies nothing; these do: sorted, blind'),
        ("blind", "classifier_context = 0"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_profile_that_cannot_be_tested_is_said_to_be_one(tmp_path, profile, words):
    async with rehearsing(tmp_path) as at:
        with pytest.raises(BadRequest) as raised:
            await labels(at, HELLO, profile)
        assert words in raised.value.message
        assert at.asked == {}


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_not_set_is_named(tmp_path):
    async with rehearsing(tmp_path, environ={"OTHER": CANARY}) as at:
        with pytest.raises(BadRequest, match="set UP_KEY in the environment"):
            await labels(at, HELLO)


@pytest_twisted.ensureDeferred
async def test_nothing_is_written_and_the_line_in_front_of_the_classifier_is_not_waited_in(tmp_path):
    gated = CONFIG.replace('model = "model-label"', 'model = "model-label"\nmax_concurrent = 1')
    log = tmp_path / "traffic.jsonl"
    async with rehearsing(tmp_path, f'[gateway]\ntraffic_log_path = "{log}"\n' + gated) as at:
        before = log.read_bytes() if log.exists() else b""
        assert len(await labels(at, HELLO)) == 1
        assert (log.read_bytes() if log.exists() else b"") == before
