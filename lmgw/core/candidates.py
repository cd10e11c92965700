"""Which tier next: the order in which one request may try them, and why each was passed over."""

from __future__ import annotations

import math
from typing import Protocol

from lmgw.config.snapshot import Tier
from lmgw.core.fit import PromptSize
from lmgw.core.identity import Identity
from lmgw.core.record import Reason
from lmgw.core.routes import Choice, Routes, above
from lmgw.core.trace import Trace
from lmgw.errors import ContextTooLong, GatewayError, Unavailable

#: Why a tier is passed over that does not do its part.
CIRCUIT_OPEN = "its circuit is open after repeated failures"


class Health(Protocol):
    """What is known of backends and tiers; times are seconds of the session's clock."""

    def available(self, tier: Tier, now: float) -> bool:
        """Whether this tier may be called: its backend's key is set, and the circuits let a request through."""

    def open_until(self, tier: Tier) -> float | None:
        """When the circuits will let one through; ``None`` where they do."""

    def key_missing(self, backend: str) -> bool:
        """Whether the backend's key is not set, so that it must not be called."""


class Course:
    """The tiers that one request may try, from a first choice on; every tier is chosen at most once.

    :ivar current: the tier chosen last.
    """

    __slots__ = (
        "_choice",
        "_failover",
        "_health",
        "_identity",
        "_next",
        "_routes",
        "_size",
        "_trace",
        "_tried",
        "current",
    )

    def __init__(
        self, routes: Routes, identity: Identity, health: Health, trace: Trace, size: PromptSize, choice: Choice
    ) -> None:
        self._routes = routes
        self._identity = identity
        self._health = health
        self._trace = trace
        self._size = size
        self._choice = choice
        self.current = choice.tier
        # The index of the next rung up, and the failover list that counts:
        self._next = choice.rung
        self._failover = choice.failover
        self._tried: set[str] = set()

    def begun(self) -> Course:
        """The same where the first choice has been tried already."""
        self._tried.add(self.current.name)
        return self

    # Each of these raises Unmeasured where the prompt must be counted first, and can then be called again.

    def first(self, now: float) -> Tier | None:
        """Return the tier to begin with: the first choice, unless it is too small or cannot be used now.

        Raises :class:`~lmgw.errors.ContextTooLong` where no tier that the request may use takes the prompt.
        """
        choice = self._choice
        if not (choice.kept or self._fits(choice.tier)):
            return self._larger(now)
        if self._usable(choice.tier, now):
            return self._take(choice.tier, choice.why)
        return self.after_failure(now)

    def after_failure(self, now: float) -> Tier | None:
        """Return where a failed attempt goes: the failover list, then up the ladder, then to what was skipped."""
        why = f"{self.current.name} failed" if self._tried else f"{self._choice.tier.name} cannot be used"
        for tier in self._failover:
            if self._usable(tier, now) and self._fits(tier):
                return self._take(tier, f"{why}, the next of the failover list")
        rung = self._up(self._next, now) if self._choice.climbs else None
        if rung is not None:
            return self._climb(rung, f"{why}, the next tier up")
        if self._choice.explicit and self._is_last_resort(self._choice.tier):
            return self._take(self._choice.tier, "there is no other, although its circuit is open")
        return None

    def after_refusal(self, now: float) -> Tier | None:
        """Return the next tier up the ladder, after an answer that was not sufficient."""
        tier = self._up(self._above_current(), now)
        return tier and self._climb(tier, f"the answer of {self.current.name} was not sufficient")

    def can_climb(self, now: float) -> bool:
        """Whether there is a tier to go to after an answer that is not sufficient; to be weighed before."""
        return self._up(self._above_current(), now, note=False) is not None

    def weigh(self) -> None:
        """See to it that ``can_climb`` never needs a count: circuits that are open now may be closed by then."""
        for tier in self._choice.ladder[self._next :]:
            self._fits(tier, note=False)

    def may_repeat(self, now: float) -> bool:
        """Whether the current tier may be tried again: its circuit lets it, or nothing else could be tried."""
        if self._health.available(self.current, now):
            return True
        alone = not any(self._usable(tier, now, note=False) for tier in self._failover)
        return self._choice.explicit and self.current is self._choice.tier and alone

    def roomier(self, now: float) -> Tier | None:
        """Return the next tier with a larger window, after the upstream found the prompt too long."""
        return self._with_room(now, self.current)

    def overflow(self, now: float) -> Tier:
        """Return where a request goes that finds the current tier's queue too deep; the tier itself if nowhere."""
        full = self.current
        target = self._routes.tiers[full.overflow_tier] if full.overflow_tier else None
        if target is None or not self._usable(target, now) or not self._fits(target):
            return full
        self._tried.discard(full.name)  # it was not tried after all
        self._trace.overflowed = True
        return self._take(target, f"the queue of {full.name} is too deep")

    def again(self, tier: Tier, now: float) -> bool:
        """Choose a tier a second time, one that answered before; returns whether it can be used now."""
        self._tried.discard(tier.name)
        if not self._usable(tier, now):
            return False
        self._take(tier, "no other can answer, and its answer is better than none")
        return True

    def down(self, now: float) -> GatewayError:
        """Return the 503 for a request that no tier can take now."""
        tiers = [self._choice.tier, *(tier for tier in self._elsewhere() if tier is not self._choice.tier)]
        keyless = [tier for tier in tiers if self._health.key_missing(tier.backend)]
        waits = {tier.name: until - now for tier in tiers if (until := self._health.open_until(tier)) is not None}
        if len(keyless) == len(tiers) or not waits:
            return no_key((keyless or tiers)[0])
        wait_s = max(1, math.ceil(min(waits.values())))
        return Unavailable(
            f"{', '.join(waits)}: down after repeated failures; try again in {wait_s} s",
            headers=(("retry-after", str(wait_s)),),
        )

    def _larger(self, now: float) -> Tier | None:
        """Return a tier that takes a prompt which the first choice does not."""
        found = self._with_room(now, self._choice.tier)
        if found is not None or any(self._fits(tier, note=False) for tier in self._elsewhere()):
            return found
        if not self._choice.grows:
            raise self._too_long()
        for tier in sorted(
            self._choice.ladder, key=lambda tier: (tier.max_context_tokens or 0, tier.index), reverse=True
        ):
            if self._usable(tier, now):
                return self._climb(tier, f"the prompt is too long for the whole ladder: {tier.name} takes the most")
        return None

    def _with_room(self, now: float, small: Tier) -> Tier | None:
        """Return the next tier with a larger window than ``small``: up the ladder, then in the failover list."""
        window = small.max_context_tokens or 0
        why = f"the prompt is too long for {small.name}"
        for tier in self._elsewhere():
            if (tier.max_context_tokens or math.inf) > window and self._usable(tier, now) and self._fits(tier):
                return self._take(tier, why) if tier in self._failover else self._climb(tier, why)
        return None

    def _elsewhere(self) -> list[Tier]:
        """Return where a prompt may go for its length, the ladder first."""
        ladder = self._choice.ladder[self._next :] if self._choice.grows else ()
        return [tier for tier in (*ladder, *self._failover) if self._identity.may_use(tier.name)]

    def _up(self, rung: int, now: float, *, note: bool = True) -> Tier | None:
        """Return the first tier of the ladder, from index ``rung`` on, that can be used and fits."""
        for tier in self._choice.ladder[rung:]:
            if self._usable(tier, now, note=note) and self._fits(tier, note=note):
                return tier
        return None

    def _is_last_resort(self, tier: Tier) -> bool:
        """Whether a tier that was passed over for its circuit can be tried all the same."""
        return tier.name not in self._tried and not self._health.key_missing(tier.backend) and self._fits(tier)

    def _above_current(self) -> int:
        """Return where the ladder goes on above the current tier, which a failover may have put higher up."""
        return max(self._next, above(self._choice.ladder, self.current))

    def _climb(self, tier: Tier, why: str) -> Tier:
        """Take a tier of the ladder: from now on its place and its failover list count."""
        self._next = above(self._choice.ladder, tier)
        self._failover = self._routes.failover[tier.name]
        return self._take(tier, why)

    def _take(self, tier: Tier, why: str) -> Tier:
        self._tried.add(tier.name)
        self._trace.reasons += (Reason(tier.name, True, why),)
        self.current = tier
        return tier

    def _usable(self, tier: Tier, now: float, *, note: bool = True) -> bool:
        if tier.name in self._tried:
            return False
        if not self._identity.may_use(tier.name):
            why = "the caller's key may not use it"
        elif self._health.available(tier, now):
            return True
        else:
            why = "its backend's key is not set" if self._health.key_missing(tier.backend) else CIRCUIT_OPEN
        if note:
            self._trace.skipped(tier, why)
        return False

    def _fits(self, tier: Tier, *, note: bool = True) -> bool:
        if tier.max_context_tokens is None or not self._choice.sized or self._size.fits(tier):
            return True
        if note:
            self._trace.skipped(tier, f"it takes {tier.max_context_tokens:,} tokens, the prompt has {self._size.words}")
        return False

    def _too_long(self) -> ContextTooLong:
        """Return the 400 that says how long the prompt is, and who would take it."""
        tier, size = self._choice.tier, self._size
        said = f"prompt is too long: {size.words}, {tier.name} takes {tier.max_context_tokens:,}"
        others = [t.name for t in self._routes.tiers.values() if self._identity.may_ask_for(t.name) and size.fits(t)]
        advice = f"shorten it or name one of {', '.join(others[:5])}" if others else "no tier here takes it: shorten it"
        return ContextTooLong(f"{said}; {advice}", param="messages")


def no_key(tier: Tier) -> Unavailable:
    """Return the 503 for a tier whose backend has no key."""
    return Unavailable(
        f"{tier.name} is off: the key of its provider is not set on this gateway; its operator finds which on the "
        "admin port (/admin/health)",
        headers=(("x-should-retry", "false"),),
    )
