"""A request's head: from bytes to values, strictly, and in words where it is wrong."""

from __future__ import annotations

import re

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
_FRAMING = (b"content-length", b"transfer-encoding", b"expect")


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
        tokens = self.headers.get(b"connection", b"").lower().replace(b" ", b"").split(b",")
        return self.version == b"HTTP/1.1" and b"close" not in tokens

    @property
    def frame(self) -> bytes:
        """The head again, with nothing but what ``HTTPChannel`` goes by."""
        lines = [b"%b %b %b\r\n" % (self.method, self.target, self.version)]
        lines += [b"%b: %b\r\n" % (name, self.headers[name]) for name in _FRAMING if name in self.headers]
        return b"".join([*lines, b"\r\n"])


def parse(data: bytes) -> Head:
    """Read a head without its closing empty line (RFC 9112). Raises :class:`GatewayError`: 400, 501 or 505."""
    line, _, fields = data.partition(b"\r\n")
    method, target, version = _request_line(line)
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


def is_host(value: bytes) -> bool:
    """Whether a Host is well formed (RFC 9110, 7.2)."""
    return len(value) <= 255 and _HOST.fullmatch(value) is not None


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


def _check_host(host: bytes, version: bytes) -> None:
    if not host and version == b"HTTP/1.1":
        raise BadRequest("the Host header is missing")
    if host and not is_host(host):
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
