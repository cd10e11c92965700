"""``count_tokens`` where caller and upstream both speak Anthropic's Messages API: the upstream counts."""

from __future__ import annotations

import msgspec

from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.wire.anthropic_relay import edit_count_tokens
from lmgw.wire.body import Body
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.progress import Progress
from lmgw.wire.statuses import error_in, read_error


class _Counted(msgspec.Struct):
    input_tokens: int


_decode = msgspec.json.Decoder(_Counted).decode


class Count(msgspec.Struct, frozen=True):
    """One request made ready for one tier, and the way back of its answer."""

    request: Rendered

    @classmethod
    def prepare(cls, body: Body, target: Target) -> Count:
        """Make a caller's request ready; nothing but its model changes."""
        return cls(edit_count_tokens(body, target))

    def answer(self, body: bytes) -> tuple[bytes, Progress]:
        """Return a whole 2xx answer as it came; what is no count is in ``progress.error`` and the bytes are empty."""
        try:
            _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return b"", Progress(error=_failure(body))
        return body, Progress(finish="stop")

    def error(self, status: int, body: bytes) -> GatewayError:
        """Read the upstream's error answer."""
        return read_error(status, body)


def _failure(body: bytes) -> GatewayError:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    return error_in(found) or UpstreamFailed("the provider's answer holds no count of tokens")
