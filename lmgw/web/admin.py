"""The admin port: its routes, and who may call them."""

from __future__ import annotations

from typing import Any

import msgspec
from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from lmgw.config.snapshot import Gateway
from lmgw.core.record import FAULTS, Filter
from lmgw.errors import BadRequest, Forbidden, Unauthorized
from lmgw.gateway.events import HEADERS
from lmgw.gateway.explaining import Circumstances
from lmgw.secret import Secret
from lmgw.web import filters, guard, sessions
from lmgw.web.answers import JSON
from lmgw.web.client import ASKED
from lmgw.web.filters import read_query
from lmgw.web.head import Head
from lmgw.web.operations import Operations
from lmgw.web.page import Page
from lmgw.web.request import Request
from lmgw.web.routes import misrouted
from lmgw.web.site import Site

_STAMP = (
    b"Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none';"
    b" frame-ancestors 'none'\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\n"
)

#: Routes that ask for no token: the page, and the way to show one.
_OPEN = frozenset({(b"GET", b"/"), (b"HEAD", b"/"), (b"POST", b"/admin/login")})
_PAGE_FILES = b"/dashboard/"
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})

UNKNOWN = "the token is missing or wrong: send 'Authorization: Bearer TOKEN', or log in by POST /admin/login"
STRANGE_HOST = "this Host is not known here: use the port's address, or list the name in admin_allowed_hosts"
READ_ONLY = (
    "read-only: this port can be reached from other machines and has no token; set admin_token_env in [gateway] to the"
    " name of an environment variable that holds one, and restart"
)


#: Entries shown where nobody says how many.
DEFAULT_LIMIT = 100

_TRAFFIC = {
    "limit": filters.count,
    "failures": filters.truth,
    "id": filters.text,
    "client": filters.text,
    "profile": filters.text,
    "tier": filters.text,
    "backend": filters.text,
    "fault": filters.one_of(*FAULTS),
    "success": filters.truth,
    "status": filters.status,
    "since": filters.moment,
    "until": filters.moment,
}
_HISTORY = {"since": filters.moment}
_EXPLAIN = {
    "route": filters.choice(ASKED),
    "client": filters.text,
    "profile": filters.text,
    "label": filters.text,
    "expert": filters.truth,
    "priority": filters.whole,
}


class Login(msgspec.Struct):
    """The body of ``POST /admin/login``."""

    token: str


def admin_site(operations: Operations, reactor: IReactorTime) -> Site:
    """Return what serves the admin port."""
    return Site(AdminPort(operations, sessions.Sessions(reactor.seconds)), reactor)


class AdminPort:
    """The routes of the admin port, and the rules of who may use them."""

    app = Klein()
    draining = False

    def __init__(self, operations: Operations, opened: sessions.Sessions) -> None:
        self._operations = operations
        self._sessions = opened
        self._page = Page()

    @property
    def gateway(self) -> Gateway:
        """The settings now in force."""
        return self._operations.gateway

    # -- who may come in

    def refusal(self, head: Head) -> None:
        """Turn nobody away unheard."""

    def screen(self, request: Request) -> bool:
        """Let in who has the token; without one configured, guard against pages that the operator's browser visits."""
        request.stamp = _STAMP
        gateway = self.gateway
        changes = request.method not in _SAFE
        host = request.headers.get(b"host", b"")
        origin = request.headers.get(b"origin")
        if changes and origin is not None and not guard.is_own_origin(origin, host):
            raise Forbidden("a page of another origin may not change anything here")
        if gateway.admin_token is not None:
            if not _is_open(request) and not self._known(request, gateway.admin_token):
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
        """Show the dashboard."""
        self._page.answer(request)

    @app.route("/dashboard/<name>", methods=["GET"])
    def page_file(self, request: Request, name: str) -> None:
        """Send one of the dashboard's files."""
        self._page.answer(request, name)

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

    @app.route("/admin/traffic", methods=["GET"])
    def traffic(self, request: Request) -> None:
        """Show the newest requests that are wanted."""
        asked = read_query(request.uri, _TRAFFIC)
        limit, failures = asked.pop("limit", DEFAULT_LIMIT), asked.pop("failures", False)
        _answer(request, 200, self._operations.traffic(Filter(**asked), limit, failures=failures))

    @app.route("/admin/traffic/<path:id>", methods=["GET"])
    def request(self, request: Request, id: str) -> None:
        """Show one request."""
        _answer(request, 200, self._operations.request(id))

    @app.route("/admin/inflight", methods=["GET"])
    def in_flight(self, request: Request) -> None:
        """Show what runs now."""
        _answer(request, 200, self._operations.in_flight())

    @app.route("/admin/events", methods=["GET"])
    def events(self, request: Request) -> None:
        """Tell what happens from now on."""
        if request.method == b"HEAD":
            request.sink.answer(200, HEADERS, b"")
        else:
            self._operations.listen(request.sink)

    @app.route("/admin/queues", methods=["GET"])
    def queues(self, request: Request) -> None:
        """Show what runs and waits in each queue."""
        _answer(request, 200, self._operations.queues())

    @app.route("/admin/spend", methods=["GET"])
    def spend(self, request: Request) -> None:
        """Show who used what."""
        _answer(request, 200, self._operations.spend())

    @app.route("/admin/history", methods=["GET"])
    def history(self, request: Request) -> None:
        """Show the last hour in points of ten seconds, and what changed in it."""
        _answer(request, 200, self._operations.history(read_query(request.uri, _HISTORY).get("since", 0.0)))

    @app.route("/admin/backends/health", methods=["GET"])
    async def backends(self, request: Request) -> None:
        """Probe all backends: 200 where all are well, else 207."""
        found = await self._operations.backends()
        _answer(request, 200 if found["ok"] else 207, found)

    @app.route("/admin/explain", methods=["POST"])
    async def explain(self, request: Request) -> None:
        """Show what would become of a request."""
        given = Circumstances(**read_query(request.uri, _EXPLAIN))
        _answer(request, 200, await self._operations.explain(request.body, given))

    @app.route("/admin/playground", methods=["POST"])
    def playground(self, request: Request) -> None:
        """Answer a chat of the operator's."""
        self._operations.play(request.body, request.request_id, request.channel.peer, request.sink)

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: Request) -> None:
        """Show what Prometheus reads."""
        content_type, body = self._operations.metrics(request.headers.get(b"accept", b"").decode("latin-1"))
        request.sink.answer(200, [(b"Content-Type", content_type.encode())], body)

    @app.route("/admin/login", methods=["POST"])
    def login(self, request: Request) -> None:
        """Give a session cookie for the token."""
        token = self.gateway.admin_token
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


def _is_open(request: Request) -> bool:
    """Whether a request needs no token: the page, its files, and the way to show a token."""
    return (request.method, request.path) in _OPEN or (request.method in _SAFE and request.path.startswith(_PAGE_FILES))


def _answer(request: Request, status: int, body: Any) -> None:
    request.sink.answer(status, [JSON], msgspec.json.encode(body))
