"""What tables must say, and say of each other: each mistake in its words."""

from __future__ import annotations

import pytest

from lmgw.config.references import circles

#: What is wrong behind one good backend and tier (``one``, ``local:fast``), and every problem that is told.
MISTAKES = {
    # unknown keys
    "colour = 1": ["colour: unknown key"],
    "client_port = 1": ["client_port: unknown key here; it belongs to [gateway]"],
    "[backend.x]": ['backend: unknown key; did you mean "backends"?'],
    '[backends.one]\napi_key = "x"': ['backends.one.api_key: unknown key; did you mean "api_key_env"?'],
    '[[tiers]]\nname = "cloud:capable"\nbackend = "one"\nmodle = "m"': [
        'tiers["cloud:capable"].modle: unknown key; did you mean "model"?',
        'tiers["cloud:capable"].model: required: a name',
    ],
    '[gateway]\n"a b" = 1': ['gateway["a b"]: unknown key'],
    # shapes
    "gateway = 1": ["gateway: expected a table: write [gateway], found a number"],
    '[profiles]\ndefault = "x"': ["profiles.default: expected a table: write [profiles.NAME]"],
    "[[profiles]]": ["profiles: expected tables: write [profiles.NAME], found a list"],
    '[clients]\nkey_env = "A"': ["clients: expected an array of tables: write [[clients]], found a table"],
    "[gateway]\ncors_origins = 'https://x'": ['gateway.cors_origins: expected a list, ["..."]'],
    '[gateway]\ncors_origins = ["https://x", 3]': [
        "gateway.cors_origins[#2]: expected an origin such as "
        '"https://chat.example.com", without a path, found a number'
    ],
    "[[gateway.cors_origins]]\na = 1": ["gateway.cors_origins: expected a list, found a list"],
    "[backends.x]\nbase_url = 'http://h'\nheaders = 'a'": ["backends.x.headers: expected a table"],
    '[profiles.p]\nclassifier = "local:fast"\nthinking_messages = { "local:fast" = "x" }': [
        'profiles.p.thinking_messages["local:fast"]: expected a list, ["..."]'
    ],
    # names
    '["backends"."gr\u00fcn"]\nbase_url = "http://h"': [
        "backends[***]: its name: "
        "expected a name of 1 to 128 printable ASCII characters (it stands in response headers)"
    ],
    # backends
    "[backends.x]": ["backends.x.base_url: required: the provider's address"],
    '[backends.x]\nprovider = "ollama"\nbase_url = "http://h/api"': [
        "backends.x.base_url: this names a route: write the address that comes before /api"
    ],
    '[backends.x]\nbase_url = "http://h"\napi_key_secret = { source = "env" }': [
        "backends.x.api_key_secret.var: required: the environment variable that holds the key"
    ],
    '[backends.x]\nbase_url = "http://h"\napi_key_secret = { var = "X" }': [
        "backends.x.api_key_secret.source: required: one of env, file"
    ],
    '[backends.x]\nbase_url = "http://h"\nca_file = "nowhere.pem"': [
        "backends.x.ca_file: this file cannot be read: No such file or directory"
    ],
    '[backends.x]\nbase_url = "http://h"\nca_file = "config.toml"': [
        "backends.x.ca_file: this file holds no PEM certificate"
    ],
    # tiers
    "[[tiers]]": [
        "tiers[#2].name: required: a name",
        "tiers[#2].backend: required: a backend",
        "tiers[#2].model: required: a name",
    ],
    '[[tiers]]\nname = "local:fast"\nbackend = "one"\nmodel = "m"': [
        'tiers["local:fast"].name: a second tier of this name'
    ],
    '[[tiers]]\nname = "t"\nbackend = "ones"\nmodel = "m"': [
        'tiers["t"].backend: there is no backend "ones"; did you mean "one"?'
    ],
    '[[tiers]]\nname = "t"\nbackend = "one"\nmodel = "m"\nfailover = ["t", "nix"]': [
        'tiers["t"].failover[#2]: there is no tier or alias "nix"',
        'tiers["t"].failover: a tier cannot stand in for itself',
    ],
    '[[tiers]]\nname = "t"\nbackend = "one"\nmodel = "m"\ncapabilities = { thinkin = "none" }': [
        'tiers["t"].capabilities.thinkin: unknown key; did you mean "thinking"?'
    ],
    # aliases
    '[aliases]\na = "local:slow"': ['aliases.a: there is no tier "local:slow"; did you mean "local:fast"?'],
    '[aliases]\na = "b"\nb = "local:fast"': ["aliases.a: an alias stands for a tier, not for another alias"],
    '[aliases]\n"local:fast" = "local:fast"': ['aliases["local:fast"]: a tier has this name: rename the alias'],
    # profiles
    "[profiles.p]": ["profiles.p.classifier: required, but for mode reply: a tier or alias"],
    '[profiles.p]\nmode = "bogus"': ["profiles.p.mode: expected one of dispatch, escalate, classify, reply"],
    '[profiles.p]\nclassifier = "x"\nmax_auto_tier = "y"\nclassifier_fallback = "z"': [
        'profiles.p.classifier: there is no tier or alias "x"',
        'profiles.p.max_auto_tier: there is no tier or alias "y"',
        'profiles.p.classifier_fallback: there is no tier or alias "z"',
    ],
    '[profiles.p]\nclassifier = "local:fast"\nrules = [{ route_to = "p2" }]': [
        "profiles.p.rules[#1].when: required: a table",
        'profiles.p.rules[#1].route_to: there is no tier, alias or profile "p2"; did you mean "p"?',
    ],
    '[profiles.p]\nclassifier = "local:fast"\nthinking_messages = { x = ["a"] }': [
        'profiles.p.thinking_messages.x: there is no tier or alias "x"'
    ],
    '[profiles.p]\nclassifier = "local:fast"\nrefusals = ["no", " "]': [
        "profiles.p.refusals[#2]: empty text is in every answer: take it out"
    ],
    # clients
    '[[clients]]\nprofile = "default"': ["clients[#1].key_env: expected either key_env or key_sha256"],
    f'[[clients]]\nprofile = "default"\nkey_env = "A"\nkey_sha256 = "{"a" * 64}"': [
        'clients["A"].key_env: expected either key_env or key_sha256'
    ],
    '[[clients]]\nkey_env = "A"': ['clients["A"].profile: required: a profile'],
    '[[clients]]\nkey_env = "A"\nprofile = "p"\nprofiles = ["q", "*"]\ntiers = ["t"]': [
        'clients["A"].profile: there is no profile "p"',
        'clients["A"].profiles[#1]: there is no profile or * "q"',
        'clients["A"].tiers[#1]: there is no tier or alias "t"',
    ],
    '[[clients]]\nname = "a"\nkey_env = "A"\nprofile = "default"\n'
    '[[clients]]\nname = "a"\nkey_env = "B"\nprofile = "default"': ['clients["a"].name: a second client of this name'],
    '[[clients]]\nkey_env = "A"\nprofile = "default"\n[[clients]]\nname = "A"\nkey_env = "B"\nprofile = "default"': [
        'clients["A"].name: a second client of this name'
    ],
    # gateway
    '[gateway]\npublic_profile = "p"': ['gateway.public_profile: there is no profile "p"'],
    "[gateway]\nclient_port = 5000\nadmin_port = 5000": [
        "gateway.admin_port: must differ from client_port: clients have no business on it"
    ],
    "[gateway]\nclient_port = 8081": [
        "gateway.admin_port: must differ from client_port: clients have no business on it"
    ],
    '[gateway]\nclient_endpoint = "tcp:1"\nadmin_endpoint = "tcp:1"': [
        "gateway.admin_endpoint: must differ from client_endpoint"
    ],
}


