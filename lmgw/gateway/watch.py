"""Watches the backends: counts what came of each attempt, warns of what an operator must act on, notices circuits."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from twisted.logger import Logger

from lmgw.config.snapshot import Config, Tier
from lmgw.core.candidates import CIRCUIT_OPEN
from lmgw.core.record import WORDS_KEPT
from lmgw.core.retry import Verdict
from lmgw.core.steps import Fault, FaultKind
from lmgw.core.trace import Trace
from lmgw.errors import KeyRefused
from lmgw.gateway.runtime import Lane
from lmgw.state.circuits import Circuits

#: Seconds in which one kind of trouble of one backend is told once.
QUIET_S = 60.0

#: Seconds after which a failure is no trouble any more if nothing has been asked since and nothing is kept away.
STALE_S = 600.0

#: Ids of requests that are remembered with a trouble, so that those which try again are counted once.
RECENT = 100

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
#: What somebody does who fails in this way; ``key_refused`` names the key, and ``server_error`` the status.
_DOES = {
    "connect": "cannot be reached",
    "timeout": "does not answer in time",
    "closed": "breaks connections off",
    "protocol": "sends what cannot be read",
    "stream": "breaks answers off with an error",
    "throttled": "limits the rate of requests",
    "client_error": "refuses requests",
}

log = Logger()

Changed = Callable[[str, str], None]


class Trouble(msgspec.Struct):
    """A backend or tier that fails, since ``since`` (seconds since the epoch) without a success in between.

    :ivar last: when it failed last.
    :ivar scope: ``backend`` or ``tier``, and ``name`` its name.
    :ivar kind: one of :data:`ATTEMPT_OUTCOMES`.
    :ivar brief: what it does, in a few words: ``anthropic refuses ANTHROPIC_API_KEY``.
    :ivar words: the last failure, in words for the operator.
    :ivar attempts: how many failed.
    :ivar requests: how many requests met it: failed there, or were kept away by its circuit.
    :ivar recent: the last of their ids.
    """

    scope: str
    name: str
    backend: str
    since: float
    last: float = 0.0
    kind: str = ""
    status: int = 0
    brief: str = ""
    words: str = ""
    attempts: int = 0
    requests: int = 0
    recent: deque[str] = msgspec.field(default_factory=lambda: deque(maxlen=RECENT))

    def met(self, request_id: str) -> None:
        """Count a request, unless that was done."""
        if request_id not in self.recent:
            self.recent.append(request_id)
            self.requests += 1


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
        self.outcomes: defaultdict[tuple[str, str], int] = defaultdict(int)
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
        trouble.brief = f"{_who(trouble, lane)} {_does(lane, fault, kind)}"
        trouble.last = self._epoch_s()
        trouble.attempts += 1
        trouble.met(request_id)
        self._warn(lane.tier.backend, kind, words, request_id)
        self._look(lane)

    def ended(self, trace: Trace, tiers: Mapping[str, Tier], request_id: str) -> None:
        """A request is over: count it with the troubles that it was kept away from; needed only while there are any."""
        names = {reason.tier for reason in trace.reasons if reason.why == CIRCUIT_OPEN}
        away = {("tier", name) for name in names} | {("backend", tiers[name].backend) for name in names}
        for key in away & self.troubles.keys():
            self.troubles[key].met(request_id)

    def _words(self, lane: Lane, fault: Fault, kind: str) -> str:
        backend = lane.backend
        if kind != "key_refused" or backend.api_key_env is None:
            return _said(lane, fault)
        age = _long(self._epoch_s() - self._started)
        return (
            f'backend "{backend.name}" refused {backend.api_key_env} ({fault.status}): '
            f"{fault.error.message[:WORDS_KEPT]}; "
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
                words = f'circuit of {scope} "{name}" opened: {circuit.reason}; tried again in {_long(wait_s)}'
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
        return [_shown(trouble) for trouble in ordered]


def _outcome(fault: Fault, verdict: Verdict) -> str:
    if isinstance(verdict.error, KeyRefused):
        return "key_refused"
    if fault.kind is not FaultKind.STATUS:
        return _BY_KIND.get(fault.kind, "abandoned")
    if fault.status in _THROTTLED:
        return "throttled"
    return "client_error" if 400 <= fault.status < 500 else "server_error"


def _said(lane: Lane, fault: Fault) -> str:
    return (fault.detail or f"{lane.tier.name}: {fault.error.message}")[:WORDS_KEPT]


def _who(trouble: Trouble, lane: Lane) -> str:
    return trouble.name if trouble.scope == "backend" else f"{trouble.name} on {lane.tier.backend}"


def _does(lane: Lane, fault: Fault, kind: str) -> str:
    """Say what a backend or tier does that fails, to go on from its name."""
    if kind == "key_refused":
        return f"refuses {lane.backend.api_key_env or 'requests without a key'}"
    if kind in ("server_error", "client_error", "throttled") and fault.status:
        return f"answers {fault.status}" if kind == "server_error" else f"{_DOES[kind]} ({fault.status})"
    return _DOES.get(kind, "fails")


def _shown(trouble: Trouble) -> dict[str, Any]:
    shown = msgspec.structs.asdict(trouble) | {"sentence": _sentence(trouble)}
    del shown["recent"]
    return shown


def _sentence(trouble: Trouble) -> str:
    counted = "1 request" if trouble.requests == 1 else f"{trouble.requests:,} requests"
    return f"{trouble.brief} since {datetime.fromtimestamp(trouble.since):%H:%M}, {counted}: {trouble.words}"


def _long(seconds: float) -> str:
    """Return a length of time in the unit that a person would use."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
