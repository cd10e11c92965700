"""Which backends are taken to have the Responses API, and what is learned of them."""

import pytest
from twisted.logger import capturedLogs

from lmgw.config.snapshot import Backend, Config, Provider, Tier
from lmgw.gateway.runtime import Runtime
from lmgw.state.learned import Learned


@pytest.mark.parametrize(
    ("backend", "has"),
    [
        ({"base_url": "https://api.openai.com"}, True),
        ({"base_url": "https://api.openai.com", "responses": "translate"}, False),
        ({"base_url": "http://localhost:8000"}, False),
        ({"base_url": "http://localhost:8000", "responses": "native"}, True),
        ({"base_url": "http://localhost:8000", "responses": "native", "provider": Provider.OPENROUTER}, True),
        ({"base_url": "http://localhost:8000", "responses": "native", "provider": Provider.OLLAMA}, False),
    ],
)
def test_a_backend_has_the_api_where_it_is_openais_or_said_so(backend, has):
    config = Config(backends={"b": Backend("b", **backend)}, tiers={"t": Tier("t", "b", "m")})
    assert Runtime.prepare(config).lanes["t"].responses is has


def test_what_was_learned_is_told_once_and_forgotten_at_a_reload():
    learned = Learned()
    assert learned.has_responses("b")
    with capturedLogs() as logs:
        learned.no_responses("b", 404)
        learned.no_responses("b", 404)
    assert [event["backend"] for event in logs] == ["b"]
    assert not learned.has_responses("b")
    assert learned.has_responses("other")
    learned.adopt()
    assert learned.has_responses("b")
