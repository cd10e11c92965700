"""The schema against everything that must agree with it: the snapshot, the document, the examples."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import lmgw
from lmgw.config.document import render, toml_value
from lmgw.config.keys import Kind, Shape
from lmgw.config.loader import load
from lmgw.config.schema import BACKEND, CAPABILITIES, CLIENT, GATEWAY, PROFILE, ROOT, RULE, TIER
from lmgw.config.snapshot import Backend, Capabilities, Client, Gateway, Profile, Rule, Tier
from lmgw.config.values import check

PROJECT = Path(__file__).parents[3]
EXAMPLE = PROJECT / "config.example.toml"
DEMO = Path(lmgw.__file__).parent / "demo" / "config.toml"


# --- the snapshot --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "record", "derived", "spelled"),
    [
        (GATEWAY, Gateway, {"admin_token"}, set()),
        (BACKEND, Backend, {"name", "api_key"}, {"api_key_secret"}),
        (TIER, Tier, {"index"}, set()),
        (CAPABILITIES, Capabilities, {"max_output_tokens"}, set()),
        (PROFILE, Profile, {"name", "ladder", "ladder_written"}, set()),
        (RULE, Rule, {"to_profile"}, set()),
        (CLIENT, Client, set(), set()),
    ],
)
def test_every_key_is_a_field_and_every_field_a_key(table, record, derived, spelled) -> None:
    assert set(table.keys) - spelled == {field.name for field in fields(record)} - derived


@pytest.mark.parametrize("table", [GATEWAY, BACKEND, TIER, CAPABILITIES, PROFILE, RULE, CLIENT], ids=lambda t: t.header)
def test_every_key_is_described_and_its_default_is_a_good_value(table) -> None:
    for key in table.keys.values():
        assert key.doc.endswith("."), key.name
        is_value = key.shape is Shape.ONE and not key.required and key.default not in (None, "")
        assert not is_value or check(key.default, key) == key.default, key.name


# --- the document --------------------------------------------------------------------------------------------


def test_the_committed_document_is_current() -> None:
    assert (PROJECT / "docs" / "configuration.md").read_text() == render(), (
        "run: python -m lmgw.config.document > docs/configuration.md"
    )


def test_the_document_has_every_key_in_its_table() -> None:
    sections = dict(re.findall(r"^#+ `(.+?)`\n(.*?)(?=^#|\Z)", render(), re.MULTILINE | re.DOTALL))
    for table in (GATEWAY, BACKEND, TIER, CAPABILITIES, PROFILE, RULE, CLIENT):
        assert re.findall(r"^\| `(\w+)` \|", sections[table.header], re.MULTILINE) == list(table.keys)


def test_defaults_are_written_as_toml() -> None:
    for table in (GATEWAY, BACKEND, TIER, PROFILE, CLIENT):
        for key in table.keys.values():
            if key.default is not None and not key.required:
                assert tomllib.loads(f"x = {toml_value(key.default)}")["x"] == key.default


# --- config.example.toml -------------------------------------------------------------------------------------

HEADERS = {
    "gateway": GATEWAY,
    "backends": BACKEND,
    "tiers": TIER,
    "tiers.capabilities": CAPABILITIES,
    "profiles": PROFILE,
    "profiles.rules": RULE,
    "clients": CLIENT,
}
#: Keys behind a "#" that show an example although they have a default.
SHOWN = {
    ("backends", "provider"),
    ("backends", "base_url"),
    ("backends", "api_path"),
    ("tiers", "queue_id"),
    ("clients", "priority_ceiling"),
}

_LINE = re.compile(r'(# )?(?:\[+([a-z_."-]+)\]+|("?[\w*:-]+"?) = (.+?))(?:\s+# .*)?')


def _written() -> list[tuple[str, str, object, bool]]:
    """Each key of the example: its table, its name, its value (``None`` for a table), whether it is commented out."""
    found: list[tuple[str, str, object, bool]] = []
    table = ""
    for match in filter(None, map(_LINE.fullmatch, EXAMPLE.read_text().splitlines())):
        commented, header, key, value = match.groups()
        if header:
            first, *rest = header.split(".")
            names = rest[1:] if first in ("backends", "profiles") else rest
            table = ".".join([first, *names])
            found += [(first, name, None, bool(commented)) for name in names]
        else:
            found.append((table, key, tomllib.loads(f"x = {value}")["x"], bool(commented)))
    return [entry for entry in found if entry[0] != "aliases"]


def test_the_example_has_every_key_and_no_other() -> None:
    written = {(table, key) for table, key, *_ in _written()}
    assert written == {(name, key) for name, table in HEADERS.items() for key in table.keys}


def test_no_default_of_the_example_is_wrong() -> None:
    checked = 0
    for table, name, value, commented in _written():
        key = HEADERS[table].keys[name]
        has_default = not key.required and key.default not in (None, [], {}) and table != "tiers.capabilities"
        if commented and has_default and (table, name) not in SHOWN:
            checked += 1
            assert value == key.default, f"{table}.{name}"
    assert checked > 40


def test_the_example_loads_as_it_is() -> None:
    config = load(str(EXAMPLE), {})
    assert list(config.tiers) == ["local:fast", "cloud:capable"]
    assert not any("ignored" in warning for warning in config.warnings)


def test_the_example_loads_with_every_comment_taken_away(files) -> None:
    lines = [line.removeprefix("# ") if _LINE.fullmatch(line) else line for line in EXAMPLE.read_text().splitlines()]
    files.write("roots.pem", "-----BEGIN CERTIFICATE-----")
    files.write("profiles/.keep", "")
    text = "\n".join(lines).replace("/etc/lm-gateway/roots.pem", "roots.pem")
    files.write("config.toml", text)
    config = files.load({"LMG_ADMIN_TOKEN": "t", "LMG_HA_KEY": "k", "ANTHROPIC_API_KEY": "a"})
    assert len(config.clients) == 2
    assert len(config.backends) == 4
    assert not any("ignored" in warning for warning in config.warnings if "api_key_secret" not in warning)


# --- the demo ------------------------------------------------------------------------------------------------


def test_the_demo_loads_without_a_key_or_a_warning() -> None:
    config = load(str(DEMO), {})
    assert config.warnings == ()
    assert config.ready
    assert {backend.provider for backend in config.backends.values()} == {"demo"}
    assert {profile.mode for profile in config.profiles.values()} == {"dispatch", "escalate", "classify", "reply"}


# --- shapes --------------------------------------------------------------------------------------------------


def test_every_kind_is_used() -> None:
    tables = (ROOT, GATEWAY, BACKEND, TIER, CAPABILITIES, PROFILE, RULE, CLIENT)
    used = {kind for table in tables for key in table.keys.values() for kind in (key.kind, key.names)}
    assert used == set(Kind)
