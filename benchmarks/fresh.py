"""What is measured of processes that have done nothing before: cold start, idle memory, memory of slow streams."""

from __future__ import annotations

import time
from dataclasses import dataclass

import machine
import native
from gateways import Recipe, running
from native import Load, LoadFailed
from scenarios import Bench, Figures, FreshScenario

#: Seconds that a gateway is left alone before its idle memory is looked at.
_SETTLE_S = 0.7
#: Those that carry so many streams; LiteLLM does not.
_STRONG = ("lmgw", "bare", "nginx", "tensorzero")


@dataclass(frozen=True, slots=True)
class ColdStart:
    """From the start of the process to its first answer, and what it holds then."""

    name: str = "cold-start"
    title: str = "Cold start to the first answer, idle memory"
    only: tuple[str, ...] = ()

    def measure(self, bench: Bench, recipe: Recipe) -> Figures:
        """Start it once."""
        with running(recipe, bench.folder / "fresh", bench.upstreams, bench.gateway_core) as gateway:
            time.sleep(_SETTLE_S)
            return {"cold_start_s": gateway.cold_s, "idle_pss_mib": machine.pss_kib(gateway.pid) / 1024}


@dataclass(frozen=True, slots=True)
class SlowStreams:
    """Many streams at a piece a second, as from models that think; opened evenly over some seconds."""

    name: str
    title: str
    streams: int
    only: tuple[str, ...] = _STRONG
    opening_s: float = 4.0

    def measure(self, bench: Bench, recipe: Recipe) -> Figures:
        """Return memory a stream, and the time to the first byte while they were opened."""
        hold_s = max(2.5, bench.seconds(4.0))
        load = Load(
            self.streams,
            self.opening_s + hold_s,
            pieces=60,  # none ends before it is looked at
            interval_us=1_000_000,
            warm_s=0,
            ramp=int(self.streams / self.opening_s),
        )
        with running(recipe, bench.folder / "fresh", bench.upstreams, bench.gateway_core) as gateway:
            bench.warm_up(gateway)
            before = machine.pss_kib(gateway.pid)
            process = native.start(bench.folder, bench.load_core, gateway.aim(), load)
            time.sleep(self.opening_s + hold_s * 0.4)
            cpu_s, began = machine.cpu_s(gateway.pid), time.monotonic()
            time.sleep(hold_s * 0.4)
            used = (machine.cpu_s(gateway.pid) - cpu_s) / (time.monotonic() - began)
            after, streams = machine.pss_kib(gateway.pid), native.streams_open(bench.upstreams.plain)
            found = native.result(process, load)
        if streams < self.streams:
            raise LoadFailed(f"only {streams} of {self.streams} streams were open")
        return {
            "kib_per_stream": (after - before) / self.streams,
            "ttft_p50_ms": found["ttft_p50_ms"],
            "ttft_p99_ms": found["ttft_p99_ms"],
            "one_way_p99_ms": found["one_way_p99_ms"],
            "cpu_percent": used * 100,
        }


FRESH_SCENARIOS: list[FreshScenario] = [
    ColdStart(),
    SlowStreams("slow-1000", "1,000 streams, a piece a second", 1000),
    SlowStreams("slow-5000", "5,000 streams, a piece a second", 5000),
]
