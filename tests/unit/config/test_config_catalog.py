"""What the catalog says of models, by the names that people write."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from importlib import resources
from typing import Any

import pytest

from lmgw.config.catalog import lookup, plain_name
from lmgw.config.schema import EFFORTS
from lmgw.config.snapshot import Capabilities, Provider

ANTHROPIC, OPENAI, OLLAMA, OPENROUTER = Provider.ANTHROPIC, Provider.OPENAI, Provider.OLLAMA, Provider.OPENROUTER

NAMES = {
    "claude-opus-4-5-20251101": "claude-opus-4-5",
    "claude-sonnet-4-5@20250929": "claude-sonnet-4-5",
    "claude-3-5-sonnet-latest": "claude-3-5-sonnet",
    "anthropic/claude-opus-4.5": "claude-opus-4-5",
    "us.anthropic.claude-opus-4-1-20250805-v1:0": "claude-opus-4-1",
    "anthropic.claude-3-haiku-20240307-v1:0:200k": "claude-3-haiku",
    "claude-fable-5[1m]": "claude-fable-5",
    "Claude-Sonnet-5": "claude-sonnet-5",
    "ft:gpt-4o-mini-2024-07-18:acme::abc123": "gpt-4o-mini",
    "gpt-4.1-2025-04-14": "gpt-4-1",
    "models/gemini-2.5-pro": "gemini-2-5-pro",
    "deepseek/deepseek-v3:free": "deepseek-v3",
    "hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M": "qwen3-8b-gguf:q4_k_m",
    "llama3.2:latest": "llama3-2",
    "meta.llama3-1-70b-instruct-v1:0": "llama3-1-70b-instruct",
}


@pytest.mark.parametrize(("written", "plain"), NAMES.items())
def test_a_name_is_stripped_to_what_the_model_is(written: str, plain: str) -> None:
    assert plain_name(written) == plain


ALL = ("low", "medium", "high", "xhigh", "max")
OLD = {"structured_outputs": False, "sampling": True, "mid_system": False}
#: The name, and how it is to be treated.
CLAUDE: dict[str, dict[str, Any]] = {
    "claude-2.1": {**OLD, "thinking": "none", "vision": False, "max_output_tokens": 4096},
    "claude-3-opus-20240229": {**OLD, "thinking": "none", "max_output_tokens": 4096},
    "claude-3-5-haiku-20241022": {**OLD, "thinking": "none", "max_output_tokens": 8192},
    "claude-3-7-sonnet-20250219": {**OLD, "thinking": "budget", "max_output_tokens": 64000},
    "claude-opus-4-20250514": {**OLD, "thinking": "budget", "max_output_tokens": 32000},
    "claude-opus-4-1-20250805": {**OLD, "thinking": "budget", "max_output_tokens": 32000},
    "claude-sonnet-4-0": {**OLD, "thinking": "budget", "max_output_tokens": 64000},
    "claude-sonnet-4-5": {"thinking": "budget", "structured_outputs": True, "efforts": (), "sampling": True},
    "claude-haiku-4-5-20251001": {"thinking": "budget", "structured_outputs": True, "efforts": ()},
    "claude-opus-4-5": {"thinking": "budget", "structured_outputs": True, "efforts": ("low", "medium", "high")},
    "claude-opus-4-6": {"thinking": "adaptive", "sampling": True, "efforts": ("low", "medium", "high", "max")},
    "claude-sonnet-4-6": {"thinking": "adaptive", "sampling": True, "max_output_tokens": 64000},
    "claude-opus-4-7": {"thinking": "adaptive", "sampling": False, "efforts": ALL, "mid_system": False},
    "claude-opus-4-8": {"thinking": "adaptive", "sampling": False, "mid_system": True},
    "claude-sonnet-5": {"thinking": "adaptive", "sampling": False, "mid_system": False, "thinking_always_on": False},
    "claude-opus-5": {"thinking": "adaptive", "mid_system": True, "thinking_always_on": False},
    "claude-haiku-5-5": {"thinking": "adaptive", "mid_system": True, "thinking_always_on": False},
    "claude-opus-5-5": {"thinking": "adaptive", "mid_system": True, "thinking_always_on": True},
    "claude-sonnet-5-5": {"thinking": "adaptive", "thinking_always_on": True},
    "claude-fable-5": {"thinking": "adaptive", "thinking_always_on": True, "max_output_tokens": 128000},
    "claude-fable-5-1": {"thinking": "adaptive", "thinking_always_on": True, "efforts": ALL, "sampling": False},
    "claude-opus-9": {"thinking": "adaptive", "sampling": False, "structured_outputs": True, "mid_system": False},
}


@pytest.mark.parametrize(("model", "expected"), CLAUDE.items())
@pytest.mark.parametrize("provider", [ANTHROPIC, OPENROUTER])
def test_claude(model: str, expected: dict[str, Any], provider: Provider) -> None:
    found = lookup(model, provider)
    assert {key: getattr(found, key) for key in expected} == expected
    assert found.reasoning is (found.thinking != "none")


#: The name, the backend, and how it is to be treated.
OTHERS: dict[str, tuple[str, Provider, dict[str, Any]]] = {
    "an old GPT": ("gpt-3.5-turbo-0125", OPENAI, {"vision": False, "structured_outputs": False}),
    "GPT-4": ("gpt-4-0613", OPENAI, {"vision": False, "max_output_tokens": 8192}),
    "GPT-4 that is not 4.1": ("gpt-4-1106-preview", OPENAI, {"max_output_tokens": 4096}),
    "GPT-4o": ("gpt-4o-2024-08-06", OPENAI, {"reasoning": False, "max_output_tokens": 16384}),
    "GPT-4.1": ("gpt-4.1-mini", OPENAI, {"sampling": True, "max_output_tokens": 32768}),
    "o1": ("o1-2024-12-17", OPENAI, {"sampling": False, "efforts": ("low", "medium", "high")}),
    "o3-mini": ("o3-mini", OPENAI, {"reasoning": True, "vision": False}),
    "o4-mini": ("o4-mini", OPENAI, {"reasoning": True, "vision": True, "max_output_tokens": 100000}),
    "GPT-5": ("gpt-5-mini", OPENAI, {"sampling": False, "efforts": ("minimal", "low", "medium", "high")}),
    "GPT-5 for chat": ("gpt-5-chat-latest", OPENAI, {"sampling": True, "reasoning": False}),
    "GPT-5.1": ("gpt-5.1-2025-11-13", OPENAI, {"efforts": ("none", "low", "medium", "high")}),
    "GPT-5.2": ("gpt-5.2", OPENAI, {"efforts": ("none", "low", "medium", "high", "xhigh")}),
    "GPT-5.4": ("gpt-5.4-mini", OPENAI, {"efforts": ("none", "low", "medium", "high", "xhigh")}),
    "GPT-5.6": ("gpt-5.6-sol", OPENAI, {"efforts": ("none", *ALL)}),
    "gpt-oss": ("gpt-oss:20b", OLLAMA, {"reasoning": True, "vision": False, "efforts": ("low", "medium", "high")}),
    "Gemini": ("gemini-3-pro-preview", OPENAI, {"reasoning": True, "max_output_tokens": 65536}),
    "an old Gemini": ("gemini-1.5-pro-002", OPENAI, {"reasoning": False, "max_output_tokens": 8192}),
    "Gemini that need not think": ("gemini-2.5-flash", OPENAI, {"efforts": ("none", "low", "medium", "high")}),
    "DeepSeek": ("deepseek-chat", OPENAI, {"structured_outputs": False, "vision": False, "reasoning": False}),
    "DeepSeek at home": ("deepseek-r1:14b", OLLAMA, {"structured_outputs": True, "reasoning": True}),
    "Qwen at home": ("qwen3:8b", OLLAMA, {"reasoning": True, "vision": False}),
    "Qwen elsewhere": ("qwen3-8b", OPENAI, {"reasoning": False}),
    "Qwen that does not think": ("qwen3:30b-a3b-instruct-2507-q4_K_M", OLLAMA, {"reasoning": False}),
    "Qwen that sees": ("qwen2.5vl:7b", OLLAMA, {"vision": True, "reasoning": False}),
    "Qwen that sees and thinks": ("qwen3-vl:8b", OLLAMA, {"vision": True, "reasoning": True}),
    "Llama": ("llama3.2:3b", OLLAMA, {"vision": False, "reasoning": False}),
    "Llama that sees": ("llama3.2-vision:11b", OLLAMA, {"vision": True}),
    "Grok": ("grok-4.5", OPENAI, {"reasoning": True, "efforts": ("low", "medium", "high")}),
    "nobody's, on a server with Anthropic's dialect": ("mystery", ANTHROPIC, {"structured_outputs": False}),
    "nobody's, at OpenRouter": ("acme/mystery-1", OPENROUTER, {"reasoning": True}),
}


@pytest.mark.parametrize(("model", "provider", "expected"), OTHERS.values(), ids=OTHERS)
def test_others(model: str, provider: Provider, expected: dict[str, Any]) -> None:
    found = lookup(model, provider)
    assert {key: getattr(found, key) for key in expected} == expected


def test_of_a_name_that_nobody_knows_nothing_is_assumed() -> None:
    assert lookup("mystery", OPENAI) == Capabilities()
    assert lookup("my-claude-like-model", OPENAI) == Capabilities()


def entries() -> list[dict[str, Any]]:
    file = tomllib.loads(resources.files("lmgw.config").joinpath("catalog.toml").read_text(encoding="utf-8"))
    return [*file["models"], *file["defaults"].values()]


def test_the_file_says_only_what_there_is_to_say() -> None:
    known = {field.name: field.default for field in fields(Capabilities)}
    for entry in entries():
        said = {key: value for key, value in entry.items() if key not in ("names", "providers")}
        assert said.keys() <= known.keys()
        assert set(said.get("efforts", ())) <= set(EFFORTS)
        assert said.get("thinking", "none") in ("none", "budget", "adaptive")
        assert set(entry.get("providers", ())) <= set(Provider)
        flags = [value for key, value in said.items() if isinstance(known[key], bool)]
        assert all(isinstance(flag, bool) for flag in flags)


def test_no_name_stands_twice() -> None:
    names = [
        (name, provider)
        for entry in entries()
        for name in entry.get("names", ())
        for provider in entry.get("providers", ("",))
    ]
    assert len(set(names)) == len(names)
