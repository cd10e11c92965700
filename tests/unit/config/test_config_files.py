"""Which files count, what goes over what, and which file a problem is blamed on."""

from __future__ import annotations

import pytest

from lmgw.config.loader import DEFAULT_PATH, find_path

MAIN = """
[gateway]
client_port = 1000
cors_origins = ["https://a.example", "https://b.example"]

[backends.one]
base_url = "http://localhost:9"
headers = { "X-A" = "1", "X-B" = "2" }

[[tiers]]
name = "first"
backend = "one"
model = "m1"
think = true

[[tiers]]
name = "second"
backend = "one"
model = "m2"

[profiles.default]
classifier = "first"
[[profiles.default.rules]]
when = { a = "1" }
route_to = "first"

[[clients]]
key_env = "A_KEY"
profile = "default"

[[clients]]
name = "bee"
key_env = "B_KEY"
profile = "default"
"""


@pytest.mark.parametrize(
    ("explicit", "environ", "path"),
    [
        ("/a.toml", {"LMG_CONFIG": "/b.toml"}, "/a.toml"),
        (None, {"LMG_CONFIG": "/b.toml"}, "/b.toml"),
        (None, {"LMG_CONFIG": ""}, DEFAULT_PATH),
        (None, {}, "/etc/lm-gateway/config.toml"),
    ],
)
def test_the_path_is_the_option_then_the_variable_then_the_default(explicit, environ, path) -> None:
    assert find_path(explicit, environ) == path


def test_the_path_is_kept_absolute_for_a_daemon_changes_directory(files, monkeypatch) -> None:
    from lmgw.config.loader import load

    files.write("config.toml", '[gateway]\ntraffic_log_path = "traffic.jsonl"')
    monkeypatch.chdir(files.folder)
    config = load("config.toml", {})
    assert config.path == files.path
    assert config.gateway.traffic_log_path == str(files.folder / "traffic.jsonl")


# --- conf.d --------------------------------------------------------------------------------------------------


def test_an_overlay_wins_key_by_key(files) -> None:
    files.write("config.toml", MAIN)
    files.write("conf.d/10.toml", '[gateway]\nadmin_port = 2000\n[backends.one.headers]\n"X-B" = "3"')
    config = files.load()
    assert (config.gateway.client_port, config.gateway.admin_port) == (1000, 2000)
    assert config.backends["one"].headers == {"X-A": "1", "X-B": "3"}
    assert config.backends["one"].base_url == "http://localhost:9"


def test_overlays_go_by_name_and_the_later_wins(files) -> None:
    files.write("config.toml", MAIN)
    files.write("conf.d/20.toml", "[gateway]\nclient_port = 20")
    files.write("conf.d/10.toml", "[gateway]\nclient_port = 10\nadmin_port = 11")
    config = files.load()
    assert (config.gateway.client_port, config.gateway.admin_port) == (20, 11)


def test_only_visible_toml_files_are_overlays(files) -> None:
    files.write("config.toml", MAIN)
    for name in ("conf.d/10.toml~", "conf.d/.10.toml", "conf.d/README", "conf.d/10.toml.bak"):
        files.write(name, "not toml")
    assert files.load().gateway.client_port == 1000


def test_a_tier_of_the_same_name_takes_the_place_of_the_whole_entry(files) -> None:
    files.write("config.toml", MAIN)
    files.write("conf.d/10.toml", '[[tiers]]\nname = "first"\nbackend = "one"\nmodel = "m9"')
    tiers = files.load().tiers
    assert list(tiers) == ["first", "second"]
    assert (tiers["first"].model, tiers["first"].think, tiers["first"].index) == ("m9", None, 0)


def test_a_tier_of_another_name_goes_to_the_end(files) -> None:
    files.write("config.toml", MAIN)
    files.write("conf.d/10.toml", '[[tiers]]\nname = "third"\nbackend = "one"\nmodel = "m3"')
    assert list(files.load().tiers) == ["first", "second", "third"]


