"""What the classifier is asked, and what its answer means; rules and labels."""

import playbooks as p
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.core.ask import Prompt, Turn
from lmgw.core.classify import Label, question, read
from lmgw.core.prompts import CLASSIFIER_PROMPT, system_text
from lmgw.core.rules import matching, rung
from lmgw.wire.events import Document, Image, Message, Request, Text, Thinking, Tool, ToolCall, ToolResult

USER, BOT = "user", "assistant"


def test_the_input_is_the_user_and_assistant_texts_in_order() -> None:
    turns = (Turn(USER, "hi"), Turn(BOT, "hello"), Turn(USER, "why?"))
    assert question(turns, None) == "[3 messages in conversation]\nUser: hi\nAssistant: hello\nUser: why?"


def test_system_and_tool_messages_are_dropped_and_of_parts_the_text_is_read() -> None:
    request = Request(
        model="x",
        messages=(
            Message("system", (Text("be brief"),)),
            Message("user", (Text("look"), Image(data="aaaa", media_type="image/png"), Text("here"))),
            Message("assistant", (Thinking("hm"), ToolCall("1", "find", '{"q": 1}'))),
            Message("user", (ToolResult("1", (Text("found"),)),)),
            Message("assistant", (Text("done"),)),
        ),
    )
    prompt = Prompt.of(request)
    assert prompt.turns == ((USER, "look\nhere"), (BOT, "done"))
    assert prompt.tool_result


def test_a_prompt_counts_all_that_is_read_as_text_and_its_images() -> None:
    request = Request(
        model="x",
        messages=(
            Message("system", (Text("s"),)),
            Message("user", (Text("u"), Image(url="http://x/y"), Document(data="A" * 70_000), Document(text="d"))),
            Message("assistant", (Thinking("t"), ToolCall("1", "find", "{}"))),
            Message("user", (ToolResult("1", (Text("r"), Image(data="x"))),)),
        ),
        tools=(Tool("find", "finds", {"type": "object"}),),
    )
    prompt = Prompt.of(request)
    assert prompt.texts == ("s", "u", "d", "t", "find", "{}", "r", "find", "finds", '{"type":"object"}')
    assert (prompt.messages, prompt.images) == (5, 4)


def test_one_message_is_its_text_as_it_is() -> None:
    assert question((Turn(USER, " as it is\n"),), None) == " as it is\n"


def test_the_last_classifier_context_of_them_if_set() -> None:
    turns = (Turn(USER, "a"), Turn(BOT, "b"), Turn(USER, "c"))
    assert question(turns, 2) == "[2 messages in conversation]\nAssistant: b\nUser: c"
    assert question(turns, 1) == "c"
    assert question(turns, 9) == question(turns, None)


def test_no_user_text_in_the_window_is_no_question() -> None:
    assert question((Turn(USER, "a"), Turn(BOT, "b")), 1) is None
    assert question((), None) is None
    assert question((Turn(USER, "a"),), 0) is None


@pytest.mark.parametrize(
    ("answer", "written", "tags"),
    [
        ("fast", "fast", {}),
        ("  Deep-Think.\n", "deep-think", {}),
        ("**fast**", "fast", {}),
        ('"fast",', "fast", {}),
        ("\N{LEFT DOUBLE QUOTATION MARK}fast\N{RIGHT DOUBLE QUOTATION MARK}", "fast", {}),
        ("tier=Deep, class=Code;", "deep", {"tier": "deep", "class": "code"}),
        ("class=code fast", "fast", {"class": "code"}),  # the first bare token
        ("fast deep", "fast", {}),
        ("deep tier=fast", "fast", {"tier": "fast"}),  # the tag wins
        ("class=code", "instant", {"class": "code"}),  # else instant
        ("lang=de lang=fr", "instant", {"lang": "de"}),
        ("tier= fast", "tier", {}),
        ("<think>the user asks</think> deep", "deep", {}),
        ("a=b=c", "instant", {"a": "b=c"}),
    ],
)
def test_an_answer_is_tags_and_bare_labels_lower_cased_without_punctuation(
    answer: str, written: str, tags: dict[str, str]
) -> None:
    label = read(answer)
    assert label is not None
    assert (label.written, dict(label.tags)) == (written, tags)


@pytest.mark.parametrize("answer", ["", "  \n", "...", "<think>never ends", "= =="])
def test_an_empty_answer_is_no_label(answer: str) -> None:
    assert read(answer) is None


@given(st.text())
def test_a_label_can_stand_in_a_header_whatever_the_model_says(answer: str) -> None:
    label = read(answer)
    if label is not None:
        shown = label.class_of({})
        assert 0 < len(shown) <= 64
        assert shown.isascii()
        assert shown.isprintable()


def test_a_label_ending_in_think_is_that_label_with_thinking_on() -> None:
    label = read("deep-think")
    assert label is not None
    assert (label.tier, label.think) == ("deep", True)
    assert not Label("deep").think


@pytest.mark.parametrize(
    ("answer", "prompts", "class_label"),
    [
        ("fast class=code", {}, "code"),  # the tag class
        ("fast topic=law", {"law": "..."}, "law"),  # else a tag value that is a key of class_prompts
        ("fast topic=law", {}, "fast"),  # else the tier label
        ("fast class=code topic=law", {"law": "..."}, "code"),
        ("deep-think", {}, "deep"),
        ("deep-think", {"deep-think": "..."}, "deep-think"),
    ],
)
def test_the_class_label(answer: str, prompts: dict[str, str], class_label: str) -> None:
    label = read(answer)
    assert label is not None
    assert label.class_of(prompts) == class_label


def _first(answer: str, *rules: object) -> str | None:
    label = read(answer)
    assert label is not None
    made = p.config(["a"], p.profile(mode="classify", rules=rules)).profiles["default"].rules
    return next((rule.route_to for rule in matching(made, label)), None)


def test_a_rule_matches_if_all_its_pairs_do() -> None:
    rule = p.rule("x", **{"class": "code", "lang": "de"})
    assert _first("class=code lang=de", rule) == "x"
    assert _first("class=CODE lang=DE", rule) == "x"  # case-insensitive
    assert _first("class=code", rule) is None
    assert _first("class=code lang=fr", rule) is None


def test_a_bare_tier_label_also_counts_as_its_class() -> None:
    assert _first("code", p.rule("x", **{"class": "code"})) == "x"
    assert _first("code-think", p.rule("x", **{"class": "code"})) == "x"
    assert _first("tier=code", p.rule("x", **{"class": "code"})) is None


def test_rules_are_tried_by_priority_then_in_file_order() -> None:
    low, first, second = p.rule("low"), p.rule("first", priority=5), p.rule("second", priority=5)
    assert _first("any", low, first, second) == "first"


LADDER = tuple(p.config(["local:instant", "local:fast", "cloud:mid", "cloud:opus"]).tiers.values())
PLAIN = tuple(p.config(["a:1", "a:2", "a:3", "a:4", "a:5"]).tiers.values())


@pytest.mark.parametrize(
    ("answer", "tier"),
    [
        ("cloud:mid", "cloud:mid"),  # its whole name
        ("opus", "cloud:opus"),  # the part after the last colon
        ("instant", "local:instant"),
        ("fast", "local:fast"),
        ("deep", "cloud:opus"),  # no tier is named so: the last
        ("deep-think", "cloud:opus"),
        ("simple", "local:instant"),
        ("moderate", "cloud:mid"),  # n // 2
        ("complex", "cloud:opus"),
        ("banana", "cloud:mid"),  # unknown: the middle
    ],
)
def test_without_a_rule_a_label_names_a_tier_or_a_place_on_the_ladder(answer: str, tier: str) -> None:
    label = read(answer)
    assert label is not None
    assert LADDER[rung(LADDER, label)].name == tier


@pytest.mark.parametrize(("answer", "index"), [("instant", 0), ("fast", 2), ("deep", 4), ("simple", 0), ("what", 2)])
def test_labels_mean_the_first_the_middle_and_the_last_if_no_tier_is_named_so(answer: str, index: int) -> None:
    label = read(answer)
    assert label is not None
    assert rung(PLAIN, label) == index


def test_a_tier_that_is_named_like_a_thinking_label_is_meant() -> None:
    ladder = tuple(p.config(["a:qwen", "a:qwen-think"]).tiers.values())
    assert rung(ladder, Label("qwen-think")) == 1


def test_the_built_in_prompt_asks_for_one_of_six_words_by_examples() -> None:
    examples = [line for line in CLASSIFIER_PROMPT.splitlines() if " => " in line]
    labels = {line.rpartition(" => ")[2] for line in examples}
    assert labels == {"instant", "instant-think", "fast", "fast-think", "deep", "deep-think"}
    assert len(examples) >= 12


def test_a_class_prompt_stands_before_the_system_prompt_joined_by_a_blank_line() -> None:
    made = p.profile(system_prompt="Be kind.", class_prompts={"code": "Write code."})
    assert system_text(made, "code") == "Write code.\n\nBe kind."
    assert system_text(made, "law") == "Be kind."
    assert system_text(p.profile(class_prompts={"code": "Write code."}), "code") == "Write code."
    assert system_text(p.profile(), None) is None
