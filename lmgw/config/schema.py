"""Every key that a configuration may hold, described once.

Validation, ``docs/configuration.md`` and the check of ``config.example.toml`` all read these tables.
"""

from __future__ import annotations

from lmgw.config.keys import LONGEST_MS, Default, Key, Kind, Shape, table
from lmgw.config.snapshot import Backend, Capabilities, Client, Gateway, Profile, Provider, Rule, Tier

#: Ollama may load a model before the first byte.
OLLAMA_TIMEOUT_MS = 300_000
#: Sums of bytes and amounts of memory.
_MOST_BYTES = 2**40
#: What is kept of an answer for judging it.
_MOST_PEEK = 4096

_NETWORK = frozenset(Provider) - {Provider.DEMO}
_OPENAI = frozenset({Provider.OPENAI, Provider.OPENROUTER})
_OPENROUTER = frozenset({Provider.OPENROUTER})
_OLLAMA = frozenset({Provider.OLLAMA})


def _ms(name: str, doc: str, low: int = 0) -> Key:
    return Key(name, Kind.INT, doc, low=low, high=LONGEST_MS)


GATEWAY = table(
    "[gateway]",
    "The process itself: listeners, limits, deadlines. The table may be absent.",
    Gateway,
    Key("client_port", Kind.INT, "Port of the client listener; 0 = any free port (logged).", high=65535),
    Key("admin_port", Kind.INT, "Port of the admin listener; must differ from the client's unless 0.", high=65535),
    Key(
        "client_host",
        Kind.HOST,
        "Interface of the client listener; `$LMG_CLIENT_HOST` overrides it. Every interface means IPv4 and IPv6.",
        written="every interface",
    ),
    Key(
        "admin_host",
        Kind.HOST,
        "Interface of the admin listener; `$LMG_ADMIN_HOST` overrides it. Off loopback and without a token it is "
        "read-only.",
    ),
    Key(
        "admin_allowed_hosts",
        Kind.HOST_NAME,
        "Names that `Host` may carry on the admin port, besides IP addresses and `localhost`.",
        Shape.LIST,
    ),
    Key(
        "cors_origins",
        Kind.ORIGIN,
        "Browser origins that may use the client port, besides localhost and the schemes of local apps.",
        Shape.LIST,
    ),
    Key(
        "client_endpoint",
        Kind.ENDPOINT,
        "Twisted endpoint of the client listener, instead of host and port: `ssl:8443:privateKey=...:certKey=...` "
        "(a reload reads both again), `unix:/run/lmgw.sock`, `systemd:domain=INET:index=0`.",
    ),
    Key("admin_endpoint", Kind.ENDPOINT, "The same for the admin listener."),
    Key(
        "log_level",
        Kind.CHOICE,
        "Least level that is logged.",
        allowed=("trace", "debug", "info", "warn", "warning", "error"),
    ),
    Key("log_format", Kind.CHOICE, "`json` writes one object a line.", allowed=("text", "json")),
    Key("traffic_log_capacity", Kind.INT, "Requests kept in memory for the admin side.", low=1, high=10_000_000),
    Key(
        "traffic_log_path",
        Kind.PATH,
        "File to which each finished request is appended as a JSON line; reopened on SIGHUP.",
    ),
    Key("traffic_log_debug", Kind.BOOL, "Keep request bodies in the traffic log (warned about at load)."),
    Key("rate_limit_rpm", Kind.INT, "Requests a minute and client address; burst is half of it, rounded up. 0 = off."),
    Key(
        "trusted_proxies",
        Kind.CIDR,
        "Networks of direct peers whose `X-Forwarded-For` names the client's address.",
        Shape.LIST,
    ),
    Key(
        "identity_header",
        Kind.KEPT_HEADER,
        "Header in which trusted proxies name the user (`X-Forwarded-User`), for the traffic log and fair queueing.",
    ),
    Key(
        "attribution_headers",
        Kind.KEPT_HEADER,
        "Request headers that are kept in the traffic log (`X-OpenWebUI-User-Id`), at most 128 characters of each.",
        Shape.LIST,
    ),
    Key(
        "admin_token_env",
        Kind.ENV,
        "Variable that holds the Bearer token of every admin route; if it is named, it must not be empty.",
    ),
    Key(
        "public_profile",
        Kind.PROFILE,
        "With `[[clients]]`: the profile of requests that carry no key or an unknown one, instead of a 401. They may "
        "name tiers and aliases up to its `max_auto_tier`, and no profile.",
    ),
    Key("max_retries", Kind.INT, "Further attempts on the same tier after a retryable failure.", high=100),
    _ms(
        "retry_delay_ms", "First wait between attempts; doubles with jitter up to 2,000 ms. `Retry-After` is honoured."
    ),
    Key("health_window", Kind.INT, "Attempts that a circuit looks back on; 0 = no circuits.", high=10_000),
    Key("health_error_threshold", Kind.FLOAT, "Share of failures that opens a circuit.", low=0.01, high=1),
    _ms("health_cooldown_ms", "How long an open circuit keeps a backend out before it is tried again."),
    _ms(
        "request_timeout_ms",
        "From the accepted request to the first content, retries and queueing included; to the end of an answer that "
        "is not streamed. 0 = off.",
    ),
    _ms("stream_idle_timeout_ms", "Longest silence of an upstream in the middle of a stream. 0 = off."),
    Key("max_in_flight", Kind.INT, "Requests at once; beyond: 503 with Retry-After.", low=1),
    Key(
        "max_buffered_bytes",
        Kind.INT,
        "Bytes of bodies held in memory at once; beyond: 503 with Retry-After.",
        low=1,
        high=_MOST_BYTES,
    ),
    Key("max_client_connections", Kind.INT, "Client connections at once; beyond: none is accepted.", low=1),
    _ms("header_timeout_ms", "Time for a request's head, from its first byte. 0 = off."),
    _ms("body_timeout_ms", "Time for a request's body. 0 = off."),
    _ms("client_write_timeout_ms", "Longest time a client may refuse to read. 0 = off."),
    _ms(
        "early_begin_ms",
        "A streamed response is begun (200) before its first content only after this wait, so that proxies stay calm; "
        "0 = never.",
    ),
    Key("max_request_bytes", Kind.INT, "Larger bodies get 413 without being read.", low=1, high=_MOST_BYTES),
    _ms("keepalive_ms", "Silence towards a streaming client after which it gets a keep-alive. 0 = off."),
    _ms("shutdown_delay_ms", "On SIGTERM: how long `/readyz` answers 503 while all goes on, so that balancers notice."),
    _ms("shutdown_grace_ms", "After that: how long requests in flight may take before they are cut."),
    Key("profile_dir", Kind.PATH, "Directory with one profile a file, relative to the main file."),
)

