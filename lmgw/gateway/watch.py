"""Watches the backends: counts what came of each attempt, warns of what an operator must act on, notices circuits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from twisted.logger import Logger

from lmgw.config.snapshot import Config
from lmgw.core.retry import Verdict
from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import KeyRefused
from lmgw.gateway.runtime import Lane
from lmgw.state.circuits import Circuits

#: Seconds in which one kind of trouble of one backend is told once.
QUIET_S = 60.0

#: Seconds after which a failure is no trouble any more if nothing has been asked since and nothing is kept away.
STALE_S = 600.0

#: What may come of an attempt, for metrics: a closed set.
ATTEMPT_OUTCOMES = (
    "success",
    "connect",
    "timeout",
    "closed",
    "protocol",
    "stream",
    "key_refused",
    "throttled",
    "client_error",
    "server_error",
    "abandoned",
)
_BY_KIND = {
    FaultKind.CONNECT: "connect",
    FaultKind.TIMEOUT: "timeout",
    FaultKind.CLOSED: "closed",
    FaultKind.PROTOCOL: "protocol",
    FaultKind.STREAM: "stream",
}
_THROTTLED = (429, 529)

log = Logger()

Changed = Callable[[str, str], None]


class Trouble(msgspec.Struct):
    """A backend or tier that fails, since ``since`` (seconds since the epoch) without a success in between.

    :ivar last: when it failed last.
    :ivar scope: ``backend`` or ``tier``, and ``name`` its name.
    :ivar kind: one of :data:`ATTEMPT_OUTCOMES`.
    :ivar words: the last failure, in words for the operator.
    :ivar attempts: how many failed.
    """

    scope: str
    name: str
    backend: str
    since: float
    last: float = 0.0
    kind: str = ""
    status: int = 0
    words: str = ""
    attempts: int = 0


class _Quiet(msgspec.Struct):
    """A warning that was said: until when it is not repeated, and how often it would have been."""

    until: float
    held_back: int = 0


class Watch:
    """What is known of all backends beside their circuits.

    :param now: seconds of the reactor's clock; ``epoch_s`` are those since 1970.
    :param changed: told of each circuit that opens or closes: ``circuit``, and a sentence.
    :ivar outcomes: attempts by backend and outcome, since start.
    :ivar troubles: what fails now, by scope and name.
    """

    def __init__(
        self, circuits: Circuits, now: Callable[[], float], epoch_s: Callable[[], float], changed: Changed
    ) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.troubles: dict[tuple[str, str], Trouble] = {}
        self._circuits = circuits
        self._now = now
        self._epoch_s = epoch_s
        self._changed = changed
        self._open: set[tuple[str, str]] = set()
        self._quiet: dict[tuple[str, str], _Quiet] = {}
        self._started = epoch_s()

    def adopt(self, config: Config) -> None:
        """Take a configuration: forget the names that are gone."""
        known = {("backend", name) for name in config.backends} | {("tier", name) for name in config.tiers}
        self.troubles = {key: trouble for key, trouble in self.troubles.items() if key in known}
        self._open &= known
        self._quiet = {key: quiet for key, quiet in self._quiet.items() if ("backend", key[0]) in known}

    # --- attempts ----------------------------------------------------------------------------------------------------

    def succeeded(self, lane: Lane) -> None:
        """The provider answered as it should."""
        backend = lane.tier.backend
        self.outcomes[backend, "success"] += 1
        if self.troubles:
            self.troubles.pop(("backend", backend), None)
            self.troubles.pop(("tier", lane.tier.name), None)
        if self._open:
            self._look(lane)

    def abandoned(self, lane: Lane) -> None:
        """The attempt was broken off: its client left, its time was used up, or the gateway stops."""
        self.outcomes[lane.tier.backend, "abandoned"] += 1

    def failed(self, lane: Lane, fault: Fault, verdict: Verdict, request_id: str) -> None:
        """The attempt failed; the circuits have been told already."""
        if fault.reused:  # a kept connection had been closed: this was no try at all
            return
        kind = _outcome(fault, verdict)
        self.outcomes[lane.tier.backend, kind] += 1
        if verdict.circuit is None:
            log.debug("{words} (request {id})", words=_said(lane, fault), id=request_id)
            return
        words = self._words(lane, fault, kind)
        name = lane.tier.name if verdict.circuit == "tier" else lane.tier.backend
        trouble = self.troubles.get((verdict.circuit, name))
        if trouble is None:
            trouble = Trouble(verdict.circuit, name, lane.tier.backend, since=self._epoch_s())
            self.troubles[verdict.circuit, name] = trouble
        trouble.kind, trouble.status, trouble.words = kind, fault.status, words
        trouble.last = self._epoch_s()
        trouble.attempts += 1
        self._warn(lane.tier.backend, kind, words, request_id)
        self._look(lane)

    def _words(self, lane: Lane, fault: Fault, kind: str) -> str:
        backend = lane.backend
        if kind != "key_refused" or backend.api_key_env is None:
            return _said(lane, fault)
        age = _ago(self._epoch_s() - self._started)
        return (
            f'backend "{backend.name}" refused {backend.api_key_env} ({fault.status}): {fault.error.message}; '
            f"the key was read at start, {age} ago: a new one needs a restart"
        )

    def _warn(self, backend: str, kind: str, words: str, request_id: str) -> None:
        """Say it, unless the like of it was said within the last minute."""
        now = self._now()
        quiet = self._quiet.get((backend, kind))
        if quiet is not None and now < quiet.until:
            quiet.held_back += 1
            return
        more = quiet.held_back if quiet is not None else 0
        self._quiet[backend, kind] = _Quiet(now + QUIET_S)
        log.warn(
            "{words} (request {id}{more})",
            words=words,
            id=request_id,
            more=f"; {more} more since this was last said" if more else "",
            backend=backend,
            kind=kind,
            held_back=more,
        )

    # --- circuits ----------------------------------------------------------------------------------------------------

    def _look(self, lane: Lane) -> None:
        """Notice a circuit in front of this tier that has opened or closed."""
        for scope, name in (("backend", lane.tier.backend), ("tier", lane.tier.name)):
            circuit = self._circuits.backend(name) if scope == "backend" else self._circuits.tier(name)
            if circuit.is_open == ((scope, name) in self._open):
                continue
            if circuit.is_open:
                self._open.add((scope, name))
                wait_s = max((circuit.open_until or 0.0) - self._now(), 0.0)
                words = f'circuit of {scope} "{name}" opened: {circuit.reason}; tried again in {wait_s:.0f} s'
                log.warn("{words}", words=words)
            else:
                self._open.remove((scope, name))
                words = f'circuit of {scope} "{name}" closed: it answers again'
                log.info("{words}", words=words)
            self._changed("circuit", words)

    # --- for the admin side ------------------------------------------------------------------------------------------

    def figures(self) -> list[dict[str, Any]]:
        """Return the troubles, JSON-ready, each with a sentence: whole backends before single tiers."""
        recent = self._epoch_s() - STALE_S
        lasting = [
            each for each in self.troubles.values() if each.last >= recent or (each.scope, each.name) in self._open
        ]
        ordered = sorted(lasting, key=lambda trouble: (trouble.scope, -trouble.attempts))
        return [msgspec.structs.asdict(trouble) | {"sentence": _sentence(trouble)} for trouble in ordered]


def _outcome(fault: Fault, verdict: Verdict) -> str:
    if isinstance(verdict.error, KeyRefused):
        return "key_refused"
    if fault.kind is not FaultKind.STATUS:
        return _BY_KIND.get(fault.kind, "abandoned")
    if fault.status in _THROTTLED:
        return "throttled"
    return "client_error" if 400 <= fault.status < 500 else "server_error"


def _said(lane: Lane, fault: Fault) -> str:
    return fault.detail or f"{lane.tier.name}: {fault.error.message}"


def _sentence(trouble: Trouble) -> str:
    counted = "1 attempt failed" if trouble.attempts == 1 else f"{trouble.attempts:,} attempts failed"
    return f"{trouble.words}; since {datetime.fromtimestamp(trouble.since):%H:%M}, {counted}"


def _ago(seconds: float) -> str:
    """Return a time that has passed in the unit that a person would use."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
