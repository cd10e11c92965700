"""The seam between the web layer and the engine: a request as values, and the one writer to its client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from lmgw.config.snapshot import Config
from lmgw.errors import GatewayError


class Route(Enum):
    """What a caller asks for; the value is (caller's dialect, operation).

    Those from ``MODELS`` on are listings: answered here, by :meth:`Handler.listing`.
    """

    CHAT = ("openai", "chat")
    COMPLETIONS = ("openai", "completions")
    EMBEDDINGS = ("openai", "embeddings")
    RESPONSES = ("responses", "chat")
    INPUT_TOKENS = ("responses", "count_tokens")
    MESSAGES = ("anthropic", "chat")
    COUNT_TOKENS = ("anthropic", "count_tokens")
    OLLAMA_CHAT = ("ollama", "chat")
    OLLAMA_GENERATE = ("ollama_generate", "chat")
    OLLAMA_EMBED = ("ollama", "embeddings")
    OLLAMA_EMBEDDINGS = ("ollama", "embeddings_legacy")
    MODELS = ("openai", "models")
    ANTHROPIC_MODELS = ("anthropic", "models")
    OLLAMA_TAGS = ("ollama", "tags")
    OLLAMA_PS = ("ollama", "ps")
    OLLAMA_SHOW = ("ollama", "show")
    OLLAMA_PULL = ("ollama", "pull")
    OLLAMA_VERSION = ("ollama", "version")

    def __init__(self, dialect: str, operation: str) -> None:
        #: The name of the caller's dialect.
        self.dialect = dialect
        #: What is done, whatever the dialect.
        self.operation = operation

    __hash__ = object.__hash__  # an Enum's own is written in Python, and asked several times a request


class Inbound(msgspec.Struct, frozen=True):
    """One request of one client, read whole.

    :ivar headers: lower-case names to their first value, as they came; ``x-forwarded-for``, ``anthropic-beta`` and
        ``tracestate``, which are lists, with all their lines joined by commas.
    :ivar peer: the client's address, ``trusted_proxies`` already looked through; v4-mapped shown as IPv4.
    :ivar proxied: the direct peer is one of ``trusted_proxies``: its identity header may be believed.
    :ivar received_at: ``reactor.seconds()`` when the head was complete.
    :ivar query: what stands behind the path's ``?``, as it came.
    """

    route: Route
    request_id: str
    body: bytes
    headers: Mapping[bytes, bytes] = {}
    peer: str = ""
    proxied: bool = False
    received_at: float = 0.0
    query: bytes = b""


class Flow(Protocol):
    """What a slow client slows down."""

    def pause(self) -> None:
        """The client's buffer is full: send nothing more for now."""

    def resume(self) -> None:
        """The client reads again."""

    def gone(self, reason: str) -> None:
        """The client is lost (``client_gone``) or did not read for too long (``client_stalled``). Called once."""


class Sink(Protocol):
    """The only writer to one client; every call after the end, or after the client has gone, does nothing.

    ``Content-Length``, ``Transfer-Encoding``, ``Connection``, ``Date``, ``Server``, ``X-Request-ID`` and the CORS
    headers are the sink's own. ``lines`` are headers made ready, of the gateway's own words, each with its line end;
    ``headers`` hold everything else, and may hold whatever others said.
    """

    @property
    def begun(self) -> bool:
        """Whether a status line was written."""

    @property
    def paused(self) -> bool:
        """Whether the client does not read."""

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""

    def attach(self, flow: Flow) -> None:
        """Say who is told when the client is slow or gone; called before the first write."""

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, lines: bytes = b"") -> None:
        """Send a whole answer with its Content-Length, and end."""

    def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]], lines: bytes = b"") -> None:
        """Send the head of a streamed answer."""

    def write(self, data: bytes) -> None:
        """Send a piece of a streamed answer at once."""

    def finish(self) -> None:
        """End a streamed answer validly."""

    def abort(self, last: bytes = b"") -> None:
        """Send ``last`` (an error event) and break the connection: a cut answer must not look complete."""


class Serving(Protocol):
    """The configuration that new requests are served with."""

    @property
    def config(self) -> Config:
        """What the files came to."""


class Handler(Protocol):
    """What the client port asks for: the engine, seen from the web layer."""

    @property
    def current(self) -> Serving:
        """The configuration now in force; read once a request."""

    @property
    def draining(self) -> bool:
        """Whether the gateway is about to stop: every answer is the last of its connection."""

    def refusal(self) -> GatewayError | None:
        """Return why no request can be taken right now; asked when the head of one has been read."""

    def handle(self, inbound: Inbound, sink: Sink) -> None:
        """Start answering; ``sink`` is always brought to an end, whatever happens."""

    def listing(self, kind: str, name: str | None, inbound: Inbound) -> bytes:
        """Return the JSON of a listing, in the dialect of ``inbound.route``.

        ``kind`` is the route's operation: ``models``, ``tags``, ``ps``, ``show``, ``pull`` or ``version``; ``name`` the
        one model that is asked for in the path. Raises :class:`~lmgw.errors.GatewayError` (401, 404; 400 for the body
        of ``show`` and ``pull``).
        """

    def status(self) -> bytes:
        """Return the JSON of ``GET /status``."""
