"""What an Ollama client sees in a stream; anything that its parsers punish is an assertion error."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ollama._types import ChatResponse, GenerateResponse


@dataclass
class Seen:
    """One stream, added up."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str | None, str, dict[str, Any]]] = field(default_factory=list)
    done_reason: str | None = None
    counts: tuple[int | None, int | None] = (None, None)
    error: str | None = None
    models: set[str] = field(default_factory=set)


def see(data: bytes, generate: bool = False) -> Seen:
    """Read a stream as ollama-python does: every line is an object, an error is a string, ``done`` comes last."""
    seen = Seen()
    assert data == b"" or data.endswith(b"\n")
    for line in data.decode().split("\n")[:-1]:
        assert line.strip(), "a blank line"
        assert seen.done_reason is None, "a line after the last"
        assert seen.error is None, "a line after the last"
        fields = json.loads(line)
        if "error" in fields:
            assert isinstance(fields["error"], str)
            seen.error = fields["error"]
            continue
        answer = (GenerateResponse if generate else ChatResponse).model_validate(fields, strict=True)
        datetime.fromisoformat(fields["created_at"])
        seen.models.add(fields["model"])
        content = fields if generate else fields["message"]
        assert generate or content["role"] == "assistant"
        assert isinstance(content["response" if generate else "content"], str)
        seen.text += content["response" if generate else "content"]
        seen.thinking += content.get("thinking", "")
        for call in content.get("tool_calls", ()):
            seen.calls.append((call.get("id"), call["function"]["name"], call["function"]["arguments"]))
        if answer.done:
            seen.done_reason = answer.done_reason
            seen.counts = (answer.prompt_eval_count, answer.eval_count)
    return seen
