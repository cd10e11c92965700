"""SIGTERM: what is in flight finishes, within its grace; a second one cuts."""

import http.client
import signal
import socket
import time

import pytest

CUT = (http.client.IncompleteRead, ConnectionResetError)


@pytest.fixture
def gateway(start, config):
    return start("--config", config()).serving()


def test_fifty_streams_finish(gateway):
    streams = [gateway.stream() for _ in range(50)]
    for stream in streams:
        stream.begun()
    gateway.signal(signal.SIGTERM)
    gateway.log.wait_for("stopping: 50 in flight")
    for stream in streams:
        assert stream.read().endswith(b"data: [DONE]\n\n")
    assert gateway.ended() == 0
    assert gateway.log.rest()[-1].endswith(" stopped")


def test_nobody_new_is_let_in_while_it_drains(gateway):
    idle = http.client.HTTPConnection(gateway.urls["client"])
    idle.request("GET", "/healthz")
    assert idle.getresponse().read()
    gateway.stream("slow").begun()
    gateway.signal(signal.SIGTERM)
    gateway.log.wait_for("stopping: 1 in flight")
    assert idle.sock.recv(1) == b"", "an idle connection is closed"
    host, port = gateway.urls["client"].split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    assert gateway.ask("/admin/health", side="admin")[1]["status"] == "draining"
    idle.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_at_once(gateway, number):
    stream = gateway.stream("slow", limit=1000).begun()
    gateway.signal(number)
    gateway.log.wait_for("stopping: 1 in flight")
    began = time.monotonic()
    gateway.signal(number)
    assert gateway.ended() == 0
    assert time.monotonic() - began < 10, "the grace is 30 seconds"
    assert any("cutting off 1 in flight" in line for line in gateway.log.rest())
    with pytest.raises(CUT):
        stream.read()


def test_what_outlasts_the_grace_is_cut(start, config):
    gateway = start("--config", config("shutdown_grace_ms = 200")).serving()
    stream = gateway.stream("slow", limit=1000).begun()
    gateway.signal(signal.SIGTERM)
    gateway.log.wait_for("cutting off 1 in flight")
    assert gateway.ended() == 0
    with pytest.raises(CUT):
        stream.read()


def test_during_the_delay_it_is_not_ready_and_serves_on(start, config):
    gateway = start("--config", config("shutdown_delay_ms = 60000")).serving()
    assert gateway.ask("/readyz")[0] == 200
    gateway.signal(signal.SIGTERM)
    gateway.log.wait_for("stopping: 0 in flight")
    assert gateway.ask("/readyz")[0] == 503
    assert gateway.ask("/healthz")[0] == 200
    assert gateway.ask("/v1/models")[0] == 200
    assert gateway.ask("/admin/reload", {}, "admin")[0] == 422
    gateway.signal(signal.SIGTERM)
    assert gateway.ended() == 0


def test_a_client_that_goes_away_ends_the_wait(gateway):
    stream = gateway.stream("slow", limit=1000).begun()
    gateway.signal(signal.SIGTERM)
    gateway.log.wait_for("stopping: 1 in flight")
    stream.close()
    assert gateway.ended() == 0
    assert not any("cutting off" in line for line in gateway.log.rest())
