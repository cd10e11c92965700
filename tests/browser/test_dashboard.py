"""The dashboard in a real browser, on a live gateway: what an operator sees and does."""

import json
import re
import shlex
import time

import pytest
from browser_probes import FAINT, FRAMES, SOURCES, TOO_WIDE

GROUND, DARK = "getComputedStyle(document.documentElement).backgroundColor", "rgb(15, 19, 26)"
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def test_a_gateway_that_is_well_says_so_and_shows_its_traffic(start, look, keep):
    site = start()
    site.flow()
    page = look(site)
    page.shows("All well", "#verdict")
    page.shows("streaming", "#inflight")
    page.until("document.querySelectorAll('#finished-rows tr').length > 5")
    page.until("document.querySelectorAll('#plot-grid path.line').length >= 4")
    assert [
        name.strip() for name in page.js("[...document.querySelectorAll('.rung .name')].map(e => e.innerText)")
    ] == [
        "cloud:capable",
        "local:fast",
        "local:instant",
    ]
    page.until("document.querySelectorAll('#spend-rows tr').length >= 4")
    page.shows("home-assistant", "#spend")
    page.shows(" requests in the last five minutes", "#verdict")
    keep(page, "traffic-light")
    page.js("(document.querySelector('#spend').scrollIntoView({ block: 'end' }), 0)")
    keep(page, "spend")


def test_dark_is_what_the_system_asks_for_and_a_choice_is_kept(start, look, keep):
    site = start()
    site.flow()
    page = look(site, prefers_color_scheme="dark")
    page.until("document.querySelectorAll('#finished-rows tr').length > 8")
    assert page.js(GROUND) == DARK
    page.shows(" requests in the last five minutes", "#verdict")
    keep(page, "traffic-dark")
    page.click("#theme")
    assert page.js(GROUND) != DARK
    page.open(site.url)
    page.shows("All well")
    assert page.js(GROUND) != DARK


def test_a_provider_that_fails_is_named_in_the_banner(start, look, keep):
    site = start()
    for _ in range(12):
        site.ask("fail 503", model="local:instant")
    page = look(site)
    page.shows("Degraded", "#verdict")
    page.shows("house", "#verdict")
    page.until("document.querySelector('#faults .provider').innerText !== 'provider 0'")
    page.until("document.querySelectorAll('.rung .lamp.open').length")
    keep(page, "degraded")
    page.click("#faults .provider")
    page.shows("Failures", "#finished-title")
    assert page.js("[...document.querySelectorAll('#finished-rows tr')].every(row => row.className === 'provider')")


KEYED = """[backends.anthropic]
provider = "anthropic"
base_url = "{url}"
api_key_env = "ANTHROPIC_API_KEY"
"""
BEST = """[[tiers]]
name = "cloud:best"
backend = "anthropic"
model = "claude-opus"
"""


def test_a_refused_key_is_named_with_since_when_and_how_many_requests_it_cost(start, look, keep, provider):
    site = start(
        backends=KEYED.format(url=provider(401).url), tiers=BEST, env={"ANTHROPIC_API_KEY": "sk-ant-0123456789"}
    )
    for _ in range(3):
        site.ask("Hello", model="cloud:best")
    page = look(site)
    page.until("/refuses/.test(document.querySelector('#verdict').innerText)")
    said = page.text("#verdict")
    assert re.fullmatch(r"Degraded: anthropic refuses ANTHROPIC_API_KEY since \d\d:\d\d, 3 requests\.", said), said
    page.shows("invalid x-api-key", "#notes")
    page.until("document.querySelectorAll('#finished-rows tr').length === 3")
    page.until("document.querySelectorAll('#marks .circuit').length === 1")
    assert page.text("#announced") == "Degraded: anthropic refuses ANTHROPIC_API_KEY"
    assert page.js(FAINT) == []
    keep(page, "key-refused")


def test_a_restart_with_the_key_is_seen_by_a_page_that_was_open(start, look, provider):
    site = start(backends=KEYED.format(url=provider(401).url), tiers=BEST, env={"ANTHROPIC_API_KEY": ""})
    page = look(site)
    page.expected.append("ERR_")
    page.shows("Not ready: ANTHROPIC_API_KEY is not set, so anthropic is skipped.", "#verdict")
    page.shows("ANTHROPIC_API_KEY is not set", "#ladder")
    site.restart(env={"ANTHROPIC_API_KEY": "sk-ant-0123456789"})
    page.until("!document.querySelector('#ladder').innerText.includes('is not set')")
    page.shows("All well", "#verdict")
    page.until("document.querySelectorAll('#marks .start').length === 2")


