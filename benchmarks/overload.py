"""Offers the gateway three times what it can carry, and measures what those get whom it lets in.

    python benchmarks/overload.py [--rounds 3] [--seconds 10] [--streams] [--fresh] [--json FILE]

Runs the installed ``twistd lmgw`` on one core; an upstream of its own and the clients share another. A round is:

1. closed loop: so many clients, each asks again as soon as it is answered; what is answered a second is the capacity;
2. open loop at four fifths of that: requests come when they come (Poisson), whatever has become of the others;
3. open loop at three times the capacity.

Latency counts from the moment at which a request was to be sent, to the whole answer (to its first piece where it is
streamed). ``/healthz`` is asked ten times a second on a connection of its own, as an orchestrator would. Times of a
shared machine vary: look at the ratios. Needs Linux and nothing but the standard library.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bars import free_port, healthy

CONFIG = """
[gateway]
client_port = {client}
admin_port = {admin}
client_host = "127.0.0.1"

[backends.up]
provider = "anthropic"
base_url = "http://127.0.0.1:{upstream}"

[[tiers]]
name = "fast"
backend = "up"
model = "m"
"""

#: The start of an open loop, in seconds, that is not counted where it says "steady".
ONSET_S = 2.0
#: Connections at most.
CONNECTIONS = 8000
#: Turns of a conversation: what makes a request dear to the gateway, which translates it, and cheap to send.
TURNS = 150
#: A streamed answer: pieces, and seconds between them.
PIECES, PACE_S = 30, 0.02

_HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAccept: application/json\r\n"
    "Content-Type: application/json\r\nUser-Agent: OpenAI/Python 2.1.0\r\nX-Stainless-Lang: python\r\n"
    "Authorization: Bearer sk-none\r\n{more}Content-Length: {length}\r\n\r\n"
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"

_USAGE = {"input_tokens": 900, "output_tokens": 60}
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
_WHOLE = {**_MESSAGE, "content": [{"type": "text", "text": "word " * 60}], "stop_reason": "end_turn", "usage": _USAGE}
_BEGIN = (
    {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None, "usage": _USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)
_PIECE = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
_END = (
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _USAGE},
    {"type": "message_stop"},
)


def request(*, stream: bool, close: bool) -> bytes:
    """Return one request of some kilobytes."""
    messages = [
        {"role": ("user", "assistant")[at % 2], "content": f"{at}: " + "Hello? " * 12} for at in range(TURNS - 1)
    ]
    body = json.dumps({"model": "fast", "stream": stream, "messages": messages}).encode()
    return _HEAD.format(length=len(body), more="Connection: close\r\n" if close else "").encode() + body


# --- the upstream, in a process of its own ---------------------------------------------------------------------------


def _events(*events: dict[str, Any]) -> bytes:
    data = b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in events
    )
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """Answers every request at once, or piece by piece."""

    body = json.dumps(_WHOLE).encode()
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    begin, piece, end = _events(*_BEGIN), _events(_PIECE), _events(*_END) + b"0\r\n\r\n"

    def connection_made(self, transport: Any) -> None:
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            self.received = b""
            if b'"stream":true' in body.replace(b" ", b""):
                self.transport.write(self.head + self.begin + self.piece)
                self._go_on(1)
            else:
                self.transport.write(self.whole)

    def _go_on(self, sent: int) -> None:
        if self.transport.is_closing():
            return
        if sent == PIECES:
            self.transport.write(self.end)
        else:
            self.transport.write(self.piece)
            asyncio.get_running_loop().call_later(PACE_S, self._go_on, sent + 1)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)


async def serve_upstream(port: int) -> None:
    """Answer for ever."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


