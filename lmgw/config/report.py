"""Problems and warnings, each with the place it stands at; none of them ever repeats a value that may be a key."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_BARE = re.compile(r"[A-Za-z0-9_-]+")
#: What may be quoted: short and plain ...
_PLAIN = re.compile(r"[A-Za-z0-9 ._:/@+*-]{1,64}")
#: ... and without a run of characters as long and mixed as keys have them.
_KEY_LIKE = re.compile(
    r"sk-"
    r"|(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16}"
    r"|[A-Za-z0-9]{25}"
    r"|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?=[A-Z0-9_-]*[a-z])(?=[a-z0-9_-]*[A-Z])[A-Za-z0-9_-]{32}"
)


def quotable(text: str) -> bool:
    """Whether a text may be repeated: it is a plain name, and nothing in it could be a key."""
    return bool(_PLAIN.fullmatch(text)) and not _KEY_LIKE.search(text)


def quote(text: str) -> str:
    """Return a name in quotes, or words instead of what may be a key."""
    return f'"{text}"' if quotable(text) else "(not shown)"


class Place(msgspec.Struct, frozen=True):
    """Where something is written: a file, and the full path of a key in it (``tiers["cloud:capable"].model``)."""

    file: str
    path: str = ""

    def key(self, name: str) -> Place:
        """The place of a key in the table that stands here."""
        if not quotable(name):
            return Place(self.file, f"{self.path}[***]")
        if not _BARE.fullmatch(name):
            return self.item(f'"{name}"')
        return Place(self.file, f"{self.path}.{name}" if self.path else name)

    def item(self, label: str) -> Place:
        """The place of an element of the array that stands here."""
        return Place(self.file, f"{self.path}[{label}]")

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file


class Report:
    """What is wrong and what an operator should read, in the order in which it was found, each sentence once."""

    def __init__(self) -> None:
        self._problems: dict[str, None] = {}
        self._warnings: dict[str, None] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the configuration cannot be used."""
        return tuple(self._problems)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not stop it from being used."""
        return tuple(self._warnings)

    def problem(self, where: Place | str, text: str) -> None:
        """Add a reason to refuse the configuration."""
        self._problems[f"{where}: {text}"] = None

    def warn(self, text: str) -> None:
        """Add a sentence for the operator."""
        self._warnings[text] = None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "NAME"?`` for the nearest of the known names, or nothing."""
    from difflib import get_close_matches  # only mistakes pay for it

    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {quote(near[0])}?" if near else ""
