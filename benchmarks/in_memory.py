"""CPU that one request costs in Python, in microseconds: client port, engine, client for providers, books; no sockets.

    python benchmarks/in_memory.py [--seconds 10] [--profile]

Both ends of the gateway are transports that keep what is written, so what is measured is the gateway's own code and
nothing of the kernel's. Times are the best of many runs, of the process: they hold on a busy machine, where
``benchmarks/run.py`` does not. ``--profile`` shows where the time goes instead. ``PYTHONPATH`` chooses the tree.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import hashlib
import json
import os
import pstats
import random
import time
from io import FileIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address

from lmgw.config.snapshot import Backend, Client, Config, Gateway, Profile, Tier
from lmgw.gateway.engine import Engine
from lmgw.logs import Logs
from lmgw.service import GARBAGE
from lmgw.upstream import pool
from lmgw.web.client import client_site

KEY = b"sk-a-key-of-the-benchmark"
BODY = json.dumps(
    {
        "model": "hint:fast",
        "messages": [{"role": "system", "content": "Be brief. " * 20}, {"role": "user", "content": "Why? " * 110}],
        "temperature": 0.2,
        "max_tokens": 512,
        "stream": False,
    },
    separators=(",", ":"),
).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (KEY, len(BODY), BODY)
)
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "fast",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 250}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 80, "total_tokens": 280},
    }
).encode()
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
#: Requests between two looks at the clock.
BATCH = 300


class Transport:
    """As much of a TCP transport as both ends use."""

    disconnecting = False

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 40_000)

    getHost = getPeer

    def ignore(self, *_: Any) -> None: ...

    registerProducer = unregisterProducer = pauseProducing = resumeProducing = ignore
    loseConnection = abortConnection = setTcpNoDelay = ignore


class InMemory:
    """A gateway with a client's key, an alias, prices, the traffic log, metrics, and a log that goes nowhere."""

    def __init__(self) -> None:
        config = Config(
            gateway=Gateway(),
            backends={"up": Backend("up", base_url="http://127.0.0.1:1/v1")},
            tiers={"fast": Tier("fast", "up", "gpt-5-mini", input_price=0.25, output_price=2.0)},
            profiles={"default": Profile("default", classifier="fast", ladder=("fast",))},
            aliases={"hint:fast": "fast"},
            clients=(Client("laptop", "default", key_sha256=hashlib.sha256(KEY).hexdigest()),),
            auth_required=True,
        )
        logs = Logs(FileIO(os.open(os.devnull, os.O_WRONLY), "wb"))
        logs.configure("info", "text")
        engine = Engine(reactor, time.time, random.random, logs.requests)
        engine.adopt(engine.prepare(config))
        engine.admission.admits = lambda: True  # type: ignore[method-assign]  # no turns of a loop are taken here
        self._opened: list[tuple[Any, Transport]] = []
        pool.connect = self._connect  # type: ignore[assignment]
        self._client = Transport()
        self._channel = client_site(engine, reactor).buildProtocol(self._client.getPeer())
        self._channel.makeConnection(self._client)

    async def _connect(self, reactor: Any, target: Any, factory: Any) -> Any:
        connection, transport = factory.buildProtocol(None), Transport()
        connection.makeConnection(transport)
        self._opened.append((connection, transport))
        return connection

    def request(self) -> bytes:
        """Let one request through; returns what its client gets."""
        self._channel.dataReceived(REQUEST)
        connection, transport = self._opened[-1]
        transport.written.clear()
        connection.dataReceived(RESPONSE)
        answered = b"".join(self._client.written)
        self._client.written.clear()
        return answered


def main() -> None:
    """Print the figure, or a profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    gateway = InMemory()
    answered = gateway.request()
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n"), answered
    assert answered.endswith(ANSWER), answered
    if options.profile:
        with cProfile.Profile() as profile:
            for _ in range(3000):
                gateway.request()
        pstats.Stats(profile).sort_stats("tottime").print_stats(60)
        return
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)  # as the service does
    best = float("inf")
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        began = time.process_time()
        for _ in range(BATCH):
            gateway.request()
        best = min(best, time.process_time() - began)
        reactor.runUntilCurrent()  # type: ignore[attr-defined]  # what was put off: the cancelled timers go
    print(f"{best / BATCH * 1e6:.1f} µs a request")


if __name__ == "__main__":
    main()
