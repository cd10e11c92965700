import os
import re
import socket

import pytest
from processes import DEMO, TWISTD, Gateway


@pytest.fixture
def folder(tmp_path):
    """A folder that every user may read, where tests can become another user."""
    if os.geteuid() == 0:
        for each in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            each.chmod(each.stat().st_mode | 0o055)
    return tmp_path


@pytest.fixture
def config(folder):
    """Write a configuration of the demo provider on free ports, with further ``[gateway]`` lines; returns its path."""

    def write(gateway="", client_port=0, admin_port=0):
        path = folder / "config.toml"
        path.write_text(DEMO.format(gateway=gateway, client_port=client_port, admin_port=admin_port))
        return path

    return write


@pytest.fixture
def environ():
    """The environment of the tests, without what a gateway would read."""
    unwanted = re.compile("LMG_|NOTIFY_SOCKET|WATCHDOG_|LISTEN_|PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not unwanted.match(name)}


@pytest.fixture
def start(environ):
    """Start ``twistd -n [before] lmgw [arguments]``, in ``/`` and without a pidfile unless told otherwise."""
    started = []

    def start(*arguments, before=("-n", "--pidfile="), prefix=(), env=(), cwd="/", **options):
        command = [*prefix, TWISTD, *before, "lmgw", *arguments]
        started.append(Gateway(command, env={**environ, **dict(env)}, cwd=cwd, **options))
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


@pytest.fixture
def free_port():
    """A function that finds a port that nobody listens on."""

    def find():
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return probe.getsockname()[1]

    return find
