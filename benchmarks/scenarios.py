"""What is measured of gateways that run already: requests, latency, chunks, bodies, TLS, and every translation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import native
from dialects import DIALECTS
from gateways import Recipe, Running, Upstreams
from native import Load

#: What one measurement found: figures by their names, which say their units.
Figures = dict[str, float]

#: Client and upstream; to an upstream that has the Responses API, requests of it are only passed through.
PAIRS = [(client, upstream) for client in DIALECTS for upstream in DIALECTS if upstream != "responses"]
PAIRS.append(("responses", "responses"))


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measurement needs: the folder of tools and logs, the cores, the upstreams.

    :ivar scale: what every length of time is multiplied by; 1 for figures that are to be believed.
    """

    folder: Path
    load_core: int
    gateway_core: int
    upstreams: Upstreams
    scale: float = 1.0

    def seconds(self, full: float) -> float:
        """Return how long something takes in this run that takes ``full`` seconds in a whole one."""
        return max(0.3, full * self.scale)

    def warm_up(self, gateway: Running) -> None:
        """Let a gateway do everything once that it does only once. Raises :class:`~native.LoadFailed`."""
        for load in (Load(8, max(0.6, self.seconds(1.5))), Load(4, 0.6, pieces=20)):
            native.run(self.folder, self.load_core, gateway.aim(), load)


class Scenario(Protocol):
    """Something to be measured.

    :ivar only: the gateways that take part; empty: all.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def only(self) -> tuple[str, ...]: ...

    def measure(self, bench: Bench, gateway: Running) -> Figures:
        """Measure a running gateway once. Raises :class:`~native.LoadFailed`."""


class FreshScenario(Protocol):
    """Something to be measured of a process that has done nothing before, while no other gateway runs."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def only(self) -> tuple[str, ...]: ...

    def measure(self, bench: Bench, recipe: Recipe) -> Figures:
        """Start a gateway and measure it once. Raises :class:`~native.LoadFailed`."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Answers in one piece, each connection asking again as soon as it is answered.

    :ivar size: of a request's body in bytes; 0: about 1 kB.
    :ivar model: instead of the one that leads to the plain upstream.
    """

    name: str
    title: str
    connections: int
    seconds: float = 3.0
    size: int = 0
    dialect: str = "openai"
    model: str = ""
    only: tuple[str, ...] = ()

    def measure(self, bench: Bench, gateway: Running) -> Figures:
        """Return requests a second, CPU a request and latencies."""
        load = Load(self.connections, bench.seconds(self.seconds), size=self.size, warm_s=0.3)
        found = native.run(bench.folder, bench.load_core, gateway.aim(self.dialect, self.model), load)
        figures = {
            "requests_per_s": found["requests"] / found["seconds"],
            "latency_p50_ms": found["latency_p50_ms"],
            "latency_p99_ms": found["latency_p99_ms"],
        }
        if gateway.pid:
            figures["cpu_us_per_request"] = found["cpu_s"] / found["requests"] * 1e6
        return figures


@dataclass(frozen=True, slots=True)
class Chunks:
    """Streams of small pieces at an even pace, all open before the window begins and still open at its end."""

    name: str
    title: str
    streams: int
    interval_ms: int
    seconds: float = 3.0
    opening_s: float = 1.0
    dialect: str = "openai"
    model: str = ""
    only: tuple[str, ...] = ()

    def measure(self, bench: Bench, gateway: Running) -> Figures:
        """Return CPU a chunk, the time from the upstream's write to the client's read, and what it carried."""
        opening_s, seconds = bench.seconds(self.opening_s), bench.seconds(self.seconds)
        warm_s = opening_s + 0.3
        load = Load(
            self.streams,
            seconds,
            pieces=int((warm_s + seconds + 0.1) * 1000 / self.interval_ms),
            interval_us=self.interval_ms * 1000,
            warm_s=warm_s,
            each=1,
            ramp=int(self.streams / opening_s),
        )
        found = native.run(bench.folder, bench.load_core, gateway.aim(self.dialect, self.model), load)
        figures = {
            "chunks_per_s": found["chunks"] / found["seconds"],
            "one_way_p50_ms": found["one_way_p50_ms"],
            "one_way_p99_ms": found["one_way_p99_ms"],
            "unfinished": found["unfinished"],
        }
        if gateway.pid:
            figures["cpu_us_per_chunk"] = found["cpu_s"] / found["chunks"] * 1e6
        return figures


def _translations() -> Iterator[Scenario]:
    for client, upstream in PAIRS:
        title = f"{client} to {upstream}" if client != upstream else f"{client} passed through"
        pair, ours = f"{client}-{upstream}", ("lmgw",)
        yield Whole(f"whole:{pair}", title, 32, 1.0, dialect=client, model=upstream, only=ours)
        yield Chunks(f"chunks:{pair}", title, 100, 10, 1.0, 0.3, dialect=client, model=upstream, only=ours)


#: In the order in which they are measured.
SCENARIOS: list[Scenario] = [
    Whole("throughput", "Whole answers, 64 connections, 1 kB requests", 64),
    Whole("latency-1", "Whole answers, 1 connection", 1, 2.0),
    Whole("latency-10", "Whole answers, 10 connections", 10, 2.0),
    Whole("bodies", "Whole answers, 16 connections, 150 kB requests", 16, 3.0, size=150_000),
    Chunks("chunks-10ms", "100 streams, a piece every 10 ms", 100, 10),
    Chunks("chunks-50ms", "100 streams, a piece every 50 ms", 100, 50),
    Whole("tls", "Whole answers, 32 connections, TLS upstream", 32, 2.0, model="tls", only=("lmgw",)),
    Chunks("chunks-tls", "100 streams, a piece every 10 ms, TLS upstream", 100, 10, 2.0, model="tls", only=("lmgw",)),
    *_translations(),
]
