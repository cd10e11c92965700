"""What an operator should read about a configuration that can be used: keys without effect, doors left open."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from lmgw.config.addresses import is_loopback
from lmgw.config.report import Place, quote
from lmgw.config.schema import PROFILE
from lmgw.config.snapshot import Config, Gateway, Profile, Tier


def advise(config: Config) -> Iterator[str]:
    """Yield one sentence for each thing that loads but is probably not meant."""
    if not config.tiers:
        yield "there are no [[tiers]]: every request is answered by a sentence that says so"
    yield from _about_doors(config)
    yield from _about_gateway(config)
    for tier in config.tiers.values():
        yield from _about_tier(tier)
    yield from _about_priorities(config)
    for name in (*config.aliases, *(pattern for pattern, _ in config.alias_patterns)):
        if name in config.profiles:
            yield f"{_at('aliases', name)}: a profile has this name too: rename one of them"
    for profile in config.profiles.values():
        yield from _about_profile(profile)


def _at(table: str, name: str) -> str:
    return Place("", table).key(name).path


def _about_doors(config: Config) -> Iterator[str]:
    gateway = config.gateway
    keyed = [backend for backend in config.backends.values() if backend.api_key_env is not None]
    if keyed and not config.auth_required and not _is_private(gateway.client_endpoint, gateway.client_host):
        names = ", ".join(quote(backend.name) for backend in keyed)
        yield (
            f"whoever reaches the client port spends the keys of {names}: write [[clients]], or bind "
            'gateway.client_host = "127.0.0.1"'
        )
    if config.auth_required and gateway.public_profile is not None and len(config.tiers) > 1:
        public = config.profiles[gateway.public_profile]
        if not public.ladder_written:
            yield (
                f"gateway.public_profile: whoever has no key may name every tier: write max_auto_tier in "
                f"{_at('profiles', public.name)} to say up to which"
            )
    if gateway.admin_token is None and not _is_private(gateway.admin_endpoint, gateway.admin_host):
        yield (
            "the admin side can be reached from other machines and has no token, so it is read-only: "
            "name a variable in gateway.admin_token_env"
        )
    for backend in keyed:
        url = urlsplit(backend.base_url)
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            yield f"{_at('backends', backend.name)}.base_url: its key travels unencrypted over http://"


def _is_private(endpoint: str | None, host: str) -> bool:
    if endpoint is None:
        return is_loopback(host)
    return endpoint.startswith("unix:") or "interface=127." in endpoint or "interface=localhost" in endpoint


def _about_gateway(config: Config) -> Iterator[str]:
    gateway: Gateway = config.gateway
    if gateway.traffic_log_debug:
        yield "gateway.traffic_log_debug: what callers write is kept in memory and shown on the admin side"
    if gateway.public_profile is not None and not config.auth_required:
        yield "gateway.public_profile: has no effect without [[clients]]"
    if gateway.identity_header is not None and not gateway.trusted_proxies:
        yield "gateway.identity_header: nobody is believed, for there are no trusted_proxies"


def _about_tier(tier: Tier) -> Iterator[str]:
    at = Place("", "tiers").item(quote(tier.name)).path
    if (tier.overflow_tier is None) != (tier.overflow_depth is None):
        yield f"{at}: overflow_tier and overflow_depth have no effect without each other"
    elif tier.overflow_tier is not None and not tier.max_concurrent:
        yield f"{at}: overflow_tier has no effect without max_concurrent"


def _about_priorities(config: Config) -> Iterator[str]:
    ranked = [client for client in config.clients if client.default_priority or client.priority_ceiling]
    if ranked and not any(tier.max_concurrent for tier in config.tiers.values()):
        yield "priorities of [[clients]] have no effect, for no tier has max_concurrent: nothing ever waits"
    for client in ranked:
        if client.default_priority > client.priority_ceiling:
            yield f"client {quote(client.name)}: default_priority is above priority_ceiling, which is what counts"


def _about_profile(profile: Profile) -> Iterator[str]:
    at = _at("profiles", profile.name)
    for label in profile.class_prompts:
        if label in PROFILE.keys:
            yield f"{at}.class_prompts.{label}: this is a key of the profile: write it above the table class_prompts"
