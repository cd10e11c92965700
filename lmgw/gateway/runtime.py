"""One configuration made ready to serve: all that can be worked out before a request comes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from lmgw.config.snapshot import Backend, Config, Provider, Tier
from lmgw.core.auth import Doorman
from lmgw.core.routes import Routes
from lmgw.upstream.exchange import Timers
from lmgw.upstream.target import BackendTarget
from lmgw.wire.dialect import Target

#: The dialect spoken to each provider.
DIALECT = {
    Provider.OPENAI: "openai",
    Provider.OPENROUTER: "openai",
    Provider.DEMO: "openai",
    Provider.ANTHROPIC: "anthropic",
    Provider.OLLAMA: "ollama",
}

#: Hosts whose OpenAI dialect has ``max_completion_tokens``; everybody else's has ``max_tokens``.
OPENAI_HOSTS = ("https://api.openai.com",)


class Lane(msgspec.Struct, frozen=True):
    """A tier made ready: what to render for it, and where to send it.

    ``responses`` says that its backend is taken to have the Responses API besides ``dialect``.
    """

    tier: Tier
    backend: Backend
    dialect: str
    responses: bool
    wire: Target
    upstream: BackendTarget
    timers: Timers


class Runtime(msgspec.Struct, frozen=True):
    """What a request reads once and carries to its end.

    :ivar timeout_s: how long a request may take; 0 = as long as it likes.
    :ivar limited: there is a rate limit to be kept, of addresses, a client or a profile.
    """

    config: Config
    doorman: Doorman
    routes: Routes
    lanes: Mapping[str, Lane]
    targets: Mapping[str, BackendTarget]
    timeout_s: float
    limited: bool

    @classmethod
    def prepare(cls, config: Config) -> Runtime:
        """Work everything out. Raises :class:`~lmgw.errors.ConfigError` where a backend cannot be made ready."""
        targets = {name: BackendTarget.prepare(backend) for name, backend in config.backends.items()}
        lanes = {
            name: _lane(config, tier, config.backends[tier.backend], targets[tier.backend])
            for name, tier in config.tiers.items()
        }
        gateway = config.gateway
        limits = [gateway.rate_limit_rpm, *(client.rate_limit_rpm for client in config.clients)]
        limits += [profile.rate_limit_rpm for profile in config.profiles.values()]
        return cls(
            config, Doorman(config), Routes(config), lanes, targets, gateway.request_timeout_ms / 1000, any(limits)
        )


def _lane(config: Config, tier: Tier, backend: Backend, target: BackendTarget) -> Lane:
    return Lane(
        tier=tier,
        backend=backend,
        dialect=DIALECT[backend.provider],
        responses=_has_responses(backend),
        wire=_wire(tier, backend),
        upstream=target,
        timers=Timers(
            connect_s=backend.connect_timeout_ms / 1000,
            first_byte_s=backend.timeout_ms / 1000,
            idle_s=config.gateway.stream_idle_timeout_ms / 1000,
        ),
    )


def _has_responses(backend: Backend) -> bool:
    if backend.responses == "auto":
        return backend.base_url.startswith(OPENAI_HOSTS)
    return backend.responses == "native" and DIALECT[backend.provider] == "openai"


def _wire(tier: Tier, backend: Backend) -> Target:
    field = backend.max_tokens_field
    if field == "auto":
        field = "max_completion_tokens" if backend.base_url.startswith(OPENAI_HOSTS) else "max_tokens"
    own = dict(tier.options)
    options = {**backend.default_options, **own}
    if backend.provider is Provider.OLLAMA and tier.max_context_tokens and "num_ctx" not in options:
        options["num_ctx"] = own["num_ctx"] = tier.max_context_tokens
    return Target(
        model=tier.model,
        capabilities=tier.capabilities,
        max_output_tokens=tier.max_output_tokens or tier.capabilities.max_output_tokens,
        think=tier.think,
        max_tokens_field=field,
        stream_usage=backend.stream_usage,
        echo_reasoning=backend.echo_reasoning,
        repair_tool_calls=backend.repair_tool_calls,
        options=options,
        pinned_options=own if tier.pin_options else {},
        keep_alive=backend.keep_alive,
    )
