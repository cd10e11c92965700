"""The dashboard's files, read once; they are part of the package and of no request's path."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

from lmgw.errors import NotFound
from lmgw.web.answers import Header
from lmgw.web.request import Request

INDEX = "index.html"
#: Header lines of every file. Nothing but the gateway's own files and routes is reached from this page, and no text
#: in it can become a script or a style.
_STAMP = (
    b"Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n"
    b"Cache-Control: no-cache\r\n"
)
#: By the end of a file's name; a file of another kind is not served.
_TYPES = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "svg": b"image/svg+xml",
}


class File(NamedTuple):
    """One file and its headers; ``tag`` is its ETag, which changes with the contents."""

    tag: bytes
    headers: list[Header]
    body: bytes


class Page:
    """Answers with the dashboard's files; a browser that has one already is told so (RFC 9110, 13.1.2)."""

    def __init__(self) -> None:
        folder = files("lmgw.web").joinpath("dashboard")
        self._files = {
            each.name: _file(each.read_bytes(), _TYPES[kind])
            for each in folder.iterdir()
            if (kind := each.name.rpartition(".")[2]) in _TYPES
        }

    def answer(self, request: Request, name: str = INDEX) -> None:
        """Send a file. Raises :class:`~lmgw.errors.NotFound` for a name that is none."""
        file = self._files.get(name)
        if file is None:
            raise NotFound("the dashboard has no such file; the page is at /")
        request.stamp = _STAMP
        known = request.headers.get(b"if-none-match", b"")
        if file.tag in known.split(b", "):
            request.sink.answer(304, file.headers, b"")
        else:
            request.sink.answer(200, file.headers, file.body)


def _file(body: bytes, kind: bytes) -> File:
    tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:16].encode()
    return File(tag, [(b"Content-Type", kind), (b"ETag", tag)], body)
