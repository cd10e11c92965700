"""Keys that were written into a file: found, reported without being repeated, and taken out.

Each file is searched by itself, so a key that an overlay hides is found too.
"""

from __future__ import annotations

import re
from typing import Any, Final

from lmgw.config.keys import Kind, Shape, Table
from lmgw.config.merge import Section
from lmgw.config.report import Place, Report

#: Stands in a section where a value was taken out.
TAKEN_OUT: Final = object()

_API_KEY = re.compile(r"sk-[A-Za-z0-9_-]{20,}")
#: 32 characters and more are a name only if they are words of one case, joined by underscores.
_LONG = 32
_WORD = r"[A-Z]{1,20}\d{0,3}(?:_(?:[A-Z]{1,20}\d{0,3}|\d{1,4}))+"
_WORDS = re.compile(f"{_WORD}|{_WORD.replace('A-Z', 'a-z')}")
_CREDENTIALS = re.compile(r"[^/?#]*//[^/?#]*@")

_MOVE = "move it to an environment variable and name that here; a key that was saved in a file should be replaced"
_KEY_HERE = "looks like an API key: keys come from the environment only"


def looks_like_key(text: str) -> bool:
    """Whether a text, or one word of it (``Bearer sk-...``), has the form of a provider's key."""
    return any(_API_KEY.fullmatch(word) for word in text.split())


def looks_random(text: str) -> bool:
    """Whether what should be a variable's name is as long as a key and not made of words."""
    return len(text) >= _LONG and not _WORDS.fullmatch(text)


def refuse_keys(section: Section, table: Table | None, report: Report) -> None:
    """Report every value of a section that is a key and put :data:`TAKEN_OUT` in its place."""
    for name, value in section.values.items():
        key = None if table is None else table.keys.get(name)
        place = section.at(name)
        if key is None:
            section.values[name] = _clean(value, None, None, place, report)
        elif key.shape is Shape.NAMED and isinstance(value, Section):
            for child, inner in value.values.items():
                value.values[child] = _clean(inner, None, key.table, value.at(child), report)
        else:
            section.values[name] = _clean(value, key.kind, key.table, place, report)


def _clean(value: Any, kind: Kind | None, table: Table | None, place: Place, report: Report) -> Any:
    if isinstance(value, Section):
        if table is not None:
            refuse_keys(value, table, report)
        else:
            for name, inner in value.values.items():
                value.values[name] = _clean(inner, kind, None, value.at(name), report)
        return value
    if isinstance(value, list):
        return [
            _clean(item, kind, table, item.place if isinstance(item, Section) else place.item(f"#{n}"), report)
            for n, item in enumerate(value, 1)
        ]
    if isinstance(value, dict):  # a table in a mixed array
        return {name: _clean(inner, kind, None, place.key(name), report) for name, inner in value.items()}
    if isinstance(value, str):
        text = _reason(value, kind)
        if text:
            report.problem(place, text)
            return TAKEN_OUT
    return value


def _reason(value: str, kind: Kind | None) -> str:
    if kind is Kind.TEXT:
        return ""
    if kind is Kind.ENV and (looks_like_key(value) or looks_random(value)):
        return f"looks like a key, not like the name of an environment variable: {_MOVE}"
    if kind is Kind.URL and _CREDENTIALS.match(value):
        return "holds credentials: take them out; a key goes into an environment variable that api_key_env names"
    return f"{_KEY_HERE}; {_MOVE}" if looks_like_key(value) else ""
