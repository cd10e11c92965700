"""Writes ``docs/configuration.md`` from the schema: ``python -m lmgw.config.document > docs/configuration.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from lmgw.config.keys import Key, Kind, Table
from lmgw.config.schema import BACKEND, CAPABILITIES, CLIENT, GATEWAY, PROFILE, RULE, TIER
from lmgw.config.snapshot import Provider

#: Higher limits only keep out what cannot be meant.
_TELLING = 65535

_HEAD = """\
# Configuration

<!-- Written by python -m lmgw.config.document from the schema: change that, not this file. -->

One TOML file: the one that `--config` names, else `$LMG_CONFIG`, else `/etc/lm-gateway/config.toml`.
`config.example.toml` shows every key. `lmgw check` says what is wrong with a file, all of it at once.

## Which files count

1. The main file.
2. `conf.d/*.toml` beside it, by name. Tables are merged key by key, and the later file wins. An entry of `[[tiers]]`
   or `[[clients]]` takes the place of the entry of the same `name` (clients without one: the same `key_env`), or is
   added at the end. Any other list is replaced whole.
3. `profiles/*.toml` beside it (or what `gateway.profile_dir` names): one profile a file, with the keys of
   `[profiles.NAME]` at the top. It is called as the file is, unless it says `name = "..."`, and takes the place of
   a profile of that name in the files above.

Files whose names begin with a dot are left out. A reload (SIGHUP, `POST /admin/reload`) reads all of them again; if
anything is wrong with them, everything stays as it was.

## Keys

A key never stands in a file: `api_key_env`, `key_env` and `admin_token_env` name environment variables. They are read
from the environment that the process was started with, so a rotated key needs a restart. White space around a value
is cut off, with a warning. A variable that is missing, empty or still holds a guide's placeholder (`sk-ant-...`) counts
as missing: its backend is off and `/status` says `ready: false`. A value in a file that looks like a key is refused,
and not repeated.

`api_key_secret = { source = "env", var = "NAME" }` is another spelling of `api_key_env = "NAME"`; `source = "file"` is
refused. To use a Docker secret or a systemd credential, start the gateway by a script that makes a variable of it:
`export ANTHROPIC_API_KEY="$(cat /run/secrets/anthropic)"`.
"""

_ALIASES = """\
## `[aliases]`

Another name for a tier: `"hint:fast" = "local:fast"`. A name may hold `*`, which stands for any text
(`"claude-*" = "cloud:capable"`): exact names go first, then the longest pattern. An alias may not have a tier's name,
and stands for a tier, not for another alias.
"""


def render() -> str:
    """Return the whole document."""
    sections = [
        _HEAD,
        _section(GATEWAY),
        _section(BACKEND),
        _section(TIER),
        _section(CAPABILITIES, level=3),
        _ALIASES,
        _section(PROFILE),
        _section(RULE, level=3),
        _section(CLIENT),
    ]
    return "\n".join(sections)


def _section(table: Table, level: int = 2) -> str:
    return "\n".join(
        [f"{'#' * level} `{table.header}`", "", table.doc, "", "| key | type | default | |", "|---|---|---|---|"]
        + [_row(key) for key in table.keys.values()]
        + [""]
    )


def _row(key: Key) -> str:
    return f"| `{key.name}` | {_type(key)} | {_default(key)} | {' '.join(_meaning(key))} |"


def _meaning(key: Key) -> Iterator[str]:
    yield key.doc
    if key.providers not in (frozenset(Provider), frozenset(Provider) - {Provider.DEMO}):
        yield f"Only {', '.join(f'`{provider}`' for provider in Provider if provider in key.providers)}."


def _type(key: Key) -> str:
    return key.shape.value.format(_one(key))


def _one(key: Key) -> str:
    if key.kind is Kind.CHOICE:
        return " ".join(f"`{value}`" for value in key.allowed)
    if key.kind in (Kind.INT, Kind.FLOAT) and key.high <= _TELLING:
        return f"{key.kind} {key.low}-{key.high}"
    return f"{key.kind} >= {key.low}" if key.low > 0 else key.kind.value


def _default(key: Key) -> str:
    if key.written:
        return key.written
    if key.required:
        return "required"
    return "unset" if key.default is None else f"`{toml_value(key.default)}`"


def toml_value(value: Any) -> str:
    """Return a default as TOML writes it."""
    return "{}" if value == {} else json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(render())
