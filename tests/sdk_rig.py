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
from fakes import FakeConnection, FakeUpstream, Received, Stream, Whole
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

[aliases]
"embed:*" = "openai"

[profiles.default]
classifier = "openai"

[[clients]]
name = "sdk"
key_env = "CLIENT_KEY"
profile = "default"
"""
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
def sdk_bench(folder: Path, config: str = CONFIG) -> Iterator[Bench]:
    """Start everything, and stop it again."""
    upstream = _wait(FakeUpstream.start())
    upstream.default = answer_strictly
    gateway = _wait(Gateway.start(folder, config.format(url=upstream.url), ENVIRON))
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
