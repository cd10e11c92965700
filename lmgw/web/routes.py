"""Routing: a Klein app is the one list of routes, and an exact match is found without Klein."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import unwrap
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from klein import Klein
from twisted.internet.defer import ensureDeferred
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from lmgw.config.snapshot import Gateway
from lmgw.errors import BadRequest, GatewayError, MethodNotAllowed, NotFound
from lmgw.web.head import Head

if TYPE_CHECKING:
    from lmgw.web.request import Request

#: Every method that some route has.
METHODS = "GET, HEAD, POST"


class Port(Protocol):
    """Whose methods are the handlers of a Klein app, and who may call them."""

    @property
    def app(self) -> Klein:
        """The list of its routes, bound to this instance."""

    @property
    def gateway(self) -> Gateway:
        """The settings now in force."""

    @property
    def draining(self) -> bool:
        """Whether every answer is to be the last of its connection."""

    def refusal(self, head: Head) -> GatewayError | None:
        """Return why a request is turned away before its body is read, if it is."""

    def screen(self, request: Request) -> bool:
        """Look at a request before it is routed; returns false where it is answered. Raises ``GatewayError``."""


class Router:
    """Calls the handler of a port's Klein app for a request.

    Werkzeug's matching costs more than all else here together, so the app's routes without arguments are a table of
    its handlers. What is not in it (arguments, unknown paths, wrong methods) goes Klein's way, which ends in the same.
    Doubled and trailing slashes do not matter.
    """

    def __init__(self, port: Port) -> None:
        app = port.app
        self._resource = app.resource()
        self._exact: dict[tuple[bytes, bytes], Callable[[Request], Any]] = {
            (method.encode(), rule.rule.encode()): partial(unwrap(app.endpoints[rule.endpoint]), port)
            for rule in app.url_map.iter_rules()
            if not rule.arguments
            for method in rule.methods or ()
        }

    def route(self, request: Request) -> None:
        """Route a request. Raises what its handler raises; :class:`GatewayError` for a target that is no path."""
        handler = self._exact.get((request.method, request.path))
        if handler is None:
            if request.path == b"*":
                _answer_for_all(request)
                return
            request.method, request.path = request.method.upper(), _plain_path(request.method, request.path)
            handler = self._exact.get((request.method, request.path))
        if handler is None:
            request.unfold()
            request.prepath, request.postpath = [], request.path[1:].split(b"/")
            request.render(self._resource)
            return
        result = handler(request)
        if result is not None:
            ensureDeferred(result).addErrback(request.processingFailed)


def _answer_for_all(request: Request) -> None:
    """Answer ``OPTIONS *``, which asks for nothing in particular (RFC 9110, 9.3.7)."""
    if request.method != b"OPTIONS":
        raise MethodNotAllowed("the target * is for OPTIONS", "OPTIONS")
    request.sink.answer(204, [(b"Allow", METHODS.encode())], b"")


def _plain_path(method: bytes, target: bytes) -> bytes:
    """Return a path decoded and without empty segments. Raises :class:`GatewayError` where the target is no path."""
    if not target.startswith(b"/"):
        target = _path_of(method, target)
    segments = [unquote_to_bytes(segment) for segment in target.split(b"/") if segment]
    path = b"/" + b"/".join(segments)
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("the path is not valid UTF-8") from None
    return path


def _path_of(method: bytes, target: bytes) -> bytes:
    """Return the path of a target in absolute form, as it is sent to proxies (RFC 9112, 3.2.2: accept it)."""
    if method == b"CONNECT":
        raise MethodNotAllowed("CONNECT: this is a gateway to models, not a proxy", METHODS)
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise BadRequest("the request target must be a path: '/v1/models'")
    return b"/" + rest.partition(b"/")[2]


def misrouted(problem: BaseException | None, request: Request, remedy: str) -> GatewayError:
    """Turn what werkzeug says of an unknown path or a wrong method into words, and ``remedy`` for the former."""
    line = f"{request.method.decode('latin-1')[:20]} {request.uri.partition(b'?')[0].decode('utf-8', 'replace')[:200]}"
    if isinstance(problem, WrongMethod) and problem.valid_methods:
        allowed = sorted(problem.valid_methods)
        use = " or ".join(method for method in allowed if method != "HEAD")
        return MethodNotAllowed(f"{line}: use {use}", ", ".join(allowed))
    return NotFound(f"no route {line}: {remedy}")


def base_url(request: Request) -> str:
    """Return the URL by which this caller reached us: its ``Host``, which the channel has found well formed."""
    host = request.headers.get(b"host", b"").decode("latin-1")
    if not host:
        address = request.channel.local
        host = f"[{address}]" if ":" in address else address
        host += f":{getattr(request.getHost(), 'port', '')}"
    return f"{'https' if request.isSecure() else 'http'}://{host}"
