"""Labelled example lines for ``lmgw classify-test``, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lmgw.errors import ConfigError

_KEYS = ("text", "label")


class Case(NamedTuple):
    """A user's message, and the label that it should get: a word, or ``tag=value``."""

    text: str
    label: str


def read_cases(path: Path) -> list[Case]:
    """Read a file of ``[[cases]]``. Raises :class:`~lmgw.errors.ConfigError` with every problem in it."""
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror or 'cannot be read'}",)) from None
    except UnicodeDecodeError:
        raise ConfigError((f"{path}: is not a text in UTF-8",)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{path}: {error}",)) from None
    problems = tuple(f"{path}: {problem}" for problem in _problems(document))
    if problems:
        raise ConfigError(problems)
    return [Case(entry["text"], entry["label"].strip().lower()) for entry in document["cases"]]


def _problems(document: dict[str, Any]) -> Iterator[str]:
    for key in document:
        if key != "cases":
            yield f'unknown key "{key}": the file holds [[cases]] with text and label'
    cases = document.get("cases")
    if not isinstance(cases, list) or not cases:
        yield 'there are no cases: write [[cases]], text = "hi there", label = "instant"'
        return
    for number, entry in enumerate(cases, 1):
        yield from (f"case {number}: {problem}" for problem in _of_case(entry))


def _of_case(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield "expected a table with text and label"
        return
    for key in entry:
        if key not in _KEYS:
            yield f'unknown key "{key}": a case has text and label'
    for key in _KEYS:
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            yield f"{key}: expected a text" + (", not an empty one" if value is not None else ", it is missing")
        elif key == "label" and len(value.split()) > 1:
            yield "label: expected one word, or tag=value"
