"""From a classifier's label to a place: the rules of a profile, else its ladder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lmgw.config.snapshot import Rule, Tier
from lmgw.core.classify import Label

#: Labels that mean a place on the ladder where no tier is named so: its first, middle and last tier.
FIRST, MIDDLE, LAST = ("simple", "instant"), ("moderate", "fast"), ("complex", "deep")


def matching(rules: Sequence[Rule], label: Label) -> Iterator[Rule]:
    """Yield the rules whose ``when`` pairs all match, in the order they are tried."""
    for rule in rules:
        if all(label.has(tag, value) for tag, value in rule.when.items()):
            yield rule


def rung(ladder: Sequence[Tier], label: Label) -> int:
    """Return the index of the ladder's tier that the label means: by name, by the part after ``:``, by its sense.

    A label nobody knows means the middle.
    """
    names = [tier.name.lower() for tier in ladder]
    for wanted in dict.fromkeys((label.written, label.tier)):
        if wanted in names:
            return names.index(wanted)
        parts = [name.rpartition(":")[2] for name in names]
        if wanted in parts:
            return parts.index(wanted)
    if label.tier in FIRST:
        return 0
    if label.tier in LAST:
        return len(ladder) - 1
    return len(ladder) // 2
