"""What a session decided, and why: for the response's headers, the traffic entry and ``/admin/explain``."""

from __future__ import annotations

from typing import Literal

import msgspec

from lmgw.config.snapshot import Mode, Tier
from lmgw.core.record import WORDS_KEPT, Reason, TriedTier, milliseconds
from lmgw.core.routes import Routes, line


class Trace(msgspec.Struct):
    """The route of one request so far.

    :ivar profiles: the profile that the request named (or its key has), then those that rules led to.
    :ivar requested: the model hint as it came.
    :ivar label: the class label, ``None`` where nothing was classified.
    :ivar tier: the tier of the current or last attempt.
    :ivar escalated: an answer was judged insufficient and a higher tier asked; ``exhausted``: none was sufficient.
    :ivar fallback: why the profile chose although the request named a model (``unknown-model``).
    """

    _routes: Routes
    requested: str | None
    priority: int
    profiles: tuple[str, ...] = ()
    mode: Mode = Mode.DISPATCH
    label: str | None = None
    tier: Tier | None = None
    attempts: tuple[TriedTier, ...] = ()
    escalated: bool | Literal["exhausted"] = False
    overflowed: bool = False
    fallback: str | None = None
    reasons: tuple[Reason, ...] = ()

    def skipped(self, tier: Tier, why: str) -> None:
        """This tier would have been next, but for ``why``; said once."""
        reason = Reason(tier.name, False, why)
        if reason not in self.reasons:
            self.reasons += (reason,)

    def tried(self, tier: Tier, status: int, error: str | None, latency_s: float) -> None:
        """An attempt was decided."""
        words = None if error is None else error[:WORDS_KEPT]
        self.attempts += (TriedTier(tier.name, tier.backend, status, words, milliseconds(latency_s)),)

    def broke(self, error: str) -> None:
        """The answer that was being relayed broke off."""
        last = self.attempts[-1]
        broken = TriedTier(last.tier, last.backend, last.status, error[:WORDS_KEPT], last.latency_ms)
        self.attempts = (*self.attempts[:-1], broken)

    def lines(self) -> bytes:
        """Return the lines of the ``X-LMG-*`` headers of routing, to be sent at the commit or with the error."""
        lines = self.profile_line()
        if self.tier is not None:
            lines = self._routes.tier_lines[self.tier.name] + lines
        if self.label is not None:
            lines += line("Class", self.label)
        if len(self.attempts) > 1:
            lines += b"X-LMG-Attempts: %d\r\n" % len(self.attempts)
        if self.escalated:
            lines += line("Escalated", "true" if self.escalated is True else "exhausted")
        if self.overflowed:
            lines += line("Overflowed", "true")
        if self.fallback is not None:
            lines += line("Fallback", self.fallback)
        return lines

    def profile_line(self) -> bytes:
        """Return the header line that names the profiles, if there is one yet."""
        if len(self.profiles) == 1:
            return self._routes.profile_lines[self.profiles[0]]
        return line("Profile", " -> ".join(self.profiles)) if self.profiles else b""