def test_the_models_that_ollama_has_loaded_are_listed(start, look, provider):
    ollama = f'[backends.gpu]\nprovider = "ollama"\nbase_url = "{provider(200).url}"\n'
    page = look(start(backends=ollama))
    page.shows("qwen3:14b on gpu · 9.3GB", "#loaded")
    page.click("[data-tab=config]")
    page.shows("gpu", "#backend-rows")
    page.until("[...document.querySelectorAll('#backend-rows .chip')].some(e => e.innerText === 'well')")


def test_a_full_traffic_log_is_said_in_the_banner(start, look):
    site = start(gateway='traffic_log_path = "/dev/full"')
    site.ask("one")
    page = look(site)
    page.shows("The traffic log loses lines.", "#verdict")
    page.shows("No space left on device", "#notes")


def test_what_came_too_fast_to_be_told_is_counted(start, look):
    site = start()
    site.ask("one")
    page = look(site, script=SOURCES)
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    for _ in range(2):
        page.js("sources[0].dispatchEvent(new MessageEvent('missed', { data: '{\"count\": 617}' }))")
    page.shows("1,234 more came too fast to be listed", "#finished-title")


def test_a_clock_that_is_wrong_moves_nothing(start, look):
    site = start()
    site.ask("one")
    page = look(site, script="{ const right = Date.now; Date.now = () => right() + 7200e3; }")
    page.shows("All well: 1 request in the last five minutes", "#verdict")
    page.until("document.querySelectorAll('#marks .start').length === 1")


def test_a_request_that_runs_is_told_as_it_goes_and_then_whole(start, look):
    site = start()
    running = site.later("Tell me a story", model="local:fast", limit=60)
    page = look(site)
    page.click("#inflight-rows a")
    page.shows("In flight: streaming", "#panel")
    running.result()
    page.shows("Where the time went", "#panel")
    page.shows("Answered.", "#panel")


def test_an_id_that_is_used_twice_is_two_requests(start, look):
    site = start()
    for _ in range(2):
        site.ask("one", model="closed", **{"X-Request-ID": "mine"})
    page = look(site)
    page.until("document.querySelectorAll('#finished-rows tr').length === 2")


def test_words_that_are_no_id_stay_a_filter(start, look):
    site = start()
    site.ask("one", key="HOME_KEY")
    site.ask("two", key="CI_KEY")
    page = look(site)
    page.until("document.querySelectorAll('#finished-rows tr').length === 2")
    page.type("#needle", "ci-bot")
    page.press("Enter", 13)
    page.shows("No request has this id", "#toast")
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    assert page.js("document.querySelector('#panel').hidden")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "…"}),
        ("/v1/messages", {"max_tokens": 1024, "messages": [{"role": "user", "content": "…"}]}),
        ("/api/generate", {"prompt": "…"}),
        ("/v1/completions", {"prompt": "…"}),
    ],
)
def test_what_is_copied_as_curl_asks_the_same(start, look, path, body):
    site = start()
    sent = json.loads(json.dumps(body).replace("…", "it's").replace("1024", "9"))
    site.post(path, {"model": "local:instant", "stream": False, **sent})
    page = look(site)
    page.click("#finished-rows a")
    page.shows("curl -N", "#panel .curl")
    command = page.js("document.querySelector('#panel .curl pre').textContent")
    assert command.startswith(f"curl -N {site.client_url}{path} ")
    told = json.loads(command.partition("-d '")[2].removesuffix("'"))
    assert told == {"model": "local:instant", **body, "stream": False}


def test_a_command_with_quotes_in_it_is_one_that_a_shell_understands(start, look):
    site = start(gateway="traffic_log_debug = true")
    site.ask('it\'s "so" $HOME `x`\n\\', model="local:instant")
    page = look(site)
    page.click("#finished-rows a")
    page.shows("With the body that was sent", "#panel .curl")
    command = page.js("document.querySelector('#panel .curl pre').textContent")
    words = shlex.split(command)
    assert json.loads(words[words.index("-d") + 1])["messages"][0]["content"] == 'it\'s "so" $HOME `x`\n\\'


def test_one_request_is_told_from_its_arrival_to_its_end(start, look, keep):
    site = start()
    _, failed_over = site.ask("fail 503", model="local:fast")
    page = look(site)
    page.shows("local:fast", "#ladder")
    page.type("#needle", failed_over)
    page.press("Enter", 13)
    page.shows(failed_over, "#panel")
    page.shows("cloud:capable", "#panel .reasons")
    assert page.js("document.querySelectorAll('#panel .waterfall .piece.failed').length") >= 1
    page.shows("curl -N", "#panel .curl")
    assert failed_over in page.js("location.hash")
    keep(page, "request")
    shared = look(site, f"#/request/{failed_over}")
    shared.shows(failed_over, "#panel")
    page.js("document.activeElement.blur()")
    page.press("Escape", 27)
    page.until("document.querySelector('#panel').hidden")


