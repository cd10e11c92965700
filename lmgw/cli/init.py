"""``lmgw init``: a configuration to begin with, from the keys in the environment and an Ollama on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lmgw.cli.command import CONFIG, Command, complain, config_path

OLLAMA = "http://localhost:11434"


@dataclass(frozen=True, slots=True)
class Known:
    """A provider that can be set up without questions: its key's variables, its address, a model to begin with."""

    name: str
    variables: tuple[str, ...]
    base_url: str
    model: str
    tier: str
    provider: str = "openai"
    api_path: str | None = None


#: Cheapest first: the order of the tiers.
KNOWN = (
    Known(
        *("gemini", ("GEMINI_API_KEY",), "https://generativelanguage.googleapis.com", "gemini-2.5-flash"),
        tier="cloud:gemini",
        api_path="/v1beta/openai",
    ),
    Known("openai", ("OPENAI_API_KEY",), "https://api.openai.com", "gpt-5-mini", tier="cloud:openai"),
    Known(
        *("openrouter", ("OPENROUTER_API_KEY", "OPENROUTER_KEY"), "https://openrouter.ai/api", "openrouter/auto"),
        tier="cloud:openrouter",
        provider="openrouter",
    ),
    Known(
        *("anthropic", ("ANTHROPIC_API_KEY",), "https://api.anthropic.com", "claude-haiku-4-5-20251001"),
        tier="cloud:anthropic",
        provider="anthropic",
    ),
)

_HEAD = """\
# Written by lmgw init. config.example.toml and docs/configuration.md have every key; lmgw check says what is wrong.
# Keys never stand here: api_key_env names the environment variable that holds one.
"""


class Init(Command):
    """Writes one file, or nothing."""

    longdesc = (
        "Write a commented configuration from what is found: variables of known providers that are set "
        f"({', '.join(name for known in KNOWN for name in known.variables)}), and an Ollama on this machine. "
        "A file that is there is never overwritten."
    )
    optParameters = [CONFIG, ["ollama", None, OLLAMA, "where an Ollama is looked for; empty: nowhere"]]
    examples = """
Examples:
  lmgw init                             writes $LMG_CONFIG or /etc/lm-gateway/config.toml
  ANTHROPIC_API_KEY=sk-ant-... lmgw init --config config.toml
"""

    def run(self) -> int:
        path = config_path(self["config"])
        found = [known for known in KNOWN if _variable(known, os.environ)]
        models = _ollama_models(self["ollama"]) if self["ollama"] else []
        if not found and not models:
            return complain(
                "nothing to write about: no key of a known provider is in the environment, and no Ollama with a model "
                f"answers at {self['ollama'] or '(not asked)'}; without either there is: twistd -n lmgw --demo"
            )
        text = render(found, os.environ, self["ollama"], models)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return complain(f"{path} is there already: nothing was written; name another file with --config")
        except OSError as error:
            return complain(f"{path} cannot be written: {error.strerror}")
        written = ", ".join(_names(found, models))
        print(f"{path} is written: {written}. Next: {_twistd()} -n --pidfile= lmgw --config {path}")
        return 0


def render(found: list[Known], environ: Mapping[str, str], ollama: str, models: list[str]) -> str:
    """Return the file for these providers and the first of Ollama's ``models``; values are written by ``toml``."""
    import toml

    parts = [_HEAD]
    for comment, data in _sections(found, environ, ollama, models):
        parts.append("".join(f"# {line}\n" for line in comment.splitlines()) + toml.dumps(data))
    return "\n".join(parts)


def _sections(
    found: list[Known], environ: Mapping[str, str], ollama: str, models: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        "8080 is for applications, 8081 for you. Whoever reaches 8080 spends these keys, so only this machine may:\n"
        "to serve others, take client_host out and name them in [[clients]].",
        {"gateway": {"client_host": "127.0.0.1", "client_port": 8080, "admin_port": 8081}},
    )
    tiers = []
    if models:
        yield "An Ollama on this machine.", {"backends": {"ollama": {"provider": "ollama", "base_url": ollama}}}
        tiers.append({"name": "local:ollama", "backend": "ollama", "model": models[0]})
    for known in found:
        backend = {"provider": known.provider, "base_url": known.base_url}
        if known.api_path:
            backend["api_path"] = known.api_path
        backend["api_key_env"] = _variable(known, environ)
        yield (
            f"Its key is read from ${backend['api_key_env']} when the gateway starts.",
            {"backends": {known.name: backend}},
        )
        tiers.append({"name": known.tier, "backend": known.name, "model": known.model})
    yield (
        "One model on one backend each, the cheapest first. The order is the ladder that escalation climbs.",
        {"tiers": tiers},
    )
    if len(models) > 1:
        yield f"This Ollama has more models: {', '.join(models[1:20])}", {}
    yield (
        "Further names for tiers, for applications to ask for.",
        {"aliases": {"hint:fast": tiers[0]["name"], "hint:capable": tiers[-1]["name"]}},
    )
    yield (
        "dispatch: the caller names a tier or an alias. A name that nothing here has leads to the classifier's tier;\n"
        '"reject" would answer it with 404. Other modes: escalate, classify, reply.',
        {"profiles": {"default": {"mode": "dispatch", "classifier": tiers[0]["name"], "unknown_model": "fallback"}}},
    )


def _names(found: list[Known], models: list[str]) -> list[str]:
    return (["ollama"] if models else []) + [known.name for known in found]


def _twistd() -> str:
    """Return how to call it from this shell: a virtual environment's programs need not be on its path."""
    return "twistd" if shutil.which("twistd") else os.path.join(os.path.dirname(sys.executable), "twistd")


def _variable(known: Known, environ: Mapping[str, str]) -> str:
    return next((name for name in known.variables if environ.get(name, "").strip()), "")


def _ollama_models(url: str) -> list[str]:
    """Return the names of its chat models, none where nobody answers within two seconds."""
    import json

    from lmgw.cli.asking import Unanswered, checked, opened

    try:
        with opened(checked(url, "--ollama").rstrip("/") + "/api/tags", 2.0) as answer:
            models = json.load(answer)["models"]
        names = [model["name"] for model in models]
    except (Unanswered, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if isinstance(name, str) and name.isprintable() and "embed" not in name]
