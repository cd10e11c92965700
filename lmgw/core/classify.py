"""What the classifier is asked, and what its answer means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from lmgw.core.ask import Turn

#: The suffix of a label that asks for thinking.
THINK = "-think"
#: The tier label of an answer that has tags only.
DEFAULT_LABEL = "instant"
#: A label is a word; what is longer is cut, in characters.
LONGEST_LABEL = 64

#: Local models leave their thinking in the text.
_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_PUNCTUATION = re.compile(r"\A[\W_]+|[\W_]+\Z")


class Label(msgspec.Struct, frozen=True):
    """A classifier's answer, lower-cased.

    :ivar written: the tier label as it was written; ``tier`` is the same without ``-think``.
    :ivar bare: whether it was written as a word of its own, not as ``tier=...``.
    :ivar tags: ``key=value`` tokens; of a key said twice, the first.
    """

    written: str
    bare: bool = True
    tags: Mapping[str, str] = {}

    @property
    def tier(self) -> str:
        """The label without ``-think``."""
        return self.written.removesuffix(THINK)

    @property
    def think(self) -> bool:
        """Whether the label asks for thinking."""
        return self.written.endswith(THINK)

    def has(self, tag: str, value: str) -> bool:
        """Whether a rule's pair matches; a bare label also counts as its own class."""
        if self.tags.get(tag) == value:
            return True
        return tag == "class" and self.bare and value in (self.tier, self.written)

    def class_of(self, prompts: Mapping[str, str]) -> str:
        """Return the class label: tag ``class``, else a tag's value that has a prompt, else the tier label."""
        if "class" in self.tags:
            return self.tags["class"]
        for value in self.tags.values():
            if value in prompts:
                return value
        return self.written if self.written in prompts else self.tier


def question(turns: Sequence[Turn], context: int | None) -> str | None:
    """Return the text to classify: the last ``context`` turns (``None`` = all); ``None`` if there is nothing to ask.

    One turn is its text as it is; several are lines that say who speaks.
    """
    window = turns if context is None else turns[max(len(turns) - context, 0) :]
    if not any(turn.role == "user" for turn in window):
        return None
    if len(window) == 1:
        return window[0].text
    lines = [f"[{len(window)} messages in conversation]"]
    lines += [f"{turn.role.capitalize()}: {turn.text}" for turn in window]
    return "\n".join(lines)


def read(answer: str) -> Label | None:
    """Read a classifier's answer; ``None`` where it says nothing."""
    tags: dict[str, str] = {}
    bare: list[str] = []
    for token in _THOUGHTS.sub(" ", answer).lower().split():
        key, equals, value = token.partition("=")
        key, value = _word(key), _word(value)
        if equals and key and value:
            tags.setdefault(key, value)
        elif key:
            bare.append(key)
    if not tags and not bare:
        return None
    if "tier" in tags:
        return Label(tags["tier"], bare=False, tags=tags)
    return Label(bare[0] if bare else DEFAULT_LABEL, bare=bool(bare), tags=tags)


def _word(token: str) -> str:
    """Drop the punctuation around a token, and whatever cannot stand in a header."""
    word = _PUNCTUATION.sub("", token)[:LONGEST_LABEL]
    return "".join(c if "!" <= c <= "~" else "?" for c in word)
