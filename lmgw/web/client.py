"""The client port: its routes, and who may call them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from lmgw.config.snapshot import Gateway
from lmgw.errors import Forbidden, GatewayError, NotFound
from lmgw.gateway.inbound import Handler, Inbound, Route
from lmgw.web import guard
from lmgw.web.answers import JSON
from lmgw.web.head import Head
from lmgw.web.request import Request
from lmgw.web.routes import base_url, misrouted
from lmgw.web.site import Site

_SETUP = b"""\
This gateway is ready when every provider that it was configured with has its key ("ready": true on /status).

Which keys are missing, the operator sees:
  - in the log: the warnings right after the start (docker compose logs, journalctl -u lmgw)
  - on the admin port: GET /admin/health, "missing"; or by the command: lmgw status

Keys are environment variables of the gateway, read once at its start. To set one:
  - Docker Compose: write NAME=value into .env beside compose.yaml, then: docker compose restart
  - systemd: write NAME=value into /etc/lm-gateway/env, then: systemctl restart lmgw
A variable that is empty, or still holds a guide's placeholder, counts as missing. A reload does not read keys again.
"""


#: What is answered however much there is to do: probes must not take a busy gateway for a dead one.
_HEALTH = frozenset({b"/", b"/healthz", b"/readyz", b"/status"})


def client_site(engine: Handler, reactor: IReactorTime) -> Site:
    """Return what serves the client port."""
    return Site(ClientPort(engine), reactor)


class ClientPort:
    """The routes of the client port; all but the smallest are handed to the engine, their bodies unread."""

    app = Klein()

    def __init__(self, engine: Handler) -> None:
        self._engine = engine

    @property
    def gateway(self) -> Gateway:
        """The settings now in force."""
        return self._engine.current.config.gateway

    @property
    def draining(self) -> bool:
        """Whether the gateway is about to stop."""
        return self._engine.draining

    # -- who may come in

    def refusal(self, head: Head) -> GatewayError | None:
        """Return why a request is turned away before its body is read; whoever asks for the health is let in."""
        return None if head.target in _HEALTH else self._engine.refusal()

    def screen(self, request: Request) -> bool:
        """Refuse the pages of foreign origins, and answer an allowed page's preflight."""
        origin = request.headers.get(b"origin")
        if origin is None:
            return True
        if not guard.origin_allowed(origin, self.gateway.cors_origins):
            name = origin.decode("latin-1")[:200]
            raise Forbidden(f"a page of {name} may not use this gateway; its operator can add it to cors_origins")
        request.stamp = guard.cors_lines(origin)
        if request.method == b"OPTIONS" and b"access-control-request-method" in request.headers:
            request.sink.answer(204, guard.preflight(request.headers), b"")
            return False
        return True

    @app.handle_errors(HTTPException)
    def no_route(self, request: Any, failure: Failure) -> None:
        """Tell a lost caller which base URL its client needs. Raises the words as a ``GatewayError``."""
        base = base_url(request)
        raise misrouted(failure.value, request, f"OpenAI clients use {base}/v1, Anthropic and Ollama clients {base}")

    # -- answered here

    @app.route("/", methods=["GET"])
    def root(self, request: Request) -> None:
        """Answer as Ollama does; its clients look for this before anything else."""
        request.sink.answer(200, [(b"Content-Type", b"text/plain; charset=utf-8")], b"Ollama is running")

    @app.route("/healthz", methods=["GET"])
    def healthz(self, request: Request) -> None:
        """Say that the process serves."""
        request.sink.answer(200, [JSON], b'{"status":"ok"}')

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: Request) -> None:
        """Say whether new requests are welcome."""
        if self._engine.draining:
            request.sink.answer(503, [JSON], b'{"status":"draining"}')
        else:
            request.sink.answer(200, [JSON], b'{"status":"ok"}')

    @app.route("/status", methods=["GET"])
    def status(self, request: Request) -> None:
        """Show what everybody may know."""
        request.sink.answer(200, [JSON], self._engine.status())

    @app.route("/setup", methods=["GET"])
    def setup(self, request: Request) -> None:
        """Say what to do where ``/status`` is not ready; it names nothing of the configuration, for anybody may ask."""
        request.sink.answer(200, [(b"Content-Type", b"text/plain; charset=utf-8")], _SETUP)

    @app.route("/v1/models", methods=["GET"])
    @app.route("/v1/models/<path:name>", methods=["GET"])
    def models(self, request: Request, name: str | None = None) -> None:
        """List what may be named as the model, or describe one; in Anthropic's shape for its SDKs."""
        anthropic = b"anthropic-version" in request.headers
        self.look_up(request, Route.ANTHROPIC_MODELS if anthropic else Route.MODELS, name)

    @app.route("/v1/responses/<path:name>", methods=["GET", "POST", "DELETE"])
    def stored_response(self, request: Request, name: str) -> None:
        """Say that there is nothing of an earlier answer to be read, cancelled or deleted."""
        raise NotFound(
            "of the Responses API there are POST /v1/responses and /v1/responses/input_tokens here: no answer is "
            "stored that could be read, cancelled or deleted by its id; send the items of the conversation in input"
        )

    # -- handed to the engine

    def look_up(self, request: Request, route: Route, name: str | None = None) -> None:
        """Answer with one of the engine's listings. Raises ``GatewayError``."""
        request.sink.answer(200, [JSON], self._engine.listing(route.operation, name, self._inbound(request, route)))

    def ask(self, request: Request, route: Route) -> None:
        """Let the engine answer, now or later."""
        self._engine.handle(self._inbound(request, route), request.sink)

    def _inbound(self, request: Request, route: Route) -> Inbound:
        request.dialect = route.dialect
        headers, peer, proxied = request.headers, request.channel.peer, False
        trusted = self._engine.current.config.gateway.trusted_proxies
        if trusted:
            peer, proxied = guard.client_address(peer, headers.get(b"x-forwarded-for"), trusted)
        return Inbound(
            route, request.request_id, request.body, headers, peer, proxied, request.received_at, request.query
        )


def _handler(method: Callable[..., Any], route: Route) -> Callable[[ClientPort, Request], Any]:
    handle = partial(method, route=route)
    handle.__name__ = route.name.lower()  # type: ignore[attr-defined]
    return handle


#: The routes that are handed to the engine.
ASKED = {
    "/v1/chat/completions": Route.CHAT,
    "/v1/completions": Route.COMPLETIONS,
    "/v1/embeddings": Route.EMBEDDINGS,
    "/v1/responses": Route.RESPONSES,
    "/v1/responses/input_tokens": Route.INPUT_TOKENS,
    "/v1/messages": Route.MESSAGES,
    "/v1/messages/count_tokens": Route.COUNT_TOKENS,
    "/api/chat": Route.OLLAMA_CHAT,
    "/api/generate": Route.OLLAMA_GENERATE,
    "/api/embed": Route.OLLAMA_EMBED,
    "/api/embeddings": Route.OLLAMA_EMBEDDINGS,
}
_LISTED = {
    "/api/version": ("GET", Route.OLLAMA_VERSION),
    "/api/tags": ("GET", Route.OLLAMA_TAGS),
    "/api/ps": ("GET", Route.OLLAMA_PS),
    "/api/show": ("POST", Route.OLLAMA_SHOW),
    "/api/pull": ("POST", Route.OLLAMA_PULL),
}
for _path, _route in ASKED.items():
    ClientPort.app.route(_path, methods=["POST"])(_handler(ClientPort.ask, _route))
for _path, (_method, _route) in _LISTED.items():
    ClientPort.app.route(_path, methods=[_method])(_handler(ClientPort.look_up, _route))
