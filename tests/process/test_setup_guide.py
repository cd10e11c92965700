"""docs/setup.md, walked from top to bottom in a clean folder: its files, its commands in its order, its claims.

``docker`` is stood in for by the same process, with the same environment and files, through the image's entrypoint;
``sudo``, ``nano`` and ``ssh`` are stood in for too. Everything else is what it is.
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from processes import NOBODY

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "setup.md").read_text()
#: Everything on the guide's ports listens here: others may have 8080 on the usual address.
ADDRESS = "127.0.0.78"
GOOD_KEY = "sk-ant-$a 'good' #one".replace(" ", "")

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def prefix():
    """What the entrypoint is started with: nothing, unless the user that it becomes may not run this Python."""
    if os.geteuid():
        return ()
    try:
        subprocess.run([sys.executable, "-V"], user=10001, group=10001, extra_groups=[], check=True)
    except (OSError, subprocess.CalledProcessError):
        return NOBODY
    return ()


PREFIX = prefix()

DOCKER = f"""#!{sys.executable}
import os, signal, subprocess, sys
from pathlib import Path

home = Path(os.environ["WALK"])
pid, log, stack = home / "pid", home / "log", home / "opt/stacks/lm-gateway"


def stop():
    if pid.exists():
        number = int(pid.read_text())
        end = os.pidfd_open(number)
        os.kill(number, signal.SIGTERM)
        import select
        assert select.select([end], [], [], 30)[0], "it did not stop"
        pid.unlink()


