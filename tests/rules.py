"""What providers refuse, as far as their dialects agree: used by ``rules_openai``, ``_anthropic`` and ``_ollama``.

Those modules check a request as strictly as the real API does, so that a bad translation fails the test that made it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from typing import Any

#: How a picture of each media type begins.
MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Refused(Exception):
    """The provider says no, in its own words."""

    def __init__(self, message: str, status: int = 400, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code


def must(holds: object, message: str) -> None:
    """Refuse unless ``holds``."""
    if not holds:
        raise Refused(message)


def is_a(value: object, *types: type) -> bool:
    """Whether a JSON value is of one of these types; ``true`` is no number."""
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def typed(holder: Mapping[str, Any], where: str, **types: Any) -> None:
    """Refuse fields of the wrong type; ``types`` are a type or a tuple of them, by key."""
    for key, kind in types.items():
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if key in holder and not is_a(holder[key], *kinds):
            raise Refused(f"{where}{key}: invalid type {type(holder[key]).__name__}", param=f"{where}{key}")


def unknown(holder: Mapping[str, Any], allowed: Collection[str]) -> str | None:
    """Return the first key that is not allowed."""
    return next((key for key in holder if key not in allowed), None)


def picture(data: str, media_type: str | None = None) -> tuple[str, bytes]:
    """Return the media type and the bytes of a picture in bare base64, which must be what it says it is."""
    try:
        found = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("image: invalid base64") from None
    kind = next((name for name, magic in MAGIC.items() if found.startswith(magic)), None)
    must(kind, "image: could not process image")
    must(media_type in (None, kind), f"image: the bytes are {kind}, not {media_type}")
    return str(kind), found


def strict_schema(schema: Any, where: str) -> None:
    """Refuse a schema in which an object is open; both OpenAI's and Anthropic's strict modes do."""
    if isinstance(schema, list):
        for entry in schema:
            strict_schema(entry, where)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        must(schema.get("additionalProperties") is False, f"{where}: 'additionalProperties' must be false")
        for entry in (schema.get("properties") or {}).values():
            strict_schema(entry, where)
    for key, value in schema.items():
        if key in ("$defs", "definitions"):
            for entry in value.values():
                strict_schema(entry, where)
        elif key in ("items", "anyOf", "oneOf", "allOf"):
            strict_schema(value, where)
