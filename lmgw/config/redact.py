"""The configuration that is in force, as the admin side shows it: everything but secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any

from lmgw.config.snapshot import Backend, Client, Config


def effective(config: Config) -> dict[str, Any]:
    """Return the configuration ready for JSON; no key, no digest of one, and of added headers only the names.

    A backend says ``has_api_key``, ``api_key_source`` (``env`` or ``None``) and ``api_key_env``; a client
    ``has_key`` and ``key_source``. ``backends`` and ``tiers`` are lists, ``profiles`` an object, as lm-gateway-rs has
    them.
    """
    return {
        "gateway": _record(config.gateway, without=("admin_token",))
        | {"has_admin_token": bool(config.gateway.admin_token)},
        "backends": [_backend(backend) for backend in config.backends.values()],
        "tiers": [_record(tier, without=("index",)) for tier in config.tiers.values()],
        "aliases": dict(config.aliases) | dict(config.alias_patterns),
        "profiles": {name: _record(profile, without=("name",)) for name, profile in config.profiles.items()},
        "clients": [_client(client) for client in config.clients],
        "auth_required": config.auth_required,
        "ready": config.ready,
        "unresolved": list(config.unresolved),
        "unresolved_clients": list(config.unresolved_clients),
        "warnings": list(config.warnings),
        "fingerprint": config.fingerprint,
        "path": config.path,
    }


def _backend(backend: Backend) -> dict[str, Any]:
    return _record(backend, without=("api_key", "headers")) | {
        "headers": list(backend.headers),
        "has_api_key": backend.api_key is not None,
        "api_key_source": None if backend.api_key_env is None else "env",
    }


def _client(client: Client) -> dict[str, Any]:
    return _record(client, without=("key_sha256",)) | {
        "has_key": client.key_sha256 is not None,
        "key_source": "sha256" if client.key_env is None else "env",
    }


def _record(record: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    return {field.name: _json(getattr(record, field.name)) for field in fields(record) if field.name not in without}


def _json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    return _record(value) if hasattr(value, "__dataclass_fields__") else value
