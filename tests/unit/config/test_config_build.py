"""What the snapshot holds: defaults filled in, names resolved, order kept."""

from __future__ import annotations

import pytest

from lmgw.config.snapshot import REFUSALS, Backend, Client, Gateway, Mode, Profile, Provider, Rule, Tier

THREE = """
[backends.one]
base_url = "http://localhost:9"
[[tiers]]
name = "a:instant"
backend = "one"
model = "m1"
[[tiers]]
name = "b:fast"
backend = "one"
model = "m2"
[[tiers]]
name = "c:deep"
backend = "one"
model = "m3"
[aliases]
"hint:fast" = "b:fast"
"""


def test_a_file_without_any_key_is_a_gateway_that_says_so(load_text) -> None:
    config = load_text("# nothing")
    assert config.gateway == Gateway()
    assert config.tiers == {}
    assert config.profiles == {"default": Profile("default", mode=Mode.REPLY, unknown_model="fallback")}
    assert not config.auth_required
    assert "there are no [[tiers]]: every request is answered by a sentence that says so" in config.warnings


def test_empty_lists_of_tables_are_none(load_text) -> None:
    config = load_text("tiers = []\nclients = []")
    assert (config.tiers, config.clients, config.auth_required) == ({}, (), False)


# --- backends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        ('base_url = "https://h"', "https://h/v1"),
        ('base_url = "https://h/"', "https://h/v1"),
        ('base_url = "https://h/v1"', "https://h/v1"),
        ('base_url = "https://h/v1/"', "https://h/v1"),
        ('base_url = "https://h/api/v1"', "https://h/api/v1"),
        ('base_url = "https://h/api"\napi_path = ""', "https://h/api"),
        ('base_url = "https://h"\napi_path = "/v1beta/openai/"', "https://h/v1beta/openai"),
        ('base_url = "https://h/v1beta/openai"\napi_path = "/v1beta/openai"', "https://h/v1beta/openai"),
        ('base_url = "https://h/v1"\napi_path = "/v2"', "https://h/v1/v2"),
    ],
)
def test_the_address_and_the_path_join_whether_or_not_the_address_had_it(load_text, lines, joined) -> None:
    backend = load_text(f"[backends.x]\n{lines}").backends["x"]
    assert backend.base_url + backend.api_path == joined


def test_ollamas_own_routes_stand_beside_v1(load_text) -> None:
    backend = load_text('[backends.x]\nprovider = "ollama"\nbase_url = "http://h:11434/v1"').backends["x"]
    assert (backend.base_url, backend.api_path) == ("http://h:11434", "/v1")


@pytest.mark.parametrize(
    ("lines", "timeout"),
    [("", 120_000), ('provider = "ollama"', 300_000), ('provider = "ollama"\ntimeout_ms = 120000', 120_000)],
)
def test_ollama_has_longer_for_its_first_byte(load_text, lines, timeout) -> None:
    assert load_text(f'[backends.x]\nbase_url = "http://h"\n{lines}').backends["x"].timeout_ms == timeout


def test_a_backend_with_everything(load_text, files) -> None:
    files.write("roots.pem", "-----BEGIN CERTIFICATE-----\n")
    text = """
    [backends.x]
    provider = "open_router"
    base_url = "https://h"
    timeout_ms = 1
    ca_file = "roots.pem"
    connect_timeout_ms = 2
    max_connections = 3
    stream_usage = false
    max_tokens_field = "max_tokens"
    responses = "native"
    echo_reasoning = true
    headers = { "X-A" = "b" }
    app_url = "https://me"
    app_title = "Me"
    """
    assert load_text(text).backends["x"] == Backend(
        "x",
        provider=Provider.OPENROUTER,
        base_url="https://h",
        timeout_ms=1,
        ca_file=str(files.folder / "roots.pem"),
        connect_timeout_ms=2,
        max_connections=3,
        stream_usage=False,
        max_tokens_field="max_tokens",
        responses="native",
        echo_reasoning=True,
        headers={"X-A": "b"},
        app_url="https://me",
        app_title="Me",
    )


def test_the_demo_needs_no_address(load_text) -> None:
    backend = load_text('[backends.x]\nprovider = "demo"').backends["x"]
    assert backend.usable
    assert backend.base_url == ""


def test_options_stay_as_they_were_written(load_text) -> None:
    text = """
    [backends.x]
    provider = "ollama"
    base_url = "http://h"
    keep_alive = -1
    [backends.x.default_options]
    num_ctx = 8192.0
    stop = ["a", "b"]
    nested = { a = [ { b = 1 } ] }
    """
    backend = load_text(text).backends["x"]
    assert backend.default_options == {"num_ctx": 8192.0, "stop": ["a", "b"], "nested": {"a": [{"b": 1}]}}
    assert backend.keep_alive == -1


# --- tiers ---------------------------------------------------------------------------------------------------


