"""Whether a prompt fits a tier's context window, found out with as little work as possible."""

from __future__ import annotations

import math

import msgspec

from lmgw.config.snapshot import Tier
from lmgw.core.ask import Ask, Prompt
from lmgw.core.steps import Measure

#: What a message and an image cost besides their text, in tokens.
TOKENS_A_MESSAGE, TOKENS_AN_IMAGE = 4, 1500
#: UTF-8's; encoding megabytes only to measure them would hold the reactor.
MOST_BYTES_A_CHARACTER = 4
#: Counting goes on as far as this where no window is larger, so that an error can say how long the prompt is.
COUNTED_AT_LEAST = 200_000


class Unmeasured(Exception):
    """Bytes alone do not decide: the tokens must be counted first."""


class PromptSize(msgspec.Struct):
    """The size of one request's prompt, in tokens: bounds first, the count only where they do not decide.

    ``_largest`` is the largest window of the configuration: nothing need be counted beyond it.
    """

    _ask: Ask
    _largest: int
    _prompt: Prompt | None = None
    _counted: int | None = None
    _atmost: float = math.inf
    _bytes_looked_at: bool = False
    _text_looked_at: bool = False

    @property
    def _enough(self) -> int:
        return max(self._largest, COUNTED_AT_LEAST)

    @property
    def prompt(self) -> Prompt:
        """The prompt itself, read at the first use. Raises :class:`~lmgw.errors.GatewayError` for a malformed body."""
        if self._prompt is None:
            self._prompt = self._ask.prompt()
        return self._prompt

    def fits(self, tier: Tier) -> bool:
        """Whether the tier's window takes the prompt. Raises :class:`Unmeasured` where only counting can tell."""
        window = tier.max_context_tokens
        if window is None:
            return True
        if self._counted is not None:
            return self.tokens <= window
        if self._within_bytes(window) or self._within_text(window):
            return True
        if _with_margin(self._overhead()) > window:
            return False
        raise Unmeasured

    def measure(self) -> Measure:
        """Return the step that counts the prompt."""
        return Measure(self.prompt.texts, self._enough)

    def count(self, tokens: int) -> None:
        """Take what was counted."""
        self._counted = tokens

    @property
    def tokens(self) -> int:
        """The estimate; of a prompt that was not counted, only what its messages and images cost."""
        return _with_margin((self._counted or 0) + self._overhead())

    @property
    def words(self) -> str:
        """The estimate as an error tells it."""
        if self._counted is None:
            return f"at least {self.tokens:,} tokens"
        if self._counted > self._enough:
            return f"more than {self._enough:,} tokens"
        return f"about {round(self.tokens, -2) or self.tokens:,} tokens"

    def _within_bytes(self, window: int) -> bool:
        """Whether the body itself is small enough: a text of n bytes has at most n tokens.

        A message's JSON is longer than what a message costs; only images can cost more than their bytes.
        """
        if not self._bytes_looked_at:
            atmost = _with_margin(self._ask.size)
            if atmost > window:
                return False
            self._bytes_looked_at = True
            if not self._ask.may_hold_images():
                self._atmost = atmost
        return self._atmost <= window

    def _within_text(self, window: int) -> bool:
        """Whether the prompt's texts alone are small enough; a body may be mostly images."""
        if not self._text_looked_at:
            self._text_looked_at = True
            size = sum(len(text) * (1 if text.isascii() else MOST_BYTES_A_CHARACTER) for text in self.prompt.texts)
            self._atmost = min(self._atmost, _with_margin(size + self._overhead()))
        return self._atmost <= window

    def _overhead(self) -> int:
        return self.prompt.messages * TOKENS_A_MESSAGE + self.prompt.images * TOKENS_AN_IMAGE


def _with_margin(tokens: int) -> int:
    """Add a tenth for what nobody can see: templates, the tokenizer's differences."""
    return -(-tokens * 11 // 10)
