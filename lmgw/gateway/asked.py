"""What a caller asks for, read once: as far as routing needs at first, the rest where somebody wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from lmgw.core.ask import Operation, Prompt
from lmgw.errors import BadRequest
from lmgw.gateway.inbound import Inbound, Route
from lmgw.wire.body import Body
from lmgw.wire.counting import Count
from lmgw.wire.dialect import Dialect, LazyReply, Reply, Target
from lmgw.wire.embeddings import Embeddings, translate_embeddings
from lmgw.wire.ollama import OLLAMA, OLLAMA_GENERATE, is_load_request
from lmgw.wire.translate import DIALECTS, Translation, translation

#: What says nothing takes no more than this, in bytes: ``null``, ``""``, ``[ ]``.
EMPTY_BYTES = 16
#: What stands in every body that holds a part whose tokens are more than its bytes: images, and documents by their URL
#: (``"document"``, ``"file"``, ``"input_file"``).
_COUNTED_BY_NUMBER = (b"image", b'"document"', b'file"')


class _Kind(msgspec.Struct, frozen=True):
    """What all requests of one route have in common.

    :ivar caller: the caller's side of the pair that is translated between.
    :ivar id_prefix: how an answer's id begins.
    :ivar required: the field that must hold something; the rest is for the dialects to say.
    :ivar said: the field that is empty in Ollama's requests that load a model.
    """

    caller: str
    operation: Operation
    id_prefix: str = ""
    required: str | None = None
    said: str | None = None
    ollama: bool = False


_KINDS = {
    Route.CHAT: _Kind("openai", "chat", "chatcmpl-", required="messages"),
    Route.COMPLETIONS: _Kind("openai_completions", "completions", "chatcmpl-"),
    Route.EMBEDDINGS: _Kind("openai", "embeddings"),
    Route.RESPONSES: _Kind("responses", "chat", "resp_"),
    Route.INPUT_TOKENS: _Kind("responses", "count_tokens"),
    Route.MESSAGES: _Kind("anthropic", "chat", "msg_", required="messages"),
    Route.COUNT_TOKENS: _Kind("anthropic", "count_tokens", required="messages"),
    Route.OLLAMA_CHAT: _Kind("ollama", "chat", said="messages", ollama=True),
    Route.OLLAMA_GENERATE: _Kind("ollama_generate", "chat", said="prompt", ollama=True),
    Route.OLLAMA_EMBED: _Kind("ollama", "embeddings", ollama=True),
    Route.OLLAMA_EMBEDDINGS: _Kind("ollama_legacy", "embeddings", ollama=True),
}


class Asked:
    """One request's body and what it comes to: the :class:`~lmgw.core.ask.Ask` that its route is found for.

    :ivar dialect: the caller's.
    :ivar stream: whether the answer is streamed; Ollama's routes stream unless told otherwise.
    :ivar loads_model: it is Ollama's way to load a model: a chat about nothing.
    :ivar deadline: when its time is used up, in the reactor's seconds; ``None`` = never.
    """

    __slots__ = (
        "_kind",
        "body",
        "deadline",
        "dialect",
        "inbound",
        "loads_model",
        "model",
        "operation",
        "priority",
        "size",
        "stream",
    )

    def __init__(self, inbound: Inbound, deadline: float | None) -> None:
        """Read ``inbound``. Raises :class:`~lmgw.errors.BadRequest` naming what is wrong with its body."""
        self.inbound = inbound
        self.deadline = deadline
        coding = inbound.headers.get(b"content-encoding")
        if coding is not None:
            _require_plain(coding)
        self.body = body = Body(inbound.body)
        self.model = body.model
        self.size = len(body.data)
        priority = inbound.headers.get(b"x-lmg-priority")
        self.priority = None if priority is None else _integer(priority)
        self._kind = kind = _KINDS[inbound.route]
        if kind.required is not None:
            body.require_list(kind.required)
        self.dialect: Dialect = DIALECTS[inbound.route.dialect]
        self.operation = operation = kind.operation
        stream = kind.ollama if body.stream is None else body.stream
        self.stream = stream and (operation == "chat" or operation == "completions")
        self.loads_model = kind.said is not None and _says_nothing(body, kind.said) and is_load_request(body.parsed)

    def loaded(self, reply: Reply) -> bytes:
        """Return the answer to a request that loads a model: there is nothing to load here."""
        dialect = OLLAMA_GENERATE if self.inbound.route is Route.OLLAMA_GENERATE else OLLAMA
        return dialect.render_loaded(self.body.parsed, reply)

    # What is asked of an Ask:

    @property
    def expert(self) -> bool:
        """Whether the caller sent ``X-LMG-Expert: true``."""
        return self.inbound.headers.get(b"x-lmg-expert", b"").strip().lower() == b"true"

    def may_hold_images(self) -> bool:
        """Whether any part's tokens may be more than its bytes; may say yes wrongly, never no."""
        legible = self.body.legible
        return any(kind in legible for kind in _COUNTED_BY_NUMBER)

    def prompt(self) -> Prompt:
        """Read the whole body, as well as it can be: where it goes it may be understood.

        Raises :class:`~lmgw.errors.BadRequest` for what is no JSON, or cannot be counted.
        """
        body = self.body.parsed
        if self.operation == "completions":
            return Prompt(texts=tuple(_texts(body.get("prompt"))))
        try:
            return Prompt.of(self.dialect.parse_request(body))
        except BadRequest:
            if self.operation == "count_tokens":
                raise
            return Prompt.roughly(body.get("messages") or body.get("input"), body.get("tools"))

    @property
    def takes_asides(self) -> bool:
        """Whether a text of the gateway's own may come first: not where the answer is JSON, or one of several."""
        try:
            request = self.dialect.parse_request(self.body.parsed)
        except (BadRequest, RecursionError):
            return False
        return request.format is None and request.n == 1

    def reply(self, model: str, epoch_s: int, elapsed_ns: Callable[[], int]) -> Reply:
        """Return what an answer to this request must look like; ``model`` is named where the upstream names none."""
        kind, body = self._kind, self.body
        if kind.ollama:
            model = body.model or model
        return Reply(
            kind.id_prefix + self.inbound.request_id, model, epoch_s, body.include_usage, elapsed_ns=elapsed_ns
        )

    def translate(self, upstream: str, target: Target, reply: LazyReply) -> Translation | Embeddings | Count:
        """Make the request ready for a tier whose dialect is ``upstream`` (to count tokens, Anthropic's only).

        Raises :class:`~lmgw.errors.BadRequest` where it is malformed or cannot be carried over.
        """
        if self.operation == "count_tokens":
            return Count.prepare(self.body, target)
        caller = self._kind.caller
        if self.operation == "embeddings":
            return translate_embeddings(caller, upstream, self.body, target, reply())  # type: ignore[arg-type]
        return translation(caller, upstream, self.body, target, reply)


def _says_nothing(body: Body, field: str) -> bool:
    return len(memoryview(body.fields.get(field, b""))) <= EMPTY_BYTES


def _require_plain(coding: bytes) -> None:
    """Refuse a compressed body (RFC 9110, 8.4) in words: Codex sends such with zstd where it is told to."""
    if coding.strip().lower() not in (b"", b"identity"):
        raise BadRequest(
            f"the body is compressed (Content-Encoding: {coding.decode('latin-1')[:40]}), and only plain ones are read "
            "here: switch compression off in the client (Codex: --disable enable_request_compression)"
        )


def _integer(value: bytes) -> int | None:
    """Read ``X-LMG-Priority``; what is no number asks for nothing."""
    try:
        return int(value)
    except ValueError:
        return None


def _texts(prompt: object) -> Iterator[str]:
    """The texts of a completion's ``prompt``: a string, or an array of them; token numbers are a token each."""
    for part in prompt if isinstance(prompt, list) else (prompt,):
        if isinstance(part, str):
            yield part
        elif isinstance(part, list):
            yield " ".join(map(str, part))