def test_tiers_keep_their_order_and_name_tiers_for_aliases(load_text) -> None:
    text = THREE.replace(
        'model = "m1"',
        'model = "m1"\nfailover = ["hint:fast", "c:deep", "b:fast"]\noverflow_tier = "hint:fast"',
    )
    tiers = load_text(text).tiers
    assert [(tier.name, tier.index) for tier in tiers.values()] == [("a:instant", 0), ("b:fast", 1), ("c:deep", 2)]
    assert tiers["a:instant"].failover == ("b:fast", "c:deep")
    assert tiers["a:instant"].overflow_tier == "b:fast"
    assert tiers["a:instant"].queue_id == "a:instant"


def test_a_tier_with_everything(load_text) -> None:
    text = """
    [backends.x]
    provider = "ollama"
    base_url = "http://h"
    [[tiers]]
    name = "t"
    backend = "x"
    model = "m"
    think = false
    max_context_tokens = 1
    max_output_tokens = 2
    options = { num_ctx = 3 }
    pin_options = true
    max_concurrent = 4
    queue_id = "gpu"
    max_queue_depth = 5
    input_price = 6
    output_price = 7.5
    cache_read_price = 0
    cache_write_price = 8
    [tiers.capabilities]
    sampling = false
    thinking = "budget"
    thinking_always_on = true
    efforts = ["low", "max"]
    reasoning = true
    structured_outputs = false
    vision = false
    mid_system = true
    """
    tier = load_text(text).tiers["t"]
    assert tier == Tier(
        "t",
        "x",
        "m",
        think=False,
        max_context_tokens=1,
        max_output_tokens=2,
        capabilities=tier.capabilities,
        options={"num_ctx": 3},
        pin_options=True,
        max_concurrent=4,
        queue_id="gpu",
        max_queue_depth=5,
        input_price=6.0,
        output_price=7.5,
        cache_read_price=0.0,
        cache_write_price=8.0,
    )
    model = tier.capabilities
    assert (model.sampling, model.thinking, model.thinking_always_on) == (False, "budget", True)
    assert (model.efforts, model.reasoning) == (("low", "max"), True)
    assert (model.structured_outputs, model.vision, model.mid_system) == (False, False, True)


def test_a_capability_that_is_not_written_is_the_catalogs(load_text) -> None:
    from lmgw.config.catalog import lookup

    config = load_text(
        THREE.replace("m1", "claude-opus-4-8").replace(
            'model = "m2"', 'model = "m2"\ncapabilities = { vision = false }'
        )
    )
    assert config.tiers["a:instant"].capabilities == lookup("claude-opus-4-8", Provider.OPENAI)
    catalog = lookup("m2", Provider.OPENAI)
    assert config.tiers["b:fast"].capabilities.vision is False
    assert config.tiers["b:fast"].capabilities.max_output_tokens == catalog.max_output_tokens


def test_tiers_of_one_queue_share_the_smallest_limits_that_are_written(load_text) -> None:
    text = (
        THREE.replace('model = "m1"', 'model = "m1"\nqueue_id = "gpu"\nmax_concurrent = 4\nmax_queue_depth = 5000')
        .replace('model = "m2"', 'model = "m2"\nqueue_id = "gpu"\nmax_concurrent = 2')
        .replace('model = "m3"', 'model = "m3"\nqueue_id = "gpu"')
    )
    assert {(t.queue_id, t.max_concurrent, t.max_queue_depth) for t in load_text(text).tiers.values()} == {
        ("gpu", 2, 5000)
    }


# --- aliases -------------------------------------------------------------------------------------------------


def test_patterns_are_apart_and_the_longest_comes_first(load_text) -> None:
    config = load_text(THREE + '"*" = "a:instant"\n"claude-*" = "b:fast"\n"claude-opus-*" = "c:deep"')
    assert config.aliases == {"hint:fast": "b:fast"}
    assert config.alias_patterns == (("claude-opus-*", "c:deep"), ("claude-*", "b:fast"), ("*", "a:instant"))


# --- profiles ------------------------------------------------------------------------------------------------


def test_tiers_without_any_profile_have_an_implicit_default(load_text) -> None:
    assert load_text(THREE).profiles == {
        "default": Profile(
            "default", classifier="a:instant", max_auto_tier="c:deep", ladder=("a:instant", "b:fast", "c:deep")
        )
    }


def test_profiles_without_a_default_have_an_implicit_one_too(load_text) -> None:
    profiles = load_text(THREE + '[profiles.auto]\nmode = "escalate"\nclassifier = "hint:fast"').profiles
    assert list(profiles) == ["auto", "default"]
    assert profiles["default"].mode is Mode.DISPATCH
    assert profiles["default"].classifier == "a:instant"
    assert profiles["auto"].classifier == "b:fast"


