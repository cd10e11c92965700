"""Whether an answer is good enough, or a more capable tier should be asked."""

from __future__ import annotations

from enum import Enum

from lmgw.config.snapshot import Profile
from lmgw.wire.progress import TEXT_KEPT, Progress


class Judgement(Enum):
    """What is known of an answer's worth."""

    OPEN = "open"
    SUFFICIENT = "sufficient"
    INSUFFICIENT = "insufficient"


class Jury:
    """One profile's measure of an answer; made once at load.

    :ivar peek: characters of text in which a refusal counts.
    """

    __slots__ = ("_least", "_refusals", "peek")

    def __init__(self, profile: Profile) -> None:
        self.peek = min(profile.escalate_peek_chars, TEXT_KEPT)
        self._least = min(profile.escalate_min_chars, TEXT_KEPT)
        self._refusals = tuple(_plain(phrase) for phrase in profile.refusals)

    def so_far(self, progress: Progress) -> Judgement:
        """Judge an answer that still comes: decided by a tool call, a finish, or enough text for the peek."""
        if progress.tool_call:
            return Judgement.SUFFICIENT
        if progress.finish is not None:
            return self.final(progress)
        text = progress.text.strip()
        if len(progress.text) < TEXT_KEPT and len(text) < max(self.peek, self._least):
            return Judgement.OPEN
        return self._worth(text)

    def final(self, progress: Progress) -> Judgement:
        """Judge an answer that is complete."""
        text = progress.text.strip()
        if progress.finish == "content_filter":
            return Judgement.INSUFFICIENT
        if progress.finish == "length":  # cut off by a limit that a larger model would meet as well
            return Judgement.SUFFICIENT if text and not self._refuses(text) else Judgement.INSUFFICIENT
        return Judgement.SUFFICIENT if progress.tool_call else self._worth(text)

    def _worth(self, text: str) -> Judgement:
        enough = len(text) >= self._least and not self._refuses(text)
        return Judgement.SUFFICIENT if enough else Judgement.INSUFFICIENT

    def _refuses(self, text: str) -> bool:
        begin = _plain(text[: self.peek])
        return any(phrase in begin for phrase in self._refusals)


def _plain(text: str) -> str:
    return text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
