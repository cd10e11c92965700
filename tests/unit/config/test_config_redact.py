"""The effective configuration: everything but secrets, ready for JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields

import pytest

from lmgw.config.redact import effective
from lmgw.config.snapshot import Backend, Client, Gateway, Profile, Tier

TEXT = """
[gateway]
admin_token_env = "TOKEN"
cors_origins = ["https://a"]
[backends.one]
base_url = "https://h"
api_key_env = "KEY"
headers = { "X-Tenant" = "canary-header" }
[backends.two]
base_url = "https://h"
api_key_env = "MISSING"
[backends.three]
base_url = "http://localhost:1"
[[tiers]]
name = "a"
backend = "one"
model = "m"
[aliases]
x = "a"
"y*" = "a"
[profiles.default]
classifier = "a"
rules = [{ when = { a = "b" }, route_to = "a" }]
[[clients]]
key_env = "CLIENT"
profile = "default"
[[clients]]
name = "n"
key_sha256 = "DIGEST"
profile = "default"
"""


@pytest.fixture
def shown(load_text) -> dict:
    digest = hashlib.sha256(b"canary-other").hexdigest()
    environ = {"TOKEN": "canary-token", "KEY": "canary-key", "CLIENT": "canary-client"}
    return effective(load_text(TEXT.replace("DIGEST", digest), environ))


def test_no_secret_and_no_digest_is_shown(shown) -> None:
    text = json.dumps(shown)
    assert "canary" not in text
    for key in ("canary-client", "canary-other"):
        assert hashlib.sha256(key.encode()).hexdigest() not in text


def test_a_backend_says_whether_it_has_a_key_and_from_where(shown) -> None:
    told = [(one["name"], one["has_api_key"], one["api_key_source"], one["api_key_env"]) for one in shown["backends"]]
    assert told == [("one", True, "env", "KEY"), ("two", False, "env", "MISSING"), ("three", False, None, None)]
    assert shown["backends"][0]["headers"] == ["X-Tenant"]


def test_a_client_says_whether_it_has_a_key(shown) -> None:
    told = [(one["name"], one["has_key"], one["key_source"], one["key_env"]) for one in shown["clients"]]
    assert told == [("CLIENT", True, "env", "CLIENT"), ("n", True, "sha256", None)]


def test_the_rest_is_there_as_json_has_it(shown) -> None:
    assert shown["gateway"]["has_admin_token"] is True
    assert shown["gateway"]["cors_origins"] == ["https://a"]
    assert shown["tiers"][0]["name"] == "a"
    assert shown["tiers"][0]["capabilities"]["vision"] is True
    assert shown["aliases"] == {"x": "a", "y*": "a"}
    assert shown["profiles"]["default"]["mode"] == "dispatch"
    assert shown["profiles"]["default"]["rules"] == [
        {"when": {"a": "b"}, "route_to": "a", "to_profile": False, "priority": 0}
    ]
    assert shown["ready"] is False
    assert shown["unresolved"] == ["MISSING"]
    assert shown["path"].endswith("config.toml")
    assert len(shown["fingerprint"]) == 7


@pytest.mark.parametrize(
    ("record", "shown_as", "hidden"),
    [
        (Gateway, lambda shown: shown["gateway"], {"admin_token"}),
        (Backend, lambda shown: shown["backends"][0], {"api_key"}),
        (Tier, lambda shown: shown["tiers"][0], {"index"}),
        (Profile, lambda shown: shown["profiles"]["default"], {"name"}),
        (Client, lambda shown: shown["clients"][0], {"key_sha256"}),
    ],
)
def test_every_field_is_shown_but_the_hidden_ones(shown, record, shown_as, hidden) -> None:
    names = {field.name for field in fields(record)}
    assert names - set(shown_as(shown)) == hidden