@pytest.mark.parametrize(
    ("line", "ladder", "written"),
    [
        ("", ("a:instant", "b:fast", "c:deep"), False),
        ('max_auto_tier = "hint:fast"', ("a:instant", "b:fast"), True),
        ('max_auto_tier = "a:instant"', ("a:instant",), True),
    ],
)
def test_the_ladder_goes_from_the_first_tier_to_max_auto_tier(load_text, line, ladder, written) -> None:
    profile = load_text(f'{THREE}[profiles.p]\nclassifier = "a:instant"\n{line}').profiles["p"]
    assert (profile.ladder, profile.ladder_written, profile.max_auto_tier) == (ladder, written, ladder[-1])


@pytest.mark.parametrize(
    ("lines", "unknown"),
    [
        ('mode = "dispatch"', "reject"),
        ("", "reject"),
        ('mode = "escalate"', "fallback"),
        ('mode = "classify"', "fallback"),
        ('mode = "reply"', "fallback"),
        ('mode = "escalate"\nunknown_model = "reject"', "reject"),
        ('unknown_model = "fallback"', "fallback"),
    ],
)
def test_what_an_unknown_model_leads_to_depends_on_the_mode(load_text, lines, unknown) -> None:
    profile = load_text(f'{THREE}[profiles.p]\nclassifier = "a:instant"\n{lines}').profiles["p"]
    assert profile.unknown_model == unknown


def test_a_profile_with_everything(load_text) -> None:
    text = (
        THREE
        + """
    [profiles.p]
    mode = "classify"
    classifier = "hint:fast"
    max_auto_tier = "b:fast"
    expert_requires_flag = true
    rate_limit_rpm = 1
    system_prompt = "s"
    classifier_prompt = "c"
    classifier_think = true
    classifier_timeout_ms = 2
    classifier_context = 0
    classifier_fallback = "hint:fast"
    class_prompts = { Greeting = "g" }
    reply_message = "r"
    thinking_messages = { "hint:fast" = ["x", "y"] }
    on_error = "chat"
    unknown_model = "reject"
    escalate_min_chars = 3
    escalate_peek_chars = 4
    refusals = ["I\u2019m SORRY", "no"]
    [[profiles.p.rules]]
    when = { Class = "Greeting" }
    route_to = "hint:fast"
    [[profiles.p.rules]]
    when = {}
    route_to = "q"
    priority = 10
    [[profiles.p.rules]]
    when = { domain = "home" }
    route_to = "c:deep"
    [profiles.q]
    mode = "reply"
    """
    )
    assert load_text(text).profiles["p"] == Profile(
        "p",
        mode=Mode.CLASSIFY,
        classifier="b:fast",
        max_auto_tier="b:fast",
        ladder=("a:instant", "b:fast"),
        ladder_written=True,
        expert_requires_flag=True,
        rate_limit_rpm=1,
        system_prompt="s",
        classifier_prompt="c",
        classifier_think=True,
        classifier_timeout_ms=2,
        classifier_context=0,
        classifier_fallback="b:fast",
        rules=(
            Rule({}, "q", to_profile=True, priority=10),
            Rule({"class": "greeting"}, "b:fast"),
            Rule({"domain": "home"}, "c:deep"),
        ),
        class_prompts={"greeting": "g"},
        reply_message="r",
        thinking_messages={"b:fast": ("x", "y")},
        on_error="chat",
        unknown_model="reject",
        escalate_min_chars=3,
        escalate_peek_chars=4,
        refusals=("i'm sorry", "no"),
    )


def test_refusals_may_be_switched_off(load_text) -> None:
    text = THREE + '[profiles.p]\nclassifier = "a:instant"\n'
    assert load_text(text).profiles["p"].refusals == REFUSALS
    assert load_text(text + "refusals = []").profiles["p"].refusals == ()


# --- clients and gateway -------------------------------------------------------------------------------------


def test_a_client_with_everything(load_text) -> None:
    text = (
        THREE
        + f"""
    [[clients]]
    name = "n"
    key_sha256 = "{"0" * 64}"
    profile = "default"
    profiles = ["*"]
    tiers = ["hint:fast", "a:instant", "b:fast"]
    default_priority = 3
    rate_limit_rpm = 5
    """
    )
    assert load_text(text).clients == (
        Client(
            "n",
            "default",
            key_sha256="0" * 64,
            tiers=("b:fast", "a:instant"),
            default_priority=3,
            priority_ceiling=3,
            rate_limit_rpm=5,
            profiles=("*",),
        ),
    )


def test_a_gateway_with_lists(load_text) -> None:
    text = """
    [gateway]
    trusted_proxies = ["10.0.0.1/8"]
    attribution_headers = ["X-A", "X-B"]
    identity_header = "X-User"
    """
    gateway = load_text(text).gateway
    assert gateway.trusted_proxies == ("10.0.0.0/8",)
    assert gateway.attribution_headers == ("x-a", "x-b")
    assert gateway.identity_header == "x-user"
