"""Why a value cannot be used, in words that do not repeat it."""

from __future__ import annotations

from datetime import date, time
from typing import Any

from lmgw.config.merge import Section


class Refused(Exception):
    """The value cannot be used; the text says what was expected."""


def expected(what: str, value: Any, remedy: str = "") -> Refused:
    """Say what was expected, and what stands there where it is of another type."""
    found = "" if isinstance(value, str) and value else f", found {_found(value)}"
    return Refused(f"expected {what}{found}{remedy}")


def _found(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "empty text"
        case list():
            return "a list"
        case Section() | dict():
            return "a table"
        case date() | time():
            return "a date or time"
    return "something else"  # pragma: no cover - TOML has no more types
