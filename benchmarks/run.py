"""Measures the gateway, a bare relay on its parts, and other gateways, all in one interleaved run.

    python benchmarks/run.py                          # ours, the bare relay, and the upstream asked directly
    python benchmarks/run.py --peers [--install]      # nginx, TensorZero and LiteLLM too
    python benchmarks/run.py --quick --only throughput,latency-1 --gateways lmgw,nginx
    python benchmarks/tables.py build/bench/FILE.json         # writes a run's tables into docs/performance.md

The fake upstream and the load share one core, the gateway has another. All gateways run at once, and those that are not
being measured are stopped; the order turns round with each round. What is told are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import machine
import native
import ours
import tls
from fresh import FRESH_SCENARIOS
from gateways import Recipe, Running, Upstreams, direct, running
from native import LoadFailed
from peers import PEERS, NotInstalled
from report import Report
from scenarios import SCENARIOS, Bench, FreshScenario, Scenario
from tables import tables

ROOT = Path(__file__).parents[1]
OURS = {"lmgw": ours.lmgw, "bare": ours.bare}
#: Seconds after a frozen gateway goes on before it is measured.
_THAW_S = 0.15


class Run:
    """One run: its surroundings, who takes part, and what was found."""

    def __init__(self, bench: Bench, recipes: Sequence[Recipe], report: Report, rounds: int) -> None:
        self._bench = bench
        self._recipes = recipes
        self._report = report
        self._rounds = rounds

    def standing(self, scenarios: Sequence[Scenario]) -> None:
        """Measure gateways that run from the first round to the last."""
        if not scenarios:
            return
        with ExitStack() as stack:
            gateways = [direct(self._bench.upstreams), *self._start_all(stack)]
            for turn in range(self._rounds):
                for scenario in scenarios:
                    for gateway in gateways[:: -1 if turn % 2 else 1]:
                        if not scenario.only or gateway.name in scenario.only:
                            self._measure(turn, scenario, gateway)

    def fresh(self, scenarios: Sequence[FreshScenario]) -> None:
        """Measure gateways that are started for it."""
        for turn in range(self._rounds):
            for scenario in scenarios:
                for recipe in self._recipes[:: -1 if turn % 2 else 1]:
                    if not scenario.only or recipe.name in scenario.only:
                        with self._noting(turn, scenario, recipe.name):
                            self._report.add(scenario, recipe.name, scenario.measure(self._bench, recipe))

    def _start_all(self, stack: ExitStack) -> Iterator[Running]:
        bench = self._bench
        for recipe in self._recipes:
            try:
                folder = bench.folder / "standing"
                gateway = stack.enter_context(running(recipe, folder, bench.upstreams, bench.gateway_core))
                with _frozen_after(gateway):
                    bench.warm_up(gateway)
            except LoadFailed as problem:
                self._report.leave_out(recipe.name, str(problem))
            else:
                yield gateway

    def _measure(self, turn: int, scenario: Scenario, gateway: Running) -> None:
        gateway.thaw()
        time.sleep(_THAW_S)
        with _frozen_after(gateway), self._noting(turn, scenario, gateway.name):
            self._report.add(scenario, gateway.name, scenario.measure(self._bench, gateway))

    @contextmanager
    def _noting(self, turn: int, scenario: Scenario | FreshScenario, name: str) -> Iterator[None]:
        _progress(f"{turn + 1}/{self._rounds} {scenario.name} {name}")
        try:
            yield
        except LoadFailed as problem:
            self._report.fail(scenario, name, str(problem))


def _progress(line: str) -> None:
    """Show where the run is, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


@contextmanager
def _frozen_after(gateway: Running) -> Iterator[None]:
    try:
        yield
    finally:
        gateway.freeze()


def measure(options: argparse.Namespace, report: Report) -> None:
    """Build, start and measure what the options ask for."""
    folder = options.folder.resolve()
    native.build(folder)
    machine.allow_many_files()
    load_core, gateway_core = machine.cores()
    recipes = list(_recipes(options, folder, report))
    wanted = set(filter(None, options.only.split(",")))
    scenarios = [each for each in SCENARIOS if _is_wanted(each.name, wanted)]
    with ExitStack() as stack:
        plain = stack.enter_context(native.upstream(folder, load_core))
        upstreams = Upstreams(plain)
        with_tls = any("tls" in each.name for each in scenarios)
        if with_tls and tls.is_possible():
            upstreams = Upstreams(plain, *stack.enter_context(tls.terminator(folder, load_core, plain)))
        elif with_tls:
            report.leave_out("TLS", "it takes nginx and openssl")
            scenarios = [each for each in scenarios if "tls" not in each.name]
        bench = Bench(folder, load_core, gateway_core, upstreams, options.scale)
        run = Run(bench, recipes, report, options.rounds)
        run.standing(scenarios)
        run.fresh([each for each in FRESH_SCENARIOS if _is_wanted(each.name, wanted)])


def _is_wanted(name: str, wanted: set[str]) -> bool:
    """``whole`` and ``chunks`` are all of ``whole:…`` and ``chunks:…``."""
    return not wanted or name in wanted or name.partition(":")[0] in wanted & {"whole", "chunks"}


def _recipes(options: argparse.Namespace, folder: Path, report: Report) -> Iterator[Recipe]:
    names = options.gateways.split(",") if options.gateways else [*OURS, *(PEERS if options.peers else ())]
    for name in names:
        try:
            recipe = OURS[name]() if name in OURS else PEERS[name](folder / "peers", options.install)
        except NotInstalled as problem:
            report.leave_out(name, str(problem))
            continue
        report.versions[name] = recipe.version
        yield recipe


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="default: $BENCH_ROUNDS, else 5")
    parser.add_argument("--quick", action="store_true", help="--rounds 1 --scale 0.25")
    parser.add_argument("--scale", type=float, help="multiplies the seconds that each measurement takes (default: 1)")
    parser.add_argument("--only", metavar="NAMES", default="", help="these scenarios (whole, chunks: the translations)")
    parser.add_argument("--gateways", metavar="NAMES", help=f"these of {', '.join([*OURS, *PEERS])}")
    parser.add_argument("--peers", action="store_true", help="the other gateways too")
    parser.add_argument("--install", action="store_true", help="install the others where they are missing")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="for tools, logs and results")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: one with the date, in the folder")
    options = parser.parse_args()
    names = [*(each.name for each in SCENARIOS), *(each.name for each in FRESH_SCENARIOS)]
    unknown = set(filter(None, options.only.split(","))) - {"whole", "chunks", *names}
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(names)}")
    if options.gateways and (unknown := set(options.gateways.split(",")) - {*OURS, *PEERS}):
        parser.error(f"no gateway {', '.join(unknown)}")
    if options.rounds is None:
        options.rounds = int(os.environ.get("BENCH_ROUNDS", "1" if options.quick else "5"))
    if options.scale is None:
        options.scale = 0.25 if options.quick else 1.0
    return options


def main() -> None:
    """Measure, print tables and write all figures as JSON."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report(shlex.join(["python", *sys.argv]), options.rounds, machine.describe())
    try:
        measure(options, report)
    except KeyboardInterrupt:
        report.leave_out("what was still to come", "the run was interrupted")
    _progress("")
    found = report.as_json()
    path = options.json or options.folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(tables(found))
    print(f"\nAll figures: {path}")


if __name__ == "__main__":
    main()
