"""Whether a prompt fits a window, with as little work as possible; the estimate of its tokens."""

import playbooks as p
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.core.ask import Prompt, Supposed
from lmgw.core.fit import PromptSize, Unmeasured
from lmgw.core.tokens import CalibratedEstimate


def _never() -> Prompt:
    raise AssertionError("nothing may be parsed")


def _size(size: int, prompt: object = _never, *, images: bool = False, largest: int = 200_000) -> PromptSize:
    made = prompt if callable(prompt) else lambda: prompt
    return PromptSize(Supposed("x", made, size, lambda: images), largest)


def _window(tokens: int | None) -> object:
    return p.tier("a:b", max_context_tokens=tokens)


def test_no_limit_costs_nothing() -> None:
    def asked() -> bool:
        raise AssertionError("not even a look at the bytes")

    assert PromptSize(Supposed("x", _never, 10**9, asked), 0).fits(_window(None))


def test_bytes_alone_decide_that_a_text_of_n_bytes_fits() -> None:
    assert _size(909).fits(_window(1000))  # 909 * 1.1 = 999.9


def test_more_bytes_than_the_window_must_be_counted() -> None:
    with pytest.raises(Unmeasured):
        _size(910, Prompt(texts=("x" * 910,), messages=1)).fits(_window(1000))


def test_a_body_of_escapes_is_decided_by_its_texts() -> None:
    assert _size(100_000, Prompt(texts=("short",), messages=1)).fits(_window(1000))


def test_texts_are_weighed_in_bytes_not_characters() -> None:
    with pytest.raises(Unmeasured):
        _size(100_000, Prompt(texts=("\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 400,), messages=1)).fits(_window(1000))


def test_an_image_counts_1500_tokens_never_its_bytes() -> None:
    size = _size(5_000_000, Prompt(texts=("what is this?",), messages=1, images=2), images=True)
    assert size.fits(_window(4000))
    assert not size.fits(_window(3000))


def test_a_conversation_with_parts_of_unknown_kinds_is_read_as_well_as_it_can_be() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what"}, sound, {"type": "text", "text": "is it?"}]},
        {"role": "assistant", "content": "a bell"},
        {"role": "tool", "content": "42"},
        "nonsense",
        {"role": "user", "content": None},
    ]
    prompt = Prompt.roughly(messages, [{"type": "mystery"}])
    assert prompt.turns == (("user", "what\nis it?"), ("assistant", "a bell"))
    assert prompt.texts == ('[{"type":"mystery"}]', "be brief", "what", "is it?", "a bell", "42")
    assert (prompt.tool_result, prompt.messages, prompt.images) == (True, 5, 1)
    assert Prompt.roughly("nonsense") == Prompt()


def test_images_too_many_for_the_window_need_no_counting() -> None:
    size = _size(100, Prompt(texts=("x" * 9000,), images=3), images=True)
    assert not size.fits(_window(4900))
    assert size.words == "at least 4,950 tokens"


def test_the_estimate_is_messages_tools_4_a_message_and_10_percent() -> None:
    size = _size(10_000, Prompt(texts=("x" * 5000,), messages=10, images=1), images=True)
    with pytest.raises(Unmeasured):
        size.fits(_window(4000))
    size.count(1000)
    assert size.tokens == 2794  # (1000 + 10 * 4 + 1500) * 1.1
    assert size.fits(_window(2794))
    assert not size.fits(_window(2793))


def test_what_is_counted_stops_at_the_largest_window() -> None:
    size = _size(9_000_000, Prompt(texts=("x" * 9_000_000,), messages=1), largest=400_000)
    step = size.measure()
    assert step.texts == ("x" * 9_000_000,)
    assert step.enough == 400_000
    size.count(400_001)
    assert size.words == "more than 400,000 tokens"


def test_small_windows_are_counted_beyond_so_that_the_error_can_say_how_long_the_prompt_is() -> None:
    assert _size(900_000, Prompt(), largest=8_192).measure().enough == 200_000


def test_an_estimate_is_told_in_hundreds() -> None:
    size = _size(900_000, Prompt(texts=("x",), messages=1))
    size.count(37_450)
    assert size.words == "about 41,200 tokens"


def test_the_prompt_is_read_once() -> None:
    reads = []

    def prompt() -> Prompt:
        reads.append(1)
        return Prompt(texts=("x" * 5000,), messages=1)

    size = _size(100_000, prompt)
    for _ in range(3):
        with pytest.raises(Unmeasured):
            size.fits(_window(1000))
    size.measure()
    assert len(reads) == 1


@given(st.lists(st.text(), max_size=5), st.integers(1, 5000))
def test_bytes_never_say_fits_where_the_count_says_no(texts: list[str], window: int) -> None:
    """A tokenizer makes at most one token of each byte."""
    size_in_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    size = _size(size_in_bytes + 30 * len(texts), Prompt(texts=tuple(texts), messages=len(texts)))
    try:
        fits = size.fits(_window(window))
    except Unmeasured:
        return
    size.count(size_in_bytes)
    assert fits == size.fits(_window(window))


#: Texts of many kinds, and their tokens in o200k_base.
COUNTED = [
    ("The quick brown fox jumps over the lazy dog. " * 20, 201),
    ("def f(x: int) -> int:\n    return x * 2  # twice\n\n" * 10, 190),
    ('{"id": 17, "name": "Ann", "tags": ["a", "b"]}, ' * 10, 221),
    ("\u4e2d\u6587\u662f\u4e00\u79cd\u8bed\u8a00" * 20, 80),
    ("Съешь же ещё этих мягких французских булок, да выпей чаю. " * 10, 191),
    ("550e8400-e29b-41d4-a716-446655440000 " * 10, 190),
]


@pytest.mark.parametrize(("text", "tokens"), COUNTED)
def test_the_calibrated_estimate_errs_high_but_not_absurdly(text: str, tokens: int) -> None:
    assert tokens <= CalibratedEstimate().count(text) * 1.1
    assert CalibratedEstimate().count(text) <= 3 * tokens


@given(st.text())
def test_the_estimate_is_never_more_than_a_token_a_byte(text: str) -> None:
    assert 0 <= CalibratedEstimate().count(text) <= len(text.encode("utf-8", "surrogatepass"))
