"""The machine of a benchmark: its cores, what it is, and processes as the kernel sees them."""

from __future__ import annotations

import os
import platform
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path


def cores() -> tuple[int, int]:
    """Return the core of the upstream and the load, and that of the gateway; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[1 % len(allowed)]


def pinned(core: int, command: Sequence[str | Path]) -> list[str]:
    """Return the command that runs ``command`` on one core, its threads and children too."""
    return ["taskset", "-c", str(core), *map(str, command)]


def allow_many_files() -> None:
    """Raise the limit of open files, which children inherit: each stream through a gateway takes two of its."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def describe() -> dict[str, str | int | float]:
    """Return what a reader needs to know of this machine."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "system": _system(),
        "python": platform.python_version(),
        "busy_before": os.getloadavg()[0],
    }


def _system() -> str:
    with suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return platform.system()


# --- processes


def tree(pid: int) -> list[int]:
    """Return a process and all that it started."""
    return list(_tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from _tree(int(child))


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process and its children have used (see clock_getcpuclockid(3))."""
    used = 0.0
    for each in tree(pid):
        with suppress(OSError):
            used += time.clock_gettime(~each << 3 | 2)
    return used


def pss_kib(pid: int) -> int:
    """Return the proportional set size of a process and its children, in KiB."""
    size = 0
    for each in tree(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    size += int(line.split()[1])
    return size


def signal_all(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all that it started."""
    for each in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(each, number)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, frozen or not."""
    signal_all(process.pid, signal.SIGKILL)
    process.wait()