API_KEY_SECRET = table(
    "api_key_secret",
    "Another spelling of `api_key_env`.",
    None,
    Key(
        "source",
        Kind.CHOICE,
        "Where the key comes from; only `env` can be used.",
        default=Default.REQUIRED,
        allowed=("env", "file"),
    ),
    Key("var", Kind.ENV, "Variable that holds the key.", default=None),
    Key("path", Kind.PATH, "Goes with `file`, which is refused.", default=None),
)

BACKEND = table(
    "[backends.NAME]",
    "A provider: its address, its dialect, its key.",
    Backend,
    Key(
        "provider",
        Kind.CHOICE,
        "Dialect spoken to it. `demo` answers from inside the process, without a network.",
        allowed=tuple(provider.value for provider in Provider),
        synonyms={"open_router": "openrouter"},
    ),
    Key(
        "base_url",
        Kind.URL,
        "Its address, with or without a trailing `/` or `/v1`; no credentials, query or fragment.",
        written="required, but for `demo`",
        providers=_NETWORK,
    ),
    Key(
        "api_path",
        Kind.URL_PATH,
        "Joined to the address as it is (`/v1beta/openai` for Gemini); Ollama's own routes do not use it.",
        providers=_NETWORK,
    ),
    Key("api_key_env", Kind.ENV, "Variable that holds its key, as the process was started with.", providers=_NETWORK),
    Key(
        "api_key_secret",
        Kind.ENV,
        'The same as `{ source = "env", var = "NAME" }`.',
        Shape.TABLE,
        default=None,
        providers=_NETWORK,
        table=API_KEY_SECRET,
    ),
    Key(
        "timeout_ms",
        Kind.INT,
        "Longest silence before the first byte of an answer. A model that is loaded or thinks sends nothing for "
        "minutes.",
        written=f"120000; {OLLAMA_TIMEOUT_MS} for `ollama`",
        low=1,
        high=LONGEST_MS,
        providers=_NETWORK,
    ),
    Key("ca_file", Kind.PATH, "PEM roots to trust for it besides the system's.", providers=_NETWORK),
    Key(
        "connect_timeout_ms",
        Kind.INT,
        "Time for TCP and TLS together.",
        low=1,
        high=LONGEST_MS,
        providers=_NETWORK,
    ),
    Key("max_connections", Kind.INT, "Sockets open to it at once; more wait. 0 = unlimited.", providers=_NETWORK),
    Key(
        "default_options",
        Kind.JSON,
        "Ollama's `options` where neither the request nor the tier has them.",
        Shape.MAP,
        names=Kind.LABEL,
        providers=_OLLAMA,
    ),
    Key(
        "keep_alive",
        Kind.KEEP_ALIVE,
        'How long Ollama keeps the model loaded (`"30m"`; -1 = for ever) unless the request says.',
        providers=_OLLAMA,
    ),
    Key(
        "stream_usage",
        Kind.BOOL,
        "Ask for usage in streams and cut the extra chunk if the caller did not ask.",
        providers=_OPENAI,
    ),
    Key(
        "max_tokens_field",
        Kind.CHOICE,
        "Spelling of the output limit; `auto`: the new one for api.openai.com, the old one for all others.",
        allowed=("auto", "max_tokens", "max_completion_tokens"),
        providers=_OPENAI,
    ),
    Key(
        "responses",
        Kind.CHOICE,
        "How callers of the Responses API are served: `native` passes their requests on, `translate` asks in Chat "
        "Completions; `auto`: the former for api.openai.com. A 404 to `native` means `translate` until a reload.",
        allowed=("auto", "native", "translate"),
        providers=_OPENAI,
    ),
    Key(
        "echo_reasoning",
        Kind.BOOL,
        "Send `reasoning_content` back on assistant turns (DeepSeek wants it).",
        providers=_OPENAI,
    ),
    Key(
        "repair_tool_calls",
        Kind.BOOL,
        'Turn `Name(key="value")` in the text of thinking models into tool calls, if such a tool was offered.',
        providers=_OLLAMA,
    ),
    Key(
        "headers",
        Kind.HEADER_VALUE,
        "Headers added to each request to it; never those that carry a key or frame the message.",
        Shape.MAP,
        names=Kind.SENT_HEADER,
        providers=_NETWORK,
    ),
    Key("app_url", Kind.HEADER_VALUE, "OpenRouter's `HTTP-Referer`.", providers=_OPENROUTER),
    Key("app_title", Kind.HEADER_VALUE, "OpenRouter's `X-Title`.", providers=_OPENROUTER),
)

