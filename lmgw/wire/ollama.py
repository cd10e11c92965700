"""Ollama's native API (``/api/chat``, and ``/api/generate`` for callers) as a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lmgw.errors import GatewayError
from lmgw.wire import ndjson
from lmgw.wire.body import Body
from lmgw.wire.dialect import LazyReply, Rendered, Reply, Target
from lmgw.wire.events import Answer, Request
from lmgw.wire.ollama_answer import Shape, parse_answer, render_answer, render_loaded
from lmgw.wire.ollama_edit import edit_chat, offered_tools
from lmgw.wire.ollama_relay import OllamaScanner, relay_answer
from lmgw.wire.ollama_request import is_load_request, is_unload, parse_chat, parse_generate, untagged
from lmgw.wire.ollama_stream import OllamaParser, OllamaRenderer
from lmgw.wire.ollama_upstream import render_chat
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Relay
from lmgw.wire.statuses import read_error

__all__ = ["OLLAMA", "OLLAMA_GENERATE", "Ollama", "is_load_request", "untagged"]


class Ollama:
    """The :class:`~lmgw.wire.dialect.Dialect` of one of the two routes.

    Both read upstreams' answers and write upstreams' requests alike: as ``/api/chat``.
    """

    stream_content_type = b"application/x-ndjson"
    keepalive = b""

    def __init__(self, name: str, generate: bool) -> None:
        self.name = name
        self._generate = generate
        self._shape = Shape(generate)

    def parse_request(self, body: Mapping[str, Any]) -> Request:
        """Read a caller's decoded body. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
        return parse_generate(body) if self._generate else parse_chat(body)

    def render_request(self, request: Request, target: Target) -> Rendered:
        """Write a request for ``/api/chat``.

        Raises :class:`~lmgw.errors.BadRequest` where the meaning would change.
        """
        return render_chat(request, target)

    def parse_answer(self, body: bytes) -> Answer:
        """Read a whole 2xx answer. Raises :class:`~lmgw.errors.GatewayError` for an error inside it."""
        return parse_answer(body)

    def render_answer(self, answer: Answer, reply: Reply) -> bytes:
        """Write a whole answer for a caller."""
        return render_answer(answer, reply, self._shape)

    def render_loaded(self, body: Mapping[str, Any], reply: Reply) -> bytes:
        """Write the answer to a load request (:func:`is_load_request`): one JSON object, never a stream."""
        return render_loaded(reply, self._shape, is_unload(body))

    def parse_stream(self) -> OllamaParser:
        """Start reading an upstream's stream."""
        return OllamaParser()

    def render_stream(self, reply: Reply) -> OllamaRenderer:
        """Start writing a caller's stream."""
        return OllamaRenderer(reply, self._shape)

    def parse_error(self, status: int, body: bytes) -> GatewayError:
        """Read an upstream's error of any shape; keeps its status, words and code."""
        return read_error(status, body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body for a caller: a string and nothing else."""
        return msgspec.json.encode({"error": error.message})

    def render_stream_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error into a stream that has begun: one line."""
        return self.render_error(error, request_id) + b"\n"

    def edit_request(self, body: Body, target: Target) -> Rendered:
        """Return the caller's ``/api/chat`` request with only the tier's model and policy changed."""
        return edit_chat(body, target)

    def relay(self, body: Body, target: Target, reply: LazyReply) -> Relay:
        """Start the way back of a streamed answer to that request."""
        return Relay(ndjson.Frames(), OllamaScanner(reply(), offered_tools(body, target)))

    def relay_answer(self, body: Body, target: Target, reply: LazyReply, answer: bytes) -> tuple[bytes, Progress]:
        """The way back of ``answer``, a whole 2xx answer to that request.

        An error inside a 200 is in ``progress.error`` and the bytes are empty.
        """
        return relay_answer(answer, reply(), offered_tools(body, target))


OLLAMA = Ollama("ollama", generate=False)
#: For callers only: an Ollama backend is asked by :data:`OLLAMA`, whatever the caller's route.
OLLAMA_GENERATE = Ollama("ollama_generate", generate=True)
