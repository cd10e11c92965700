"""What a model accepts, told from its name: the package's ``catalog.toml``."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from lmgw.config.snapshot import Capabilities, Provider

#: ``us.anthropic.`` (Bedrock), ``ft:`` (OpenAI).
_BEFORE = re.compile(r"(?:[a-z-]+\.)+(?=[a-z])|ft:")
#: What says when a model was made, or how it is sold, and nothing of what it is.
_AFTER = re.compile(
    r"-v\d+:\d+(?::\d+k)?$|-v1$"  # Bedrock's versions
    r"|[-@]\d{8}$|-\d{4}-\d{2}-\d{2}$"
    r"|[-@](?:latest|default)$"
    r"|:(?:latest|free|beta|thinking|nitro|floor|online|exacto|extended)$"
    r"|\[1m\]$"
    r"|:[^:]*:[^:]*:[^:]*$"  # a fine-tuned model's owner, suffix and number
)
_DOT = re.compile(r"(?<=\d)\.(?=\d)")


class _Pattern(msgspec.Struct, frozen=True):
    """One pattern, cut at its stars.

    ``weight`` orders patterns: by how much of a name they fix, and one for certain providers before one for all.
    """

    pieces: tuple[str, ...]
    weight: tuple[int, bool]
    providers: tuple[str, ...]
    capabilities: Capabilities

    def fits(self, name: str) -> bool:
        """Whether ``name`` is what the pattern says."""
        first, *others = self.pieces
        if not others:
            return name == first
        *between, last = others
        at = len(first) if name.startswith(first) and name.endswith(last) else -1
        for piece in between:
            found = name.find(piece, at) if at >= 0 else -1
            at = -1 if found < 0 else found + len(piece)
        return 0 <= at <= len(name) - len(last)


@cache
def lookup(model: str, provider: Provider) -> Capabilities:
    """Return what ``model`` on a backend of this kind accepts: by the longest pattern that its name matches."""
    name = plain_name(model)
    patterns, defaults = _catalog()
    for pattern in patterns:
        if pattern.fits(name) and (not pattern.providers or provider in pattern.providers):
            return pattern.capabilities
    return defaults.get(provider, Capabilities())


def plain_name(model: str) -> str:
    """Return a model's name as the catalog writes it: lower-case, without organisation, region, date and price."""
    name = model.lower().strip().rpartition("/")[2]
    while shorter := _BEFORE.match(name):
        name = name[shorter.end() :]
    while shorter := _AFTER.search(name):
        name = name[: shorter.start()]
    return _DOT.sub("-", name)


@cache
def _catalog() -> tuple[tuple[_Pattern, ...], dict[str, Capabilities]]:
    """Read the file: the patterns, heaviest first, and by provider what holds for names that match none."""
    text = resources.files("lmgw.config").joinpath("catalog.toml").read_text(encoding="utf-8")
    file = tomllib.loads(text)
    patterns = []
    for entry in file["models"]:
        names, providers = entry.pop("names"), tuple(entry.pop("providers", ()))
        capabilities = _capabilities(entry)
        for name in names:
            pieces = tuple(_DOT.sub("-", name).split("*"))
            weight = sum(map(len, pieces)), bool(providers)
            patterns.append(_Pattern(pieces, weight, providers, capabilities))
    patterns.sort(key=lambda pattern: pattern.weight, reverse=True)
    return tuple(patterns), {provider: _capabilities(entry) for provider, entry in file["defaults"].items()}


def _capabilities(entry: dict[str, Any]) -> Capabilities:
    return Capabilities(**entry | {"efforts": tuple(entry.get("efforts", ()))})
