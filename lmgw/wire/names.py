"""Ids and names of tools, made where one dialect gives none and made to fit where they go.

The same input always gives the same output: nothing here is left to chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b, sha256

_SAFE = re.compile(r"[a-zA-Z0-9_-]+")
#: OpenAI and Anthropic both take tool names of this length.
MAX_NAME = 64


def fit_id(id: str, limit: int) -> str:
    """Return ``id`` if it has at most ``limit`` (37 or more) characters, else a hash of it that fits."""
    return id if len(id) <= limit else hashed_id(id)


def hashed_id(id: str) -> str:
    """Return an id (37 characters of ``[A-Za-z0-9_-]``) that stands for ``id``."""
    return f"call_{sha256(id.encode()).hexdigest()[:32]}"


def fit_name(name: str) -> str:
    """Return ``name`` if every dialect takes it, else a short form with its beginning and a hash."""
    if len(name) <= MAX_NAME and _SAFE.fullmatch(name):
        return name
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name)[:51]}_{sha256(name.encode()).hexdigest()[:12]}"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return the short form of each name that needs one, to its long form: how to turn an answer's names back."""
    return {short: name for name in names if (short := fit_name(name)) != name}


def made_id(prefix: str, *seed: object) -> str:
    """Return an id of ``prefix``, an underscore and 24 hexadecimal digits; the same ``seed`` gives the same id."""
    return f"{prefix}_{blake2b(repr(seed).encode(), digest_size=12).hexdigest()}"


def made_call_id(*seed: object) -> str:
    """Return a tool call's id (29 characters of ``[A-Za-z0-9_-]``) for a call that has none.

    The ``seed`` must hold something of the one answer (its time, its id), as ids must not come twice in a conversation.
    """
    return made_id("call", *seed)
