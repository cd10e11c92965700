"""A gateway between the official SDKs and a provider as strict as the real ones, in the test's own process.

    @pytest.fixture(scope="module")
    def bench(tmp_path_factory):
        with sdk_bench(tmp_path_factory.mktemp("gateway")) as bench:
            yield bench

    told = await in_thread(bench.callers["openai"].ask, "create", "ollama", messages)

Tiers are named after the dialect of their backend: ``openai``, ``anthropic`` (a model that thinks by budget),
``adaptive`` (one that thinks adaptively), ``old`` (one without structured outputs) and ``ollama``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_answers
import pytest_twisted
from canary import CANARY
from fakes import Answer, FakeConnection, FakeUpstream, Received, Stream, Whole
from gateway_rig import Gateway
from sdk_callers import CLIENT_KEY, AnthropicCaller, Caller, OllamaCaller, OpenAICaller
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

CONFIG = """
[gateway]
health_window = 0

[backends.openai]
base_url = "{url}"
api_key_env = "UP_KEY"
max_tokens_field = "max_completion_tokens"

[backends.anthropic]
provider = "anthropic"
base_url = "{url}"
api_key_env = "UP_KEY"

[backends.ollama]
provider = "ollama"
base_url = "{url}"

[[tiers]]
name = "openai"
backend = "openai"
model = "gpt-5.4"

[[tiers]]
name = "anthropic"
backend = "anthropic"
model = "claude-sonnet-4-5"

[[tiers]]
name = "adaptive"
backend = "anthropic"
model = "claude-opus-4-8"

[[tiers]]
name = "old"
backend = "anthropic"
model = "claude-sonnet-4-0"

[[tiers]]
name = "ollama"
backend = "ollama"
model = "qwen3-vl:8b"

[profiles.default]
classifier = "openai"

[[clients]]
name = "sdk"
key_env = "CLIENT_KEY"
profile = "default"
"""
#: How a stream begins in each dialect, up to its first word.
HALVES = {
    "openai": b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":"half"}}]}\n\n',
    "anthropic": b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"half"}}\n\n',
    "ollama": b'{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"half"},'
    b'"done":false}\n',
}
#: What each sends where something goes wrong in the middle.
ERRORS = {
    "openai": b'data: {"error":{"message":"boom","type":"server_error","param":null,"code":null}}\n\n',
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"boom"}}\n\n',
    "ollama": b'{"error":"boom"}\n',
}
ENVIRON = {"UP_KEY": CANARY, "CLIENT_KEY": CLIENT_KEY}


@dataclass
class Bench:
    """What a test of an SDK needs; ``callers`` by the names of their dialects."""

    upstream: FakeUpstream
    gateway: Gateway
    callers: dict[str, Caller]

    @property
    def sent(self) -> Any:
        """The body of what the provider was asked last."""
        return json.loads(self.upstream.requests[-1].body)

    @contextmanager
    def answering(self, script: Answer) -> Iterator[None]:
        """Let the provider answer everything like this."""
        self.upstream.default, default = lambda connection, request: script(connection), self.upstream.default
        yield
        self.upstream.default = default

    @contextmanager
    def configured(self, line: str, more: str) -> Iterator[None]:
        """Let the configuration say ``more`` after each such ``line``."""
        text = self.gateway.path.read_text()
        self.gateway.reload(text.replace(line, f"{line}\n{more}"))
        yield
        self.gateway.reload(text)


@contextmanager
def sdk_bench(folder: Path) -> Iterator[Bench]:
    """Start everything, and stop it again."""
    upstream = _wait(FakeUpstream.start())
    upstream.default = answer_strictly
    gateway = _wait(Gateway.start(folder, CONFIG.format(url=upstream.url), ENVIRON))
    callers = {kind.name: kind(gateway.url) for kind in (OpenAICaller, AnthropicCaller, OllamaCaller)}
    yield Bench(upstream, gateway, callers)
    for caller in callers.values():
        caller.close()
    _wait(gateway.stop())
    _wait(upstream.stop())


def _wait(coroutine: Any) -> Any:
    return pytest_twisted.blockon(Deferred.fromCoroutine(coroutine))


def in_thread(call: Callable[..., Any], *arguments: Any, **options: Any) -> Deferred[Any]:
    """Call what blocks without blocking the gateway, which runs in this process too."""
    return deferToThread(call, *arguments, **options)


def broken_off(dialect: str, *, error: bool, half: bool = True) -> Stream:
    """Return a stream that breaks off after its first word (or before): with an error in it, else without a word."""
    content_type = "application/x-ndjson" if dialect == "ollama" else "text/event-stream"
    script = Stream(content_type, first=(HALVES[dialect] if half else b"") + (ERRORS[dialect] if error else b""))
    if not error:
        script.begun.addCallback(lambda _: script.close())
    return script


def answer_strictly(connection: FakeConnection, request: Received) -> None:
    """Answer as the real provider would: also with a refusal."""
    status, content_type, pieces = fake_answers.answer(
        request.method, request.path, request.headers, request.body, strict=True
    )
    if len(pieces) == 1:
        Whole(status, pieces[0], content_type=content_type)(connection)
    else:
        stream = Stream(content_type, status)
        stream(connection)
        for piece in pieces:
            stream.send(piece)
        stream.end()
