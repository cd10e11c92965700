"""The mind of the fake provider: what it makes of a conversation, whatever the dialect.

It answers ``Hello from the fake.``, unless the end of the conversation asks for something else:

- results of tools: the text repeats them, each behind the call that it belongs to;
- ``use the tool``: a call of the first tool; ``use all tools``: text, and three calls at once (the first tool twice);
- a tool that must be called (the last, if it may be any), or a JSON Schema: arguments or text that fit the schema;
- pictures: the text says of what kind and how large they are.

It thinks first where the request switches that on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rules import picture

TEXT = "Hello from the fake."
LEAD = "Let me look. "
THOUGHT = "Let me think about it."
ARGUMENTS = {"city": "Paris"}
OTHER_ARGUMENTS = {"city": "Oslo"}


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    id: str | None
    name: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({json.dumps(self.arguments)})"


@dataclass
class Turn:
    """One message; ``results`` are pairs of a call's id, where the dialect has one, and a text."""

    role: str
    text: str = ""
    calls: list[Call] = field(default_factory=list)
    results: list[tuple[str | None, str]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    def see(self, data: str) -> None:
        """Look at a picture in bare base64."""
        kind, found = picture(data)
        self.pictures.append(f"{kind} of {len(found)} bytes")


@dataclass
class Heard:
    """A request; ``tools`` are names and schemas, ``forced`` is the tool that must be called, ``must_call`` any."""

    turns: list[Turn]
    tools: dict[str, Any]
    forced: str | None = None
    must_call: bool = False
    schema: dict[str, Any] | None = None
    json_object: bool = False
    think: bool = False


@dataclass
class Said:
    """An answer."""

    text: str = ""
    calls: list[Call] = field(default_factory=list)
    thought: str = ""


def say(heard: Heard) -> Said:
    """Answer."""
    last = max((at for at, turn in enumerate(heard.turns) if turn.role == "assistant"), default=-1)
    calls = heard.turns[last].calls if last >= 0 else []
    new = heard.turns[last + 1 :]
    said = _answer(heard, new, calls)
    made = sum(len(turn.calls) for turn in heard.turns)
    said.calls = [Call(str(made + at), call.name, call.arguments) for at, call in enumerate(said.calls, 1)]
    said.thought = THOUGHT if heard.think else ""
    return said


def _answer(heard: Heard, new: list[Turn], calls: list[Call]) -> Said:
    asked = "\n".join(turn.text for turn in new)
    results = [result for turn in new for result in turn.results]
    pictures = [seen for turn in new for seen in turn.pictures]
    names = list(heard.tools)
    if heard.forced is not None:
        return Said(calls=[Call(None, heard.forced, example(heard.tools[heard.forced]))])
    if results and not heard.must_call:
        return Said("; ".join(f"{_called(id, at, calls)} = {text}" for at, (id, text) in enumerate(results)))
    if names and "use all tools" in asked:
        wanted = [(names[0], ARGUMENTS), (names[-1], ARGUMENTS), (names[0], OTHER_ARGUMENTS)]
        return Said(LEAD, [Call(None, *call) for call in wanted])
    if names and "use the tool" in asked:
        return Said(calls=[Call(None, names[0], ARGUMENTS)])
    if heard.must_call:
        return Said(calls=[Call(None, names[-1], example(heard.tools[names[-1]]))])
    if pictures:
        return Said(f"I see {' and '.join(pictures)}.")
    if heard.schema is not None:
        return Said(json.dumps(example(heard.schema)))
    return Said(json.dumps(ARGUMENTS) if heard.json_object else TEXT)


def _called(id: str | None, at: int, calls: list[Call]) -> Call | str:
    """Return the call that a result is of: by its id, in a dialect without ids by its place."""
    if id is not None:
        return next((call for call in calls if call.id == id), f"nothing ({id})")
    return calls[at] if at < len(calls) else "nothing"


def example(schema: dict[str, Any]) -> Any:
    """Return a value that fits a simple JSON Schema."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example(entry) for name, entry in (schema.get("properties") or {}).items()}
        case "array":
            return [example(schema["items"])]
        case "integer" | "number":
            return 21
        case "boolean":
            return True
    return "Paris"
