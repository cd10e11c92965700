"""Change a few values of a JSON object and keep every other byte: key order, white space, spellings of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from lmgw.wire.body import Body, spans

#: New bytes for those from a start to an end: ``(start, end, bytes)``.
Patch = tuple[int, int, bytes]

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def splice(body: Body, edits: Mapping[str, Any], patches: Sequence[Patch] = ()) -> bytes:
    """Return the body with the top-level values of ``edits`` (key to new value); absent keys are added at the end.

    ``patches`` are changes inside other values, by their places in ``body.data``.
    """
    if body.compact and not patches:
        return _encode({**body.fields, **edits})
    return patched(body.data, [*_replacements(body.data, body.spans, edits), *patches])


def splice_object(data: bytes, edits: Mapping[str, Any]) -> bytes:
    """The same for one JSON object's bytes, as it stands inside a body."""
    return patched(data, _replacements(data, spans(data, _FIELDS.decode(data)), edits))


def patched(data: bytes, patches: Iterable[Patch]) -> bytes:
    """Return ``data`` with each patch, none of which may overlap another."""
    view = memoryview(data)
    pieces: list[bytes | memoryview] = []
    at = 0
    for start, end, new in sorted(patches):
        pieces += (view[at:start], new)
        at = end
    pieces.append(view[at:])
    return b"".join(pieces)


def _replacements(data: bytes, places: Mapping[str, tuple[int, int]], edits: Mapping[str, Any]) -> list[Patch]:
    found, added = [], []
    for key, value in edits.items():
        place = places.get(key)
        if place is None:
            added.append(_encode(key) + b":" + _encode(value))
        else:
            found.append((*place, _encode(value)))
    if added:
        last = max((end for _, end in places.values()), default=data.index(b"{") + 1)
        found.append((last, last, b",".join([b"", *added] if places else added)))
    return found
