"""OpenAI's Responses API (``/v1/responses``) as a dialect: what Codex and the newer OpenAI clients speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lmgw.errors import GatewayError
from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, Request, StreamError
from lmgw.wire.openai import OpenAI
from lmgw.wire.responses_answer import render_answer
from lmgw.wire.responses_native import edit_request, relay, relay_answer
from lmgw.wire.responses_render import ResponsesRenderer
from lmgw.wire.responses_request import parse_request

_encode = msgspec.json.Encoder().encode


class Responses(OpenAI):
    """The :class:`~lmgw.wire.dialect.Dialect` of the Responses API, for callers.

    Upstreams that have it too are passed through to; all others are asked in a dialect of their own, so towards them
    this is Chat Completions. Errors are the same in both.
    """

    name = "responses"

    edit_request = staticmethod(edit_request)
    relay = staticmethod(relay)
    relay_answer = staticmethod(relay_answer)

    def parse_request(self, body: Mapping[str, Any]) -> Request:
        """Read a caller's decoded body. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
        return parse_request(body)

    def render_answer(self, answer: Answer, reply: Reply) -> bytes:
        """Write a whole answer for a caller."""
        return render_answer(answer, reply)

    def render_count(self, tokens: int) -> bytes:
        """Write the answer to a request for the size of its input."""
        return _encode({"object": "response.input_tokens", "input_tokens": tokens})

    def render_stream(self, reply: Reply) -> ResponsesRenderer:
        """Start writing a caller's stream."""
        return ResponsesRenderer(reply)

    def render_stream_error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error into a stream in which nothing was said yet."""
        return ResponsesRenderer(Reply(f"resp_{request_id}", "", 0)).render([StreamError(error)])


RESPONSES = Responses()
