"""A request of Anthropic's dialect, read and written again, has lost nothing that the neutral form holds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lmgw.config.snapshot import Capabilities
from lmgw.wire.anthropic import ANTHROPIC
from lmgw.wire.dialect import Target

EFFORTS = ("low", "medium", "high", "xhigh", "max")
CAPABILITIES = Capabilities(thinking="adaptive", efforts=EFFORTS, mid_system=True)

WORDS = st.text(min_size=1, max_size=8).filter(lambda word: not word.isspace())
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=2)
CACHES = st.sampled_from(
    [{}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)


def block(kind: str, **fields: Any) -> Any:
    """A block of this kind, with a mark for the cache or without."""
    return st.builds(lambda held, cache: {"type": kind, **held, **cache}, st.fixed_dictionaries(fields), CACHES)


def source(kind: str, **fields: Any) -> Any:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


TYPES = st.sampled_from(["image/jpeg", "image/png", "image/gif", "image/webp"])
PDF, PLAIN = st.just("application/pdf"), st.just("text/plain")
DATA, URLS = st.just("QUJD"), st.just("https://example.com/a")
TEXTS = block("text", text=WORDS)
IMAGES = block("image", source=source("base64", media_type=TYPES, data=DATA) | source("url", url=URLS))
DOCUMENTS = block(
    "document",
    source=source("base64", media_type=PDF, data=DATA)
    | source("url", url=URLS)
    | source("text", media_type=PLAIN, data=WORDS),
)
CONTENT = st.lists(TEXTS | IMAGES | DOCUMENTS, min_size=1, max_size=3)
RESULTS = block("tool_result", tool_use_id=NAMES, content=CONTENT)
CALLS = block("tool_use", id=NAMES, name=NAMES, input=OBJECTS)
THOUGHTS = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.text(max_size=5), "signature": WORDS})
REDACTED = st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": WORDS})


def turn(role: str, *content: Any) -> Any:
    """A turn with content in the order that the API wants."""
    held = st.tuples(*content).map(lambda lists: [part for found in lists for part in found]).filter(bool)
    return held.map(lambda found: {"role": role, "content": found})


USERS = turn("user", st.lists(RESULTS, max_size=2), st.lists(TEXTS | IMAGES | DOCUMENTS, max_size=2))
ASSISTANTS = turn(
    "assistant", st.lists(THOUGHTS | REDACTED, max_size=2), st.lists(TEXTS, max_size=2), st.lists(CALLS, max_size=2)
)
SYSTEMS = turn("system", st.lists(TEXTS, min_size=1, max_size=2))


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    turns = [draw(USERS)]
    for _ in range(draw(st.integers(0, 3))):
        turns += [draw(SYSTEMS)] if draw(st.booleans()) else []
        turns += [draw(ASSISTANTS), draw(USERS)]
    return turns


SCHEMAS = st.just({"type": "object", "properties": {}, "additionalProperties": False})
TOOLS = st.builds(
    lambda tool, cache: {**tool, **cache},
    st.fixed_dictionaries(
        {"name": NAMES, "input_schema": SCHEMAS}, optional={"description": WORDS, "strict": st.just(True)}
    ),
    CACHES,
)
TOOL_CHOICES = st.sampled_from(
    [
        {"type": "auto"},
        {"type": "none"},
        {"type": "auto", "disable_parallel_tool_use": True},
        {"type": "any", "disable_parallel_tool_use": True},
        {"type": "tool", "name": "f"},
    ]
)
TOOL_FIELDS = st.fixed_dictionaries(
    {"tools": st.lists(TOOLS, min_size=1, max_size=3)}, optional={"tool_choice": TOOL_CHOICES}
)
OUTPUTS = st.fixed_dictionaries(
    {}, optional={"format": st.fixed_dictionaries({"type": st.just("json_schema"), "schema": SCHEMAS})}
)
SAMPLING = st.fixed_dictionaries({}, optional={"temperature": st.floats(0, 1), "top_k": st.integers(1, 99)})
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
FIELDS = st.fixed_dictionaries(
    {"model": st.just("m"), "max_tokens": st.integers(1, 99999), "messages": conversations()},
    optional={
        "system": st.lists(TEXTS, min_size=1, max_size=2),
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=3),
        "metadata": st.just({"user_id": "user-1"}),
        "stream": st.just(True),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    body: dict[str, Any] = {**draw(FIELDS), **draw(st.just({}) | TOOL_FIELDS)}
    output = draw(OUTPUTS)
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    match draw(st.sampled_from(["nothing", "sampling", "off"] if forced else ["nothing", "sampling", "off", "on"])):
        case "sampling":
            body |= draw(SAMPLING)
        case "off":
            body |= {"thinking": {"type": "disabled"}, **draw(SAMPLING)}
        case "on":
            body["thinking"] = ADAPTIVE
            output |= draw(st.fixed_dictionaries({}, optional={"effort": st.sampled_from(EFFORTS)}))
    return {**body, **({"output_config": output} if output else {})}


def unfolded(body: dict[str, Any]) -> dict[str, Any]:
    """The same with every content as blocks: a string says the same."""
    if isinstance(body.get("system"), str):
        body["system"] = [{"type": "text", "text": body["system"]}]
    for message in body["messages"]:
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        for part in message["content"]:
            if part["type"] == "tool_result" and isinstance(part["content"], str):
                part["content"] = [{"type": "text", "text": part["content"]}]
    return body


@given(requests())
def test_nothing_is_lost_there_and_back(body: dict[str, Any]) -> None:
    rendered = ANTHROPIC.render_request(ANTHROPIC.parse_request(body), Target("m", CAPABILITIES))
    assert unfolded(json.loads(rendered.body)) == body
    assert rendered.lossy == ()
