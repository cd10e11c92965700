"""What went wrong, as a fault that the plan can judge; the words of a provider never hold its key."""

from __future__ import annotations

from lmgw.core.retry import retry_after_s
from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.gateway.headers import inbound
from lmgw.gateway.runtime import Lane
from lmgw.upstream.exchange import Head


class Bug(GatewayError):
    """A fault of the gateway's own; its log has the traceback under the request's id."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"internal error; the gateway's log says more under {request_id}")


def refused(head: Head, error: GatewayError, lane: Lane, epoch_s: float, *, native: bool) -> Fault:
    """Return the fault of an answer with this head and error; its rate-limit headers go back with it."""
    if head.status < 400:
        error = UpstreamFailed(f"the provider answered with a redirect ({head.status}); redirects are never followed")
    clean(error, lane)
    passed = inbound(head, native=native)
    error.headers += tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in passed)
    return Fault(
        FaultKind.STATUS,
        error,
        status=head.status,
        retry_after_s=retry_after_s(head.get(b"retry-after"), head.get(b"retry-after-ms"), epoch_s),
        detail=f'backend "{lane.backend.name}" answered {head.status}: {error.message}',
    )


def clean(error: GatewayError, lane: Lane) -> None:
    """Make a provider's words fit to be shown: without the key, which some repeat, and valid Unicode."""
    key = lane.backend.api_key
    words = error.message.encode("utf-8", "replace").decode()
    error.message = words if key is None else key.redact(words)
    error.args = (error.message,)
