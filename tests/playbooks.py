"""Playbooks for routing: a configuration in one line, a session, and its steps as words.

``play(config, "local:fast", status(503), text("hello"), ended())`` plays a request through and returns what the session
said: ``["try local:fast", "try cloud:big", "commit", "done"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lmgw.config.snapshot import Backend, Client, Config, Gateway, Mode, Profile, Rule, Tier
from lmgw.core.ask import Prompt, Supposed, Turn
from lmgw.core.identity import Identity
from lmgw.core.plan import RouteSession
from lmgw.core.routes import Routes
from lmgw.core.steps import (
    Admitted,
    Attempt,
    Classify,
    Commit,
    Done,
    Dropped,
    Ended,
    Event,
    Fail,
    Failed,
    Fault,
    FaultKind,
    Labelled,
    Measure,
    Measured,
    Outcome,
    Overflowed,
    Reject,
    Reply,
    Sleep,
    Slept,
    Step,
    Wait,
)
from lmgw.errors import GatewayError, UpstreamFailed, UpstreamTimeout
from lmgw.wire.progress import Progress

ANYBODY = Identity(None, "default", None, None, "", False)
HELLO = Prompt(turns=(Turn("user", "hello"),), texts=("hello",), messages=1)

# --- configurations ------------------------------------------------------------------------------------------------


def tier(name: str, **fields: Any) -> Tier:
    """A tier on the backend named like its location: ``local:fast`` is on ``local``."""
    defaults = {"backend": name.partition(":")[0], "model": f"model-of-{name}", "queue_id": name}
    return Tier(name=name, **defaults | fields)


def profile(name: str = "default", mode: str = "dispatch", **fields: Any) -> Profile:
    """A profile; its classifier is the first tier, its ladder all of them unless ``max_auto_tier`` is given."""
    unknown = "reject" if mode == "dispatch" else "fallback"
    return Profile(name, **{"mode": Mode(mode), "unknown_model": unknown} | fields)


def config(
    tiers: Iterable[Tier | str],
    *profiles: Profile,
    aliases: Mapping[str, str] | None = None,
    clients: tuple[Client, ...] = (),
    gateway: Gateway | None = None,
    backends: Mapping[str, Backend] | None = None,
) -> Config:
    """What the loader would make of it."""
    made = [tier(t) if isinstance(t, str) else t for t in tiers]
    by_name = {t.name: replace(t, index=n) for n, t in enumerate(made)}
    names = list(by_name)
    aliases = aliases or {}
    patterns = sorted(((a, t) for a, t in aliases.items() if "*" in a), key=lambda pair: -len(pair[0]))
    return Config(
        gateway=gateway or Gateway(),
        backends={t.backend: Backend(t.backend, base_url="http://x") for t in made} | dict(backends or {}),
        tiers=by_name,
        aliases={a: t for a, t in aliases.items() if "*" not in a},
        alias_patterns=tuple(patterns),
        profiles={p.name: _resolved(p, names) for p in (profiles or (profile(),))},
        clients=clients,
        auth_required=bool(clients),
    )


def _resolved(made: Profile, names: list[str]) -> Profile:
    last = made.max_auto_tier or (names[-1] if names else None)
    return replace(
        made,
        classifier=made.classifier or (names[0] if made.mode is not Mode.REPLY else None),
        max_auto_tier=last,
        ladder=tuple(names[: names.index(last) + 1]) if last else (),
        ladder_written=made.max_auto_tier is not None,
        rules=tuple(sorted(made.rules, key=lambda rule: -rule.priority)),
    )


def rule(target: str, /, priority: int = 0, to_profile: bool = False, **when: str) -> Rule:
    """``rule("cloud:big", **{"class": "code"})``"""
    return Rule(when, target, to_profile, priority)


class Conditions:
    """The circuits and keys a playbook wants: tiers that are open until a time, backends without a key."""

    def __init__(self, open: Mapping[str, float] | None = None, keyless: Iterable[str] = ()) -> None:
        self.open = dict(open or {})
        self.keyless = frozenset(keyless)

    def available(self, tier: Tier, now: float) -> bool:
        return tier.backend not in self.keyless and now >= self.open.get(tier.name, 0.0)

    def open_until(self, tier: Tier) -> float | None:
        return self.open.get(tier.name)

    def key_missing(self, backend: str) -> bool:
        return backend in self.keyless


# --- outcomes ------------------------------------------------------------------------------------------------------

ADMITTED, OVERFLOWED, SLEPT, DROPPED = Admitted(), Overflowed(), Slept(), Dropped()


def labelled(answer: str) -> Labelled:
    """The classifier answered."""
    return Labelled(answer)


def measured(tokens: int) -> Measured:
    """The prompt was counted."""
    return Measured(tokens)


def text(said: str, **progress: Any) -> Event:
    """Text has come, and more may."""
    return Event(Progress(content=True, text=said, **progress))


def ended(said: str = "fine", finish: Any = "stop", **progress: Any) -> Ended:
    """The answer is complete."""
    return Ended(Progress(**{"content": bool(said), "text": said, "finish": finish} | progress))


def status(code: int, message: str = "no", *, after: float | None = None, error_code: str | None = None) -> Failed:
    """The upstream answered with this status."""
    error = UpstreamFailed(message, status=code, code=error_code)
    return Failed(Fault(FaultKind.STATUS, error, status=code, retry_after_s=after))


def fault(kind: FaultKind, error: GatewayError | None = None, **fields: Any) -> Failed:
    """The attempt failed in this way."""
    timeout = kind in (FaultKind.TIMEOUT, FaultKind.DEADLINE)
    return Failed(Fault(kind, error or (UpstreamTimeout("late") if timeout else UpstreamFailed("broken")), **fields))


# --- playing -------------------------------------------------------------------------------------------------------


def said(step: Step | None) -> str:
    """A step in words."""
    match step:
        case None:
            return "go on"
        case Attempt():
            marks = [" held" * step.hold, " thinking" * bool(step.think), " fresh" * step.fresh]
            return f"try {step.tier.name}" + "".join(marks)
        case Wait():
            return f"wait {step.tier.name}"
        case Classify():
            return f"classify {step.tier.name}"
        case Sleep():
            return f"sleep {step.seconds:g}"
        case Reply():
            return f"reply {step.error.status}" if step.error else "reply"
        case Fail():
            return f"fail {step.error.status}"
        case Measure() | Commit() | Reject() | Done():
            return type(step).__name__.lower()


class Playbook:
    """One session at one time of one configuration; ``steps`` are all that it said."""

    def __init__(
        self,
        config: Config,
        model: str | None = None,
        *,
        identity: Identity = ANYBODY,
        health: Conditions | None = None,
        prompt: Prompt | Callable[[], Prompt] = HELLO,
        size: int = 100,
        images: bool = False,
        now: float = 0.0,
        **ask: Any,
    ) -> None:
        self.now = now
        self.ask = Supposed(
            model, prompt if callable(prompt) else lambda: prompt, size, lambda: images, **{"stream": True} | ask
        )
        self.health = health or Conditions()
        self.session = RouteSession(Routes(config), identity, self.ask, self.health, lambda: 1.0)
        self.trace = self.session.trace
        self.step: Step = self.session.start(now)
        self.steps: list[Step | None] = [self.step]

    def feed(self, *outcomes: Outcome) -> Playbook:
        for outcome in outcomes:
            step = self.session.feed(outcome, self.now)
            self.steps.append(step)
            self.step = step or self.step
        return self

    @property
    def said(self) -> list[str]:
        return [said(step) for step in self.steps]

    @property
    def headers(self) -> dict[str, str]:
        """The routing headers without their prefix."""
        lines = self.trace.lines().decode().splitlines()
        return dict(line.removeprefix("X-LMG-").split(": ", 1) for line in lines)

    @property
    def error(self) -> GatewayError:
        assert isinstance(self.step, Fail), self.step
        return self.step.error


def play(config: Config, model: str | None = None, /, *outcomes: Outcome, **how: Any) -> list[str]:
    """Play a request through and return what the session said."""
    return Playbook(config, model, **how).feed(*outcomes).said
