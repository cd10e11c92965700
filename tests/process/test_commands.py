"""``lmgw`` beside a gateway that runs: what an operator asks it."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from processes import LONG

LMGW = Path(sys.executable).parent / "lmgw"
CLASSIFY = """
[profiles.sorted]
mode = "classify"
classifier = "one"
"""


@pytest.fixture
def lmgw(environ):
    def run(*arguments, env=(), **options):
        command = [LMGW, *map(str, arguments)]
        options = {"capture_output": True, "text": True, "timeout": LONG, "cwd": "/"} | options
        return subprocess.run(command, env={**environ, **dict(env)}, **options)

    return run


@pytest.fixture
def path(config):
    path = config()
    path.write_text(path.read_text() + CLASSIFY)
    return path


@pytest.fixture
def gateway(start, path):
    return start("--config", path).serving()


@pytest.fixture
def ask(lmgw, gateway):
    """Run a command against the running gateway."""

    def run(command, *arguments, **options):
        return lmgw(command, "--url", f"http://{gateway.urls['admin']}", *arguments, **options)

    return run


# --- status ------------------------------------------------------------------------------------------------------


def test_status_of_a_gateway_that_is_ready(ask, path):
    done = ask("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert ", ok, ready\n" in done.stdout
    assert f"from {path}\n" in done.stdout


def test_status_names_what_is_missing(lmgw, start, path):
    path.write_text(path.read_text() + '[backends.b]\nbase_url = "http://127.0.0.1:9"\napi_key_env = "NO_SUCH_KEY"\n')
    gateway = start("--config", path).serving()
    done = lmgw("status", "--url", f"http://{gateway.urls['admin']}")
    assert done.returncode == 1
    assert "not ready: NO_SUCH_KEY not set" in done.stdout
    done = lmgw("status", "--json", "--url", f"http://{gateway.urls['admin']}")
    assert (done.returncode, json.loads(done.stdout)["missing"]) == (1, ["NO_SUCH_KEY"])


def test_status_finds_the_admin_port_in_the_configuration(lmgw, start, config, free_port):
    path = config(admin_port=free_port())
    start("--config", path).serving()
    assert lmgw("status", env={"LMG_CONFIG": str(path)}).returncode == 0


def test_status_of_nobody(lmgw):
    done = lmgw("status", "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "http://127.0.0.1:1/admin/health: connection refused: no gateway listens there\n"


def test_a_token_comes_from_the_environment(lmgw, start, config):
    gateway = start("--config", config("admin_token_env = 'MY_TOKEN'"), env={"MY_TOKEN": "secret"}).serving()
    url = f"http://{gateway.urls['admin']}"
    assert lmgw("status", "--url", url, "--token-env", "MY_TOKEN", env={"MY_TOKEN": "secret"}).returncode == 0
    assert lmgw("status", "--url", url, env={"LMG_ADMIN_TOKEN": "secret"}).returncode == 0
    refused = lmgw("status", "--url", url, env={"LMG_ADMIN_TOKEN": "wrong-one"})
    assert refused.returncode == 1
    assert "the token is missing or wrong" in refused.stderr
    assert "its token is read from $LMG_ADMIN_TOKEN" in refused.stderr
    assert "wrong-one" not in refused.stderr


def test_a_token_is_not_taken_elsewhere(lmgw):
    """A redirect is an answer, and not followed."""
    seen = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        done = lmgw("status", "--url", f"http://127.0.0.1:{server.server_port}", env={"LMG_ADMIN_TOKEN": "t"})
        server.shutdown()
        thread.join()
    assert (done.returncode, seen) == (1, ["/admin/health"])
    assert "302 Found" in done.stderr


# --- reload ------------------------------------------------------------------------------------------------------


def test_reload_says_what_changed(ask, path):
    path.write_text(path.read_text() + '[[tiers]]\nname = "two"\nbackend = "demo"\nmodel = "large"\n')
    done = ask("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert "+1 tier" in done.stdout


def test_reload_of_a_broken_file_is_exit_code_1_with_every_problem(ask, path):
    path.write_text("[gateway]\nclint_port = 1\nlog_level = 'loud'\n")
    done = ask("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert "clint_port" in done.stderr
    assert "log_level" in done.stderr
    done = ask("reload", "--json")
    assert (done.returncode, len(json.loads(done.stdout)["problems"])) == (1, 2)


# --- explain -----------------------------------------------------------------------------------------------------


def test_explain_says_where_a_request_would_go(ask):
    done = ask("explain", "--model", "one", "What is it?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tries one\n" in done.stdout


def test_explain_takes_circumstances_and_a_file(ask, tmp_path):
    request = tmp_path / "request.json"
    request.write_text('{"model": "sorted", "messages": [{"role": "user", "content": "Prove it"}]}')
    done = ask("explain", "--request", request, "--label", "complex", "--json")
    assert done.returncode == 0
    plan = json.loads(done.stdout)
    assert (plan["mode"], plan["label"], plan["question"]["tier"]) == ("classify", "complex", "one")


def test_explain_of_nonsense(ask, tmp_path):
    assert ask("explain", "--client", "nobody").returncode == 1
    (tmp_path / "request.json").write_text("{")
    assert ask("explain", "--request", tmp_path / "request.json").returncode == 2


# --- traffic -----------------------------------------------------------------------------------------------------


def send(gateway, model="one"):
    return gateway.ask("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "private"}]})


def test_traffic_shows_the_last_requests_oldest_first(ask, gateway):
    assert send(gateway)[0] == 200
    assert send(gateway, "nothing")[0] == 404
    shown = ask("traffic")
    assert (shown.returncode, shown.stderr) == (0, "")
    first, second = shown.stdout.splitlines()
    assert "  200  " in first
    assert "one (small)" in first
    assert "  404  " in second
    assert "private" not in shown.stdout
    assert len(ask("traffic", "-n", "1", "--json").stdout.splitlines()) == 1


def test_traffic_follows(gateway, environ):
    command = [LMGW, "traffic", "--follow", "--json", "--url", f"http://{gateway.urls['admin']}"]
    assert send(gateway)[0] == 200
    with subprocess.Popen(command, env=environ, stdout=-1, text=True, cwd="/") as following:
        try:
            assert json.loads(following.stdout.readline())["status"] == 200
            # It may not listen yet: ask until it has seen one.
            for _ in range(100):
                assert send(gateway, "nothing")[0] == 404
                if gateway.ask("/admin/traffic?limit=1", side="admin")[0] == 200 and _readable(following.stdout):
                    break
            assert json.loads(following.stdout.readline())["status"] == 404
        finally:
            following.kill()


def test_ctrl_c_ends_following_well(gateway, environ):
    command = [LMGW, "traffic", "--follow", "--url", f"http://{gateway.urls['admin']}"]
    assert send(gateway)[0] == 200
    with subprocess.Popen(command, env=environ, stdout=-1, stderr=-1, cwd="/") as following:
        try:
            following.stdout.readline()
            following.send_signal(signal.SIGINT)
            assert following.wait(LONG) == 0
            assert following.stderr.read() == b""
        finally:
            following.kill()


@pytest.mark.parametrize("command", ["status", "traffic", "explain", "check", "--help", "status --help"])
def test_a_reader_that_has_seen_enough_is_no_fault(gateway, environ, path, command):
    """``lmgw ... | head -1``; here nobody reads at all."""
    send(gateway)
    reading, writing = os.pipe()
    os.close(reading)
    asks = command.split()[-1] in ("status", "traffic", "explain")
    options = ["--url", f"http://{gateway.urls['admin']}"] if asks else []
    full = [LMGW, *command.split(), *options]
    done = subprocess.run(full, env={**environ, "LMG_CONFIG": str(path)}, stdout=writing, stderr=-1, timeout=LONG)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def _readable(stream):
    import select

    return bool(select.select([stream], [], [], 0.7)[0])


# --- init --------------------------------------------------------------------------------------------------------


@pytest.fixture
def ollama():
    """The address of a stand-in that has two chat models."""

    class Tags(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                json.dumps({"models": [{"name": "nomic-embed"}, {"name": "llama3.2"}, {"name": "qwen3:4b"}]}).encode()
            )

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Tags) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY")


@pytest.fixture
def init(lmgw, tmp_path):
    def run(*arguments, **env):
        path = tmp_path / "new" / "config.toml"
        env = dict.fromkeys(KEYS, "") | env
        return path, lmgw("init", "--config", path, *arguments, env=env)

    return run


def test_init_writes_what_is_found_and_no_key(init, lmgw, ollama):
    keys = {name: f"secret-{name}" for name in KEYS}
    path, done = init("--ollama", ollama, **keys)
    assert (done.returncode, done.stderr) == (0, "")
    text = path.read_text()
    assert "secret" not in text
    assert "# This Ollama has more models: qwen3:4b\n" in text
    checked = lmgw("check", "--config", path, "--strict", "--json", "--print", env=keys)
    assert checked.returncode == 0, checked.stderr
    facts = json.loads(checked.stdout)
    assert (facts["warnings"], facts["missing"]) == ([], [])
    tiers = [(tier["name"], tier["model"]) for tier in facts["config"]["tiers"]]
    assert tiers[0] == ("local:ollama", "llama3.2")
    assert tiers[-1] == ("cloud:anthropic", "claude-haiku-4-5-20251001")
    assert len(tiers) == 5


@pytest.mark.parametrize("name", [*KEYS, "OPENROUTER_KEY"])
def test_init_of_one_key_is_valid(init, lmgw, name):
    path, done = init("--ollama", "", **{name: "secret"})
    assert (done.returncode, done.stderr) == (0, "")
    assert lmgw("check", "--config", path, "--strict", env={name: "secret"}).returncode == 0


@pytest.mark.parametrize(("shells", "named"), [("/nowhere", LMGW.with_name("twistd")), (LMGW.parent, "twistd")])
def test_init_says_what_to_run_next_in_this_shell(init, shells, named):
    path, done = init("--ollama", "", OPENAI_API_KEY="x", PATH=str(shells))
    assert done.stdout.endswith(f" Next: {named} -n --pidfile= lmgw --config {path}\n")


def test_init_overwrites_nothing(init):
    path, _ = init("--ollama", "", OPENAI_API_KEY="x")
    path.write_text("mine")
    path, done = init("--ollama", "", OPENAI_API_KEY="x")
    assert done.returncode == 1
    assert "is there already: nothing was written" in done.stderr
    assert path.read_text() == "mine"


def test_init_of_nothing_says_what_there_is(init):
    path, done = init("--ollama", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "twistd -n lmgw --demo" in done.stderr
    assert not path.exists()


# --- check -------------------------------------------------------------------------------------------------------


def test_check_prints_what_would_be_in_force(lmgw, path):
    shown = json.loads(lmgw("check", "--config", path, "--print").stdout)
    assert shown["gateway"]["max_retries"] == 0
    assert "sorted" in shown["profiles"]


def test_check_tells_a_missing_key(lmgw, path):
    path.write_text(path.read_text() + '[backends.b]\nbase_url = "http://127.0.0.1:9"\napi_key_env = "NO_SUCH_KEY"\n')
    done = lmgw("check", "--config", path)
    assert done.returncode == 0
    assert "not ready: set NO_SUCH_KEY in the environment of the gateway" in done.stdout
    assert lmgw("check", "--config", path, "--strict").returncode == 1


def test_check_as_json_has_the_problems(lmgw, tmp_path):
    (tmp_path / "config.toml").write_text("[gateway]\nclint_port = 1\n")
    done = lmgw("check", "--json", "--config", tmp_path / "config.toml")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["valid"], len(facts["problems"])) == (1, False, 1)
    assert os.path.isabs(facts["path"])