_CATALOG = "from the catalog"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

CAPABILITIES = table(
    "capabilities",
    "What the model accepts; each key overrides the catalog's entry for the model.",
    Capabilities,
    Key("sampling", Kind.BOOL, "`temperature`, `top_p` and `top_k`.", written=_CATALOG),
    Key(
        "thinking",
        Kind.CHOICE,
        "How an Anthropic model is told to think.",
        written=_CATALOG,
        allowed=("none", "budget", "adaptive"),
    ),
    Key("thinking_always_on", Kind.BOOL, "Thinking cannot be switched off.", written=_CATALOG),
    Key("efforts", Kind.CHOICE, "Effort words it takes.", Shape.LIST, written=_CATALOG, allowed=EFFORTS),
    Key("reasoning", Kind.BOOL, "`reasoning_effort`.", written=_CATALOG),
    Key("structured_outputs", Kind.BOOL, "Answers by a JSON Schema.", written=_CATALOG),
    Key("vision", Kind.BOOL, "Images.", written=_CATALOG),
    Key("mid_system", Kind.BOOL, "System messages after the first turn.", written=_CATALOG),
)

TIER = table(
    "[[tiers]]",
    "One model on one backend. The order is the ladder: cheapest first, most capable last.",
    Tier,
    Key("name", Kind.NAME, "Unique; by convention `location:speed`."),
    Key("backend", Kind.BACKEND, "Where it runs."),
    Key("model", Kind.NAME, "Name sent upstream."),
    Key("think", Kind.BOOL, "Thinking on or off where the request does not say."),
    Key("max_context_tokens", Kind.INT, "Tokens that its window holds; larger prompts go to the next tier.", low=1),
    Key(
        "max_output_tokens",
        Kind.INT,
        "Sent where the dialect requires a maximum and the request has none.",
        written="the catalog's, else 4096",
        low=1,
    ),
    Key(
        "capabilities",
        Kind.BOOL,
        "What the model accepts, over the catalog.",
        Shape.TABLE,
        default=None,
        written=_CATALOG,
        table=CAPABILITIES,
    ),
    Key(
        "options",
        Kind.JSON,
        "Ollama's `options` of this tier, over the backend's.",
        Shape.MAP,
        names=Kind.LABEL,
        providers=_OLLAMA,
    ),
    Key(
        "pin_options",
        Kind.BOOL,
        "`options` win over the caller's too: different `num_ctx` make Ollama load the model again and again.",
        providers=_OLLAMA,
    ),
    Key("failover", Kind.TIER, "Where a failed attempt goes next, in this order.", Shape.LIST),
    Key("max_concurrent", Kind.INT, "Requests in flight through its queue, a true maximum; 0 = no queue."),
    Key(
        "queue_id",
        Kind.LABEL,
        "Tiers that name one queue share it; the smallest limits among them count.",
        written="the tier's name",
    ),
    Key("max_queue_depth", Kind.INT, "Requests that may wait; beyond: 429 with Retry-After."),
    Key("overflow_tier", Kind.TIER, "Where requests go instead of waiting once `overflow_depth` is exceeded."),
    Key("overflow_depth", Kind.INT, "Running and waiting together, beyond which `overflow_tier` is used."),
    Key("input_price", Kind.FLOAT, "US dollars per million uncached input tokens."),
    Key("output_price", Kind.FLOAT, "US dollars per million output tokens."),
    Key(
        "cache_read_price",
        Kind.FLOAT,
        "US dollars per million tokens read from the provider's cache.",
        written="`input_price`",
    ),
    Key(
        "cache_write_price",
        Kind.FLOAT,
        "US dollars per million tokens written to the provider's cache.",
        written="`input_price`",
    ),
)

