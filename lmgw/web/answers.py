"""Answers as bytes: status lines, heads, and errors in the caller's dialect."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from random import Random

from lmgw.errors import GatewayError
from lmgw.wire import translate

Header = tuple[bytes, bytes]

JSON: Header = (b"Content-Type", b"application/json")

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
#: An upstream's own phrase is never passed on: this is what each status is called here.
STATUS_LINES = {code: f"HTTP/1.1 {code} {_PHRASES.get(code, 'Status')}\r\n".encode() for code in range(100, 1000)}

#: Ids tell requests apart and grant nothing: no need to ask the kernel for each.
_random = Random()  # noqa: S311

_LINE_BREAKS = bytes.maketrans(b"\r\n\x00", b"   ")


def header_lines(headers: Sequence[Header]) -> bytes:
    """Return header lines.

    A line break in a value becomes a space: nothing that comes from outside can add a header.
    """
    made = [*map(b": ".join, headers)]
    text = b"".join(made)
    if 10 in text or 13 in text or 0 in text:
        made = [line.translate(_LINE_BREAKS) for line in made]
    return b"\r\n".join([*made, b""])


def dialect_of(path: bytes) -> str:
    """Return the dialect in which a caller of this path reads errors."""
    if path.startswith(b"/api/"):
        return "ollama"
    return "anthropic" if path.startswith(b"/v1/messages") else "openai"


def error(dialect: str, problem: GatewayError, request_id: str) -> tuple[list[Header], bytes]:
    """Return the headers and the body of an error."""
    headers = [JSON]
    headers += [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in problem.headers
    ]
    return headers, translate.DIALECTS[dialect].render_error(problem, request_id)


def request_id(asked: bytes | None) -> str:
    """Return the caller's own request id if it is 1 to 128 visible ASCII characters, else a new one."""
    if asked and len(asked) <= 128 and asked.isascii() and not asked.translate(None, _VISIBLE):
        return asked.decode("ascii")
    return f"req_{_random.getrandbits(96).to_bytes(12).hex()}"


_VISIBLE = bytes(range(0x21, 0x7F))
