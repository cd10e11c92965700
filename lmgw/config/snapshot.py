"""The configuration as the program sees it: frozen, whole, resolved.

Field names are the keys of the TOML file. Names of tiers and aliases are resolved to tiers' names when the snapshot
is built,
keys to :class:`~lmgw.secret.Secret`; nothing later reads a file or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lmgw.secret import Secret


class Provider(StrEnum):
    """The dialect a backend speaks."""

    OPENAI = "openai"
    OPENROUTER = "openrouter"
    OLLAMA = "ollama"
    ANTHROPIC = "anthropic"
    DEMO = "demo"


class Mode(StrEnum):
    """How a profile chooses a tier."""

    DISPATCH = "dispatch"
    ESCALATE = "escalate"
    CLASSIFY = "classify"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Gateway:
    """``[gateway]``: listeners, limits, deadlines. ``_ms`` are milliseconds; 0 switches a deadline off.

    ``$LMG_CLIENT_HOST`` and ``$LMG_ADMIN_HOST`` are already in the hosts, ``traffic_log_path`` is absolute, names of
    headers are lower-case, origins are written as browsers write them.
    """

    client_port: int = 8080
    admin_port: int = 8081
    client_host: str = ""
    admin_host: str = "127.0.0.1"
    admin_allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    client_endpoint: str | None = None
    admin_endpoint: str | None = None
    log_level: str = "info"
    log_format: str = "text"
    traffic_log_capacity: int = 500
    traffic_log_path: str | None = None
    traffic_log_debug: bool = False
    rate_limit_rpm: int = 0
    trusted_proxies: tuple[str, ...] = ()
    identity_header: str | None = None
    attribution_headers: tuple[str, ...] = ()
    admin_token_env: str | None = None
    admin_token: Secret | None = None
    public_profile: str | None = None
    max_retries: int = 0
    retry_delay_ms: int = 200
    health_window: int = 10
    health_error_threshold: float = 0.7
    health_cooldown_ms: int = 30_000
    request_timeout_ms: int = 600_000
    stream_idle_timeout_ms: int = 120_000
    max_in_flight: int = 10_000
    max_buffered_bytes: int = 536_870_912
    max_client_connections: int = 20_000
    header_timeout_ms: int = 15_000
    body_timeout_ms: int = 60_000
    client_write_timeout_ms: int = 120_000
    early_begin_ms: int = 25_000
    max_request_bytes: int = 33_554_432
    keepalive_ms: int = 15_000
    shutdown_delay_ms: int = 0
    shutdown_grace_ms: int = 30_000
    profile_dir: str = "profiles"


@dataclass(frozen=True, slots=True)
class Backend:
    """``[backends.NAME]``: a provider's address, dialect and key.

    ``api_key`` is ``None`` where no variable is named *or* the variable is missing: ``usable`` tells them apart.
    ``base_url`` ends neither in a slash nor in ``api_path``, whatever the file says: Ollama's own routes stand right
    below it, all others below the two joined. ``ca_file`` is absolute.
    """

    name: str
    provider: Provider = Provider.OPENAI
    base_url: str = ""
    api_path: str = "/v1"
    api_key_env: str | None = None
    api_key: Secret | None = None
    timeout_ms: int = 120_000
    ca_file: str | None = None
    connect_timeout_ms: int = 5_000
    max_connections: int = 0
    default_options: Mapping[str, Any] = field(default_factory=dict)
    keep_alive: int | str | None = None
    stream_usage: bool = True
    max_tokens_field: str = "auto"
    responses: str = "auto"
    echo_reasoning: bool = False
    repair_tool_calls: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    app_url: str | None = None
    app_title: str | None = None

    @property
    def usable(self) -> bool:
        """Whether the backend has the key it was configured with (or needs none)."""
        return self.api_key_env is None or self.api_key is not None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model accepts: the catalog's entry for its name, overridden by the tier's ``capabilities``.

    ``thinking`` is ``none``, ``budget`` (``budget_tokens``) or ``adaptive``; ``max_output_tokens`` is in tokens.
    """

    sampling: bool = True
    thinking: str = "none"
    thinking_always_on: bool = False
    efforts: tuple[str, ...] = ()
    reasoning: bool = False
    structured_outputs: bool = True
    vision: bool = True
    mid_system: bool = False
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """``[[tiers]]``: one model on one backend; prices are US dollars per million tokens, windows are tokens.

    ``failover`` and ``overflow_tier`` hold tiers' names, aliases resolved. ``index`` is the place in the file,
    cheapest 0. Tiers of one ``queue_id`` have the same ``max_concurrent`` and ``max_queue_depth``: the smallest
    that is written.
    """

    name: str
    backend: str
    model: str
    index: int = 0
    think: bool | None = None
    max_context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: Capabilities = Capabilities()
    options: Mapping[str, Any] = field(default_factory=dict)
    pin_options: bool = False
    failover: tuple[str, ...] = ()
    max_concurrent: int = 0
    queue_id: str = ""
    max_queue_depth: int = 1000
    overflow_tier: str | None = None
    overflow_depth: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    cache_read_price: float | None = None
    cache_write_price: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One of a profile's ``rules``; ``when`` is lower-cased, ``route_to`` is a tier's or else a profile's name."""

    when: Mapping[str, str]
    route_to: str
    to_profile: bool = False
    priority: int = 0


