"""Counts tokens without holding the reactor: long texts in slices, with a turn of the event loop between them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lmgw.core.ask import Ask
from lmgw.core.fit import PromptSize
from lmgw.core.tokens import CalibratedEstimate

#: Characters counted at once: the exact counter takes 0.2 ms for English and 2 ms for the rarest of scripts.
SLICE = 8_192


@cache
def counter() -> Callable[[str], int]:
    """Return what counts a text's tokens: ``o200k_base`` with the ``tokens`` extra, else an estimate that errs high.

    The exact one takes 60 ms to load and 65 MB of memory. It holds the interpreter's lock: threads would not help.
    """
    try:
        from rs_bpe.bpe import openai
    except ImportError:
        return CalibratedEstimate().count
    exact: Callable[[str], int] = openai.o200k_base().count
    return exact


async def measure(reactor: IReactorTime, count: Callable[[str], int], texts: Iterable[str], enough: int) -> int:
    """Return how many tokens ``texts`` have together, or some number above ``enough`` once that is certain."""
    total = 0
    for piece in _slices(texts):
        total += count(piece)
        if total > enough:
            break
        if len(piece) == SLICE:
            await deferLater(reactor, 0)
    return total


async def estimate(reactor: IReactorTime, count: Callable[[str], int], ask: Ask) -> int:
    """Return about how many tokens a whole prompt has, rather too many.

    Raises :class:`~lmgw.errors.BadRequest` for a body that cannot be read.
    """
    size = PromptSize(ask, sys.maxsize)
    step = size.measure()
    size.count(await measure(reactor, count, step.texts, step.enough))
    return size.tokens


def _slices(texts: Iterable[str]) -> Iterator[str]:
    """Cut long texts and join short ones, so that every slice costs about the same."""
    gathered: list[str] = []
    size = 0
    for text in texts:
        while size + len(text) >= SLICE:
            cut = SLICE - size
            yield "".join([*gathered, text[:cut]])
            gathered, size, text = [], 0, text[cut:]
        gathered.append(text)
        size += len(text)
    yield "".join(gathered)
