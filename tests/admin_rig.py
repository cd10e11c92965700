"""A whole gateway with its admin port, in the test's own reactor.

both = await Both.start(tmp_path, ONE_TIER.format(url=upstream.url))
await both.client.post("/v1/chat/completions", {...})
answer = await both.admin.get("/admin/traffic")
events = await both.listen()                       # a list that live events are added to
await both.stop()
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway_rig import ENVIRON, Client, Gateway
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from lmgw.config.loader import load
from lmgw.operations import GatewayOperations
from lmgw.reload import Reloader
from lmgw.web.admin import admin_site
from lmgw.web.operations import ReloadResult

#: The host that the rig's clients name.
HOSTS = '[gateway]\nadmin_allowed_hosts = ["gw"]\n'


class NoListeners:
    """Opens nothing."""

    async def change(self, wanted: Any) -> None:
        """Do nothing."""


@dataclass
class Events:
    """A listener at ``/admin/events``."""

    connection: Client

    async def until(self, kind: str, count: int = 1) -> list[Any]:
        """Wait until ``count`` events of this kind have come; return the data of all of them."""
        while len(self.of(kind)) < count:
            more: Deferred[bytes] = Deferred()
            seen = len(self.connection.bytes)
            self.connection._waiting.append((lambda data, seen=seen: len(data) > seen, more))
            await more
        return self.of(kind)

    def of(self, kind: str) -> list[Any]:
        """The data of all events of this kind so far."""
        return [data for name, data in read_events(self.connection.bytes) if name == kind]


def read_events(sent: bytes) -> list[tuple[str, Any]]:
    """Read the whole events in a chunked answer; data that is no JSON stays text."""
    body = _dechunked(sent.partition(b"\r\n\r\n")[2])
    events = []
    for block in body.split(b"\n\n")[:-1]:
        name, data = "message", []
        for line in block.decode().split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
        if data:
            text = "\n".join(data)
            events.append((name, text if text == "[DONE]" else json.loads(text)))
    return events


def _dechunked(data: bytes) -> bytes:
    body = b""
    while b"\r\n" in data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if len(rest) < length or not length:
            break
        body += rest[:length]
        data = rest[length + 2 :]
    return body


@dataclass
class Both:
    """``client`` and ``admin`` are the two ports, each with ``get``, ``post`` and ``open``."""

    client: Gateway
    admin: Gateway
    operations: GatewayOperations
    reloader: Reloader

    @classmethod
    async def start(cls, folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> Both:
        """Load ``text`` and listen on two free ports of 127.0.0.1."""
        client = await Gateway.start(folder, HOSTS + text if "[gateway]" not in text else text, environ)
        engine, path = client.engine, str(client.path)
        reloader = Reloader(
            lambda: load(path, environ),
            engine.current.config,
            engine,
            NoListeners(),
            lambda config: None,
            lambda: datetime.now(UTC),
        )

        def reload() -> Any:
            def told(result: ReloadResult) -> ReloadResult:
                engine.mark("reload", result.summary)
                return result

            return reloader.reload().addCallback(told)

        operations = GatewayOperations(engine, reloader, reload, lambda: client.url)
        port = reactor.listenTCP(0, admin_site(operations, reactor), interface="127.0.0.1")
        return cls(client, replace(client, port=port), operations, reloader)

    @property
    def engine(self) -> Any:
        """The engine behind both."""
        return self.client.engine

    async def listen(self, headers: Mapping[str, str] | None = None) -> Events:
        """Open ``/admin/events`` and wait for its greeting."""
        connection = await self.admin.open("/admin/events", None, headers)
        await connection.until(b"event: inflight")
        return Events(connection)

    async def show(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """GET from the admin port; the JSON of a 200."""
        answer = await self.admin.get(path, headers)
        assert answer.status == 200, answer.body
        return answer.json

    async def stop(self) -> None:
        """Close everything."""
        await self.admin.port.stopListening()
        self.engine.events.drop_all()
        self.admin.port.factory.cut()
        await self.client.stop()
