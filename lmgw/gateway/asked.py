"""What a caller asks for, read once: as far as routing needs at first, the rest where somebody wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lmgw.core.ask import Ask, Operation, Prompt
from lmgw.errors import BadRequest
from lmgw.gateway.inbound import Inbound, Route
from lmgw.wire.body import Body
from lmgw.wire.counting import Count
from lmgw.wire.dialect import Dialect, Reply, Target
from lmgw.wire.embeddings import Embeddings, translate_embeddings
from lmgw.wire.ollama import OLLAMA, OLLAMA_GENERATE, is_load_request
from lmgw.wire.translate import DIALECTS, Translation, translation

#: The field that must hold something, by route; the rest is for the dialects to say.
_REQUIRED = {Route.CHAT: "messages", Route.MESSAGES: "messages", Route.COUNT_TOKENS: "messages"}
#: Where Ollama's requests that load a model say nothing.
_SAID = {Route.OLLAMA_CHAT: "messages", Route.OLLAMA_GENERATE: "prompt"}
_OPERATIONS: Mapping[str, Operation] = {"embeddings_legacy": "embeddings"}
_CALLERS = {Route.COMPLETIONS: "openai_completions"}
_EMBEDDING_CALLERS = {
    Route.EMBEDDINGS: "openai",
    Route.OLLAMA_EMBED: "ollama",
    Route.OLLAMA_EMBEDDINGS: "ollama_legacy",
}
#: What says nothing takes no more than this, in bytes: ``null``, ``""``, ``[ ]``.
EMPTY_BYTES = 16
#: What stands in every body that holds a part whose tokens are more than its bytes: images, and documents by their URL
#: (``"document"``, ``"file"``, ``"input_file"``).
_COUNTED_BY_NUMBER = (b"image", b'"document"', b'file"')
#: How each dialect's ids begin.
_ID_PREFIX = {"openai": "chatcmpl-", "anthropic": "msg_", "ollama": "", "ollama_generate": "", "responses": "resp_"}


class Asked:
    """One request's body and what it comes to.

    :ivar dialect: the caller's.
    :ivar stream: whether the answer is streamed; Ollama's routes stream unless told otherwise.
    :ivar deadline: when its time is used up, in the reactor's seconds; ``None`` = never.
    """

    __slots__ = ("body", "deadline", "dialect", "inbound", "operation", "stream")

    def __init__(self, inbound: Inbound, deadline: float | None) -> None:
        """Read ``inbound``. Raises :class:`~lmgw.errors.BadRequest` naming what is wrong with its body."""
        self.inbound = inbound
        self.deadline = deadline
        coding = inbound.headers.get(b"content-encoding")
        if coding is not None:
            _require_plain(coding)
        self.body = body = Body(inbound.body)
        route = inbound.route
        if route in _REQUIRED:
            body.require_list(_REQUIRED[route])
        self.dialect: Dialect = DIALECTS[route.dialect]
        self.operation: Operation = _OPERATIONS.get(route.operation) or route.operation  # type: ignore[assignment]
        asked = body.stream
        self.stream = self.operation in ("chat", "completions") and (
            route.dialect.startswith("ollama") if asked is None else asked
        )

    @property
    def loads_model(self) -> bool:
        """Whether this is Ollama's way to load a model: a chat about nothing."""
        said = _SAID.get(self.inbound.route)
        if said is None or len(memoryview(self.body.fields.get(said, b""))) > EMPTY_BYTES:
            return False
        return is_load_request(self.body.parsed)

    def loaded(self, reply: Reply) -> bytes:
        """Return the answer to a request that loads a model: there is nothing to load here."""
        dialect = OLLAMA_GENERATE if self.inbound.route is Route.OLLAMA_GENERATE else OLLAMA
        return dialect.render_loaded(self.body.parsed, reply)

    def routing(self) -> Ask:
        """Return the request as routing sees it."""
        body = self.body
        return Ask(
            model=self.body.model,
            prompt=self.prompt,
            size=len(body.data),
            may_hold_images=lambda: any(kind in body.legible for kind in _COUNTED_BY_NUMBER),
            operation=self.operation,
            stream=self.stream,
            expert=self.inbound.headers.get(b"x-lmg-expert", b"").strip().lower() == b"true",
            priority=_integer(self.inbound.headers.get(b"x-lmg-priority")),
            deadline=self.deadline,
        )

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
        id = _ID_PREFIX[self.dialect.name] + self.inbound.request_id
        ollama = self.dialect.name.startswith("ollama")
        named = (self.body.model or model) if ollama else model
        return Reply(id, named, epoch_s, self.body.include_usage, elapsed_ns=elapsed_ns)

    def translate(self, upstream: str, target: Target, reply: Reply) -> Translation | Embeddings | Count:
        """Make the request ready for a tier whose dialect is ``upstream`` (to count tokens, Anthropic's only).

        Raises :class:`~lmgw.errors.BadRequest` where it is malformed or cannot be carried over.
        """
        if self.operation == "count_tokens":
            return Count.prepare(self.body, target)
        caller = _EMBEDDING_CALLERS.get(self.inbound.route)
        if caller is not None:
            return translate_embeddings(caller, upstream, self.body, target, reply)  # type: ignore[arg-type]
        return translation(_CALLERS.get(self.inbound.route, self.dialect.name), upstream, self.body, target, reply)


def _require_plain(coding: bytes) -> None:
    """Refuse a compressed body (RFC 9110, 8.4) in words: Codex sends such with zstd where it is told to."""
    if coding.strip().lower() not in (b"", b"identity"):
        raise BadRequest(
            f"the body is compressed (Content-Encoding: {coding.decode('latin-1')[:40]}), and only plain ones are read "
            "here: switch compression off in the client (Codex: --disable enable_request_compression)"
        )


def _integer(value: bytes | None) -> int | None:
    """Read ``X-LMG-Priority``; what is no number asks for nothing."""
    try:
        return None if value is None else int(value)
    except ValueError:
        return None


def _texts(prompt: object) -> Iterator[str]:
    """The texts of a completion's ``prompt``: a string, or an array of them; token numbers are a token each."""
    for part in prompt if isinstance(prompt, list) else (prompt,):
        if isinstance(part, str):
            yield part
        elif isinstance(part, list):
            yield " ".join(map(str, part))
