"""A value that must never be shown."""

from __future__ import annotations

import hmac


class Secret:
    """Holds a key in memory and shows itself only as ``Secret(***)``.

    Equality takes the same time wherever two values differ. ``reveal`` is the one way out; whoever calls it
    writes the value into an outbound header and nowhere else.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def redact(self, text: str) -> str:
        """Return ``text`` without the value: a provider may repeat the key that it refuses."""
        return text.replace(self._value, "***") if self._value else text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")
