"""What went wrong at a provider: as a fault that the plan can judge, and as words for the operator."""

from __future__ import annotations

from twisted.logger import Logger

from lmgw.core.retry import Verdict, retry_after_s
from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import GatewayError, UpstreamFailed
from lmgw.gateway.headers import inbound
from lmgw.gateway.runtime import Lane
from lmgw.upstream.exchange import Head

log = Logger()


def refused(head: Head, error: GatewayError, lane: Lane, epoch_s: float, *, native: bool) -> Fault:
    """Return the fault of an answer with this head and error; its rate-limit headers go back with it."""
    if head.status < 400:
        error = UpstreamFailed(f"the provider answered with a redirect ({head.status}); redirects are never followed")
    passed = inbound(head, native=native)
    error.headers += tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in passed)
    return Fault(
        FaultKind.STATUS,
        error,
        status=head.status,
        retry_after_s=retry_after_s(head.get(b"retry-after"), head.get(b"retry-after-ms"), epoch_s),
        detail=f'backend "{lane.backend.name}" answered {head.status}: {error.message}',
    )


def report(lane: Lane, fault: Fault, verdict: Verdict, request_id: str) -> None:
    """Tell the operator of a failed attempt: as a warning where the provider or its key is to blame."""
    backend = lane.backend
    words = fault.detail or f"{lane.tier.name}: {fault.error.message}"
    if verdict.trips and backend.api_key_env is not None:
        log.warn(
            'backend "{backend}" refuses {variable} ({status}): {words} (request {id})',
            backend=backend.name,
            variable=backend.api_key_env,
            status=fault.status,
            words=fault.error.message,
            id=request_id,
        )
    elif verdict.circuit is not None:
        log.warn("{words} (request {id})", words=words, id=request_id)
    else:
        log.debug("{words} (request {id})", words=words, id=request_id)
