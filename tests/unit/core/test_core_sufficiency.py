"""Whether an answer is good enough."""

import playbooks as p
import pytest

from lmgw.core.sufficiency import Judgement, Jury
from lmgw.wire.progress import TEXT_KEPT, Progress

JURY = Jury(p.profile())
LONG = "The answer is forty-two. " * 10


def _final(text: str = "", **progress: object) -> bool:
    fields = {"content": True, "text": text, "finish": "stop"} | progress
    return JURY.final(Progress(**fields)) is Judgement.SUFFICIENT


def _so_far(text: str = "", jury: Jury = JURY, **progress: object) -> Judgement:
    return jury.so_far(Progress(**{"content": True, "text": text} | progress))


def test_sufficient_is_text_that_holds_no_refusal() -> None:
    assert _final("Forty-two.")


def test_sufficient_is_what_finished_by_itself_with_a_tool_call() -> None:
    assert _final(tool_call=True, finish="tool_calls")
    assert _final("I don't know, let me look it up.", tool_call=True, finish="tool_calls")


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
def test_no_text_is_not_sufficient(finish: str) -> None:
    assert not _final("", finish=finish)
    assert not _final(" \n", finish=finish)


@pytest.mark.parametrize(
    "text",
    [
        "I don't know.",
        "I DON'T KNOW.",
        "I don\N{RIGHT SINGLE QUOTATION MARK}t know.",
        "Sorry, but I cannot help with that.",
        "I'm not able to do that",
        "As an AI, I have no opinions.",
        "I don't have enough information to answer.",
    ],
)
def test_a_refusal_is_not_sufficient_in_any_case_and_with_either_apostrophe(text: str) -> None:
    assert not _final(text)


def test_a_refusal_counts_only_in_the_first_peek_chars() -> None:
    assert _final("x" * 120 + " I don't know")
    assert not _final("x" * 100 + " I don't know")


def test_refusals_lists_what_counts_instead() -> None:
    jury = Jury(p.profile(refusals=("keine ahnung", "c\N{RIGHT SINGLE QUOTATION MARK}est trop")))
    for text, sufficient in (("I don't know", True), ("Keine Ahnung!", False), ("C'est trop", False)):
        judgement = jury.final(Progress(content=True, text=text, finish="stop"))
        assert (judgement is Judgement.SUFFICIENT) is sufficient, text


def test_a_length_finish_with_text_is_sufficient() -> None:
    jury = Jury(p.profile(escalate_min_chars=50))
    assert jury.final(Progress(content=True, text="cut", finish="length")) is Judgement.SUFFICIENT


def test_a_refusal_cut_off_by_length_is_still_a_refusal() -> None:
    assert not _final("I don't know wh", finish="length")


def test_a_tool_call_cut_off_by_length_is_not_sufficient() -> None:
    assert not _final("", tool_call=True, finish="length")


def test_a_filtered_answer_is_not_sufficient() -> None:
    assert not _final(LONG, finish="content_filter")


def test_escalate_min_chars_is_the_least_text() -> None:
    jury = Jury(p.profile(escalate_min_chars=10))
    for text, sufficient in (("123456789", False), ("1234567890", True), ("12345678 \n", False)):
        judgement = jury.final(Progress(content=True, text=text, finish="stop"))
        assert (judgement is Judgement.SUFFICIENT) is sufficient, text


def test_a_stream_is_open_until_the_peek_is_seen() -> None:
    assert _so_far("x" * 119) is Judgement.OPEN
    assert _so_far("x" * 120) is Judgement.SUFFICIENT


def test_reasoning_alone_decides_nothing() -> None:
    assert _so_far("", reasoning=True) is Judgement.OPEN


def test_a_stream_with_a_refusal_is_decided_with_the_peek() -> None:
    assert _so_far("I don't know. ") is Judgement.OPEN  # a tool call may follow
    assert _so_far("I don't know. " * 20) is Judgement.INSUFFICIENT


def test_a_tool_call_begun_decides_a_stream() -> None:
    assert _so_far("", tool_call=True) is Judgement.SUFFICIENT


def test_a_stream_waits_for_escalate_min_chars_if_those_are_more_than_the_peek() -> None:
    jury = Jury(p.profile(escalate_min_chars=200))
    assert _so_far("x" * 199, jury) is Judgement.OPEN
    assert _so_far("x" * 200, jury) is Judgement.SUFFICIENT


def test_white_space_without_end_is_decided_when_no_more_text_is_kept() -> None:
    assert _so_far(" " * TEXT_KEPT) is Judgement.INSUFFICIENT


def test_what_a_stream_and_a_whole_answer_say_is_judged_the_same() -> None:
    for text in ("x" * 300, "I don't know " * 30, "x" * 112 + "as an ai"):
        assert _so_far(text) is JURY.final(Progress(content=True, text=text, finish="stop"))
