"""Names and numbers of Anthropic's Messages API that requests, answers and streams share."""

from __future__ import annotations

from typing import Any

import msgspec

from lmgw.wire.events import FinishReason, Usage

MESSAGES_PATH = "/messages"
COUNT_TOKENS_PATH = "/messages/count_tokens"
#: The version of the API that requests of other dialects are written for.
VERSION = (b"anthropic-version", b"2023-06-01")

#: The signature of reasoning that no Anthropic model made: clients need one, and no real one holds a colon.
UNSIGNED = "lmgw:unsigned"

_FINISHES: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def finish_reason(stop_reason: str | None, called: bool) -> FinishReason:
    """Return the neutral word for ``stop_reason``; ``called``: the answer holds a tool call."""
    reason = _FINISHES.get(stop_reason or "", "stop")
    return "tool_calls" if called and reason == "stop" else reason


def stop_reason(finish: FinishReason, stop_sequence: str | None, called: bool) -> str:
    """Return Anthropic's word for ``finish``."""
    if finish == "stop" and called:
        return "tool_use"
    if finish == "stop" and stop_sequence is not None:
        return "stop_sequence"
    return _STOP_REASONS[finish]


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: int | float | None = None


class Counts(msgspec.Struct, gc=False):
    """``usage`` as it comes: in a stream the counts are cumulative, and what a later one leaves out still holds."""

    input_tokens: int | float | None = None
    output_tokens: int | float | None = None
    cache_read_input_tokens: int | float | None = None
    cache_creation_input_tokens: int | float | None = None
    output_tokens_details: _OutputDetails | None = None

    def usage(self, before: Usage | None = None) -> Usage:
        """Return the neutral counts; ``before`` is what was known until now."""
        old = before or Usage()
        details = self.output_tokens_details
        return Usage(
            input=_last(old.input, self.input_tokens),
            output=_last(old.output, self.output_tokens),
            cache_read=_last(old.cache_read, self.cache_read_input_tokens),
            cache_write=_last(old.cache_write, self.cache_creation_input_tokens),
            reasoning=_last(old.reasoning, None if details is None else details.thinking_tokens),
        )


def _last(old: int, new: int | float | None) -> int:
    return old if new is None else int(new)


def render_usage(usage: Usage | None) -> dict[str, Any]:
    """Write ``usage``: SDKs break off where it is missing, so unknown counts are zeros."""
    usage = usage or Usage()
    counts: dict[str, Any] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counts
