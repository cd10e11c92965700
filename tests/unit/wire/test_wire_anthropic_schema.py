"""JSON Schemas made fit for Anthropic's structured outputs."""

from __future__ import annotations

from typing import Any

import pytest

from lmgw.wire.anthropic_schema import closed

TEXT = {"type": "string"}
#: What comes in, and what goes out.
SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an object is closed": (
        {"type": "object", "properties": {"a": TEXT}, "required": ["a"]},
        {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
    ),
    "a closed object stays": (
        {"type": "object", "properties": {}, "additionalProperties": False},
        {"type": "object", "properties": {}, "additionalProperties": False},
    ),
    "an object that may be null": (
        {"type": ["object", "null"], "additionalProperties": True},
        {"type": ["object", "null"], "additionalProperties": False},
    ),
    "an object without its type": (
        {"properties": {"a": {"type": "object"}}},
        {"properties": {"a": {"type": "object", "additionalProperties": False}}, "additionalProperties": False},
    ),
    "limits go into the description": (
        {"type": "integer", "minimum": 1, "maximum": 10, "description": "A number"},
        {"type": "integer", "description": "A number\n\n{minimum: 1, maximum: 10}"},
    ),
    "a pattern too": ({"type": "string", "pattern": "^a"}, {"type": "string", "description": '{pattern: "^a"}'}),
    "a map too": (
        {"type": "object", "additionalProperties": TEXT},
        {
            "type": "object",
            "additionalProperties": False,
            "description": '{additionalProperties: {"type":"string"}}',
        },
    ),
    "formats that are known stay": ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
    "other formats do not": (
        {"type": "string", "format": "color"},
        {"type": "string", "description": '{format: "color"}'},
    ),
    "the least items may be none or one": (
        {"type": "array", "items": TEXT, "minItems": 1},
        {"type": "array", "items": TEXT, "minItems": 1},
    ),
    "more is a hint": (
        {"type": "array", "items": TEXT, "minItems": 2},
        {"type": "array", "items": TEXT, "description": "{minItems: 2}"},
    ),
    "alternatives are gone through": (
        {"oneOf": [{"type": "object"}, TEXT], "allOf": [{"type": "integer", "minimum": 0}]},
        {
            "anyOf": [{"type": "object", "additionalProperties": False}, TEXT],
            "allOf": [{"type": "integer", "description": "{minimum: 0}"}],
        },
    ),
    "definitions are gone through": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}, "$schema": "https://json-schema.org"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "additionalProperties": False}}},
    ),
    "items are gone through": (
        {"type": "array", "items": {"type": "object"}},
        {"type": "array", "items": {"type": "object", "additionalProperties": False}},
    ),
    "words that are values are not": (
        {"enum": ["minimum"], "const": {"type": "object"}, "default": {"maximum": 1}},
        {"enum": ["minimum"], "const": {"type": "object"}, "default": {"maximum": 1}},
    ),
}


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_is_closed(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    before = repr(schema)
    assert closed(schema) == expected
    assert repr(schema) == before


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS.values(), ids=SCHEMAS)
def test_what_is_closed_stays_as_it_is(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert closed(expected) == expected
