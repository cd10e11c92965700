"""The two ports: what to open, keep and close when the configuration says so, and the sockets themselves.

A changed address is opened before the old one is closed. Where both cannot be open at once (the same port on
another interface) the old one is closed first and opened again if the new one fails. A TLS port that stays gets its
certificate and key anew: they may have been renewed under the same names.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError, VerifyError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from lmgw.config.snapshot import Gateway

#: Connections that the kernel holds while the event loop is busy (it caps this at ``net.core.somaxconn``).
BACKLOG = 1024

#: What stands for every interface, IPv4 and IPv6.
EVERY_INTERFACE = ("", "::", "*")


class Site(Protocol):
    """What listens: a protocol factory that knows its connections."""

    def drop_idle(self) -> None:
        """Close the connections that wait for another request."""


class ListenError(Exception):
    """A port that cannot be opened, in words for the person who must act."""


class Address(msgspec.Struct, frozen=True):
    """Where one side (``client`` or ``admin``) listens: host and port (0: any free one), or an endpoint string."""

    side: str
    host: str = ""
    port: int = 0
    endpoint: str | None = None

    @property
    def claim(self) -> str | None:
        """What only one listener can hold; ``None`` if nothing stands in the way of a second.

        Ports are compared without their interfaces: one that listens on all takes the port from the others.
        """
        if self.endpoint is None:
            return str(self.port) if self.port else None
        found = re.match(r"(?:tcp6?|ssl|tls):(?:port=)?([1-9]\d*)|unix:(?:address=)?([^:]+)", self.endpoint)
        return (found[1] or found[2]) if found else None

    @property
    def is_tls(self) -> bool:
        """Whether its certificate and key are read from files."""
        return self.endpoint is not None and self.endpoint.startswith("ssl:")

    def __str__(self) -> str:
        if self.endpoint is not None:
            return f'{self.side}_endpoint "{self.endpoint}"'
        return f"{self.side} port {self.port}" + ("" if self.host in EVERY_INTERFACE else f" on {self.host}")


def addresses(gateway: Gateway) -> tuple[Address, Address]:
    """Return where the two sides are to listen."""
    return (
        Address("client", gateway.client_host, gateway.client_port, gateway.client_endpoint),
        Address("admin", gateway.admin_host, gateway.admin_port, gateway.admin_endpoint),
    )


class Plan(msgspec.Struct, frozen=True):
    """What a change of addresses comes to; ``open`` can be opened beside the old ones, ``reopen`` only after them."""

    keep: tuple[Address, ...]
    open: tuple[Address, ...]
    reopen: tuple[Address, ...]
    close: tuple[Address, ...]


def plan(old: Iterable[Address], new: Iterable[Address]) -> Plan:
    """Compare what is open with what is wanted."""
    old, new = tuple(old), tuple(new)
    fresh = [address for address in new if address not in old]
    close = tuple(address for address in old if address not in new)
    claimed = {address.claim for address in close} - {None}
    return Plan(
        keep=tuple(address for address in new if address in old),
        open=tuple(address for address in fresh if address.claim not in claimed),
        reopen=tuple(address for address in fresh if address.claim in claimed),
        close=close,
    )


class Listeners:
    """The listening ports of both sides.

    :param reactor: ``IReactorTCP``, ``IReactorSocket`` and, for endpoint strings, whatever they ask for.
    :param sites: what answers on each side.
    """

    _log = Logger()

    def __init__(self, reactor: Any, sites: Mapping[str, Site]) -> None:
        self._reactor = reactor
        self._sites = sites
        self._ports: dict[Address, Sequence[IListeningPort]] = {}

    async def change(self, wanted: Iterable[Address]) -> None:
        """Listen on ``wanted`` and on nothing else, or raise :class:`ListenError` and listen where it did before.

        Requests in flight on a closed port finish; its idle connections are closed. Connections that are open keep the
        certificate that they began with.
        """
        steps = plan(self._ports, wanted)
        renewed = [(address, await self._renewed(address)) for address in steps.keep if address.is_tls]
        opened: list[Address] = []
        in_the_way = [old for old in steps.close if old.claim in {new.claim for new in steps.reopen}]
        try:
            await self._open_all(steps.open, opened)
            await self._close_all(in_the_way)
            await self._open_all(steps.reopen, opened)
        except ListenError:
            undone = self._close_all(opened)
            if in_the_way:
                await undone
                await self._open_all([address for address in in_the_way if address not in self._ports], [])
            raise
        for address, factory in renewed:
            self._renew(address, factory)
        await self._close_all(address for address in steps.close if address in self._ports)
        for address in steps.close:
            self._sites[address.side].drop_idle()

    def close(self, side: str) -> Deferred[Any]:
        """Stop accepting on one side; connections stay as they are."""
        return self._close_all([address for address in self._ports if address.side == side])

    def url(self, side: str) -> str:
        """Return how to reach a side from this machine."""
        return next(
            (url(address, ports[0]) for address, ports in self._ports.items() if address.side == side), "closed"
        )

    async def _open_all(self, wanted: Iterable[Address], opened: list[Address]) -> None:
        for address in wanted:
            self._ports[address] = await self._open(address)
            opened.append(address)
            self._log.info(
                "{side} port: listening on {url}", side=address.side, url=url(address, self._ports[address][0])
            )

    async def _renewed(self, address: Address) -> Any:
        """Return what accepts connections with the certificate and key that are in the files now."""
        try:
            endpoint = serverFromString(_Unopened(), address.endpoint)  # type: ignore[no-untyped-call]
            return await endpoint.listen(self._sites[address.side])
        except Exception as error:
            raise ListenError(f"{address}: {_words(error)}") from error

    def _renew(self, address: Address, factory: Any) -> None:
        for port in self._ports[address]:
            tls_port: Any = port
            factory.doStart()
            tls_port.factory.doStop()
            tls_port.factory = factory
        self._log.info("{side} port: certificate and key are read again", side=address.side)

    def _close_all(self, unwanted: Iterable[Address]) -> Deferred[Any]:
        ports = [port for address in list(unwanted) for port in self._ports.pop(address)]
        return gatherResults([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)

    async def _open(self, address: Address) -> Sequence[IListeningPort]:
        site: Any = self._sites[address.side]
        try:
            if address.endpoint is None:
                return _listen(self._reactor, address, site)
            return [await _listen_endpoint(self._reactor, address.endpoint, site)]
        except Exception as error:
            raise ListenError(f"{address}: {_words(error)}") from error


class _Unopened:
    """In the reactor's place: gives back what an ``ssl:`` endpoint would have listened with, and opens nothing."""

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **kwargs: Any) -> Any:
        from twisted.protocols.tls import TLSMemoryBIOFactory  # OpenSSL: only where it is needed

        return TLSMemoryBIOFactory(contextFactory, False, factory)


