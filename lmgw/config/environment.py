"""What the process environment gives to the names in the files: keys, and two hosts. It is handed in, never read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from lmgw.config import addresses
from lmgw.config.crosscheck import client_name
from lmgw.config.merge import Section
from lmgw.config.refusal import Refused
from lmgw.config.report import Report, quote
from lmgw.secret import Secret

HOSTS = {"client_host": "LMG_CLIENT_HOST", "admin_host": "LMG_ADMIN_HOST"}

#: What guides print in place of a key: ``sk-ant-...``, ``sk-or-…``, ``sk-xxxx``.
_PLACEHOLDER = re.compile(r"(?:sk-(?:[A-Za-z0-9]+-)*)?(?:\.{3,}|…|x{3,})", re.IGNORECASE)
#: What a header can carry.
_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the environment gave.

    :ivar backends: each backend's variable and key; the key is ``None`` where the variable is missing.
    :ivar clients: in the files' order, the SHA-256 of each client's key; ``None`` where its variable is missing.
    :ivar hosts: ``[gateway]`` keys that a variable overrides.
    """

    backends: Mapping[str, tuple[str, Secret | None]] = field(default_factory=dict)
    clients: tuple[str | None, ...] = ()
    admin_token: Secret | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)


class Environment:
    """Variables by name, each explained once."""

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self._environ = environ
        self._report = report

    def get(self, name: str) -> tuple[str | None, str]:
        """Return a variable's usable value, or ``None`` and why there is none (``NAME is not set``)."""
        value = self._environ.get(name)
        if value is None:
            return None, f"{_shown(name)} is not set"
        stripped = value.strip()
        if not stripped:
            return None, f"{_shown(name)} is empty"
        if _PLACEHOLDER.fullmatch(stripped):
            return None, f"{_shown(name)} still holds the guide's placeholder instead of a key"
        if not _VISIBLE.fullmatch(stripped):
            return None, f"{_shown(name)} holds a space, a line break or a letter that no key has"
        if stripped != value:
            self._report.warn(
                f"{_shown(name)} has white space or a carriage return around its value (a file saved on Windows?): "
                "it is used without"
            )
        return stripped, ""


def _shown(name: str) -> str:
    return quote(name).strip('"')


def resolve(root: Section, environ: Mapping[str, str], report: Report) -> Resolved:
    """Look up every variable that good values name; a value is never repeated, and lives on as a ``Secret`` only."""
    environment = Environment(environ, report)
    return Resolved(
        _backends(root, environment, report),
        _clients(root.values.get("clients", []), environment, report),
        _admin_token(root.values.get("gateway"), environment, report),
        _hosts(environ, report),
    )


def _backends(root: Section, environment: Environment, report: Report) -> dict[str, tuple[str, Secret | None]]:
    resolved = {}
    for name, backend in root.values["backends"].values.items() if "backends" in root.values else ():
        secret = backend.values.get("api_key_secret")
        variable = backend.values.get("api_key_env") if secret is None else secret.values.get("var")
        if variable is None:
            continue
        value, why = environment.get(variable)
        resolved[name] = (variable, None if value is None else Secret(value))
        if value is None:
            skipped = ", ".join(_tiers_of(name, root))
            skipped = skipped and f"its tiers ({skipped}) are skipped, "
            report.warn(f"{why}: backend {quote(name)} is off, {skipped}/status says ready: false")
    return resolved


def _tiers_of(backend: str, root: Section) -> Iterator[str]:
    for tier in root.values.get("tiers", ()):
        if tier.values.get("backend") == backend and "name" in tier.values:
            yield _shown(tier.values["name"])


def _clients(clients: list[Section], environment: Environment, report: Report) -> tuple[str | None, ...]:
    digests: list[str | None] = []
    owners: dict[str, str] = {}
    for client in clients:
        variable, digest = client.values.get("key_env"), client.values.get("key_sha256")
        if variable is not None:
            value, why = environment.get(variable)
            digest = None if value is None else sha256(value.encode()).hexdigest()
            if value is None:
                report.warn(f"{why}: nobody can be client {quote(client_name(client) or '')}")
        digests.append(digest)
        if digest is not None:
            source = "key_sha256" if variable is None else _shown(variable)
            owner = f"{client.place.path} ({source})"
            if digest in owners:
                report.problem(client.place.file, f"{owner} has the same key as {owners[digest]}: each needs its own")
            owners.setdefault(digest, owner)
    return tuple(digests)


def _admin_token(gateway: Section | None, environment: Environment, report: Report) -> Secret | None:
    if gateway is None or "admin_token_env" not in gateway.values:
        return None
    value, why = environment.get(gateway.values["admin_token_env"])
    if value is None:
        report.problem(gateway.at("admin_token_env"), f"{why}: set it, or take this key out and the admin side is open")
        return None
    return Secret(value)


def _hosts(environ: Mapping[str, str], report: Report) -> dict[str, str]:
    hosts = {}
    for key, variable in HOSTS.items():
        if environ.get(variable):
            try:
                hosts[key] = addresses.host(environ[variable])
            except Refused as refused:
                report.problem(f"${variable}", str(refused))
    return hosts
