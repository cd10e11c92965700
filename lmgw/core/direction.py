"""Which way a request goes before anything is tried: its profile, its mode, and the first choice of tier."""

from __future__ import annotations

import msgspec

from lmgw.config.snapshot import Mode, Profile, Tier
from lmgw.core import rules
from lmgw.core.ask import Ask
from lmgw.core.candidates import Course, Health, no_key
from lmgw.core.classify import Label, question
from lmgw.core.fit import PromptSize
from lmgw.core.identity import Identity
from lmgw.core.names import forbidden, unknown_model
from lmgw.core.prompts import NO_BACKEND, system_text
from lmgw.core.routes import NAMED, Choice, ProfileRoutes, Routes, choice
from lmgw.core.steps import Reply
from lmgw.core.trace import Trace
from lmgw.errors import Forbidden, UnknownModel

#: The value of ``X-LMG-Fallback`` where the model named is nobody's.
UNKNOWN_MODEL = "unknown-model"
#: The usual mode; as an attribute of an Enum it takes as long as a call.
_DISPATCH = Mode.DISPATCH


class Question(msgspec.Struct, frozen=True):
    """The classifier must say first what this text is; ask the tiers in order until one does."""

    text: str
    profile: Profile
    tiers: tuple[Tier, ...]


Where = Course | Reply | Question


