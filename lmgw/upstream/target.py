"""A backend made ready to be called: all that a request to it needs and that does not change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.http_headers import Headers

from lmgw.config.snapshot import Backend, Provider
from lmgw.errors import ConfigError
from lmgw.upstream.tls import client_tls, read_roots
from lmgw.version import VERSION

_PORTS = {"http": 80, "https": 443}

#: RFC 9110, 5.6.2 and 5.5: a field's name, and what may stand in its value.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_PATH = re.compile(rb"/[\x21-\x7e]*")
_LF, _CR = b"\n\r"

#: Which connections may be shared: a change of any of these needs new ones.
Key = tuple[str, str, str, int, str]


@dataclass(frozen=True, slots=True)
class BackendTarget:
    """One backend's address, fixed headers and TLS settings, prepared once at each load of the configuration.

    :ivar root: where routes under ``/api/`` stand: for Ollama beside ``api_path``, else as all others.
    :ivar prefix: where all others stand: the path of ``base_url`` and ``api_path``.
    :ivar fields: the headers of every request, the key among them.
    :ivar lines: the same as bytes, ready to be sent.
    :ivar max_connections: sockets open at once; 0 = no limit.
    """

    name: str
    provider: Provider
    scheme: str
    host: str
    port: int
    root: str
    prefix: str
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    lines: bytes = field(repr=False)
    max_connections: int = 0
    tls: IOpenSSLClientConnectionCreator | None = field(default=None, repr=False)
    key: Key = ("", "", "", 0, "")

    @classmethod
    def prepare(cls, backend: Backend) -> BackendTarget:
        """Work out what is fixed, read ``ca_file`` and build the TLS context.

        Raises :class:`~lmgw.errors.ConfigError` for an unreadable ``ca_file`` and for what cannot stand in a header.
        """
        url = urlsplit(backend.base_url)
        host = url.hostname or ""
        port = url.port or _PORTS.get(url.scheme, 0)
        fields = _fields(backend, authority(host, url.port, url.scheme))
        prefix = url.path + backend.api_path
        tls, roots = None, b""
        if url.scheme == "https":
            roots = _read(backend)
            tls = _tls(backend, host, roots)
        return cls(
            name=backend.name,
            provider=backend.provider,
            scheme=url.scheme,
            host=host,
            port=port,
            root=url.path.removesuffix("/v1") if backend.provider is Provider.OLLAMA else prefix,
            prefix=prefix,
            fields=fields,
            lines=b"".join(b"%b: %b\r\n" % pair for pair in fields),
            max_connections=backend.max_connections,
            tls=tls,
            key=(backend.name, url.scheme, host, port, hashlib.sha256(roots).hexdigest() if roots else ""),
        )

    @property
    def address(self) -> str:
        """``host:port``, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def path(self, path: str) -> str:
        """Return the whole path of a route."""
        return (self.root if path.startswith("/api/") else self.prefix) + path

    def url(self, path: str) -> str:
        """Return the whole URL of a route, for treq."""
        return f"{self.scheme}://{authority(self.host, self.port, self.scheme)}{self.path(path)}"

    def headers(self) -> Headers:
        """Return the fixed headers, key included, for treq."""
        headers = Headers()
        for name, value in self.fields:
            headers.addRawHeader(name, value)
        return headers

    def head(self, method: bytes, path: str, headers: Iterable[tuple[bytes, bytes]], length: int) -> bytes:
        """Return a request's head: the fixed headers, ``headers``, and the body's length in bytes."""
        base = self.root if path.startswith("/api/") else self.prefix
        return request_head(request_line(method, base, path) + self.lines, headers, length)


def request_head(start: bytes, headers: Iterable[tuple[bytes, bytes]], length: int) -> bytes:
    """Return a request's head as it is sent; ``start`` are lines that were made ready before.

    Raises ``ValueError`` for a header that would end its line: nobody smuggles a second request in.
    """
    for pair in headers:
        line = b"%b: %b" % pair
        if _LF in line or _CR in line:
            raise ValueError("a header holds a line break")
        start += line + b"\r\n"
    return b"%bContent-Length: %d\r\n\r\n" % (start, length)


@lru_cache(maxsize=256)
def request_line(method: bytes, base: str, path: str) -> bytes:
    """Return a request's first line; raises ``ValueError`` for a path that would end it."""
    whole = f"{base}{path}".encode()
    if _PATH.fullmatch(whole) is None:
        raise ValueError(f"not a path: {whole!r}")
    return b"%b %b HTTP/1.1\r\n" % (method, whole)


def _fields(backend: Backend, authority: str) -> tuple[tuple[bytes, bytes], ...]:
    """Build the fixed headers; the backend's own ``headers`` win over the defaults, never over its key."""
    fields = {
        "User-Agent": f"lmgw/{VERSION}",
        "Accept": "application/json, text/event-stream, */*;q=0.1",
        # Without it a server may compress as it likes (RFC 9110, 12.5.3), and what is compressed cannot be relayed.
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    if backend.provider is Provider.OPENROUTER:
        fields |= {"HTTP-Referer": backend.app_url or "", "X-Title": backend.app_title or ""}
    own = {name.lower() for name in backend.headers}
    fields = {name: value for name, value in fields.items() if value and name.lower() not in own}
    fields = {"Host": authority, **fields, **backend.headers}
    if backend.api_key is not None:
        key = backend.api_key.reveal()
        if backend.provider is Provider.ANTHROPIC:
            fields["x-api-key"] = key
        else:
            fields["Authorization"] = f"Bearer {key}"
    return tuple(_field(backend, name, value) for name, value in fields.items())


def _field(backend: Backend, name: str, value: str) -> tuple[bytes, bytes]:
    raw = name.encode(), value.encode()
    if _NAME.fullmatch(raw[0]) is None or _VALUE.fullmatch(raw[1]) is None:
        # The value may be the key: only the name is told.
        what = backend.api_key_env if name in ("x-api-key", "Authorization") else f"headers[{name!r}]"
        raise ConfigError((f"backends.{backend.name}: {what} holds a character that cannot stand in a header",))
    return raw


def _read(backend: Backend) -> bytes:
    if backend.ca_file is None:
        return b""
    try:
        return Path(backend.ca_file).read_bytes()
    except OSError as problem:
        reason = problem.strerror or "it cannot be read"
        raise ConfigError((f"backends.{backend.name}.ca_file: {backend.ca_file}: {reason}",)) from None


def _tls(backend: Backend, host: str, pem: bytes) -> IOpenSSLClientConnectionCreator:
    try:
        return client_tls(host, read_roots(pem) if backend.ca_file is not None else ())
    except ValueError as problem:
        raise ConfigError((f"backends.{backend.name}.ca_file: {backend.ca_file}: {problem}",)) from None


def authority(host: str, port: int | None, scheme: str) -> str:
    """Return what stands in a URL and in ``Host``: the port only where it is not the scheme's own."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None or port == _PORTS.get(scheme) else f"{bracketed}:{port}"
