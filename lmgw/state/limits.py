"""The rate limits of addresses, clients and profiles; they outlive configurations."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Network

from lmgw.config.snapshot import Client, Profile
from lmgw.core.bucket import Buckets
from lmgw.errors import RateLimited


class Limits:
    """Token buckets by scope; every check raises :class:`~lmgw.errors.RateLimited` naming its scope."""

    def __init__(self) -> None:
        self._addresses = Buckets()
        self._clients = Buckets()
        self._profiles = Buckets()

    def address(self, peer: str, rpm: int, now: float) -> None:
        """Count a request of this address, together with those of its network."""
        if rpm:
            _take(self._addresses, network_of(peer), rpm, now, "ip", "your address")

    def client(self, client: Client, now: float) -> None:
        """Count a request of this client."""
        if client.rate_limit_rpm:
            _take(self._clients, client.name, client.rate_limit_rpm, now, "client", "this key")

    def profile(self, profile: Profile, now: float) -> None:
        """Count a request through this profile; all who use it share its limit."""
        if profile.rate_limit_rpm:
            _take(self._profiles, profile.name, profile.rate_limit_rpm, now, "profile", f"profile {profile.name}")


@lru_cache(maxsize=1024)
def network_of(peer: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 of an IPv6 one, which is one host's to use up."""
    try:
        return str(IPv6Network((peer.partition("%")[0], 64), strict=False)) if ":" in peer else peer
    except ValueError:
        return peer


def _take(buckets: Buckets, key: str, rpm: int, now: float, scope: str, who: str) -> None:
    refusal = buckets.take(key, rpm, now)
    if refusal is not None:
        raise RateLimited(
            f"Rate limit of {refusal.limit} requests a minute for {who} is used up; retry in {refusal.retry_after_s} s",
            retry_after_s=refusal.retry_after_s,
            scope=scope,
            limit=refusal.limit,
        )