# --- the clients -----------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What came of the requests of one phase: milliseconds by status, in the order they ended, with their start."""

    ended: list[tuple[float, int, float]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    asked: int = 0
    unsent: int = 0
    lags: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def latencies(self, status: int, since_s: float = 0.0) -> list[float]:
        """Return the sorted milliseconds of those that started ``since_s`` seconds after the phase began."""
        return sorted(ms for at, code, ms in self.ended if code == status and at - self.began >= since_s)

    def rate(self, status: int, since_s: float, until_s: float) -> float:
        """Return how many a second ended with this status."""
        return len(self.latencies(status, since_s)) / (until_s - since_s)


class Client(asyncio.Protocol):
    """One connection; ``done`` is called with it when it is free again, ``lost`` when it is closed."""

    def __init__(
        self, tally: Tally, asked: bytes, done: Callable[[Client], None], lost: Callable[[Client], None]
    ) -> None:
        self.tally, self.asked, self.done, self.lost = tally, asked, done, lost
        self.scheduled: float | None = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.scheduled is not None:
            self.ask(self.scheduled)

    def ask(self, scheduled: float) -> None:
        """Send the request that was due at ``scheduled``."""
        self.scheduled, self.received, self.first = scheduled, b"", 0.0
        self.transport.write(self.asked)

    def data_received(self, data: bytes) -> None:
        if not self.received or not self.first:
            self.first = time.monotonic()
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        chunked = b"chunked" in head
        if body.endswith(b"0\r\n\r\n") if chunked else len(body) >= _length(head):
            self._answered(head, self.first if chunked else time.monotonic())

    def _answered(self, head: bytes, at: float) -> None:
        assert self.scheduled is not None
        status = int(head[9:12])
        self.tally.ended.append((self.scheduled, status, (at - self.scheduled) * 1000))
        if status != 200 and b"retry-after" not in head.lower():
            self.tally.failures[f"{status} without Retry-After"] += 1
        self.scheduled = None
        if b"connection: close" in head.lower():
            self.drop()
        self.done(self)

    def connection_lost(self, reason: Exception | None) -> None:
        if self.scheduled is not None:
            self.tally.failures["connection lost"] += 1
        self.transport = self.scheduled = None
        self.lost(self)

    def drop(self) -> None:
        """Close without a word."""
        self.scheduled = None
        if self.transport is not None:
            self.transport.abort()
            self.transport = None


class Clients:
    """The connections of one phase."""

    def __init__(self, port: int, asked: bytes, done: Callable[[Client], None]) -> None:
        self.tally = Tally()
        self._port, self._asked, self._done = port, asked, done
        self._all: set[Client] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._over = False

    def ask(self, due: float) -> None:
        """Send a request on a new connection."""
        if self._over:
            return
        if len(self._all) >= CONNECTIONS:
            self.tally.unsent += 1  # the load's own limit, on a machine that stands still for a second
            return
        client = Client(self.tally, self._asked, self._done, self._all.discard)
        client.scheduled = due
        self._all.add(client)
        self.tally.connections += 1
        task = asyncio.get_running_loop().create_task(self._open(client))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, client: Client) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", self._port)
        except OSError as error:
            client.scheduled = None
            self._all.discard(client)
            self.tally.failures[type(error).__name__] += 1

    def close(self) -> None:
        """Drop them all."""
        self._over = True
        for client in list(self._all):
            client.drop()


async def closed_loop(port: int, asked: bytes, many: int, seconds: float) -> Tally:
    """Let ``many`` clients ask again as soon as they are answered; a second later where they were turned away."""

    def again(client: Client) -> None:
        if clients.tally.ended[-1][1] == 200:
            ask(client)
        else:
            asyncio.get_running_loop().call_later(1, ask, client)

    def ask(client: Client) -> None:
        if client.transport is None:
            clients.ask(time.monotonic())
        else:
            client.ask(time.monotonic())

    clients = Clients(port, asked, again)
    for _ in range(many):
        clients.ask(time.monotonic())
    await asyncio.sleep(1)
    clients.tally.ended.clear()
    clients.tally.began = time.monotonic()
    await asyncio.sleep(seconds)
    clients.close()
    return clients.tally


async def open_loop(port: int, asked: bytes, rate: float, seconds: float) -> Tally:
    """Send ``rate`` requests a second, evenly at random, each on a connection that is free, or on a new one."""
    free: list[Client] = []
    clients = Clients(port, asked, free.append)
    tally, dice = clients.tally, random.Random(1)
    due = tally.began
    while (now := time.monotonic()) < tally.began + seconds:
        if due <= now:
            tally.lags.append((now - due) * 1000)
        while due <= now:
            while free and free[-1].transport is None:
                free.pop()
            if free:
                free.pop().ask(due)
            else:
                clients.ask(due)
            tally.asked += 1
            due += dice.expovariate(rate)
        await asyncio.sleep(min(0.001, max(0.0, due - time.monotonic())))
    await asyncio.sleep(2)
    clients.close()
    return tally


async def probe(port: int, tally: Tally) -> None:
    """Ask for the health ten times a second, each time on a connection of its own, until cancelled."""
    while True:
        since = time.monotonic()
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10)
            try:
                writer.write(HEALTH)
                answer = await asyncio.wait_for(reader.read(), 10)
            finally:
                writer.transport.abort()
            tally.ended.append((since, int(answer[9:12] or 0), (time.monotonic() - since) * 1000))
        except (OSError, TimeoutError) as error:
            tally.failures[type(error).__name__] += 1
        await asyncio.sleep(0.1)


