"""Asking a backend whether it is there, without spending a token."""

from __future__ import annotations

import msgspec
import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from lmgw.config.snapshot import Backend, Provider
from lmgw.upstream.agent import AttemptFailed
from lmgw.upstream.target import BackendTarget

#: Seconds a probe may take.
LIMIT_S = 5.0

#: What every dialect answers for nothing.
_ROUTES = {Provider.OLLAMA: "/api/version"}
#: Which Anthropic API is spoken (platform.claude.com/docs/en/api/versioning).
_ANTHROPIC_VERSION = "2023-06-01"


class ProbeResult(msgspec.Struct, frozen=True):
    """What a probe found.

    :ivar ok: the backend answered, and accepts the key.
    :ivar status: its status, 0 without an answer.
    :ivar words: one sentence for the operator.
    """

    ok: bool
    status: int
    latency_ms: float
    words: str


async def probe(client: HTTPClient, target: BackendTarget, backend: Backend, reactor: IReactorTime) -> ProbeResult:
    """Ask for the model list (Ollama: its version), within five seconds. Raises nothing."""
    if backend.provider is Provider.DEMO:
        return ProbeResult(True, 200, 0.0, "answers from inside the gateway")
    if not backend.usable:
        return ProbeResult(False, 0, 0.0, f"{backend.api_key_env} is not set: not called")
    began = reactor.seconds()
    try:
        status = await Deferred.fromCoroutine(_ask(client, target)).addTimeout(LIMIT_S, reactor)
    except AttemptFailed as failed:
        status, words = 0, failed.fault.detail
    except TimeoutError:
        status, words = 0, f'backend "{backend.name}": no answer within {LIMIT_S * 1000:,.0f} ms ({target.address})'
    else:
        words = _verdict(status, backend)
    return ProbeResult(200 <= status < 300, status, (reactor.seconds() - began) * 1000, words)


async def _ask(client: HTTPClient, target: BackendTarget) -> int:
    headers = target.headers()
    if target.provider is Provider.ANTHROPIC:
        headers.setRawHeaders("anthropic-version", [_ANTHROPIC_VERSION])
    response = await client.get(target.url(_ROUTES.get(target.provider, "/models")), headers=headers)
    await treq.content(response)
    return int(response.code)


def _verdict(status: int, backend: Backend) -> str:
    if 200 <= status < 300:
        return "answers"
    if status in (401, 403):
        key = f"the key in {backend.api_key_env}" if backend.api_key_env else "requests without a key (api_key_env)"
        return f"refuses {key}: status {status}"
    if status == 404:
        return f"status 404: is base_url right, and api_path ({backend.api_path or 'none'})?"
    return f"answers with status {status}"
