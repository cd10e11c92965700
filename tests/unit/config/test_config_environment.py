"""What the environment gives: keys, tokens, two hosts; what counts as missing; and that no value is ever shown."""

from __future__ import annotations

import hashlib

import pytest

from lmgw.secret import Secret

KEYED = """
[backends.anthropic]
provider = "anthropic"
base_url = "https://api.anthropic.com"
api_key_env = "ANTHROPIC_API_KEY"

[[tiers]]
name = "cloud:capable"
backend = "anthropic"
model = "claude"
"""

#: The seed guide's smallest configuration.
SEED = """
[gateway]
client_port = 8080
admin_port  = 8081

[backends.anthropic]
provider    = "anthropic"
base_url    = "https://api.anthropic.com"
api_key_env = "ANTHROPIC_API_KEY"

[[tiers]]
name    = "cloud:capable"
backend = "anthropic"
model   = "claude-haiku-4-5-20251001"

[aliases]
"hint:capable" = "cloud:capable"

[profiles.default]
mode               = "escalate"
classifier         = "cloud:capable"
max_auto_tier      = "cloud:capable"
expert_requires_flag = false
"""

OFF = 'backend "anthropic" is off, its tiers (cloud:capable) are skipped, /status says ready: false'


@pytest.mark.parametrize("environ", [{}, {"ANTHROPIC_API_KEY": "sk-ant-api03-real"}])
def test_the_smallest_configuration_of_the_guide_loads_as_it_is(load_text, environ) -> None:
    config = load_text(SEED, environ)
    assert config.ready is bool(environ)
    assert config.profiles["default"].ladder == ("cloud:capable",)
    assert config.profiles["default"].unknown_model == "fallback"
    assert config.aliases == {"hint:capable": "cloud:capable"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "is not set"),
        ("", "is empty"),
        (" \r\n", "is empty"),
        ("sk-ant-...", "still holds the guide's placeholder instead of a key"),
        ("sk-or-...", "still holds the guide's placeholder instead of a key"),
        (" sk-ant-...\r", "still holds the guide's placeholder instead of a key"),
        ("sk-ant-…", "still holds the guide's placeholder instead of a key"),
        ("sk-proj-xxxx", "still holds the guide's placeholder instead of a key"),
        ("...", "still holds the guide's placeholder instead of a key"),
        ("two words", "holds a space, a line break or a letter that no key has"),
        ("line\nbreak", "holds a space, a line break or a letter that no key has"),
        ("sch\u00fcssel", "holds a space, a line break or a letter that no key has"),
        ("bad\udc80byte", "holds a space, a line break or a letter that no key has"),
    ],
)
def test_a_variable_without_a_usable_key_switches_its_backend_off(load_text, value, why) -> None:
    config = load_text(KEYED, {} if value is None else {"ANTHROPIC_API_KEY": value})
    assert config.unresolved == ("ANTHROPIC_API_KEY",)
    assert not config.ready
    assert not config.backends["anthropic"].usable
    assert f"ANTHROPIC_API_KEY {why}: {OFF}" in config.warnings


def test_a_key_is_held_as_a_secret(load_text) -> None:
    config = load_text(KEYED, {"ANTHROPIC_API_KEY": "canary-key"})
    assert config.backends["anthropic"].api_key == Secret("canary-key")
    assert config.backends["anthropic"].usable
    assert config.ready
    assert "canary-key" not in repr(config)


@pytest.mark.parametrize("value", ["canary\r\n", "  canary", "canary\n"])
def test_white_space_around_a_key_is_cut_with_a_warning_that_names_the_variable(load_text, value) -> None:
    config = load_text(KEYED, {"ANTHROPIC_API_KEY": value})
    assert config.backends["anthropic"].api_key == Secret("canary")
    (warning,) = [warning for warning in config.warnings if "white space" in warning]
    assert warning.startswith("ANTHROPIC_API_KEY has white space or a carriage return around its value")
    assert "canary" not in "".join(config.warnings)


def test_a_variable_of_two_backends_is_named_once(load_text) -> None:
    again = '[backends.two]\nbase_url = "https://h"\napi_key_env = "ANTHROPIC_API_KEY"'
    config = load_text(KEYED + again)
    assert config.unresolved == ("ANTHROPIC_API_KEY",)
    assert 'ANTHROPIC_API_KEY is not set: backend "two" is off, /status says ready: false' in config.warnings


def test_the_synonym_of_api_key_env(load_text) -> None:
    text = KEYED.replace('api_key_env = "ANTHROPIC_API_KEY"', 'api_key_secret = { source = "env", var = "OTHER" }')
    config = load_text(text, {"OTHER": "canary"})
    assert config.backends["anthropic"].api_key_env == "OTHER"
    assert config.backends["anthropic"].api_key == Secret("canary")


