"""TLS in front of the fake provider: nginx with a certificate made for the run."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import machine
from bars import free_port
from peers import nginx_command, nginx_path


def is_possible() -> bool:
    """Whether what it takes is installed."""
    return nginx_path() is not None and shutil.which("openssl") is not None


@contextmanager
def terminator(folder: Path, core: int, upstream: int) -> Iterator[tuple[int, Path]]:
    """Run it on a core; yields its port, and the certificate to trust."""
    certificate = folder / "upstream.pem"
    _make(certificate)
    port = free_port()
    command = nginx_command(folder, "tls", port, upstream, certificate)
    with subprocess.Popen(machine.pinned(core, command.words), cwd=folder) as process:
        try:
            _await(port)
            yield port, certificate
        finally:
            machine.end(process)


def _make(certificate: Path) -> None:
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7 -subj /CN=127.0.0.1"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{certificate}.key", "-out", str(certificate)]
    subprocess.run([*words.split(), *files], check=True, capture_output=True)


def _await(port: int) -> None:
    for _ in range(500):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise SystemExit("nginx does not listen with TLS; see the folder of the run")
