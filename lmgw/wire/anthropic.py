"""Anthropic's Messages API (``/v1/messages``) as a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lmgw.errors import GatewayError
from lmgw.wire import sse
from lmgw.wire.anthropic_answer import parse_answer, render_answer
from lmgw.wire.anthropic_relay import MessagesScanner, edit_count_tokens, edit_request, relay_answer
from lmgw.wire.anthropic_render import MessagesRenderer
from lmgw.wire.anthropic_request import parse_request
from lmgw.wire.anthropic_stream import MessagesParser
from lmgw.wire.anthropic_upstream import render_request
from lmgw.wire.body import Body
from lmgw.wire.dialect import LazyReply, Rendered, Reply, Target
from lmgw.wire.events import Answer, Request
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Relay
from lmgw.wire.statuses import names, read_error

_encode = msgspec.json.Encoder().encode


class Anthropic:
    """The :class:`~lmgw.wire.dialect.Dialect` of the Messages API."""

    name = "anthropic"
    stream_content_type = b"text/event-stream; charset=utf-8"
    keepalive = b'event: ping\ndata: {"type":"ping"}\n\n'

    def parse_request(self, body: Mapping[str, Any]) -> Request:
        """Read a caller's decoded body, of ``count_tokens`` too.

        Raises :class:`~lmgw.errors.BadRequest` naming the field.
        """
        return parse_request(body)

    def render_request(self, request: Request, target: Target) -> Rendered:
        """Write a request for an upstream. Raises :class:`~lmgw.errors.BadRequest` where the meaning would change."""
        return render_request(request, target)

    def parse_answer(self, body: bytes) -> Answer:
        """Read a whole 2xx answer. Raises :class:`~lmgw.errors.GatewayError` for an error inside it."""
        return parse_answer(body)

    def render_answer(self, answer: Answer, reply: Reply) -> bytes:
        """Write a whole answer for a caller."""
        return render_answer(answer, reply)

    def render_count(self, tokens: int) -> bytes:
        """Write the answer to a ``count_tokens`` request."""
        return _encode({"input_tokens": tokens})

    def parse_stream(self) -> MessagesParser:
        """Start reading an upstream's stream."""
        return MessagesParser()

    def render_stream(self, reply: Reply) -> MessagesRenderer:
        """Start writing a caller's stream."""
        return MessagesRenderer(reply)

    def parse_error(self, status: int, body: bytes) -> GatewayError:
        """Read an upstream's error of any shape; keeps its status, words and code."""
        return read_error(status, body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body for a caller; its type goes by the status, as in Anthropic's own errors."""
        fields = {"type": names(error.status).anthropic, "message": error.message}
        return _encode({"type": "error", "error": fields, "request_id": request_id})

    def render_stream_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error into a stream that has begun; nothing follows it."""
        return b"event: error\ndata: " + self.render_error(error, request_id) + b"\n\n"

    def edit_request(self, body: Body, target: Target) -> Rendered:
        """Return the caller's request with only the tier's model and policy changed."""
        return edit_request(body, target)

    def edit_count_tokens(self, body: Body, target: Target) -> Rendered:
        """The same for a caller's ``count_tokens`` request."""
        return edit_count_tokens(body, target)

    def relay(self, body: Body, target: Target, reply: LazyReply) -> Relay:
        """Start the way back of a streamed answer to that request."""
        return Relay(sse.Frames(), MessagesScanner())

    def relay_answer(self, body: Body, target: Target, reply: LazyReply, answer: bytes) -> tuple[bytes, Progress]:
        """The way back of ``answer``, a whole 2xx answer to that request.

        An error inside a 200 is in ``progress.error`` and the bytes are empty.
        """
        return relay_answer(answer)


ANTHROPIC = Anthropic()
