"""The gateway of this repository with everything on, and beside it a bare relay on the same parts."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from bars import free_port
from gateways import KEY, Command, Recipe, Upstreams

_GATEWAY = """
[gateway]
client_host = "127.0.0.1"
client_port = {port}
admin_port = {admin}
log_level = "info"

[aliases]
"bench:fake" = "openai"

[profiles.default]
mode = "dispatch"
classifier = "openai"

[[clients]]
name = "bench"
key_env = "LMG_BENCH_KEY"
profile = "default"
"""
_BACKEND = """
[backends.{name}]
provider = "{provider}"
base_url = "{url}"
api_key_env = "LMG_BENCH_PROVIDER_KEY"
{more}
[[tiers]]
name = "{name}"
backend = "{name}"
model = "fake"
input_price = 0.25
output_price = 2.0
"""
#: Our tiers: the provider behind each, and what else its backend needs.
_BACKENDS = {
    "openai": ("openai", ""),
    "anthropic": ("anthropic", ""),
    "ollama": ("ollama", ""),
    "responses": ("openai", 'responses = "native"'),
}


def _lmgw(folder: Path, port: int, upstreams: Upstreams) -> Command:
    plain = f"http://127.0.0.1:{upstreams.plain}"
    parts = [_GATEWAY.format(port=port, admin=free_port())]
    for name, (provider, more) in _BACKENDS.items():
        parts.append(_BACKEND.format(name=name, provider=provider, url=plain, more=more))
    if upstreams.certificate is not None:
        trust = f'ca_file = "{upstreams.certificate}"'
        url = f"https://127.0.0.1:{upstreams.tls}"
        parts.append(_BACKEND.format(name="tls", provider="openai", url=url, more=trust))
    (folder / "lmgw.toml").write_text("".join(parts))
    twistd = str(Path(sys.executable).with_name("twistd"))
    words = [twistd, "-n", "--pidfile=", "--logfile=lmgw.log", "lmgw", "--config", "lmgw.toml"]
    return Command(words, {"LMG_BENCH_KEY": KEY, "LMG_BENCH_PROVIDER_KEY": "sk-provider-not-a-secret"})


def _bare(folder: Path, port: int, upstreams: Upstreams) -> Command:
    return Command([sys.executable, Path(__file__).with_name("bare.py"), str(port), str(upstreams.plain)])


def lmgw() -> Recipe:
    """Client keys, an alias, a profile, prices, the traffic log, metrics, and the log at info to a file."""
    return Recipe("lmgw", version("lmgw"), _lmgw, model="bench:fake")


def bare() -> Recipe:
    """What our HTTP server and client cost with no gateway between them."""
    return Recipe("bare", version("lmgw"), _bare)
