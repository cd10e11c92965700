"""``lmgw classify-test``: how well does a profile's classifier sort what people write?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.python import usage

from lmgw.cli.command import AS_JSON, CONFIG, Command, complain, config_path

if TYPE_CHECKING:
    from lmgw.cli.cases import Case
    from lmgw.cli.scores import Result
    from lmgw.config.snapshot import Config

T = TypeVar("T")
#: The exit code of what Ctrl-C ended, as shells have it.
INTERRUPTED = 130


def _percentage(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise ValueError(f"--at-least is a percentage from 0 to 100, not {text!r}")
    return number


class ClassifyTest(Command):
    """Runs labelled examples through the real classifier, one after the other."""

    longdesc = (
        "Have labelled examples sorted by a profile's classifier as requests would be (same prompt, tier, timeout) and"
        " print what came of it. Spends tokens. Exit code 1: it could not be run, or the accuracy is below --at-least."
    )
    optParameters = [
        ["profile", "p", None, "the profile whose classifier is tested"],
        CONFIG,
        ["at-least", "a", 0.0, "the accuracy that is needed for exit code 0, in percent", _percentage],
    ]
    optFlags = [AS_JSON]
    examples = """
Examples:
  lmgw classify-test --profile auto cases.toml
  lmgw classify-test -p auto cases.toml --at-least 90 --json

cases.toml:
  [[cases]]
  text = "turn off the light"
  label = "instant"
"""
    cases = ""

    def getSynopsis(self) -> str:
        return super().getSynopsis() + " CASES.toml"

    def parseArgs(self, cases: str = "", *more: str) -> None:
        if cases and self.cases:
            raise usage.UsageError("one file of cases at a time")
        self.cases = cases or self.cases
        if more:  # options may stand behind the file, too
            self.parseOptions(more)  # type: ignore[no-untyped-call]

    def postOptions(self) -> None:
        if not self["profile"]:
            raise usage.UsageError("which profile? --profile NAME")
        if not self.cases:
            raise usage.UsageError("which cases? name a TOML file with [[cases]]")

    def run(self) -> int:
        from lmgw.cli.cases import read_cases
        from lmgw.cli.scores import Scores
        from lmgw.config.loader import load
        from lmgw.errors import BadRequest, ConfigError

        try:
            cases = read_cases(Path(self.cases))
            config = load(config_path(self["config"]), os.environ)
            results = run_to_end(lambda reactor: label_all(reactor, config, self["profile"], cases))
        except ConfigError as error:
            return complain("\n".join(error.problems))
        except BadRequest as error:
            return complain(error.message)
        if results is None:
            return INTERRUPTED
        scores = Scores(results)
        if self["json"]:
            print(json.dumps({"profile": self["profile"], **scores.facts()}, ensure_ascii=False))
        else:
            print("\n".join(scores.lines()))
        return int(scores.accuracy * 100 < self["at-least"] or not scores.tiers)


async def label_all(reactor: Any, config: Config, profile: str, cases: list[Case]) -> list[Result]:
    """Label the cases one after the other, with an engine that listens nowhere and writes nothing.

    Raises :class:`~lmgw.errors.BadRequest` for a profile that cannot be tested and
    :class:`~lmgw.errors.ConfigError` for a configuration that cannot be made ready.
    """
    from dataclasses import replace

    from lmgw.cli.scores import Result, given
    from lmgw.gateway.engine import Engine
    from lmgw.gateway.rehearsing import classifying_profile, rehearse

    # No circuits: a classifier that failed thrice is asked all the same.
    quiet = replace(config.gateway, traffic_log_path=None, health_window=0)
    engine = Engine(reactor)
    engine.adopt(engine.prepare(replace(config, gateway=quiet)))
    try:
        found = classifying_profile(engine, profile)
        results = []
        for case in cases:
            came = await rehearse(engine, found, case.text)
            got = given(case.label, came.label)
            results.append(Result(case, got, came.tier, came.latency_ms, came.faults))
        return results
    finally:
        await engine.close()


def run_to_end(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T | None:
    """Run a coroutine in a reactor of its own; ``None`` where the reactor was interrupted. Raises what it raises."""
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    outcomes: list[T | Failure] = []

    def ended(outcome: T | Failure) -> None:
        outcomes.append(outcome)
        reactor.stop()

    def begin() -> None:
        Deferred.fromCoroutine(work(reactor)).addBoth(ended)

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcomes:
        return None
    if isinstance(outcomes[0], Failure):
        outcomes[0].raiseException()
    return outcomes[0]
