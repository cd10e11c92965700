"""Who a request is from, as far as routing and queueing care."""

from __future__ import annotations

from dataclasses import dataclass, field

from lmgw.config.snapshot import Client


@dataclass(frozen=True, slots=True)
class Identity:
    """What a caller may do; :class:`~lmgw.core.auth.Doorman` builds one a client at load.

    :ivar client: the client whose key was shown; ``None`` for strangers.
    :ivar profile: the profile used where the request names none.
    :ivar may_name: profiles that the request may name as its model; ``None`` is all.
    :ivar tiers: tiers that it may name and be routed to; ``None`` is all.
    :ivar name: shown in traffic and metrics.
    :ivar authenticated: whether a key of ``[[clients]]`` was shown.
    :ivar named_tiers: tiers that it may name, itself or by an alias, never others than ``tiers``; ``None`` is all.
    :ivar priority: the priority in the queues where the request asks for none.
    """

    client: Client | None
    profile: str
    may_name: frozenset[str] | None
    tiers: frozenset[str] | None
    name: str
    authenticated: bool
    named_tiers: frozenset[str] | None = None
    priority: int = field(init=False)

    def __post_init__(self) -> None:
        client, tiers, named = self.client, self.tiers, self.named_tiers
        if tiers is not None:
            object.__setattr__(self, "named_tiers", tiers if named is None else tiers & named)
        priority = 0 if client is None else min(client.default_priority, client.priority_ceiling)
        object.__setattr__(self, "priority", priority)

    def may_use(self, tier: str) -> bool:
        """Whether this tier may serve the caller."""
        return self.tiers is None or tier in self.tiers

    def may_ask_for(self, tier: str) -> bool:
        """Whether the caller may name this tier, itself or by an alias."""
        return self.named_tiers is None or tier in self.named_tiers


def effective_priority(identity: Identity, asked: int, *, auth_required: bool) -> int:
    """Return the priority in the queues that a request gets which asks for one: never above its client's ceiling.

    Strangers get at most 0 where ``[[clients]]`` are configured, and what they ask for where nobody has a key.
    """
    if identity.client is not None:
        return min(asked, identity.client.priority_ceiling)
    return min(asked, 0) if auth_required else asked
