"""Measures what an operator feels: start, idle memory, memory behind a stalled reader, how soon a disconnect is known.

    make bars                              # or: python benchmarks/bars.py [--json FILE] [--gigabytes 1]

Runs the installed ``twistd lmgw`` against an upstream of its own on 127.0.0.1. Needs Linux (/proc) and nothing but the
standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIG = """
[gateway]
client_port = {client}
admin_port = {admin}
client_host = "127.0.0.1"

[backends.up]
base_url = "http://127.0.0.1:{upstream}"

[[tiers]]
name = "fast"
backend = "up"
model = "m"
"""
BODY = json.dumps({"model": "fast", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Flood:
    """An upstream that answers every request with a stream of ``limit`` bytes, as fast as it is read.

    ``sent`` counts bytes; ``closed_at`` is when the reader was found gone, in seconds of the monotonic clock.
    """

    limit: int
    sent: int = 0
    closed_at: float | None = None
    closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        piece = EVENT % (b"x" * 8192)
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(STREAM_HEAD)
            while self.sent < self.limit:
                connection.sendall(chunk)
                self.sent += len(piece)
            connection.recv(1)
        self.closed_at = time.monotonic()
        self.closed.set()


class Quiet(Flood):
    """An upstream that sends one event and then waits for its reader to go."""

    def _answer(self, connection: socket.socket) -> None:
        piece = EVENT % b"x"
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(STREAM_HEAD + b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.recv(1)
        self.closed_at = time.monotonic()
        self.closed.set()


@contextmanager
def gateway(upstream: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """Run the gateway in front of ``upstream``; yields its process, its client port, seconds to its first 200."""
    client = free_port()
    path = folder / "config.toml"
    path.write_text(CONFIG.format(client=client, admin=free_port(), upstream=upstream))
    twistd = Path(sys.executable).with_name("twistd")
    started = time.monotonic()
    process = subprocess.Popen(
        [twistd, "-n", "--pidfile=", "lmgw", "--config", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not healthy(client):
            if process.poll() is not None:
                raise SystemExit(f"twistd lmgw ended with {process.returncode}")
        yield process, client, time.monotonic() - started
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def healthy(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return peer.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def ask(port: int) -> socket.socket:
    """Ask for a stream and return the connection, of which nothing was read."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    peer.connect(("127.0.0.1", port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
    peer.sendall(head.encode() + BODY)
    return peer


def pss_mib(pid: int) -> float:
    """Return a process's proportional set size in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no Pss in smaps_rollup")


def start_and_idle(folder: Path, runs: int = 5) -> dict[str, float]:
    """Median seconds from exec to the first 200, and idle memory then."""
    seconds, memory = [], []
    for _ in range(runs):
        with gateway(free_port(), folder) as (process, _, cold_s):
            seconds.append(cold_s)
            memory.append(pss_mib(process.pid))
    return {"cold_start_s": sorted(seconds)[runs // 2], "idle_pss_mib": sorted(memory)[runs // 2]}


def stalled_reader(folder: Path, gigabytes: float) -> dict[str, float]:
    """Memory behind a client that stops reading, and what its upstream could send before it had to wait."""
    flood = Flood(int(gigabytes * 1e9))
    with closing(flood), gateway(flood.port, folder) as (process, client, _):
        with ask(client) as peer:
            before = -1
            while flood.sent != before or not flood.sent:
                before = flood.sent
                time.sleep(0.5)
            stalled = {"stalled_pss_mib": pss_mib(process.pid), "stalled_upstream_sent_mb": flood.sent / 1e6}
            received = 0
            while received < flood.limit:
                received += len(peer.recv(1 << 20))
        return {**stalled, "after_stream_pss_mib": pss_mib(process.pid)}


def disconnect(folder: Path, runs: int = 9) -> dict[str, float]:
    """Median and worst milliseconds from a client's disconnect to its upstream's."""
    delays = []
    quiet = Quiet(0)
    with closing(quiet), gateway(quiet.port, folder) as (_, client, _):
        for _ in range(runs):
            quiet.closed.clear()
            peer = ask(client)
            while b"content" not in peer.recv(65536):
                pass
            left = time.monotonic()
            peer.close()
            if not quiet.closed.wait(10) or quiet.closed_at is None:
                raise SystemExit("the upstream never heard of the disconnect")
            delays.append((quiet.closed_at - left) * 1000)
    return {"disconnect_ms_p50": sorted(delays)[runs // 2], "disconnect_ms_max": max(delays)}


def measure(gigabytes: float) -> dict[str, float]:
    """Run everything."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            **start_and_idle(Path(folder)),
            **stalled_reader(Path(folder), gigabytes),
            **disconnect(Path(folder)),
        }


def main() -> None:
    """Print a table, and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    options = parser.parse_args()
    figures: dict[str, Any] = measure(options.gigabytes)
    for name, value in figures.items():
        print(f"{name:28} {value:10.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"cores": os.cpu_count(), **figures}, indent=1))


if __name__ == "__main__":
    main()
