"""Names that one dialect asks for and another does not give: made from what is known, never from chance."""

from __future__ import annotations

from hashlib import blake2b


def made_id(prefix: str, *seed: object) -> str:
    """Return an id of ``prefix``, an underscore and 24 hexadecimal digits; the same ``seed`` gives the same id."""
    return f"{prefix}_{blake2b(repr(seed).encode(), digest_size=12).hexdigest()}"


def made_call_id(*seed: object) -> str:
    """Return a tool call's id (29 characters of ``[A-Za-z0-9_-]``) for a call that has none.

    The ``seed`` must hold something of the one answer (its time, its id), as ids must not come twice in a conversation.
    """
    return made_id("call", *seed)
