"""Who is calling: from the two headers that carry a key to an :class:`~lmgw.core.identity.Identity`."""

from __future__ import annotations

from hashlib import sha256

from lmgw.config.snapshot import Client, Config
from lmgw.core.identity import Identity
from lmgw.errors import Unauthorized

#: Some tools recognise a wrong key only by OpenAI's own words, "Incorrect API key provided".
WRONG_KEY = "Incorrect API key provided: this gateway wants the key its operator gave you, not a provider's"
NO_KEY = "No API key: send the key this gateway's operator gave you as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"

DEFAULT_PROFILE = "default"


class Doorman:
    """Knows every client of one configuration; built once at load.

    Keys are looked up by their SHA-256 digest, so what the time of a look-up tells is about a digest that a caller
    cannot steer, never about a key.

    :ivar clients: every client of the configuration by its name, with a key or without.
    """

    __slots__ = ("_by_digest", "_stranger", "clients")

    def __init__(self, config: Config) -> None:
        known = [(client.key_sha256, _known(client)) for client in config.clients]
        self._by_digest = {bytes.fromhex(digest): identity for digest, identity in known if digest}
        self.clients = {identity.name: identity for _, identity in known}
        self._stranger: Identity | None = None
        if not config.auth_required:
            self._stranger = Identity(None, DEFAULT_PROFILE, None, None, "", False)
        elif config.gateway.public_profile is not None:
            public = config.profiles[config.gateway.public_profile]
            # Its rules and failover lists may lead further: the operator wrote those. Strangers' words may not.
            self._stranger = Identity(None, public.name, frozenset(), None, "public", False, frozenset(public.ladder))

    def identify(self, authorization: bytes | None, x_api_key: bytes | None) -> Identity:
        """Return who presents these headers; either may carry the key, and SDKs send both.

        Raises :class:`~lmgw.errors.Unauthorized` where keys are required, this is none, and there is no public profile.
        """
        if self._by_digest:
            for key in (_bearer(authorization), x_api_key):
                if key and (identity := self._by_digest.get(sha256(key).digest())) is not None:
                    return identity
        if self._stranger is not None:
            return self._stranger
        raise Unauthorized(WRONG_KEY if _bearer(authorization) or x_api_key else NO_KEY)


def _bearer(authorization: bytes | None) -> bytes | None:
    if authorization is None or (authorization[:7] != b"Bearer " and authorization[:7].lower() != b"bearer "):
        return None
    return authorization[7:].strip()


def _known(client: Client) -> Identity:
    may_name = None if "*" in client.profiles else frozenset((client.profile, *client.profiles))
    return Identity(client, client.profile, may_name, frozenset(client.tiers) or None, client.name, True)
