import socket

import pytest

from lmgw.notify import Notifier


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5)
        receiver.bind(str(tmp_path / "notify"))
        yield receiver


def notifier(address: str, **environ: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": address, **environ}, pid=42, monotonic_ns=lambda: 5_000_001_999)


def test_each_state_is_one_datagram(manager):
    it = notifier(manager.getsockname())
    it.ready("serving")
    it.reloading()
    it.stopping("draining\nREADY=0")
    it.alive()
    assert [manager.recv(1000) for _ in range(4)] == [
        b"READY=1\nSTATUS=serving",
        b"RELOADING=1\nMONOTONIC_USEC=5000001",
        b"STOPPING=1\nSTATUS=draining READY=0",
        b"WATCHDOG=1",
    ]


def test_an_abstract_socket_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5)
        receiver.bind("\0lmgw-test-notify")
        notifier("@lmgw-test-notify").alive()
        assert receiver.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "relative", "@nobody-listens"])
def test_no_manager_is_no_error(address):
    notifier(address).ready("serving")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_told_twice_in_its_time(environ, seconds):
    assert notifier("", **environ).watchdog_s == seconds
