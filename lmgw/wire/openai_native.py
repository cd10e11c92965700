"""Pass-through of OpenAI's dialect: callers and upstreams that both speak it.

Besides chat there is ``/v1/completions``, which no other dialect knows; Ollama serves it too.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from lmgw.errors import BadRequest, UpstreamFailed
from lmgw.wire import sse
from lmgw.wire.body import Body, spans
from lmgw.wire.dialect import LazyReply, Rendered, Target
from lmgw.wire.events import Reasoning
from lmgw.wire.openai_answer import content_texts, finish_reason, parse_usage
from lmgw.wire.openai_stream import DONE, UNREADABLE, Choice, decode_chunk, odd_chunk
from lmgw.wire.openai_upstream import CHAT_PATH, effort
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Relay, cut_short
from lmgw.wire.splice import Patch, splice, splice_object
from lmgw.wire.statuses import read_error

_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    role: str = ""


_LIST = msgspec.json.Decoder(list[Raw])
_HEAD = msgspec.json.Decoder(_Head)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_INCLUDE_USAGE = {"include_usage": True}
#: Either says what the caller wants of thinking; ``reasoning`` is OpenRouter's.
_REASONING_FIELDS = frozenset(("reasoning_effort", "reasoning"))


class Operation:
    """One of the dialect's operations, as far as pass-through goes: the :class:`~lmgw.wire.relay.Native` of its pair.

    ``path`` is relative to the backend's base, ``chat`` says that policy (prompt, thinking) applies.
    """

    def __init__(self, path: str, *, chat: bool = False) -> None:
        self.path = path
        self._chat = chat

    def edit_request(self, body: Body, target: Target) -> Rendered:
        """Return the caller's bytes with the tier's model and policy, and a wish for usage where it streams.

        Raises :class:`~lmgw.errors.BadRequest` where ``messages`` must be read for the policy and cannot be.
        """
        edits: dict[str, Any] = {"model": target.model}
        patches = []
        if self._chat:
            if target.system:
                patches.append(_system(body, target.system))
            capabilities = target.capabilities
            if target.think is not None and capabilities.reasoning and not body.fields.keys() & _REASONING_FIELDS:
                edits["reasoning_effort"] = effort(Reasoning(enabled=target.think), capabilities)
        if body.stream and _adds_usage(body, target):
            own = bytes(body.fields.get("stream_options", b"null"))
            edits["stream_options"] = Raw(splice_object(b"{}" if own == b"null" else own, _INCLUDE_USAGE))
        return Rendered(self.path, splice(body, edits, patches))

    def relay(self, body: Body, target: Target, reply: LazyReply) -> Relay:
        """Start the way back of a streamed answer; usage that only the gateway asked for is cut out."""
        return Relay(sse.Frames(), OpenAIScanner(cut_usage=_adds_usage(body, target)))

    def relay_answer(self, body: Body, target: Target, reply: LazyReply, answer: bytes) -> tuple[bytes, Progress]:
        """Return a whole answer as it came, and what is known of it."""
        try:
            found = decode_chunk(answer)
        except UNREADABLE:
            odd = odd_chunk(answer)
            if odd is None:
                return b"", Progress(error=UpstreamFailed(read_error(200, answer).message))
            found = odd
        choices = found.choices
        if choices is None or found.error is not None:
            error = found.failure
            if error is None and choices is None:
                error = UpstreamFailed("the provider's answer holds no choices")
            if error is not None:
                return b"", Progress(error=error)
        model = found.model
        progress = Progress(model=model if isinstance(model, str) else None, usage=parse_usage(found.usage))
        if choices:
            note(progress, choices[0])
        progress.finish = progress.finish or "stop"
        return answer, progress


class OpenAIScanner:
    """Reads the chunks of one stream as they pass, of chat and of ``/v1/completions``."""

    def __init__(self, cut_usage: bool) -> None:
        self.progress = Progress()
        self._cut_usage = cut_usage
        self._done = False

    def scan(self, frame: bytes) -> bytes:
        """Read one frame; return it, or ``b""`` for an error, a ``[DONE]`` without a finish and usage nobody wants."""
        data = sse.payload(frame)
        if not data:
            return frame
        progress = self.progress
        if data == DONE:
            self._done = True
            if progress.finish is None:
                progress.error = cut_short(clean=True)
                return b""
            return frame
        try:
            chunk = decode_chunk(data)
        except UNREADABLE:
            odd = odd_chunk(data)
            if odd is None:
                return frame
            chunk = odd
        choices = chunk.choices
        if chunk.error is not None or not choices:
            if progress.finish is None:
                progress.error = chunk.failure
                if progress.error is not None:
                    return b""
            elif chunk.error is not None:
                return b""
        if progress.model is None and isinstance(chunk.model, str):
            progress.model = chunk.model
        if chunk.usage is not None:
            progress.usage = parse_usage(chunk.usage) or progress.usage
            if self._cut_usage and choices == []:
                return b""
        for choice in choices or ():
            if not choice.index:
                note(progress, choice)
        return frame

    def end(self) -> bytes:
        """Return the ``[DONE]`` that some servers leave out."""
        return b"" if self._done else b"data: [DONE]\n\n"


def note(progress: Progress, choice: Choice) -> None:
    """Write down what one choice of a chunk, or of a whole answer, tells."""
    text = choice.text or ""
    delta = choice.delta or choice.message
    if delta is not None:
        content = delta.content
        if content:
            text = content if isinstance(content, str) else content_texts(content)[0]
        if delta.refusal and isinstance(delta.refusal, str):
            text += delta.refusal
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details:
            progress.content = progress.reasoning = True
            progress.chars += _length(delta.reasoning_content or delta.reasoning)
        if delta.tool_calls or delta.function_call:
            progress.content = progress.tool_call = True
            for fragment in delta.tool_calls or ():
                if fragment.function is not None:
                    progress.chars += _length(fragment.function.arguments)
    if text:
        progress.add_text(text)
    if choice.finish_reason:
        progress.finish = finish_reason(choice.finish_reason, progress.tool_call)


def _length(text: Any) -> int:
    return len(text) if isinstance(text, str) else 0


def _adds_usage(body: Body, target: Target) -> bool:
    """Whether the gateway asks for a stream's usage where the caller does not."""
    return target.stream_usage and not body.include_usage


def _system(body: Body, system: str) -> Patch:
    """Return what puts ``system`` in front: into the first message if that is a system's, else in one of its own."""
    try:
        messages = _LIST.decode(body.fields.get("messages", b"null"))
        leads = bool(messages) and _HEAD.decode(messages[0]).role in ("system", "developer")
    except msgspec.ValidationError:
        raise BadRequest("messages must be an array of objects with a role", param="messages") from None
    at = body.data.index(b"[", body.spans["messages"][0]) + 1
    if leads:
        first = bytes(messages[0])
        fields = _FIELDS.decode(first)
        own = bytes(fields.get("content", b"null"))
        begin = body.data.index(b"{", at) + spans(first, fields).get("content", (0, 0))[0] + 1
        if own[:1] == b'"':
            return begin, begin, _encode(f"{system}\n\n")[1:-1]
        if own[:1] == b"[":
            part = _encode({"type": "text", "text": f"{system}\n\n"})
            return begin, begin, part if own[1:].lstrip() == b"]" else part + b","
    return at, at, _encode({"role": "system", "content": system}) + (b"," if messages else b"")


CHAT = Operation(CHAT_PATH, chat=True)
COMPLETIONS = Operation("/completions")
