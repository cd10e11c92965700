"""Splicing changes the values it is asked to change, and no other byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from lmgw.wire.body import Body
from lmgw.wire.splice import splice, splice_object

#: (before, after) for model = "new"
MODEL = {
    "compact": (b'{"model":"old","n":1}', b'{"model":"new","n":1}'),
    "spaced": (b' {\n  "model" :\t"old" ,\r\n "n": 1 }\n', b' {\n  "model" :\t"new" ,\r\n "n": 1 }\n'),
    "last": (b'{"n":1,"model":"old"}', b'{"n":1,"model":"new"}'),
    "an escaped key": (rb'{"mod\u0065l":"old"}', rb'{"mod\u0065l":"new"}'),
    "an escaped value": (rb'{"model":"a\"b\\","n":1}', b'{"model":"new","n":1}'),
    "null": (b'{"model":null}', b'{"model":"new"}'),
    "nested models stay": (b'{"x":{"model":"old"},"model":"old"}', b'{"x":{"model":"old"},"model":"new"}'),
    "a text that looks like a key": (
        rb'{"x":"\"model\":\"old\"","model":"old"}',
        rb'{"x":"\"model\":\"old\"","model":"new"}',
    ),
    "spellings of numbers": (
        b'{"model":"old","a":1.0,"b":1E5,"c":0.10,"d":-0,"e":123456789012345678901234567890,"f":1e999}',
        b'{"model":"new","a":1.0,"b":1E5,"c":0.10,"d":-0,"e":123456789012345678901234567890,"f":1e999}',
    ),
    "spellings of texts": (rb'{"model":"old","a":"\u00e9\/\u2028"}', rb'{"model":"new","a":"\u00e9\/\u2028"}'),
    "absent": (b'{"n":1}', b'{"n":1,"model":"new"}'),
    "absent, with room": (b'{ "n": 1 }', b'{ "n": 1,"model":"new" }'),
    "nothing there": (b"{ }", b'{"model":"new" }'),
}


@pytest.mark.parametrize(("before", "after"), MODEL.values(), ids=MODEL)
def test_only_the_value_changes(before: bytes, after: bytes) -> None:
    assert splice(Body(before), {"model": "new"}) == after


def test_several_values_change_at_once_and_new_ones_stand_at_the_end() -> None:
    body = Body(b'{"a":1, "b":2, "c":3}')
    edits = {"c": 30, "x": [], "a": Raw(b'{"deep":1}'), "y": None}
    assert splice(body, edits) == b'{"a":{"deep":1}, "b":2, "c":30,"x":[],"y":null}'


def test_a_place_inside_a_value_can_be_changed() -> None:
    body = Body(b'{"a":[1], "b":2}')
    assert splice(body, {"b": 3}, [(6, 6, b"0,")]) == b'{"a":[0,1], "b":3}'


def test_an_object_inside_a_body_is_spliced_alike() -> None:
    assert splice_object(b'{"x": 1.50}', {"y": True}) == b'{"x": 1.50,"y":true}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = (st.sampled_from(["name", "é", '"', "\\"]) | st.text(max_size=6)).filter(
    lambda key: key not in ("model", "stream", "stream_options")  # whose types are checked
)
FIELDS = st.dictionaries(KEYS, JSON, max_size=6)


@given(FIELDS, FIELDS, st.booleans(), st.sampled_from([None, 2]), st.sampled_from([None, (",", ":")]))
def test_what_is_spliced_reads_as_what_was_asked_for(
    fields: dict[str, object],
    edits: dict[str, object],
    ascii: bool,
    indent: int | None,
    separators: tuple[str, str] | None,
) -> None:
    data = json.dumps(fields, ensure_ascii=ascii, indent=indent, separators=separators).encode()
    fields = json.loads(data)
    body = Body(data)
    spliced = splice(body, edits)
    assert json.loads(spliced) == {**fields, **edits}
    for key, (start, end) in body.spans.items():
        assert json.loads(data[start:end]) == fields[key]
        assert key in edits or data[start:end] in spliced
