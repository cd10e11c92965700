"""The JSON Schema against the loader: what it refuses the loader refuses, and what the loader takes it takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from lmgw.config.jsonschema import render, schema
from lmgw.config.keys import Kind
from lmgw.errors import ConfigError

PROJECT = Path(__file__).parents[3]
EXAMPLES = ("config.example.toml", "etc/lm-gateway/config.toml", "lmgw/demo/config.toml")
VALIDATOR = Draft7Validator(schema())

BASE = """
[backends.one]
base_url = "http://localhost:9"
[[tiers]]
name = "local:fast"
backend = "one"
model = "small"
"""

GOOD = [
    "",
    BASE,
    BASE + "[gateway]\nclient_port = 0\nclient_host = '::'\ncors_origins = ['app://obsidian.md', 'http://[::1]:3']",
    BASE + "[gateway]\nlog_level = 'warning'\nhealth_error_threshold = 1\ntrusted_proxies = ['10.0.0.0/8']",
    BASE + "[gateway]\nclient_endpoint = 'unix:/run/lmgw.sock'\nidentity_header = 'X-Forwarded-User'",
    BASE + "[backends.d]\nprovider = 'demo'",
    BASE + "[backends.o]\nprovider = 'open_router'\nbase_url = 'HTTPS://openrouter.ai/api/v1/'\napp_title = 'My app'",
    BASE + "[backends.l]\nprovider = 'ollama'\nbase_url = 'http://l:1'\nkeep_alive = -1\ndefault_options = {a = [1.5]}",
    BASE + "[backends.l]\nprovider = 'ollama'\nbase_url = 'http://l:1'\nkeep_alive = '1h30m'",
    BASE + "[backends.s]\nbase_url = 'http://l:1'\napi_key_secret = {source = 'env', var = 'KEY'}",
    BASE + "[backends.h]\nbase_url = 'http://l:1'\napi_path = ''\nheaders = {X-Team = 'a b'}",
    BASE + "capabilities = {vision = false, efforts = ['low', 'max']}\nqueue_id = 'Grafikkarte (groß)'",
    BASE + "[aliases]\n'hint:fast' = 'local:fast'\n'claude-*' = 'local:fast'",
    BASE + "[profiles.r]\nmode = 'reply'\nreply_message = ''",
    BASE + "[profiles.p]\nclassifier = 'local:fast'\nthinking_messages = {'local:fast' = ['...']}\nrefusals = []",
    BASE + "[profiles.p]\nclassifier = 'local:fast'\n[[profiles.p.rules]]\nwhen = {a = 'B'}\nroute_to = 'local:fast'",
    BASE + f"[profiles.p]\nclassifier = 'local:fast'\n[[clients]]\nkey_sha256 = '{'aB' * 32}'\nprofile = 'p'",
    BASE + "[profiles.p]\nclassifier = 'local:fast'\n[[clients]]\nkey_env = 'K'\nprofile = 'p'\npriority_ceiling = -1",
]

BAD = [
    "clint = 1",
    "gateway = 1",
    "[gateway]\nclint_port = 1",
    "[gateway]\nclient_port = 65536",
    "[gateway]\nclient_port = '8080'",
    "[gateway]\nclient_port = true",
    "[gateway]\nlog_level = 'loud'",
    "[gateway]\ntraffic_log_debug = 'false'",
    "[gateway]\nhealth_error_threshold = 0",
    "[gateway]\nmax_retries = -1",
    "[gateway]\nshutdown_grace_ms = 604800001",
    "[gateway]\ncors_origins = 'https://a.example'",
    "[gateway]\ncors_origins = ['https://a.example/path']",
    "[gateway]\nclient_endpoint = '8080'",
    "[gateway]\nadmin_token_env = 'no-name'",
    "[gateway]\nidentity_header = 'a b'",
    "[backends.x]\nprovider = 'openai'",
    "[backends.x]\nbase_url = 'localhost:11434'",
    "[backends.x]\nbase_url = 'https://x.example/?key=1'",
    "[backends.x]\nbase_url = 'https://x.example'\nprovider = 'opneai'",
    "[backends.x]\nbase_url = 'https://x.example'\napi_path = 'v1'",
    "[backends.x]\nbase_url = 'https://x.example'\nkeep_alive = 'soon'\nprovider = 'ollama'",
    "[backends.x]\nbase_url = 'https://x.example'\napi_key_secret = {source = 'file', path = '/a'}",
    "[backends.x]\nbase_url = 'https://x.example'\napi_key_secret = {source = 'env'}",
    "[backends.x]\nbase_url = 'https://x.example'\nheaders = {'X Y' = 'z'}",
    '[backends."a\\u0007"]\nbase_url = "https://x.example"',
    BASE + "input_price = -1",
    BASE + "failover = 'x'",
    BASE + "[[tiers]]\nname = 'two'\nbackend = 'one'",
    BASE + "capabilities = {efforts = ['lots']}",
    BASE + "[profiles.p]\nmode = 'dispatch'",
    BASE + "[profiles.p]",
    BASE + "[profiles.p]\nclassifier = 'local:fast'\nmode = 'magic'",
    BASE + "[profiles.p]\nclassifier = 'local:fast'\n[[profiles.p.rules]]\nwhen = {a = 'b'}",
    BASE + "[[clients]]\nprofile = 'default'",
    BASE + f"[[clients]]\nprofile = 'default'\nkey_env = 'K'\nkey_sha256 = '{'a' * 64}'",
    BASE + "[[clients]]\nprofile = 'default'\nkey_sha256 = 'abc'",
    BASE + "[[clients]]\nkey_env = 'K'",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_loader_takes_the_schema_takes(files, text) -> None:
    files.write("config.toml", text or BASE)
    files.load({"K": "k", "KEY": "k"})
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))] == []


@pytest.mark.parametrize("text", BAD)
def test_what_the_schema_refuses_the_loader_refuses(files, text) -> None:
    files.write("config.toml", text)
    with pytest.raises(ConfigError):
        files.load({"K": "k"})
    assert list(VALIDATOR.iter_errors(tomllib.loads(text)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_good(name) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads((PROJECT / name).read_text()))] == []


@pytest.mark.parametrize("name", EXAMPLES[:2])
def test_the_examples_lead_an_editor_to_it(name) -> None:
    first = (PROJECT / name).read_text().splitlines()[0]
    assert first.startswith("#:schema ")
    target = (PROJECT / name).parent / first.removeprefix("#:schema ")
    assert target.resolve() == PROJECT / "etc" / "lm-gateway" / "config.schema.json"


def test_the_example_without_its_comments_is_good() -> None:
    lines = (PROJECT / "config.example.toml").read_text().splitlines()
    keys = ("# [", "# ")
    text = "\n".join(
        line.removeprefix("# ") if line.startswith(keys) and _is_toml(line[2:]) else line for line in lines
    )
    assert text.count("=") > 100
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))] == []


def _is_toml(line: str) -> bool:
    try:
        return bool(tomllib.loads(line))
    except tomllib.TOMLDecodeError:
        return False


def test_it_is_a_schema_and_describes_every_key() -> None:
    Draft7Validator.check_schema(schema())
    for name, table in schema()["definitions"].items():
        for key, described in table["properties"].items():
            assert "$ref" in described or described["description"], f"{name}.{key}"


def test_every_default_is_a_good_value() -> None:
    for table in schema()["definitions"].values():
        for name, described in table["properties"].items():
            if "default" in described:
                assert Draft7Validator(described).is_valid(described["default"]), name


def test_every_kind_is_described() -> None:
    from lmgw.config import jsonschema

    assert set(jsonschema._KINDS) | {Kind.CHOICE, Kind.INT, Kind.FLOAT} == set(Kind)


def test_the_committed_schema_is_current() -> None:
    path = PROJECT / "etc" / "lm-gateway" / "config.schema.json"
    assert path.read_text() == render(), "run: make docs"