def test_two_tiers_of_one_name_in_one_overlay_are_a_mistake(files) -> None:
    files.write("config.toml", MAIN)
    files.write("conf.d/10.toml", '[[tiers]]\nname = "first"\nbackend = "one"\nmodel = "m9"\n' * 2)
    assert files.problems() == ('conf.d/10.toml: tiers["first"].name: a second tier of this name',)


def test_clients_are_matched_by_name_or_else_by_variable(files) -> None:
    files.write("config.toml", MAIN)
    files.write(
        "conf.d/10.toml",
        '[[clients]]\nkey_env = "A_KEY"\nprofile = "default"\nrate_limit_rpm = 1\n'
        '[[clients]]\nname = "bee"\nkey_env = "NEW_KEY"\nprofile = "default"\n'
        '[[clients]]\nkey_env = "C_KEY"\nprofile = "default"',
    )
    clients = files.load().clients
    assert [(client.name, client.key_env, client.rate_limit_rpm) for client in clients] == [
        ("A_KEY", "A_KEY", 1),
        ("bee", "NEW_KEY", 0),
        ("C_KEY", "C_KEY", 0),
    ]


def test_any_other_list_is_replaced_whole(files) -> None:
    files.write("config.toml", MAIN)
    files.write(
        "conf.d/10.toml",
        '[gateway]\ncors_origins = ["https://c.example"]\n'
        '[[profiles.default.rules]]\nwhen = { b = "2" }\nroute_to = "second"',
    )
    config = files.load()
    assert config.gateway.cors_origins == ("https://c.example",)
    assert [rule.route_to for rule in config.profiles["default"].rules] == ["second"]


def test_an_overlay_that_says_nothing_of_the_key_leaves_it(files) -> None:
    files.write("config.toml", MAIN + '[backends.two]\nbase_url = "http://h"\napi_key_env = "KEY"\n')
    files.write("conf.d/10.toml", '[backends.two]\nbase_url = "http://other"')
    backend = files.load().backends["two"]
    assert (backend.base_url, backend.api_key_env) == ("http://other", "KEY")


def test_entries_without_a_name_are_not_the_same_entry(files) -> None:
    files.write("config.toml", '[[clients]]\nprofile = "default"')
    files.write("conf.d/10.toml", '[[clients]]\nprofile = "default"')
    assert [problem.split(":")[0] for problem in files.problems()] == ["config.toml", "conf.d/10.toml"]


def test_an_overlay_may_spell_the_key_the_other_way(files) -> None:
    files.write("config.toml", MAIN + '[backends.two]\nbase_url = "http://h"\napi_key_env = "OLD"\n')
    files.write("conf.d/10.toml", '[backends.two]\napi_key_secret = { source = "env", var = "NEW" }')
    assert files.load().backends["two"].api_key_env == "NEW"
    files.write("conf.d/20.toml", '[backends.two]\napi_key_env = "NEWEST"')
    config = files.load()
    assert config.backends["two"].api_key_env == "NEWEST"
    assert not any("ignored" in warning for warning in config.warnings)


def test_a_problem_is_blamed_on_the_file_that_wrote_it(files) -> None:
    files.write("config.toml", MAIN + "[gateway.x]\ny = 1")
    files.write("conf.d/10.toml", '[gateway]\nadmin_port = "x"\n[backends.one]\nbase_url = "ftp://x"')
    files.write("conf.d/20.toml", '[[tiers]]\nname = "third"\nmodle = "m"')
    assert sorted(problem.split(":")[0] + problem.split(":")[1] for problem in files.problems()) == [
        "conf.d/10.toml backends.one.base_url",
        "conf.d/10.toml gateway.admin_port",
        'conf.d/20.toml tiers["third"].backend',
        'conf.d/20.toml tiers["third"].model',
        'conf.d/20.toml tiers["third"].modle',
        "config.toml gateway.x",
    ]


# --- profiles ------------------------------------------------------------------------------------------------


