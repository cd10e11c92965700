"""What each key takes, and the words for what it does not take."""

from __future__ import annotations

import pytest

from lmgw.config.keys import Key, Kind
from lmgw.config.refusal import Refused
from lmgw.config.schema import BACKEND, CLIENT, GATEWAY, PROFILE, TIER
from lmgw.config.values import check

TABLES = {"gateway": GATEWAY, "backend": BACKEND, "tier": TIER, "profile": PROFILE, "client": CLIENT}


def _key(path: str) -> Key:
    table, name = path.split(".")
    return TABLES[table].keys[name]


GOOD = [
    ("gateway.client_port", 0, 0),
    ("gateway.client_port", 65535, 65535),
    ("gateway.health_error_threshold", 1, 1.0),
    ("gateway.traffic_log_debug", False, False),
    ("gateway.log_level", "warning", "warning"),
    ("gateway.client_host", "", ""),
    ("gateway.client_host", "::", "::"),
    ("gateway.admin_host", "localhost", "localhost"),
    ("gateway.admin_allowed_hosts", "Gateway.Example.com.", "gateway.example.com"),
    ("gateway.cors_origins", "https://Chat.Example.com/", "https://chat.example.com"),
    ("gateway.cors_origins", "https://chat.example.com:443", "https://chat.example.com"),
    ("gateway.cors_origins", "http://[::1]:3000", "http://[::1]:3000"),
    ("gateway.cors_origins", "app://obsidian.md", "app://obsidian.md"),
    ("gateway.trusted_proxies", "10.1.2.3/8", "10.0.0.0/8"),
    ("gateway.trusted_proxies", "::1", "::1/128"),
    ("gateway.client_endpoint", "tcp:8080:interface=127.0.0.1", "tcp:8080:interface=127.0.0.1"),
    ("gateway.client_endpoint", "tcp:port=80", "tcp:port=80"),
    ("gateway.client_endpoint", "tcp6:65535", "tcp6:65535"),
    ("gateway.client_endpoint", "ssl:8443:privateKey=/a.pem:certKey=/b.pem", None),
    ("gateway.client_endpoint", "unix:/run/lmgw.sock", None),
    ("gateway.client_endpoint", "unix:address=/run/a\\:b.sock:mode=660", None),
    ("gateway.client_endpoint", "systemd:domain=INET:index=0", None),
    ("gateway.client_endpoint", "haproxy:tcp:8080", None),
    ("gateway.identity_header", "X-Forwarded-User", "x-forwarded-user"),
    ("gateway.admin_token_env", "LMG_ADMIN_TOKEN", None),
    ("backend.provider", "open_router", "openrouter"),
    ("backend.base_url", "http://localhost:11434/", "http://localhost:11434"),
    ("backend.base_url", "https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
    ("backend.base_url", "http://[::1]:8000", "http://[::1]:8000"),
    ("backend.api_path", "/v1beta/openai/", "/v1beta/openai"),
    ("backend.api_path", "", ""),
    ("backend.keep_alive", -1, -1),
    ("backend.keep_alive", "30m", "30m"),
    ("backend.keep_alive", "1h30m", "1h30m"),
    ("backend.keep_alive", "-1s", "-1s"),
    ("backend.app_title", "My app", "My app"),
    ("tier.name", "cloud:capable", "cloud:capable"),
    ("tier.queue_id", "Grafikkarte (groß)", "Grafikkarte (groß)"),
    ("tier.queue_id", "x" * 128, "x" * 128),
    ("tier.input_price", 1, 1.0),
    ("client.default_priority", -5, -5),
    ("client.key_sha256", "AB" * 32, "ab" * 32),
]


@pytest.mark.parametrize(("path", "value", "kept"), GOOD)
def test_a_good_value_is_kept_as_the_snapshot_wants_it(path, value, kept) -> None:
    assert check(value, _key(path)) == (value if kept is None else kept)


BAD = [
    ("gateway.client_port", "8080", "expected a whole number from 0 to 65535: write it without quotes"),
    ("gateway.client_port", True, "expected a whole number from 0 to 65535, found true or false"),
    ("gateway.client_port", 65536, "expected a whole number from 0 to 65535"),
    ("gateway.client_port", 80.5, "expected a whole number from 0 to 65535, found a number"),
    ("gateway.traffic_log_capacity", 0, "expected a whole number from 1 to"),
    ("gateway.max_in_flight", 0, "expected a whole number from 1 on"),
    ("gateway.keepalive_ms", -1, "expected a whole number from 0 to 604800000"),
    ("gateway.keepalive_ms", 10**30, "expected a whole number from 0 to 604800000"),
    ("gateway.health_error_threshold", 0, "expected a number from 0.01 to 1"),
    ("gateway.health_error_threshold", float("nan"), "expected a number from 0.01 to 1"),
    ("tier.input_price", float("inf"), "expected a number from 0 on"),
    ("tier.input_price", "1.0", "expected a number from 0 on: write it without quotes"),
    ("gateway.traffic_log_debug", "true", "expected true or false, without quotes"),
    ("gateway.traffic_log_debug", 1, "expected true or false, found a number"),
    ("gateway.log_format", "JSON", "expected one of text, json"),
    ("gateway.log_level", "warnin", 'did you mean "warning"?'),
    ("gateway.log_level", 3, "expected one of trace, debug, info, warn, warning, error"),
    ("gateway.client_host", "0.0.0.0:8080", "expected an IP address of this machine without a port"),
    ("gateway.admin_allowed_hosts", "https://x", "expected a host name, without scheme or port"),
    ("gateway.cors_origins", "*", "expected an origin"),
    ("gateway.cors_origins", "https://x/path", "expected an origin"),
    ("gateway.cors_origins", "chat.example.com", "expected an origin"),
    ("gateway.trusted_proxies", "10.0.0.0/99", "expected a network"),
    ("gateway.trusted_proxies", "proxy.example", "expected a network"),
    ("gateway.client_endpoint", "8080", "expected a Twisted endpoint"),
    ("gateway.client_endpoint", "tcp:", "expected a Twisted endpoint"),
    ("gateway.client_endpoint", "tcp:http", "expected a port from 0 to 65535 after tcp:"),
    ("gateway.client_endpoint", "ssl:65536", "expected a port from 0 to 65535 after ssl:"),
    ("gateway.client_endpoint", "systemd:domain=INET", "expected domain= and index= after systemd:"),
    ("gateway.identity_header", "X User", "expected the name of a header"),
    ("gateway.identity_header", "Cookie", "this header carries keys"),
    ("gateway.attribution_headers", "x-api-key", "this header carries keys"),
    ("gateway.admin_token_env", "MY-TOKEN", "expected the name of an environment variable"),
    (
        "gateway.admin_token_env",
        "",
        "expected the name of an environment variable (letters, digits, _), not a value, found",
    ),
    ("backend.base_url", "localhost:11434", "it begins with http:// or https://"),
    ("backend.base_url", "https://", "in ASCII and without spaces"),
    ("backend.base_url", "https://exa mple.com", "in ASCII and without spaces"),
    ("backend.base_url", "https://ex\u00e4mple.com", "in ASCII and without spaces"),
    ("backend.base_url", "http://h:99999", "expected an address"),
    ("backend.base_url", "http://[::1", "expected an address"),
    ("backend.base_url", "http://h?a=b", "without a query or fragment"),
    ("backend.base_url", "http://h/#", "without a query or fragment"),
    ("backend.base_url", "https://api.openai.com/v1/chat/completions", "this names a route"),
    ("backend.base_url", ["http://h"], "found a list"),
    ("backend.api_path", "v1", 'expected a path such as "/v1"'),
    ("backend.api_path", "/v1?x", 'expected a path such as "/v1"'),
    ("backend.keep_alive", "30", "expected seconds as a number"),
    ("backend.keep_alive", "30 minutes", "expected seconds as a number"),
    ("backend.keep_alive", True, "expected seconds as a number"),
    ("backend.app_title", "caf\u00e9", "expected printable ASCII text for a header"),
    ("backend.app_title", "a\r\nX: y", "expected printable ASCII text for a header"),
    (
        "tier.name",
        "",
        "expected a name of 1 to 128 printable ASCII characters (it stands in response headers), found empty",
    ),
    ("tier.name", "schl\u00fcssel", "expected a name of 1 to 128 printable ASCII characters"),
    ("tier.name", "a\nb", "expected a name of 1 to 128 printable ASCII characters"),
    ("tier.name", "x" * 129, "expected a name of 1 to 128 printable ASCII characters"),
    ("tier.queue_id", "x" * 129, "expected a name of 1 to 128 printable characters"),
    ("tier.queue_id", " x", "expected a name of 1 to 128 printable characters"),
    ("tier.queue_id", "\x00", "expected a name of 1 to 128 printable characters"),
    ("tier.backend", "", "expected a backend in quotes, found empty text"),
    ("client.key_sha256", "ab" * 31, "expected the 64 hex digits of a SHA-256"),
    ("profile.escalate_peek_chars", 5000, "expected a whole number from 0 to 4096"),
    ("profile.system_prompt", 5, "expected text in quotes, found a number"),
]


@pytest.mark.parametrize(("path", "value", "words"), BAD)
def test_a_bad_value_is_refused_with_what_was_expected(path, value, words) -> None:
    with pytest.raises(Refused) as caught:
        check(value, _key(path))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["authorization", "X-Api-Key", "api-key", "Cookie", "Host", "Transfer-Encoding"])
def test_headers_of_a_backend_never_carry_keys_or_frame_the_message(name) -> None:
    with pytest.raises(Refused, match="this header"):
        check(name, Key("", Kind.SENT_HEADER, ""))


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"a": [1, 2.5, "x", True, {"b": {}}]}, True),
        (2**63 - 1, True),
        (2**63, False),
        (float("nan"), False),
        ([float("inf")], False),
    ],
)
def test_options_hold_what_json_has(value, good) -> None:
    key = Key("", Kind.JSON, "")
    if good:
        assert check(value, key) == value
    else:
        with pytest.raises(Refused, match="that JSON has"):
            check(value, key)
