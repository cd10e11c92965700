"""What a reload's log line says."""

from __future__ import annotations

import pytest

from lmgw.config.diff import describe

BEFORE = """
[backends.one]
base_url = "http://localhost:9"
[backends.two]
base_url = "http://localhost:8"
[[tiers]]
name = "a"
backend = "one"
model = "m1"
[[tiers]]
name = "b"
backend = "one"
model = "m2"
[aliases]
x = "a"
"y*" = "a"
[profiles.p]
classifier = "a"
[[clients]]
key_env = "A"
profile = "default"
"""
TIER = '[[tiers]]\nname = "c"\nbackend = "one"\nmodel = "m"\n'

CHANGES = {
    "# a comment": (BEFORE + "\n# a comment", "nothing that counts"),
    "a tier more": (BEFORE + TIER, "+1 tier"),
    "two tiers more": (BEFORE + TIER + TIER.replace('"c"', '"d"'), "+2 tiers"),
    "a tier in front": (BEFORE.replace("[[tiers]]", TIER + "[[tiers]]", 1), "+1 tier, ~1 profile"),
    "a tier changed": (BEFORE.replace("m1", "m9"), "~1 tier"),
    "tiers turned round": (
        BEFORE.replace('name = "a"', 'name = "_"').replace('name = "b"', 'name = "a"').replace('"_"', '"b"'),
        "~2 tiers, tiers in another order, ~1 profile",
    ),
    "a backend changed, one gone": (
        BEFORE.replace(":9", ":7").replace('[backends.two]\nbase_url = "http://localhost:8"\n', ""),
        "-1 backend, ~1 backend",
    ),
    "aliases": (BEFORE.replace('x = "a"', 'x = "b"').replace('"y*"', '"z*"'), "+1 alias, -1 alias, ~1 alias"),
    "profile": (BEFORE.replace("[profiles.p]", '[profiles.p]\nsystem_prompt = "s"'), "~1 profile"),
    "client": (BEFORE + "rate_limit_rpm = 3", "~1 client"),
    "clients": (
        BEFORE + TIER.replace("tiers", "clients").split("name")[0] + 'key_env = "B"\nprofile = "p"',
        "+1 client",
    ),
    "gateway": (BEFORE + '[gateway]\nlog_level = "debug"\nclient_port = 1', "gateway (client_port, log_level)"),
}


@pytest.mark.parametrize(("after", "line"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_counted_by_what_was_written(load_text, after, line) -> None:
    old, new = load_text(BEFORE), load_text(after)
    assert describe(old, new) == line


def test_the_same_files_say_so(load_text) -> None:
    assert describe(load_text(BEFORE), load_text(BEFORE, {"A": "another key"})) == "files unchanged"
