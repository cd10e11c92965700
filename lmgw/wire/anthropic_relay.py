"""Pass-through of Anthropic's Messages API: callers and upstreams that both speak it.

Signatures, ``cache_control``, unknown fields and unknown blocks pass byte for byte. What is taken out is thinking that
the gateway itself signed, for a model of another make: Anthropic refuses it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Raw

from lmgw.errors import BadRequest, GatewayError
from lmgw.wire import sse
from lmgw.wire.anthropic_answer import Block, read_answer
from lmgw.wire.anthropic_fields import COUNT_TOKENS_PATH, MESSAGES_PATH, UNSIGNED, VERSION, finish_reason
from lmgw.wire.anthropic_stream import UNREADABLE, Delta, StreamEvent, decode_event
from lmgw.wire.anthropic_thinking import thinking
from lmgw.wire.body import Body
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import Reasoning
from lmgw.wire.progress import Progress
from lmgw.wire.splice import splice

_SAMPLING = ("temperature", "top_p", "top_k")
_UNSIGNED = UNSIGNED.encode()
_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class _Kind(msgspec.Struct):
    type: Any = None
    signature: Any = None


_ARRAY = msgspec.json.Decoder(list[Raw])
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_KIND = msgspec.json.Decoder(_Kind)
_VALUE = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def edit_request(body: Body, target: Target) -> Rendered:
    """Return the caller's bytes with the tier's model and policy, and without thinking that the gateway signed.

    Raises :class:`~lmgw.errors.BadRequest` where a field must be read for that and cannot be. The version in the
    headers is for callers that say none.
    """
    edits: dict[str, Any] = {"model": target.model}
    if target.system:
        edits["system"] = _with_system(body.fields.get("system", Raw(b"null")), target.system)
    if target.think is not None:
        edits |= _thinking(body, target)
    if _UNSIGNED in body.legible:
        edits |= _without_unsigned(body, target)
    return Rendered(MESSAGES_PATH, splice(body, edits), (VERSION,))


def edit_count_tokens(body: Body, target: Target) -> Rendered:
    """The same for a caller's ``count_tokens`` request, which policy does not touch: it counts what the caller says."""
    rendered = edit_request(body, replace(target, system=None, think=None))
    return msgspec.structs.replace(rendered, path=COUNT_TOKENS_PATH)


def _said(body: Body, key: str) -> Any:
    """Return the value of ``key``, ``None`` where the caller says nothing of it."""
    raw = body.fields.get(key)
    return None if raw is None else _VALUE.decode(raw)


def _with_system(own: Raw, system: str) -> Any:
    match bytes(own)[:1]:
        case b'"':
            return f"{system}\n\n{_VALUE.decode(own)}"
        case b"[":
            return [{"type": "text", "text": f"{system}\n\n"}, *_ARRAY.decode(own)]
        case b"n":
            return system
    raise BadRequest("system must be a string or an array of blocks", param="system")


def _without_unsigned(body: Body, target: Target) -> dict[str, Any]:
    """Return the edits that take out the thinking with the gateway's signature, and turns in which nothing else was.

    A model that thinks by budget cannot go on from tool calls whose thinking was taken out: then it is not to think.
    """
    messages: list[dict[str, Raw]] = []
    calls_alone = False
    try:
        for raw in _ARRAY.decode(body.fields.get("messages", b"[]")):
            message = _OBJECT.decode(raw)
            content = bytes(message.get("content", b""))
            blocks = _ARRAY.decode(content) if content[:1] == b"[" else []
            kept = [block for block in blocks if not _is_unsigned(block)] if _UNSIGNED in content else blocks
            if len(kept) < len(blocks):
                message["content"] = Raw(_encode(kept))
            if kept or not blocks:
                messages.append(message)
            if bytes(message.get("role", b"")) == b'"assistant"':
                kinds = [_KIND.decode(block).type for block in kept]
                calls_alone = "tool_use" in kinds and "thinking" not in str(kinds[0])
    except msgspec.ValidationError:
        raise BadRequest("messages must be an array of objects with blocks", param="messages") from None
    edits: dict[str, Any] = {"messages": messages}
    if calls_alone and target.capabilities.thinking == "budget" and _said(body, "thinking") is not None:
        edits["thinking"] = {"type": "disabled"}
    return edits


