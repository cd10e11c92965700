"""The soak: a real gateway between failing providers and misbehaving clients, reloaded all the time, for ten minutes.

    make soak                    # SOAK_SECONDS=60 make soak for a shorter one

Every answer is judged against the fault that was asked for. At the end nothing may be left over: no connection, slot,
timer or descriptor, and memory must be flat. Needs Linux (/proc) and the installed package.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from crowd import Crowd, Limits, Tally  # noqa: E402  (scripts beside this one)
from faults import FAULTS  # noqa: E402
from talk import Answer, Line  # noqa: E402

#: Memory may grow by this much over the last half, in MB.
FLAT_MB = 5.0
#: Seconds after which nothing may be left over: connections to providers are kept for a few.
QUIET_S = 20
LIMITS = Limits(write_s=2.0, head_s=1.0)
KEYS = ("one", "two", "vip", "flood", "limited", "narrow")

CONFIG = """
[gateway]
client_host = "127.0.0.1"
client_port = {client}
admin_port = {admin}
log_level = "info"
traffic_log_capacity = 200
traffic_log_path = "{folder}/traffic.jsonl"
trusted_proxies = ["127.0.0.1/32"]
identity_header = "X-Forwarded-User"
request_timeout_ms = 40000
stream_idle_timeout_ms = 3000
header_timeout_ms = 1000
body_timeout_ms = 1000
client_write_timeout_ms = 2000
keepalive_ms = 300
early_begin_ms = 1200
max_request_bytes = 1000000
health_cooldown_ms = 500
max_retries = {retries}
retry_delay_ms = 50

[backends.openai]
base_url = "http://127.0.0.1:{provider}"
api_key_env = "UP_KEY"
timeout_ms = 3000
[backends.anthropic]
provider = "anthropic"
base_url = "http://127.0.0.1:{provider}"
api_key_env = "UP_KEY"
timeout_ms = 3000
[backends.ollama]
provider = "ollama"
base_url = "http://127.0.0.1:{provider}"
timeout_ms = 3000
[backends.gpu]
base_url = "http://localhost:{provider}"
timeout_ms = 3000
[backends.capped]
base_url = "http://127.0.0.1:{provider}/"
timeout_ms = 3000
max_connections = {connections}
[backends.calm]
base_url = "http://{calm}:{provider}"
[backends.nobody]
base_url = "http://127.0.0.1:1"

[[tiers]]
name = "calm-small"
backend = "calm"
model = "small"
[[tiers]]
name = "calm-large"
backend = "calm"
model = "large"
[[tiers]]
name = "oa"
backend = "openai"
model = "m"
[[tiers]]
name = "an"
backend = "anthropic"
model = "m"
[[tiers]]
name = "ol"
backend = "ollama"
model = "m"
[[tiers]]
name = "gpu"
backend = "gpu"
model = "m"
max_concurrent = {slots}
max_queue_depth = 40
[[tiers]]
name = "capped"
backend = "capped"
model = "m"
[[tiers]]
name = "dead"
backend = "nobody"
model = "m"
[[tiers]]
name = "dead-with-a-friend"
backend = "nobody"
model = "m"
failover = ["calm-small"]
{more}

