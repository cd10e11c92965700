"""What can go wrong with a provider, and what a caller may then see: both sides of the soak read this table."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: How a request tells the upstream, through whatever translation, what to do with it.
DIRECTIVE = re.compile(rb"soak (\w+) fault=(\w+) pieces=(\d+) pace=(\d+) pad=(\d+)\.")


@dataclass(frozen=True)
class Fault:
    """One way to answer.

    :ivar whole: statuses that the caller may see where the answer is not streamed; 200 means a good one.
    :ivar streamed: the same for streams; ``BROKEN`` means a 200 that breaks off after its first content.
    """

    whole: frozenset[int]
    streamed: frozenset[int]


#: Stands for a stream that ends with an error and does not look complete.
BROKEN = -1

GOOD = Fault(frozenset({200}), frozenset({200}))


def _before(*statuses: int) -> Fault:
    """It fails before there is any content."""
    return Fault(frozenset(statuses), frozenset(statuses))


def _amid(*statuses: int) -> Fault:
    """It fails in the middle of the answer."""
    return Fault(frozenset(statuses), frozenset({BROKEN}))


FAULTS = {
    "none": GOOD,
    # odd, but valid
    "drip": GOOD,
    "early_hints": GOOD,
    "close_after": GOOD,
    "by_close": GOOD,
    "extra_bytes": GOOD,
    "stale": GOOD,
    "large": GOOD,
    # refused by the provider
    "s400": _before(400),
    "s402": _before(402, 502, 503),
    "s403": _before(403),
    "s404": _before(404, 502),
    "s408": _before(408, 504, 502),
    "s429": _before(429),
    "s500": _before(500),
    "s502": _before(502),
    "s503": _before(503),
    "s529": _before(503, 529),
    "html": _before(502),
    "redirect": _before(502),
    # broken before there is any content
    "close": _before(502),
    "reset": _before(502),
    "half_head": _before(502),
    "garbage": _before(502),
    "two_lengths": _before(502),
    "huge_head": _before(502),
    "silence": _before(504),
    "no_json": _before(502),
    "error_in_200": _before(500, 502, 503),
    "empty": _before(502),
    # broken in the middle
    "cut": _amid(502),
    "reset_amid": _amid(502),
    "silence_amid": _amid(504),
    "garbage_amid": _amid(502),
    "error_amid": Fault(frozenset({500, 502, 503}), frozenset({BROKEN})),
}
