"""Embeddings: OpenAI's ``/v1/embeddings`` and Ollama's ``/api/embed`` and ``/api/embeddings``, each to either backend.

The vectors of an answer stay encoded wherever their form does not change. OpenAI's SDKs ask for base64 (little-endian
32-bit floats) unless told otherwise, Ollama knows only arrays of numbers.
"""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw

from lmgw.errors import BadRequest, GatewayError, UpstreamFailed
from lmgw.wire.body import Body
from lmgw.wire.dialect import Rendered, Reply, Target
from lmgw.wire.events import Usage
from lmgw.wire.ollama_answer import error_inside
from lmgw.wire.ollama_edit import policy_edits
from lmgw.wire.ollama_relay import Renamer
from lmgw.wire.progress import Progress
from lmgw.wire.splice import splice
from lmgw.wire.statuses import read_error

OPENAI_PATH = "/embeddings"
OLLAMA_PATH = "/api/embed"
OLLAMA_LEGACY_PATH = "/api/embeddings"

Caller = Literal["openai", "ollama", "ollama_legacy"]
Answer = tuple[bytes, Progress]

_ENCODE = msgspec.json.encode
_INPUT = msgspec.json.Decoder(str | list[str])
_STRING = msgspec.json.Decoder(str)


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0


class _Item(msgspec.Struct):
    embedding: Raw
    index: int = 0


class _Envelope(msgspec.Struct):
    """What both kinds of answer say besides the vectors."""

    model: str | None = None
    usage: _Usage | None = None
    prompt_eval_count: int | None = None
    error: Any = None


class _FromOpenAI(_Envelope):
    data: list[_Item] = []


class _FromOllama(_Envelope):
    embeddings: list[Raw] = []


class _NumbersFromOllama(_Envelope):
    embeddings: list[list[float]] = []


_Kind = TypeVar("_Kind", bound=_Envelope)


class Embeddings(msgspec.Struct, frozen=True):
    """One request made ready for one tier, and the way back of its answer.

    ``answer`` takes a whole 2xx body; an error inside it is in ``progress.error`` and the bytes are empty.
    """

    request: Rendered
    answer: Callable[[bytes], Answer]

    def error(self, status: int, body: bytes) -> GatewayError:
        """Read the upstream's error answer."""
        return read_error(status, body)


def translate_embeddings(caller: Caller, upstream: str, body: Body, target: Target, reply: Reply) -> Embeddings:
    """Make a caller's request ready for an ``upstream`` dialect (``openai``, ``ollama``).

    Raises :class:`~lmgw.errors.BadRequest` for what is malformed, and for a dialect that has no embeddings.
    """
    if upstream not in ("openai", "ollama"):
        raise BadRequest("the model behind this name makes no embeddings: name one of an OpenAI or Ollama backend")
    if upstream == "openai" == caller:
        return Embeddings(Rendered(OPENAI_PATH, splice(body, {"model": target.model})), _relayed)
    if upstream == "openai":
        return _ollama_to_openai(body, target, reply, legacy=caller == "ollama_legacy")
    if caller == "openai":
        return _openai_to_ollama(body, target, reply)
    edited = splice(body, {"model": target.model, **policy_edits(body, target)})
    if caller == "ollama_legacy":
        return Embeddings(Rendered(OLLAMA_LEGACY_PATH, edited), _relayed)
    return Embeddings(Rendered(OLLAMA_PATH, edited), lambda answer: _relayed(answer, Renamer(reply.model)))


def _openai_to_ollama(body: Body, target: Target, reply: Reply) -> Embeddings:
    raw, count = _input(body, "input")
    encoding = _field(body, "encoding_format", str, "a string") or "float"
    if encoding not in ("float", "base64"):
        raise BadRequest('encoding_format must be "float" or "base64"', param="encoding_format")
    fields: dict[str, Any] = {"model": target.model, "input": raw, **_dimensions(body)}
    if options := {**target.options, **target.pinned_options}:
        fields["options"] = options
    if target.keep_alive is not None:
        fields["keep_alive"] = target.keep_alive

    def answer(data: bytes) -> Answer:
        return _from_ollama(data, count, reply, base64=encoding == "base64")

    return Embeddings(Rendered(OLLAMA_PATH, _ENCODE(fields)), answer)