def start():
    assert (stack / "compose.yaml").exists() and (home / "etc/lm-gateway").is_dir() and (stack / ".env").is_file()
    environ = {{
        "PATH": os.environ["GATEWAY_PATH"], "LMG_ENV_FILE": str(stack / ".env"),
        "LMG_CONFIG": str(home / "etc/lm-gateway/config.toml"),
        "LMG_CLIENT_HOST": "{ADDRESS}", "LMG_ADMIN_HOST": "{ADDRESS}",
    }}
    command = [*{PREFIX}, sys.executable, "-P", "-m", "lmgw.entrypoint"]
    reader, writer = os.pipe()
    if os.fork() == 0:  # nobody's child: whoever waits for it waits by its pidfd
        process = subprocess.Popen(command, cwd="/", env=environ, stdout=log.open("ab"), stderr=-2,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
        os.write(writer, str(process.pid).encode())
        os._exit(0)
    pid.write_text(os.read(reader, 20).decode())


match sys.argv[1:]:
    case ["build", "-t", "lmgw", folder]:
        assert (Path(folder) / "Dockerfile").exists()
    case ["compose", "up", "-d"]:
        start()
    case ["compose", "restart", "lm-gateway"]:
        stop()
        start()
    case ["compose", "kill", "-s", "HUP", "lm-gateway"]:
        os.kill(int(pid.read_text()), signal.SIGHUP)
    case ["compose", "logs", "lm-gateway"]:
        print(log.read_text())
    case ["compose", "exec", *rest]:
        command = [word.replace("127.0.0.1", "{ADDRESS}") for word in rest if word not in ("-T", "lm-gateway")]
        environ = {{"PATH": os.environ["GATEWAY_PATH"], "LMG_CONFIG": str(home / "etc/lm-gateway/config.toml")}}
        sys.exit(subprocess.run(command, env=environ).returncode)
    case other:
        sys.exit(f"the guide has a command that this test does not know: {{other}}")
"""

STAND_INS = {
    "docker": DOCKER,
    "sudo": '#!/bin/sh\n[ "$1" = -n ] && shift\n[ "$1" = chown ] && exit\nexec "$@"\n',
    "nano": '#!/bin/sh\ncp "$WALK/typed" "$1"\n',
    "ssh": '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n',
    "curl": f'#!/bin/sh\nfor word; do shift; set -- "$@" "$(printf %s "$word" | sed s,//localhost:,//{ADDRESS}:,)"; '
    f'done\nexec {shutil.which("curl")} -s "$@"\n',
}


class Provider(BaseHTTPRequestHandler):
    """Anthropic, as far as one key and one answer go."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["x-api-key"] == GOOD_KEY:
            return self._answer(200, "text/event-stream", STREAM)
        error = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
        return self._answer(401, "application/json", json.dumps(error))

    def _answer(self, status, kind, text):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


_EVENTS = (
    {"type": "message_start", "message": {"id": "m", "model": "x", "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Good day to you!"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
)
STREAM = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _EVENTS)


class Server(ThreadingHTTPServer):
    """One that does not mind when the gateway ends."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Walk:
    """A server with nothing on it but this repository, and somebody who does what the guide says."""

    def __init__(self, home, provider):
        self.home, self.provider = home, provider
        self.stack, self.config = home / "opt/stacks/lm-gateway", home / "etc/lm-gateway/config.toml"
        self.environ = {
            "WALK": str(home),
            "HOME": str(home),
            "PATH": f"{home}/bin:{os.environ['PATH']}",
            "GATEWAY_PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        (home / "lmgw").symlink_to(ROOT)
        (home / "bin").mkdir()
        for name, text in STAND_INS.items():
            (home / "bin" / name).write_text(text)
            (home / "bin" / name).chmod(0o755)

    def do(self, commands, typed="", value="", check=True):
        """Run a block of commands; ``typed`` is what goes into the editor. Returns what they print."""
        commands = re.sub(r"(?<=[ =])/(opt|etc)/", rf"{self.home}/\1/", commands)
        if "update-secret.sh" in commands:
            commands = f"{commands.rstrip()} --directory {self.stack}"
        (self.home / "typed").write_text(typed.replace("https://api.anthropic.com", self.provider))
        cwd = self.stack if self.stack.exists() else self.home
        command = ["bash", "-e", "-o", "pipefail", "-c", commands]
        done = subprocess.run(command, cwd=cwd, env=self.environ, input=value, capture_output=True, text=True)
        if check and done.returncode:
            log = self.home / "log"
            pytest.fail(f"{commands}\n{done.stdout}{done.stderr}\n{log.read_text() if log.exists() else ''}")
        return done.stdout + done.stderr

    def section(self, title):
        """The blocks of a section, as pairs of language and text."""
        text = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)[1]
        return re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    def follow(self, title, **given):
        """Do what a section says; what follows an editor's command is what is typed. Returns what was printed last."""
        blocks, shown = self.section(title), ""
        for (language, text), (_, after) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
            if language == "bash":
                shown = self.do(text, **({"typed": after} if "nano" in text else {}) | given)
        return shown

    def ask(self, path, port=8080):
        return json.loads(self.do(f"curl http://localhost:{port}{path}"))

    @property
    def log(self):
        return self.do("sudo docker compose logs lm-gateway")

    def ended(self):
        """Wait for the gateway to end by itself."""
        pid = self.home / "pid"
        with suppress(ProcessLookupError), open(os.pidfd_open(int(pid.read_text())), "rb", buffering=0) as end:
            assert select.select([end], [], [], 30)[0]
        pid.unlink()

    def restart(self, env=None):
        if env is not None:
            (self.stack / ".env").write_text(env)
        self.do("sudo docker compose restart lm-gateway")
        self.do("curl -fsS --retry 30 --retry-delay 1 --retry-all-errors http://localhost:8080/healthz")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    home = tmp_path_factory.mktemp("walk")
    for folder in (home, home.parent, home.parent.parent):
        with suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o055)
    with Server(("127.0.0.1", 0), Provider) as provider:
        thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Walk(home, f"http://127.0.0.1:{provider.server_port}")
        provider.shutdown()
        thread.join()
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((home / "pid").read_text()), signal.SIGKILL)


