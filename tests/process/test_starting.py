"""``twistd lmgw`` from any folder, by any user, in the foreground, as a daemon, as process 1 — or in words why not."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from processes import LONG, NOBODY, TWISTD, Lines

from lmgw.version import VERSION

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def run(*arguments, prefix=(), cwd="/", env=None):
    command = [*prefix, TWISTD, *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=LONG)


def test_it_serves_when_it_says_so_and_ends_with_0(start, config):
    gateway = start("--config", config()).serving()
    assert gateway.ask("/healthz") == (200, {"status": "ok"})
    gateway.signal(signal.SIGTERM)
    assert gateway.ended() == 0
    assert gateway.log.rest()[-1].endswith(" info  stopped")


def test_its_first_lines_say_what_runs_and_with_which_configuration(start, config):
    path = config()
    gateway = start("--config", path).serving()
    shown = "\n".join(gateway.log.seen)
    assert f"lmgw {VERSION} (Twisted" in shown
    assert re.search(rf"configuration [0-9a-f]{{7}} from {path}", shown)


@pytest.mark.parametrize("given", ["argument", "variable"])
def test_a_relative_path_is_one_of_the_folder_it_starts_in(start, config, given):
    path = config()
    arguments, env = (["--config", path.name], {}) if given == "argument" else ([], {"LMG_CONFIG": path.name})
    gateway = start(*arguments, env=env, cwd=path.parent, before=("-n", "--pidfile=", "--rundir=/")).serving()
    assert gateway.ask("/admin/reload", {}, "admin")[0] == 200


@as_root
@pytest.mark.parametrize("before", [("-n",), ("-n", "--pidfile=")], ids=["default pidfile", "no pidfile"])
def test_another_user_in_a_folder_that_it_cannot_write(start, config, folder, before):
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    gateway = start("--config", config(), before=before, cwd=locked, prefix=NOBODY).serving()
    assert gateway.ask("/healthz")[0] == 200
    gateway.signal(signal.SIGTERM)
    assert gateway.ended() == 0
    assert not list(locked.iterdir())


@as_root
def test_a_pidfile_that_was_asked_for_must_be_writable(config, folder, environ):
    path = folder / "twistd.pid"
    done = run("-n", f"--pidfile={path}", "lmgw", "--config", config(), env=environ, prefix=NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"cannot write the pidfile {path}; name another: twistd --pidfile=FILE lmgw\n"


@as_root
def test_it_drops_to_another_user_after_it_has_opened_a_low_port(start, config):
    gateway = start("--config", config(client_port=89), before=("-n", "--pidfile=", "--uid=65534")).serving()
    assert gateway.ask("/healthz")[0] == 200
    assert os.stat(f"/proc/{gateway.pid}").st_uid == 65534


@as_root
def test_as_process_1_it_drains_and_ends_with_0(start, config):
    gateway = start("--config", config(), prefix=("unshare", "--pid", "--fork", "--kill-child")).serving()
    assert any(line.endswith(", process 1") for line in gateway.log.seen)
    child = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text()
    os.kill(int(child), signal.SIGTERM)
    assert gateway.ended() == 0
    assert gateway.log.rest()[-1].endswith(" stopped")


@pytest.fixture
def daemon(config, folder, environ):
    """Start a daemon in a folder, its log read through a pipe; returns its pid and the lines."""
    pids = []

    def start(*before):
        pipe = folder / "lmgw.log"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        arguments = ["--pidfile=lmgw.pid", "--logfile=lmgw.log", *before, "lmgw", "--config", config().name]
        done = run(*arguments, cwd=folder, env=environ)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        pids.append(int((folder / "lmgw.pid").read_text()))
        return pids[0], Lines(open(reader))

    yield start
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_daemon_reloads_and_stops(daemon, folder, config):
    pid, log = daemon()
    url = log.wait_for(r"client port: listening on http://(\S+)")[1]
    log.wait_for(" ready$")
    host, port = url.split(":")
    socket.create_connection((host, int(port)), LONG).close()
    end = os.pidfd_open(pid)
    config("log_level = 'debug'")
    os.kill(pid, signal.SIGHUP)
    log.wait_for(r"reloaded [0-9a-f]{7}: gateway \(log_level\)")
    os.kill(pid, signal.SIGTERM)
    log.wait_for(" stopped$")
    assert select.select([end], [], [], LONG)[0]
    os.close(end)
    assert not (folder / "lmgw.pid").exists()


def test_a_daemon_needs_a_log_that_it_can_write(config, environ):
    done = run("--logfile=/no/such/folder/log", "--pidfile=", "lmgw", "--config", config(), env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "cannot write the log /no/such/folder/log: No such file or directory; name another: --logfile=FILE\n"
    )


def test_a_daemon_has_no_stdout(config, environ):
    done = run("--logfile=-", "--pidfile=", "lmgw", "--config", config(), env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a daemon has no stdout" in done.stderr


# --- what stops it from starting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [("-n",), ("--logfile=/dev/null",)], ids=["foreground", "daemon"])
def test_a_bad_configuration_is_told_whole_and_alone(config, environ, mode):
    path = config("clint_port = 1\nlog_level = 'loud'")
    done = run(*mode, "--pidfile=", "lmgw", "--config", path, env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    first, second = sorted(done.stderr.splitlines())
    assert "config.toml: gateway.clint_port: unknown key" in first
    assert "config.toml: gateway.log_level: " in second


def test_a_configuration_that_is_not_there(environ):
    done = run("-n", "--pidfile=", "lmgw", "--config", "/no/such/file.toml", env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("/no/such/file.toml: no such file: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("mode", [("-n",), ("--logfile=/dev/null",)], ids=["foreground", "daemon"])
@pytest.mark.parametrize("side", ["client", "admin"])
def test_a_busy_port_is_told_and_nothing_runs(config, environ, free_port, mode, side):
    other = free_port()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        client, admin = (taken, other) if side == "client" else (other, taken)
        path = config(client_port=client, admin_port=admin)
        done = run(*mode, "--pidfile=", "lmgw", "--config", path, env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"{side} port {taken} on 127\.0\.0\.1: address already in use.*\n", done.stderr)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", other))


def test_demo_and_config_exclude_each_other(environ):
    done = run("-n", "--pidfile=", "lmgw", "--demo", "--config", "x", env=environ)
    assert done.returncode == 1
    assert done.stdout.endswith(": --demo brings its own configuration: leave --config out\n")


# --- what it prints ----------------------------------------------------------------------------------------------


def test_version(environ):
    done = run("lmgw", "--version", env=environ)
    assert re.fullmatch(rf"lmgw {re.escape(VERSION)} \(Twisted \S+, Python {sys.version.split()[0]}\)\n", done.stdout)


def test_help_shows_examples(environ):
    done = run("lmgw", "--help", env=environ)
    assert done.returncode == 0
    assert "twistd -n lmgw --demo" in done.stdout


def test_the_demo_says_what_to_try(start):
    """On an address of its own: the demo has the ports that everybody tries first."""
    gateway = start("--demo", env={"LMG_CLIENT_HOST": "127.0.0.77", "LMG_ADMIN_HOST": "127.0.0.77"})
    command = gateway.log.wait_for(r"^  (curl .*) \\$")[1] + gateway.log.next()
    assert "  client port  http://127.0.0.77:8080 " in gateway.log.seen[3]
    assert gateway.log.seen[4] == "  admin port   http://127.0.0.77:8081"
    gateway.serving()
    done = subprocess.run(["sh", "-c", f"{command} -sS"], capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0
    assert done.stdout.startswith("data: {")
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_json_from_the_first_line_to_the_last(start, config):
    gateway = start("--config", config("log_format = 'json'"))
    gateway.log.wait_for('"message": "ready"')
    gateway.signal(signal.SIGTERM)
    assert gateway.ended() == 0
    lines = [json.loads(line) for line in gateway.log.rest()]
    assert lines[0]["message"].startswith("client port: listening on ")
    assert lines[-1]["message"] == "stopped"
    assert {"time", "level", "event", "message", "logger"} <= lines[0].keys()
