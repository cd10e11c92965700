"""Which way a request goes before anything is tried: its profile, its mode, and the first choice of tier."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lmgw.config.snapshot import Mode, Profile, Tier
from lmgw.core import rules
from lmgw.core.ask import Ask, Operation
from lmgw.core.candidates import Health, no_key
from lmgw.core.classify import Label, question
from lmgw.core.fit import PromptSize
from lmgw.core.identity import Identity
from lmgw.core.names import forbidden, unknown_model
from lmgw.core.prompts import NO_BACKEND
from lmgw.core.record import Reason
from lmgw.core.routes import NAMED, Choice, ProfileRoutes, Routes, choice
from lmgw.core.steps import Reply
from lmgw.core.trace import Trace
from lmgw.errors import Forbidden, UnknownModel

#: The value of ``X-LMG-Fallback`` where the model named is nobody's.
UNKNOWN_MODEL = "unknown-model"


class Question(msgspec.Struct, frozen=True):
    """The classifier must say first what this text is; ask the tiers in order until one does."""

    text: str
    profile: Profile
    tiers: tuple[Tier, ...]


Where = Choice | Reply | Question


class Direction(msgspec.Struct):
    """Leads one request from its model hint to the :class:`~lmgw.core.routes.Choice` of a tier, or to a fixed reply.

    :ivar here: the profile that decides now; rules may lead on to another.
    :ivar judged: answers are judged, and insufficient ones go up the ladder.
    :ivar think: thinking on by label; ``None`` leaves it to the tier.
    """

    _routes: Routes
    _identity: Identity
    _ask: Ask
    _health: Health
    _trace: Trace
    here: ProfileRoutes
    judged: bool = False
    think: bool | None = None
    _label: Label | None = None
    _size: PromptSize | None = None

    @property
    def size(self) -> PromptSize:
        """The size of the prompt, which most requests need not know."""
        if self._size is None:
            self._size = PromptSize(self._ask, self._routes.largest_window)
        return self._size

    def start(self) -> Where:
        """Find the profile and what its mode makes of the model hint.

        Raises :class:`~lmgw.errors.UnknownModel` and :class:`~lmgw.errors.Forbidden`.
        """
        ask = self._ask
        hint = ask.model
        found = self._routes.names.find(hint) if hint else None
        if isinstance(found, Profile):
            may_name = self._identity.may_name
            if may_name is not None and found.name not in may_name:
                raise forbidden("profile", found.name, self._routes.config, self._identity)
            self.here = self._routes.profiles[found.name]
            found = None
            hint = None
        self._trace.profiles = self.here.names
        if ask.operation == "chat":
            self._trace.mode = mode = self.here.profile.mode  # of a request that is refused now, too
            begin = MODES[mode]
        else:
            begin = MODELESS[ask.operation]
        if found is not None:
            if not self._identity.may_ask_for(found.name):
                raise forbidden("tier", found.name, self._routes.config, self._identity)
            if found.name in self.here.flagged and not ask.expert:
                raise self._flag_missing(found)
        elif hint:
            self._fall_back(hint)
        return begin(self, found)

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

    def unlabelled(self) -> Choice:
        """No classifier gave a label: the ladder's first tier."""
        self._label = self._trace.label = self.think = None
        return self._land(self._ladder()[0], "the classifier gave no label")

    def _flag_missing(self, tier: Tier) -> Forbidden:
        """Return the 403 for a tier above the ladder that was named without the flag."""
        return Forbidden(
            f"{tier.name} is above {self.here.profile.max_auto_tier}, the most capable tier that profile "
            f'"{self.here.name}" gives by itself: send the header X-LMG-Expert: true to use it'
        )

    def _fall_back(self, hint: str) -> None:
        """Let the profile decide about a name that is nobody's, or raise :class:`~lmgw.errors.UnknownModel`."""
        if self._ask.operation == "embeddings" or self.here.profile.unknown_model == "reject":
            raise unknown_model(hint, self._routes.config, self._identity)
        self._trace.fallback = UNKNOWN_MODEL

    # What each mode, and each operation that has none, makes of the tier that was named:

    def _dispatch(self, named: Tier | None) -> Choice:
        return self.here.dispatch[named.name] if named is not None else self._default()

    def _embed(self, named: Tier | None) -> Choice:
        if named is None:
            raise unknown_model(self._ask.model, self._routes.config, self._identity)
        # Another model's vectors would be worthless: it has no failover list.
        return Choice(named, NAMED, (Reason(named.name, True, NAMED),), (), explicit=True, sized=False)

    def _count(self, named: Tier | None) -> Choice:
        found = self._dispatch(named)
        return self._begin(found.tier, found.why, sized=False, explicit=True)

    def _reply(self, named: Tier | None) -> Reply:
        return Reply(self.here.profile.reply_message or NO_BACKEND)

    def _escalate(self, named: Tier | None) -> Choice:
        if named is not None and named.name not in self.here.rungs:
            return self._begin(named, f"{NAMED}, above the ladder", explicit=True)
        self.judged = True
        if named is None:
            ladder = self._ladder()
            return self._begin(ladder[0], "the ladder starts here", ladder, climbs=True, grows=True)
        return self._begin(named, f"{NAMED}: the ladder starts here", self._from(named), climbs=True, grows=True)

    def _classify(self, named: Tier | None) -> Choice | Question:
        if named is not None:
            ladder = self._from(named)
            return self._begin(named, NAMED, ladder, climbs=True, grows=bool(ladder), explicit=True)
        profile = self.here.profile
        text = None if profile.classifier_context == 0 else question(self.size.prompt.turns, profile.classifier_context)
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
        self._trace.profiles += (name,)
        if self._label is not None:
            self._trace.label = self._label.class_of(self.here.profile.class_prompts)
        self._trace.mode = mode = self.here.profile.mode
        return MODES[mode](self, None)

    def _land(self, tier: Tier, why: str) -> Choice:
        """Begin with the tier that the label, a rule or the lack of both means; one off the ladder is kept."""
        ladder = self._usable()
        if self.size.prompt.tool_result and len(ladder) > 1 and tier.name == ladder[0].name:
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

    def _begin(self, tier: Tier, why: str, ladder: tuple[Tier, ...] = (), **how: bool) -> Choice:
        return choice(tier, why, self._routes.failover, ladder, **how)


#: How a request begins in each mode, given the tier that it named.
MODES: dict[Mode, Callable[[Direction, Tier | None], Where]] = {
    Mode.DISPATCH: Direction._dispatch,
    Mode.ESCALATE: Direction._escalate,
    Mode.CLASSIFY: Direction._classify,
    Mode.REPLY: Direction._reply,
}
#: The same for operations that know no modes: the tier that was named, else (not for embeddings) the profile's.
MODELESS: dict[Operation, Callable[[Direction, Tier | None], Where]] = {
    "completions": Direction._dispatch,
    "embeddings": Direction._embed,
    "count_tokens": Direction._count,
}
