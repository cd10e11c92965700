"""What is lost is named as the caller named it."""

import pytest

from lmgw.wire.lossy import named
from lmgw.wire.translate import DIALECTS


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        ("openai", ("reasoning_effort", "stop", "response_format", "top_k", "anything")),
        ("anthropic", ("thinking", "stop_sequences", "output_config.format", "top_k", "anything")),
        ("ollama", ("think", "options.stop", "format", "options.top_k", "anything")),
        ("ollama_generate", ("think", "options.stop", "format", "options.top_k", "anything")),
        ("responses", ("reasoning", "stop", "text.format", "top_k", "anything")),
    ],
)
def test_a_field_has_the_callers_name(caller: str, names: tuple[str, ...]) -> None:
    assert named(caller, ("reasoning", "stop", "response_format", "top_k", "anything")) == names


def test_every_dialect_has_words() -> None:
    for caller in DIALECTS:
        assert named(caller, ("x",)) == ("x",)
