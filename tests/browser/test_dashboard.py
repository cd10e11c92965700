"""The dashboard in a real browser, on a live gateway: what an operator sees and does."""

import json

import pytest
from browser_probes import FAINT, FRAMES, TOO_WIDE

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
    keep(page, "traffic-light")


def test_dark_is_what_the_system_asks_for_and_a_choice_is_kept(start, look, keep):
    site = start()
    site.flow()
    page = look(site, prefers_color_scheme="dark")
    page.until("document.querySelectorAll('#finished-rows tr').length > 8")
    assert page.js("document.documentElement.dataset.theme") == "dark"
    keep(page, "traffic-dark")
    page.click("#theme")
    assert page.js("document.documentElement.dataset.theme") == "light"
    page.open(site.url)
    page.shows("All well")
    assert page.js("document.documentElement.dataset.theme") == "light"


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
    assert page.js("document.querySelectorAll('#finished-rows tr').length") == 2
    page.click("#pause")
    page.until("document.querySelectorAll('#finished-rows tr').length === 3")


def test_the_token_is_asked_for_once(start, look, keep):
    site = start(gateway='admin_token_env = "ADMIN_TOKEN"', env={"ADMIN_TOKEN": "token-of-the-operator"})
    page = look(site)
    page.expected.append("401")
    page.until("document.querySelector('#login').open")
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


def test_a_phone_shows_banner_what_runs_and_what_failed(start, look, keep):
    site = start()
    site.flow()
    site.ask("Hello", model="no-such-model")
    page = look(site, width=390, height=844)
    page.shows("All well", "#verdict")
    page.shows("streaming", "#inflight")
    page.shows("Failures", "#finished-title")
    page.until("document.querySelectorAll('#finished-rows tr').length === 1")
    assert page.js("getComputedStyle(document.querySelector('#plots')).display") == "none"
    assert page.js(TOO_WIDE) == []
    keep(page, "phone")


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
    count = site.flood()
    page.until("document.querySelectorAll('#finished-rows tr').length === 100")
    before, busy = count(), page.busy_s()
    frames = page.js(FRAMES)
    asked, busy = (count() - before) / 4, (page.busy_s() - busy) / 4
    print(f"{asked:.0f} requests a second: {frames / 4:.0f} frames a second, the page's thread was busy for {busy:.0%}")
    assert busy < 0.5
    assert page.js("document.querySelectorAll('#finished-rows tr').length") == 100
    keep(page, "flood")
