"""Who may come in: rules over Host, Origin and addresses, as pure functions.

A web page that an operator merely visits can send requests to both ports; what it cannot do is lie about its
``Origin``, nor read an answer without the headers that allow it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

Header = tuple[bytes, bytes]
Network = IPv4Network | IPv6Network

#: Origins of programs on the user's own machine, as Ollama allows them.
_APP_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
_EXTENSION_SCHEMES = ("chrome-extension", "moz-extension", "safari-web-extension")

#: What a page may read of an answer besides its body.
_EXPOSED = (
    b"X-Request-ID, X-LMG-Tier, X-LMG-Model, X-LMG-Backend, X-LMG-Profile, X-LMG-Class, X-LMG-Attempts,"
    b" X-LMG-Escalated, X-LMG-Overflowed, X-LMG-Overhead-Ms, X-LMG-Lossy, X-LMG-Fallback, Retry-After,"
    b" X-RateLimit-Limit, X-RateLimit-Policy, X-RateLimit-Scope"
)

_HEADER_NAMES = re.compile(rb"[A-Za-z0-9-]+(?:[ \t]*,[ \t]*[A-Za-z0-9-]+)*")


# -- addresses


def plain_address(address: IAddress) -> str:
    """Return the address as text; what comes by a UNIX socket comes from this machine: ``127.0.0.1``."""
    return "127.0.0.1" if isinstance(address, UNIXAddress) else _unmapped(getattr(address, "host", ""))


def _unmapped(text: str) -> str:
    """Return a v4-mapped IPv6 address as IPv4, anything else as it is."""
    return text[7:] if text.startswith("::ffff:") and "." in text else text


def is_loopback(text: str) -> bool:
    """Whether this is an address whose traffic never leaves the machine."""
    address = _parsed(text)
    return address is not None and address.is_loopback


@lru_cache(maxsize=16)
def _networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(cidr, strict=False) for cidr in cidrs)


def client_address(peer: str, forwarded: bytes | None, trusted: tuple[str, ...]) -> tuple[str, bool]:
    """Return the client's address, and whether the direct peer is one of the ``trusted`` proxies (CIDRs).

    ``X-Forwarded-For`` is read from the right, where each proxy adds what it saw: the first address that is not a
    trusted proxy's is the client's, and nothing left of it counts, for the client may have written it.
    """
    networks = _networks(trusted)
    if not networks or not _within(peer, networks):
        return peer, False
    client = peer
    for entry in reversed((forwarded or b"").decode("latin-1").split(",")):
        address = _forwarded_address(entry.strip())
        if address is None:
            break
        client = address
        if not _within(client, networks):
            break
    return client, True


def _within(text: str, networks: tuple[Network, ...]) -> bool:
    address = _parsed(text)
    return address is not None and any(address in network for network in networks)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _forwarded_address(entry: str) -> str | None:
    """Return the address of one entry: ``192.0.2.1``, ``192.0.2.1:4711``, ``2001:db8::1``, ``[2001:db8::1]:4711``."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    address = _parsed(_unmapped(entry))
    return None if address is None else str(address)


# -- Host


def admin_host_allowed(value: bytes, names: Sequence[str]) -> bool:
    """Whether the admin port may be called by this Host without a token.

    A page whose own name was made to resolve to this machine (DNS rebinding) sends that name: addresses,
    ``localhost`` and the names that the operator listed are safe.
    """
    text = value.decode("latin-1").lower()
    name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0].rstrip(".")
    allowed = {"localhost", *(entry.lower().rstrip(".") for entry in names)}
    return name in allowed or _parsed(name) is not None


# -- Origin


def is_own_origin(origin: bytes, host: bytes) -> bool:
    """Whether a page of this very server sends the request."""
    scheme, _, authority = origin.partition(b"://")
    return scheme.lower() in (b"http", b"https") and bool(host) and authority.lower() == host.lower()


def origin_allowed(origin: bytes, allowed: Sequence[str]) -> bool:
    """Whether a page of this origin may use the client port.

    ``null`` is no local file's privilege: any page can send it from a sandboxed frame.
    """
    try:
        text = origin.decode("ascii").lower()
        parts = urlsplit(text)
        name = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme in _APP_SCHEMES + _EXTENSION_SCHEMES:
        return True
    if parts.scheme in ("http", "https") and (name == "localhost" or name.endswith(".localhost") or is_loopback(name)):
        return True
    return any(entry == "*" or entry.lower().rstrip("/") == text for entry in allowed)


def cors_lines(origin: bytes) -> bytes:
    """Return the header lines that let an allowed page read the answer."""
    return b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\nAccess-Control-Expose-Headers: %b\r\n" % (
        origin,
        _EXPOSED,
    )


def preflight(headers: Mapping[bytes, bytes]) -> list[Header]:
    """Return the answer's headers to an allowed page that asks what it may send."""
    answer = [(b"Access-Control-Allow-Methods", b"GET, HEAD, POST, OPTIONS"), (b"Access-Control-Max-Age", b"600")]
    wanted = headers.get(b"access-control-request-headers", b"")
    if _HEADER_NAMES.fullmatch(wanted):
        answer.append((b"Access-Control-Allow-Headers", wanted))
    if headers.get(b"access-control-request-private-network") == b"true":
        answer.append((b"Access-Control-Allow-Private-Network", b"true"))
    return answer
