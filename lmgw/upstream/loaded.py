"""Which models an Ollama server holds in memory now."""

from __future__ import annotations

import msgspec
import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from lmgw.config.snapshot import Provider
from lmgw.upstream.agent import AttemptFailed
from lmgw.upstream.probe import LIMIT_S
from lmgw.upstream.target import BackendTarget


class LoadedModel(msgspec.Struct, frozen=True):
    """One model of ``GET /api/ps``; sizes are bytes, ``expires_at`` is RFC 3339 as the server writes it."""

    name: str = ""
    size: int = 0
    size_vram: int = 0
    context_length: int = 0
    expires_at: str = ""


class _Loaded(msgspec.Struct):
    models: list[LoadedModel] = []


async def loaded_models(client: HTTPClient, target: BackendTarget, reactor: IReactorTime) -> list[LoadedModel] | None:
    """Return them, within five seconds; ``None`` from another provider, or where nobody can tell. Raises nothing."""
    if target.provider is not Provider.OLLAMA:
        return None
    try:
        body = await Deferred.fromCoroutine(_ask(client, target)).addTimeout(LIMIT_S, reactor)
        return msgspec.json.decode(body, type=_Loaded).models
    except (AttemptFailed, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def _ask(client: HTTPClient, target: BackendTarget) -> bytes:
    response = await client.get(target.url("/api/ps"), headers=target.headers())
    body: bytes = await treq.content(response)
    return body
