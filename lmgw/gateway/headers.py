"""Headers across the gateway: built from nothing outwards, let through by name on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from lmgw.errors import GatewayError
from lmgw.gateway.inbound import Inbound
from lmgw.upstream.exchange import Head

Header = tuple[bytes, bytes]

#: Anthropic to Anthropic only; elsewhere the dialect says its own version.
_ANTHROPIC = (b"anthropic-version", b"anthropic-beta")

_BACK = (b"retry-after", b"openai-processing-ms")
_BACK_SAME_DIALECT = (b"x-ratelimit-", b"anthropic-ratelimit-")
_UPSTREAM_ID = (b"x-request-id", b"request-id")
#: What nearly every answer has and no caller sees; asked first, it saves a call each.
_USUAL = frozenset((b"connection", b"content-length", b"content-type", b"date", b"server", b"transfer-encoding"))
#: Bytes of the longest name that is passed on, and so of those that are remembered.
_LONGEST = 64


def outbound(request: Inbound, own: Iterable[Header], native: bool, anthropic: bool) -> list[Header]:
    """Return what is sent to a provider besides its target's fixed headers.

    ``own`` are the dialect's headers; the caller's ``anthropic-version`` wins over them where both sides speak
    Anthropic's dialect (``native``), its ``anthropic-beta`` goes to Anthropic backends (``anthropic``) verbatim.
    """
    caller = request.headers
    sent = [(b"X-Request-ID", request.request_id.encode()), *own]
    if anthropic:
        names = _ANTHROPIC if native else _ANTHROPIC[1:]
        passed = {name: caller[name] for name in names if name in caller}
        sent = [pair for pair in sent if pair[0] not in passed]
        sent += passed.items()
    if b"traceparent" in caller:  # W3C Trace Context is all else of the caller's that a provider may see
        sent.append((b"Traceparent", caller[b"traceparent"]))
    if b"tracestate" in caller:
        sent.append((b"Tracestate", caller[b"tracestate"]))
    return sent


def inbound(head: Head, native: bool, lossy: Sequence[str] = ()) -> list[Header]:
    """Return what of a provider's response headers the caller may see; rate limits only in the same dialect.

    ``lossy`` names what of the request could not be carried over.
    """
    passed = []
    for name, value in head.headers:
        if name not in _USUAL and len(name) <= _LONGEST and (shown := _shown(name, native)) is not None:
            passed.append((shown, value))
    if lossy:
        passed.append((b"X-LMG-Lossy", ", ".join(lossy).encode()))
    return passed


@lru_cache(maxsize=256)
def _shown(name: bytes, native: bool) -> bytes | None:
    """Return the name under which the caller sees a header, ``None`` if not at all; providers send the same all day."""
    if name in _UPSTREAM_ID:
        return b"X-Upstream-Request-ID"
    return name.title() if name.startswith(_BACK) or (native and name.startswith(_BACK_SAME_DIALECT)) else None


def of_error(error: GatewayError) -> list[Header]:
    """Return the headers that an error brings along."""
    return [(name.title().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers]
