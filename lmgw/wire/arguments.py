"""A tool call's arguments as an object, for the dialects that want one; elsewhere they are JSON text."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw


class _Object(msgspec.Struct, gc=False):
    """Any object: none of its fields is read."""


_check = msgspec.json.Decoder(_Object).decode


def arguments_object(arguments: str) -> Raw | Mapping[str, str]:
    """Return a call's arguments as an object, without line ends between its tokens.

    Nothing becomes ``{}``; what is no object is kept as text under ``_raw``.
    """
    if not arguments or arguments == "null":
        return {}
    try:
        _check(arguments)
    except (msgspec.DecodeError, RecursionError):
        return {"_raw": arguments}
    # Inside of strings JSON writes a line's end as an escape: any that is left is white space.
    return Raw(arguments.replace("\n", " ").replace("\r", " "))
