"""A caller's request body, decoded once and no deeper than needed."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, cast

import msgspec
from msgspec import Raw

from lmgw.errors import BadRequest
from lmgw.wire.blobs import LEAST, Blobs

_BOM = b"\xef\xbb\xbf"
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_STRING = msgspec.json.Decoder(str | None)
_BOOL = msgspec.json.Decoder(bool | None)
_OBJECT = msgspec.json.Decoder(dict[str, Any] | None)
#: The fields that hold pictures and files in one dialect or another, none of which is echoed in an answer.
_WITH_BLOBS = ("messages", "input", "images")
#: Bytes compared at once.
_PIECE = 65536
_EMPTY_LIST = re.compile(rb"\[[ \t\r\n]*\]\Z")
#: A key and its colon, with the white space around both.
_KEY = re.compile(rb'[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_NEXT = re.compile(rb"[ \t\r\n]*([,}])")


class Body:
    """One request's body: its bytes, its top-level fields still encoded, and what routing asks of it.

    :ivar data: the bytes, without a byte order mark.
    :ivar fields: key to its value's bytes, in order.
    :ivar model: the model asked for, ``None`` if it says none.
    :ivar stream: ``None`` if it does not say.
    :ivar include_usage: it asks for OpenAI's usage chunk.
    """

    def __init__(self, data: bytes) -> None:
        """Decode ``data``. Raises :class:`~lmgw.errors.BadRequest` saying what is malformed, and where."""
        self.data = data = data.removeprefix(_BOM)
        self.fields = fields = _decode_fields(data)
        self._spans = None if _is_plain(data, fields) else spans(data, fields)
        self.model = self._typed("model", _STRING, "a string")
        self.stream = self._typed("stream", _BOOL, "true or false")
        options = self._typed("stream_options", _OBJECT, "an object")
        self.include_usage = options is not None and options.get("include_usage") is True

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Key to where its value stands in ``data``."""
        if self._spans is None:
            self._spans = found = {}
            at = 1
            for key, raw in self.fields.items():
                start = at + len(key) + 3
                at = start + len(memoryview(raw)) + 1
                found[key] = (start, at - 1)
        return self._spans

    @cached_property
    def parsed(self) -> dict[str, Any]:
        """The whole body as Python values."""
        return self._decoded(self.data)

    @cached_property
    def blobs(self) -> Blobs | None:
        """The large pictures and files of the body, ``None`` where it holds none."""
        if len(self.data) <= LEAST:
            return None
        return Blobs.of(self.data, sorted(self.spans[key] for key in _WITH_BLOBS if key in self.spans))

    @cached_property
    def outline(self) -> dict[str, Any]:
        """The same as :attr:`parsed` with marks for :attr:`blobs`: those must be restored in what is made of it."""
        return self.parsed if self.blobs is None else self._decoded(self.blobs.outline)

    @property
    def legible(self) -> bytes:
        """The bytes to look for a word in: without :attr:`blobs`."""
        return self.data if self.blobs is None else self.blobs.outline

    def _decoded(self, data: bytes) -> dict[str, Any]:
        try:
            return _ANY.decode(data)  # type: ignore[no-any-return]
        except (msgspec.DecodeError, RecursionError) as error:
            raise malformed(self.data, error) from None

    def require_list(self, key: str) -> None:
        """Raise :class:`~lmgw.errors.BadRequest` unless ``key`` holds an array with something in it."""
        raw = self.fields.get(key)
        if raw is None:
            raise BadRequest(f"{key} is missing", param=key)
        value = memoryview(raw)
        if value[0] != ord("["):
            raise BadRequest(f"{key} must be an array", param=key)
        if _EMPTY_LIST.match(value):
            raise BadRequest(f"{key} must not be empty", param=key)

    def _typed(self, key: str, decoder: msgspec.json.Decoder[Any], expected: str) -> Any:
        raw = self.fields.get(key)
        if raw is None:
            return None
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            raise BadRequest(f"{key} must be {expected}", param=key) from None


def _is_plain(data: bytes, fields: dict[str, Raw]) -> bool:
    """Whether the bytes are these fields in order with nothing between them: no white space, no escape in a key.

    Then there is no room for a key that stands twice. It is how most clients write JSON.
    """
    if len(data) <= _PIECE:
        size = len(b"".join(fields.values()))
    else:
        size = sum(len(memoryview(raw)) for raw in fields.values())
    # Each field has two quotes, a colon, and a comma or the last brace.
    return 1 + 4 * len(fields) + len("".join(fields)) + size == len(data)


def spans(data: bytes, fields: dict[str, Raw]) -> dict[str, tuple[int, int]]:
    """Return where each field's value stands in ``data``, the JSON object that ``fields`` was decoded from.

    Raises :class:`~lmgw.errors.BadRequest` where a key stands twice: two readers of such a body may each take another
    value, and what was checked here would not be what is obeyed there.
    """
    found = {}
    at = data.index(b"{") + 1
    last = b","
    for key, raw in fields.items():
        name, start = _key_at(data, at)
        end = start + len(memoryview(raw))
        after = _NEXT.match(data, end)
        # Keys come in the order of their first place, each with its last value: where both agree, so do the positions.
        if name != key or after is None or not _stands_at(data, start, memoryview(raw)):
            raise _twice(name)
        found[key] = (start, end)
        at, last = after.end(), after[1]
    if fields and last == b",":
        raise _twice(_key_at(data, at)[0])
    return found


def _stands_at(data: bytes, start: int, value: memoryview) -> bool:
    """Whether ``value`` stands at ``start``; a large one in pieces, as what is compared must be copied."""
    if len(value) <= _PIECE:
        return data.startswith(bytes(value), start)
    return all(data.startswith(bytes(value[at : at + _PIECE]), start + at) for at in range(0, len(value), _PIECE))


def _key_at(data: bytes, at: int) -> tuple[str, int]:
    """Return the key at ``at`` and where its value begins."""
    match = cast("re.Match[bytes]", _KEY.match(data, at))  # the JSON is valid: it was decoded
    key = match[1]
    return msgspec.json.decode(key, type=str) if b"\\" in key else key[1:-1].decode(), match.end()


def _twice(key: str) -> BadRequest:
    return BadRequest(f"the key {key!r} stands twice in the body", param=key)


def malformed(data: bytes, error: Exception) -> BadRequest:
    """Return the words for JSON that cannot be read: what is wrong, with line and column where that is known."""
    if isinstance(error, RecursionError):
        return BadRequest("the body is nested too deeply")
    text = str(error)
    match = re.fullmatch(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)", text)
    if match is None:
        return BadRequest("the body is not valid JSON: it ends too early")
    at = int(match[2])
    line = data.count(b"\n", 0, at) + 1
    column = at - data.rfind(b"\n", 0, at)
    return BadRequest(f"the body is not valid JSON: {match[1]} at line {line}, column {column}")


def _decode_fields(data: bytes) -> dict[str, Raw]:
    if not data.strip():
        raise BadRequest("the body is empty; it must be a JSON object")
    try:
        if not data.isascii():
            data.decode()
        return _FIELDS.decode(data)
    except msgspec.ValidationError:
        raise BadRequest("the body must be a JSON object") from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not valid UTF-8 at byte {error.start}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(data, error) from None
