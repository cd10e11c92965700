"""Streams of OpenAI Chat Completions, written for callers.

SDKs add chunks up: the role, a call's id and its name are said once, and what has not changed is left out, not null.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lmgw.wire.dialect import Reply
from lmgw.wire.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    TextDelta,
    ToolDelta,
    ToolStart,
    Usage,
)
from lmgw.wire.openai_answer import render_usage
from lmgw.wire.openai_reasoning import render_detail

_TAIL = b',"logprobs":null,"finish_reason":null}]}\n\n'
_DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class ChatRenderer:
    """The :class:`~lmgw.wire.dialect.StreamRenderer` of Chat Completions."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._model = reply.model
        self._chunk_head = b""
        self._head = b""  # the same with its only choice begun; empty until the role was said
        self._usage: Usage | None = None
        self._thought: list[str] = []
        self._thoughts = 0

    def render(self, events: Sequence[Event]) -> bytes:
        """Return the chunks for these events; the one with the role waits for the first content."""
        if len(events) == 1:
            return self._render(events[0])
        return b"".join([self._render(event) for event in events])

    def _render(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return self._delta(b'{"content":' + _encode(event.text) + b"}")
        if isinstance(event, ReasoningDelta):
            self._thought.append(event.text)
            return self._delta(b'{"reasoning_content":' + _encode(event.text) + b"}")
        if isinstance(event, ToolDelta):
            return self._call(event.index, b'"function":{"arguments":' + _encode(event.fragment) + b"}")
        if isinstance(event, ToolStart):
            name = self._reply.tool_names.get(event.name, event.name)
            function = b'"function":{"name":' + _encode(name) + b',"arguments":""}'
            return self._call(event.index, b'"id":' + _encode(event.id) + b',"type":"function",' + function)
        if isinstance(event, ReasoningEnd):
            return self._reasoning_end(event)
        if isinstance(event, Finish):
            return self._finish(event)
        if isinstance(event, Start):
            self._model = event.model or self._model
            self._usage = event.usage
        return b""

    def _delta(self, delta: bytes, content: bytes = b'""') -> bytes:
        """Return a chunk with ``delta``; in front of the first the one with the role, whose ``content`` is empty."""
        head = self._head
        if head:
            return head + delta + _TAIL
        self._begin()
        role = b'{"role":"assistant","content":' + content + b"}"
        return self._head + role + _TAIL + self._head + delta + _TAIL

    def _begin(self) -> None:
        names = {
            "id": self._reply.id,
            "object": "chat.completion.chunk",
            "created": self._reply.created_s,
            "model": self._model,
        }
        self._chunk_head = b"data: " + _encode(names)[:-1] + b',"choices":['
        self._head = self._chunk_head + b'{"index":0,"delta":'

    def _call(self, index: int, fields: bytes) -> bytes:
        return self._delta(b'{"tool_calls":[{"index":%d,%b}]}' % (index, fields), content=b"null")

    def _reasoning_end(self, event: ReasoningEnd) -> bytes:
        text = "".join(self._thought)
        self._thought.clear()
        if event.signature is None and event.redacted is None:
            return b""
        entry = render_detail(event.signature, event.redacted, text, self._thoughts)
        self._thoughts += 1
        return self._delta(b'{"reasoning_details":[' + _encode(entry) + b"]}")

    def _finish(self, event: Finish) -> bytes:
        role = b""
        if not self._head:
            self._begin()
            role = self._head + b'{"role":"assistant","content":""}' + _TAIL
        last = self._head + b'{},"logprobs":null,"finish_reason":"' + event.reason.encode() + b'"}]}\n\n'
        usage = event.usage or self._usage
        if self._reply.include_usage and usage is not None:
            last += self._chunk_head + b'],"usage":' + _encode(render_usage(usage)) + b"}\n\n"
        return role + last + _DONE
