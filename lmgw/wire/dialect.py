"""The seam between a dialect and the rest: what each dialect's file offers.

A dialect is one module with one object of this protocol. Nothing here does I/O; parsers take any cut of the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from lmgw.config.snapshot import Capabilities
from lmgw.errors import GatewayError
from lmgw.wire.events import Answer, Event, Request


@dataclass(frozen=True, slots=True)
class Target:
    """What a request must be rendered for: one tier on one backend, everything decided at load.

    :ivar model: the upstream's name of the model.
    :ivar max_output_tokens: the tier's own, else the catalog's; ``None`` where neither says.
    :ivar think: the tier's (or the plan's) switch where the request itself says nothing about reasoning.
    :ivar system: the profile's prompt, put before the caller's own system text (one blank line between).
    :ivar max_tokens_field: ``max_tokens`` or ``max_completion_tokens``, ``auto`` already decided.
    :ivar options: Ollama's options where the request has none; ``pinned_options`` win over the request's.
    """

    model: str
    capabilities: Capabilities = Capabilities()
    max_output_tokens: int | None = None
    think: bool | None = None
    system: str | None = None
    max_tokens_field: str = "max_tokens"
    stream_usage: bool = True
    echo_reasoning: bool = False
    repair_tool_calls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    pinned_options: Mapping[str, Any] = field(default_factory=dict)
    keep_alive: int | str | None = None


class Rendered(msgspec.Struct):
    """A request ready to be sent: its body, and what was lost on the way (names of the caller's fields).

    Who has sent it empties ``body``: it may be megabytes, and an answer may take minutes.
    ``path`` is relative to the backend's base (``/chat/completions``, ``/messages``, ``/api/chat``);
    ``headers`` are the dialect's own (``anthropic-version``), never auth.
    """

    path: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    lossy: tuple[str, ...] = ()
    #: Short tool names that stand for longer ones, to be turned back in the answer.
    tool_names: Mapping[str, str] = {}
    #: The answer's JSON comes as this forced tool's arguments and must be unwrapped to text.
    json_tool: str | None = None


class StreamParser(Protocol):
    """Bytes of one upstream stream to events."""

    def feed(self, data: bytes) -> Sequence[Event]:
        """Take the next bytes, cut anywhere; return the events that they completed."""

    def eof(self, clean: bool) -> Sequence[Event]:
        """The body ended.

        ``clean`` is false when the connection broke. Returns ``Finish`` or ``StreamError`` unless one was given.
        """


class Reply(msgspec.Struct, frozen=True):
    """What the answer to one caller must look like, whatever the upstream says.

    :ivar id: the answer's id in the caller's dialect where the upstream's cannot be used.
    :ivar model: the model to name where the upstream names none; on Ollama's routes always the caller's own name.
    :ivar created_s: seconds since the epoch.
    :ivar include_usage: the caller asked for usage in the stream (OpenAI's ``stream_options``).
    :ivar request: the caller's request, for dialects that echo it.
    :ivar elapsed_ns: nanoseconds since the request came, for dialects that tell durations (Ollama).
    """

    id: str
    model: str
    created_s: int
    include_usage: bool = False
    tool_names: Mapping[str, str] = {}
    request: Request | None = None
    elapsed_ns: Callable[[], int] = int


#: Makes the form of a reply where it is wanted: bytes that pass through as they came need none.
LazyReply = Callable[[], Reply]


class StreamRenderer(Protocol):
    """Events to bytes of one client stream.

    A second ``Start`` tells its usage and nothing else: an answer that goes on in a stream that has begun.
    """

    def render(self, events: Sequence[Event]) -> bytes:
        """Return the client's bytes for these events (empty where they only change state)."""


class Dialect(Protocol):
    """One of the languages spoken on either side."""

    name: str
    stream_content_type: bytes
    #: What keeps a silent stream open, ``b""`` where the dialect has nothing.
    keepalive: bytes

    def parse_request(self, body: Mapping[str, Any]) -> Request:
        """Read a caller's decoded body. Raises :class:`~lmgw.errors.BadRequest` naming the field."""

    def render_request(self, request: Request, target: Target) -> Rendered:
        """Write a request for an upstream. Raises :class:`~lmgw.errors.BadRequest` where the meaning would change."""

    def parse_answer(self, body: bytes) -> Answer:
        """Read an upstream's whole 2xx answer. Raises :class:`~lmgw.errors.GatewayError` for an error inside a 200."""

    def render_answer(self, answer: Answer, reply: Reply) -> bytes:
        """Write a whole answer for a caller."""

    def parse_stream(self) -> StreamParser:
        """Start reading an upstream's stream."""

    def render_stream(self, reply: Reply) -> StreamRenderer:
        """Start writing a caller's stream."""

    def parse_error(self, status: int, body: bytes) -> GatewayError:
        """Read an upstream's error of any shape; keeps its status, words and code."""

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body for a caller."""

    def render_stream_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error into a stream that has begun; the connection is closed after it."""
