"""Whole answers of Anthropic's Messages API: read from upstreams, written for callers."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.wire.anthropic_fields import UNSIGNED, Counts, finish_reason, render_usage, stop_reason
from lmgw.wire.arguments import arguments_object
from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, Part, Text, Thinking, ToolCall
from lmgw.wire.statuses import error_in, read_error

_encode = msgspec.json.Encoder().encode


class Block(msgspec.Struct, gc=False):
    """One content block, as far as the gateway reads it; of other types only ``type`` counts."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")


class Body(msgspec.Struct, gc=False):
    """A whole answer, or the ``message`` that a stream begins with."""

    id: Any = None
    model: Any = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Counts | None = None
    error: Any = None


_decode = msgspec.json.Decoder(Body).decode


def read_answer(body: bytes) -> Body:
    """Decode a whole 2xx answer.

    Raises :class:`~lmgw.errors.GatewayError` for an error inside it and for what is no answer.
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed(read_error(200, body).message) from None
    if found.content is None:
        raise _failure(found)
    return found


def _failure(found: Body) -> GatewayError:
    return error_in({"error": found.error}) or UpstreamFailed("the provider's answer holds no content")


def parse_answer(body: bytes) -> Answer:
    """Read a whole 2xx answer. Raises as :func:`read_answer`."""
    found = read_answer(body)
    parts = tuple(part for block in found.content or () if (part := _part(block)) is not None)
    called = any(isinstance(part, ToolCall) for part in parts)
    return Answer(
        id=str(found.id or ""),
        model=str(found.model or ""),
        parts=parts,
        finish=finish_reason(found.stop_reason, called),
        usage=found.usage.usage() if found.usage is not None else None,
        stop_sequence=found.stop_sequence,
    )


def _part(block: Block) -> Part | None:
    match block.type:
        case "text":
            return Text(block.text) if block.text else None
        case "thinking":
            return Thinking(block.thinking or "", block.signature or None)
        case "redacted_thinking":
            return Thinking(redacted=block.data or "")
        case "tool_use":
            return ToolCall(block.id or "", block.name or "", input_text(block.input))
        case _:
            return None


def input_text(found: Raw) -> str:
    """Return a call's input as JSON text; servers that know no input send null."""
    text = bytes(found).decode()
    return "{}" if text == "null" else text


def render_answer(answer: Answer, reply: Reply) -> bytes:
    """Write a whole answer for a caller."""
    content = [block for part in answer.parts if (block := _block(part, reply)) is not None]
    called = any(isinstance(part, ToolCall) for part in answer.parts)
    return _encode(
        {
            "id": reply.id,
            "type": "message",
            "role": "assistant",
            "model": answer.model or reply.model,
            "content": content,
            "stop_reason": stop_reason(answer.finish, answer.stop_sequence, called),
            "stop_sequence": answer.stop_sequence,
            "usage": render_usage(answer.usage),
        }
    )


def _block(part: Part, reply: Reply) -> dict[str, Any] | None:
    match part:
        case Text(text):
            return {"type": "text", "text": text} if text else None
        case Thinking(redacted=str(data)):
            return {"type": "redacted_thinking", "data": data}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature or UNSIGNED}
        case ToolCall(id, name, arguments):
            name = reply.tool_names.get(name, name)
            return {"type": "tool_use", "id": id, "name": name, "input": arguments_object(arguments)}
        case _:
            return None
