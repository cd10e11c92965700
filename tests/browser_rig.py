"""A live gateway with clients of several kinds, and traffic through it."""

import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException

from processes import TWISTD, Gateway

CONFIG = """
[gateway]
client_host = "127.0.0.1"
client_port = 0
admin_port = 0
health_cooldown_ms = 3600000
{gateway}
[backends.house]
provider = "demo"
[backends.cloud]
provider = "demo"
{backends}
[[tiers]]
name = "local:instant"
backend = "house"
model = "qwen3:1.7b"
input_price = 0.0
output_price = 0.0
[[tiers]]
name = "local:fast"
backend = "house"
model = "qwen3:14b"
max_concurrent = 2
failover = ["cloud:capable"]
input_price = 0.0
output_price = 0.0
[[tiers]]
name = "cloud:capable"
backend = "cloud"
model = "claude-sonnet"
input_price = 3.0
output_price = 15.0
{tiers}
[profiles.default]
mode = "dispatch"
classifier = "local:fast"
[profiles.auto]
mode = "escalate"
classifier = "local:instant"
[profiles.closed]
mode = "reply"
reply_message = "Closed."
"""
CLIENTS = """
[[clients]]
name = "home-assistant"
key_env = "HOME_KEY"
profile = "default"
profiles = ["*"]
[[clients]]
name = "open-webui"
key_env = "WEBUI_KEY"
profile = "default"
profiles = ["*"]
[[clients]]
name = "ci-bot"
key_env = "CI_KEY"
profile = "default"
profiles = ["*"]
"""
KEYS = {"HOME_KEY": "home-key-0123456789", "WEBUI_KEY": "webui-key-0123456789", "CI_KEY": "ci-key-0123456789"}


class Site:
    """A gateway of real size and its callers."""

    def __init__(self, folder, gateway="", backends="", tiers="", env=(), clients=True):
        self.path = folder / "config.toml"
        self._parts = {"gateway": gateway, "backends": backends, "tiers": tiers}
        self._clients = CLIENTS if clients else ""
        self.write()
        unwanted = re.compile("LMG_|NOTIFY_SOCKET|WATCHDOG_|LISTEN_|PYTHONPATH")
        environ = {name: value for name, value in os.environ.items() if not unwanted.match(name)}
        command = [TWISTD, "-n", "--pidfile=", "lmgw", "--config", self.path]
        self._gateway = Gateway(command, env={**environ, **KEYS, **dict(env)}, cwd="/")
        self._gateway.serving()
        self.url = f"http://{self._gateway.urls['admin']}/"
        self._callers = ThreadPoolExecutor(16)
        self._stopped = threading.Event()

    def write(self, more="", **parts):
        """Write the configuration, with parts of it changed."""
        self.path.write_text(CONFIG.format(**{**self._parts, **parts}) + self._clients + more)

    def ask(self, words="Hello there", model="default", key="HOME_KEY", stream=True, limit=20, **headers):
        """One request, read to its end; returns the status, and the id that the gateway gave it."""
        connection = HTTPConnection(self._gateway.urls["client"], timeout=30)
        messages = [{"role": "user", "content": words}]
        body = {"model": model, "stream": stream, "max_tokens": limit, "messages": messages}
        headers = {"Authorization": f"Bearer {KEYS.get(key, key)}", **headers}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            with suppress(HTTPException):  # an answer that breaks off
                answer.read()
            return answer.status, answer.headers["X-Request-ID"]
        finally:
            connection.close()

    def later(self, *arguments, **options):
        """The same, while the test goes on."""
        return self._callers.submit(self.ask, *arguments, **options)

    def flow(self):
        """Keep traffic of every kind flowing until the end."""
        plan = [
            ("Tell me a story", {"model": "auto", "key": "HOME_KEY", "limit": 40}),
            ("Summarise this page", {"model": "local:fast", "key": "WEBUI_KEY", "limit": 60}),
            ("Translate it", {"model": "cloud:capable", "key": "WEBUI_KEY"}),
            ("I cannot help", {"model": "auto", "key": "CI_KEY"}),
            ("Be quick", {"model": "local:instant", "key": "CI_KEY", "limit": 8}),
        ]

        def caller(words, options):
            while not self._stopped.is_set():
                with suppress(OSError):
                    if self.ask(words, **options)[0] != 200:
                        break

        for words, options in plan:
            self._callers.submit(caller, words, options)

    def flood(self, connections=4):
        """Keep asking for what costs nothing, on connections that are kept; returns a function that counts."""
        done = [0] * connections
        body = json.dumps({"model": "closed", "messages": [{"role": "user", "content": "Hi"}]})
        headers = {"Authorization": f"Bearer {KEYS['CI_KEY']}"}

        def caller(i):
            connection = HTTPConnection(self._gateway.urls["client"], timeout=30)
            with closing(connection), suppress(OSError, HTTPException):
                while not self._stopped.is_set():
                    connection.request("POST", "/v1/chat/completions", body, headers)
                    connection.getresponse().read()
                    done[i] += 1

        for i in range(connections):
            self._callers.submit(caller, i)
        return lambda: sum(done)

    def close(self):
        self._stopped.set()
        self._callers.shutdown(wait=False, cancel_futures=True)
        self._gateway.close()
