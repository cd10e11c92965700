"""``/metrics`` over real sockets, read by Prometheus's own parser."""

import json
import re
from pathlib import Path

import pytest
import pytest_twisted
import yaml
from admin_rig import Both
from fakes import FakeUpstream, Stream, Whole
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred

CHAT = "/v1/chat/completions"
HELLO = {"model": "local:fast", "messages": [{"role": "user", "content": "hello"}]}
CONFIG = """
[gateway]
admin_allowed_hosts = ["gw"]
identity_header = "X-User"
trusted_proxies = ["127.0.0.1"]
attribution_headers = ["X-Session"]
health_window = 0

[backends.up]
base_url = "{url}"
api_key_env = "UP_KEY"

[backends.keyless]
base_url = "{url}"
api_key_env = "NOBODY_SET_THIS"

[[tiers]]
name = "local:fast"
backend = "up"
model = "real-model"
input_price = 1.0
output_price = 2.0
max_concurrent = 4
failover = ["cloud:big"]

[[tiers]]
name = "cloud:big"
backend = "up"
model = "big-model"

[[tiers]]
name = "cloud:claude"
backend = "keyless"
model = "claude"
"""

#: Every family but the process's: its type, its labels, and what may stand in those that are not names.
OUTCOMES = {"success", "client_gone", "caller", "policy", "provider", "gateway"}
ATTEMPTS = {
    "success", "connect", "timeout", "closed", "protocol", "stream", "key_refused", "throttled", "client_error",
    "server_error", "abandoned",
}  # fmt: skip
FAMILIES = {
    "lmg_requests": ("counter", {"client", "profile", "tier", "backend", "dialect", "outcome"}),
    "lmg_request_duration_seconds": ("histogram", set()),
    "lmg_time_to_first_token_seconds": ("histogram", set()),
    "lmg_overhead_seconds": ("histogram", set()),
    "lmg_upstream_attempts": ("counter", {"backend", "outcome"}),
    "lmg_retries": ("counter", set()),
    "lmg_failovers": ("counter", set()),
    "lmg_escalations": ("counter", set()),
    "lmg_tokens": ("counter", {"client", "tier", "type", "source"}),
    "lmg_cost_usd": ("counter", {"client", "tier"}),
    "lmg_in_flight": ("gauge", set()),
    "lmg_queue_depth": ("gauge", {"queue"}),
    "lmg_circuit_open": ("gauge", {"backend"}),
    "lmg_backend_key_missing": ("gauge", {"backend"}),
    "lmg_rate_limited": ("counter", {"scope"}),
    "lmg_translation_lossy": ("counter", set()),
    "lmg_config_reloads": ("counter", {"outcome"}),
    "lmg_config_info": ("gauge", {"hash", "version"}),
}
PATHS = (CHAT, "/v1/messages", "/api/chat", "/api/generate", "/v1/responses")
NAMES = {
    "client": {"", "playground"}, "profile": {"", "default"}, "tier": {"", "local:fast", "cloud:big", "cloud:claude"},
    "backend": {"", "up", "keyless"}, "dialect": {"openai", "anthropic", "ollama", "ollama_generate", "responses"},
    "type": {"input", "output", "cache_read", "cache_write"}, "source": {"measured", "estimated"},
    "queue": {"local:fast"}, "scope": {"ip", "profile", "client", "queue", "gateway"},
}  # fmt: skip


@pytest.fixture
def upstream():
    fake = pytest_twisted.blockon(Deferred.fromCoroutine(FakeUpstream.start()))
    yield fake
    pytest_twisted.blockon(Deferred.fromCoroutine(fake.stop()))


@pytest.fixture
def both(tmp_path, upstream):
    running = pytest_twisted.blockon(Deferred.fromCoroutine(Both.start(tmp_path, CONFIG.format(url=upstream.url))))
    yield running
    pytest_twisted.blockon(Deferred.fromCoroutine(running.stop()))


async def families(both):
    answer = await both.admin.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.body.decode())}


