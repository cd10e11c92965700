"""What loads but is probably not meant: one sentence each, and none where all is well."""

from __future__ import annotations

import pytest

TIER = """
[backends.one]
base_url = "http://localhost:9"
[[tiers]]
name = "local:fast"
backend = "one"
model = "small"
"""
OTHER = TIER.partition("[[tiers]]")[2].replace("local:fast", "local:big").join(("[[tiers]]", ""))
UP_TO_ONE = '[profiles.default]\nclassifier = "local:fast"\nmax_auto_tier = "local:fast"\n'
KEYED = TIER.replace('"http://localhost:9"', '"https://h"\napi_key_env = "KEY"')
CLIENT = '[[clients]]\nkey_env = "A"\nprofile = "default"\n'
ENVIRON = {"KEY": "k", "A": "a"}

OPEN = (
    'whoever reaches the client port spends the keys of "one": write [[clients]], or bind '
    'gateway.client_host = "127.0.0.1"'
)
READ_ONLY = (
    "the admin side can be reached from other machines and has no token, so it is read-only: "
    "name a variable in gateway.admin_token_env"
)
IDLE_PRIORITIES = "priorities of [[clients]] have no effect, for no tier has max_concurrent: nothing ever waits"
HALF = 'tiers["local:fast"]: overflow_tier and overflow_depth have no effect without each other'

ADVICE = {
    # doors
    KEYED: [OPEN],
    KEYED + CLIENT: [],
    KEYED + '[gateway]\nclient_host = "127.0.0.1"': [],
    KEYED + '[gateway]\nclient_endpoint = "unix:/run/x"': [],
    KEYED + '[gateway]\nclient_endpoint = "tcp:1:interface=127.0.0.1"': [],
    KEYED + '[gateway]\nclient_endpoint = "tcp:1"': [OPEN],
    TIER: [],
    TIER + '[gateway]\nadmin_host = "0.0.0.0"': [READ_ONLY],
    TIER + '[gateway]\nadmin_host = ""': [READ_ONLY],
    TIER + '[gateway]\nadmin_host = "::1"': [],
    TIER + '[gateway]\nadmin_host = "0.0.0.0"\nadmin_token_env = "KEY"': [],
    TIER + '[gateway]\nadmin_endpoint = "tcp:1"': [READ_ONLY],
    KEYED.replace("https:", "http:") + CLIENT: ["backends.one.base_url: its key travels unencrypted over http://"],
    TIER.replace('9"', '9"\napi_key_env = "KEY"') + CLIENT: [],
    # gateway
    TIER + "[gateway]\ntraffic_log_debug = true": [
        "gateway.traffic_log_debug: what callers write is kept in memory and shown on the admin side"
    ],
    TIER + '[gateway]\npublic_profile = "default"': ["gateway.public_profile: has no effect without [[clients]]"],
    TIER + '[gateway]\npublic_profile = "default"\n' + CLIENT: [],
    TIER + OTHER + '[gateway]\npublic_profile = "default"\n' + CLIENT: [
        "gateway.public_profile: whoever has no key may name every tier: write max_auto_tier in profiles.default to "
        "say up to which"
    ],
    TIER + OTHER + '[gateway]\npublic_profile = "default"\n' + CLIENT + UP_TO_ONE: [],
    TIER + '[gateway]\nidentity_header = "X-User"': [
        "gateway.identity_header: nobody is believed, for there are no trusted_proxies"
    ],
    TIER + '[gateway]\nidentity_header = "X-User"\ntrusted_proxies = ["::1"]': [],
    # queues
    TIER + CLIENT + "default_priority = 1": [IDLE_PRIORITIES],
    TIER + "max_concurrent = 1\n" + CLIENT + "default_priority = 1": [],
    TIER + "max_concurrent = 1\n" + CLIENT + "default_priority = 3\npriority_ceiling = 2": [
        'client "A": default_priority is above priority_ceiling, which is what counts'
    ],
    TIER + "overflow_depth = 3": [HALF],
    TIER + '[[tiers]]\nname = "b"\nbackend = "one"\nmodel = "m"\noverflow_tier = "local:fast"\noverflow_depth = 1': [
        'tiers["b"]: overflow_tier has no effect without max_concurrent'
    ],
    # names and keys in the wrong place
    TIER + '[aliases]\nauto = "local:fast"\n[profiles.auto]\nclassifier = "local:fast"': [
        "aliases.auto: a profile has this name too: rename one of them"
    ],
    TIER + '[profiles.p]\nclassifier = "local:fast"\n[profiles.p.class_prompts]\na = "x"\nsystem_prompt = "y"': [
        "profiles.p.class_prompts.system_prompt: this is a key of the profile: write it above the table class_prompts"
    ],
    # keys that mean nothing to a provider
    TIER + '[backends.x]\nbase_url = "http://h"\nkeep_alive = 1\nrepair_tool_calls = true': [
        "config.toml: backends.x.keep_alive: ignored: this is for ollama only, not for openai",
        "config.toml: backends.x.repair_tool_calls: ignored: this is for ollama only, not for openai",
    ],
    TIER + '[backends.x]\nprovider = "ollama"\nbase_url = "http://h"\nstream_usage = true\napp_url = "x"': [
        "config.toml: backends.x.stream_usage: ignored: this is for openai, openrouter only, not for ollama",
        "config.toml: backends.x.app_url: ignored: this is for openrouter only, not for ollama",
    ],
    TIER + '[backends.x]\nprovider = "demo"\nbase_url = "http://h"': [
        "config.toml: backends.x.base_url: ignored: "
        "this is for openai, openrouter, ollama, anthropic only, not for demo"
    ],
    TIER + "options = { a = 1 }\npin_options = true": [
        'config.toml: tiers["local:fast"].options: ignored: this is for ollama only, not for openai',
        'config.toml: tiers["local:fast"].pin_options: ignored: this is for ollama only, not for openai',
    ],
}


@pytest.mark.parametrize(("text", "warnings"), ADVICE.items(), ids=range(len(ADVICE)))
def test_what_an_operator_is_told(load_text, text, warnings) -> None:
    assert list(load_text(text, ENVIRON).warnings) == warnings
