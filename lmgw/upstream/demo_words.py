"""What the demo provider says: about a question, to a classifier's call, and where it is to refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Output tokens of the longest answer that is a label.
LABEL_TOKENS = 16

_REFUSED = "i cannot help"
#: Words that tell how much work an answer is; the first that match count.
_HARD = re.compile(r"\b(prove|proof|find the cause|deadlocks?|trade-?offs|schema for)\b")
_LONG = re.compile(r"\b(story|essay|compare|plan|design|refactor|every|in detail|pages)\b")
_SHORT = re.compile(r"\b(write|draft|summari[sz]e|translate|rewrite|function|command|explain|list)\b")
_PUZZLE = re.compile(r"\b(why|prime|heavier|how many|how long|minutes|calculate)\b|\d\s*[-+*/=]\s*\d")
#: From so many words on a question is no short one any more, and then a long one.
_FEW, _MANY = 16, 80


def is_classification(request: Mapping[str, Any]) -> bool:
    """Whether this is a classifier's call: a system prompt, temperature 0, room for a word or two."""
    messages = request.get("messages")
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    return (
        isinstance(messages, list)
        and len(messages) == 2
        and isinstance(messages[0], dict)
        and messages[0].get("role") == "system"
        and request.get("temperature") == 0
        and isinstance(limit, int)
        and limit <= LABEL_TOKENS
    )


def label(question: str) -> str:
    """Return ``instant``, ``fast`` or ``deep``, perhaps with ``-think``, by the last message's words and length."""
    last = question.rpartition("\nUser: ")[2].lower()
    count = len(last.split())
    if _HARD.search(last):
        return "deep-think"
    if count >= _MANY or _LONG.search(last):
        return "deep"
    size = "fast" if count >= _FEW or _SHORT.search(last) else "instant"
    return f"{size}-think" if _PUZZLE.search(last) else size


def answer(question: str, model: str) -> str:
    """Return what ``model`` says to a question; asked to refuse, only the most capable does not."""
    if not question:
        return "This is the demo model. There was no question, so here is a friendly silence with some words around it."
    if _REFUSED in question.lower():
        if "capable" not in model:
            return f"I cannot help with that, says the demo model {model}. One that is more capable might."
        return (
            f"This is the demo model {model}, and it can. If cheaper ones were asked first, what they said was not "
            "sufficient and never showed: the header X-LMG-Attempts tells how many there were."
        )
    count = len(question.split())
    shown = question if len(question) <= 200 else question[:200] + "…"
    return (
        f"This is the demo model {model}, speaking from inside the gateway. You wrote {count} "
        f'{"word" if count == 1 else "words"}: "{shown}" No provider was called and nothing was spent. '
        "Routing, streaming, limits and metrics are real, though: look at the admin port while this runs. "
        'Try "slow", "fail 503" or "fail break" to see how trouble looks.'
    )
