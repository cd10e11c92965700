"""A gateway that runs: reloaded by SIGHUP, told how it stands to systemd, fed with systemd's sockets."""

import fcntl
import re
import signal
import socket
import sys

import pytest
from processes import LONG

#: Takes two descriptors and a command, and runs it as systemd would.
HAND_OVER = """
import os, sys
for descriptor, given in enumerate(sys.argv[1:3], 3):
    os.dup2(int(given), descriptor)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="client:admin")
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture
def gateway(start, config):
    return start("--config", config()).serving()


def test_sighup_takes_over_a_changed_file(gateway, config):
    path = config("public_profile = 'default'")
    path.write_text(path.read_text() + '[[tiers]]\nname = "two"\nbackend = "demo"\nmodel = "large"\n')
    assert gateway.ask("/v1/models/two")[0] == 404
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for(r"reloaded [0-9a-f]{7}: .*\+1 tier")
    assert gateway.ask("/v1/models/two")[0] == 200


def test_sighup_without_a_change_says_so(gateway):
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for(r"info  reload: files unchanged since \d\d:\d\d:\d\d$")


def test_sighup_with_a_broken_file_logs_every_problem_and_serves_on(gateway, config):
    path = config("clint_port = 1\nlog_level = 'loud'")
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for("reload: nothing changed, 2 problems")
    shown = "\n".join(gateway.log.seen)
    assert "error reload: config.toml: gateway.clint_port: unknown key" in shown
    assert "error reload: config.toml: gateway.log_level: " in shown
    assert gateway.ask("/healthz")[0] == 200
    _, health = gateway.ask("/admin/health", side="admin")
    assert len(health["last_reload"]["problems"]) == 2
    config("log_level = 'debug'")
    assert path.exists()
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for("reloaded ")
    _, health = gateway.ask("/admin/health", side="admin")
    assert health["last_reload"]["problems"] == []
    assert health["reloads"] == {"ok": 1, "failed": 1}


def test_the_admin_route_is_the_same_reload(gateway, config):
    config("log_level = 'debug'")
    status, answer = gateway.ask("/admin/reload", {}, "admin")
    assert (status, answer["status"]) == (200, "reloaded")
    config("log_level = 'loud'")
    status, answer = gateway.ask("/admin/reload", {}, "admin")
    assert (status, len(answer["problems"])) == (422, 1)


def test_the_logs_level_and_format_change_with_a_reload(gateway, config):
    config("log_format = 'json'\nlog_level = 'error'")
    assert gateway.ask("/admin/reload", {}, "admin")[0] == 200
    config("log_format = 'json'\nlog_level = 'loud'")
    assert gateway.ask("/admin/reload", {}, "admin")[0] == 422
    config()
    assert gateway.ask("/admin/reload", {}, "admin")[0] == 200
    gateway.log.wait_for(r"^\S+ info  reloaded [0-9a-f]{7}: gateway \(log_level, log_format\)$")
    kinds = ["json" if line.startswith("{") else "text" for line in gateway.log.seen]
    assert kinds.count("json") == 2, gateway.log.seen
    assert "info  reloaded" not in "\n".join(gateway.log.seen[:-1])


def test_a_log_that_was_moved_away_is_written_anew(start, config, folder):
    path = folder / "lmgw.log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(LONG)
        manager.bind(str(folder / "notify"))
        gateway = start(
            "--config",
            config(),
            before=("-n", "--pidfile=", f"--logfile={path}"),
            env={"NOTIFY_SOCKET": manager.getsockname()},
        )
        assert manager.recv(1000).startswith(b"READY=1")
        path.rename(folder / "lmgw.log.1")
        gateway.signal(signal.SIGHUP)
        assert manager.recv(1000).startswith(b"RELOADING=1")
        assert manager.recv(1000).startswith(b"READY=1")
    assert "files unchanged" in path.read_text()
    assert "files unchanged" not in (folder / "lmgw.log.1").read_text()


def test_streams_outlive_a_reload_and_new_requests_see_the_new_configuration(gateway, config):
    streams = [gateway.stream() for _ in range(50)]
    for stream in streams:
        stream.begun()
    path = config()
    path.write_text(path.read_text().replace('name = "one"', 'name = "two"'))
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for(r"reloaded [0-9a-f]{7}: \+1 tier, -1 tier")
    assert gateway.ask("/v1/models/one")[0] == 404
    assert gateway.ask("/v1/models/two")[0] == 200
    for stream in streams:
        assert stream.read().endswith(b"data: [DONE]\n\n")


# --- ports -------------------------------------------------------------------------------------------------------


def test_a_port_moves_while_its_streams_go_on(start, config, free_port):
    old, new = free_port(), free_port()
    gateway = start("--config", config(client_port=old)).serving()
    stream = gateway.stream().begun()
    config(client_port=new)
    gateway.signal(signal.SIGHUP)
    gateway.listening("client")
    gateway.log.wait_for(r"reloaded [0-9a-f]{7}: gateway \(client_port\)")
    assert gateway.urls["client"] == f"127.0.0.1:{new}"
    assert gateway.ask("/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))
    assert stream.read().endswith(b"data: [DONE]\n\n")


def test_a_port_that_is_busy_leaves_everything_as_it_was(gateway, config):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        config("log_level = 'error'", client_port=busy.getsockname()[1])
        gateway.signal(signal.SIGHUP)
        gateway.log.wait_for(r"reload: client port \d+ on 127\.0\.0\.1: address already in use")
    assert gateway.ask("/healthz")[0] == 200
    _, shown = gateway.ask("/admin/config", side="admin")
    assert shown["gateway"]["log_level"] == "info"


# --- systemd -----------------------------------------------------------------------------------------------------


def test_systemd_is_told_how_it_stands(start, config, folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(LONG)
        manager.bind(str(folder / "notify"))
        gateway = start("--config", config(), env={"NOTIFY_SOCKET": manager.getsockname()})
        told = manager.recv(1000).decode()
        assert re.fullmatch(
            r"READY=1\nSTATUS=client http://127\.0\.0\.1:\d+, admin http://127\.0\.0\.1:\d+, configuration [0-9a-f]{7}",
            told,
        )
        port = int(re.search(r":(\d+),", told)[1])
        socket.create_connection(("127.0.0.1", port), LONG).close()
        config("log_level = 'loud'")
        gateway.signal(signal.SIGHUP)
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(1000))
        assert manager.recv(1000) == b"READY=1\nSTATUS=reload: nothing changed, 1 problem"
        gateway.signal(signal.SIGTERM)
        assert manager.recv(1000).startswith(b"STOPPING=1\nSTATUS=")
        assert gateway.ended() == 0


def test_the_watchdog_is_fed(start, config, folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(LONG)
        manager.bind(str(folder / "notify"))
        start("--config", config(), env={"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "100000"})
        told = [manager.recv(1000).partition(b"\n")[0] for _ in range(4)]
    assert sorted(told) == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_sockets_of_systemd_survive_reloads(start, config):
    """As systemd does it: descriptors from 3 on, counted in the environment of this very process."""
    with (
        socket.create_server(("127.0.0.1", 0)) as client,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as admin,
    ):
        ports = [it.getsockname()[1] for it in (client, admin)]
        high = [fcntl.fcntl(it.fileno(), fcntl.F_DUPFD, 20) for it in (client, admin)]
        endpoints = [f"{side}_endpoint = 'systemd:domain=INET:index={i}'" for i, side in enumerate(("client", "admin"))]
        path = config("\n".join(endpoints))
        prefix = (sys.executable, "-c", HAND_OVER, *map(str, high))
        gateway = start("--config", path, prefix=prefix, pass_fds=high).serving()
    assert gateway.urls == {"client": f"127.0.0.1:{ports[0]}", "admin": f"[::1]:{ports[1]}"}
    assert gateway.ask("/healthz")[0] == 200
    assert gateway.ask("/admin/health", side="admin")[0] == 200
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for("files unchanged")
    assert gateway.ask("/healthz")[0] == 200
    path.write_text(path.read_text().replace(endpoints[0], ""))
    gateway.signal(signal.SIGHUP)
    gateway.listening("client")
    gateway.log.wait_for("reloaded")
    path.write_text(path.read_text().replace("[gateway]", f"[gateway]\n{endpoints[0]}"))
    gateway.signal(signal.SIGHUP)
    gateway.listening("client")
    assert gateway.urls["client"] == f"127.0.0.1:{ports[0]}"
    assert gateway.ask("/healthz")[0] == 200
