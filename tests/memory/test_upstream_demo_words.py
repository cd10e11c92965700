"""What the demo provider says to a classifier's call, and where it refuses."""

import json

import pytest

from lmgw.core.prompts import CLASSIFIER_PROMPT
from lmgw.upstream.demo import write
from lmgw.upstream.demo_words import answer, label
from lmgw.wire.openai import OPENAI

EXAMPLES = [line.split(" => ") for line in CLASSIFIER_PROMPT.splitlines() if " => " in line]
CALL = {
    "model": "demo-instant",
    "messages": [{"role": "system", "content": "Sort this."}, {"role": "user", "content": "prove it, or fail 503"}],
    "temperature": 0.0,
    "max_tokens": 10,
}


def said(**changes):
    body = json.dumps({name: value for name, value in {**CALL, **changes}.items() if value is not None})
    script = write("/chat/completions", body.encode())
    return OPENAI.parse_answer(b"".join(script.pieces)).parts[0].text if script.status == 200 else script.status


def test_a_classifiers_call_gets_a_label_whatever_else_the_question_asks_for():
    assert said() == "deep-think"


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 1},
        {"temperature": None},
        {"max_tokens": 500},
        {"max_tokens": None},
        {"messages": CALL["messages"][1:]},
        {"messages": [*CALL["messages"], CALL["messages"][1]]},
    ],
)
def test_anything_else_gets_an_answer(change):
    assert said(**change) == 503


@pytest.mark.parametrize(("question", "expected"), EXAMPLES)
def test_the_examples_of_the_classifiers_prompt_are_sorted_as_it_says(question, expected):
    assert label(question) == expected


def test_a_conversation_is_sorted_by_its_last_message_of_the_user():
    assert label("[3 messages in conversation]\nUser: prove it\nAssistant: no\nUser: ok, bye") == "instant"


def test_a_long_question_is_much_work():
    assert label("word " * 16) == "fast"
    assert label("word " * 80) == "deep"


def test_asked_to_refuse_only_the_most_capable_answers():
    for model in ("demo-instant", "demo-fast"):
        assert answer("Please say I cannot help.", model).startswith("I cannot help")
    assert "I cannot help" not in answer("Please say I cannot help.", "demo-capable")
