"""What docs/migrating.md says of files: what is refused, and with which words; and that its keys and links exist."""

import re
from pathlib import Path

import pytest

from lmgw.config.loader import load
from lmgw.config.schema import BACKEND, CLIENT, GATEWAY, PROFILE, TIER
from lmgw.errors import ConfigError

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "migrating.md").read_text()
#: A file as it was written for lm-gateway-rs, with two mistakes that it did not mind.
FILE = """
[gateway]
client_port = 8080
admin_port  = 8081
trafic_log_capacity = 200

[backends.ollama]
provider = "ollama"
base_url = "http://127.0.0.1:11434"

[backends.cloud]
provider = "open_router"
base_url = "https://openrouter.ai/api"
api_key_secret = { source = "env", var = "OPENROUTER_KEY" }

[[tiers]]
name    = "local:fast"
backend = "ollama"
model   = "qwen3:1.7b"
think   = false

[[tiers]]
name    = "cloud:deep"
backend = "cloud"
model   = "anthropic/claude-sonnet-4-5"

[aliases]
"hint:fast" = "local:fast"

[profiles.default]
mode = "classify"
classifier = "local:fast"
max_auto_tier = "cloud:expert"
expert_requires_flag = true
classifier_think = false

[[profiles.default.rules]]
when = { intent = "greeting" }
route_to = "hint:fast"
priority = 30

[profiles.default.class_prompts]
command = "Be brief."

[[clients]]
key_env = "HOME_KEY"
profile = "default"
"""
RIGHT = FILE.replace("trafic", "traffic").replace("cloud:expert", "cloud:deep")
ENVIRON = {"OPENROUTER_KEY": "k", "HOME_KEY": "h"}


def problems(folder, text):
    (folder / "config.toml").write_text(text)
    try:
        load(str(folder / "config.toml"), ENVIRON)
    except ConfigError as error:
        return [problem.replace(f"{folder}/", "") for problem in error.problems]
    return []


def test_a_file_that_was_written_for_it_loads_unchanged(tmp_path):
    assert problems(tmp_path, RIGHT) == []


def test_its_mistakes_are_told_as_the_page_shows(tmp_path):
    shown = re.search(r"\$ lmgw check .*\n((?: +config\.toml: .*\n)+)", PAGE)
    assert problems(tmp_path, FILE) == [line.strip() for line in shown[1].splitlines()]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('source = "env", var = "OPENROUTER_KEY"', 'source = "file", path = "/run/secrets/x"', "api_key_env"),
        ("https://openrouter.ai", "https://user:password@openrouter.ai", "base_url"),
        ('"hint:fast" = "local:fast"', '"cloud:deep" = "local:fast"', "cloud:deep"),
        ('route_to = "hint:fast"', 'route_to = "nowhere"', "route_to"),
    ],
)
def test_what_the_page_says_is_refused_is_refused(tmp_path, old, new, words):
    found = problems(tmp_path, RIGHT.replace(old, new))
    assert any(words in problem for problem in found)
    assert not any("password@" in problem for problem in found)


def test_every_key_that_it_names_exists():
    known = {key for table in (GATEWAY, BACKEND, TIER, PROFILE, CLIENT) for key in table.keys}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`", PAGE))
    assert named - known - {"route_to", "when"} == set()


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        text = (DOCS / file).read_text() if file else PAGE
        headings = {
            re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
            for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        }
        assert not anchor or anchor in headings