def url(address: Address, port: IListeningPort) -> str:
    """Return how to reach an open port from this machine: ``http://127.0.0.1:8080``, ``unix:/run/lmgw.sock``."""
    host: Any = port.getHost()
    if isinstance(host, UNIXAddress):
        return f"unix:{os.fsdecode(host.name or b'')}"
    scheme = "https" if (address.endpoint or "").startswith(("ssl:", "tls:")) else "http"
    name = "127.0.0.1" if host.host in ("::", "0.0.0.0") else host.host  # noqa: S104
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{host.port}"


def _listen(reactor: Any, address: Address, site: Any) -> Sequence[IListeningPort]:
    ports = []
    for bound in _bind(address.host, address.port):
        with bound:  # the reactor works on a duplicate
            bound.setblocking(False)
            ports.append(reactor.adoptStreamPort(bound.fileno(), bound.family, site))
    return ports


def _bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address that ``host`` stands for; one of a family that this machine does not have is left out."""
    if host in EVERY_INTERFACE:
        return [_bind_every_interface(port)]
    bound: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, (name, *_) in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        try:
            # Port 0 is one port: the second address takes what the first one got.
            free = bound[0].getsockname()[1] if bound else port
            bound.append(socket.create_server((name, free), family=family, backlog=BACKLOG))
        except OSError as error:
            failure = error
            if error.errno not in _NO_SUCH_ADDRESS:
                break
    if failure is not None and (not bound or failure.errno not in _NO_SUCH_ADDRESS):
        for opened in bound:
            opened.close()
        raise failure
    return bound


def _bind_every_interface(port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    except OSError as error:
        if error.errno not in _NO_SUCH_ADDRESS:
            raise
    return socket.create_server(("", port), backlog=BACKLOG)


async def _listen_endpoint(reactor: Any, description: str, site: Any) -> Any:
    endpoint = serverFromString(reactor, description)  # type: ignore[no-untyped-call]
    if isinstance(endpoint, AdoptedStreamServerEndpoint):
        # A socket of systemd's. endpoint.listen() would close the descriptor, and a reload could never come back to it.
        # Its family is asked of the socket: "domain=INET" for an IPv6 one would fail at every connection.
        with socket.socket(fileno=os.dup(endpoint.fileno)) as inherited:
            inherited.setblocking(False)
            return reactor.adoptStreamPort(inherited.fileno(), inherited.family, site)
    return await endpoint.listen(site)


#: The machine has no IPv6, or not this address.
_NO_SUCH_ADDRESS = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})

_REASONS = {
    errno.EADDRINUSE: "address already in use; another program, or another lmgw, listens there (ss -ltnp shows which)",
    errno.EACCES: "permission denied; a port below 1024 needs root, CAP_NET_BIND_SERVICE or a socket from systemd",
    errno.EADDRNOTAVAIL: "no interface of this machine has this address",
}


def _words(error: Exception) -> str:
    match error:
        case CannotListenError():
            return _words(error.socketError)
        case socket.gaierror():
            return "no such host name"
        case FileNotFoundError() if error.filename:
            return f"no such file: {os.fsdecode(error.filename)}"
        case OSError():
            return _REASONS.get(error.errno or 0) or error.strerror or str(error)
        case VerifyError():
            return "the private key is not the certificate's"
        case _ if type(error).__module__.startswith("OpenSSL"):
            return "the certificate or its private key is no PEM, or asks for a password"
        case LookupError():
            return "systemd handed over no such descriptor; start lmgw.socket, which starts the service"
        case _:
            return f"not a usable endpoint string: {error}"
