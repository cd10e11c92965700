"""What a run has found: every figure of every round, their medians, and how they stand to the bars."""

from __future__ import annotations

import statistics
import time
from typing import Any

from scenarios import Figures, FreshScenario, Scenario
from verdicts import verdicts

#: A run as JSON; see :meth:`Report.as_json`.
Found = dict[str, Any]


class Report:
    """Collects figures.

    :ivar versions: of the gateways that take part.
    """

    def __init__(self, command: str, rounds: int, machine: dict[str, Any]) -> None:
        self.versions: dict[str, str] = {}
        self._command = command
        self._rounds = rounds
        self._machine = machine
        self._began = time.time()
        self._titles: dict[str, str] = {}
        self._figures: dict[str, dict[str, list[Figures]]] = {}
        self._problems: list[str] = []

    def add(self, scenario: Scenario | FreshScenario, gateway: str, figures: Figures) -> None:
        """Keep what one measurement found."""
        self._titles[scenario.name] = scenario.title
        self._figures.setdefault(scenario.name, {}).setdefault(gateway, []).append(figures)

    def fail(self, scenario: Scenario | FreshScenario, gateway: str, why: str) -> None:
        """Note a measurement that came to nothing."""
        self._problems.append(f"{scenario.name}, {gateway}: {why}")

    def leave_out(self, what: str, why: str) -> None:
        """Note what does not take part."""
        self._problems.append(f"{what} is left out: {why}")

    def as_json(self) -> Found:
        """Return everything.

        Of each of ``scenarios`` there are its ``title`` and, by gateway, the ``median`` of every figure and the
        ``rounds`` that it is of.
        """
        found = {name: self._scenario(name) for name in self._figures}
        return {
            "command": self._command,
            "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self._began)),
            "seconds": round(time.time() - self._began),
            "rounds": self._rounds,
            "machine": self._machine,
            "versions": self.versions,
            "problems": self._problems,
            "bars": [verdict.as_json() for verdict in verdicts(found)],
            "scenarios": found,
        }

    def _scenario(self, name: str) -> dict[str, Any]:
        gateways = self._figures[name]
        medians = {gateway: _medians(rounds) for gateway, rounds in gateways.items()}
        if name.startswith("latency-") and "direct" in medians:
            for figures in medians.values():
                for share in ("p50", "p99"):
                    figures[f"added_{share}_ms"] = (
                        figures[f"latency_{share}_ms"] - medians["direct"][f"latency_{share}_ms"]
                    )
        return {
            "title": self._titles[name],
            "gateways": {
                gateway: {"median": _rounded(medians[gateway]), "rounds": [_rounded(each) for each in rounds]}
                for gateway, rounds in gateways.items()
            },
        }


def _medians(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def _rounded(figures: Figures) -> Figures:
    return {name: round(value, 4) for name, value in figures.items()}
