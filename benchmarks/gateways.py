"""Gateways that can be measured: how each is started, asked, frozen while others are measured, and ended."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import machine
from bars import free_port
from dialects import DIALECTS, OPENAI
from native import Aim, LoadFailed

#: What callers send; gateways that want a key are told this one.
KEY = "sk-local-benchmark-not-a-secret-0000000000"
HEADERS = (f"Authorization: Bearer {KEY}",)
#: Seconds that a gateway may take to answer its first request.
START_S = 90.0


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The ports of the fake provider: plain, and behind TLS with the certificate that is to be trusted."""

    plain: int
    tls: int = 0
    certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What starts a gateway; ``port_file`` is where one that picks its port itself writes its URL."""

    words: Sequence[str | Path]
    environ: Mapping[str, str] = field(default_factory=dict)
    port_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A gateway that can be started.

    :ivar command: writes its configuration to (a folder), for (its port), in front of (these upstreams).
    :ivar target: where it takes Chat Completions.
    :ivar model: the name that leads to the upstream by the plain way.
    """

    name: str
    version: str
    command: Callable[[Path, int, Upstreams], Command]
    target: str = OPENAI.target
    model: str = "openai"


class Running:
    """A gateway that has answered its first request.

    :ivar cold_s: seconds from its start to that answer.
    :ivar pid: 0 for the upstream itself, which stands here as the gateway ``direct``.
    """

    def __init__(self, name: str, port: int, recipe: Recipe | None, process: subprocess.Popen[bytes] | None) -> None:
        self.name = name
        self.port = port
        self.cold_s = 0.0
        self.pid = 0 if process is None else process.pid
        self._recipe = recipe
        self._process = process

    def aim(self, dialect: str = "openai", model: str = "") -> Aim:
        """Return where a load for it goes."""
        recipe = self._recipe
        target = recipe.target if recipe is not None and dialect == "openai" else ""
        asked = model or (recipe.model if recipe is not None else "fake")
        pids = machine.tree(self.pid) if self.pid else ()
        return Aim(self.port, asked, DIALECTS[dialect], HEADERS, pids, target)

    def freeze(self) -> None:
        """Let it take no time from another."""
        if self.pid:
            machine.signal_all(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.pid:
            machine.signal_all(self.pid, signal.SIGCONT)

    def await_first_answer(self, began: float) -> None:
        """Ask until it answers well. Raises :class:`LoadFailed` if it ends or takes too long."""
        aim = self.aim()
        while not _answers(aim):
            if self._process is not None and self._process.poll() is not None:
                raise LoadFailed(f"{self.name} ended with {self._process.returncode}; see its log")
            if time.monotonic() - began > START_S:
                raise LoadFailed(f"{self.name} did not answer within {START_S:.0f} s; see its log")
            time.sleep(0.002)
        self.cold_s = time.monotonic() - began


def direct(upstreams: Upstreams) -> Running:
    """Return the upstream as a gateway that does nothing."""
    return Running("direct", upstreams.plain, None, None)


@contextmanager
def running(recipe: Recipe, folder: Path, upstreams: Upstreams, core: int) -> Iterator[Running]:
    """Start a gateway on a core; its files, its log among them, are in ``folder``. Raises :class:`LoadFailed`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = recipe.command(folder, port, upstreams)
    if command.port_file is not None:
        command.port_file.unlink(missing_ok=True)
    environ = {**os.environ, **command.environ}
    words = machine.pinned(core, command.words)
    with open(folder / f"{recipe.name}.out", "wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(words, cwd=folder, env=environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        if command.port_file is not None:
            port = _announced(command.port_file, process, began)
        gateway = Running(recipe.name, port, recipe, process)
        gateway.await_first_answer(began)
        yield gateway
    finally:
        machine.end(process)


def _announced(path: Path, process: subprocess.Popen[bytes], began: float) -> int:
    while process.poll() is None and time.monotonic() - began < START_S:
        with suppress(OSError, IndexError):
            return int(path.read_text().split("://")[1].partition("/")[0].partition(":")[2])
        time.sleep(0.002)
    raise LoadFailed(f"{process.args!r} names no port; see its log")


def _answers(aim: Aim) -> bool:
    """Whether a small request is answered with 200."""
    headers = {"Content-Type": "application/json", **dict(header.split(": ", 1) for header in aim.headers)}
    connection = http.client.HTTPConnection("127.0.0.1", aim.port, timeout=5)
    try:
        connection.request("POST", aim.target or aim.dialect.target, aim.dialect.request(aim.model), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
