"""A gateway in front of several fake providers, each with a name of its own, and answers to script them with.

async with house(tmp_path, CONFIG, "cheap", "big") as at:     # CONFIG holds {cheap} and {big} for their addresses
    at["cheap"].next(says("I cannot help"))
    answer = await at.chat("auto", "hello")
    assert at.asked == {"cheap": 1, "big": 1}
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary import CANARY
from fakes import FakeConnection, FakeUpstream, Stream, Whole
from gateway_rig import Client, Gateway
from scenes import STREAMS, WHOLE, Scene
from twisted.internet import reactor
from twisted.internet.task import deferLater
from web_rig import Answer

CHAT = "/v1/chat/completions"
#: A backend of each dialect, and where its callers post.
ROUTES = {"openai": CHAT, "anthropic": "/v1/messages", "ollama": "/api/chat"}
CONTENT_TYPES = {"openai": "text/event-stream", "anthropic": "text/event-stream", "ollama": "application/x-ndjson"}


def ladder(*names: str, more: str = "", **fields: str) -> str:
    """A backend of OpenAI's dialect a name, and its tier ``tier:NAME``; ``fields`` are lines by tier."""
    parts = []
    for name in names:
        parts.append(f'[backends.{name}]\nbase_url = "{{{name}}}"\napi_key_env = "UP_KEY"\n')
        parts.append(f'[[tiers]]\nname = "tier:{name}"\nbackend = "{name}"\nmodel = "model-{name}"\n')
        parts.append(fields.get(name, "") + "\n")
    return "\n".join([*parts, more])


def asking(text: str = "hello", model: str | None = None, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """A request's body, the same in all three dialects."""
    named = {} if model is None else {"model": model}
    messages = [{"role": "user", "content": text}]
    return {**named, "messages": messages, "stream": stream, "max_tokens": 100, **fields}


@dataclass
class House:
    """The gateway and its providers; ``at[name]`` is a provider."""

    gateway: Gateway
    upstreams: Mapping[str, FakeUpstream]

    def __getitem__(self, name: str) -> FakeUpstream:
        return self.upstreams[name]

    @property
    def asked(self) -> dict[str, int]:
        """How many requests each provider got, those with none left out."""
        return {name: len(fake.requests) for name, fake in self.upstreams.items() if fake.requests}

    def sent(self, name: str, nth: int = -1) -> Any:
        """The body of a request that a provider got, decoded."""
        return json.loads(self.upstreams[name].requests[nth].body)

    @property
    def tried(self) -> list[tuple[str, int]]:
        """The tiers that the last request tried, each with the status that came."""
        return [(attempt.tier, attempt.status) for attempt in self.gateway.last.attempts]

    async def chat(self, model: str | None = None, text: str = "hello", /, **fields: Any) -> Answer:
        """POST to Chat Completions; ``headers`` go along."""
        headers = fields.pop("headers", None)
        return await self.gateway.post(CHAT, asking(text, model, **fields), headers)

    async def stream(self, model: str | None = None, text: str = "hello", /, **fields: Any) -> Client:
        """The same, streamed: a connection to read from by hand."""
        return await self.gateway.open(CHAT, asking(text, model, stream=True, **fields))


@asynccontextmanager
async def house(folder: Path, text: str, *names: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[House]:
    """Start everything, and stop it again."""
    fakes = {name: await FakeUpstream.start() for name in names}
    for name, fake in fakes.items():
        text = text.replace(f"{{{name}}}", fake.url)
    gateway = await Gateway.start(folder, text, environ or {"UP_KEY": CANARY})
    try:
        yield House(gateway, fakes)
        await gateway.stop()
    finally:
        for fake in fakes.values():
            await fake.stop()


async def turns(count: int = 20) -> None:
    """Let the reactor go round: whatever was about to happen has happened then."""
    for _ in range(count):
        await deferLater(reactor, 0)


async def close(client: Client) -> None:
    """Leave."""
    client.drop()
    await client.closed


# --- what providers answer -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Says:
    """A model's answer, whole or streamed, as the request wants it."""

    scene: Scene
    dialect: str
    headers: tuple[tuple[str, str], ...] = ()

    def __call__(self, connection: FakeConnection) -> None:
        if json.loads(connection.requests[-1].body).get("stream"):
            script = Stream(CONTENT_TYPES[self.dialect], headers=self.headers)
            script(connection)
            script.send(STREAMS[self.dialect](self.scene).encode())
            script.end()
        else:
            Whole(200, json.dumps(WHOLE[self.dialect](self.scene)).encode(), self.headers)(connection)


def says(text: str = "", dialect: str = "openai", **scene: Any) -> Says:
    """A provider that answers ``text``."""
    return Says(Scene(text, **scene), dialect)


def fails(status: int, message: str = "no", *, code: str | None = None, **headers: str) -> Whole:
    """A provider that answers with an error; ``retry_after="3"`` is a header."""
    body = {"error": {"message": message, "type": "error", "code": code}}
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Whole(status, json.dumps(body).encode(), fields)


def event(**choice: object) -> bytes:
    """One chunk of Chat Completions."""
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "real"}
    return (
        b"data: " + json.dumps({**chunk, "choices": [{"index": 0, "finish_reason": None, **choice}]}).encode() + b"\n\n"
    )


def delta(text: str) -> bytes:
    """A chunk of text."""
    return event(delta={"content": text})


ROLE = event(delta={"role": "assistant", "content": ""})
STOP = event(delta={}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"


def text_of(answer: Answer) -> str:
    """What a whole answer of Chat Completions says."""
    return str(answer.json["choices"][0]["message"]["content"])
