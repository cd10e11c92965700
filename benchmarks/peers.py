"""Other gateways, for comparison in the same run: nginx, TensorZero and LiteLLM, each as its makers run it for speed.

nginx is Debian's; the other two are PyPI's, each in a virtual environment of its own below the folder of peers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gateways import KEY, Command, Recipe, Upstreams

_NGINX = """
worker_processes 1;
daemon off;
pid {name}.pid;
error_log {name}.err error;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  keepalive_timeout 600s;
  client_body_temp_path {name}_body;
  proxy_temp_path {name}_proxy;
  fastcgi_temp_path {name}_fastcgi;
  uwsgi_temp_path {name}_uwsgi;
  scgi_temp_path {name}_scgi;
  client_body_buffer_size 256k;
  client_max_body_size 32m;
  tcp_nodelay on;
  upstream up {{
    server 127.0.0.1:{upstream};
    keepalive 8192;
    keepalive_requests 1000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port} {listen};
    {more}
    location / {{
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""

_TENSORZERO = """
[gateway]
observability.enabled = false

[models.fake]
routing = ["up"]

[models.fake.providers.up]
type = "openai"
model_name = "fake"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "none"
"""
#: TensorZero's gateway comes on PyPI inside its Python client; it listens where it likes.
_START_TENSORZERO = """
import pathlib, threading
from tensorzero import _start_http_gateway
stores = dict(clickhouse_url=None, postgres_url=None, valkey_url=None)
gateway = _start_http_gateway(config_file="tensorzero.toml", async_setup=False, **stores)
pathlib.Path("tensorzero.url").write_text(gateway.base_url)
threading.Event().wait()
"""

_LITELLM = """
model_list:
  - model_name: fake
    litellm_params:
      model: openai/fake
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-none
litellm_settings:
  set_verbose: false
  num_retries: 0
  request_timeout: 600
  telemetry: false
general_settings:
  master_key: {key}
  disable_spend_logs: true
  disable_error_logs: true
"""
_LITELLM_ENVIRON = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "NO_DOCS": "True",
    "DISABLE_ADMIN_UI": "True",
}


class NotInstalled(Exception):
    """A peer that cannot take part, and why."""


# --- nginx


def nginx_path() -> str | None:
    """Return where nginx is, if it is."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def nginx_command(folder: Path, name: str, port: int, upstream: int, certificate: Path | None = None) -> Command:
    """Return what runs nginx as a proxy; with ``certificate`` (its key is beside it, ``.key``) it terminates TLS."""
    more = "" if certificate is None else f"ssl_certificate {certificate}; ssl_certificate_key {certificate}.key;"
    listen = "backlog=4096" if certificate is None else "backlog=4096 ssl"
    conf = folder / f"{name}.conf"
    conf.write_text(_NGINX.format(name=name, port=port, upstream=upstream, listen=listen, more=more))
    return Command([nginx_path() or "nginx", "-p", folder, "-c", conf])


def _nginx(peers: Path, install: bool) -> Recipe:
    if nginx_path() is None and install:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-qq", "-y", "--no-install-recommends", "nginx-light")
    path = nginx_path()
    if path is None:
        raise NotInstalled("nginx is not installed (Debian: nginx-light)")
    told = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr
    return Recipe(
        "nginx",
        told.partition("/")[2].strip(),
        lambda folder, port, upstreams: nginx_command(folder, "nginx", port, upstreams.plain),
        model="fake",
    )


# --- from PyPI


def _tensorzero(peers: Path, install: bool) -> Recipe:
    python = _environment(peers, "tensorzero", "tensorzero", install)

    def command(folder: Path, port: int, upstreams: Upstreams) -> Command:
        (folder / "tensorzero.toml").write_text(_TENSORZERO.format(upstream=upstreams.plain))
        return Command([python, "-c", _START_TENSORZERO], port_file=folder / "tensorzero.url")

    return Recipe(
        "tensorzero",
        _version(python, "tensorzero"),
        command,
        target="/openai/v1/chat/completions",
        model="tensorzero::model_name::fake",
    )


def _litellm(peers: Path, install: bool) -> Recipe:
    python = _environment(peers, "litellm", "litellm[proxy]", install)

    def command(folder: Path, port: int, upstreams: Upstreams) -> Command:
        (folder / "litellm.yaml").write_text(_LITELLM.format(upstream=upstreams.plain, key=KEY))
        words = [str(python.with_name("litellm")), "--config", "litellm.yaml", "--host", "127.0.0.1"]
        words += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        return Command(words, _LITELLM_ENVIRON)

    return Recipe("litellm", _version(python, "litellm"), command, model="fake")


def _environment(peers: Path, name: str, requirement: str, install: bool) -> Path:
    """Return the Python of a peer's virtual environment, made where there is none yet and ``install`` is asked for."""
    python = peers / name / "bin" / "python"
    done = peers / name / ".installed"
    if not done.exists() and install:
        _run(sys.executable, "-m", "venv", str(peers / name))
        _run(str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", requirement)
        done.touch()
    if not done.exists():
        raise NotInstalled(f"{name} is not installed (make bench-peers does it)")
    return python


def _version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _run(*words: str) -> None:
    try:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotInstalled(f"it could not be installed: {error}") from None


#: How each peer is found, or installed below (a folder) where it is missing and (the flag) says so.
PEERS: dict[str, Callable[[Path, bool], Recipe]] = {
    "nginx": _nginx,
    "tensorzero": _tensorzero,
    "litellm": _litellm,
}
