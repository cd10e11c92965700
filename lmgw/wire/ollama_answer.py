"""Answers of Ollama's native API: what one object of them holds, and whole answers read and written.

A stream's lines and a whole answer are the same object. Ollama's counts may be absent (0), its tool calls may lack
ids and all carry index 0; clients are strict about what they get: ``content`` is always a string, ``arguments`` always
an object, durations are integers of nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.wire.arguments import arguments_object
from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, FinishReason, Part, Text, Thinking, ToolCall, Usage
from lmgw.wire.names import made_call_id
from lmgw.wire.statuses import error_in
from lmgw.wire.timestamps import rfc3339

_TEXT = msgspec.json.Decoder(str)


class Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: Raw = Raw(b"{}")


class Call(msgspec.Struct, gc=False):
    function: Function
    id: str | None = None


class AnswerMessage(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Line(msgspec.Struct, gc=False):
    """One object of an answer, as far as the gateway reads it; counts are tokens."""

    model: str | None = None
    created_at: Any = None
    message: AnswerMessage | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | float | None = None
    eval_count: int | float | None = None
    error: Any = None


read_line = msgspec.json.Decoder(Line).decode


def error_inside(error: object) -> GatewayError:
    """Return what the ``error`` of an object inside a 200 says."""
    return error_in({"error": error}) or UpstreamFailed("the provider reported an error without saying which")


def line_usage(line: Line) -> Usage | None:
    """Return the counts of an object, ``None`` where it has none."""
    if line.prompt_eval_count is None and line.eval_count is None:
        return None
    return Usage(input=int(line.prompt_eval_count or 0), output=int(line.eval_count or 0))


def finish_reason(done_reason: str | None, tool_calls: bool) -> FinishReason:
    """Return why the model stopped: Ollama says ``stop`` for tool calls too, and old versions say nothing."""
    if done_reason == "length":
        return "length"
    return "tool_calls" if tool_calls else "stop"


class CallReader:
    """Reads the tool calls of one answer: each entry is a call of its own, whatever its index says."""

    def __init__(self) -> None:
        self.count = 0
        self._ids: set[str] = set()

    def read(self, line: Line) -> list[ToolCall]:
        """Return the calls of ``line``, each with an id of its own and its arguments as JSON text."""
        calls = []
        for call in (line.message and line.message.tool_calls) or ():
            name, arguments = call.function.name, _arguments_text(bytes(call.function.arguments))
            made = call.id
            if not made or made in self._ids:
                made = made_call_id(line.model, line.created_at, self.count, name, arguments)
            self._ids.add(made)
            self.count += 1
            calls.append(ToolCall(made, name, arguments))
        return calls


def _arguments_text(raw: bytes) -> str:
    if raw[:1] == b'"':
        return _TEXT.decode(raw)
    return "{}" if raw == b"null" else raw.decode()


def parse_answer(body: bytes) -> Answer:
    """Read a whole 2xx answer of ``/api/chat``.

    Raises :class:`~lmgw.errors.GatewayError` for an error inside it and for what is no answer.
    """
    try:
        line = read_line(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed("the provider's answer is not what Ollama's API sends") from None
    if line.error is not None:
        raise error_inside(line.error)
    message = line.message
    if message is None:
        raise UpstreamFailed("the provider's answer holds no message")
    parts: list[Part] = [Thinking(message.thinking)] if message.thinking else []
    if message.content:
        parts.append(Text(message.content))
    calls = CallReader().read(line)
    finish = finish_reason(line.done_reason, bool(calls))
    return Answer("", line.model or "", (*parts, *calls), finish, line_usage(line))


class Shape(msgspec.Struct, frozen=True):
    """Where one of the two routes keeps the text, the thinking and the calls of an answer."""

    generate: bool

    def fields(self, text: str, thinking: str = "", calls: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Return the fields of one object that carry this much of an answer."""
        content = {"response": text} if self.generate else {"role": "assistant", "content": text}
        extra: dict[str, Any] = {"thinking": thinking} if thinking else {}
        if calls := list(calls):
            extra["tool_calls"] = calls
        return {**content, **extra} if self.generate else {"message": {**content, **extra}}


def head(reply: Reply) -> dict[str, Any]:
    """Return the fields that every object to a caller begins with: the name it asked for, and when it asked."""
    return {"model": reply.model, "created_at": rfc3339(reply.created_s)}


def call_object(index: int, call: ToolCall, reply: Reply) -> dict[str, Any]:
    """Return one tool call as clients take it."""
    name = reply.tool_names.get(call.name, call.name)
    return {"id": call.id, "function": {"index": index, "name": name, "arguments": arguments_object(call.arguments)}}


def tail(finish: FinishReason, usage: Usage | None, first_ns: int, total_ns: int) -> dict[str, Any]:
    """Return the fields of the last object: why it ended, the counts, and durations in nanoseconds.

    ``first_ns`` of ``total_ns`` went by before the first content. No duration that clients divide by is 0.
    """
    counts = usage or Usage()
    return {
        "done": True,
        "done_reason": "length" if finish == "length" else "stop",
        "total_duration": max(total_ns, 1),
        "load_duration": 0,
        "prompt_eval_count": counts.input + counts.cache_read + counts.cache_write,
        "prompt_eval_duration": max(first_ns, 1),
        "eval_count": counts.output,
        "eval_duration": max(total_ns - first_ns, 1),
    }


def render_answer(answer: Answer, reply: Reply, shape: Shape) -> bytes:
    """Write a whole answer for a caller of Ollama's API."""
    text = "".join(part.text for part in answer.parts if isinstance(part, Text))
    thinking = "".join(part.text for part in answer.parts if isinstance(part, Thinking))
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    content = shape.fields(text, thinking, (call_object(index, call, reply) for index, call in enumerate(calls)))
    return msgspec.json.encode({**head(reply), **content, **tail(answer.finish, answer.usage, 0, reply.elapsed_ns())})


def render_loaded(reply: Reply, shape: Shape, unload: bool) -> bytes:
    """Write the answer to a request that only loads or unloads the model: one object, also where it would stream."""
    done = {"done": True, "done_reason": "unload" if unload else "load"}
    return msgspec.json.encode({**head(reply), **shape.fields(""), **done})
