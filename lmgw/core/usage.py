"""What an answer cost: tokens measured or estimated, and dollars where prices are known."""

from __future__ import annotations

from math import ceil

import msgspec

from lmgw.config.snapshot import Tier
from lmgw.wire.events import Usage
from lmgw.wire.progress import Progress

#: Characters a token, for estimates of output: on the low side of English, so that estimates err high.
CHARS_PER_TOKEN = 3.5

_NOTHING = Usage()


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Tokens of disjoint kinds; ``source`` is ``measured`` (the provider said so) or ``estimated``."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    source: str = "measured"

    @property
    def any(self) -> bool:
        """Whether there is anything to pay for."""
        return bool(self.input or self.output or self.cache_read or self.cache_write)


def tokens(progress: Progress, prompt_bytes: int) -> Tokens:
    """Take the provider's figures, else estimate from ``prompt_bytes`` and the characters that came.

    Of an answer that broke off the figures so far are too low (Anthropic's stream starts with an output of 1 or so).
    """
    usage = progress.usage
    if usage is not None and usage != _NOTHING:
        if progress.finish is None and (came := ceil(progress.chars / CHARS_PER_TOKEN)) > usage.output:
            return Tokens(usage.input, came, usage.cache_read, usage.cache_write, "estimated")
        return Tokens(usage.input, usage.output, usage.cache_read, usage.cache_write)
    if not progress.content:
        return Tokens(source="estimated")
    output = ceil(progress.chars / CHARS_PER_TOKEN)
    return Tokens(ceil(prompt_bytes / CHARS_PER_TOKEN), output, source="estimated")


def cost_usd(tier: Tier, used: Tokens) -> float | None:
    """US dollars for these tokens; ``None`` (unknown, not zero) where a kind that was used has no price."""
    into, out = tier.input_price, tier.output_price
    if (into is None and (out is None or used.input)) or (out is None and used.output):
        return None
    millionths = used.input * (into or 0.0) + used.output * (out or 0.0)
    if used.cache_read or used.cache_write:
        read = into if tier.cache_read_price is None else tier.cache_read_price
        write = into if tier.cache_write_price is None else tier.cache_write_price
        if (read is None and used.cache_read) or (write is None and used.cache_write):
            return None
        millionths += used.cache_read * (read or 0.0) + used.cache_write * (write or 0.0)
    return millionths / 1e6
