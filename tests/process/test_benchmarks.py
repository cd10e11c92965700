"""The benchmarks work: every request of a short run is answered, and its figures come in the shape that is promised."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
#: Whole answers, streams, translations; none of them much for a machine that is busy with other tests.
SCENARIOS = ("latency-10", "chunks-50ms", "whole:responses-anthropic")

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("taskset")), reason="benchmarks need a C compiler and taskset"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run benchmarks/run.py for the shortest time; returns what it printed and its JSON."""
    folder = tmp_path_factory.mktemp("bench")
    options = [
        "--rounds",
        "1",
        "--scale",
        "0.1",
        "--only",
        ",".join(SCENARIOS),
        "--folder",
        folder,
        "--json",
        folder / "found.json",
    ]
    command = [sys.executable, BENCHMARKS / "run.py", *options]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return printed, json.loads((folder / "found.json").read_text())


def test_every_request_of_a_run_is_answered(run):
    _, found = run
    assert [problem for problem in found["problems"] if "wrong answers" in problem] == []


def test_a_run_tells_its_figures_and_where_they_come_from(run):
    _, found = run
    assert set(found) == {
        *("command", "began", "seconds", "rounds", "machine", "versions", "problems", "bars", "scenarios"),
    }
    assert set(found["versions"]) == {"lmgw", "bare"}
    assert set(found["scenarios"]) == set(SCENARIOS)
    assert set(found["scenarios"]["latency-10"]["gateways"]) == {"direct", "lmgw", "bare"}
    for scenario in found["scenarios"].values():
        ours = scenario["gateways"]["lmgw"]
        assert len(ours["rounds"]) == found["rounds"] == 1
        assert ours["median"].get("cpu_us_per_request") or ours["median"].get("cpu_us_per_chunk")


def test_a_stream_is_measured_piece_by_piece(run):
    _, found = run
    figures = found["scenarios"]["chunks-50ms"]["gateways"]["lmgw"]["median"]
    assert figures["unfinished"] == 0
    assert figures["chunks_per_s"] > 500
    assert figures["one_way_p50_ms"] > 0


def test_the_tables_go_into_the_document(run, monkeypatch):
    printed, found = run
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tables

    document = f"# Title\n\n{tables.BEGIN}\nFormer figures\n{tables.END}\n\nMore.\n"
    written = tables.rewrite(document, found)
    assert written.startswith(f"# Title\n\n{tables.BEGIN}\n")
    assert written.endswith(f"\n{tables.END}\n\nMore.\n")
    assert "Former figures" not in written
    assert tables.tables(found) in printed
    assert "| responses → anthropic" in printed


@pytest.mark.parametrize(("ours", "met"), [(1900, True), (1700, False)])
def test_a_bar_is_met_within_a_tenth(monkeypatch, ours, met):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import verdicts

    rates = {"lmgw": ours, "tensorzero": 1000}
    gateways = {name: {"median": {"requests_per_s": rate}} for name, rate in rates.items()}
    (verdict,) = verdicts.verdicts({"throughput": {"gateways": gateways}})
    assert verdict.value == ours / 1000
    assert verdict.met is met


def test_an_unknown_scenario_is_refused_in_words():
    command = [sys.executable, BENCHMARKS / "run.py", "--only", "throughputt"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "no scenario throughputt; there are throughput, " in refused.stderr
