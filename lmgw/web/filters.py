"""The query of an admin route, as values; what cannot be read is refused in words that name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from lmgw.errors import BadRequest

T = TypeVar("T")

_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

Reader = Callable[[str], Any]


def read_query(uri: bytes, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return the parameters of a request target that are there; of one that is there twice, the last.

    Raises :class:`~lmgw.errors.BadRequest` for a parameter that the route does not have, or cannot read.
    """
    found = {}
    for name, value in parse_qsl(uri.partition(b"?")[2].decode("latin-1"), keep_blank_values=True):
        if name not in readers:
            raise BadRequest(f"no parameter {name[:50]} here; there are {', '.join(readers)}", param=name[:50])
        try:
            found[name] = readers[name](value)
        except ValueError as problem:
            raise BadRequest(f"{name}: {problem}", param=name) from None
    return found


def text(value: str) -> str:
    """Any text."""
    return value


def truth(value: str) -> bool:
    """``1`` or ``0``, ``true`` or ``false``."""
    if value.lower() not in _TRUTH:
        raise ValueError("1 or 0 (true or false)")
    return _TRUTH[value.lower()]


def count(value: str) -> int:
    """A whole number above 0."""
    if not re.fullmatch(r"[1-9]\d{0,8}", value):
        raise ValueError("a whole number above 0")
    return int(value)


def whole(value: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"-?\d{1,9}", value):
        raise ValueError("a whole number")
    return int(value)


def status(value: str) -> str:
    """One status, or a class of them."""
    if not re.fullmatch(r"[1-5](\d\d|xx)", value.lower()):
        raise ValueError("a status (429) or a class of them (4xx)")
    return value.lower()


def moment(value: str) -> float:
    """A time: seconds since 1970, or RFC 3339; one without a zone is the gateway's local time."""
    try:
        if re.fullmatch(r"\d{1,11}(\.\d*)?", value):
            return float(value)
        # A plus sign in a query stands for a space.
        return datetime.fromisoformat(value.replace(" ", "+")).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("seconds since 1970, or a time like 2026-11-22T14:02:00Z") from None


def one_of(*names: str) -> Reader:
    """Return what reads one of these words."""
    return choice({name: name for name in names})


def choice(values: Mapping[str, Any]) -> Reader:
    """Return what reads one of these words as what it stands for."""

    def read(value: str) -> Any:
        if value not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return values[value]

    return read
