"""Reasoning in OpenAI's dialect, which has no field for it: the names that servers and gateways have given it.

``reasoning_content`` (DeepSeek, llama.cpp), ``reasoning`` (vLLM, OpenRouter, Ollama), ``reasoning_details``
(OpenRouter, with Anthropic's signatures) and ``thinking_blocks`` (LiteLLM). All are read, the first that holds
something counts; ``reasoning_content`` is written, and ``reasoning_details`` besides it only where there is a proof to
give back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmgw.wire.events import Thinking

#: The name under ``format`` of reasoning that Anthropic signed, as OpenRouter has it.
ANTHROPIC_FORMAT = "anthropic-claude-v1"


def thoughts(message: Mapping[str, Any]) -> list[Thinking]:
    """Read a message's reasoning; what cannot be understood is left out: no model needs it to go on."""
    for key, read in (("reasoning_details", detail), ("thinking_blocks", _block)):
        entries = message.get(key)
        if isinstance(entries, list):
            parts = [part for entry in entries if isinstance(entry, dict) and (part := read(entry)) is not None]
            if parts:
                return parts
    text = message.get("reasoning_content") or message.get("reasoning")
    return [Thinking(text)] if text and isinstance(text, str) else []


def detail(entry: Mapping[str, Any]) -> Thinking | None:
    """Read one of OpenRouter's ``reasoning_details``; only Anthropic's proofs are worth anything to anybody here."""
    text = entry.get("text") or entry.get("summary")
    if not str(entry.get("format") or "anthropic").startswith("anthropic"):
        return _thought(text, None, None)
    return _thought(text, entry.get("signature"), entry.get("data"))


def render_detail(signature: str | None, redacted: str | None, text: str, index: int) -> dict[str, Any]:
    """Write one block of reasoning so that a client can send it back with its proof."""
    if redacted is not None:
        return {"type": "reasoning.encrypted", "data": redacted, "format": ANTHROPIC_FORMAT, "index": index}
    return {
        "type": "reasoning.text",
        "text": text,
        "signature": signature,
        "format": ANTHROPIC_FORMAT,
        "index": index,
    }


def _block(entry: Mapping[str, Any]) -> Thinking | None:
    return _thought(entry.get("thinking"), entry.get("signature"), entry.get("data"))


def _thought(text: Any, signature: Any, redacted: Any) -> Thinking | None:
    thought = Thinking(
        text if isinstance(text, str) else "",
        signature if isinstance(signature, str) and signature else None,
        redacted if isinstance(redacted, str) and redacted else None,
    )
    return thought if thought.text or thought.signature or thought.redacted else None
