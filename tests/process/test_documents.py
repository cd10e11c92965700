"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

from lmgw.config.loader import load

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name):
    document = ROOT / name
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        assert target.startswith("http") or (document.parent / target).exists(), target


def test_every_promise_names_tests_that_exist():
    named = set(re.findall(r"`((?:test|no)_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    written = set(re.findall(r"def (\w+)\(", "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))))
    assert len(named) > 25
    assert named <= written, named - written


def test_the_configuration_of_the_page_on_pressure_loads_and_says_what_the_page_says(tmp_path):
    (block,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "pressure.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "config.toml").write_text(block)
    keys = {"ANTHROPIC_API_KEY": "k", "VOICE_KEY": "v", "BATCH_KEY": "b"}
    config = load(str(tmp_path / "config.toml"), keys)
    assert config.ready
    assert {tier.queue_id for tier in config.tiers.values() if tier.max_concurrent} == {"card"}


def test_the_readmes_configurations_load(tmp_path):
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if "[[tiers]]" in block]  # another is for a client
    assert len(blocks) == 2
    assert len(blocks[0].splitlines()) == 5
    for block in blocks:
        (tmp_path / "config.toml").write_text(block)
        assert load(str(tmp_path / "config.toml"), {"ANTHROPIC_API_KEY": "k"}).ready
