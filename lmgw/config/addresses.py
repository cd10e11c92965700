"""What addresses must look like: of providers, interfaces, networks, browser origins, listeners."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from lmgw.config.refusal import Refused, expected

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?/?")
#: Ends of addresses that name a route instead of a server.
_ROUTES = ("/chat/completions", "/messages", "/responses", "/api/chat", "/api/generate")


def url(value: Any) -> str:
    """Return a provider's address without a trailing slash."""
    what = "an address such as http://localhost:11434 or https://api.example.com"
    if not isinstance(value, str):
        raise expected(what, value)
    address = value.rstrip("/")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused(f"expected {what}") from None
    if parts.scheme not in ("http", "https"):
        raise Refused(f"expected {what}: it begins with http:// or https://")
    if not host or port == 0 or not re.fullmatch(r"[!-~]+", address):
        raise Refused(f"expected {what}, in ASCII and without spaces")
    if "?" in value or "#" in value:
        raise Refused(f"expected {what}, without a query or fragment; a key goes into api_key_env")
    if parts.path.endswith(_ROUTES):
        raise Refused("this names a route: write the address that comes before it")
    return address


def url_path(value: Any) -> str:
    """Return a path without a trailing slash; it may be empty."""
    if not isinstance(value, str) or not re.fullmatch(r"(?:/[!-~]+)?", value) or re.search(r"[?#]|//", value):
        raise Refused('expected a path such as "/v1", or "" for none')
    return value.rstrip("/")


def host(value: Any) -> str:
    """Return the interface of a listener; empty means every one."""
    if not isinstance(value, str) or not (value == "" or is_address(value) or _HOST_NAME.fullmatch(value)):
        raise Refused('expected an IP address of this machine without a port, or "" for every interface')
    return value


def host_name(value: Any) -> str:
    """Return a host's name as ``Host`` is compared with it."""
    if not isinstance(value, str) or not _HOST_NAME.fullmatch(value):
        raise expected("a host name, without scheme or port", value)
    return value.rstrip(".").lower()


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    from ipaddress import ip_address  # most configurations hold none

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Whether only this machine can reach a listener on this host."""
    from ipaddress import ip_address

    return text == "localhost" or (is_address(text) and ip_address(text).is_loopback)


def cidr(value: Any) -> str:
    """Return a network; a single address is one, and bits beyond the mask are cut."""
    from ipaddress import ip_network

    try:
        if isinstance(value, str):
            return str(ip_network(value, strict=False))
    except ValueError:
        pass
    raise expected('a network such as "10.0.0.0/8", or one address', value)


def origin(value: Any) -> str:
    """Return a browser's origin as the browser writes it (RFC 6454, 6.2)."""
    match = _ORIGIN.fullmatch(value.lower()) if isinstance(value, str) else None
    if match is None:
        raise expected('an origin such as "https://chat.example.com", without a path', value)
    scheme, name, port = match.groups(default="")
    default = ":80" if scheme == "http" else ":443" if scheme == "https" else ""
    return f"{scheme}://{name}{'' if port == default else port}"


def endpoint(value: Any) -> str:
    """Return the description of a Twisted server endpoint, as far as it can be checked without opening it."""
    what = "a Twisted endpoint such as tcp:8080:interface=127.0.0.1, unix:/run/lmgw.sock, systemd:domain=INET:index=0"
    if not isinstance(value, str) or not value.isprintable():
        raise expected(what, value)
    kind, *arguments = re.split(r"(?<!\\):", value)
    if not re.fullmatch(r"[a-z][a-z0-9]*", kind) or not arguments or not arguments[0]:
        raise Refused(f"expected {what}")
    if kind in ("tcp", "tcp6", "ssl"):
        port = next((part[5:] for part in arguments if part.startswith("port=")), arguments[0])
        if not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
            raise Refused(f"expected a port from 0 to 65535 after {kind}:")
    if kind == "systemd" and not {"domain", "index"} <= {part.partition("=")[0] for part in arguments}:
        raise Refused("expected domain= and index= after systemd:")
    return value
