"""The admin port: its routes, and who may call them."""

from __future__ import annotations

from typing import Any

import msgspec
from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from lmgw.errors import BadRequest, Forbidden, Unauthorized
from lmgw.secret import Secret
from lmgw.web import guard, sessions
from lmgw.web.answers import JSON
from lmgw.web.operations import Operations
from lmgw.web.request import Request
from lmgw.web.routes import misrouted
from lmgw.web.site import Site

_STAMP = (
    b"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    b" frame-ancestors 'none'\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\n"
)

_PAGE = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>lmgw</title></head>
<body style="font: 16px/1.5 system-ui; max-width: 40rem; margin: 3rem auto; padding: 0 1rem">
<h1>lmgw</h1>
<p>This is the admin port.</p>
<ul>
<li><a href="/admin/health">GET /admin/health</a>: what is ready, what is missing, the last reload</li>
<li><a href="/admin/config">GET /admin/config</a>: the configuration in force, without secrets</li>
<li>POST /admin/reload: read the files again, as SIGHUP does</li>
<li>POST /admin/login: <code>{"token": "..."}</code> in, session cookie out</li>
</ul>
</body>
</html>
"""

#: Routes that ask for no token: the page, and the way to show one.
_OPEN = frozenset({(b"GET", b"/"), (b"HEAD", b"/"), (b"POST", b"/admin/login")})
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})

UNKNOWN = "the token is missing or wrong: send 'Authorization: Bearer TOKEN', or log in by POST /admin/login"
STRANGE_HOST = "this Host is not known here: use the port's address, or list the name in admin_allowed_hosts"
READ_ONLY = (
    "read-only: this port can be reached from other machines and has no token; set admin_token_env in [gateway] to the"
    " name of an environment variable that holds one, and restart"
)


class Login(msgspec.Struct):
    """The body of ``POST /admin/login``."""

    token: str


def admin_site(operations: Operations, reactor: IReactorTime) -> Site:
    """Return what serves the admin port."""
    port = AdminPort(operations, sessions.Sessions(reactor.seconds))
    return Site(port.app, port.screen, reactor=reactor, gateway=lambda: operations.gateway, draining=lambda: False)


class AdminPort:
    """The routes of the admin port, and the rules of who may use them."""

    app = Klein()

    def __init__(self, operations: Operations, opened: sessions.Sessions) -> None:
        self._operations = operations
        self._sessions = opened

    # -- who may come in

    def screen(self, request: Request) -> bool:
        """Let in who has the token; without one configured, guard against pages that the operator's browser visits."""
        request.stamp = _STAMP
        gateway = self._operations.gateway
        changes = request.method not in _SAFE
        host = request.headers.get(b"host", b"")
        origin = request.headers.get(b"origin")
        if changes and origin is not None and not guard.is_own_origin(origin, host):
            raise Forbidden("a page of another origin may not change anything here")
        if gateway.admin_token is not None:
            if (request.method, request.path) not in _OPEN and not self._known(request, gateway.admin_token):
                raise Unauthorized(UNKNOWN)
            return True
        if not guard.admin_host_allowed(host, gateway.admin_allowed_hosts):
            raise Forbidden(STRANGE_HOST)
        if changes and not guard.is_loopback(request.channel.local):
            raise Forbidden(READ_ONLY)
        return True

    def _known(self, request: Request, token: Secret) -> bool:
        scheme, _, value = request.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and Secret(value.strip().decode("utf-8", "replace")) == token:
            return True
        return self._sessions.holds(request.headers.get(b"cookie", b""), token)

    @app.handle_errors(HTTPException)
    def no_route(self, request: Any, failure: Failure) -> None:
        """Say where to look. Raises the words as a ``GatewayError``."""
        raise misrouted(failure.value, request, "this is the admin port; GET / lists what it has")

    # -- routes

    @app.route("/", methods=["GET"])
    def page(self, request: Request) -> None:
        """Name the routes."""
        request.sink.answer(200, [(b"Content-Type", b"text/html; charset=utf-8")], _PAGE)

    @app.route("/admin/health", methods=["GET"])
    def health(self, request: Request) -> None:
        """Show what is ready and what is not."""
        _answer(request, 200, self._operations.health())

    @app.route("/admin/config", methods=["GET"])
    def config(self, request: Request) -> None:
        """Show the configuration in force."""
        _answer(request, 200, self._operations.config())

    @app.route("/admin/reload", methods=["POST"])
    async def reload(self, request: Request) -> None:
        """Read the files again: 200 with what changed, 422 with every problem."""
        result = await self._operations.reload()
        if result.problems:
            _answer(request, 422, {"status": "failed", "summary": result.summary, "problems": result.problems})
        else:
            _answer(request, 200, {"status": "reloaded", "summary": result.summary, "changes": result.changes})

    @app.route("/admin/login", methods=["POST"])
    def login(self, request: Request) -> None:
        """Give a session cookie for the token."""
        token = self._operations.gateway.admin_token
        if token is None:
            raise BadRequest("no token is set here: there is nothing to log in to")
        try:
            shown = msgspec.json.decode(request.body, type=Login)
        except msgspec.MsgspecError:
            raise BadRequest('the body must be {"token": "..."}') from None
        if Secret(shown.token) != token:
            raise Unauthorized(UNKNOWN)
        cookie = f"{sessions.COOKIE.decode()}={self._sessions.start(token)}; Path=/; HttpOnly; SameSite=Strict"
        cookie += f"; Max-Age={sessions.LIFETIME_S}{'; Secure' if request.isSecure() else ''}"
        request.sink.answer(200, [JSON, (b"Set-Cookie", cookie.encode())], b'{"status":"ok"}')


def _answer(request: Request, status: int, body: Any) -> None:
    request.sink.answer(status, [JSON], msgspec.json.encode(body))