_SIGNED = -(2**31)

RULE = table(
    "[[profiles.NAME.rules]]",
    "Tried by falling `priority`, then in the order of the file; the first whose `when` matches decides.",
    Rule,
    Key("when", Kind.STRING, "Tags that the classifier's answer must carry, all of them; any case.", Shape.MAP),
    Key("route_to", Kind.TARGET, "A tier, even above the ladder, or a profile that goes on from here."),
    Key("priority", Kind.INT, "Higher is tried first.", low=_SIGNED),
)

PROFILE = table(
    "[profiles.NAME]",
    "How a tier is chosen. `default` is used where nothing else names one; if it is missing, it is an implicit "
    "`dispatch` profile whose `classifier` is the first tier.",
    Profile,
    Key(
        "mode",
        Kind.CHOICE,
        "`dispatch`: the tier that the caller names. `escalate`: the cheapest that answers well. `classify`: a small "
        "model decides. `reply`: a fixed answer.",
        allowed=("dispatch", "escalate", "classify", "reply"),
    ),
    Key(
        "classifier",
        Kind.TIER,
        "Tier that labels requests, and that takes those which name no tier.",
        written="required, but for `reply`",
    ),
    Key("max_auto_tier", Kind.TIER, "Last tier of the ladder that is climbed by itself.", written="the last tier"),
    Key("expert_requires_flag", Kind.BOOL, "Tiers above the ladder need the header `X-LMG-Expert: true`."),
    Key("rate_limit_rpm", Kind.INT, "Requests a minute, shared by all that use the profile. 0 = off."),
    Key("system_prompt", Kind.TEXT, "Put before the caller's own system text."),
    Key("classifier_prompt", Kind.TEXT, "System text of the classifier's call.", written="built in"),
    Key("classifier_think", Kind.BOOL, "Let the classifier think."),
    _ms("classifier_timeout_ms", "Time for the classifier's answer.", low=1),
    Key(
        "classifier_context",
        Kind.INT,
        "Last messages that the classifier sees; 0 = do not classify.",
        written="all",
    ),
    Key("classifier_fallback", Kind.TIER, "Tier that is asked if the classifier fails."),
    Key("rules", Kind.STRING, "What a label leads to, over the ladder.", Shape.TABLES, table=RULE),
    Key("class_prompts", Kind.TEXT, "Text by label, put before `system_prompt`.", Shape.MAP, names=Kind.LABEL),
    Key("reply_message", Kind.TEXT, "The answer of a `reply` profile.", written="says that no backend is configured"),
    Key(
        "thinking_messages",
        Kind.TEXT,
        "By tier: one of these is streamed before the first real token.",
        Shape.LISTS,
        names=Kind.TIER,
    ),
    Key(
        "on_error",
        Kind.CHOICE,
        "`chat` answers a failure of the upstream by a friendly text with status 200.",
        allowed=("status", "chat"),
    ),
    Key(
        "unknown_model",
        Kind.CHOICE,
        "What a model's name that nothing here has leads to: 404, or the `classifier` tier.",
        written="`reject` in `dispatch`, `fallback` in the other modes",
        allowed=("reject", "fallback"),
    ),
    Key("escalate_min_chars", Kind.INT, "Shorter answers are not sufficient.", high=_MOST_PEEK),
    Key("escalate_peek_chars", Kind.INT, "Beginning of an answer that is searched for refusals.", high=_MOST_PEEK),
    Key(
        "refusals",
        Kind.TEXT,
        "Phrases that make an answer a refusal; any case, either apostrophe.",
        Shape.LIST,
        written="a built-in list",
    ),
)

