from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher

from lmgw.config.loader import load
from lmgw.errors import ConfigError
from lmgw.listeners import Address, ListenError
from lmgw.reload import Reloader

BASE = """
[backends.demo]
provider = "demo"
[[tiers]]
name = "one"
backend = "demo"
model = "small"
"""
MORE = BASE + '[[tiers]]\nname = "two"\nbackend = "demo"\nmodel = "large"\n'


class Engine:
    """Keeps the order of what is asked of it; a runtime is its configuration's fingerprint."""

    def __init__(self):
        self.calls = []
        self.refusal = None

    def prepare(self, config):
        if self.refusal:
            raise self.refusal
        self.calls.append("prepare")
        return config.fingerprint

    def adopt(self, runtime):
        self.calls.append("adopt")
        self.running = runtime

    def dispose(self, runtime):
        self.calls.append("dispose")


class Ports:
    """Listeners that open when told to."""

    def __init__(self, engine):
        self._engine = engine
        self.wanted = None
        self.opening = None

    async def change(self, wanted):
        self._engine.calls.append("ports")
        self.wanted = wanted
        if self.opening is not None:
            await self.opening


class Bench:
    def __init__(self, folder: Path):
        self.path = folder / "config.toml"
        self.path.write_text(BASE)
        self.engine = Engine()
        self.ports = Ports(self.engine)
        self.applied = []
        self.time = datetime(2026, 11, 22, 13, 40, 2, tzinfo=UTC)
        config = load(str(self.path), {})
        self.reloader = Reloader(
            lambda: load(str(self.path), {}), config, self.engine, self.ports, self.applied.append, lambda: self.time
        )

    def reload(self, text=None):
        if text is not None:
            self.path.write_text(text)
        results = []
        self.reloader.reload().addCallback(results.append)
        return results[0]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def logged():
    lines = []

    def observe(event):
        if event["log_namespace"].startswith("lmgw"):
            lines.append((event["log_level"], event["log_format"].format(**event)))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_everything_that_can_fail_comes_before_the_one_assignment(bench):
    bench.reload(MORE)
    assert bench.engine.calls == ["prepare", "ports", "adopt"]
    assert bench.applied == [bench.reloader.config]
    assert bench.ports.wanted[0] == Address("client", "", 8080)


def test_what_changed_is_said(bench, logged):
    result = bench.reload(MORE)
    assert result.summary == f"reloaded {bench.reloader.config.fingerprint}: +1 tier"
    assert (LogLevel.info, result.summary) in logged
    assert result.problems == ()


def test_files_that_did_not_change_are_said_to_be_so(bench):
    bench.time += timedelta(hours=1)
    assert bench.reload().summary == "reload: files unchanged since 13:40:02"
    bench.time += timedelta(days=1)
    assert bench.reload().summary == "reload: files unchanged since 2026-11-22 13:40:02"


def test_unchanged_since_means_the_last_change(bench):
    bench.time += timedelta(minutes=5)
    bench.reload(MORE)
    bench.time += timedelta(minutes=5)
    assert bench.reload().summary == "reload: files unchanged since 13:45:02"


def test_a_bad_file_changes_nothing_and_every_problem_is_logged(bench, logged):
    before = bench.reloader.config
    result = bench.reload(BASE + "[gateway]\nclient_prt = 1\nlog_level = 7\n")
    assert len(result.problems) == 2
    assert bench.engine.calls == bench.applied == []
    assert bench.reloader.config is before
    assert logged == [
        *((LogLevel.error, f"reload: {problem}") for problem in result.problems),
        (LogLevel.error, "reload: nothing changed, 2 problems"),
    ]


def test_what_cannot_be_prepared_is_a_problem_like_any_other(bench):
    bench.engine.refusal = ConfigError(("backend demo: no such ca_file",))
    assert bench.reload(MORE).problems == ("backend demo: no such ca_file",)
    assert bench.engine.calls == []


def test_a_busy_port_gives_back_what_was_prepared(bench):
    bench.ports.opening = Deferred()
    bench.ports.opening.errback(ListenError("client port 80: permission denied"))
    assert bench.reload(MORE).problems == ("client port 80: permission denied",)
    assert bench.engine.calls == ["prepare", "ports", "dispose"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_fault_of_our_own_changes_nothing_either(bench, logged):
    bench.ports.opening = Deferred()
    bench.ports.opening.errback(ZeroDivisionError())
    (problem,) = bench.reload(MORE).problems
    assert "ZeroDivisionError" in problem
    assert bench.engine.calls == ["prepare", "ports", "dispose"]
    assert logged[0][0] is LogLevel.critical


def test_one_reload_at_a_time(bench):
    bench.ports.opening = opening = Deferred()
    first, second = bench.reloader.reload(), bench.reloader.reload()
    assert bench.engine.calls == ["prepare", "ports"]
    bench.ports.opening = None
    opening.callback(None)
    assert first.called
    assert second.called
    assert bench.engine.calls == ["prepare", "ports", "adopt"] * 2


def test_the_last_failure_is_kept_until_a_reload_succeeds(bench):
    bench.reload("nonsense")
    assert bench.reloader.last.problems
    assert bench.reloader.counts == {"ok": 0, "failed": 1}
    bench.reload(MORE)
    assert bench.reloader.last.problems == ()
    assert bench.reloader.counts == {"ok": 1, "failed": 1}


def test_a_reload_after_a_failed_one_compares_with_what_runs(bench):
    bench.reload("nonsense")
    assert bench.reload(MORE).summary.endswith(": +1 tier")
