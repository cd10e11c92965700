"""Keys that were written into a file: refused wherever they stand, and never repeated."""

from __future__ import annotations

import base64
import random
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.config.leaks import looks_like_key, looks_random
from lmgw.config.loader import load
from lmgw.config.report import quotable
from lmgw.errors import ConfigError

KEY = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWx"
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sk-" + "a" * 20, True),
        ("sk-" + "a" * 19, False),
        ("sk-proj-" + "aB3_-" * 8, True),
        ("sk-or-v1-" + HEX, True),
        (" " + KEY + "\n", True),
        ("Bearer " + KEY, True),
        ("x" + KEY, False),
        ("ask-someone-who-knows-about-it", False),
        ("sk-ant-...", False),
        ("gpt-5", False),
    ],
)
def test_what_looks_like_a_provider_key(text, found) -> None:
    assert looks_like_key(text) is found


@pytest.mark.parametrize(
    ("name", "random"),
    [
        ("ANTHROPIC_API_KEY", False),
        ("MY_COMPANY_PRODUCTION_ANTHROPIC_API_KEY", False),
        ("my_company_production_anthropic_api_key", False),
        ("TEAM_42_PRODUCTION_OPENROUTER_KEY_2026", False),
        ("a" * 31, False),
        ("a" * 32, True),
        (HEX, True),
        (HEX.upper(), True),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", True),
        ("123e4567-e89b-12d3-a456-426614174000", True),
        ("ghp_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789", True),
    ],
)
def test_what_looks_random_where_a_name_is_expected(name, random) -> None:
    assert looks_random(name) is random


def _random_bytes(seed: int) -> bytes:
    source = random.Random(seed)
    return source.randbytes(source.randint(24, 48))


RANDOM = st.integers(0, 2**64).map(_random_bytes)
HEX_KEYS = RANDOM.map(bytes.hex)
BASE64_KEYS = RANDOM.map(lambda key: base64.urlsafe_b64encode(key).decode().rstrip("="))


@given(HEX_KEYS | BASE64_KEYS)
def test_random_keys_are_no_names_and_are_not_quoted(key) -> None:
    assert looks_random(key)
    assert not quotable(key)


@pytest.mark.parametrize(
    "name",
    [
        "cloud:capable",
        "claude-haiku-4-5-20251001",
        "anthropic/claude-sonnet-4-5-20250929",
        "meta-llama-3.1-405b-instruct-fp8",
        "MY_COMPANY_PRODUCTION_ANTHROPIC_API_KEY",
        "ha-auto:fast",
        "qwen3:8b-q3_K_M",
    ],
)
def test_ordinary_names_are_quoted(name) -> None:
    assert quotable(name)


MOVE = "move it to an environment variable and name that here; a key that was saved in a file should be replaced"
ANYWHERE = f"looks like an API key: keys come from the environment only; {MOVE}"
NO_NAME = f"looks like a key, not like the name of an environment variable: {MOVE}"
CREDENTIALS = "holds credentials: take them out; a key goes into an environment variable that api_key_env names"

PLACES = {
    f'[backends.x]\nbase_url = "http://h"\napi_key_env = "{KEY}"': f"backends.x.api_key_env: {NO_NAME}",
    f'[backends.x]\nbase_url = "http://h"\napi_key_env = "{HEX}"': f"backends.x.api_key_env: {NO_NAME}",
    f'[backends.x]\nbase_url = "http://h"\napi_key_secret = {{ source = "env", var = "{HEX}" }}': (
        f"backends.x.api_key_secret.var: {NO_NAME}"
    ),
    f'[gateway]\nadmin_token_env = "{HEX}"': f"gateway.admin_token_env: {NO_NAME}",
    f'[[clients]]\nprofile = "default"\nkey_env = "{HEX}"': f"clients[#1].key_env: {NO_NAME}",
    f'[[clients]]\nname = "{KEY}"\nkey_env = "A"\nprofile = "default"': f"clients[#1].name: {ANYWHERE}",
    f'[backends.x]\nbase_url = "http://h"\nheaders = {{ X-A = "Token {KEY}" }}': f"backends.x.headers.X-A: {ANYWHERE}",
    f'[backends.x]\nprovider = "ollama"\nbase_url = "http://h"\ndefault_options = {{ a = {{ b = ["{KEY}"] }} }}': (
        f"backends.x.default_options.a.b[#1]: {ANYWHERE}"
    ),
    f'[gateway]\ncors_origins = ["https://a", "{KEY}"]': f"gateway.cors_origins[#2]: {ANYWHERE}",
    f'[gateway]\nunknown = "{KEY}"': f"gateway.unknown: {ANYWHERE}",
    f'[unknown]\na = [1, {{ b = "{KEY}" }}]': f"unknown.a[#2].b: {ANYWHERE}",
    f'[aliases]\nx = "{KEY}"': f"aliases.x: {ANYWHERE}",
    f'[profiles.p]\nclassifier = "{KEY}"': f"profiles.p.classifier: {ANYWHERE}",
    f'[profiles.p]\nclassifier = "local:fast"\nrules = [{{ when = {{ a = "{KEY}" }}, route_to = "local:fast" }}]': (
        f"profiles.p.rules[#1].when.a: {ANYWHERE}"
    ),
    '[backends.x]\nbase_url = "https://user:hunter2@h"': f"backends.x.base_url: {CREDENTIALS}",
    '[backends.x]\nbase_url = "https://hunter2@h/v1"': f"backends.x.base_url: {CREDENTIALS}",
    '[backends.x]\nbase_url = "hunter2@//a:b@c"': f"backends.x.base_url: {CREDENTIALS}",
}


