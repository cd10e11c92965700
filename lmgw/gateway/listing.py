"""The lists of models, as the caller may see them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from lmgw.config.snapshot import Capabilities, Config, Profile, Tier
from lmgw.core.identity import Identity
from lmgw.core.names import unknown_model, visible
from lmgw.errors import BadRequest
from lmgw.gateway.inbound import Inbound, Route
from lmgw.gateway.runtime import Runtime
from lmgw.wire.body import Body
from lmgw.wire.lists import PULLED, VERSION, Entry, render_model, render_models, render_ps, render_show, render_tags

if TYPE_CHECKING:
    from lmgw.gateway.engine import Engine

_LIMIT = re.compile(r"[0-9]{1,9}")


def listing(engine: Engine, kind: str, name: str | None, inbound: Inbound) -> bytes:
    """Return the JSON of a listing, see :class:`~lmgw.gateway.inbound.Handler`.

    Raises :class:`~lmgw.errors.GatewayError` for who may not ask and for what is not there.
    """
    runtime = engine.current
    headers = inbound.headers
    identity = runtime.doorman.identify(headers.get(b"authorization"), headers.get(b"x-api-key"))
    if kind == "version":
        return VERSION
    entries = _entries(runtime.config, identity, engine.started_s)
    match kind:
        case "tags":
            return render_tags(entries)
        case "ps":
            return render_ps(entries)
        case "models" if name is None:
            return render_models(entries, **_page(inbound))
        case "models":
            return render_model(_named(name or "", entries, runtime, identity))
    entry = _named(_asked(inbound), entries, runtime, identity)
    return render_show(entry) if kind == "show" else PULLED


def _page(inbound: Inbound) -> dict[str, Any]:
    """The part of the list that a client of Anthropic's asks for; OpenAI's have no pages."""
    if inbound.route is not Route.ANTHROPIC_MODELS:
        return {}
    asked = dict(parse_qsl(inbound.query.decode("latin-1")))
    page: dict[str, Any] = {key: asked[key] for key in ("after_id", "before_id") if key in asked}
    if (limit := asked.get("limit")) is not None:
        if not _LIMIT.fullmatch(limit):
            raise BadRequest("limit must be a number", param="limit")
        page["limit"] = int(limit)
    return page


def _asked(inbound: Inbound) -> str:
    """The model that a body of ``show`` or ``pull`` names; ``name`` is its older key."""
    fields = Body(inbound.body).fields
    for key in ("model", "name"):
        if key in fields:
            try:
                return msgspec.json.decode(fields[key], type=str)
            except msgspec.ValidationError:
                raise BadRequest(f"{key} must be a string", param=key) from None
    raise BadRequest("model is missing", param="model")


def _named(name: str, entries: list[Entry], runtime: Runtime, identity: Identity) -> Entry:
    """The entry of this name; a name that a pattern or an upstream's model stands for is its tier's entry."""
    known = {entry.name: entry for entry in entries}
    found = known.get(name) or known.get(name.removesuffix(":latest"))
    if found is None:
        target = runtime.routes.names.find(name)
        found = known.get(target.name) if target is not None else None
    if found is None:
        raise unknown_model(name, runtime.config, identity)
    return found


def _entries(config: Config, identity: Identity, created_s: int) -> list[Entry]:
    seen = visible(config, identity)
    return [
        *(_profile(config.profiles[name], config, created_s) for name in seen.profiles),
        *(_tier(alias, "alias", config.tiers[tier], created_s) for alias, tier in seen.aliases),
        *(_tier(name, "tier", config.tiers[name], created_s) for name in seen.tiers),
    ]


def _profile(profile: Profile, config: Config, created_s: int) -> Entry:
    """A profile can what its most capable tier can, and holds what its largest window holds."""
    tiers = [config.tiers[name] for name in profile.ladder]
    windows = [tier.max_context_tokens for tier in tiers if tier.max_context_tokens is not None]
    top = tiers[-1] if tiers else None
    return Entry(
        profile.name,
        "profile",
        "profile",
        created_s,
        context_tokens=max(windows) if windows and len(windows) == len(tiers) else None,
        max_output_tokens=None if top is None else top.max_output_tokens or top.capabilities.max_output_tokens,
        capabilities=Capabilities() if top is None else top.capabilities,
    )


def _tier(name: str, kind: str, tier: Tier, created_s: int) -> Entry:
    return Entry(
        name,
        "alias" if kind == "alias" else "tier",
        "alias" if kind == "alias" else tier.backend,
        created_s,
        resolves_to=tier.name if kind == "alias" else None,
        context_tokens=tier.max_context_tokens,
        max_output_tokens=tier.max_output_tokens or tier.capabilities.max_output_tokens,
        capabilities=tier.capabilities,
    )
