"""Model lists as each dialect's clients read them: ``/v1/models`` (OpenAI and Anthropic), Ollama's tags, show and ps.

``/v1/models`` has one body for both dialects: every key of OpenAI's and every key of Anthropic's. Ollama's clients
compare names exactly, need dates that parse, and ``model_info`` in ``show`` (an empty one will do).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal

import msgspec

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.ollama_upstream import thinks
from lmgw.wire.timestamps import rfc3339

#: The version of Ollama's API that is spoken; clients ask for a least one.
OLLAMA_VERSION = "0.12.0"
#: The answers that say nothing of any model.
VERSION = msgspec.json.encode({"version": OLLAMA_VERSION})
PULLED = b'{"status":"success"}\n'

#: What Ollama itself says of a model that is never unloaded: a date that no client waits for.
_NEVER = "2318-01-01T00:00:00Z"
_ARCHITECTURE = "lmgw"


class Entry(msgspec.Struct, frozen=True):
    """One name that a caller may ask for.

    :ivar owned_by: the backend of a tier, ``alias`` or ``profile`` for the others.
    :ivar resolves_to: the tier that an alias stands for.
    :ivar created_s: seconds since the epoch.
    :ivar context_tokens: the window in tokens, ``None`` where it is not known.
    :ivar max_output_tokens: the longest answer in tokens, ``None`` where it is not known.
    """

    name: str
    kind: Literal["tier", "alias", "profile"]
    owned_by: str
    created_s: int
    resolves_to: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: Capabilities = Capabilities()


def render_models(
    entries: Sequence[Entry], *, limit: int | None = None, after_id: str | None = None, before_id: str | None = None
) -> bytes:
    """Write the list of ``/v1/models``; the keywords are Anthropic's paging, without them the list is whole.

    Raises :class:`~lmgw.errors.BadRequest` for a limit below 1 and for an id that is not in the list.
    """
    page = list(entries)
    if after_id is not None:
        page = page[_position(page, after_id, "after_id") + 1 :]
    if before_id is not None:
        page = page[: _position(page, before_id, "before_id")]
    whole = len(page)
    if limit is not None:
        if limit < 1:
            raise BadRequest("limit must be at least 1", param="limit")
        page = page[:limit] if before_id is None else page[-limit:]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [_model(entry) for entry in page],
            "has_more": len(page) < whole,
            "first_id": page[0].name if page else None,
            "last_id": page[-1].name if page else None,
        }
    )


def render_model(entry: Entry) -> bytes:
    """Write the one model of ``/v1/models/{id}``."""
    return msgspec.json.encode(_model(entry))


def render_tags(entries: Sequence[Entry]) -> bytes:
    """Write the list of ``/api/tags``: the profiles, ``default`` first."""
    return msgspec.json.encode({"models": [_local(entry) for entry in _profiles(entries)]})


def render_ps(entries: Sequence[Entry]) -> bytes:
    """Write the list of ``/api/ps``: the profiles, all of them ready and none ever unloaded."""
    running = []
    for entry in _profiles(entries):
        model = {**_local(entry), "expires_at": _NEVER, "size_vram": 0, "context_length": entry.context_tokens or 0}
        del model["modified_at"]
        running.append(model)
    return msgspec.json.encode({"models": running})


def render_show(entry: Entry) -> bytes:
    """Write the answer of ``/api/show``."""
    info: dict[str, Any] = {"general.architecture": _ARCHITECTURE, "general.basename": entry.name}
    if entry.context_tokens is not None:
        info[f"{_ARCHITECTURE}.context_length"] = entry.context_tokens
    return msgspec.json.encode(
        {
            "modelfile": "",
            "parameters": "",
            "template": "",
            "details": _DETAILS,
            "model_info": info,
            "capabilities": _capabilities(entry.capabilities),
            "modified_at": rfc3339(entry.created_s),
        }
    )


def tagged(name: str) -> str:
    """Return a name as Ollama's lists have it: with a tag."""
    return name if ":" in name else f"{name}:latest"


def _model(entry: Entry) -> dict[str, Any]:
    model: dict[str, Any] = {
        "id": entry.name,
        "object": "model",
        "created": entry.created_s,
        "owned_by": entry.owned_by,
        "type": "model",
        "display_name": entry.name,
        "created_at": rfc3339(entry.created_s),
        "lifecycle": "active",
    }
    if entry.context_tokens is not None:
        model["max_input_tokens"] = entry.context_tokens
    if entry.max_output_tokens is not None:
        model["max_tokens"] = entry.max_output_tokens
    if entry.resolves_to is not None:
        model["lm_gateway"] = {"resolves_to": entry.resolves_to}
    return model


def _position(entries: Sequence[Entry], name: str, param: str) -> int:
    for index, entry in enumerate(entries):
        if entry.name == name:
            return index
    raise BadRequest(f"{param} names no model of this list", param=param)


def _profiles(entries: Sequence[Entry]) -> list[Entry]:
    profiles = [entry for entry in entries if entry.kind == "profile"]
    return sorted(profiles, key=lambda entry: entry.name != "default")


def _local(entry: Entry) -> dict[str, Any]:
    name = tagged(entry.name)
    return {
        "name": name,
        "model": name,
        "modified_at": rfc3339(entry.created_s),
        "size": 0,
        "digest": sha256(entry.name.encode()).hexdigest(),
        "details": _DETAILS,
    }


_DETAILS = {
    "parent_model": "",
    "format": "gateway",
    "family": _ARCHITECTURE,
    "families": [_ARCHITECTURE],
    "parameter_size": "",
    "quantization_level": "",
}


def _capabilities(capabilities: Capabilities) -> list[str]:
    """Return Ollama's words; clients send tools and images only where they stand here."""
    words = ["completion", "tools"]
    if capabilities.vision:
        words.append("vision")
    if thinks(capabilities):
        words.append("thinking")
    return words
