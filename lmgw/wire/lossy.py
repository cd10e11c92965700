"""What a translation loses, in the words of the caller: in the neutral form fields have mostly OpenAI's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_OLLAMA = {
    "reasoning": "think",
    "response_format": "format",
    **{
        name: f"options.{name}"
        for name in ("temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty", "presence_penalty")
    },
}
_WORDS: Mapping[str, Mapping[str, str]] = {
    "openai": {"reasoning": "reasoning_effort"},
    "anthropic": {
        "reasoning": "thinking",
        "response_format": "output_config.format",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "stop": "stop_sequences",
        "user": "metadata.user_id",
    },
    "ollama": _OLLAMA,
    "ollama_generate": _OLLAMA,
    "responses": {"response_format": "text.format"},
}


def named(caller: str, lossy: Iterable[str]) -> tuple[str, ...]:
    """Return the lost fields by the names that they have in the ``caller``'s dialect."""
    words = _WORDS[caller]
    return tuple(words.get(name, name) for name in lossy)
