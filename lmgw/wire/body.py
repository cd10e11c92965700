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
_encode = msgspec.json.Encoder().encode
_NULL = Raw(b"null")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BRACKET = ord("[")
#: The fields that hold pictures and files in one dialect or another, none of which is echoed in an answer.
_WITH_BLOBS = ("messages", "input", "images")
#: Bytes compared at once.
_PIECE = 65536
#: The largest body whose fields are written once more to be compared with it, in bytes.
_SMALL = 262_144
_EMPTY_LIST = re.compile(rb"\[[ \t\r\n]*\]\Z")
#: What stands around a value of an object: the key before it if there is one, and what separates that from others.
_BETWEEN = re.compile(rb'[ \t\r\n]*[{,}](?:[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*)?', re.DOTALL)


class Body:
    """One request's body: its bytes, its top-level fields still encoded, and what routing asks of it.

    :ivar data: the bytes, without a byte order mark.
    :ivar fields: key to its value's bytes, in order.
    :ivar compact: ``data`` is what encoding ``fields`` gives; false for a large body.
    :ivar model: the model asked for, ``None`` if it says none.
    :ivar stream: ``None`` if it does not say.
    :ivar include_usage: it asks for OpenAI's usage chunk.
    """

    def __init__(self, data: bytes) -> None:
        """Decode ``data``. Raises :class:`~lmgw.errors.BadRequest` saying what is malformed, and where."""
        self.data = data = data.removeprefix(_BOM)
        try:
            if not data.isascii():
                data.decode()
            self.fields = fields = _FIELDS.decode(data)
        except _UNREADABLE as error:
            raise malformed(data, error) from None
        small = len(data) <= _SMALL
        self.compact = compact = small and _encode(fields) == data
        # What is written of the fields and equals the body leaves no room for a key that stands twice.
        self._spans = None if compact or (small and _spaced(fields) == data) else spans(data, fields)
        expected = "model", "a string"
        try:
            self.model = _STRING.decode(fields.get("model", _NULL))
            expected = "stream", "true or false"
            self.stream = _BOOL.decode(fields.get("stream", _NULL))
            expected = "stream_options", "an object"
            options = _OBJECT.decode(fields["stream_options"]) if "stream_options" in fields else None
        except _UNREADABLE:
            raise BadRequest(f"{expected[0]} must be {expected[1]}", param=expected[0]) from None
        self.include_usage = options is not None and options.get("include_usage") is True

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Key to where its value stands in ``data``."""
        if self._spans is None:
            self._spans = found = {}
            gap = 1 if self.compact else 2
            at = 1
            for key, raw in self.fields.items():
                start = at + len(_encode(key)) + gap
                end = start + len(memoryview(raw))
                found[key] = (start, end)
                at = end + gap
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
        return self.data if len(self.data) <= LEAST or self.blobs is None else self.blobs.outline

    def _decoded(self, data: bytes) -> dict[str, Any]:
        try:
            return _ANY.decode(data)  # type: ignore[no-any-return]
        except _UNREADABLE as error:
            raise malformed(self.data, error) from None

    def require_list(self, key: str) -> None:
        """Raise :class:`~lmgw.errors.BadRequest` unless ``key`` holds an array with something in it."""
        raw = self.fields.get(key)
        if raw is None:
            raise BadRequest(f"{key} is missing", param=key)
        value = memoryview(raw)
        if value[0] != _BRACKET:
            raise BadRequest(f"{key} must be an array", param=key)
        if value[1] in b" \t\r\n]" and _EMPTY_LIST.match(value):
            raise BadRequest(f"{key} must not be empty", param=key)


def _spaced(fields: dict[str, Raw]) -> bytes:
    """Write the fields as Python's ``json`` does, with a space after each colon and comma."""
    return b"{%b}" % b", ".join([b"%b: %b" % (_encode(key), raw) for key, raw in fields.items()])


def spans(data: bytes, fields: dict[str, Raw]) -> dict[str, tuple[int, int]]:
    """Return where each field's value stands in ``data``, the JSON object that ``fields`` was decoded from.

    Raises :class:`~lmgw.errors.BadRequest` where a key stands twice: two readers of such a body may each take another
    value, and what was checked here would not be what is obeyed there.
    """
    found = {}
    before = cast("re.Match[bytes]", _BETWEEN.match(data))  # the JSON is valid: it was decoded
    for key, raw in fields.items():
        name, start = _key(before), before.end()
        end = start + len(memoryview(raw))
        after = _BETWEEN.match(data, end)
        # Keys come in the order of their first place, each with its last value: where both agree, so do the positions.
        if name != key or after is None or not _stands_at(data, start, memoryview(raw)):
            raise _twice(name)
        found[key] = (start, end)
        before = after
    if fields and before[1] is not None:
        raise _twice(_key(before))
    return found


def _stands_at(data: bytes, start: int, value: memoryview) -> bool:
    """Whether ``value`` stands at ``start``; a large one in pieces, as what is compared must be copied."""
    if len(value) <= _PIECE:
        return data.startswith(bytes(value), start)
    return all(data.startswith(bytes(value[at : at + _PIECE]), start + at) for at in range(0, len(value), _PIECE))


def _key(match: re.Match[bytes]) -> str:
    key: bytes = match[1]
    return msgspec.json.decode(key, type=str) if b"\\" in key else key[1:-1].decode()


def _twice(key: str) -> BadRequest:
    return BadRequest(f"the key {key!r} stands twice in the body", param=key)


def malformed(data: bytes, error: Exception) -> BadRequest:
    """Return the words for a body that cannot be read: what is wrong, with line and column where that is known."""
    if not data.strip():
        return BadRequest("the body is empty; it must be a JSON object")
    if isinstance(error, UnicodeDecodeError):
        return BadRequest(f"the body is not valid UTF-8 at byte {error.start}")
    if isinstance(error, RecursionError):
        return BadRequest("the body is nested too deeply")
    if isinstance(error, msgspec.ValidationError):
        return BadRequest("the body must be a JSON object")
    text = str(error)
    match = re.fullmatch(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)", text)
    if match is None:
        return BadRequest("the body is not valid JSON: it ends too early")
    at = int(match[2])
    line = data.count(b"\n", 0, at) + 1
    column = at - data.rfind(b"\n", 0, at)
    return BadRequest(f"the body is not valid JSON: {match[1]} at line {line}, column {column}")
