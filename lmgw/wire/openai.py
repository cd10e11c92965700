"""OpenAI Chat Completions as a dialect: what OpenAI, OpenRouter, vLLM, llama.cpp and most others speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lmgw.errors import GatewayError
from lmgw.wire.dialect import Rendered, Reply, StreamRenderer, Target
from lmgw.wire.events import Answer, Request
from lmgw.wire.openai_answer import parse_answer, render_answer
from lmgw.wire.openai_native import CHAT
from lmgw.wire.openai_render import ChatRenderer
from lmgw.wire.openai_request import parse_request
from lmgw.wire.openai_stream import ChatParser
from lmgw.wire.openai_upstream import render_request
from lmgw.wire.statuses import names, read_error

#: Clients (litellm, aider) know a refused key by OpenAI's own words.
_WRONG_KEY = "Incorrect API key provided"


class OpenAI:
    """The :class:`~lmgw.wire.dialect.Dialect` of Chat Completions."""

    name = "openai"
    stream_content_type = b"text/event-stream; charset=utf-8"
    #: One newline only: openai-python takes a blank line after a comment for an event once it has seen an ``id``.
    keepalive = b": keep-alive\n"

    edit_request = staticmethod(CHAT.edit_request)
    relay = staticmethod(CHAT.relay)
    relay_answer = staticmethod(CHAT.relay_answer)

    def parse_request(self, body: Mapping[str, Any]) -> Request:
        """Read a caller's decoded body. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
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

    def parse_stream(self) -> ChatParser:
        """Start reading an upstream's stream."""
        return ChatParser()

    def render_stream(self, reply: Reply) -> StreamRenderer:
        """Start writing a caller's stream."""
        return ChatRenderer(reply)

    def parse_error(self, status: int, body: bytes) -> GatewayError:
        """Read an upstream's error of any shape; keeps its status, words and code."""
        return read_error(status, body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body for a caller: all four keys, always."""
        called = names(error.status)
        message = error.message
        if error.status == 401 and _WRONG_KEY not in message:
            message = f"{_WRONG_KEY}: {message}"
        fields = {
            "message": message,
            "type": error.type or called.openai,
            "param": error.param,
            "code": error.code or called.openai_code,
        }
        return msgspec.json.encode({"error": fields})

    def render_stream_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error into a stream that has begun; no finish and no ``[DONE]`` follow it."""
        return b"data: " + self.render_error(error, request_id) + b"\n\n"


OPENAI = OpenAI()
