"""Keys that need or exclude each other, names that are taken twice, keys that mean nothing to a provider."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lmgw.config.keys import Table
from lmgw.config.merge import Section
from lmgw.config.report import Place, Report
from lmgw.config.schema import BACKEND, GATEWAY, PROFILE, TIER
from lmgw.config.snapshot import Provider

_FROM_FILE = (
    "keys come from the environment only: hand the file over as a variable and name that in api_key_env (Docker "
    'secret: start by a script with export NAME="$(cat /run/secrets/FILE)"; systemd credential: the same with '
    "$CREDENTIALS_DIRECTORY/FILE, or EnvironmentFile=)"
)


def cross_check(root: Section, directory: str, report: Report) -> None:
    """Check good values against each other; what was refused before is not reported again.

    Files named in the configuration are relative to ``directory``, the main file's.
    """
    _check_gateway(root.values.get("gateway", Section(root.place, {})), report)
    backends: Mapping[str, Section] = root.values["backends"].values if "backends" in root.values else {}
    for backend in backends.values():
        _check_backend(backend, directory, report)
    tiers: list[Section] = root.values.get("tiers", [])
    for tier in tiers:
        _check_tier(tier, backends, report)
    for profile in root.values["profiles"].values.values() if "profiles" in root.values else ():
        _check_profile(profile, report)
    clients: list[Section] = root.values.get("clients", [])
    for client in clients:
        _check_client(client, report)
    _check_unique("tier", [(tier.at("name"), tier.values.get("name")) for tier in tiers], report)
    _check_unique("client", [(client.at("name"), client_name(client)) for client in clients], report)


def provider_of(backend: Section) -> Provider:
    """Return the provider that a backend has, written or by default."""
    return Provider(backend.values.get("provider", BACKEND.keys["provider"].default))


def client_name(client: Section) -> str | None:
    """Return what a client is called: its ``name``, else its variable's, else the beginning of its digest."""
    values = client.values
    if "name" in values or "key_env" in values:
        return str(values.get("name", values.get("key_env")))
    return f"sha256-{values['key_sha256'][:8]}" if "key_sha256" in values else None


def _check_unique(what: str, named: list[tuple[Place, str | None]], report: Report) -> None:
    seen = set()
    for place, name in named:
        if name in seen:
            report.problem(place, f"a second {what} of this name")
        elif name is not None:
            seen.add(name)


def _check_gateway(gateway: Section, report: Report) -> None:
    values = gateway.values
    ports = [values.get(name, GATEWAY.keys[name].default) for name in ("client_port", "admin_port")]
    endpoints = [values.get(name) for name in ("client_endpoint", "admin_endpoint")]
    if endpoints == [None, None] and ports[0] == ports[1] != 0:
        report.problem(gateway.at("admin_port"), "must differ from client_port: clients have no business on it")
    if endpoints[0] is not None and endpoints[0] == endpoints[1]:
        report.problem(gateway.at("admin_endpoint"), "must differ from client_endpoint")


def _check_backend(backend: Section, directory: str, report: Report) -> None:
    values, provider = backend.values, provider_of(backend)
    if provider is not Provider.DEMO and not backend.writes("base_url"):
        report.problem(backend.at("base_url"), "required: the provider's address")
    if provider is Provider.OLLAMA and values.get("base_url", "").endswith("/api"):
        report.problem(backend.at("base_url"), "this names a route: write the address that comes before /api")
    if "api_key_secret" in values:
        _check_secret(values["api_key_secret"], report)
        if "api_key_env" in values:
            report.warn(f"{backend.at('api_key_env')}: ignored, for there is an api_key_secret too")
    if "ca_file" in values:
        _check_roots(os.path.join(directory, values["ca_file"]), backend.at("ca_file"), report)
    _check_foreign(backend, BACKEND, provider, report)


def _check_secret(secret: Section, report: Report) -> None:
    if secret.values.get("source") == "file":
        report.problem(secret.at("source"), _FROM_FILE)
    elif not secret.writes("var"):
        report.problem(secret.at("var"), "required: the environment variable that holds the key")


def _check_roots(path: str, place: Place, report: Report) -> None:
    try:
        with open(path, "rb") as file:
            if b"-----BEGIN CERTIFICATE-----" not in file.read(2**24):
                report.problem(place, "this file holds no PEM certificate")
    except OSError as error:
        report.problem(place, f"this file cannot be read: {error.strerror}")


def _check_foreign(section: Section, table: Table, provider: Provider, report: Report) -> None:
    for key in section.values:
        owners = table.keys[key].providers
        if provider not in owners:
            whose = ", ".join(owner for owner in Provider if owner in owners)
            report.warn(f"{section.at(key)}: ignored: this is for {whose} only, not for {provider}")


def _check_tier(tier: Section, backends: Mapping[str, Section], report: Report) -> None:
    backend = backends.get(tier.values.get("backend", ""))
    if backend is not None:
        _check_foreign(tier, TIER, provider_of(backend), report)
    if tier.values.get("name") in tier.values.get("failover", ()):
        report.problem(tier.at("failover"), "a tier cannot stand in for itself")


def _check_profile(profile: Section, report: Report) -> None:
    mode = profile.values.get("mode", None if profile.writes("mode") else PROFILE.keys["mode"].default)
    if mode not in (None, "reply") and not profile.writes("classifier"):
        report.problem(profile.at("classifier"), "required, but for mode reply: a tier or alias")
    for n, phrase in enumerate(profile.values.get("refusals", ()), 1):
        if not phrase.strip():
            report.problem(profile.at("refusals").item(f"#{n}"), "empty text is in every answer: take it out")


def _check_client(client: Section, report: Report) -> None:
    if client.writes("key_env") == client.writes("key_sha256"):
        report.problem(client.at("key_env"), "expected either key_env or key_sha256")
