"""A live gateway, traffic through it, and a real browser on its dashboard."""

import os
from pathlib import Path

import pytest
from browser_rig import Provider, Site
from chromium import Chromium, executable

#: Where a person finds what the tests saw.
SHOTS = Path(os.environ.get("LMGW_SHOTS", Path(__file__).parents[2] / "build" / "screenshots"))


@pytest.fixture(scope="session")
def chromium():
    """The browser, one for all tests."""
    assert executable(), "no chromium here: apt-get install chromium (make test-browser does)"
    browser = Chromium()
    yield browser
    browser.close()


@pytest.fixture
def start(tmp_path):
    """Start a gateway."""
    started = []

    def start(**options):
        started.append(Site(tmp_path, **options))
        return started[-1]

    yield start
    for site in started:
        site.close()


@pytest.fixture
def provider():
    """Start a provider that answers chats with a status."""
    started = []

    def provider(status):
        started.append(Provider(status))
        return started[-1]

    yield provider
    for each in started:
        each.close()


@pytest.fixture
def look(chromium):
    """Open a page on a site; at the end nothing may have gone wrong in it, and it may have asked nobody else."""
    opened = []

    def look(site, at="", width=1440, height=1000, script=None, **media):
        page = chromium.page(width, height, **{"prefers_color_scheme": "light", **media})
        if script is not None:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        opened.append((site, page))
        page.open(site.url + at)
        return page

    yield look
    for site, page in opened:
        assert page.violations() == []
        assert [each for each in page.problems() if not any(words in each for words in page.expected)] == []
        assert [url for url in page.requested() if not url.startswith((site.url, "about:"))] == []
        page.close()


@pytest.fixture
def keep(request):
    """Keep a screenshot of a page under a name."""
    return lambda page, name: page.screenshot(SHOTS / f"{name}.png")
