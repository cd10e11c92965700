"""Asking the classifiers of a profile, one after the other, until one gives a label."""

from __future__ import annotations

from lmgw.config.snapshot import Profile, Provider, Tier
from lmgw.core.candidates import Health
from lmgw.core.direction import Question
from lmgw.core.prompts import CLASSIFIER_PROMPT
from lmgw.core.routes import Routes
from lmgw.core.steps import Classify, Wait
from lmgw.core.trace import Trace

#: Output tokens of a label; OpenRouter passes on to providers that refuse fewer than 16. Thinking needs its own.
LABEL_TOKENS, LABEL_TOKENS_OPENROUTER, THINKING_TOKENS = 10, 16, 1024


class Inquiry:
    """One question and the classifiers that are still to be asked; each is asked at most once."""

    __slots__ = ("_deadline", "_health", "_question", "_routes", "_trace", "_unasked")

    def __init__(self, question: Question, routes: Routes, health: Health, trace: Trace, deadline: float) -> None:
        self._question = question
        self._routes = routes
        self._health = health
        self._trace = trace
        self._deadline = deadline
        self._unasked = list(question.tiers)

    def next(self, now: float) -> Wait | Classify | None:
        """Return the step towards the next classifier that can be asked now; ``None``: there is no other."""
        while self._unasked:
            tier = self._unasked[0]
            if self._health.key_missing(tier.backend):
                self._trace.skipped(tier, "as classifier: its backend's key is not set")
            elif not self._health.available(tier, now):
                self._trace.skipped(tier, "as classifier: its circuit is open after repeated failures")
            elif tier.max_concurrent:
                return Wait(tier, tier.queue_id, self._trace.priority)
            else:
                return self.ask(now)
            del self._unasked[0]
        return None

    def ask(self, now: float) -> Classify:
        """Return the call to the classifier whose turn it is."""
        tier, profile = self._unasked.pop(0), self._question.profile
        return Classify(
            tier,
            profile.classifier_prompt or CLASSIFIER_PROMPT,
            self._question.text,
            think=profile.classifier_think,
            timeout_s=min(profile.classifier_timeout_ms / 1000, self._deadline - now),
            max_tokens=self._tokens(tier, profile),
        )

    def turned_away(self) -> None:
        """The line of the classifier whose turn it is took nobody."""
        del self._unasked[0]

    def _tokens(self, tier: Tier, profile: Profile) -> int:
        openrouter = self._routes.config.backends[tier.backend].provider is Provider.OPENROUTER
        label = LABEL_TOKENS_OPENROUTER if openrouter else LABEL_TOKENS
        return label + THINKING_TOKENS if profile.classifier_think else label
