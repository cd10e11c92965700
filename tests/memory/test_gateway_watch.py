"""The watch over backends: what an operator is told, how often, and what counts as trouble."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from canary import CANARY
from twisted.logger import globalLogPublisher

from lmgw.config.snapshot import Backend, Config, Gateway, Tier
from lmgw.core.candidates import CIRCUIT_OPEN
from lmgw.core.record import Reason
from lmgw.core.retry import verdict
from lmgw.core.steps import Fault, FaultKind
from lmgw.core.trace import Trace
from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.gateway.failing import clean
from lmgw.gateway.runtime import Runtime
from lmgw.gateway.watch import ATTEMPT_OUTCOMES, QUIET_S, STALE_S, Watch
from lmgw.secret import Secret
from lmgw.state.circuits import Circuits

CONFIG = Config(
    gateway=Gateway(),
    backends={
        "cloud": Backend("cloud", base_url="http://127.0.0.1:1", api_key_env="CLOUD_KEY", api_key=Secret(CANARY)),
        "local": Backend("local", base_url="http://127.0.0.1:2"),
    },
    tiers={
        name: Tier(name, backend, "m") for name, backend in (("big", "cloud"), ("small", "cloud"), ("own", "local"))
    },
)


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.circuits = Circuits()
        self.circuits.adopt(CONFIG)
        self.changes: list[str] = []
        self.watch = Watch(self.circuits, lambda: self.now, lambda: self.now, lambda _, text: self.changes.append(text))
        self.watch.adopt(CONFIG)
        self.lanes = Runtime.prepare(CONFIG).lanes

    def fail(self, tier: str, kind: FaultKind, status: int = 0, words: str = "no", id: str = "r1") -> None:
        error: GatewayError = UpstreamFailed(words, status=status or None)
        fault = Fault(kind, error, status=status)
        judged = verdict(fault)
        lane = self.lanes[tier]
        self.circuits.enter(lane.tier, self.now).failed(self.now, judged, 0.0)
        self.watch.failed(lane, fault, judged, id)

    def succeed(self, tier: str) -> None:
        self.circuits.enter(self.lanes[tier].tier, self.now).succeeded()
        self.watch.succeeded(self.lanes[tier])

    @property
    def troubles(self) -> list[tuple[str, str, str, int]]:
        return [(t["scope"], t["name"], t["kind"], t["attempts"]) for t in self.watch.figures()]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@contextmanager
def warnings() -> Iterator[list[str]]:
    said: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"].name == "warn":
            said.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield said
    globalLogPublisher.removeObserver(observe)


def test_a_refused_key_is_named_with_when_it_was_read(bench):
    bench.now = 3 * 3600
    with warnings() as said:
        bench.fail("big", FaultKind.STATUS, 401, "invalid x-api-key", id="req_1")
    assert said[0] == (
        'backend "cloud" refused CLOUD_KEY (401): invalid x-api-key; '
        "the key was read at start, 3 h ago: a new one needs a restart (request req_1)"
    )


def test_a_backend_without_a_key_has_none_to_name(bench):
    with warnings() as said:
        bench.fail("own", FaultKind.STATUS, 401, "who are you")
    assert said[0] == "own: who are you (request r1)"


def test_the_same_trouble_is_told_once_a_minute_with_a_count(bench):
    with warnings() as said:
        for number in range(100):
            bench.fail("own", FaultKind.TIMEOUT, id=f"r{number}")
        assert len([line for line in said if "request" in line]) == 1
        bench.now += QUIET_S
        bench.fail("own", FaultKind.TIMEOUT, id="later")
    assert said[-1] == "own: no (request later; 99 more since this was last said)"


def test_another_trouble_or_another_backend_is_told_at_once(bench):
    with warnings() as said:
        bench.fail("own", FaultKind.TIMEOUT)
        bench.fail("big", FaultKind.TIMEOUT)
        bench.fail("big", FaultKind.STATUS, 401)
    assert len([line for line in said if "request" in line]) == 3


def test_what_the_caller_did_wrong_is_no_trouble_and_no_warning(bench):
    with warnings() as said:
        bench.fail("big", FaultKind.STATUS, 422, "temperature is too high")
    assert (said, bench.troubles) == ([], [])
    assert bench.watch.outcomes["cloud", "client_error"] == 1


def test_a_trouble_lasts_until_a_success(bench):
    bench.now = 1000.0
    bench.fail("big", FaultKind.CONNECT)
    bench.now = 1500.0
    bench.fail("small", FaultKind.TIMEOUT, words="too slow", id="r2")
    (trouble,) = bench.watch.figures()
    assert (trouble["since"], trouble["last"], trouble["kind"]) == (1000.0, 1500.0, "timeout")
    assert trouble["brief"] == "cloud does not answer in time"
    assert trouble["attempts"] == 2
    assert re.fullmatch(
        r"cloud does not answer in time since \d\d:\d\d, 2 requests: small: too slow", trouble["sentence"]
    )
    bench.succeed("big")
    assert bench.troubles == []


def kept_away(*tiers: str, why: str = CIRCUIT_OPEN) -> Trace:
    trace = Trace(Runtime.prepare(CONFIG).routes, None, 0)
    trace.reasons += tuple(Reason(tier, False, why) for tier in tiers)
    return trace


def test_the_requests_that_meet_a_trouble_are_counted_whether_they_failed_there_or_were_kept_away(bench):
    for tier, id in (("big", "r1"), ("small", "r1"), ("big", "r2")):
        bench.fail(tier, FaultKind.STATUS, 401, id=id)
    bench.fail("own", FaultKind.STATUS, 429, id="r1")
    for id, trace in (
        ("r2", kept_away("small")),
        ("r3", kept_away("big", "small")),
        ("r4", kept_away("big", why="the caller's key may not use it")),
    ):
        bench.watch.ended(trace, CONFIG.tiers, id)
    found = bench.watch.figures()
    assert [(each["name"], each["attempts"], each["requests"]) for each in found] == [("cloud", 3, 3), ("own", 1, 1)]
    assert re.match(r"cloud refuses CLOUD_KEY since \d\d:\d\d, 3 requests: ", found[0]["sentence"])
    assert all(isinstance(value, str | int | float) for each in found for value in each.values())


@pytest.mark.parametrize(
    ("tier", "kind", "status", "brief"),
    [
        ("big", FaultKind.STATUS, 401, "cloud refuses CLOUD_KEY"),
        ("own", FaultKind.STATUS, 401, "local refuses requests without a key"),
        ("own", FaultKind.CONNECT, 0, "local cannot be reached"),
        ("own", FaultKind.STATUS, 503, "local answers 503"),
        ("big", FaultKind.STATUS, 429, "big on cloud limits the rate of requests (429)"),
        ("own", FaultKind.STATUS, 402, "local refuses requests (402)"),
        ("own", FaultKind.STREAM, 0, "local breaks answers off with an error"),
    ],
)
def test_a_trouble_is_said_in_a_few_words(bench, tier, kind, status, brief):
    bench.fail(tier, kind, status)
    assert [trouble["brief"] for trouble in bench.watch.figures()] == [brief]


def test_a_provider_that_says_too_much_is_quoted_in_part(bench):
    bench.fail("own", FaultKind.STATUS, 503, words="x" * 100_000)
    bench.fail("own", FaultKind.STATUS, 503, words="x" * 100_000)
    bench.fail("own", FaultKind.STATUS, 503, words="x" * 100_000)
    assert len(bench.watch.figures()[0]["words"]) <= 1100
    assert len(bench.changes[0]) <= 1100


def test_a_failure_that_nothing_followed_is_no_trouble_for_ever(bench):
    bench.fail("own", FaultKind.TIMEOUT)
    bench.fail("big", FaultKind.STATUS, 401)
    bench.now += STALE_S + 1
    assert bench.troubles == [("backend", "cloud", "key_refused", 1)]


def test_a_connection_that_had_been_closed_was_no_try(bench):
    fault = Fault(FaultKind.CLOSED, UpstreamFailed("closed"), reused=True)
    bench.watch.failed(bench.lanes["big"], fault, verdict(fault), "r1")
    assert not bench.watch.outcomes


def test_a_throttled_tier_is_its_own_trouble(bench):
    bench.fail("big", FaultKind.STATUS, 429)
    bench.fail("big", FaultKind.CONNECT)
    assert bench.troubles == [("backend", "cloud", "connect", 1), ("tier", "big", "throttled", 1)]
    bench.succeed("small")
    assert bench.troubles == [("tier", "big", "throttled", 1)]


def test_troubles_of_names_that_are_gone_are_forgotten(bench):
    bench.fail("own", FaultKind.CONNECT)
    bench.watch.adopt(Config())
    assert bench.troubles == []


def test_a_circuit_that_opens_and_closes_is_told(bench):
    bench.fail("big", FaultKind.STATUS, 401)
    bench.fail("big", FaultKind.STATUS, 401)
    assert len(bench.changes) == 1
    assert bench.changes[0].startswith('circuit of backend "cloud" opened: ')
    bench.now += 60
    bench.succeed("small")
    assert bench.changes[1:] == ['circuit of backend "cloud" closed: it answers again']


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_has_an_outcome_of_the_closed_set(bench, kind):
    for status in (0, 301, 400, 401, 403, 404, 429, 500, 503, 529):
        bench.fail("big", kind, status)
    bench.watch.abandoned(bench.lanes["big"])
    assert {outcome for _, outcome in bench.watch.outcomes} <= set(ATTEMPT_OUTCOMES)


def test_words_of_a_provider_hold_no_key_and_can_be_encoded(bench):
    error = GatewayError(f"key {CANARY} is \ud800 not good")
    clean(error, bench.lanes["big"])
    assert error.message == str(error) == "key *** is ? not good"
