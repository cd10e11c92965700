"""A caller's body is decoded once, and what is wrong with it is said in words."""

from __future__ import annotations

import pytest

from lmgw.errors import BadRequest
from lmgw.wire.body import Body

MALFORMED = {
    "nothing": (b"", "the body is empty"),
    "white space": (b" \n", "the body is empty"),
    "an array": (b"[1]", "the body must be a JSON object"),
    "a comma too many": (b'{"a": 1,\n "b": [1,]}', "trailing comma in array at line 2, column 10"),
    "no colon": (b'{"a" 1}', "expected ':' at line 1, column 6"),
    "a constant of JavaScript": (b'{"a": NaN}', "invalid character at line 1, column 7"),
    "something after the end": (b'{"a": 1} x', "trailing characters at line 1"),
    "half a body": (b'{"a": [1', "it ends too early"),
    "another encoding": (b'{"a": "\xff"}', "not valid UTF-8 at byte 7"),
    "an endless list": (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    "deep lists": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "model is a number": (b'{"model": 1}', "model must be a string"),
    "stream is a string": (b'{"stream": "yes"}', "stream must be true or false"),
    "stream_options is a list": (b'{"stream_options": []}', "stream_options must be an object"),
}

TWICE = {
    "neighbours": (b'{"model":"a","model":"b"}', "model"),
    "the same value": (b'{"model":"a","model":"a"}', "model"),
    "apart": (b'{"model":"a","x":1,"model":"b"}', "model"),
    "as Python writes": (b'{"model": "a", "x": 1, "model": "b"}', "model"),
    "spelled differently": (rb'{"model":"a","mod\u0065l":"b"}', "model"),
    "numbers that begin alike": (b'{"a":12,"b":2,"a":1}', "a"),
    "the last of three": (b'{"b":2,"c":3,"a":1,"a":1}', "a"),
    "one whose first value looks like the rest of the body": (
        b'{"x":{"p":1,"model":"mine"},"x":123456,"model":"best"}',
        "x",
    ),
    "among equal values": (b'{"a":1,"b":1,"a":1,"c":1}', "a"),
    "no name": (b'{"":1,"":2}', ""),
}


@pytest.mark.parametrize(("data", "words"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_refused_with_the_place(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Body(data)
    assert words in caught.value.message


@pytest.mark.parametrize(("data", "key"), TWICE.values(), ids=TWICE)
def test_a_key_that_stands_twice_is_refused(data: bytes, key: str) -> None:
    with pytest.raises(BadRequest, match="stands twice") as caught:
        Body(data)
    assert caught.value.param == key


def test_a_nested_key_may_repeat_a_top_one() -> None:
    body = Body(b'{"metadata":{"model":"x","model":"y"},"model":"a"}')
    assert body.model == "a"


def test_what_routing_asks_is_read() -> None:
    body = Body(b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}')
    assert (body.model, body.stream, body.include_usage) == ("a", True, True)


@pytest.mark.parametrize("data", [b"{}", b'{"model":null,"stream":null,"stream_options":null}'])
def test_what_is_not_said_is_none(data: bytes) -> None:
    body = Body(data)
    assert (body.model, body.stream, body.include_usage) == (None, None, False)


def test_a_byte_order_mark_is_no_part_of_the_body() -> None:
    assert Body(b'\xef\xbb\xbf{"model":"a"}').data == b'{"model":"a"}'


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "messages is missing"),
        (b'{"messages": null}', "messages must be an array"),
        (b'{"messages": "hello"}', "messages must be an array"),
        (b'{"messages": [ \n]}', "messages must not be empty"),
    ],
)
def test_a_required_list_must_hold_something(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        Body(data).require_list("messages")
    assert caught.value.param == "messages"


def test_a_list_with_one_entry_is_enough() -> None:
    Body(b'{"messages": [0]}').require_list("messages")


def test_the_whole_body_is_decoded_when_it_is_asked_for() -> None:
    assert Body(b'{"a": {"b": [1, 2.50]}}').parsed == {"a": {"b": [1, 2.5]}}


def test_a_number_that_nobody_can_hold_is_malformed_only_for_those_who_read_it() -> None:
    body = Body(b'{"a": 1e999}')
    with pytest.raises(BadRequest):
        _ = body.parsed