def test_the_guide_walked_from_top_to_bottom(walk):
    """One walk, for each step stands on those before it."""
    for title in ("1. Create the stack directory", "2. Get the compose file", "3. Create the config file"):
        walk.follow(title)
    assert (walk.stack / "compose.yaml").exists()
    assert 'api_key_env = "ANTHROPIC_API_KEY"' in walk.config.read_text()
    walk.follow("4. Set API keys")
    assert (walk.stack / ".env").read_text() == "ANTHROPIC_API_KEY=sk-ant-...\nOPENROUTER_KEY=sk-or-...\n"
    assert (walk.stack / ".env").stat().st_mode & 0o777 == 0o600
    walk.follow("5. Start the gateway")

    # 6. The placeholder is no key: alive and not ready; what is missing stands in the log and on the admin port alone.
    liveness, look, first = (text for _, text in walk.section("6. Verify"))
    shown = walk.do(liveness)
    assert '{"status":"ok"}' in shown
    assert '"ready":false' in shown
    assert "ANTHROPIC" not in shown
    assert walk.ask("/status")["setup_url"] == "/setup"
    assert "GET /admin/health" in walk.do("curl http://localhost:8080/setup")
    shown = walk.do(look)
    assert "ANTHROPIC_API_KEY still holds the guide's placeholder" in shown
    assert '"missing":["ANTHROPIC_API_KEY"]' in shown

    # A rotation by hand: the restart is what makes it known.
    ((_, by_hand), (_, by_script), (language, _)) = walk.section("Updating an API key")
    assert language == "powershell"
    (walk.stack / ".env").write_text(f"ANTHROPIC_API_KEY={GOOD_KEY}\n")
    assert walk.ask("/status")["ready"] is False
    walk.do("sudo docker compose kill -s HUP lm-gateway")
    assert walk.ask("/status")["ready"] is False
    shown = walk.do(by_hand, typed=f"# mine\nANTHROPIC_API_KEY={GOOD_KEY}\n")
    assert '"ready":true' in shown
    assert "setup_url" not in shown
    assert "Good day to you!" in walk.do(first)
    assert walk.do(first).endswith("data: [DONE]\n\n")

    # By script, over ssh: a key that the provider does not know, and then the good one again.
    assert "lm-gateway is ready" in walk.do(by_script, value="sk-ant-wrong")
    shown = walk.do(first.replace("curl ", "curl -i "))
    assert "HTTP/1.1 502 " in shown
    assert "401" in shown.partition("\n\n")[2]
    assert "wrong" not in shown
    (trouble,) = walk.ask("/admin/health", 8081)["troubles"]
    assert re.search(
        r"refused ANTHROPIC_API_KEY \(401\): .*; the key was read at .*start.*, .* ago", trouble["sentence"]
    )
    assert "refused ANTHROPIC_API_KEY (401)" in walk.log
    assert "lm-gateway is ready" in walk.do(by_script, value=GOOD_KEY)
    assert (walk.stack / ".env").read_text() == f"# mine\nANTHROPIC_API_KEY={GOOD_KEY}\n"
    assert "Good day to you!" in walk.do(first)

    # Keys are in no log, and in no answer.
    for text in (walk.log, walk.do("curl http://localhost:8081/admin/config http://localhost:8081/admin/health")):
        assert GOOD_KEY not in text
        assert "sk-ant-wrong" not in text

    # Changing the configuration.
    shown = walk.follow("Changing the configuration")
    assert "is valid" in shown
    assert "ANTHROPIC_API_KEY is not set" in shown
    good = walk.config.read_text()
    walk.config.write_text(good.replace("client_port", "clint_port"))
    assert "clint_port: unknown key" in walk.do("sudo docker compose exec lm-gateway lmgw check", check=False)
    walk.do("sudo docker compose kill -s HUP lm-gateway")
    assert walk.ask("/healthz") == {"status": "ok"}

    # Troubleshooting: what does not listen says why in the last line of its log.
    walk.do("sudo docker compose restart lm-gateway")
    walk.ended()
    assert "config.toml: gateway.clint_port: unknown key" in walk.log.strip().splitlines()[-1]
    walk.config.write_text(good)
    walk.do("sudo docker compose up -d")
    walk.restart("ANTHROPIC_API_KEY=\n")
    assert walk.ask("/status")["ready"] is False
    walk.restart("ANTHROPIC_API_KEY_=x\n")
    assert walk.ask("/status")["ready"] is False
    assert "ANTHROPIC_API_KEY is not set" in walk.log
    walk.restart(f"ANTHROPIC_API_KEY={GOOD_KEY}\n")
    assert walk.ask("/status")["ready"] is True


def test_what_the_guide_links_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
