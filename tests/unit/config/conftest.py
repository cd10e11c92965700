"""A configuration written for one test: files by name, loaded with an environment of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lmgw.config.loader import load
from lmgw.config.snapshot import Config
from lmgw.errors import ConfigError

#: One tier, so that a test has to write only what it is about.
TIER = """
[backends.one]
base_url = "http://localhost:9"

[[tiers]]
name = "local:fast"
backend = "one"
model = "small"
"""


class Files:
    """A folder with a configuration in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = str(folder / "config.toml")

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, environ: Mapping[str, str] | None = None) -> Config:
        return load(self.path, environ or {})

    def problems(self, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
        with pytest.raises(ConfigError) as caught:
            self.load(environ)
        return caught.value.problems


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


Load = Callable[..., Config]


@pytest.fixture
def load_text(files: Files) -> Load:
    """Load one main file; ``tier=True`` puts a backend and a tier in front of it."""

    def load_text(text: str = "", environ: Mapping[str, str] | None = None, tier: bool = False) -> Config:
        files.write("config.toml", (TIER if tier else "") + text)
        return files.load(environ)

    return load_text


@pytest.fixture
def problems_of(files: Files) -> Callable[..., tuple[str, ...]]:
    """Return the problems of one main file."""

    def problems_of(text: str | bytes, environ: Mapping[str, str] | None = None, tier: bool = False) -> tuple[str, ...]:
        files.write("config.toml", TIER + text if tier and isinstance(text, str) else text)
        return files.problems(environ)

    return problems_of
