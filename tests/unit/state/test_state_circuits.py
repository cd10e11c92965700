"""Which circuits stand in front of a tier, also while a reload moves it."""

from lmgw.config.snapshot import Backend, Config, Gateway, Tier
from lmgw.core.retry import Verdict
from lmgw.errors import UpstreamFailed
from lmgw.state.circuits import Circuits

NOW = 1000.0


def config(backend: str) -> Config:
    backends = {name: Backend(name, base_url="http://127.0.0.1:1") for name in ("old", "new")}
    return Config(gateway=Gateway(), backends=backends, tiers={"fast": Tier("fast", backend, "m")})


def test_a_request_begun_before_a_reload_counts_where_it_was_sent():
    before, after = config("old").tiers["fast"], config("new").tiers["fast"]
    circuits = Circuits()
    circuits.adopt(config("old"))
    circuits.adopt(config("new"))
    refused = Verdict(UpstreamFailed("refused"), circuit="backend", trips=True)
    circuits.enter(before, NOW).failed(NOW, refused, 0.0)
    assert circuits.backend("old").is_open
    assert not circuits.available(before, NOW)
    assert circuits.available(after, NOW)
    assert circuits.open_until(after) is None
