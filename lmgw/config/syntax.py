"""The bytes of one TOML file to tables, or words that say where it is wrong and repeat nothing of it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

#: Bytes; far above any real configuration.
MOST_BYTES = 8 * 2**20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_POSITION = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)$")

#: How tomllib's words begin, and ours in their place: its own may quote what stands there.
_WORDS = {
    "Expected '=' after": 'expected "=" after the key',
    "Expected newline or end": "the line should end here; text needs quotes around all of it",
    "Invalid statement": "neither a key, a table nor a comment",
    "Invalid initial character for a key": "expected a key; one with more than A-Z a-z 0-9 _ - in it needs quotes",
    "Invalid value": "expected a value; text needs quotes, true and false are written small",
    "Invalid date": "no such date or time",
    "Invalid hex": "this escape is no character",
    "Escaped character": "this escape is no character",
    "Unescaped '\\'": 'a backslash in "..." begins an escape: double it, or use single quotes',
    "Unterminated string": "text without its closing quote",
    "Expected \"'": "text without its closing quote",
    "Illegal character": "this character cannot stand in text: the line before may lack its closing quote",
    "Found invalid character": "this character cannot stand in a comment",
    "Expected ']' at": 'the header of this table lacks its "]"',
    "Expected ']]' at": 'the header of this array lacks its "]]"',
    "Unclosed array": 'an array without its closing "]"',
    "Unclosed inline": 'a { table } must be closed by "}" on its own line',
    "Cannot declare": "this table is written twice",
    "Cannot redefine": "this table is written twice",
    "Cannot mutate": "this was closed before: write all its keys in one place",
    "Cannot overwrite": "this key is written twice",
    "Duplicate inline": "this key is written twice",
}


def parse(content: bytes) -> dict[str, Any]:
    """Return the tables of a file, with or without a byte order mark.

    Raises ``ValueError`` with words for the operator: line and column, and nothing of what stands there.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES // 2**20} MiB: this is no configuration")
    if content.startswith(_UTF16):
        raise ValueError("UTF-16 text (PowerShell's > writes it): save the file as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text: save the file as UTF-8") from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("tables or arrays are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(_located(str(error), text)) from None
    except ValueError:  # the interpreter's limit on digits
        raise ValueError("a number has too many digits") from None


def _located(said: str, text: str) -> str:
    words = next((ours for theirs, ours in _WORDS.items() if said.startswith(theirs)), "not TOML")
    position = _POSITION.search(said)
    line, column = position.groups() if position else (None, None)
    if line is None:
        lines = text.split("\n")
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    return f"line {line}, column {column}: {words}"
