"""Files that are no TOML, no text, or not there: words, a line and a column, and nothing of the content."""

from __future__ import annotations

import os
import re

import pytest

from lmgw.config.syntax import MOST_BYTES, parse

SECRET = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"

BROKEN = {
    f"[gateway]\nclient_port == {SECRET}": "line 2, column 14: expected a value",
    f'a = "{SECRET}': "line 1, column 45: text without its closing quote",
    f'a = """{SECRET}': "line 1, column 47: text without its closing quote",
    f"a = '''{SECRET}": "text without its closing quote",
    f"a = '{SECRET}": "line 1, column 45: text without its closing quote",
    f'a = "{SECRET}\nb = 1': "line 1, column 45: this character cannot stand in text",
    f"a = {SECRET}": "line 1, column 5: expected a value; text needs quotes",
    f'a = 1 "{SECRET}"': "line 1, column 7: the line should end here",
    f"{SECRET}": 'line 1, column 40: expected "=" after the key',
    f"[{SECRET}\nb = 1": 'line 1, column 41: the header of this table lacks its "]"',
    f"[[{SECRET}]\nb = 1": 'line 1, column 42: the header of this array lacks its "]]"',
    f"[{SECRET}]\n[{SECRET}]": "line 2, column 41: this table is written twice",
    f"{SECRET} = 1\n{SECRET} = 2": "line 2, column 44: this key is written twice",
    f'a = ["{SECRET}"': 'an array without its closing "]"',
    f'a = {{ b = "{SECRET}"\n}}': 'a { table } must be closed by "}" on its own line',
    f"a = {{ {SECRET} = 1, {SECRET} = 2 }}": "this key is written twice",
    f'a = {{ b = 1 }}\n[a.c]\nx = "{SECRET}"': "line 2, column 5: this table is written twice",
    f'a = {{ b = 1 }}\na.c = "{SECRET}"': "this was closed before",
    f'path = "C:\\{SECRET}"': 'a backslash in "..." begins an escape',
    "a = 2026-02-30": "line 1, column 5: no such date or time",
    '"" "" = 1': 'expected "=" after the key',
    "?a = 1": "line 1, column 1: neither a key, a table nor a comment",
    "[?]": "line 1, column 2: expected a key",
    '"\\ud800" = 1': "this escape is no character",
    '"\\uzzzz" = 1': "this escape is no character",
    "# \x01": "this character cannot stand in a comment",
    "a = " + "9" * 5000: "a number has too many digits",
    "a = " + "[" * 5000: "nested too deeply",
}


@pytest.mark.parametrize(("text", "words"), BROKEN.items(), ids=range(len(BROKEN)))
def test_what_is_no_toml_is_told_by_line_and_column_without_its_content(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse(text.encode())
    assert "abcdef" not in str(caught.value)
    assert "not TOML" not in str(caught.value)


def test_a_byte_order_mark_and_windows_line_ends_are_no_content() -> None:
    assert parse(b"\xef\xbb\xbfa = 1\r\n[b]\r\nc = 2\r\n") == {"a": 1, "b": {"c": 2}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a = 1\nb = '\xe9'".encode("latin-1"), "line 2 is not UTF-8 text"),
        ("a = 1".encode("utf-16"), "UTF-16 text"),
        (b"#" * (MOST_BYTES + 1), "larger than 8 MiB"),
    ],
)
def test_what_is_no_utf8_text_is_told_with_its_remedy(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(content)


def test_the_problem_names_the_file(problems_of) -> None:
    assert problems_of("a = ") == (
        "config.toml: line 1, column 5: expected a value; text needs quotes, true and false are written small",
    )


def test_every_broken_file_is_reported_and_nothing_else(files) -> None:
    files.write("config.toml", "[gateway")
    files.write("conf.d/10-a.toml", "x = ")
    files.write("profiles/auto.toml", "=")
    assert [problem.split(":")[0] for problem in files.problems()] == [
        "config.toml",
        "conf.d/10-a.toml",
        "profiles/auto.toml",
    ]


def test_what_a_broken_file_should_have_held_is_not_missed_everywhere(files) -> None:
    files.write("config.toml", '[aliases]\na = "t"')
    files.write("conf.d/10.toml", '[[tiers]]\nname = "t"\nbackend =')
    assert [problem.split(":")[0] for problem in files.problems()] == ["conf.d/10.toml"]


def test_a_missing_file_says_how_to_name_one(files) -> None:
    (problem,) = files.problems()
    assert problem.startswith(f"{files.path}: no such file: name it by --config or $LMG_CONFIG")


def test_a_directory_in_place_of_a_file_is_told(files) -> None:
    os.mkdir(files.path)
    assert files.problems() == (f"{files.path}: a directory: name the file in it",)


def test_a_file_in_place_of_a_directory_is_told(files) -> None:
    files.write("config.toml", "# nothing")
    files.write("conf.d", "")
    assert files.problems() == ("conf.d: not a directory",)


@pytest.fixture
def nobody():
    """Root may read everything: be somebody else for the while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_told(files, nobody, monkeypatch) -> None:
    monkeypatch.setattr(files, "path", "/etc/shadow")
    assert "may not read it" in files.problems()[0]


def test_an_empty_file_is_refused_for_it_may_be_half_written(files) -> None:
    for name in ("config.toml", "conf.d/10.toml"):
        files.write("config.toml", "# nothing")
        files.write(name, " \n")
        (problem,) = files.problems()
        assert problem.startswith(f"{name}: the file is empty")