class Direction(msgspec.Struct):
    """Leads one request from its model hint to a :class:`~lmgw.core.candidates.Course`, or to a fixed reply.

    :ivar here: the profile that decides now; rules may lead on to another.
    :ivar judged: answers are judged, and insufficient ones go up the ladder.
    :ivar think: thinking on by label; ``None`` leaves it to the tier.
    """

    _routes: Routes
    _identity: Identity
    _ask: Ask
    _health: Health
    _size: PromptSize
    _trace: Trace
    here: ProfileRoutes
    judged: bool = False
    think: bool | None = None
    _label: Label | None = None

    @property
    def system(self) -> str | None:
        """What goes before the client's system text: the prompts of the profile that decided."""
        if self._ask.operation != "chat":
            return None
        label = self._trace.label
        return self.here.system if label is None else system_text(self.here.profile, label)

    def start(self) -> Where:
        """Find the profile and what its mode makes of the model hint.

        Raises :class:`~lmgw.errors.UnknownModel` and :class:`~lmgw.errors.Forbidden`.
        """
        hint = self._ask.model
        found = self._routes.names.find(hint) if hint else None
        if isinstance(found, Profile):
            may_name = self._identity.may_name
            if may_name is not None and found.name not in may_name:
                raise forbidden("profile", found.name, self._routes.config, self._identity)
            self.here = self._routes.profiles[found.name]
            found = None
            hint = None
        self._trace.profiles.append(self.here.name)
        if self._ask.operation == "chat":
            self._trace.mode = self.here.profile.mode  # of a request that is refused now, too
        if found is not None:
            self._check_named(found)
        elif hint:
            self._fall_back(hint)
        if self._ask.operation != "chat":
            return self._modeless(found)
        return self._enter(found)

    def labelled(self, label: Label) -> Where:
        """Follow the classifier's label: the first rule that matches, else the ladder's tier of that name."""
        self._label = label
        self._trace.label = label.class_of(self.here.profile.class_prompts)
        self.think = True if label.think else None
        for rule in rules.matching(self.here.profile.rules, label):
            if rule.to_profile:
                if rule.route_to not in self._trace.profiles:
                    return self._lead_on(rule.route_to)
            elif self._identity.may_use(rule.route_to):
                tier = self._routes.tiers[rule.route_to]
                return self._land(tier, f'a rule for label "{label.written}"')
            else:
                self._trace.skipped(
                    self._routes.tiers[rule.route_to], "a rule names it, the caller's key may not use it"
                )
        ladder = self._ladder()
        return self._land(ladder[rules.rung(ladder, label)], f'label "{label.written}"')

    def unlabelled(self) -> Course:
        """No classifier gave a label: the ladder's first tier."""
        self._label = self._trace.label = self.think = None
        return self._land(self._ladder()[0], "the classifier gave no label")

    def _check_named(self, tier: Tier) -> None:
        """Raise :class:`~lmgw.errors.Forbidden` for a tier that this caller may not name, or not without the flag."""
        if not self._identity.may_ask_for(tier.name):
            raise forbidden("tier", tier.name, self._routes.config, self._identity)
        flag_missing = self.here.profile.expert_requires_flag and not self._ask.expert
        if flag_missing and tier.name not in self.here.rungs:
            raise Forbidden(
                f"{tier.name} is above {self.here.profile.max_auto_tier}, the most capable tier that profile "
                f'"{self.here.name}" gives by itself: send the header X-LMG-Expert: true to use it'
            )

    def _fall_back(self, hint: str) -> None:
        """Let the profile decide about a name that is nobody's, or raise :class:`~lmgw.errors.UnknownModel`."""
        if self._ask.operation == "embeddings" or self.here.profile.unknown_model == "reject":
            raise unknown_model(hint, self._routes.config, self._identity)
        self._trace.fallback = UNKNOWN_MODEL

    def _modeless(self, named: Tier | None) -> Course:
        """Completions, embeddings, count_tokens: the tier that was named, else (not for embeddings) the profile's."""
        match self._ask.operation:
            case "embeddings":  # vectors of another model would be worthless: no failover
                if named is None:
                    raise unknown_model(self._ask.model, self._routes.config, self._identity)
                return self._course(Choice(named, NAMED, (), explicit=True, sized=False))
            case "count_tokens":
                found = self.here.dispatch[named.name] if named else self._default()
                return self._begin(found.tier, found.why, sized=False, explicit=True)
            case _:
                return self._dispatch(named)

    def _enter(self, named: Tier | None) -> Where:
        """Do as the profile's mode says."""
        profile = self.here.profile
        self._trace.mode = mode = profile.mode
        if mode is _DISPATCH:
            return self._dispatch(named)
        match mode:
            case Mode.ESCALATE:
                return self._escalate(named)
            case Mode.CLASSIFY:
                return self._classify(named)
            case _:
                return Reply(profile.reply_message or NO_BACKEND)

    def _dispatch(self, named: Tier | None) -> Course:
        return self._course(self.here.dispatch[named.name] if named is not None else self._default())

    def _escalate(self, named: Tier | None) -> Course:
        if named is not None and named.name not in self.here.rungs:
            return self._begin(named, f"{NAMED}, above the ladder", explicit=True)
        self.judged = True
        if named is None:
            ladder = self._ladder()
            return self._begin(ladder[0], "the ladder starts here", ladder, climbs=True, grows=True)
        return self._begin(named, f"{NAMED}: the ladder starts here", self._from(named), climbs=True, grows=True)

    def _classify(self, named: Tier | None) -> Course | Question:
        if named is not None:
            ladder = self._from(named)
            return self._begin(named, NAMED, ladder, climbs=True, grows=bool(ladder), explicit=True)
        profile = self.here.profile
        text = (
            None if profile.classifier_context == 0 else question(self._size.prompt.turns, profile.classifier_context)
        )
        if text is not None:
            return Question(text, profile, self.here.classifiers)
        self._label = self._trace.label = self.think = None
        tier = self.here.classifier
        if tier is None or not self._identity.may_use(tier.name):
            tier = self._ladder()[0]
        return self._land(tier, "there is nothing to classify")

    def _lead_on(self, name: str) -> Where:
        """A rule leads to another profile, whose own mode, prompts and rules count from here on."""
        self.here = self._routes.profiles[name]
        self._trace.profiles.append(name)
        if self._label is not None:
            self._trace.label = self._label.class_of(self.here.profile.class_prompts)
        return self._enter(None)

    def _land(self, tier: Tier, why: str) -> Course:
        """Begin with the tier that the label, a rule or the lack of both means; one off the ladder is kept."""
        ladder = self._usable()
        if self._size.prompt.tool_result and len(ladder) > 1 and tier.name == ladder[0].name:
            tier, why = ladder[1], f"{why}; with a tool's result never the first of the ladder"
        on_ladder = tier.name in self.here.rungs
        return self._begin(tier, why, ladder, climbs=True, grows=on_ladder, kept=not on_ladder)

    def _default(self) -> Choice:
        """Return what the profile gives where nobody names a tier."""
        default = self.here.default
        if default is None:
            raise UnknownModel(
                f'Profile "{self.here.name}" answers by itself: there is no model behind it', param="model"
            )
        if not self._identity.may_use(default.tier.name):
            raise forbidden("tier", default.tier.name, self._routes.config, self._identity)
        return default

    def _usable(self) -> tuple[Tier, ...]:
        """Return the tiers of the ladder that this caller may use and that have their backend's key."""
        usable = []
        for tier in self.here.ladder:
            if not self._identity.may_use(tier.name):
                self._trace.skipped(tier, "the caller's key may not use it")
            elif self._health.key_missing(tier.backend):
                self._trace.skipped(tier, "its backend's key is not set")
            else:
                usable.append(tier)
        return tuple(usable)

    def _from(self, tier: Tier) -> tuple[Tier, ...]:
        """Return the same from a tier on; nothing for one above the ladder."""
        return self.here.from_rung(tier, self._usable()) if tier.name in self.here.rungs else ()

    def _ladder(self) -> tuple[Tier, ...]:
        """Return the usable ladder where there must be one.

        Raises :class:`~lmgw.errors.Forbidden` or :class:`~lmgw.errors.Unavailable`.
        """
        usable = self._usable()
        if usable:
            return usable
        allowed = [tier for tier in self.here.ladder if self._identity.may_use(tier.name)]
        if allowed:
            raise no_key(allowed[0])
        raise forbidden("profile", self.here.name, self._routes.config, self._identity)

    def _begin(self, tier: Tier, why: str, ladder: tuple[Tier, ...] = (), **how: bool) -> Course:
        return self._course(choice(tier, why, self._routes.failover, ladder, **how))

    def _course(self, begins: Choice) -> Course:
        return Course(
            self._routes,
            self._identity,
            self._health,
            self._trace,
            self._size,
            begins,
            begins.tier,
            begins.rung,
            begins.failover,
        )
