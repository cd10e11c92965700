"""The bars that an operator feels, ten times looser than what is measured: they catch a mistake, not a slow machine."""

import importlib.util
import sys
from pathlib import Path

import pytest

BARS = Path(__file__).parents[2] / "benchmarks" / "bars.py"


@pytest.fixture(scope="module")
def bars():
    spec = importlib.util.spec_from_file_location("bars", BARS)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bars"] = module
    spec.loader.exec_module(module)
    return module


def test_it_starts_and_idles_within_ten_times_the_bars(bars, tmp_path):
    figures = bars.start_and_idle(tmp_path, runs=1)
    assert figures["cold_start_s"] < 7
    assert figures["idle_pss_mib"] < 600


def test_a_reader_that_stops_costs_no_memory_and_stops_its_upstream(bars, tmp_path):
    figures = bars.stalled_reader(tmp_path, gigabytes=0.2)
    assert figures["stalled_pss_mib"] < 150
    assert figures["stalled_upstream_sent_mb"] < 100


def test_a_disconnect_reaches_the_upstream_within_ten_times_the_bar(bars, tmp_path):
    assert bars.disconnect(tmp_path, runs=3)["disconnect_ms_max"] < 1000
