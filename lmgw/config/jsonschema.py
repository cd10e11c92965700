"""Writes the JSON Schema of the main file, for editors: ``python -m lmgw.config.jsonschema > config.schema.json``.

It says what one file can say about itself. What needs other files or the environment (names of tiers, keys that were
left in the file, headers that are reserved) is ``lmgw check``'s to find.
"""

from __future__ import annotations

import json
import sys
from re import Pattern
from typing import Any

from lmgw.config.keys import Key, Kind, Shape, Table
from lmgw.config.schema import API_KEY_SECRET, BACKEND, CAPABILITIES, CLIENT, GATEWAY, PROFILE, ROOT, RULE, TIER
from lmgw.config.values import DURATION, ENV, FIELD, NAME, TOKEN

_DEFINED = {
    "gateway": GATEWAY,
    "backend": BACKEND,
    "api_key_secret": API_KEY_SECRET,
    "tier": TIER,
    "capabilities": CAPABILITIES,
    "profile": PROFILE,
    "rule": RULE,
    "client": CLIENT,
}


def _matching(pattern: Pattern[str]) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern.pattern})$"}


_STRING = {"type": "string"}
_FILLED = {"type": "string", "pattern": r"\S"}

_KINDS: dict[Kind, dict[str, Any]] = {
    Kind.BOOL: {"type": "boolean"},
    Kind.STRING: _STRING,
    Kind.TEXT: _STRING,
    Kind.NAME: _matching(NAME),
    Kind.LABEL: {"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^\S(?:.*\S)?$"},
    Kind.ENV: _matching(ENV),
    Kind.SHA256: {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"},
    Kind.URL: {"type": "string", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s?#]+$"},
    Kind.URL_PATH: {"type": "string", "pattern": r"^(?:/[^\s?#]+)?$"},
    Kind.PATH: _FILLED,
    Kind.HOST: _STRING,
    Kind.HOST_NAME: _FILLED,
    Kind.ORIGIN: {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9+.-]*://[^/]+/?$"},
    Kind.CIDR: _FILLED,
    Kind.ENDPOINT: {"type": "string", "pattern": "^[a-z][a-z0-9]*:."},
    Kind.KEPT_HEADER: _matching(TOKEN),
    Kind.SENT_HEADER: _matching(TOKEN),
    Kind.HEADER_VALUE: _matching(FIELD),
    Kind.KEEP_ALIVE: {"anyOf": [{"type": "integer"}, _matching(DURATION)]},
    Kind.JSON: {},
    Kind.BACKEND: _FILLED,
    Kind.TIER: _FILLED,
    Kind.ALIASED: _FILLED,
    Kind.PROFILE: _FILLED,
    Kind.PROFILES: _FILLED,
    Kind.TARGET: _FILLED,
}


def _unless(key: str, value: str, required: str) -> dict[str, Any]:
    """A table must have ``required`` unless it says ``key = value``."""
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "else": {"required": [required]}}


#: What keys of one table ask of each other.
_BETWEEN: dict[str, dict[str, Any]] = {
    "backend": _unless("provider", "demo", "base_url"),
    "profile": _unless("mode", "reply", "classifier"),
    "client": {"oneOf": [{"required": ["key_env"]}, {"required": ["key_sha256"]}]},
    "api_key_secret": {"required": ["source", "var"], "not": {"properties": {"source": {"const": "file"}}}},
}


def schema() -> dict[str, Any]:
    """Return the whole schema (draft 7, which editors know)."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of lmgw",
        **_table(ROOT),
        "definitions": {name: _table(table) | _BETWEEN.get(name, {}) for name, table in _DEFINED.items()},
    }


def render() -> str:
    """Return the schema as the file has it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _table(table: Table) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if table.doc:
        described["description"] = table.doc
    required = [name for name, key in table.keys.items() if key.required]
    if required:
        described["required"] = required
    return described | {"properties": {name: _key(key) for name, key in table.keys.items()}}


def _key(key: Key) -> dict[str, Any]:
    described = _shaped(key)
    if "$ref" in described:
        return described  # draft 7 reads nothing beside it
    if key.doc:
        described = {"description": key.doc} | described
    if key.default is not None and not key.required and not key.written:
        described["default"] = key.default
    return described


def _shaped(key: Key) -> dict[str, Any]:
    match key.shape:
        case Shape.ONE:
            return dict(_one(key))
        case Shape.LIST:
            return _list(_one(key))
        case Shape.MAP:
            return _named(key, _one(key))
        case Shape.LISTS:
            return _named(key, _list(_one(key)))
        case Shape.TABLE:
            return _reference(key)
        case Shape.TABLES:
            return _list(_reference(key))
        case Shape.NAMED:
            return _named(key, _reference(key))


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _named(key: Key, values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": _KINDS[key.names], "additionalProperties": values}


def _reference(key: Key) -> dict[str, Any]:
    (name,) = (name for name, table in _DEFINED.items() if table is key.inner)
    return {"$ref": f"#/definitions/{name}"}


def _one(key: Key) -> dict[str, Any]:
    match key.kind:
        case Kind.CHOICE:
            return {"enum": [*key.allowed, *(key.synonyms or ())]}
        case Kind.INT:
            return {"type": "integer", "minimum": key.low, "maximum": key.high}
        case Kind.FLOAT:
            return {"type": "number", "minimum": key.low, "maximum": key.high}
    return _KINDS[key.kind]


if __name__ == "__main__":
    sys.stdout.write(render())