def test_the_synonym_wins_where_both_are_written(load_text) -> None:
    config = load_text(KEYED.replace("\n\n", '\napi_key_secret = { source = "env", var = "OTHER" }\n\n', 1))
    assert config.unresolved == ("OTHER",)
    assert "config.toml: backends.anthropic.api_key_env: ignored, for there is an api_key_secret too" in config.warnings


# --- clients -------------------------------------------------------------------------------------------------

CLIENTS = """
[[clients]]
key_env = "A_KEY"
profile = "default"
[[clients]]
name = "bee"
key_env = "B_KEY"
profile = "default"
"""


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_client_is_known_by_the_digest_of_its_key(load_text) -> None:
    config = load_text(CLIENTS, {"A_KEY": "one\r", "B_KEY": "two"}, tier=True)
    assert [(client.name, client.key_sha256) for client in config.clients] == [
        ("A_KEY", _digest("one")),
        ("bee", _digest("two")),
    ]
    assert config.auth_required
    assert "one" not in repr(config.clients)


def test_a_client_without_its_variable_does_not_touch_ready(load_text) -> None:
    config = load_text(CLIENTS, {"A_KEY": "one", "B_KEY": "sk-ant-..."}, tier=True)
    assert config.ready
    assert config.auth_required
    assert config.unresolved_clients == ("bee",)
    assert config.clients[1].key_sha256 is None
    assert 'B_KEY still holds the guide\'s placeholder instead of a key: nobody can be client "bee"' in config.warnings


def test_auth_is_on_even_if_no_client_resolves(load_text) -> None:
    config = load_text(CLIENTS, tier=True)
    assert config.auth_required
    assert config.unresolved_clients == ("A_KEY", "bee")


def test_two_clients_with_one_key_are_refused_naming_both_variables(problems_of) -> None:
    assert problems_of(CLIENTS, {"A_KEY": "canary", "B_KEY": " canary"}, tier=True) == (
        'config.toml: clients["bee"] (B_KEY) has the same key as clients["A_KEY"] (A_KEY): each needs its own',
    )


def test_a_digest_of_another_clients_key_is_refused(problems_of) -> None:
    text = CLIENTS + f'[[clients]]\nname = "cee"\nkey_sha256 = "{_digest("canary").upper()}"\nprofile = "default"'
    assert problems_of(text, {"A_KEY": "canary"}, tier=True) == (
        'config.toml: clients["cee"] (key_sha256) has the same key as clients["A_KEY"] (A_KEY): each needs its own',
    )


def test_two_clients_without_their_variables_are_not_the_same(load_text) -> None:
    assert len(load_text(CLIENTS, {"A_KEY": "", "B_KEY": ""}, tier=True).clients) == 2


def test_a_client_by_digest_is_called_by_its_beginning_unless_it_has_a_name(load_text) -> None:
    config = load_text(f'[[clients]]\nkey_sha256 = "{_digest("x")}"\nprofile = "default"', tier=True)
    assert config.clients[0].name == f"sha256-{_digest('x')[:8]}"
    assert config.unresolved_clients == ()


# --- admin token and hosts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "why"), [(None, "is not set"), ("", "is empty"), ("sk-ant-...", "still holds the guide's placeholder")]
)
def test_an_admin_token_that_is_named_must_be_there(problems_of, value, why) -> None:
    (problem,) = problems_of('[gateway]\nadmin_token_env = "TOKEN"', {} if value is None else {"TOKEN": value})
    assert problem.startswith(f"config.toml: gateway.admin_token_env: TOKEN {why}")


def test_the_admin_token_is_held_as_a_secret(load_text) -> None:
    config = load_text('[gateway]\nadmin_token_env = "TOKEN"', {"TOKEN": "canary\n"})
    assert config.gateway.admin_token == Secret("canary")
    assert "canary" not in repr(config)


def test_hosts_of_the_environment_go_over_the_files(load_text) -> None:
    text = '[gateway]\nclient_host = "10.0.0.1"\nadmin_host = "10.0.0.2"'
    gateway = load_text(text, {"LMG_CLIENT_HOST": "0.0.0.0", "LMG_ADMIN_HOST": ""}).gateway
    assert (gateway.client_host, gateway.admin_host) == ("0.0.0.0", "10.0.0.2")


def test_a_bad_host_of_the_environment_is_refused_by_its_variable(problems_of) -> None:
    (problem,) = problems_of("# nothing", {"LMG_ADMIN_HOST": "http://x"})
    assert problem.startswith("$LMG_ADMIN_HOST: expected an IP address of this machine")


def test_only_the_environment_that_is_handed_in_counts(load_text, monkeypatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from the process")
    assert not load_text(KEYED, {}).ready
