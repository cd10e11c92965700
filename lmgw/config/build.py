"""Checked tables to the frozen snapshot: defaults filled in, names resolved, everything that can be decided decided."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lmgw.config import catalog
from lmgw.config.crosscheck import client_name, provider_of
from lmgw.config.environment import Resolved
from lmgw.config.merge import Section
from lmgw.config.references import DEFAULT_PROFILE, Names
from lmgw.config.schema import OLLAMA_TIMEOUT_MS
from lmgw.config.snapshot import Backend, Client, Config, Gateway, Mode, Profile, Provider, Rule, Tier


def build(root: Section, names: Names, resolved: Resolved, directory: str) -> Config:
    """Make the snapshot from tables in which every check has passed; paths are made absolute from ``directory``."""
    backends = {
        name: _backend(name, section, resolved.backends.get(name), directory)
        for name, section in _tables(root, "backends").items()
    }
    sections = root.values.get("tiers", ())
    limits = _queue_limits(sections)
    tiers = {
        section.values["name"]: _tier(index, section, names, backends, limits[queue_of(section)])
        for index, section in enumerate(sections)
    }
    profiles = {
        name: _profile(name, section, names, list(tiers)) for name, section in _tables(root, "profiles").items()
    }
    profiles.setdefault(DEFAULT_PROFILE, _implicit_profile(list(tiers)))
    clients = tuple(
        _client(section, digest, names)
        for section, digest in zip(root.values.get("clients", ()), resolved.clients, strict=True)
    )
    aliases = dict(_tables(root, "aliases"))
    return Config(
        gateway=_gateway(root, resolved, directory),
        backends=backends,
        tiers=tiers,
        aliases={name: tier for name, tier in aliases.items() if "*" not in name},
        alias_patterns=tuple(
            sorted(((name, tier) for name, tier in aliases.items() if "*" in name), key=lambda pair: -len(pair[0]))
        ),
        profiles=profiles,
        clients=clients,
        auth_required=bool(clients),
        unresolved=_unique(variable for variable, key in resolved.backends.values() if key is None),
        unresolved_clients=tuple(client.name for client in clients if client.key_sha256 is None),
    )


def _tables(root: Section, name: str) -> Mapping[str, Any]:
    return root.values[name].values if name in root.values else {}


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _gateway(root: Section, resolved: Resolved, directory: str) -> Gateway:
    values = dict(_tables(root, "gateway"))
    if "traffic_log_path" in values:
        values["traffic_log_path"] = os.path.join(directory, values["traffic_log_path"])
    return Gateway(**values | dict(resolved.hosts), admin_token=resolved.admin_token)


def _backend(name: str, section: Section, key: tuple[str, Any] | None, directory: str) -> Backend:
    values = dict(section.values)
    values.pop("api_key_secret", None)
    provider = provider_of(section)
    backend = Backend(name=name, **values | {"provider": provider})
    if provider is Provider.OLLAMA and "timeout_ms" not in values:
        backend = replace(backend, timeout_ms=OLLAMA_TIMEOUT_MS)
    # Ollama's own routes stand beside /v1, so the path is kept apart from the address for every provider.
    return replace(
        backend,
        base_url=backend.base_url.removesuffix(backend.api_path),
        api_key_env=key and key[0],
        api_key=key and key[1],
        ca_file=backend.ca_file and os.path.join(directory, backend.ca_file),
        default_options=_plain(values, "default_options"),
        headers=_plain(values, "headers"),
    )


def _plain(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return dict(values[key].values) if key in values else {}


def _tier(index: int, section: Section, names: Names, backends: Mapping[str, Backend], limits: dict[str, int]) -> Tier:
    values = dict(section.values)
    capabilities = catalog.lookup(values["model"], backends[values["backend"]].provider)
    overflow = values.get("overflow_tier")
    return Tier(
        **values
        | {
            "index": index,
            "capabilities": replace(capabilities, **_plain(values, "capabilities")),
            "options": _plain(values, "options"),
            "failover": _resolve(values.get("failover", ()), names),
            "overflow_tier": overflow and names.tier(overflow),
            "queue_id": queue_of(section),
        }
        | limits
    )


def _resolve(references: Iterable[str], names: Names) -> tuple[str, ...]:
    return _unique(name for name in map(names.tier, references) if name is not None)


def queue_of(tier: Section) -> str:
    """Return the queue that a tier waits in."""
    return str(tier.values.get("queue_id", tier.values["name"]))


def _queue_limits(tiers: Iterable[Section]) -> dict[str, dict[str, int]]:
    """Return the limits of each queue: of those that its tiers write, the smallest."""
    limits: dict[str, dict[str, int]] = {}
    for tier in tiers:
        own = limits.setdefault(queue_of(tier), {})
        for key in ("max_concurrent", "max_queue_depth"):
            written = tier.values.get(key)
            if written is not None and (written or key == "max_queue_depth"):
                own[key] = min(written, own.get(key, written))
    return limits


def _profile(name: str, section: Section, names: Names, tiers: list[str]) -> Profile:
    values = dict(section.values)
    mode = Mode(values.get("mode", Mode.DISPATCH))
    resolved: dict[str, Any] = {
        key: names.tier(values[key]) for key in ("classifier", "max_auto_tier", "classifier_fallback") if key in values
    }
    last = resolved.get("max_auto_tier") or (tiers[-1] if tiers else None)
    fixed: dict[str, Any] = {
        "mode": mode,
        "max_auto_tier": last,
        "ladder": tuple(tiers[: tiers.index(last) + 1] if last else ()),
        "ladder_written": "max_auto_tier" in values,
        "rules": tuple(sorted((_rule(rule, names) for rule in values.get("rules", ())), key=lambda r: -r.priority)),
        "class_prompts": {label.lower(): text for label, text in _plain(values, "class_prompts").items()},
        "thinking_messages": {
            tier: texts for name, texts in _plain(values, "thinking_messages").items() if (tier := names.tier(name))
        },
        "unknown_model": values.get("unknown_model", "reject" if mode is Mode.DISPATCH else "fallback"),
    }
    if "refusals" in values:
        fixed["refusals"] = tuple(phrase.lower().replace("\u2019", "'") for phrase in values["refusals"])
    return Profile(name=name, **values | resolved | fixed)


def _implicit_profile(tiers: list[str]) -> Profile:
    if not tiers:
        return Profile(DEFAULT_PROFILE, mode=Mode.REPLY, unknown_model="fallback")
    return Profile(DEFAULT_PROFILE, classifier=tiers[0], max_auto_tier=tiers[-1], ladder=tuple(tiers))


def _rule(section: Section, names: Names) -> Rule:
    target = section.values["route_to"]
    tier = names.tier(target)
    return Rule(
        when={tag.lower(): value.lower() for tag, value in _plain(section.values, "when").items()},
        route_to=tier or target,
        to_profile=tier is None,
        priority=section.values.get("priority", 0),
    )


def _client(section: Section, digest: str | None, names: Names) -> Client:
    values = dict(section.values)
    priority = values.get("default_priority", 0)
    fixed = {
        "name": client_name(section),
        "key_sha256": digest,
        "tiers": _resolve(values.get("tiers", ()), names),
        "priority_ceiling": values.get("priority_ceiling", priority),
    }
    return Client(**values | fixed)