def test_a_file_of_profiles_is_one_profile_by_its_stem_or_its_name(files) -> None:
    files.write("config.toml", MAIN)
    files.write("profiles/auto.toml", 'mode = "escalate"\nclassifier = "first"')
    files.write("profiles/ha-auto_fast.toml", 'name = "ha-auto:fast"\nclassifier = "second"')
    profiles = files.load().profiles
    assert set(profiles) == {"default", "auto", "ha-auto:fast"}
    assert profiles["ha-auto:fast"].classifier == "second"


def test_a_file_takes_the_place_of_an_inline_profile_whole_and_says_so(files) -> None:
    files.write("config.toml", MAIN)
    files.write("profiles/default.toml", 'classifier = "second"')
    config = files.load()
    assert config.profiles["default"].classifier == "second"
    assert config.profiles["default"].rules == ()
    assert "profiles/default.toml: takes the place of profiles.default in config.toml" in config.warnings


def test_profile_dir_is_relative_to_the_main_file_and_must_exist_if_it_is_written(files) -> None:
    files.write("config.toml", MAIN.replace("[gateway]", '[gateway]\nprofile_dir = "elsewhere"'))
    assert files.problems() == ("elsewhere: no such directory",)
    files.write("elsewhere/x.toml", 'classifier = "first"')
    assert "x" in files.load().profiles


def test_an_overlay_may_say_where_profiles_are(files) -> None:
    files.write("config.toml", MAIN)
    files.write("conf.d/1.toml", '[gateway]\nprofile_dir = "other"')
    files.write("other/x.toml", 'classifier = "first"')
    assert "x" in files.load().profiles


def test_two_files_of_one_profile_are_a_mistake(files) -> None:
    files.write("config.toml", MAIN)
    files.write("profiles/a.toml", 'classifier = "first"')
    files.write("profiles/b.toml", 'name = "a"\nclassifier = "first"')
    assert files.problems() == ('profiles/b.toml: a second profile of the name "a"; the first is in profiles/a.toml',)


def test_a_problem_in_a_profiles_file_has_the_full_path(files) -> None:
    files.write("config.toml", MAIN)
    files.write("profiles/ha-auto.toml", 'clasifier = "first"\n[[rules]]\nwhen = {}\nroute_to = "nowhere"')
    files.write("profiles/b:c.toml", 'name = 3\nclassifier = "first"')
    files.write("profiles/d.toml", '[profiles.d]\nclassifier = "first"')
    assert files.problems() == (
        "profiles/b:c.toml: name: expected a name in quotes, found a number",
        "profiles/d.toml: profiles.d.profiles: unknown key: a file here is one profile; write its keys at the top, "
        "without [profiles.NAME]",
        'profiles/ha-auto.toml: profiles.ha-auto.clasifier: unknown key; did you mean "classifier"?',
        'profiles/ha-auto.toml: profiles.ha-auto.rules[#1].route_to: there is no tier, alias or profile "nowhere"',
        "profiles/d.toml: profiles.d.classifier: required, but for mode reply: a tier or alias",
        "profiles/ha-auto.toml: profiles.ha-auto.classifier: required, but for mode reply: a tier or alias",
    )


# --- fingerprint ---------------------------------------------------------------------------------------------


def test_the_fingerprint_is_seven_hex_digits_over_all_files(files) -> None:
    files.write("config.toml", MAIN)
    seen = {files.load().fingerprint}
    assert files.load().fingerprint in seen
    for name, content in (
        ("config.toml", MAIN + "# a comment"),
        ("conf.d/10.toml", "# nothing"),
        ("profiles/x.toml", 'classifier = "first"'),
    ):
        files.write(name, content)
        seen.add(files.load().fingerprint)
    (files.folder / "profiles/x.toml").rename(files.folder / "profiles/y.toml")
    seen.add(files.load({"A_KEY": "changes nothing"}).fingerprint)
    assert len(seen) == 5
    assert all(len(fingerprint) == 7 and int(fingerprint, 16) >= 0 for fingerprint in seen)
