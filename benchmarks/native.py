"""The two tools in C, built when they are needed: the fake provider (upstream.c) and the load (load.c)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import machine
from dialects import DIALECTS, Dialect

SOURCES = Path(__file__).with_name("native")
#: Seconds that a run may take longer than it was asked to.
_PATIENCE_S = 20


class LoadFailed(Exception):
    """A gateway that did not answer as it should, in words."""


def build(folder: Path) -> None:
    """Compile what is older than its source. Raises ``SystemExit`` without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("benchmarks need a C compiler (Debian: gcc and libc6-dev)")
    folder.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    for name in ("upstream", "load"):
        made = folder / name
        if not made.exists() or made.stat().st_mtime < newest:
            subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", made, SOURCES / f"{name}.c"], check=True)


@contextmanager
def upstream(folder: Path, core: int) -> Iterator[int]:
    """Run the fake provider; yields its port."""
    spoken = []
    for name, dialect in DIALECTS.items():
        dialect.write_to(folder / name)
        spoken.append(folder / name)
    with subprocess.Popen(machine.pinned(core, [folder / "upstream", *spoken]), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, how often, and for how long.

    :ivar pieces: of every answer; 0 asks for whole answers. ``interval_us`` lies between two of them.
    :ivar size: of a request's body in bytes; 0: about 1 kB.
    :ivar warm_s: goes before the ``seconds`` that are measured.
    :ivar each: requests of a connection, waited for; 0: as many as the time holds.
    :ivar ramp: connections opened a second; 0: all at once.
    """

    connections: int
    seconds: float
    pieces: int = 0
    interval_us: int = 0
    size: int = 0
    warm_s: float = 0.0
    each: int = 0
    ramp: int = 0

    def arguments(self, dialect: Dialect) -> list[str]:
        """Return the options of the tool."""
        options: dict[str, Any] = {
            "-c": self.connections,
            "-s": self.seconds,
            "-w": self.warm_s,
            "-n": self.each,
            "-r": self.ramp,
            "-m": self.pieces,
            "-e": dialect.end_of(streamed=self.pieces > 0),
        }
        return [str(part) for option in options.items() for part in option]


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a load goes: a gateway's port, and the model that leads to the upstream.

    :ivar pids: processes whose CPU is told.
    :ivar target: instead of the dialect's own.
    """

    port: int
    model: str
    dialect: Dialect
    headers: Sequence[str] = ()
    pids: Sequence[int] = ()
    target: str = ""


def start(folder: Path, core: int, aim: Aim, load: Load) -> subprocess.Popen[bytes]:
    """Start a load; :func:`result` waits for it."""
    more = [part for header in aim.headers for part in ("-H", header)]
    more += [part for pid in aim.pids for part in ("-g", str(pid))]
    where = [str(aim.port), aim.target or aim.dialect.target]
    command = machine.pinned(core, [folder / "load", *load.arguments(aim.dialect), *more, *where])
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    body = aim.dialect.request(aim.model, pieces=load.pieces, interval_us=load.interval_us, size=load.size)
    process.stdin.write(body)
    process.stdin.close()
    process.stdin = None
    return process


def result(process: subprocess.Popen[bytes], load: Load) -> dict[str, Any]:
    """Return what a load found. Raises :class:`LoadFailed` if any answer was wrong."""
    try:
        out, _ = process.communicate(timeout=load.warm_s + load.seconds + _PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LoadFailed("the load did not come to its end") from None
    if process.returncode:
        raise LoadFailed(f"the load ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out)
    if found["failed"]:
        raise LoadFailed(f"{found['failed']} wrong answers, the first: {found['first_failure']}")
    if not found["chunks" if load.pieces else "requests"]:
        raise LoadFailed("nothing was answered")
    return found


def run(folder: Path, core: int, aim: Aim, load: Load) -> dict[str, Any]:
    """Run a load to its end; see :func:`result`."""
    return result(start(folder, core, aim, load), load)


def streams_open(port: int) -> int:
    """Return how many streams the fake provider is sending now."""
    with urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
        return int(json.load(answer)["streams"])
