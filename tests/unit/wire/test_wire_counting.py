"""Token counts that an Anthropic upstream makes: nothing but the model changes on the way there, nothing back."""

import pytest

from lmgw.wire.body import Body
from lmgw.wire.counting import Count
from lmgw.wire.dialect import Target


def test_only_the_model_changes_whatever_the_policy() -> None:
    body = Body(b'{"model":"asked", "messages":[{"role":"user","content":"x"}],"odd":1.0}')
    request = Count.prepare(body, Target("upstream", system="Be brief.", think=True)).request
    assert request.path == "/messages/count_tokens"
    assert request.body == body.data.replace(b'"asked"', b'"upstream"')


def test_the_count_comes_back_as_it_was_and_uses_no_tokens() -> None:
    count = Count.prepare(Body(b'{"model":"m","messages":[]}'), Target("m"))
    answer, progress = count.answer(b'{ "input_tokens": 7, "more": 1 }')
    assert answer == b'{ "input_tokens": 7, "more": 1 }'
    assert (progress.error, progress.content, progress.usage) == (None, False, None)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', 529, "Overloaded"),
        (b'{"input_tokens":"many"}', 502, "no count of tokens"),
        (b"<html>", 502, "no count of tokens"),
        (b"\xff", 502, "no count of tokens"),
        (b"", 502, "no count of tokens"),
    ],
)
def test_what_is_no_count_is_an_error(body: bytes, status: int, words: str) -> None:
    answer, progress = Count.prepare(Body(b'{"model":"m","messages":[]}'), Target("m")).answer(body)
    assert answer == b""
    assert progress.error is not None
    assert progress.error.status == status
    assert words in progress.error.message