@pytest.mark.parametrize(("text", "problem"), PLACES.items(), ids=range(len(PLACES)))
def test_a_key_in_a_file_is_refused_wherever_it_stands(problems_of, text, problem) -> None:
    problems = problems_of(text, tier=True)
    assert problems[0] == f"config.toml: {problem}"
    assert len(problems) == 1 + ("unknown" in text), problems
    assert not any(secret in line for line in problems for secret in (KEY, HEX, "hunter2"))


@pytest.mark.parametrize(
    "text",
    [
        'system_prompt = "KEY"',
        'classifier_prompt = "KEY"',
        'class_prompts = { a = "KEY" }',
        'thinking_messages = { "local:fast" = ["KEY"] }',
        'reply_message = "KEY"',
        'refusals = ["KEY"]',
    ],
)
def test_prompts_and_messages_may_hold_anything(load_text, text) -> None:
    load_text('[profiles.p]\nclassifier = "local:fast"\n' + text.replace("KEY", KEY), tier=True)


def test_a_key_that_an_overlay_hides_is_found(files) -> None:
    files.write("config.toml", f'[gateway]\nidentity_header = "{KEY}"')
    files.write("conf.d/1.toml", '[gateway]\nidentity_header = "X-User"')
    assert files.problems() == (f"config.toml: gateway.identity_header: {ANYWHERE}",)


def test_a_key_in_a_profiles_file_is_found_and_names_no_profile_by_it(files) -> None:
    files.write("config.toml", "# nothing")
    files.write("profiles/x.toml", f'name = "{KEY}"\nmode = "reply"')
    assert files.problems() == (f"profiles/x.toml: profiles[***].name: {ANYWHERE}",)


def test_a_short_key_in_place_of_a_name_is_not_repeated_by_warnings(load_text) -> None:
    config = load_text('[backends.x]\nbase_url = "http://h"\napi_key_env = "a1b2c3d4e5f6a7b8c9d0"')
    assert not any("a1b2c3" in warning for warning in config.warnings)


# --- whatever is wrong, all of it is told and no secret is ---------------------------------------------------

SECRETS = st.one_of(
    st.text(string.ascii_letters + string.digits + "_-", min_size=20, max_size=60).map("sk-".__add__),
    HEX_KEYS,
    BASE64_KEYS,
    st.uuids().map(str),
)

#: Where a value can stand, and the path that a problem there names.
SPOTS = {
    '[gateway]\nlog_level = "{}"': "gateway.log_level",
    '[gateway]\nadmin_token_env = "{}"': "gateway.admin_token_env",
    '[gateway]\npublic_profile = "{}"': "gateway.public_profile",
    '[gateway]\nclient_endpoint = "{}"': "gateway.client_endpoint",
    '[gateway]\nclient_port = "{}"': "gateway.client_port",
    '[gateway]\ntrusted_proxies = ["{}"]': "gateway.trusted_proxies[#1]",
    '[gateway]\nnonsense = "{}"': "gateway.nonsense",
    '[backends.a]\nbase_url = "{}"': "backends.a.base_url",
    '[backends.b]\nbase_url = "https://x?key={}"': "backends.b.base_url",
    '[backends.c]\nbase_url = "https://u:{}@x"': "backends.c.base_url",
    '[backends.d]\nbase_url = "http://h"\nprovider = "{}"': "backends.d.provider",
    '[backends.e]\nbase_url = "http://h"\napi_key = "{}"': "backends.e.api_key",
    '[backends.f]\nbase_url = "http://h"\nheaders = {{ Cookie = "key={}" }}': "backends.f.headers.Cookie",
    '[backends.g]\nbase_url = "http://h"\napi_key_secret = {{ source = "{}" }}': "backends.g.api_key_secret.source",
    '[[tiers]]\nname = "t1"\nmodel = "m"\nbackend = "{}"': 'tiers["t1"].backend',
    '[[tiers]]\nname = "t2"\nmodel = "m"\nbackend = "one"\noverflow_tier = "{}"': 'tiers["t2"].overflow_tier',
    '[aliases]\na1 = "{}"': "aliases.a1",
    '[profiles.p1]\nclassifier = "{}"': "profiles.p1.classifier",
    '[[clients]]\nkey_env = "K1"\nprofile = "{}"': 'clients["K1"].profile',
    '[[clients]]\nname = "c2"\nprofile = "default"\nkey_sha256 = "{}x"': 'clients["c2"].key_sha256',
}
ONE = '[backends.one]\nbase_url = "http://h"\n'


@given(st.dictionaries(st.sampled_from(sorted(SPOTS)), SECRETS, min_size=1))
def test_every_mistake_is_told_and_no_secret_is(mistakes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.toml")
        path.write_text(ONE)
        Path(folder, "conf.d").mkdir()
        for n, (spot, secret) in enumerate(mistakes.items()):
            Path(folder, f"conf.d/{n:02}.toml").write_text(spot.format(secret))
        with pytest.raises(ConfigError) as caught:
            load(str(path), {})
    text = "\n".join(caught.value.problems)
    for n, (spot, secret) in enumerate(mistakes.items()):
        assert f"conf.d/{n:02}.toml: {SPOTS[spot]}: " in text
        assert secret not in text
        assert secret not in repr(caught.value)
