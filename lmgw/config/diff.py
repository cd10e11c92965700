"""What a reload changed, in one line for the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from lmgw.config.snapshot import Client, Config, Profile, Tier

UNCHANGED = "files unchanged"


def describe(old: Config, new: Config) -> str:
    """Return what came, went and changed (``+1 tier, ~1 backend``), or :data:`UNCHANGED` for the same files.

    What only the environment changes cannot be seen by any reload: a process keeps the variables that it was started
    with, so a rotated key needs a restart. A changed ``ca_file`` is not among the files that are compared either.
    """
    if old.fingerprint == new.fingerprint:
        return UNCHANGED
    return ", ".join(_changes(old, new)) or "nothing that counts"


def _changes(old: Config, new: Config) -> Iterator[str]:
    gateway = [
        field.name
        for field in fields(new.gateway)
        if getattr(old.gateway, field.name) != getattr(new.gateway, field.name)
    ]
    if gateway:
        yield f"gateway ({', '.join(gateway)})"
    yield from _compare(("backend", "backends"), old.backends, new.backends)
    yield from _compare(("tier", "tiers"), _tiers(old), _tiers(new))
    if [name for name in old.tiers if name in new.tiers] != [name for name in new.tiers if name in old.tiers]:
        yield "tiers in another order"
    yield from _compare(("alias", "aliases"), _aliases(old), _aliases(new))
    yield from _compare(("profile", "profiles"), _profiles(old), _profiles(new))
    yield from _compare(("client", "clients"), _clients(old), _clients(new))


def _compare(words: tuple[str, str], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    both = old.keys() & new.keys()
    for sign, count in (
        ("+", len(new.keys() - both)),
        ("-", len(old.keys() - both)),
        ("~", sum(old[name] != new[name] for name in both)),
    ):
        if count:
            yield f"{sign}{count} {words[count > 1]}"


def _tiers(config: Config) -> dict[str, Tier]:
    return {name: replace(tier, index=0) for name, tier in config.tiers.items()}


def _aliases(config: Config) -> dict[str, str]:
    return dict(config.aliases) | dict(config.alias_patterns)


def _profiles(config: Config) -> dict[str, Profile]:
    """What is written of each: a tier that came or went changes the ladder of many, and is counted as a tier."""
    return {
        name: replace(profile, ladder=(), max_auto_tier=profile.max_auto_tier if profile.ladder_written else None)
        for name, profile in config.profiles.items()
    }


def _clients(config: Config) -> dict[str, Client]:
    return {client.name: client for client in config.clients}
