"""Who is calling: keys in either header, strangers, and what each may name."""

import hashlib

import pytest

from lmgw.config.snapshot import Client, Config, Gateway, Profile
from lmgw.core.auth import Doorman
from lmgw.core.identity import Identity
from lmgw.errors import Unauthorized


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


ALICE = Client(name="alice", profile="team", key_env="ALICE_KEY", key_sha256=digest("sk-alice"), tiers=("local:fast",))
BOB = Client(name="bob", profile="team", key_sha256=digest("sk-bob"), profiles=("*",))
LOST = Client(name="lost", profile="team", key_env="LOST_KEY", key_sha256=None)


def doorman(*clients: Client, public: str | None = None) -> Doorman:
    guests = Profile("guests", ladder=("local:fast", "local:deep"))
    gateway = Gateway(public_profile=public)
    return Doorman(Config(clients=clients, auth_required=bool(clients), gateway=gateway, profiles={"guests": guests}))


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "name"),
    [
        (b"Bearer sk-alice", None, "alice"),
        (b"bearer   sk-alice ", None, "alice"),
        (None, b"sk-alice", "alice"),
        (b"Bearer sk-ant-of-a-provider", b"sk-bob", "bob"),
        (b"Basic c2stYWxpY2U6", b"sk-bob", "bob"),
    ],
)
def test_a_key_in_either_header_names_its_client(authorization, x_api_key, name):
    assert doorman(ALICE, BOB).identify(authorization, x_api_key).name == name


@pytest.mark.parametrize(
    ("authorization", "words"),
    [(b"Bearer sk-other", "Incorrect API key provided"), (None, "No API key"), (b"Bearer ", "No API key")],
)
def test_a_wrong_key_and_no_key_are_told_apart(authorization, words):
    with pytest.raises(Unauthorized, match=words) as caught:
        doorman(ALICE).identify(authorization, None)
    assert ("www-authenticate", 'Bearer realm="lm-gateway"') in caught.value.headers
    assert "sk-other" not in str(caught.value)


def test_without_clients_everybody_gets_the_default_profile_and_may_name_any():
    identity = doorman().identify(b"Bearer whatever", None)
    assert (identity.profile, identity.may_name, identity.authenticated) == ("default", None, False)


def test_clients_present_means_auth_is_on_even_if_none_of_them_resolves():
    with pytest.raises(Unauthorized):
        doorman(LOST).identify(b"Bearer ", None)
    with pytest.raises(Unauthorized):
        doorman(LOST).identify(None, None)


@pytest.mark.parametrize("authorization", [None, b"Bearer sk-unknown"])
def test_a_public_profile_takes_strangers_who_may_name_no_profile(authorization):
    identity = doorman(ALICE, public="guests").identify(authorization, None)
    assert (identity.profile, identity.may_name, identity.authenticated) == ("guests", frozenset(), False)


def test_strangers_may_name_the_tiers_of_the_public_profiles_ladder_and_be_led_to_others():
    identity = doorman(ALICE, public="guests").identify(None, None)
    tiers = ("local:fast", "local:deep", "cloud:big")
    assert [identity.may_ask_for(tier) for tier in tiers] == [True, True, False]
    assert all(identity.may_use(tier) for tier in tiers)


@pytest.mark.parametrize(
    ("tiers", "named", "may_ask_for"),
    [
        ("abc", "ab", "ab"),
        ("ab", "bc", "b"),
        ("ab", None, "ab"),
        (None, "ab", "ab"),
        (None, None, "abc"),
        ("", "a", ""),
    ],
)
def test_what_may_not_be_used_may_not_be_named_either(tiers, named, may_ask_for):
    tiers, named = (None if names is None else frozenset(names) for names in (tiers, named))
    identity = Identity(None, "default", None, tiers, "", False, named)
    assert [tier for tier in "abc" if identity.may_ask_for(tier)] == list(may_ask_for)


def test_a_client_may_name_its_own_profile_and_those_it_lists():
    listed = Client(name="c", profile="team", key_sha256=digest("k"), profiles=("auto",))
    assert doorman(listed).identify(b"Bearer k", None).may_name == {"team", "auto"}
    assert doorman(BOB).identify(b"Bearer sk-bob", None).may_name is None


def test_a_clients_tiers_are_its_allow_list_and_empty_means_all():
    assert doorman(ALICE).identify(None, b"sk-alice").tiers == {"local:fast"}
    assert doorman(BOB).identify(None, b"sk-bob").tiers is None
