"""CPU that a request's record costs, in microseconds: traffic log, metrics, plots, an open dashboard, log line.

Run ``python benchmarks/bookkeeping.py`` in an environment with the package. A request is played through the real
session once; then the end of it is measured over and over, as the engine does it, with one thing more each time. Times
are of the process, the best of several runs. The aim: traffic log (in memory and on disk), metrics and an open
dashboard together under 15 µs at 1,000 requests a second.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from lmgw.config.snapshot import Backend, Client, Config, Gateway, Profile, Tier
from lmgw.core.plan import RouteSession
from lmgw.core.steps import Ended, Event
from lmgw.gateway.asked import Asked
from lmgw.gateway.engine import Engine
from lmgw.gateway.inbound import Inbound, Route
from lmgw.gateway.recording import entry_of
from lmgw.gateway.task import Task
from lmgw.logs import Logs
from lmgw.wire.events import Usage
from lmgw.wire.progress import Progress

BODY = b'{"model":"fast","messages":[{"role":"user","content":"%b"}]}' % (b"hello " * 140)
#: Requests between two writes to a dashboard, at 1,000 a second.
A_TICK = 500


class Browser:
    """A dashboard's sink: writes to /dev/null, as to a socket that takes everything."""

    begun = paused = closed = False

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_WRONLY)

    def write(self, data: bytes) -> None:
        os.write(self._null, b"%x\r\n%b\r\n" % (len(data), data))

    def attach(self, flow: object) -> None: ...
    def begin(self, status: int, headers: object) -> None: ...
    def abort(self, last: bytes = b"") -> None: ...


def engine(clock: Clock, write_lines: Any, **gateway: Any) -> Engine:
    """Return an engine with a client, a profile and a tier that has prices."""
    tier = Tier("fast", "up", "gpt-5-mini", input_price=0.25, output_price=2.0)
    config = Config(
        gateway=Gateway(**gateway),
        backends={"up": Backend("up", base_url="http://127.0.0.1:1")},
        tiers={"fast": tier},
        profiles={"default": Profile("default", classifier="fast", ladder=("fast",))},
        clients=(Client("laptop", "default", key_sha256="0" * 64),),
    )
    made = Engine(clock, clock.seconds, lambda: 0.5, write_lines)
    made.adopt(made.prepare(config))
    return made


def finished_task(made: Engine) -> Task:
    """Return a request that has just been answered by its first attempt."""
    now = made.now()
    inbound = Inbound(Route.CHAT, "req_0123456789abcdef01234567", BODY, peer="192.0.2.1", received_at=now - 1.234567)
    task = Task(made, made.current, inbound, Browser())
    task.identity = made.current.doorman.clients["laptop"]
    task.asked = asked = Asked(inbound, None)
    task.session = session = RouteSession(made.current.routes, task.identity, asked, made.circuits, made.random)
    session.start(now - 1.2)
    task.progress = progress = Progress(content=True, finish="stop", usage=Usage(211, 98), chars=400)
    session.feed(Event(progress), now - 0.4)
    session.feed(Ended(progress), now)
    task.status, task.first_content_at, task.waited_s = 200, now - 0.4, 0.8
    task.spans = [("auth", "", now - 1.23, now - 1.2)]
    task.spans.append(("attempt", "fast", now - 1.2, now))
    return task


def cost_us(work: Callable[[], object], number: int = 500, runs: int = 100) -> float:
    """Return the microseconds of CPU that one call takes."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        for _ in range(number):
            work()
        best = min(best, time.process_time() - began)
    return best / number * 1e6


@contextmanager
def null_log(format: str) -> Iterator[Logs]:
    """A log that is written to nowhere, a line at a time."""
    logs = Logs(FileIO(os.open(os.devnull, os.O_WRONLY), "wb"))
    logs.configure("info", format)
    yield logs


def measure() -> Iterator[tuple[str, float]]:
    """Return each case with its microseconds."""
    clock = Clock()
    clock.advance(1_790_000_000)
    silent = lambda entries, epoch_s: None  # noqa: E731
    made = engine(clock, silent)
    task = finished_task(made)
    lane = made.current.lanes["fast"]
    yield "the entry alone", cost_us(lambda: entry_of(task, clock.seconds(), 0.0))
    yield "the watch over backends", cost_us(lambda: made.watch.succeeded(lane))
    yield (
        "entry, rings, totals, sums, plots, metrics",
        cost_us(lambda: made.books.finished([(task, clock.seconds())], 0.0)),
    )
    with null_log("text") as text, null_log("json") as structured, tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "traffic.jsonl")
        for name, write_lines, listens in (
            ("… and a line in the traffic log's file", silent, False),
            ("… and an open dashboard", silent, True),
            ("… and a log line (text)", text.requests, True),
            ("… and a log line (JSON) in its place", structured.requests, True),
        ):
            made = engine(clock, write_lines, traffic_log_path=path)
            if listens:
                made.events.listen(Browser())
            yield name, cost_us(Ticking(clock, made, task))
            made.export.close()


class Ticking:
    """Finishes a request; after so many of them half a second has passed."""

    def __init__(self, clock: Clock, made: Engine, task: Task) -> None:
        self._clock, self._made, self._task = clock, made, task
        self._count = 0

    def __call__(self) -> None:
        self._made.books.finished([(self._task, self._clock.seconds())], 0.0)
        self._count += 1
        if self._count % A_TICK == 0:
            self._clock.advance(0.5)


def main() -> None:
    """Print a table."""
    for name, microseconds in measure():
        print(f"{name:45} {microseconds:6.2f} µs")


if __name__ == "__main__":
    main()
