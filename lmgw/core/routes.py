"""One configuration made ready to route by: everything that does not depend on a request."""

from __future__ import annotations

from collections.abc import Mapping

from lmgw.config.snapshot import Config, Profile, Tier
from lmgw.core.names import Names
from lmgw.core.prompts import system_text
from lmgw.core.sufficiency import Jury

Headers = tuple[tuple[bytes, bytes], ...]


class ProfileRoutes:
    """A profile with its names looked up.

    :ivar ladder: the tiers from the first to ``max_auto_tier``.
    :ivar rungs: the names of the ladder's tiers.
    :ivar upward: a rung's name to the ladder from there on.
    :ivar classifiers: the tiers that label requests, in the order they are asked.
    :ivar system: what goes before the client's system text where nothing was classified.
    """

    __slots__ = ("classifier", "classifiers", "jury", "ladder", "name", "profile", "rungs", "system", "upward")

    def __init__(self, profile: Profile, tiers: Mapping[str, Tier]) -> None:
        self.profile = profile
        self.name = profile.name
        self.ladder = tuple(tiers[name] for name in profile.ladder)
        self.rungs = frozenset(profile.ladder)
        self.upward = {name: self.ladder[rung:] for rung, name in enumerate(profile.ladder)}
        self.classifier = tiers[profile.classifier] if profile.classifier else None
        asked = dict.fromkeys(name for name in (profile.classifier, profile.classifier_fallback) if name)
        self.classifiers = tuple(tiers[name] for name in asked)
        self.jury = Jury(profile)
        self.system = system_text(profile, None)


class Routes:
    """The index that every :class:`~lmgw.core.plan.RouteSession` of one configuration reads; built once at load.

    :ivar failover: a tier's name to the tiers that its ``failover`` list names.
    :ivar largest_window: the largest ``max_context_tokens`` of all tiers, 0 where none has one.
    :ivar tier_headers: a tier's name to the response headers that say what served.
    """

    __slots__ = (
        "config",
        "failover",
        "largest_window",
        "max_retries",
        "names",
        "profile_headers",
        "profiles",
        "retry_delay_s",
        "tier_headers",
        "tiers",
    )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.names = Names(config)
        self.tiers = config.tiers
        self.profiles = {name: ProfileRoutes(profile, config.tiers) for name, profile in config.profiles.items()}
        self.failover = {
            name: tuple(config.tiers[other] for other in tier.failover) for name, tier in config.tiers.items()
        }
        self.largest_window = max((tier.max_context_tokens or 0 for tier in config.tiers.values()), default=0)
        self.max_retries = config.gateway.max_retries
        self.retry_delay_s = config.gateway.retry_delay_ms / 1000
        self.tier_headers: dict[str, Headers] = {
            name: (
                (b"X-LMG-Tier", header_value(name)),
                (b"X-LMG-Model", header_value(tier.model)),
                (b"X-LMG-Backend", header_value(tier.backend)),
            )
            for name, tier in config.tiers.items()
        }
        self.profile_headers = {name: (b"X-LMG-Profile", header_value(name)) for name in config.profiles}


def header_value(text: str) -> bytes:
    """Return a configured name as a header can carry it: visible ASCII, anything else as ``?``."""
    return "".join(c if " " <= c <= "~" else "?" for c in text).encode("ascii")
