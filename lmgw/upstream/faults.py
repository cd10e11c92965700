"""What went wrong with a provider, in words: for the operator with the address, for the caller without."""

from __future__ import annotations

from typing import Protocol

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import ISystemHandle

from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import UpstreamFailed, UpstreamTimeout


class Addressed(Protocol):
    """Whoever can be named in a fault."""

    @property
    def name(self) -> str:
        """The backend's name."""

    @property
    def host(self) -> str:
        """Its host, as configured."""

    @property
    def address(self) -> str:
        """Its ``host:port``."""


def broken(backend: Addressed, kind: FaultKind, what: str, *, reused: bool = False) -> Fault:
    """The provider did ``what`` (a phrase that follows "the provider")."""
    return Fault(
        kind,
        UpstreamFailed(f"the provider {what}"),
        reused=reused,
        detail=f'backend "{backend.name}": {what} ({backend.address})',
    )


def late(backend: Addressed, what: str, limit_s: float, setting: str) -> Fault:
    """The provider did not do ``what`` within ``limit_s``; ``setting`` is the key that says how long it has."""
    return Fault(
        FaultKind.TIMEOUT,
        UpstreamTimeout(f"the provider {what} within {limit_s:g} s"),
        detail=f'backend "{backend.name}": {what} within {limit_s * 1000:,.0f} ms ({setting}, {backend.address})',
    )


class HandshakeFailed(Exception):
    """A TLS handshake came to nothing; ``problem`` names what is wrong with the certificate, if that is known."""

    def __init__(self, cause: BaseException | None, transport: object) -> None:
        super().__init__(cause)
        self.cause = cause
        self.problem = _certificate_problem(transport)


def unreachable(backend: Addressed, error: BaseException | None) -> Fault:
    """No connection came about."""
    if isinstance(error, HandshakeFailed):
        detail, told = _handshake(backend, error)
    else:
        detail, told = _connect(backend, error)
    return Fault(
        FaultKind.CONNECT,
        UpstreamFailed(f"the provider could not be reached: {told}"),
        detail=f'backend "{backend.name}": {detail}',
    )


def unknown(address: str) -> Fault:
    """The address belongs to no backend of the configuration."""
    return Fault(FaultKind.CONNECT, UpstreamFailed("no such provider"), detail=f"no backend at {address}: not called")


def _connect(backend: Addressed, error: BaseException | None) -> tuple[str, str]:
    """Return why there is no connection, for the operator and for the caller."""
    match error:
        case DNSLookupError():
            return f'the name "{backend.host}" does not resolve', "its name does not resolve"
        case ConnectionRefusedError():
            hint = "; inside a container localhost is the container itself" if _is_loopback(backend.host) else ""
            return f"connection refused at {backend.address}{hint}", "connection refused"
        case ConnectError():
            reason = str(error.osError or error).strip(". ")
            return f"no connection to {backend.address}: {reason}", "no connection"
        case _:
            return f"no connection to {backend.address}: {error}", "no connection"


def _handshake(backend: Addressed, error: HandshakeFailed) -> tuple[str, str]:
    """The same for a TLS handshake."""
    if isinstance(error.cause, VerificationError):
        return f"TLS: the certificate at {backend.address} is not for {backend.host}", "its certificate is wrong"
    if error.problem:
        hint = "; ca_file names further roots to trust" if "issuer" in error.problem or "self" in error.problem else ""
        detail = f"TLS: the certificate at {backend.address} is not accepted: {error.problem}{hint}"
        return detail, "its certificate is wrong"
    if not isinstance(error.cause, SSL.Error):
        return f"TLS: {backend.address} closed the connection during the handshake", "TLS failed"
    reason = _openssl(error.cause)
    if "version number" in reason or "packet length" in reason:
        return f"TLS: {backend.address} does not seem to speak TLS ({reason})", "TLS failed"
    return f"TLS: no agreement with {backend.address}: {reason}", "TLS failed"


def _openssl(error: SSL.Error) -> str:
    """The reason in OpenSSL's own words: ``[(library, function, reason), …]``."""
    try:
        return str(error.args[0][0][2])
    except (IndexError, TypeError):
        return "unknown reason"


def _certificate_problem(transport: object) -> str:
    """Say why a failed handshake did not accept the peer's chain; ``""`` where nobody knows.

    OpenSSL's error says no more than "certificate verify failed"; verifying the same chain once more names the reason.
    """
    connection = ISystemHandle(transport).getHandle() if ISystemHandle.providedBy(transport) else None
    if not isinstance(connection, SSL.Connection):
        return ""
    chain = connection.get_peer_cert_chain()
    store = connection.get_context().get_cert_store()
    if not chain or store is None:
        return ""
    try:
        crypto.X509StoreContext(store, chain[0], chain[1:]).verify_certificate()
    except crypto.X509StoreContextError as problem:
        return str(problem)
    return ""


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