CLIENT = table(
    "[[clients]]",
    "Who may call, by key. As soon as there is one, a request without a known key is refused.",
    Client,
    Key("name", Kind.LABEL, "Shown in the traffic log and metrics; unique.", default=None, written="`key_env`"),
    Key("key_env", Kind.ENV, "Variable that holds the client's key; this or `key_sha256`."),
    Key("key_sha256", Kind.SHA256, "SHA-256 of the client's key in hex, as `lmgw hash-key` makes it."),
    Key("profile", Kind.PROFILE, "Profile of its requests."),
    Key("profiles", Kind.PROFILES, 'More profiles that it may name as the model; `["*"]` = all.', Shape.LIST),
    Key("tiers", Kind.TIER, "Tiers that it may name and be routed to; empty = all.", Shape.LIST),
    Key("default_priority", Kind.INT, "Priority of its requests in a queue.", low=_SIGNED),
    Key(
        "priority_ceiling",
        Kind.INT,
        "Highest priority that it may ask for with `X-LMG-Priority`.",
        written="`default_priority`",
        low=_SIGNED,
    ),
    Key("rate_limit_rpm", Kind.INT, "Requests a minute. 0 = off."),
)

ROOT = table(
    "",
    "",
    None,
    Key("gateway", Kind.STRING, "", Shape.TABLE, default=None, table=GATEWAY),
    Key("backends", Kind.STRING, "", Shape.NAMED, default=None, table=BACKEND),
    Key("tiers", Kind.STRING, "", Shape.TABLES, default=None, table=TIER),
    Key("aliases", Kind.ALIASED, "Another name for a tier; a name may hold `*`.", Shape.MAP, default=None),
    Key("profiles", Kind.STRING, "", Shape.NAMED, default=None, table=PROFILE),
    Key("clients", Kind.STRING, "", Shape.TABLES, default=None, table=CLIENT),
)
