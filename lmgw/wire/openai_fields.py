"""Fields of a decoded OpenAI body: typed, or a 400 that names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmgw.errors import BadRequest

_NAMES: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    list: "an array",
    dict: "an object",
}


def wrong(where: str, expected: str) -> BadRequest:
    """Return the error of a field that is not what it must be."""
    return BadRequest(f"{where} must be {expected}", param=where)


def field(holder: Mapping[str, Any], key: str, kind: type, where: str = "") -> Any:
    """Return ``holder[key]``, ``None`` where it is missing or null.

    Raises :class:`~lmgw.errors.BadRequest` where it is not of ``kind``; ``where`` is the path of ``holder``.
    """
    value = holder.get(key)
    if value is None or (isinstance(value, kind) and (kind is not int or not isinstance(value, bool))):
        return value
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    raise wrong(f"{where}{key}", _NAMES[kind])


def text_field(holder: Mapping[str, Any], key: str, where: str) -> str:
    """Return a string that must be there and not be empty."""
    value: str | None = field(holder, key, str, where)
    if not value:
        raise BadRequest(f"{where}{key} is missing", param=f"{where}{key}")
    return value


def number(holder: Mapping[str, Any], key: str) -> float | None:
    """Return a number as it was written (integer or float), ``None`` where it is missing or null."""
    value: float | None = holder.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise wrong(key, "a number")
    return value