@pytest.mark.parametrize(("text", "problems"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_each_mistake_is_told_in_its_words(problems_of, text, problems) -> None:
    # keys of the root come before all tables
    before = text + "\n" if "=" in text.split("\n")[0] and not text.startswith("[") else ""
    config = '[backends.one]\nbase_url = "http://h"\n[[tiers]]\nname = "local:fast"\nbackend = "one"\nmodel = "m"\n'
    if "[backends.one]" in text:
        config = text.replace("[backends.one]", '[backends.one]\nbase_url = "http://h"')
        text = ""
    told = problems_of(before + config + ("" if before else text))
    assert [line.removeprefix("config.toml: ").split(", found a table")[0] for line in told] == [
        problem.split(", found a table")[0] for problem in problems
    ]


def test_a_file_secret_is_refused_with_how_to_hand_it_over(problems_of) -> None:
    (problem,) = problems_of(
        '[backends.x]\nbase_url = "http://h"\napi_key_secret = { source = "file", path = "/run/s" }'
    )
    assert problem.startswith("config.toml: backends.x.api_key_secret.source: keys come from the environment only")
    assert "/run/secrets/FILE" in problem
    assert "$CREDENTIALS_DIRECTORY" in problem


def test_a_group_that_cannot_be_read_makes_no_further_noise(problems_of) -> None:
    text = '[tiers]\nname = "t"\n[aliases]\na = "t"\n[profiles.default]\nclassifier = "t"'
    assert problems_of(text) == ("config.toml: tiers: expected an array of tables: write [[tiers]], found a table",)


def test_a_table_with_another_mistake_still_exists_for_others(problems_of) -> None:
    text = '[backends.one]\nbase_url = "ftp://x"\n[[tiers]]\nname = "t"\nbackend = "one"\nmodel = 3\n[aliases]\na = "t"'
    assert [problem.split(": ")[1] for problem in problems_of(text)] == ["backends.one.base_url", 'tiers["t"].model']


def test_equal_ports_are_fine_where_they_are_free_or_not_used(load_text) -> None:
    load_text("[gateway]\nclient_port = 0\nadmin_port = 0")
    load_text('[gateway]\nclient_port = 1\nadmin_port = 1\nadmin_endpoint = "unix:/run/x"')


# --- circles -------------------------------------------------------------------------------------------------

TIERS = "".join(
    f'[[tiers]]\nname = "{name}"\nbackend = "one"\nmodel = "m"\noverflow_tier = "{over}"\noverflow_depth = 1\n'
    for name, over in (("a", "hint:b"), ("b", "c"), ("c", "a"))
)


def test_an_overflow_circle_is_printed_through_aliases(problems_of) -> None:
    text = '[backends.one]\nbase_url = "http://h"\n' + TIERS + '[aliases]\n"hint:b" = "b"'
    assert problems_of(text) == ('config.toml: tiers["a"].overflow_tier: goes round in a circle: a -> b -> c -> a',)


def test_a_route_circle_is_printed(problems_of) -> None:
    text = "".join(
        f'[profiles.{name}]\nclassifier = "local:fast"\n[[profiles.{name}.rules]]\nwhen = {{}}\nroute_to = "{target}"\n'
        for name, target in (("auto", "code"), ("code", "auto"))
    )
    assert problems_of(text, tier=True) == (
        "config.toml: profiles.auto.rules: route_to goes round in a circle: auto -> code -> auto",
    )


def test_a_tier_wins_over_a_profile_of_its_name_so_there_is_no_circle(load_text) -> None:
    config = load_text(
        '[profiles."local:fast"]\nclassifier = "local:fast"\n'
        '[[profiles."local:fast".rules]]\nwhen = {}\nroute_to = "local:fast"',
        tier=True,
    )
    (rule,) = config.profiles["local:fast"].rules
    assert not rule.to_profile


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({}, []),
        ({"a": ["b"], "b": []}, []),
        ({"a": ["a"]}, [["a", "a"]]),
        ({"x": ["a"], "a": ["b"], "b": ["a"]}, [["a", "b", "a"]]),
        ({"a": ["b", "c"], "b": ["c"], "c": ["a"]}, [["a", "b", "c", "a"]]),
        ({"a": ["nowhere", None]}, []),
        ({n: [n + 1] for n in range(5000)} | {5000: []}, []),
    ],
)
def test_circles_of_a_graph(graph, found) -> None:
    assert circles(graph) == found