async def value(both, name, **labels):
    """Return the sum of a metric's samples with these labels."""
    found = await families(both)
    samples = [sample for family in found.values() for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


@pytest_twisted.ensureDeferred
async def test_every_family_is_there_from_the_start_with_its_type_and_words(both):
    found = await families(both)
    assert {name for name in found if name.startswith("lmg_")} == set(FAMILIES)
    for name, (kind, _) in FAMILIES.items():
        assert found[name].type == kind
        assert found[name].documentation
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"} <= set(found)


@pytest_twisted.ensureDeferred
async def test_a_request_is_counted_under_its_names(both):
    await both.client.post(CHAT, HELLO)
    await both.client.post("/v1/messages", {**HELLO, "max_tokens": 9})
    labels = {"client": "", "profile": "default", "tier": "local:fast", "backend": "up", "outcome": "success"}
    assert await value(both, "lmg_requests_total", **labels) == 2
    assert await value(both, "lmg_requests_total", dialect="anthropic", **labels) == 1
    for name in ("request_duration", "time_to_first_token", "overhead"):
        assert await value(both, f"lmg_{name}_seconds_count") == 2
        assert await value(both, f"lmg_{name}_seconds_bucket", le="+Inf") == 2
        assert await value(both, f"lmg_{name}_seconds_sum") > 0
    assert await value(both, "lmg_upstream_attempts_total", backend="up", outcome="success") == 2
    used = both.client.last.tokens
    assert await value(both, "lmg_tokens_total", tier="local:fast", type="input", source="measured") == 2 * used.input
    assert await value(both, "lmg_tokens_total", type="output", client="") == 2 * used.output
    assert await value(both, "lmg_cost_usd_total", tier="local:fast") == pytest.approx(2 * both.client.last.cost_usd)


@pytest_twisted.ensureDeferred
async def test_what_went_wrong_is_counted_by_whose_fault_it_was(both, upstream):
    upstream.next(Whole(503, b"{}"), Whole(429, b"{}"))
    await both.client.post(CHAT, HELLO)
    await both.client.post(CHAT, {**HELLO, "model": "nobody"})
    await both.client.post(CHAT, {**HELLO, "model": "cloud:claude"})
    for outcome in ("provider", "caller", "gateway"):
        assert await value(both, "lmg_requests_total", outcome=outcome) == 1
    assert await value(both, "lmg_failovers_total") == 1
    assert await value(both, "lmg_upstream_attempts_total", outcome="server_error") == 1
    assert await value(both, "lmg_upstream_attempts_total", outcome="throttled") == 1


@pytest_twisted.ensureDeferred
async def test_retries_and_limits_are_counted(both, upstream):
    settings = 'max_retries = 1\nretry_delay_ms = 1\nrate_limit_rpm = 1\nadmin_allowed_hosts = ["gw"]'
    both.client.reload(CONFIG.format(url=upstream.url).replace('admin_allowed_hosts = ["gw"]', settings))
    upstream.next(Whole(503, b"{}"))
    await both.client.post(CHAT, HELLO)
    await both.client.post(CHAT, HELLO)
    assert await value(both, "lmg_retries_total") == 1
    assert await value(both, "lmg_rate_limited_total", scope="ip") == 1
    assert await value(both, "lmg_rate_limited_total", scope="queue") == 0


@pytest_twisted.ensureDeferred
async def test_an_attempt_that_its_client_left_is_abandoned(both, upstream):
    script = Stream(first=b": nothing yet\n\n")
    upstream.next(script)
    client = await both.client.open(CHAT, {**HELLO, "stream": True})
    await script.begun
    assert await value(both, "lmg_in_flight") == 1
    client.drop()
    await script.connection.closed
    assert await value(both, "lmg_in_flight") == 0
    assert await value(both, "lmg_requests_total", outcome="client_gone") == 1
    assert await value(both, "lmg_upstream_attempts_total", outcome="abandoned") == 1


@pytest_twisted.ensureDeferred
async def test_the_state_is_that_of_now(both, upstream):
    assert await value(both, "lmg_circuit_open", backend="up") == 0
    assert await value(both, "lmg_backend_key_missing", backend="keyless") == 1
    assert await value(both, "lmg_backend_key_missing", backend="up") == 0
    assert await value(both, "lmg_queue_depth", queue="local:fast") == 0
    assert await value(both, "lmg_config_info") == 1
    await both.admin.post("/admin/reload", b"")
    assert await value(both, "lmg_config_reloads_total", outcome="ok") == 1
    assert await value(both, "lmg_config_reloads_total", outcome="failed") == 0
    both.client.reload(CONFIG.format(url=upstream.url).replace("health_window = 0", "health_cooldown_ms = 60000"))
    upstream.next(Whole(401, b"{}"))
    await both.client.post(CHAT, {**HELLO, "model": "cloud:big"})
    assert await value(both, "lmg_circuit_open", backend="up") == 1


@pytest_twisted.ensureDeferred
async def test_label_values_are_bounded_whatever_clients_send(both):
    hostile = ['evil"} 1\nlmg_evil_total{x="', "x" * 5000, "{}", "\x00", "ünï", "local:fast\\", "'; drop table", "💥"]
    for number, text in enumerate(hostile):
        body = {**HELLO, "model": text, "user": text, "metadata": {text: text}}
        plain = re.sub(r"[^!-~]", "?", text)[:200]
        headers = {"X-User": plain, "X-Session": plain, "X-Request-ID": plain, "Authorization": f"Bearer {plain}",
                   "anthropic-version": plain, "User-Agent": plain, "X-LMG-Priority": plain}  # fmt: skip
        await both.client.post(PATHS[number % len(PATHS)], body, headers)
        await both.client.post(CHAT, {**HELLO, "user": text}, headers)
        await both.client.get(f"/v1/{number}/{plain.replace(' ', '')[:50]}?{plain[:20]}")
        await both.admin.post("/admin/playground", {**body, "stream": False})
    found = await families(both)
    assert set(FAMILIES) == {name for name in found if name.startswith("lmg_")}
    for name, (_, labels) in FAMILIES.items():
        for sample in found[name].samples:
            assert set(sample.labels) - {"le"} == labels, sample
            for label, text in sample.labels.items():
                _check_value(name, label, text)


def _check_value(name, label, text):
    if label == "le":
        assert text == "+Inf" or float(text) <= 600
    elif label == "outcome":
        known = {"lmg_requests": OUTCOMES, "lmg_upstream_attempts": ATTEMPTS, "lmg_config_reloads": {"ok", "failed"}}
        assert text in known[name]
    elif name != "lmg_config_info":
        assert text in NAMES[label], (name, label, text)


@pytest_twisted.ensureDeferred
async def test_openmetrics_is_spoken_to_those_who_ask_for_it(both):
    await both.client.post(CHAT, HELLO)
    answer = await both.admin.get("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    found = list(openmetrics.text_string_to_metric_families(answer.body.decode()))
    assert "lmg_requests" in {family.name for family in found}
    assert answer.body.endswith(b"# EOF\n")


@pytest_twisted.ensureDeferred
async def test_the_page_of_metrics_is_small_and_asks_for_the_token(both, upstream, tmp_path):
    assert len((await both.admin.get("/metrics")).body) < 20_000
    other = tmp_path / "other"
    other.mkdir()
    text = CONFIG.format(url=upstream.url).replace("[gateway]", '[gateway]\nadmin_token_env = "ADMIN"')
    guarded = await Both.start(other, text, {"UP_KEY": "k" * 20, "ADMIN": "token"})
    assert (await guarded.admin.get("/metrics")).status == 401
    assert (await guarded.admin.get("/metrics", {"Authorization": "Bearer token"})).status == 200
    await guarded.stop()


# --- what is made for these metrics --------------------------------------------------------------------------

ETC = Path(__file__).parents[2] / "etc"


def queries(file):
    """Every query of an alert file or a Grafana board."""
    text = (ETC / file).read_text()
    if file.endswith(".yml"):
        return [rule["expr"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    board = json.loads(text)
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [
        note["expr"] for note in board["annotations"]["list"]
    ]


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/lmgw.json"])
@pytest_twisted.ensureDeferred
async def test_alerts_and_plots_ask_for_what_there_is(both, file):
    await both.client.post(CHAT, HELLO)
    known = {sample.name for family in (await families(both)).values() for sample in family.samples}
    known |= {f"{name}_total" for name, (kind, _) in FAMILIES.items() if kind == "counter"}
    asked = queries(file)
    assert len(asked) >= 8
    for query in asked:
        named = set(re.findall(r"\b(?:lmg|process)_[a-z_]+", query))
        assert named <= known, query
        own = set().union(
            *(labels for name, (_, labels) in FAMILIES.items() for each in named if each.startswith(name))
        )
        for name, selectors in re.findall(r"\b((?:lmg|process)_[a-z_]+)\{([^}]*)\}", query):
            labels = next((labels for family, (_, labels) in FAMILIES.items() if name.startswith(family)), set())
            assert set(re.findall(r"(\w+) *(?:=|!)", selectors)) <= labels | {"instance"}, query
        wanted = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        assert wanted <= own | {"instance", "le"}, query
        for values in re.findall(r'outcome[=!~]+"([^"]*)"', query):
            assert set(values.split("|")) <= OUTCOMES | ATTEMPTS | {"ok", "failed"}, query
        for values in re.findall(r'scope="([^"]*)"', query):
            assert values in NAMES["scope"], query


def test_there_is_an_alert_for_what_somebody_must_act_on_and_each_says_where():
    rules = [
        rule
        for group in yaml.safe_load((ETC / "prometheus/alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    about = {"LmgwBackendDown": "lmg_circuit_open", "LmgwErrorRate": "lmg_requests_total",
             "LmgwQueueDeep": "lmg_queue_depth", "LmgwKeyMissing": "lmg_backend_key_missing"}  # fmt: skip
    for name, metric in about.items():
        assert metric in next(rule["expr"] for rule in rules if rule["alert"] == name)
    for rule in rules:
        said = " ".join(rule["annotations"].values())
        kept = {label.strip() for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
        assert set(re.findall(r"\$labels\.(\w+)", said)) <= kept | {"instance"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_board_can_be_imported_as_it_is():
    board = json.loads((ETC / "grafana/lmgw.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["expr"].count("(") == target["expr"].count(")") for target in panel["targets"])
    assert {"datasource", "instance"} == {variable["name"] for variable in board["templating"]["list"]}
