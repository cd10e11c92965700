"""One configuration made ready to route by: everything that does not depend on a request."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from operator import attrgetter

import msgspec

from lmgw.config.snapshot import Config, Profile, Tier
from lmgw.core.names import Names
from lmgw.core.prompts import system_text
from lmgw.core.record import Reason
from lmgw.core.sufficiency import Jury

#: Why a request begins with a tier.
NAMED = "named by the request"

_INDEX = attrgetter("index")


class Choice(msgspec.Struct, frozen=True):
    """The tier that a request begins with, one that its caller may use, and where it may go from there.

    :ivar reasons: its ``why`` as the trace has it.
    :ivar failover: the tiers that its ``failover`` list names.
    :ivar ladder: the rungs there are; ``rung`` is the index of the first above the tier.
    :ivar climbs: after a failure the ladder goes on (automatic modes).
    :ivar grows: a prompt that is too long may go up the ladder.
    :ivar explicit: the tier is tried even if its circuit is open, where nothing else is left.
    :ivar kept: it stays however long the prompt is; true of every tier without a window.
    :ivar sized: the prompt's length matters at all.
    """

    tier: Tier
    why: str
    reasons: tuple[Reason, ...]
    failover: tuple[Tier, ...]
    ladder: tuple[Tier, ...] = ()
    rung: int = 0
    climbs: bool = False
    grows: bool = False
    explicit: bool = False
    kept: bool = False
    sized: bool = True


class ProfileRoutes:
    """A profile with its names looked up.

    :ivar ladder: the tiers from the first to ``max_auto_tier``.
    :ivar rungs: the names of the ladder's tiers.
    :ivar dispatch: a tier's name to where a request that names it begins in ``dispatch`` mode.
    :ivar default: where one that names none does; ``None`` where the profile answers by itself.
    :ivar flagged: the names of the tiers that may be named only with ``X-LMG-Expert``.
    :ivar classifiers: the tiers that label requests, in the order they are asked.
    :ivar system: what goes before the client's system text where nothing was classified.
    """

    __slots__ = (
        "classifier",
        "classifiers",
        "default",
        "dispatch",
        "flagged",
        "jury",
        "ladder",
        "name",
        "names",
        "profile",
        "rungs",
        "system",
    )

    def __init__(self, profile: Profile, tiers: Mapping[str, Tier], failover: Mapping[str, tuple[Tier, ...]]) -> None:
        self.profile = profile
        self.name = profile.name
        self.names = (profile.name,)
        self.ladder = tuple(tiers[name] for name in profile.ladder)
        self.rungs = frozenset(profile.ladder)
        self.flagged = frozenset(tiers) - self.rungs if profile.expert_requires_flag else frozenset()
        self.classifier = tiers[profile.classifier] if profile.classifier else None
        self.default = None
        if self.classifier is not None:
            tier, why = self.classifier, f'the classifier of profile "{self.name}"'
            self.default = choice(tier, why, failover, self.ladder, grows=tier.name in self.rungs, explicit=True)
        # What is addressed to a tier leaves it only for what the operator wrote down.
        self.dispatch = {}
        for tier in tiers.values():
            ladder = self.from_rung(tier, self.ladder) if profile.ladder_written else ()
            self.dispatch[tier.name] = choice(tier, NAMED, failover, ladder, grows=bool(ladder), explicit=True)
        asked = dict.fromkeys(name for name in (profile.classifier, profile.classifier_fallback) if name)
        self.classifiers = tuple(tiers[name] for name in asked)
        self.jury = Jury(profile)
        self.system = system_text(profile, None)

    def from_rung(self, tier: Tier, ladder: tuple[Tier, ...]) -> tuple[Tier, ...]:
        """Return a ladder of this profile's from a tier on; nothing for a tier that is no rung."""
        return tuple(rung for rung in ladder if rung.index >= tier.index) if tier.name in self.rungs else ()


class Routes:
    """The index that every :class:`~lmgw.core.plan.RouteSession` of one configuration reads; built once at load.

    :ivar failover: a tier's name to the tiers that its ``failover`` list names.
    :ivar largest_window: the largest ``max_context_tokens`` of all tiers, 0 where none has one.
    :ivar tier_lines: a tier's name to the header lines that say what served; ``profile_lines``: a profile's to its own.
    """

    __slots__ = (
        "config",
        "failover",
        "largest_window",
        "max_retries",
        "names",
        "profile_lines",
        "profiles",
        "retry_delay_s",
        "tier_lines",
        "tiers",
    )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.names = Names(config)
        self.tiers = config.tiers
        self.failover = {
            name: tuple(config.tiers[other] for other in tier.failover) for name, tier in config.tiers.items()
        }
        self.profiles = {
            name: ProfileRoutes(profile, config.tiers, self.failover) for name, profile in config.profiles.items()
        }
        self.largest_window = max((tier.max_context_tokens or 0 for tier in config.tiers.values()), default=0)
        self.max_retries = config.gateway.max_retries
        self.retry_delay_s = config.gateway.retry_delay_ms / 1000
        self.tier_lines = {
            name: line("Tier", name) + line("Model", tier.model) + line("Backend", tier.backend)
            for name, tier in config.tiers.items()
        }
        self.profile_lines = {name: line("Profile", name) for name in config.profiles}


def choice(
    tier: Tier,
    why: str,
    failover: Mapping[str, tuple[Tier, ...]],
    ladder: tuple[Tier, ...] = (),
    *,
    kept: bool = False,
    **how: bool,
) -> Choice:
    """Return the choice of a tier with its own failover list; ``how`` are flags of :class:`Choice`."""
    kept = kept or tier.max_context_tokens is None
    reasons = (Reason(tier.name, True, why),)
    return Choice(tier, why, reasons, failover[tier.name], ladder, above(ladder, tier), kept=kept, **how)


def above(ladder: tuple[Tier, ...], tier: Tier) -> int:
    """Return the index of the first rung above a tier, whether or not the tier is a rung itself."""
    return bisect_right(ladder, tier.index, key=_INDEX)  # a ladder's tiers stand in their order


def line(name: str, text: str) -> bytes:
    """Return the line of an ``X-LMG-`` header; of a configured name visible ASCII, anything else as ``?``."""
    return f"X-LMG-{name}: {''.join(c if ' ' <= c <= '~' else '?' for c in text)}\r\n".encode("ascii")