def _ollama_to_openai(body: Body, target: Target, reply: Reply, legacy: bool) -> Embeddings:
    raw, count = _input(body, "prompt" if legacy else "input")
    fields: dict[str, Any] = {"model": target.model, "input": raw, **_dimensions(body)}
    options = _field(body, "options", dict[str, Raw], "an object") or {}
    lossy = [f"options.{name}" for name in options]
    if _field(body, "truncate", bool, "true or false"):
        lossy.append("truncate")

    def answer(data: bytes) -> Answer:
        return _from_openai(data, count, reply, legacy)

    return Embeddings(Rendered(OPENAI_PATH, _ENCODE(fields), lossy=tuple(lossy)), answer)


def _input(body: Body, key: str) -> tuple[Raw, int]:
    """Return the texts, still encoded, and how many they are."""
    raw = body.fields.get(key)
    if raw is None:
        raise BadRequest(f"{key} is missing", param=key)
    try:
        texts = _INPUT.decode(raw)
    except msgspec.DecodeError:
        raise BadRequest(
            f"{key} must be a string or an array of strings: the model behind this name takes no token numbers",
            param=key,
        ) from None
    if not texts:
        raise BadRequest(f"{key} must not be empty", param=key)
    return raw, 1 if isinstance(texts, str) else len(texts)


def _dimensions(body: Body) -> Mapping[str, int]:
    dimensions = _field(body, "dimensions", int, "an integer")
    return {"dimensions": dimensions} if dimensions else {}


def _field(body: Body, key: str, kind: Any, expected: str) -> Any:
    raw = body.fields.get(key)
    try:
        return None if raw is None else msgspec.json.decode(raw, type=kind | None)
    except msgspec.DecodeError:
        raise BadRequest(f"{key} must be {expected}", param=key) from None


def _from_ollama(data: bytes, inputs: int, reply: Reply, base64: bool) -> Answer:
    kind: type[_FromOllama | _NumbersFromOllama] = _NumbersFromOllama if base64 else _FromOllama
    found, progress = _read(data, kind)

    def write() -> dict[str, Any]:
        vectors = (vector if isinstance(vector, Raw) else _base64(vector) for vector in found.embeddings)
        tokens = progress.usage.input if progress.usage else 0
        return {
            "object": "list",
            "data": [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)],
            "model": found.model or reply.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    return _translated(progress, found.embeddings, inputs, write)


def _from_openai(data: bytes, inputs: int, reply: Reply, legacy: bool) -> Answer:
    found, progress = _read(data, _FromOpenAI)

    def write() -> dict[str, Any]:
        vectors = [_numbers(item.embedding) for item in sorted(found.data, key=lambda item: item.index)]
        if legacy:
            return {"embedding": vectors[0]}
        return {
            "model": reply.model,
            "embeddings": vectors,
            "total_duration": max(reply.elapsed_ns(), 1),
            "load_duration": 0,
            "prompt_eval_count": progress.usage.input if progress.usage else 0,
        }

    return _translated(progress, found.data, inputs, write)


def _relayed(data: bytes, edit: Callable[[bytes], bytes] = bytes) -> Answer:
    _, progress = _read(data, _Envelope)
    return (edit(data) if progress.error is None else b""), progress


def _read(data: bytes, kind: type[_Kind]) -> tuple[_Kind, Progress]:
    """Decode an answer and write down what it tells; what is none is an error."""
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return kind(), Progress(error=UpstreamFailed("the provider's answer holds no embeddings"))
    if found.error is not None:
        return found, Progress(error=error_inside(found.error))
    tokens = found.usage.prompt_tokens if found.usage else found.prompt_eval_count
    usage = None if tokens is None else Usage(input=tokens)
    return found, Progress(content=True, finish="stop", usage=usage, model=found.model)


def _translated(progress: Progress, vectors: Sequence[Any], inputs: int, write: Callable[[], dict[str, Any]]) -> Answer:
    """Encode what ``write`` makes of the vectors, unless something is wrong with them."""
    if progress.error is None and len(vectors) != inputs:
        progress.error = UpstreamFailed(f"the provider sent {len(vectors)} embeddings for {inputs} inputs")
    if progress.error is not None:
        return b"", progress
    try:
        return _ENCODE(write()), progress
    except (ValueError, OverflowError, struct.error):
        progress.error = UpstreamFailed("the provider sent an embedding that is not made of 32-bit floats")
        return b"", progress


def _base64(vector: list[float]) -> str:
    packed = struct.pack(f"<{len(vector)}f", *vector)
    return binascii.b2a_base64(packed, newline=False).decode()


def _numbers(embedding: Raw) -> Raw | tuple[float, ...]:
    """Return a vector as numbers: OpenAI's answer may hold it in base64, asked or not."""
    if bytes(embedding)[:1] == b"[":
        return embedding
    packed = b64decode(_STRING.decode(embedding), validate=True)
    return struct.unpack(f"<{len(packed) // 4}f", packed)