#: Phrases that make an answer a refusal, lower-case, with a straight apostrophe.
REFUSALS = (
    "i don't know",
    "i cannot help",
    "i'm not able to",
    "as an ai",
    "i don't have enough information",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """``[profiles.NAME]``: how to choose; tiers' names are resolved, ``rules`` are sorted as they are tried.

    ``unknown_model`` is ``reject`` or ``fallback``, its default by mode already filled in. ``ladder`` are the tiers'
    names
    from the first to ``max_auto_tier``; ``ladder_written`` says that the file named ``max_auto_tier``. Labels of
    ``class_prompts`` and ``refusals`` are lower-case.
    """

    name: str
    mode: Mode = Mode.DISPATCH
    classifier: str | None = None
    max_auto_tier: str | None = None
    ladder: tuple[str, ...] = ()
    ladder_written: bool = False
    expert_requires_flag: bool = False
    rate_limit_rpm: int = 0
    system_prompt: str | None = None
    classifier_prompt: str | None = None
    classifier_think: bool = False
    classifier_timeout_ms: int = 10_000
    classifier_context: int | None = None
    classifier_fallback: str | None = None
    rules: tuple[Rule, ...] = ()
    class_prompts: Mapping[str, str] = field(default_factory=dict)
    reply_message: str | None = None
    thinking_messages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    on_error: str = "status"
    unknown_model: str = "reject"
    escalate_min_chars: int = 1
    escalate_peek_chars: int = 120
    refusals: tuple[str, ...] = REFUSALS


@dataclass(frozen=True, slots=True)
class Client:
    """``[[clients]]``: who may call. ``key_sha256`` is the hex digest of the key, ``None`` while its variable is
    missing.

    ``tiers`` holds tiers' names, aliases resolved; empty means all. ``profiles`` may be ``("*",)``.
    """

    name: str
    profile: str
    key_env: str | None = None
    key_sha256: str | None = None
    tiers: tuple[str, ...] = ()
    default_priority: int = 0
    priority_ceiling: int = 0
    rate_limit_rpm: int = 0
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that one load of the files came to.

    :ivar aliases: name to tier's name; those with ``*`` in ``alias_patterns``, longest first.
    :ivar profiles: always holds ``default``: a config that names none gets an implicit one.
    :ivar unresolved: names of the variables that backends need and that are missing or empty (``ready`` is false).
    :ivar unresolved_clients: names of the clients whose variable is missing; they do not touch ``ready``.
    :ivar warnings: what an operator should read, one sentence each, never a value.
    :ivar fingerprint: seven hex digits over the content of the files, for logs and metrics.
    """

    gateway: Gateway = Gateway()
    backends: Mapping[str, Backend] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    alias_patterns: tuple[tuple[str, str], ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    clients: tuple[Client, ...] = ()
    auth_required: bool = False
    unresolved: tuple[str, ...] = ()
    unresolved_clients: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fingerprint: str = ""
    path: str = ""

    @property
    def ready(self) -> bool:
        """Whether every backend has the key that it was configured with."""
        return not self.unresolved
