"""The units: checked by systemd's own tools, and by what the gateway needs of them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmgw.config.snapshot import Gateway

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE = (UNITS / "lmgw.service").read_text()
SOCKET = (UNITS / "lmgw.socket").read_text()

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def setting(text, name):
    """The values of a setting, in order."""
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


@pytest.fixture
def units(tmp_path):
    """Both units, the program where it is installed here."""
    for path in UNITS.iterdir():
        shutil.copy(path, tmp_path)
    service = tmp_path / "lmgw.service"
    service.write_text(SERVICE.replace("/opt/lmgw/bin", os.fspath(Path(sys.executable).parent)))
    return service, tmp_path / "lmgw.socket"


@with_systemd
def test_systemd_finds_nothing_to_complain_about(units):
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@with_systemd
def test_the_service_is_hardened(units):
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", units[0]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_requests_in_flight_may_finish():
    gateway = Gateway()
    (limit,) = setting(SERVICE, "TimeoutStopSec")
    assert int(limit) * 1000 > gateway.shutdown_delay_ms + gateway.shutdown_grace_ms


def test_it_starts_and_reloads_as_the_gateway_does():
    assert setting(SERVICE, "Type") == ["notify"]
    assert setting(SERVICE, "ExecStart") == ["/opt/lmgw/bin/twistd -n --pidfile= lmgw"]
    assert setting(SERVICE, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert setting(SERVICE, "EnvironmentFile") == ["-/etc/lm-gateway/env"]
    assert setting(SERVICE, "WatchdogSec")


def test_no_key_stands_in_a_unit():
    assert all("KEY" not in value for value in setting(SERVICE, "Environment"))


def test_memory_may_be_made_executable():
    """pyOpenSSL's callbacks need it: with MemoryDenyWriteExecute= no TLS connection comes up."""
    assert not setting(SERVICE, "MemoryDenyWriteExecute")


def test_the_socket_units_comment_fits_its_lines():
    streams = setting(SOCKET, "ListenStream")
    endpoints = re.findall(r'^#   \w+_endpoint +?= "systemd:domain=(\w+):index=(\d)"$', SOCKET, re.MULTILINE)
    assert endpoints == [("INET6" if "[" in stream else "INET", str(index)) for index, stream in enumerate(streams)]
