"""How an Anthropic model is told to think, or not to.

Models up to 4.5 take a budget of tokens, later ones an effort (platform.claude.com, "Thinking"). Which of them a model
takes, and which efforts, is in its :class:`~lmgw.config.snapshot.Capabilities`; the budgets are the gateway's own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lmgw.config.snapshot import Capabilities
from lmgw.wire.events import Reasoning

#: Tokens of thinking for each effort, for models that take a budget.
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_LEAST_BUDGET = 1024
_DISABLED = {"thinking": {"type": "disabled"}}


class Thinking(msgspec.Struct, frozen=True):
    """What a request says of thinking.

    :ivar fields: top-level fields of the body.
    :ivar effort: ``output_config.effort``.
    :ivar on: the model thinks because it was told to: sampling may not be changed.
    :ivar lost: the caller wanted thinking and does not get it.
    """

    fields: dict[str, Any] = {}
    effort: str | None = None
    on: bool = False
    lost: bool = False


def thinking(
    reasoning: Reasoning | None, capabilities: Capabilities, max_tokens: int, *, forced: bool, unsigned_calls: bool
) -> Thinking:
    """Decide how a model is told to think.

    :param forced: a tool must be called: the API refuses to think first.
    :param unsigned_calls: the conversation ends in tool calls whose thinking is not known: a model that thinks by
        budget refuses to go on thinking from there.
    """
    if reasoning is None:
        return Thinking()
    wanted = reasoning.enabled and reasoning.effort != "none"
    match capabilities.thinking:
        case "adaptive" if wanted and (not forced or capabilities.thinking_always_on):
            shown = {"thinking": {"type": "adaptive", "display": "summarized"}}
            return Thinking(shown, _effort(reasoning, capabilities), on=True)
        case "adaptive" if capabilities.thinking_always_on:
            return Thinking(effort="low" if "low" in capabilities.efforts else None)
        case "adaptive":
            return Thinking(_DISABLED, lost=wanted)
        case "budget" if wanted and not forced and not unsigned_calls and max_tokens > _LEAST_BUDGET:
            return Thinking({"thinking": {"type": "enabled", "budget_tokens": _budget(reasoning, max_tokens)}}, on=True)
        case _:
            return Thinking(lost=wanted)


def _effort(reasoning: Reasoning, capabilities: Capabilities) -> str | None:
    """Return the nearest effort that the model takes; ``None`` leaves it to the model, whose default is high."""
    match reasoning:
        case Reasoning(effort="minimal" | "low"):
            return "low"
        case Reasoning(effort="xhigh" | "max" as word):
            return word if word in capabilities.efforts else "high"
        case Reasoning(effort=str(word)):
            return word
        case Reasoning(budget_tokens=int(budget)):
            return "low" if budget < 4096 else "medium" if budget < 16384 else "high"
        case Reasoning(adaptive=True):
            return None
        case _:
            return "medium"


def _budget(reasoning: Reasoning, max_tokens: int) -> int:
    if reasoning.budget_tokens is not None:
        return max(_LEAST_BUDGET, min(reasoning.budget_tokens, max_tokens - 1))
    return max(_LEAST_BUDGET, min(_BUDGETS[reasoning.effort or "medium"], max_tokens // 2))