[profiles.default]
classifier = "oa"
[profiles.climbing]
mode = "escalate"
classifier = "calm-small"
max_auto_tier = "calm-large"
[profiles.sorting]
mode = "classify"
classifier = "calm-small"
max_auto_tier = "calm-large"
"""
CLIENT = '[[clients]]\nname = "{name}"\nkey_env = "KEY_{upper}"\nprofile = "default"\nprofiles = ["*"]\n'
EXTRA = {
    "vip": "default_priority = 3\npriority_ceiling = 5\n",
    "limited": "rate_limit_rpm = 30\n",
    "narrow": 'tiers = ["oa"]\n',
}
SOMETIMES = '[[tiers]]\nname = "sometimes"\nbackend = "calm"\nmodel = "m"\n'
USUAL = {"slots": 3, "connections": 4, "retries": 0, "calm": "localhost", "more": SOMETIMES}
#: What the files say, one after the other; text instead of values is a broken file.
VARIANTS: tuple[dict[str, Any] | str, ...] = (
    USUAL,
    USUAL | {"slots": 1},
    "[gateway\nclient_port = 1",
    USUAL | {"slots": 8, "more": ""},
    USUAL | {"connections": 1, "calm": "127.0.0.1"},
    "[gateway]\nclint_port = 1\n[[tiers]]\nname = 'x'\nbackend = 'nobody-knows'\n",
    USUAL | {"retries": 1},
    USUAL | {"slots": 0},
    USUAL,
)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Report:
    """What a soak came to; ``problems`` is empty where all is well."""

    problems: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)


class Soak:
    """One run."""

    def __init__(self, folder: Path, seconds: float, reload_s: float, flat_mb: float, seed: int) -> None:
        self._folder = folder
        self._seconds, self._reload_s, self._flat_mb, self._seed = seconds, reload_s, flat_mb, seed
        self._client, self._admin, self._provider = free_port(), free_port(), free_port()
        self._log, self._provider_log = folder / "gateway.log", folder / "provider.log"
        self._memory: list[float] = []
        self._most: Counter[str] = Counter()
        self.tally = Tally()
        self.report = Report()

    # --- the processes -----------------------------------------------------------------------------------------------

    def _write(self, variant: dict[str, Any] | str) -> None:
        path = self._folder / "config.toml"
        if isinstance(variant, dict):
            ports = {"client": self._client, "admin": self._admin, "provider": self._provider, "folder": self._folder}
            clients = (CLIENT.format(name=key, upper=key.upper()) + EXTRA.get(key, "") for key in KEYS)
            variant = CONFIG.format(**ports, **variant) + "".join(clients)
        path.write_text(variant)

    def run(self) -> Report:
        """Start everything, let it go on for the time, judge, and stop everything."""
        self._write(VARIANTS[0])
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LMG_")}
        environ |= {f"KEY_{key.upper()}": f"key-{key}" for key in KEYS} | {"UP_KEY": "key-of-the-gateway"}
        twistd = Path(sys.executable).with_name("twistd")
        with self._log.open("wb") as log, self._provider_log.open("wb") as provider_log:
            provider = subprocess.Popen(
                [sys.executable, HERE / "provider.py", str(self._provider)], stderr=provider_log
            )
            self._gateway = subprocess.Popen(
                [twistd, "-n", "--pidfile=", "lmgw", "--config", self._folder / "config.toml"],
                stdout=log,
                stderr=log,
                env=environ,
                cwd="/",
            )
        try:
            asyncio.run(self._soak())
            self._stop()
        finally:
            for process in (self._gateway, provider):
                process.kill()
                process.wait()
        self._read_log()
        self._judge_memory()
        self.report.problems += self.tally.unexplained
        self.report.seen = self.tally.seen
        self.report.figures |= {
            "faults": f"{sum(self.tally.faults.values())} of {len(self.tally.faults)} kinds of {len(FAULTS)}",
            "slowest_health_ms": round(self.tally.slowest_health_s * 1000),
        }
        return self.report

    async def _soak(self) -> None:
        await self._serving()
        before = await self._settled()
        crowd = Crowd(self._client, LIMITS, self.tally, self._seed)
        crowd.start()
        until = time.monotonic() + self._seconds
        others = [asyncio.create_task(each) for each in (self._reload(until), self._watch(until), self._listen(until))]
        await asyncio.gather(*others)
        self._write(VARIANTS[0])
        self._gateway.send_signal(signal.SIGHUP)
        await crowd.stop()
        self._compare(before, await self._settled(before))

    async def _serving(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until and self._gateway.poll() is None:
            try:
                await self._ask(self._client, "/healthz")
                return
            except OSError:
                await asyncio.sleep(0.1)
        raise SystemExit(f"the gateway does not start:\n{self._log.read_text()}")

    def _stop(self) -> None:
        self._gateway.send_signal(signal.SIGTERM)
        began = time.monotonic()
        try:
            code = self._gateway.wait(60)
        except subprocess.TimeoutExpired:
            self.report.problems.append("it does not end after SIGTERM")
            return
        self.report.figures["stop_s"] = round(time.monotonic() - began, 2)
        if code != 0:
            self.report.problems.append(f"it ended with {code}")

    # --- while it runs -----------------------------------------------------------------------------------------------

    async def _reload(self, until: float) -> None:
        variants = cycle(VARIANTS[1:])
        while time.monotonic() + self._reload_s < until:
            await asyncio.sleep(self._reload_s)
            self._write(next(variants))
            self._gateway.send_signal(signal.SIGHUP)
            self.report.figures["reloads"] = self.report.figures.get("reloads", 0) + 1

    async def _watch(self, until: float) -> None:
        """Look every second, as a dashboard and a scraper do."""
        paths = cycle(
            ["/admin/traffic", "/metrics", "/admin/inflight", "/admin/history", "/admin/spend", "/admin/config"]
        )
        while time.monotonic() < until:
            shown = await self._admin_json("/admin/inflight")
            self._most["in_flight"] = max(self._most["in_flight"], shown["count"])
            for name, queue in (await self._admin_json("/admin/queues")).items():
                self._most[f"waiting in {name}"] = max(self._most[f"waiting in {name}"], queue["waiting"])
                self._most[f"running in {name}"] = max(self._most[f"running in {name}"], queue["running"])
            answer = await self._ask(self._admin, next(paths))
            if answer.status != 200:
                self.tally.wrong(f"admin: {answer.status} {answer.message}")
            self._memory.append(self._resident_mb())
            await asyncio.sleep(1)

    async def _listen(self, until: float) -> None:
        """Follow the live events, and go away, again and again."""
        while time.monotonic() < until:
            line = await Line.open(self._admin)
            await line.send(b"GET /admin/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await line.head()
            if answer.status != 200:
                self.tally.wrong(f"/admin/events: {answer.status}")
            await asyncio.sleep(3)
            line.drop()

    async def _ask(self, port: int, path: str) -> Answer:
        line = await Line.open(port)
        await line.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await line.read()
        line.drop()
        return answer

    async def _admin_json(self, path: str) -> Any:
        return json.loads((await self._ask(self._admin, path)).body)

    # --- what is left over -------------------------------------------------------------------------------------------

    def _resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self._gateway.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _descriptors(self) -> Counter[str]:
        """Count the open descriptors by kind; what is known by its path, by that."""
        found: Counter[str] = Counter()
        for entry in Path(f"/proc/{self._gateway.pid}/fd").iterdir():
            try:
                found[re.sub(r":?\[\d+\]", "", os.readlink(entry))] += 1
            except OSError:
                continue
        return found

    async def _held(self) -> dict[str, Any]:
        """Return what the gateway holds now."""
        health = await self._admin_json("/admin/health")
        queues = await self._admin_json("/admin/queues")
        provider = json.loads((await self._ask(self._provider, "/stats")).body)["connections"]
        return {
            "in flight": health["in_flight"],
            "slots": sum(queue["running"] + queue["waiting"] for queue in queues.values()),
            "connections to providers": health["held"]["upstream_connections"],
            "connections that providers see": provider - 1,
            "timers": health["held"]["timers"],
            "descriptors": sum(self._descriptors().values()),
        }

    async def _settled(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """Wait until all is quiet, or as it was before, or for too long; returns what is held then."""
        until = time.monotonic() + QUIET_S
        last = await self._held()
        while time.monotonic() < until:
            await asyncio.sleep(1)
            now = await self._held()
            quiet = now == last if before is None else all(now[name] <= before[name] for name in now)
            if quiet:
                return now
            last = now
        return last

    def _compare(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        self.report.figures["held before"], self.report.figures["held after"] = before, after
        # The traffic log is opened with the first request.
        allowed = {**before, "descriptors": before["descriptors"] + 1}
        for name, number in after.items():
            if number > allowed[name]:
                kinds = dict(self._descriptors()) if name == "descriptors" else ""
                self.report.problems.append(f"left over: {number} {name}, {before[name]} before {kinds}")

    def _judge_memory(self) -> None:
        samples = self._memory
        tenth = max(1, len(samples) // 10)
        half = samples[len(samples) // 2 :]
        grown = statistics.median(half[-tenth:]) - statistics.median(half[:tenth])
        self.report.figures |= {
            "memory_mb": {
                "start": round(samples[0], 1),
                "middle": round(statistics.median(half[:tenth]), 1),
                "end": round(statistics.median(half[-tenth:]), 1),
                "most": round(max(samples), 1),
                "grown over the last half": round(grown, 1),
            },
            "most": dict(self._most),
        }
        if grown > self._flat_mb:
            self.report.problems.append(f"memory grew by {grown:.1f} MB over the last half")

    def _read_log(self) -> None:
        """Find what must not be in a log."""
        text = self._log.read_text(errors="replace")
        for words in ("Traceback", "Unhandled", "fault of the gateway's own", "internal error", "key-"):
            at = text.find(words)
            if at >= 0:
                self.report.problems.append(f"{words!r} in the log: {text[max(0, at - 300) : at + 1500]}")
        if not text.rstrip().endswith("stopped"):
            self.report.problems.append(f"the log ends with: {text[-300:]}")
        if said := self._provider_log.read_text():
            self.report.problems.append(f"the fake provider itself failed: {said[:1500]}")


def main() -> None:
    """Print what was seen; the exit code is 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_SECONDS", 600)))
    parser.add_argument("--reload-s", type=float, default=10)
    parser.add_argument("--flat-mb", type=float, default=FLAT_MB, help="how much memory may grow over the last half")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the configuration and the logs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(options.keep or Path(folder), options.seconds, options.reload_s, options.flat_mb, options.seed)
        report = soak.run()
    for name, number in sorted(report.seen.items()):
        print(f"{number:8} {name}")
    print(json.dumps({"requests": report.seen.total(), **report.figures}, indent=1))
    for problem in report.problems[:40]:
        print("PROBLEM:", problem)
    print(f"{len(report.problems)} problems")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
