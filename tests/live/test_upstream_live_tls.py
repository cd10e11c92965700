"""TLS towards providers: whom we trust, whose name must be in the certificate, and what is said when it is not.

These also notice if a new Twisted or pyOpenSSL takes away what ``upstream/tls.py`` and ``faults.py`` build on: the
context's store reached through an unused connection, and the pyOpenSSL connection as a TLS transport's handle.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_twisted
from fakes import Authority, Silence, Whole
from OpenSSL import SSL, crypto
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from upstream_bench import Bench, bench

from lmgw.core.steps import Fault, FaultKind
from lmgw.upstream.exchange import Timers
from lmgw.upstream.tls import client_tls, read_roots

__all__ = ["bench"]

HELLO = Whole(200, b"hello")


async def refused(bench: Bench, *names: str, trusted: bool = True, expired: bool = False) -> tuple[Fault, str]:
    """The fault of a server with this certificate at ``localhost``, and its address."""
    authority = Authority(bench.folder)
    upstream = await bench.upstream(tls=authority.server(*names, expired=expired))
    ca_file = str(authority.ca_file) if trusted else None
    fault = await bench.fault(bench.target(f"https://localhost:{upstream.port}", ca_file=ca_file))
    assert fault.kind is FaultKind.CONNECT
    assert not upstream.requests, "nothing may be sent to whom we do not trust"
    assert str(upstream.port) not in fault.error.message
    return fault, f"localhost:{upstream.port}"


@pytest_twisted.ensureDeferred
async def test_a_certificate_of_the_ca_file_is_accepted(bench: Bench) -> None:
    upstream, target = await bench.pair(tls=True)
    upstream.next(HELLO)
    assert await bench.ask(target) == b"hello"


@pytest_twisted.ensureDeferred
async def test_an_address_in_the_certificate_is_accepted(bench: Bench) -> None:
    authority = Authority(bench.folder)
    upstream = await bench.upstream(tls=authority.server("127.0.0.1"))
    upstream.next(HELLO)
    assert await bench.ask(bench.target(upstream.url, ca_file=str(authority.ca_file))) == b"hello"


@pytest_twisted.ensureDeferred
async def test_only_http_1_1_is_offered(bench: Bench) -> None:
    authority = Authority(bench.folder)
    certified = authority.server("localhost")
    upstream = await bench.upstream(tls=certified)
    upstream.next(HELLO)
    await bench.ask(bench.target(upstream.url, ca_file=str(authority.ca_file)))
    assert certified.offered == [[b"http/1.1"]]


@pytest_twisted.ensureDeferred
async def test_an_unknown_authority_is_refused_and_the_reason_named(bench: Bench) -> None:
    fault, address = await refused(bench, "localhost", trusted=False)
    assert fault.detail == (
        f'backend "fake": TLS: the certificate at {address} is not accepted: '
        "unable to get local issuer certificate; ca_file names further roots to trust"
    )
    assert fault.error.message == "the provider could not be reached: its certificate is wrong"


@pytest_twisted.ensureDeferred
async def test_an_expired_certificate_is_refused_and_the_reason_named(bench: Bench) -> None:
    fault, address = await refused(bench, "localhost", expired=True)
    assert fault.detail == f'backend "fake": TLS: the certificate at {address} is not accepted: certificate has expired'


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_another_name_is_refused(bench: Bench) -> None:
    fault, address = await refused(bench, "other.example")
    assert fault.detail == f'backend "fake": TLS: the certificate at {address} is not for localhost'


@pytest_twisted.ensureDeferred
async def test_a_server_that_speaks_no_tls_is_told_as_such(bench: Bench) -> None:
    class Plain(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Plain))
    try:
        fault = await bench.fault(bench.target(f"https://127.0.0.1:{port.getHost().port}"))
    finally:
        await port.stopListening()
    assert fault.kind is FaultKind.CONNECT
    assert "does not seem to speak TLS (wrong version number)" in fault.detail


@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_up_in_the_handshake_is_told_as_such(bench: Bench) -> None:
    class Closes(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.loseConnection()

    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Closes))
    try:
        fault = await bench.fault(bench.target(f"https://127.0.0.1:{port.getHost().port}"))
    finally:
        await port.stopListening()
    assert "closed the connection during the handshake" in fault.detail


@pytest_twisted.ensureDeferred
async def test_the_connect_timer_covers_the_handshake(bench: Bench) -> None:
    gone: Deferred[None] = Deferred()

    class Deaf(Protocol):
        def connectionLost(self, reason: object) -> None:
            gone.callback(None)

    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Deaf))
    try:
        target = bench.target(f"https://127.0.0.1:{listening.getHost().port}")
        fault = await bench.fault(target, timers=Timers(connect_s=0.1))
        await gone
    finally:
        await listening.stopListening()
    assert fault.kind is FaultKind.TIMEOUT
    assert "did not accept a connection within 100 ms (connect_timeout_ms" in fault.detail
    assert bench.figures().open == 0


@pytest_twisted.ensureDeferred
async def test_a_close_without_goodbye_breaks_a_body_with_a_length(bench: Bench) -> None:
    upstream, target = await bench.pair(tls=True)
    upstream.next(Silence(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"))
    exchange = bench.exchange(target)
    await exchange.head()
    upstream.connections[0].reset()
    fault = await exchange.body(100)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CLOSED


@pytest_twisted.ensureDeferred
async def test_every_certificate_of_a_bundle_is_trusted(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"# ours\n" + other.ca_file.read_bytes() + b"# theirs\n" + authority.ca_file.read_bytes())
    upstream = await bench.upstream(tls=authority.server("localhost"))
    upstream.next(HELLO)
    assert await bench.ask(bench.target(upstream.url, ca_file=str(bundle))) == b"hello"


def unused(options: object) -> SSL.Connection:
    """A connection with these settings that goes nowhere."""
    return options.clientConnectionForTLS(SimpleNamespace(factory=SimpleNamespace(wrappedFactory=None)))


def test_a_ca_file_does_not_replace_the_systems_roots(tmp_path: Path) -> None:
    path = ssl.get_default_verify_paths().cafile
    if path is None:
        pytest.skip("the system has no bundle of roots")
    mine = read_roots(Authority(tmp_path).ca_file.read_bytes())
    connection = unused(client_tls("example.org", mine))
    store = connection.get_context().get_cert_store()
    systems = read_roots(Path(path).read_bytes())[0]
    for root in (*mine, systems):
        crypto.X509StoreContext(store, root.original).verify_certificate()


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "::1"])
def test_one_context_serves_all_connections_to_a_host(host: str) -> None:
    options = client_tls(host)
    first, second = unused(options), unused(options)
    assert first.get_context() is second.get_context()
    assert first.get_verify_mode() & SSL.VERIFY_PEER
