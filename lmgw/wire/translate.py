"""One request across one pair of dialects: pass-through where both sides are the same, the neutral form elsewhere."""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec.structs import replace

from lmgw.errors import BadRequest, GatewayError
from lmgw.wire.anthropic import ANTHROPIC
from lmgw.wire.body import Body
from lmgw.wire.dialect import Dialect, LazyReply, Rendered, Reply, Target
from lmgw.wire.lossy import named
from lmgw.wire.neutral import JsonTool, Rewrite, TranslatedStream, foreign, note_answer, opening
from lmgw.wire.ollama import OLLAMA, OLLAMA_GENERATE
from lmgw.wire.ollama_edit import offered_tools
from lmgw.wire.openai import OPENAI
from lmgw.wire.openai_native import COMPLETIONS
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Native
from lmgw.wire.responses import RESPONSES
from lmgw.wire.tool_repair import ToolRepair

DIALECTS: dict[str, Dialect] = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "ollama": OLLAMA,
    "ollama_generate": OLLAMA_GENERATE,  # callers only
    "responses": RESPONSES,  # the same, but for upstreams whose bytes pass through
}

#: Pairs (caller, upstream) whose bytes pass through.
NATIVES: dict[tuple[str, str], Native] = {
    ("openai", "openai"): OPENAI,
    ("openai_completions", "openai"): COMPLETIONS,
    ("openai_completions", "ollama"): COMPLETIONS,
    ("anthropic", "anthropic"): ANTHROPIC,
    ("ollama", "ollama"): OLLAMA,
    ("responses", "responses"): RESPONSES,
}


class AnswerStream(Protocol):
    """One streamed answer on its way back: upstream bytes in, caller's bytes out, ``progress`` kept up to date.

    Bytes returned before ``progress.content`` is true are lifecycle only: whoever holds them back loses nothing but
    time. An error of the upstream's is never among the bytes, it is in ``progress.error``; nothing comes after it.
    """

    progress: Progress

    def feed(self, data: bytes) -> bytes:
        """Take the next upstream bytes, cut anywhere."""

    def eof(self, clean: bool) -> bytes:
        """The upstream's body ended. Sets ``progress.error`` unless a finish was seen; renders no error itself."""

    def last_words(self, error: GatewayError) -> bytes:
        """Return how the stream, broken off here, ends in a dialect whose end depends on what was said before.

        ``b""`` in all others: :meth:`~lmgw.wire.dialect.Dialect.render_stream_error` ends those.
        """


class Translation(Protocol):
    """A request made ready for one tier, and the way back for its answer."""

    request: Rendered

    def stream(self, said: str = "") -> AnswerStream:
        """Start the way back of a streamed answer.

        ``said`` is what the caller was sent already by :func:`~lmgw.wire.neutral.opening`: the answer goes on after it.
        """

    def answer(self, body: bytes) -> tuple[bytes, Progress]:
        """The way back of a whole 2xx answer.

        An error inside a 200 is in ``progress.error`` and the bytes are empty.
        """

    def error(self, status: int, body: bytes) -> GatewayError:
        """Read the upstream's error answer; what only its own dialect would say is left out for another's caller."""


def translation(caller: str, upstream: str, body: Body, target: Target, reply: LazyReply) -> Translation:
    """Return the translation of one request between two dialects, by their names.

    Raises :class:`~lmgw.errors.BadRequest` where the request is malformed or cannot be carried over.
    """
    native = NATIVES.get((caller, upstream))
    try:
        if native is not None:
            return _PassThrough(native.edit_request(body, target), native, DIALECTS[upstream], body, target, reply)
        if caller in DIALECTS:
            return _Translated(DIALECTS[caller], DIALECTS[upstream], body, target, reply())
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    operation = caller.partition("_")[2]
    raise BadRequest(f"the provider behind this name has no {operation}: name a model of an OpenAI-compatible one")


class _PassThrough(msgspec.Struct):
    """Both sides speak the same dialect: bytes pass, but those of an answer that goes on after words of our own.

    They would begin a stream of their own, so they take the way through the neutral form.
    """

    request: Rendered
    native: Native
    dialect: Dialect
    body: Body
    target: Target
    reply: LazyReply

    def stream(self, said: str = "") -> AnswerStream:
        if not said:
            return self.native.relay(self.body, self.target, self.reply)
        reply = self.reply()
        tools = offered_tools(self.body, self.target) if self.dialect is OLLAMA else ()
        rewrite = ToolRepair(tools, reply.id) if tools else None
        return _after(said, self.dialect, self.dialect, reply, rewrite)

    def answer(self, body: bytes) -> tuple[bytes, Progress]:
        return self.native.relay_answer(self.body, self.target, self.reply, body)

    def error(self, status: int, body: bytes) -> GatewayError:
        return self.dialect.parse_error(status, body)


class _Translated:
    """The sides differ: everything goes through the neutral form."""

    def __init__(self, caller: Dialect, upstream: Dialect, body: Body, target: Target, reply: Reply) -> None:
        self._caller = caller
        self._upstream = upstream
        request = caller.parse_request(body.outline)
        rendered = upstream.render_request(request, target)
        if body.blobs is not None:
            rendered = replace(rendered, body=body.blobs.restored(rendered.body))
        self.request = replace(rendered, lossy=named(caller.name, rendered.lossy)) if rendered.lossy else rendered
        repairs = target.repair_tool_calls and upstream is OLLAMA
        self._repaired = [tool.name for tool in request.tools] if repairs else []
        self._reply = replace(reply, request=request, tool_names=rendered.tool_names)

    def stream(self, said: str = "") -> AnswerStream:
        return _after(said, self._caller, self._upstream, self._reply, self._rewrite())

    def answer(self, body: bytes) -> tuple[bytes, Progress]:
        progress = Progress()
        try:
            answer = self._upstream.parse_answer(body)
        except GatewayError as error:
            progress.error = foreign(error)
            return b"", progress
        rewrite = self._rewrite()
        if rewrite is not None:
            answer = rewrite.answer(answer)
        note_answer(progress, answer)
        return self._caller.render_answer(answer, self._reply), progress

    def error(self, status: int, body: bytes) -> GatewayError:
        return foreign(self._upstream.parse_error(status, body))

    def _rewrite(self) -> Rewrite | None:
        """Return what changes this answer, if anything does; Anthropic has the former, Ollama the latter."""
        if self.request.json_tool is not None:
            return JsonTool(self.request.json_tool)
        return ToolRepair(self._repaired, self._reply.id) if self._repaired else None


def _after(said: str, caller: Dialect, upstream: Dialect, reply: Reply, rewrite: Rewrite | None) -> TranslatedStream:
    """Return the way back of an answer that goes on after ``said``."""
    renderer = caller.render_stream(reply)
    if said:
        opening(renderer, reply, said)
    return TranslatedStream(upstream.parse_stream(), renderer, rewrite)
