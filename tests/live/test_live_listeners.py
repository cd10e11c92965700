import os
import socket
import ssl
import subprocess

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.python import systemd

from lmgw.listeners import Address, ListenError, Listeners


class Greeter(Protocol):
    def connectionMade(self):
        self.transport.write(self.factory.side.encode() + b"\n")


class Side(Factory):
    protocol = Greeter
    noisy = False

    def __init__(self, side):
        self.side = side
        self.dropped = 0

    def drop_idle(self):
        self.dropped += 1


def greeting(port, host="127.0.0.1", *, tls=False, path=None) -> Deferred[str]:
    """Who answers there."""

    def ask() -> str:
        context = ssl._create_unverified_context()
        with socket.socket(socket.AF_UNIX) if path else socket.create_connection((host, port), 5) as plain:
            if path:
                plain.connect(path)
            with context.wrap_socket(plain) if tls else plain as peer:
                return peer.recv(100).decode().strip()

    return deferToThread(ask)


@pytest.fixture
def sites():
    return {"client": Side("client"), "admin": Side("admin")}


@pytest.fixture
def listeners(sites):
    it = Listeners(reactor, sites)
    yield it
    pytest_twisted.blockon(it.close("client"))
    pytest_twisted.blockon(it.close("admin"))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def port_of(listeners, side="client"):
    return int(listeners.url(side).rpartition(":")[2])


@pytest_twisted.ensureDeferred
async def test_both_sides_listen_on_free_ports(listeners):
    await listeners.change([Address("client"), Address("admin", "127.0.0.1")])
    assert await greeting(port_of(listeners)) == "client"
    assert await greeting(port_of(listeners, "admin")) == "admin"


@pytest_twisted.ensureDeferred
async def test_every_interface_is_ipv4_and_ipv6(listeners):
    await listeners.change([Address("client")])
    assert await greeting(port_of(listeners), "127.0.0.1") == "client"
    assert await greeting(port_of(listeners), "::1") == "client"


@pytest_twisted.ensureDeferred
async def test_a_host_without_ipv6_gets_ipv4(listeners, monkeypatch):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    await listeners.change([Address("client")])
    assert await greeting(port_of(listeners), "127.0.0.1") == "client"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("::1", port_of(listeners)))


@pytest_twisted.ensureDeferred
async def test_localhost_is_every_address_it_has(listeners):
    await listeners.change([Address("client", "localhost")])
    for *_, (host, *_) in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM):
        assert await greeting(port_of(listeners), host) == "client"


@pytest_twisted.ensureDeferred
async def test_a_busy_port_is_said_in_words_and_nothing_stays_open(listeners, sites):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ListenError, match=f"^admin port {port} on 127.0.0.1: address already in use; "):
            await listeners.change([Address("client"), Address("admin", "127.0.0.1", port)])
    assert listeners.url("client") == listeners.url("admin") == "closed"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            Address("client", "192.0.2.1", 0),
            "on 192.0.2.1: no interface of this machine has this address",
        ),
        (Address("client", "host.invalid", 0), "client port 0 on host.invalid: no such host name"),
        (Address("client", endpoint="ssl:0:privateKey=/no/key.pem"), "no such file: /no/key.pem"),
        (Address("client", endpoint="systemd:domain=INET:index=7"), "systemd handed over no such descriptor"),
        (Address("client", endpoint="systemd:domain=INET:name=x"), "systemd handed over no such descriptor"),
        (Address("client", endpoint="nonsense:1"), "not a usable endpoint string: "),
        (Address("client", endpoint="tcp:http"), "not a usable endpoint string: "),
        (Address("client", endpoint="tcp:0:colour=red"), "not a usable endpoint string: "),
        (Address("client", endpoint="unix:/no/such/folder/l.sock"), "l.sock"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_opened_is_said_in_words(listeners, address, words):
    with pytest.raises(ListenError) as refusal:
        await listeners.change([address])
    assert words in str(refusal.value)


@pytest_twisted.ensureDeferred
async def test_a_port_change_moves_the_side_and_drops_its_idle_connections(listeners, sites):
    await listeners.change([Address("client"), Address("admin", "127.0.0.1")])
    old, admin = port_of(listeners), port_of(listeners, "admin")
    await listeners.change([Address("client", "127.0.0.1"), Address("admin", "127.0.0.1")])
    assert await greeting(port_of(listeners)) == "client"
    assert port_of(listeners, "admin") == admin
    assert (sites["client"].dropped, sites["admin"].dropped) == (1, 0)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", old))


@pytest_twisted.ensureDeferred
async def test_an_unchanged_side_is_not_touched(listeners, sites):
    await listeners.change([Address("client")])
    before = port_of(listeners)
    await listeners.change([Address("client")])
    assert port_of(listeners) == before
    assert sites["client"].dropped == 0


@pytest_twisted.ensureDeferred
async def test_another_interface_of_the_same_port(listeners):
    port = free_port()
    for host in ("", "127.0.0.1", "", "127.0.0.1"):
        await listeners.change([Address("client", host, port)])
        assert await greeting(port) == "client"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("::1", port))