# --- a round ---------------------------------------------------------------------------------------------------------


def share(values: list[float], part: float) -> float:
    """Return a percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


async def a_round(port: int, asked: bytes, clients: int, seconds: float) -> dict[str, float]:
    """Run the three phases; returns their figures."""
    closed = await closed_loop(port, asked, clients, seconds / 2)
    capacity = closed.rate(200, 0, seconds / 2)
    below = await open_loop(port, asked, capacity * 0.8, seconds / 2)
    health = Tally()
    prober = asyncio.create_task(probe(port, health))
    above = await open_loop(port, asked, capacity * 3, seconds)
    prober.cancel()
    await asyncio.wait([prober])
    p99_closed, p99_below = share(closed.latencies(200), 0.99), share(below.latencies(200, ONSET_S), 0.99)
    p99 = share(above.latencies(200, ONSET_S), 0.99)
    return {
        "connections": above.connections,
        "sender_lag_p99_ms": share(sorted(above.lags), 0.99),
        "capacity_per_s": capacity,
        "closed_p99_ms": p99_closed,
        "closed_not_200": sum(code != 200 for _, code, _ in closed.ended),
        "below_p99_ms": p99_below,
        "below_not_200": sum(code != 200 for _, code, _ in below.ended) + below.failures.total(),
        "above_offered_per_s": above.asked / seconds,
        "above_unsent": above.unsent,
        "above_200_per_s": above.rate(200, ONSET_S, seconds),
        "above_503_per_s": above.rate(503, ONSET_S, seconds),
        "above_p50_ms": share(above.latencies(200, ONSET_S), 0.5),
        "above_p99_ms": p99,
        "above_p99_with_onset_ms": share(above.latencies(200), 0.99),
        "above_503_p99_ms": share(above.latencies(503, ONSET_S), 0.99),
        "above_other": above.failures.total() + sum(code not in (200, 503) for _, code, _ in above.ended),
        "health_p99_ms": share(health.latencies(200), 0.99),
        "health_failed": health.failures.total() + sum(code != 200 for _, code, _ in health.ended),
        "ratio_to_closed": p99 / p99_closed,
        "ratio_to_below": p99 / p99_below,
        "goodput": above.rate(200, ONSET_S, seconds) / capacity,
    }


@contextmanager
def processes(folder: Path) -> Iterator[int]:
    """Run the upstream and the gateway, each on its core; yields the gateway's port."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * CONNECTIONS)), hard))
    client, upstream = free_port(), free_port()
    path = folder / "config.toml"
    path.write_text(CONFIG.format(client=client, admin=free_port(), upstream=upstream))
    cores = sorted(os.sched_getaffinity(0))
    gateway_cores, other_cores = cores[:1], cores[1:] or cores
    os.sched_setaffinity(0, other_cores)
    twistd = Path(sys.executable).with_name("twistd")
    commands = {
        "upstream": [sys.executable, __file__, "--upstream", str(upstream)],
        "gateway": [twistd, "-n", "--pidfile=", "--logfile=/dev/null", "lmgw", "--config", path],
    }
    running = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands.values()]
    os.sched_setaffinity(running[1].pid, gateway_cores)
    try:
        while not healthy(client):
            if running[1].poll() is not None:
                raise SystemExit(f"twistd lmgw ended with {running[1].returncode}")
            time.sleep(0.05)
        yield client
    finally:
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()


def measure(
    folder: Path, *, rounds: int = 3, seconds: float = 10, stream: bool = False, fresh: bool = False
) -> dict[str, float]:
    """Run everything; returns the medians over the rounds."""
    asked = request(stream=stream, close=fresh)
    clients = 400 if stream else 48
    found = []
    for _ in range(rounds):
        with processes(folder) as port:
            found.append(asyncio.run(a_round(port, asked, clients, seconds)))
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def main() -> None:
    """Print a table, and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--streams", action="store_true", help="streamed answers; latency is to the first piece")
    parser.add_argument("--fresh", action="store_true", help="a connection for each request")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--upstream", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream:
        asyncio.run(serve_upstream(options.upstream))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(
            Path(folder), rounds=options.rounds, seconds=options.seconds, stream=options.streams, fresh=options.fresh
        )
    for name, value in figures.items():
        print(f"{name:26} {value:10.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"cores": os.cpu_count(), **figures}, indent=1))


if __name__ == "__main__":
    main()
