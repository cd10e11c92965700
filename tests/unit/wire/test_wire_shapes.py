"""Decoded JSON read into typed shapes, and a call's arguments as an object."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lmgw.errors import BadRequest
from lmgw.wire.arguments import arguments_object
from lmgw.wire.shapes import shaped


class Inner(msgspec.Struct):
    name: str
    size: int | None = None


class Outer(msgspec.Struct):
    inner: list[Inner] | str | None = None


def test_what_fits_is_read() -> None:
    assert shaped([{"inner": [{"name": "a", "x": 1}]}], list[Outer], "m") == [Outer([Inner("a")])]


WRONG: dict[str, tuple[Any, str, str]] = {
    "not even the outermost": (5, "m must be an array", "m"),
    "one of many": ([{}, 5], "m[1] must be an object", "m[1]"),
    "a field": ([{"inner": 5}], "m[0].inner must be a string or an array", "m[0].inner"),
    "a field deep within": ([{"inner": [{"name": 5}]}], "m[0].inner[0].name must be a string", "m[0].inner[0].name"),
    "a number": (
        [{"inner": [{"name": "a", "size": "b"}]}],
        "m[0].inner[0].size must be an integer",
        "m[0].inner[0].size",
    ),
    "a field that is missing": ([{"inner": [{}]}], "m[0].inner[0].name is missing", "m[0].inner[0].name"),
}


@pytest.mark.parametrize(("value", "words", "param"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_named(value: Any, words: str, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        shaped(value, list[Outer], "m")
    assert (caught.value.message, caught.value.param) == (words, param)


ARGUMENTS = {
    '{"a": [1.50]}': b'{"a": [1.50]}',
    '{\n "a":\r\n"\\n"}': b'{  "a":  "\\n"}',
    "": b"{}",
    "null": b"{}",
    "[1]": b'{"_raw":"[1]"}',
    "{": b'{"_raw":"{"}',
    "{}{}": b'{"_raw":"{}{}"}',
}


@pytest.mark.parametrize(("arguments", "expected"), ARGUMENTS.items())
def test_arguments_become_an_object(arguments: str, expected: bytes) -> None:
    assert msgspec.json.encode(arguments_object(arguments)) == expected
