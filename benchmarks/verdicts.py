"""How fast the gateway is to be: bars that a run's medians are held against. Nothing fails by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any

#: Times of a shared machine vary so much.
TOLERANCE = 0.1
_NS = "requests_per_s"
_REQUEST, _CHUNK = "cpu_us_per_request", "cpu_us_per_chunk"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar; ``least`` says that the value must reach it, else it must not exceed it."""

    what: str
    value: float
    bar: float
    unit: str = "x"
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is, within the tolerance."""
        if self.least:
            return self.value >= self.bar * (1 - TOLERANCE)
        return self.value <= self.bar * (1 + TOLERANCE)

    def as_json(self) -> dict[str, Any]:
        """Return the fields, and ``met``."""
        return {**asdict(self), "value": round(self.value, 3), "met": self.met}


def verdicts(found: dict[str, Any]) -> list[Verdict]:
    """Return those that a run has the figures for; ``found`` are its scenarios (see ``Report.as_json``)."""
    figures = _Figures(found)
    return [verdict for verdict in (*_against_peers(figures), *_absolute(figures)) if not isnan(verdict.value)]


class _Figures:
    """The medians of a run; NaN for what was not measured."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def __call__(self, scenario: str, figure: str, gateway: str = "lmgw") -> float:
        try:
            return float(self._found[scenario]["gateways"][gateway]["median"][figure])
        except KeyError:
            return nan

    def ratio(self, scenario: str, figure: str, to: str) -> float:
        """Return how many times another gateway's figure ours is."""
        other = self(scenario, figure, to)
        return self(scenario, figure) / other if other else nan


def _against_peers(figures: _Figures) -> Iterator[Verdict]:
    ratio = figures.ratio
    yield Verdict("requests a second, of TensorZero's", ratio("throughput", _NS, "tensorzero"), 2.0, least=True)
    yield Verdict("requests a second, of LiteLLM's", ratio("throughput", _NS, "litellm"), 70.0, least=True)
    added = ratio("latency-1", "added_p50_ms", "tensorzero")
    yield Verdict("added latency p50 at one connection, of TensorZero's", added, 1.0)
    for pace in ("10", "50"):
        cpu = ratio(f"chunks-{pace}ms", _CHUNK, "tensorzero")
        yield Verdict(f"CPU a relayed chunk every {pace} ms, of TensorZero's", cpu, 1.0)
    yield Verdict("CPU a request, of the bare relay's", ratio("throughput", _REQUEST, "bare"), 1.5)
    yield Verdict("CPU a relayed chunk, of the bare relay's", ratio("chunks-10ms", _CHUNK, "bare"), 1.5)


def _absolute(figures: _Figures) -> Iterator[Verdict]:
    passed = figures("chunks:openai-openai", _CHUNK)
    for client, upstream in (("openai", "anthropic"), ("anthropic", "openai")):
        translated = figures(f"chunks:{client}-{upstream}", _CHUNK) / passed
        yield Verdict(f"CPU a chunk from {upstream} to {client} callers, of one passed through", translated, 2.5)
    yield Verdict("memory a stream at 1,000", figures("slow-1000", "kib_per_stream"), 20, "KiB")
    yield Verdict("time to first byte p99 at 5,000 streams", figures("slow-5000", "ttft_p99_ms"), 250, "ms")
    yield Verdict("cold start to the first answer", figures("cold-start", "cold_start_s"), 0.5, "s")
    yield Verdict("idle memory", figures("cold-start", "idle_pss_mib"), 60, "MiB")
