"""A request's head: from bytes to values, strictly, and in words where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from lmgw.errors import BadRequest, GatewayError

#: Bytes of a request line and all headers together.
HEAD_LIMIT = 32_768

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Make a header's name lower-case, or leave its value as it is, and put NUL in place of what may not stand in it: with
#: lines as short as most are, a regular expression costs more before its first byte than these do to the last.
_NAME = bytes(byte if _TOKEN.fullmatch(bytes([byte])) else 0 for byte in range(256)).lower()
_VALUE = bytes(byte if byte == 0x09 or 0x20 <= byte != 0x7F else 0 for byte in range(256))
_TARGET = re.compile(rb"[!-~]+")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")

#: Lists, of which a later line continues the first (RFC 9110, 5.3); of any other header the first line counts.
_LISTS = frozenset({b"x-forwarded-for", b"anthropic-beta", b"tracestate", b"connection"})
#: What may not come twice: two of them, and two programs on the way may each believe another one.
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_HOST_LIMIT = 255
#: Lines up to this many bytes are remembered: a gateway sees the same few all day.
_SHORT = 128
#: The headers whose lines are: those that say what a client is, and hold no secret.
_STEADY = frozenset(
    {b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"connection", b"content-type"}
    | {b"anthropic-version", b"anthropic-beta", b"anthropic-dangerous-direct-browser-access", b"x-app"}
    | {b"x-stainless-lang", b"x-stainless-os", b"x-stainless-arch", b"x-stainless-runtime", b"x-stainless-async"}
    | {b"x-stainless-runtime-version", b"x-stainless-package-version", b"x-stainless-retry-count"}
    | {b"x-stainless-timeout", b"x-stainless-read-timeout", b"x-stainless-helper-method"}
)
#: How many of these lines are remembered.
_KNOWN_FIELDS = 1024


class Head(msgspec.Struct, frozen=True):
    """A well-formed head.

    :ivar path: the target up to its ``?``; ``query`` is what stands behind it.
    :ivar headers: lower-case names to values.
    :ivar length: bytes of the body; ``None`` for a chunked one.
    :ivar persistent: the caller wants the connection to outlive this request.
    """

    method: bytes
    target: bytes
    version: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    length: int | None
    persistent: bool


def parse(data: bytes) -> Head:
    """Read a head without its closing empty line (RFC 9112). Raises :class:`GatewayError`: 400, 501 or 505."""
    line, *fields = data.split(b"\r\n")
    method, target, version, path, query = (_known_line if len(line) <= _SHORT else _request_line)(line)
    headers = dict(map(_field, fields))
    if len(headers) < len(fields):
        headers = _merged(map(_field, fields))
    modern = version == b"HTTP/1.1"
    if modern and not headers.get(b"host"):
        raise BadRequest("the Host header is missing")
    persistent = modern and (b"connection" not in headers or not _closes(headers[b"connection"]))
    return Head(method, target, version, path, query, headers, _body_length(headers), persistent)


def is_host(value: bytes) -> bool:
    """Whether a Host is well formed (RFC 9110, 7.2)."""
    return len(value) <= _HOST_LIMIT and _HOST.fullmatch(value) is not None


def looks_wrong(data: bytes) -> bool:
    """Whether the beginning of a head can never become one: TLS on a plain port, lines that end in LF alone."""
    return _TOKEN.match(data) is None or b"\n\n" in data


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    parts = line.split(b" ")
    version = parts[-1]
    if len(parts) == 3 and _TOKEN.fullmatch(parts[0]) and _TARGET.fullmatch(parts[1]):
        if version in _VERSIONS:
            path, _, query = parts[1].partition(b"?")
            return parts[0], parts[1], version, path, query
        if version.startswith(b"HTTP/"):
            raise GatewayError("only HTTP/1.1 and HTTP/1.0 are spoken here", status=505)
    raise malformed()


_known_line = lru_cache(maxsize=256)(_request_line)


class _Fields(dict[bytes, tuple[bytes, bytes]]):
    """Header lines taken apart into lower-case name and value; those that will come again are remembered."""

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        name, colon, value = line.partition(b":")
        name = name.translate(_NAME)
        if not (name and colon) or 0 in name or 0 in value.translate(_VALUE):
            raise BadRequest("malformed header: a header is 'Name: value' on one line, without control characters")
        value = value.strip()
        if name == b"host" and value and not is_host(value):
            raise BadRequest("the Host header is malformed: it should be a name or an address, and a port")
        if name in _STEADY and len(line) <= _SHORT:
            if len(self) == _KNOWN_FIELDS:
                self.clear()
            self[line] = name, value
        return name, value


_known_fields = _Fields()
_field = _known_fields.__getitem__


def _merged(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers of which some came more than once."""
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        if name not in headers:
            headers[name] = value
        elif name in _LISTS:
            headers[name] += b", " + value
        elif name in _ONCE:
            raise BadRequest(f"more than one {name.decode()} header")
    return headers


@lru_cache(maxsize=16)
def _closes(connection: bytes) -> bool:
    return b"close" in connection.lower().replace(b" ", b"").split(b",")


def _body_length(headers: dict[bytes, bytes]) -> int | None:
    length = headers.get(b"content-length")
    if b"transfer-encoding" in headers:
        if length is not None:
            raise BadRequest("Content-Length and Transfer-Encoding may not come together")
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise GatewayError("the only Transfer-Encoding that is understood here is chunked", status=501)
        return None
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 18:
        raise BadRequest("Content-Length must be a number")
    return int(length)


def malformed() -> BadRequest:
    """Return the refusal of what does not begin like a request."""
    return BadRequest("malformed request line: it should read like 'GET /v1/models HTTP/1.1'")