def test_who_opens_a_request_by_keyboard_is_back_where_they_were(start, look):
    site = start()
    _, id = site.ask("one")
    page = look(site)
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    page.js("(document.querySelector('#finished-rows a').focus(), 0)")
    page.press("Enter", 13)
    page.shows(id, "#panel")
    assert page.js("document.activeElement.id") == "panel"
    assert page.js(FAINT) == []
    page.press("Escape", 27)
    page.until("document.querySelector('#panel').hidden")
    assert page.js("document.activeElement.title") == id


def test_an_unknown_id_is_answered_in_words(start, look):
    page = look(start(), "#/request/req_nobody")
    page.expected.append("404")
    page.shows("not known here", "#panel")


def test_dragging_across_a_plot_filters_everything(start, look, keep):
    site = start()
    site.ask("one")
    page = look(site)
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    left, top, width, height = page.js(
        "(() => { const b = document.querySelector('.plot svg').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    page.drag((left + 10, top + height / 2), (left + width / 2, top + height / 2))
    page.until("document.querySelector('#filters').innerText.includes(':')")
    page.shows("Nothing that was kept fits", "#finished")
    page.shows("Nobody has asked", "#spend")
    keep(page, "selection")
    page.click("#filters button")
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")


def test_filters_and_pause(start, look):
    site = start()
    site.ask("one", key="HOME_KEY")
    site.ask("two", key="CI_KEY")
    page = look(site)
    page.until("document.querySelectorAll('#finished-rows tr').length === 2")
    page.type("#needle", "ci-bot")
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    page.click("#filters button")
    page.until("document.querySelectorAll('#finished-rows tr').length === 2")
    page.click("#pause")
    site.ask("three")
    page.type("#needle", "ci-bot")  # what is held can still be filtered
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    page.click("#filters button")
    page.until("document.querySelectorAll('#finished-rows tr').length === 2")
    assert page.js("document.querySelectorAll('#finished-rows tr').length") == 2
    page.click("#pause")
    page.until("document.querySelectorAll('#finished-rows tr').length === 3")


def test_the_token_is_asked_for_once(start, look, keep):
    site = start(gateway='admin_token_env = "ADMIN_TOKEN"', env={"ADMIN_TOKEN": "token-of-the-operator"})
    page = look(site)
    page.expected.append("401")
    page.until("document.querySelector('#login').open")
    assert page.js(FAINT) == []
    keep(page, "login")
    page.type("#token", "wrong")
    page.press("Enter", 13)
    page.shows("This is not the token", "#login")
    page.js("(document.querySelector('#token').value = '', 0)")
    page.type("#token", "token-of-the-operator")
    page.press("Enter", 13)
    page.shows("All well", "#verdict")
    assert page.js("document.cookie") == ""
    page.open(site.url)
    page.shows("All well", "#verdict")
    assert not page.js("document.querySelector('#login').open")


def test_a_missing_key_is_named_where_an_operator_looks_first(start, look, keep):
    site = start(
        backends='[backends.anthropic]\nprovider = "anthropic"\nbase_url = "http://127.0.0.1:9"\n'
        'api_key_env = "ANTHROPIC_API_KEY"',
        tiers='[[tiers]]\nname = "cloud:best"\nbackend = "anthropic"\nmodel = "claude-opus"',
        env={"ANTHROPIC_API_KEY": ""},
    )
    page = look(site)
    page.shows("ANTHROPIC_API_KEY is not set", "#verdict")
    page.shows("ANTHROPIC_API_KEY is not set", "#ladder")
    page.click("[data-tab=config]")
    page.shows("ANTHROPIC_API_KEY for anthropic", "#config .card.bad")
    keep(page, "config")


def test_the_reload_button_says_what_changed_or_why_nothing_did(start, look, keep):
    site = start()
    page = look(site, "#/config")
    page.shows("Missing keys", "#config")
    site.write(more='[[tiers]]\nname = "local:new"\nbackend = "house"\nmodel = "new"\n')
    page.click("#reload")
    page.shows("local:new", "#config")
    page.shows("reloaded", "#reload-result")
    site.write(more='[[tiers]]\nname = "local:bad"\nbackend = "nowhere"\nmodel = "new"\n')
    page.expected.append("422")
    page.click("#reload")
    page.shows("nowhere", "#reload-result")
    page.shows("old configuration is in force", "header")
    keep(page, "reload-failed")


def test_the_playground_streams_and_shows_the_route(start, look, keep):
    page = look(start(), "#/playground")
    page.until("!document.querySelector('#playground').hidden")
    page.js("(document.querySelector('#play-model').value = 'local:fast', 0)")
    page.type("#play-prompt", "Tell me something about gateways")
    page.click("#play-send")
    grown = page.until("document.querySelector('#play-answer').innerText.length")
    page.until(f"document.querySelector('#play-answer').innerText.length > {grown}")
    page.shows("local:fast", "#play-route")
    page.shows("in all", "#play-figures")
    assert page.text("#play-send") == "Send"
    keep(page, "playground")
    page.click("#play-explain")
    page.shows("chosen", "#play-route .reasons")


@pytest.mark.parametrize("where", ["model", "prompt"])
def test_markup_from_outside_is_shown_as_text(start, look, where):
    site = start()
    page = look(site)
    page.shows("All well", "#verdict")
    if where == "model":
        site.ask("Hello", model=EVIL)
        page.until(f"document.querySelector('#finished-rows').textContent.includes({json.dumps(EVIL[:20])})")
        page.click("#finished-rows a")
        page.shows(EVIL[:30], "#panel")
    else:
        page.click("[data-tab=playground]")
        page.until("!document.querySelector('#playground').hidden")
        page.type("#play-prompt", EVIL)
        page.click("#play-send")
        page.shows("in all", "#play-figures")
        page.shows("<script>", "#play-answer")
    assert "owned" not in page.js("document.title")
    assert page.js("document.querySelectorAll('body script, main img').length") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_banner_what_runs_and_what_failed(start, look, keep, theme):
    site = start()
    site.flow()
    site.ask("Hello", model="no-such-model")
    page = look(site, width=390, height=844, prefers_color_scheme=theme)
    page.shows("1 refused", "#verdict")
    page.shows("streaming", "#inflight")
    page.shows("Failures", "#finished-title")
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    assert page.js("getComputedStyle(document.querySelector('#plots')).display") == "none"
    assert page.js(TOO_WIDE) == []
    keep(page, f"phone-{theme}")
    page.click("#finished-rows tr td:last-child")
    page.shows("No model", "#panel")
    assert page.js(TOO_WIDE) == []
    assert page.js(FAINT) == []
    keep(page, f"phone-request-{theme}")


def test_everything_can_be_reached_by_keyboard(start, look):
    site = start()
    site.ask("one")
    page = look(site)
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    page.press("/")
    assert page.js("document.activeElement.id") == "needle"
    reached = set()
    for _ in range(60):
        page.press("Tab", 9)
        reached.add(
            page.js("document.activeElement.closest('#plots, #ladder, #finished-rows, #spend, #faults, nav')?.id")
        )
    assert reached >= {"plots", "ladder", "finished-rows", "spend", "faults"}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["", "#/config", "#/playground"])