@pytest_twisted.ensureDeferred
async def test_two_sides_exchange_their_ports(listeners):
    one, other = free_port(), free_port()
    await listeners.change([Address("client", "", one), Address("admin", "127.0.0.1", other)])
    await listeners.change([Address("client", "", other), Address("admin", "127.0.0.1", one)])
    assert await greeting(other) == "client"
    assert await greeting(one) == "admin"


@pytest_twisted.ensureDeferred
async def test_a_change_that_fails_changes_nothing(listeners):
    client, admin = free_port(), free_port()
    running = [Address("client", "127.0.0.1", client), Address("admin", "127.0.0.1", admin)]
    await listeners.change(running)
    with pytest.raises(ListenError, match=r"192\.0\.2\.1"):
        await listeners.change([Address("client", "192.0.2.1", client), Address("admin", "127.0.0.1", 0)])
    assert await greeting(client) == "client"
    assert await greeting(admin) == "admin"
    assert (port_of(listeners), port_of(listeners, "admin")) == (client, admin)
    await listeners.change(running)
    assert await greeting(client) == "client"


@pytest_twisted.ensureDeferred
async def test_a_unix_socket(listeners, tmp_path):
    path = tmp_path / "l.sock"
    await listeners.change([Address("client", endpoint=f"unix:{path}")])
    assert listeners.url("client") == f"unix:{path}"
    assert await greeting(None, path=str(path)) == "client"
    await listeners.change([Address("client", endpoint=f"unix:{path}:mode=600")])
    assert await greeting(None, path=str(path)) == "client"


def issue(path):
    """Write a new key and a certificate for it."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", "-", "-out", "-"]
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return ssl.PEM_cert_to_DER_cert("-----BEGIN CERT" + path.read_text().partition("-----BEGIN CERT")[2])


def presented(port) -> Deferred[bytes]:
    """The certificate that is shown there."""

    def ask() -> bytes:
        context = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as peer:
            return peer.getpeercert(binary_form=True)

    return deferToThread(ask)


@pytest.fixture
def certificate(tmp_path):
    path = tmp_path / "both.pem"
    issue(path)
    return path


@pytest_twisted.ensureDeferred
async def test_a_tls_endpoint(listeners, certificate):
    await listeners.change([Address("client", endpoint=f"ssl:0:privateKey={certificate}:interface=127.0.0.1")])
    assert listeners.url("client").startswith("https://127.0.0.1:")
    assert await greeting(port_of(listeners), tls=True) == "client"


@pytest_twisted.ensureDeferred
async def test_a_renewed_certificate_is_shown_from_the_next_reload_on(listeners, certificate):
    address = Address("client", endpoint=f"ssl:0:privateKey={certificate}:interface=127.0.0.1")
    first = issue(certificate)
    await listeners.change([address])
    port = port_of(listeners)
    second = issue(certificate)
    assert await presented(port) == first
    await listeners.change([address])
    assert port_of(listeners) == port
    assert await presented(port) == second
    await listeners.change([])
    assert listeners.url("client") == "closed"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda key, other: key.write_bytes(other.read_bytes()), "the private key is not the certificate's"),
        (lambda key, other: key.write_text("-----BEGIN"), "the certificate or its private key is no PEM"),
        (lambda key, other: key.unlink(), "no such file: "),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_renewal_that_is_none_changes_nothing(listeners, certificate, tmp_path, spoil, words):
    key, other = tmp_path / "key.pem", tmp_path / "other.pem"
    shown = issue(certificate)
    issue(other)
    key.write_bytes(certificate.read_bytes())
    certificate.write_text(ssl.DER_cert_to_PEM_cert(shown))
    address = Address("client", endpoint=f"ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1")
    await listeners.change([address])
    spoil(key, other)
    with pytest.raises(ListenError, match=words):
        await listeners.change([address, Address("admin", "127.0.0.1")])
    assert listeners.url("admin") == "closed"
    assert await presented(port_of(listeners)) == shown


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
@pytest_twisted.ensureDeferred
async def test_a_socket_of_systemds_can_be_left_and_taken_again(listeners, monkeypatch, family, host):
    """The descriptor stays open, and the domain in the endpoint string does not matter."""
    with socket.create_server((host, 0), family=family) as inherited:
        handed = systemd.ListenFDs([inherited.fileno()], ("client",))
        monkeypatch.setattr("twisted.internet.endpoints._SystemdParser._sddaemon", handed)
        port = inherited.getsockname()[1]
        endpoint = Address("client", endpoint="systemd:domain=INET:index=0")
        await listeners.change([endpoint])
        assert port_of(listeners) == port
        await listeners.change([Address("client", "127.0.0.1")])
        assert os.get_inheritable(inherited.fileno()) is False
        await listeners.change([endpoint])
        assert await greeting(port, host) == "client"
