"""Ids and names of tools, made to fit where they go; the same input always gives the same output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

_SAFE = re.compile(r"[a-zA-Z0-9_-]+")
#: OpenAI and Anthropic both take tool names of this length.
MAX_NAME = 64


def fit_id(id: str, limit: int) -> str:
    """Return ``id`` if it has at most ``limit`` (37 or more) characters, else a hash of it that fits."""
    return id if len(id) <= limit else f"call_{sha256(id.encode()).hexdigest()[:32]}"


def fit_name(name: str) -> str:
    """Return ``name`` if every dialect takes it, else a short form with its beginning and a hash."""
    if len(name) <= MAX_NAME and _SAFE.fullmatch(name):
        return name
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name)[:51]}_{sha256(name.encode()).hexdigest()[:12]}"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return the short form of each name that needs one, to its long form: how to turn an answer's names back."""
    return {short: name for name in names if (short := fit_name(name)) != name}
