"""JSON Schemas as Anthropic's structured outputs take them.

The API refuses open objects and limits of size and number; what it refuses is told to the model in the description, as
Anthropic's own SDKs do (platform.claude.com, "Structured outputs", limitations of JSON Schema).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

_KEPT = frozenset(("type", "enum", "const", "$ref", "title", "description", "required", "default"))
#: Keywords that hold schemas: by name, in a list, or one.
_NAMED = frozenset(("properties", "$defs", "definitions"))
_LISTED = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_SINGLE = frozenset(("items",))
#: Keywords that say nothing to anybody but tools.
_SILENT = frozenset(("$schema", "$id", "$comment", "strict"))
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"))

_encode = msgspec.json.Encoder().encode


def closed(schema: Any) -> Any:
    """Return ``schema`` with every object closed and every refused keyword moved into its description."""
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = {}
    hints = []
    for key, value in schema.items():
        if key in _KEPT:
            result[key] = value
        elif key in _NAMED and isinstance(value, Mapping):
            result[key] = {name: closed(entry) for name, entry in value.items()}
        elif key in _LISTED and isinstance(value, list):
            result[_LISTED[key]] = [closed(entry) for entry in value]
        elif key in _SINGLE:
            result[key] = closed(value)
        elif (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1)):
            result[key] = value
        elif key not in _SILENT and not (key == "additionalProperties" and isinstance(value, bool)):
            hints.append(f"{key}: {_encode(value).decode()}")
    if _is_object(schema):
        result["additionalProperties"] = False
    if hints:
        own = schema.get("description")
        hint = f"{{{', '.join(hints)}}}"
        result["description"] = f"{own}\n\n{hint}" if own else hint
    return result


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema
