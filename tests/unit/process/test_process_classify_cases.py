"""Labelled examples: read from TOML with words for every mistake, and scored."""

import pytest

from lmgw.cli import main
from lmgw.cli.cases import Case, read_cases
from lmgw.cli.scores import NONE, Result, Scores, given
from lmgw.core.classify import read
from lmgw.errors import ConfigError

GOOD = '\ufeff[[cases]]\ntext = "hi there"\nlabel = " Instant "\n[[cases]]\ntext = "x"\nlabel = "class=music"\n'


def written(folder, text):
    path = folder / "cases.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_cases_are_read(tmp_path):
    assert read_cases(written(tmp_path, GOOD)) == [Case("hi there", "instant"), Case("x", "class=music")]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["there are no cases"]),
        ("cases = 3", ["there are no cases"]),
        ("cases = []", ["there are no cases"]),
        ("[[cases]\n", ["line 1"]),
        (b"\xff", ["is not a text in UTF-8"]),
        ("[[case]]\ntext = 'x'\nlabel = 'y'", ['unknown key "case"', "there are no cases"]),
        ("cases = [3]", ["case 1: expected a table"]),
        (
            "[[cases]]",
            ["case 1: text: expected a text, it is missing", "case 1: label: expected a text, it is missing"],
        ),
        ("[[cases]]\ntext = ''\nlabel = 4", ["case 1: text: expected a text, not an empty one", "case 1: label"]),
        ("[[cases]]\ntext = 'x'\nlabel = 'two words'", ["case 1: label: expected one word"]),
        ("[[cases]]\ntext = 'x'\nlabel = 'y'\ntier = 'z'", ['case 1: unknown key "tier"']),
    ],
)
def test_every_mistake_is_named_with_its_place(tmp_path, text, problems):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        read_cases(path)
    assert len(raised.value.problems) == len(problems)
    for said, expected in zip(raised.value.problems, problems, strict=True):
        assert said.startswith(f"{path}: ")
        assert expected in said


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(ConfigError, match="No such file or directory"):
        read_cases(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("expected", "answer", "got"),
    [
        ("fast", "Fast.", "fast"),
        ("fast", "fast-think", "fast-think"),
        ("fast", "tier=deep class=x", "deep"),
        ("class=music", "deep class=Music", "class=music"),
        ("class=music", "deep class=art", "class=art"),
        ("class=music", "music", NONE),
        ("fast", "", NONE),
    ],
)
def test_what_was_said_is_compared_with_what_was_expected(expected, answer, got):
    assert given(expected, read(answer)) == got


def results(*pairs):
    return [Result(Case(f"text {n}", want), got, "a:1", 10.0 * n) for n, (want, got) in enumerate(pairs, 1)]


SOME = results(("fast", "fast"), ("fast", "fast-think"), ("deep", "fast"), ("deep", "deep"), ("deep", NONE))


def test_the_confusion_table_has_what_was_expected_in_rows_and_what_came_in_columns():
    rows = [line.split() for line in list(Scores(SOME).lines())[:3]]
    assert rows == [
        ["expected", "fast", "deep", "fast-think", "-"],
        ["fast", "1", ".", "1", "."],
        ["deep", "1", "1", ".", "1"],
    ]


def test_accuracy_counts_what_is_right_and_tells_how_much_of_the_rest_is_thinking_only():
    scores = Scores(SOME)
    assert (scores.accuracy, scores.without_think) == (0.4, 0.6)
    assert "accuracy  40.0 %: 2 of 5 (60.0 % without -think)" in list(scores.lines())


@pytest.mark.parametrize(("share", "latency_ms"), [(0.5, 30), (0.95, 50), (0.2, 10), (0.0, 10), (1.0, 50)])
def test_percentiles_are_those_of_the_nearest_rank(share, latency_ms):
    assert Scores(SOME).percentile_ms(share) == latency_ms


def test_what_went_wrong_is_listed_and_not_without_end():
    many = results(*[("fast", "deep")] * 30)
    lines = list(Scores(many).lines())
    assert "expected fast, got deep: text 1" in lines
    assert lines[-1] == "and 10 more (--json shows all)"


def test_a_long_text_is_cut():
    *_, line = Scores([Result(Case("word\n" * 40, "fast"), "deep", "", 1.0)]).lines()
    assert line.startswith("expected fast, got deep: word word")
    assert line.endswith("…")
    assert len(line) < 120


def test_calls_that_failed_are_told_by_reason():
    failed = [Result(Case("x", "fast"), NONE, "", 1.0, ("a:1: closed",))] * 3
    assert list(Scores(failed).lines())[-1] == "failed 3 x a:1: closed"


def test_the_facts_are_whole():
    facts = Scores(SOME).facts()
    assert facts["confusion"] == {"fast": {"fast": 1, "fast-think": 1}, "deep": {"fast": 1, "deep": 1, "-": 1}}
    assert facts["answered_by"] == {"a:1": 5}
    assert facts["latency_ms"] == {"p50": 30, "p95": 50}
    assert [wrong["text"] for wrong in facts["wrong"]] == ["text 2", "text 3", "text 5"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which profile?"),
        (["--profile", "p"], "which cases?"),
        (["--profile", "p", "a.toml", "b.toml"], "one file of cases"),
        (["--profile", "p", "a.toml", "--json", "b.toml"], "one file of cases"),
        (["--profile", "p", "a.toml", "--at-least", "x"], "--at-least is a percentage"),
        (["--profile", "p", "a.toml", "--at-least", "101"], "from 0 to 100"),
        (["--profile", "p", "a.toml", "--what"], "what"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(arguments, words, capsys):
    assert main(["classify-test", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_options_may_stand_behind_the_file(tmp_path, capsys):
    path = written(tmp_path, GOOD)
    assert main(["classify-test", "--profile", "p", str(path), "--config", str(tmp_path / "no.toml"), "--json"]) == 1
    assert "no.toml" in capsys.readouterr().err


def test_bad_cases_are_exit_code_1(tmp_path, capsys):
    assert main(["classify-test", "--profile", "p", str(written(tmp_path, "cases = [3]"))]) == 1
    assert "case 1: expected a table" in capsys.readouterr().err
