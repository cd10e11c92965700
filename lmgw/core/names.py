"""What a model hint means: a tier, a profile, or nothing here."""

from __future__ import annotations

import re
from typing import NamedTuple

from lmgw.config.snapshot import Config, Profile, Tier
from lmgw.core.identity import Identity
from lmgw.errors import Forbidden, UnknownModel

#: Ollama's tag for "no tag".
LATEST = ":latest"
#: Longer hints are nobody's name, in characters; patterns are not tried on them.
LONGEST_HINT = 256
#: Names told in an error, and how much of the caller's own name is repeated.
NAMES_TOLD, HINT_TOLD = 20, 80


class Visible(NamedTuple):
    """The names one caller may use as a model; ``aliases`` are pairs of a name and its tier's."""

    profiles: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...]
    tiers: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, profiles first."""
        return (*self.profiles, *(alias for alias, _ in self.aliases), *self.tiers)


class Names:
    """Finds what a hint names in one configuration; every name that can be written down is resolved at load."""

    __slots__ = ("_config", "_known", "_models", "_patterns")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._models: dict[str, Tier] = {}
        for tier in config.tiers.values():
            self._models.setdefault(tier.model, tier)
        self._patterns = [(_pattern(alias), config.tiers[tier]) for alias, tier in config.alias_patterns]
        written = {*config.aliases, *config.tiers, *config.profiles, *self._models}
        self._known = {name: self._search(name) for base in written for name in (base, base + LATEST)}

    def find(self, hint: str) -> Tier | Profile | None:
        """Return what the hint names, whether or not the caller may use it.

        An exact alias, a profile (with or without ``:latest``), the longest alias with ``*`` that matches, a tier, the
        first tier with this upstream model; then the same without ``:latest``. A tier or alias hides a profile.
        """
        found = self._known.get(hint)
        if found is None and self._patterns and len(hint) <= LONGEST_HINT and hint not in self._known:
            found = self._search(hint)
        return found

    def _search(self, hint: str) -> Tier | Profile | None:
        config = self._config
        bare = hint.removesuffix(LATEST)
        for name in dict.fromkeys((hint, bare)):
            if name in config.aliases:
                return config.tiers[config.aliases[name]]
            if name not in config.tiers and (profile := self._profile(name, bare)) is not None:
                return profile
            for pattern, tier in self._patterns:
                if pattern.fullmatch(name):
                    return tier
            found = config.tiers.get(name) or self._models.get(name)
            if found is not None:
                return found
        return None

    def _profile(self, *names: str) -> Profile | None:
        for name in names:
            if name in self._config.profiles and name not in self._config.tiers and name not in self._config.aliases:
                return self._config.profiles[name]
        return None


def visible(config: Config, identity: Identity) -> Visible:
    """Return the names that this caller may use, ``default`` first; aliases with ``*`` are no names."""
    profiles = [name for name in config.profiles if identity.may_name is None or name in identity.may_name]
    profiles.sort(key=lambda name: name != "default")
    return Visible(
        tuple(profiles),
        tuple((alias, tier) for alias, tier in config.aliases.items() if identity.may_ask_for(tier)),
        tuple(name for name in config.tiers if identity.may_ask_for(name)),
    )


def unknown_model(hint: str | None, config: Config, identity: Identity) -> UnknownModel:
    """Return the 404 that says what there is instead; ``None``: the request names no model but must."""
    said = f'No model "{told(hint)}" here.' if hint else "This request must name a model."
    return UnknownModel(f"{said} {_may_use(config, identity)}", param="model")


def forbidden(kind: str, name: str, config: Config, identity: Identity) -> Forbidden:
    """Return the 403 for a profile or tier (``kind``) that exists, but not for this caller."""
    who = "Your key" if identity.authenticated else "A request without a known key"
    return Forbidden(f'{who} may not use the {kind} "{told(name)}". {_may_use(config, identity)}')


def told(hint: str) -> str:
    """Return a caller's own words as an error may repeat them."""
    shown = "".join(c if c.isprintable() else "?" for c in hint[:HINT_TOLD])
    return shown + "…" * (len(hint) > HINT_TOLD)


def _may_use(config: Config, identity: Identity) -> str:
    names = visible(config, identity).names
    if not names:
        return "Leave the model out: you may name none."
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return f"You may use: {', '.join(names[:NAMES_TOLD])}{more}."


def _pattern(alias: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, alias.split("*"))), re.DOTALL)
