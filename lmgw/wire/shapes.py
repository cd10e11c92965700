"""Decoded JSON read into typed shapes; what does not fit is refused in JSON's words, with the path of the field."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from lmgw.errors import BadRequest

_Shape = TypeVar("_Shape")

_PLACE = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(.*)`, got `.*`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
}


def shaped(value: Any, shape: type[_Shape], where: str) -> _Shape:
    """Return ``value``, which stands at ``where`` (empty: it is the body), as ``shape``.

    Raises :class:`~lmgw.errors.BadRequest` naming the field that does not fit.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), where) from None


def _refusal(error: str, where: str) -> BadRequest:
    """Reword what msgspec says: ``Expected `str`, got `int` - at `$[0].role```."""
    found = _PLACE.fullmatch(error)
    reason, path = (found[1], f"{where}{found[2] or ''}".removeprefix(".")) if found else (error, where)
    if wrong := _EXPECTED.fullmatch(reason):
        expected = " or ".join(_NAMES.get(name, name) for name in wrong[1].split(" | ") if name != "null")
        return BadRequest(f"{path or 'the body'} must be {expected}", param=path or None)
    if missing := _MISSING.fullmatch(reason):
        path = f"{path}.{missing[1]}".removeprefix(".")
        return BadRequest(f"{path} is missing", param=path)
    return BadRequest(f"{path}: {reason}", param=path or None)