def test_text_stands_out_from_its_ground(start, look, theme, view):
    site = start()
    site.ask("one")
    site.ask("fail 400", model="local:instant")
    page = look(site, view, prefers_color_scheme=theme)
    page.shows("lmgw", "nav")
    page.until("document.querySelector('#version').innerText")
    assert page.js(FAINT) == []


def test_a_thousand_requests_a_second_leave_the_page_responsive(start, look, keep):
    site = start(gateway="rate_limit_rpm = 0")
    page = look(site)
    page.shows("All well", "#verdict")
    count = site.flood(1000)
    page.until("document.querySelectorAll('#finished-rows tr').length === 100")
    before, busy, began = count(), page.busy_s(), time.monotonic()
    seen = page.js(FRAMES)
    took = time.monotonic() - began
    asked, busy = (count() - before) / took, (page.busy_s() - busy) / took
    print(
        f"\n{asked:.0f} requests a second: {seen['frames'] / 4:.0f} frames a second, the longest {seen['longest']} ms, "
        f"tasks above 50 ms: {seen['tasks']}; the page's thread was busy for {busy:.0%}"
    )
    assert busy < 0.5
    assert seen["longest"] < 2000  # of the wall's time, on a machine that may have more to do
    assert page.js("document.querySelectorAll('#finished-rows tr').length") == 100
    page.click("#pause")
    page.shows("Paused", "#pause")
    page.type("#needle", "nobody-has-this")
    page.shows("Nothing that was kept fits", "#finished")
    page.click("#filters button")
    page.until("document.querySelectorAll('#finished-rows tr').length === 100")
    page.click("#pause")
    keep(page, "flood")
