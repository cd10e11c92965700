"""A live gateway with clients of several kinds, and traffic through it."""

import json
import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from processes import TWISTD, Gateway

CONFIG = """
[gateway]
client_host = "127.0.0.1"
client_port = 0
admin_port = {admin_port}
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
        self._parts = {"gateway": gateway, "backends": backends, "tiers": tiers, "admin_port": 0}
        self._clients = CLIENTS if clients else ""
        self._callers = ThreadPoolExecutor(16)
        self._stopped = threading.Event()
        self._start(env)

    def _start(self, env):
        self.write()
        unwanted = re.compile("LMG_|NOTIFY_SOCKET|WATCHDOG_|LISTEN_|PYTHONPATH")
        environ = {name: value for name, value in os.environ.items() if not unwanted.match(name)}
        command = [TWISTD, "-n", "--pidfile=", "lmgw", "--config", self.path]
        self._gateway = Gateway(command, env={**environ, **KEYS, **dict(env)}, cwd="/")
        self._gateway.serving()
        self.url = f"http://{self._gateway.urls['admin']}/"

    @property
    def client_url(self):
        """Where its clients go."""
        return f"http://{self._gateway.urls['client']}"

    def restart(self, env=()):
        """End it and start it again behind the same admin port, in another environment."""
        self._gateway.close()
        self._parts["admin_port"] = int(self.url.rstrip("/").rpartition(":")[2])
        self._start(env)

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

    def post(self, path, body, key="HOME_KEY"):
        """One request of any dialect; returns its status."""
        connection = HTTPConnection(self._gateway.urls["client"], timeout=30)
        try:
            connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {KEYS[key]}"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
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

    def flood(self, per_second, connections=4):
        """Keep asking for what costs nothing, at this rate where the machine can; returns a function that counts."""
        done = [0] * connections
        body = json.dumps({"model": "closed", "messages": [{"role": "user", "content": "Hi"}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {KEYS['CI_KEY']}\r\n"
        asked = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        batch = max(1, per_second // connections // 50)

        def caller(i):
            host, _, port = self._gateway.urls["client"].rpartition(":")
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=30) as connection:
                due = time.monotonic()
                while not self._stopped.wait(max(0.0, due - time.monotonic())):
                    due = max(due + batch * connections / per_second, time.monotonic() - 1)
                    connection.sendall(asked * batch)  # pipelined: this side must cost little
                    answered = b""
                    while answered.count(b'"finish_reason"') < batch:
                        piece = connection.recv(1 << 16)
                        if not piece:
                            return
                        answered += piece
                    done[i] += batch

        for i in range(connections):
            self._callers.submit(caller, i)
        return lambda: sum(done)

    def close(self):
        self._stopped.set()
        self._callers.shutdown(wait=False, cancel_futures=True)
        self._gateway.close()


class Provider:
    """Answers every chat with one status, and what an Ollama server is asked about itself."""

    MODELS = {"models": [{"name": "qwen3:14b", "size": 10_200_000_000, "size_vram": 9_300_000_000}]}

    def __init__(self, status):
        shown = self.MODELS

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.reply(200, {**shown, "version": "0.12.0"})

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.reply(status, {"error": {"type": "authentication_error", "message": "invalid x-api-key"}})

            def reply(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_): ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
