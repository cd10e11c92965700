"""A request's head: from bytes to values, strictly, and in words where it is wrong."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from lmgw.errors import BadRequest, GatewayError

#: Bytes of a request line and all headers together.
HEAD_LIMIT = 32_768

_TCHAR = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_TOKEN = re.compile(_TCHAR + rb"+")
#: All header lines at once: far cheaper than line by line.
_FIELDS = re.compile(rb"(?:" + _TCHAR + rb"++:[\t -~\x80-\xff]*+(?:\r\n|\Z))*+")
_TARGET = re.compile(rb"[!-~]+")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")

#: Lists, of which a later line continues the first (RFC 9110, 5.3); of any other header the first line counts.
_LISTS = frozenset({b"x-forwarded-for", b"anthropic-beta", b"tracestate", b"connection"})
#: What may not come twice: two of them, and two programs on the way may each believe another one.
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_HOST_LIMIT = 255
#: Request lines up to this many bytes are remembered: a gateway sees the same few all day.
_SHORT = 128


class Head(msgspec.Struct, frozen=True):
    """A well-formed head.

    :ivar headers: lower-case names to values.
    :ivar length: bytes of the body; ``None`` for a chunked one.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: dict[bytes, bytes]
    length: int | None

    @property
    def persistent(self) -> bool:
        """Whether the caller wants the connection to outlive this request."""
        if self.version != b"HTTP/1.1":
            return False
        tokens = self.headers.get(b"connection")
        return tokens is None or b"close" not in tokens.lower().replace(b" ", b"").split(b",")


def parse(data: bytes) -> Head:
    """Read a head without its closing empty line (RFC 9112). Raises :class:`GatewayError`: 400, 501 or 505."""
    line, _, fields = data.partition(b"\r\n")
    method, target, version = (_known_line if len(line) <= _SHORT else _request_line)(line)
    if _FIELDS.fullmatch(fields) is None:
        raise BadRequest("malformed header: a header is 'Name: value' on one line, without control characters")
    headers: dict[bytes, bytes] = {}
    for field in fields.split(b"\r\n") if fields else ():
        name, _, value = field.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name not in headers:
            headers[name] = value
        elif name in _LISTS:
            headers[name] += b", " + value
        elif name in _ONCE:
            raise BadRequest(f"more than one {name.decode()} header")
    _check_host(headers.get(b"host", b""), version)
    return Head(method, target, version, headers, _body_length(headers))


@lru_cache(maxsize=256)
def is_host(value: bytes) -> bool:
    """Whether a Host is well formed (RFC 9110, 7.2)."""
    return _HOST.fullmatch(value) is not None


def looks_wrong(data: bytes) -> bool:
    """Whether the beginning of a head can never become one: TLS on a plain port, lines that end in LF alone."""
    return _TOKEN.match(data) is None or b"\n\n" in data


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    parts = line.split(b" ")
    version = parts[-1]
    if len(parts) == 3 and _TOKEN.fullmatch(parts[0]) and _TARGET.fullmatch(parts[1]):
        if version in _VERSIONS:
            return parts[0], parts[1], version
        if version.startswith(b"HTTP/"):
            raise GatewayError("only HTTP/1.1 and HTTP/1.0 are spoken here", status=505)
    raise malformed()


_known_line = lru_cache(maxsize=256)(_request_line)


def _check_host(host: bytes, version: bytes) -> None:
    if not host and version == b"HTTP/1.1":
        raise BadRequest("the Host header is missing")
    if host and (len(host) > _HOST_LIMIT or not is_host(host)):
        raise BadRequest("the Host header is malformed: it should be a name or an address, and a port")


def _body_length(headers: dict[bytes, bytes]) -> int | None:
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadRequest("Content-Length and Transfer-Encoding may not come together")
        if coding.lower() != b"chunked":
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
