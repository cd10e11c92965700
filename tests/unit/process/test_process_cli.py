import gc
import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lmgw import tap
from lmgw.cli import Options, main
from lmgw.version import VERSION

GOOD = """
[backends.demo]
provider = "demo"
[[tiers]]
name = "one"
backend = "demo"
model = "small"
"""


@pytest.fixture
def server():
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()
            self.wfile.write(b'{"status":"ok"}')

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as it:
        thread = threading.Thread(target=it.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield it.server_port
        it.shutdown()
        thread.join()


@pytest.fixture
def config(tmp_path, monkeypatch):
    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text)
        monkeypatch.setenv("LMG_CONFIG", str(path))
        return path

    return write


@pytest.mark.parametrize("command", [[], *([it[0]] for it in Options.subCommands)])
def test_help_shows_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert not end.value.code
    shown = capsys.readouterr().out
    assert f"Usage: lmgw {command[0] if command else 'COMMAND'} [options]" in shown
    assert "Examples:\n  " in shown


@pytest.mark.parametrize("command", [[], ["check"]])
def test_the_version_is_the_packages(command, capsys):
    with pytest.raises(SystemExit):
        main([*command, "--version"])
    assert capsys.readouterr().out == f"lmgw {VERSION}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["dance"], ["check", "--what"], ["check", "word"], ["hash-key", "sk-secret"], ["init", "--ollama", "x"]),
        *(["healthcheck", "--timeout", value] for value in ("x", "0", "-1", "nan", "inf")),
        *(["healthcheck", "-u", url] for url in ("file:///", "x", "http://", "http://h:99999", "http://a b")),
        *(["traffic", "--limit", value] for value in ("x", "0", "-5", "1.5", "²")),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_in_one_line(arguments, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("lmgw: ")
    assert shown.err.count("\n") == 1
    assert "secret" not in shown.err


def test_check_says_what_a_good_configuration_has(config, capsys):
    path = config(GOOD)
    assert main(["check"]) == 0
    assert f"{path} is valid" in capsys.readouterr().out


def test_check_names_every_problem(config, capsys):
    path = config(GOOD + "[gateway]\nclient_prt = 1\nadmin_port = 'x'\n")
    assert main(["check", "--config", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "client_prt" in shown.err
    assert "admin_port" in shown.err


def test_check_shows_warnings_and_stays_well(config, capsys):
    config(GOOD + '[backends.x]\nbase_url = "https://x.example"\napi_key_env = "LMG_TEST_NOT_SET"\n')
    assert main(["check"]) == 0
    assert "warning: " in capsys.readouterr().out


def test_hash_key_reads_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("  a team's key \r\n"))
    assert main(["hash-key"]) == 0
    assert capsys.readouterr().out.strip() == hashlib.sha256(b"a team's key").hexdigest()


def test_hash_key_of_nothing_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main(["hash-key"]) == 1
    assert capsys.readouterr().err == "no key was given\n"


def test_healthcheck_is_well_when_the_gateway_answers(server, capsys):
    assert main(["healthcheck", "--url", f"http://127.0.0.1:{server}/healthz"]) == 0
    assert capsys.readouterr().out == '{"status":"ok"}\n'


def test_healthcheck_finds_the_port_in_the_configuration(server, config, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    config(GOOD + f"[gateway]\nclient_port = {server}\n")
    assert main(["healthcheck"]) == 0


@pytest.mark.parametrize("path", ["/readyz", "/"])
def test_healthcheck_is_not_well_when_the_answer_is_not(server, path, capsys):
    assert main(["healthcheck", "--url", f"http://127.0.0.1:{server}{path}"]) == 1
    assert "Service Unavailable" in capsys.readouterr().err


def test_healthcheck_says_when_nobody_listens(capsys):
    assert main(["healthcheck", "--url", "http://127.0.0.1:1/healthz"]) == 1
    assert capsys.readouterr().err == "http://127.0.0.1:1/healthz: connection refused: no gateway listens there\n"


def test_healthcheck_asks_for_the_url_of_an_endpoint(config, capsys):
    config(GOOD + '[gateway]\nclient_endpoint = "unix:/run/l.sock"\n')
    assert main(["healthcheck"]) == 2
    assert "--url" in capsys.readouterr().err


def test_a_broken_configuration_is_named_where_the_gateway_is_looked_for_elsewhere(config, capsys):
    path = config("[gateway\n")
    assert main(["status"]) == 1
    assert capsys.readouterr().err.startswith(f"{path} does not load (lmgw check says why): ")


def test_a_start_that_fails_leaves_the_garbage_collector_at_work(tmp_path):
    twistd = {"pidfile": "", "nodaemon": True, "syslog": True, "logfile": None}
    options = tap.Options()
    options.parent = twistd
    options.parseOptions(["--config", str(tmp_path / "none.toml")])
    with pytest.raises(SystemExit, match=r"none\.toml"):
        tap.makeService(options)
    assert gc.isenabled()