def _is_unsigned(block: Raw) -> bool:
    found = _KIND.decode(block)
    return bool(found.type == "thinking" and found.signature == UNSIGNED)


def _thinking(body: Body, target: Target) -> dict[str, Any]:
    """Return the edits of the tier's switch for thinking, nothing for a caller that says how it is to be.

    It is switched on only where nothing in the request can clash with it: sampling, a tool that must be called, and (by
    budget) a conversation with tools, whose thinking is not known.
    """
    choice, config = _said(body, "tool_choice"), _said(body, "output_config") or {}
    if _said(body, "thinking") is not None or not isinstance(config, dict) or "effort" in config:
        return {}
    forced = isinstance(choice, dict) and choice.get("type") in ("any", "tool")
    if target.think and (forced or any(_said(body, name) is not None for name in _SAMPLING)):
        return {}
    limit = _said(body, "max_tokens")
    think = thinking(
        Reasoning(enabled=bool(target.think)),
        target.capabilities,
        limit if isinstance(limit, int) else 0,
        forced=False,
        unsigned_calls=_said(body, "tools") is not None,
    )
    if think.effort is None:
        return think.fields
    return {**think.fields, "output_config": {**config, "effort": think.effort}}


class MessagesScanner:
    """The :class:`~lmgw.wire.relay.Scanner` of the Messages API."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._stopped = False

    def scan(self, frame: bytes) -> bytes:
        """Read one frame; return it, or ``b""`` for an error."""
        data = sse.payload(frame)
        if not data:
            return frame
        try:
            event = decode_event(data)
        except UNREADABLE:
            return frame
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None:
                _note_delta(self.progress, event.delta)
        elif kind == "error" or event.error is not None:
            self.progress.error = event.failure
            return b""
        else:
            self._note(kind, event)
        return frame

    def end(self) -> bytes:
        """Return the ``message_stop`` that is missing where a server broke off after the stop reason."""
        return b"" if self._stopped else _MESSAGE_STOP

    def _note(self, kind: str, event: StreamEvent) -> None:
        progress = self.progress
        if kind == "content_block_start":
            if event.content_block is not None:
                note_block(progress, event.content_block)
        elif kind == "message_start" and event.message is not None:
            progress.model = str(event.message.model or "") or None
            if event.message.usage is not None:
                progress.usage = event.message.usage.usage()
        elif kind == "message_delta":
            if event.usage is not None:
                progress.usage = event.usage.usage(progress.usage)
            if event.delta is not None and event.delta.stop_reason is not None:
                progress.finish = finish_reason(event.delta.stop_reason, progress.tool_call)
        elif kind == "message_stop":
            self._stopped = True
            progress.finish = progress.finish or finish_reason(None, progress.tool_call)


def _note_delta(progress: Progress, delta: Delta) -> None:
    if delta.text:
        progress.add_text(delta.text)
    elif delta.partial_json:
        progress.content = True
        progress.chars += len(delta.partial_json)
    elif delta.thinking or delta.signature:
        progress.content = progress.reasoning = True
        progress.chars += len(delta.thinking or "")


def note_block(progress: Progress, block: Block) -> None:
    """Write down what a block tells where it begins, or (of a whole answer) where it stands."""
    if block.type == "text":
        if block.text:
            progress.add_text(block.text)
    elif block.type == "thinking":
        if block.thinking or block.signature:
            progress.content = progress.reasoning = True
            progress.chars += len(block.thinking or "")
    else:
        progress.content = True
        progress.tool_call = progress.tool_call or block.type == "tool_use"
        progress.reasoning = progress.reasoning or block.type == "redacted_thinking"


def relay_answer(answer: bytes) -> tuple[bytes, Progress]:
    """Return a whole answer as it came, and what is known of it; an error inside it leaves no bytes."""
    progress = Progress()
    try:
        found = read_answer(answer)
    except GatewayError as error:
        progress.error = error
        return b"", progress
    for block in found.content or ():
        note_block(progress, block)
        if block.type == "tool_use":
            progress.chars += len(bytes(block.input))
    progress.model = str(found.model or "") or None
    progress.usage = None if found.usage is None else found.usage.usage()
    progress.finish = finish_reason(found.stop_reason, progress.tool_call)
    return answer, progress
