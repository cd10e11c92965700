"""Large pictures and PDFs go through a translation unread, and arrive as if they had been read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgw.config.snapshot import Capabilities
from lmgw.wire.blobs import LEAST, Blobs
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.translate import DIALECTS, translation

TARGET = Target("model", Capabilities(vision=True))
REPLY = Reply("id", "asked", 0)
PNG = "iVBORw0KGgo" + "A" * 3 * LEAST
JPEG = "/9j/" + "B" * 3 * LEAST
PDF = "JVBERi0" + "C" * 2 * LEAST
SHORT = "iVBORw0KGgoAAAAA"
PROSE = "Lorem ipsum, dolor. " * LEAST


def _url(data: str, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{data}"


def _openai(*data: str) -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": _url(entry)}} for entry in data]
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": PROSE}, *images]}]}


def _anthropic(*data: str) -> dict[str, Any]:
    sources = [{"type": "base64", "media_type": "image/png", "data": entry} for entry in data]
    result = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image", "source": sources[0]}]}
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {"data": PNG}}
    images = [{"type": "image", "source": source} for source in sources]
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result, *images]}]
    return {"max_tokens": 9, "system": PNG, "messages": [{"role": "user", "content": PNG}, *turns]}


def _ollama(*data: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Who?", "images": list(data)}]}


def _generate(*data: str) -> dict[str, Any]:
    return {"prompt": PNG, "images": list(data)}


def _responses(*data: str) -> dict[str, Any]:
    images = [{"type": "input_image", "image_url": _url(entry)} for entry in data]
    return {"instructions": PNG, "input": [{"role": "user", "content": images}]}


BODIES = {
    "openai": _openai,
    "anthropic": _anthropic,
    "ollama": _ollama,
    "ollama_generate": _generate,
    "responses": _responses,
}
PAIRS = [(caller, upstream) for caller in BODIES for upstream in ("openai", "anthropic", "ollama")]


@pytest.mark.parametrize(("caller", "upstream"), [pair for pair in PAIRS if pair[0] != pair[1]], ids=lambda name: name)
@pytest.mark.parametrize("data", [(PNG,), (PNG, JPEG, SHORT, PNG)], ids=["one", "several"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["tight", "loose"])
def test_a_picture_arrives_as_if_it_had_been_read(
    caller: str, upstream: str, data: tuple[str, ...], separators: tuple[str, str]
) -> None:
    asked = {"model": "asked", **BODIES[caller](*data), "stream": False}
    body = Body(json.dumps(asked, separators=separators).encode())
    found = translation(caller, upstream, body, TARGET, lambda: REPLY).request
    assert found.body == DIALECTS[upstream].render_request(DIALECTS[caller].parse_request(asked), TARGET).body
    assert body.blobs is not None
    assert len(body.blobs.outline) < len(body.data) - LEAST


def test_a_pdf_is_taken_out_too() -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": _url(PDF, "application/pdf")}}
    body = Body(json.dumps({"messages": [{"role": "user", "content": [file]}]}).encode())
    found = json.loads(translation("openai", "anthropic", body, TARGET, lambda: REPLY).request.body)
    assert found["messages"][0]["content"][0]["source"]["data"] == PDF
    assert body.blobs is not None


LEFT_WHOLE = {
    "a short picture": {"messages": [{"images": [SHORT]}]},
    "prose": {"messages": [{"content": PROSE}]},
    "other base64": {"messages": [{"content": "A" * 2 * LEAST}]},
    "an escape within": {"messages": [{"images": [PNG + "\n" + PNG]}]},
    "another field": {"system": PNG},
    "a mark of the same kind elsewhere": {"messages": [{"images": [PNG], "content": "\x7f0\x7f"}]},
}


@pytest.mark.parametrize("asked", LEFT_WHOLE.values(), ids=LEFT_WHOLE)
def test_a_body_without_large_pictures_is_left_whole(asked: dict[str, Any]) -> None:
    body = Body(json.dumps(asked).encode())
    assert body.blobs is None
    assert body.outline is body.parsed
    assert body.legible == body.data


@pytest.mark.parametrize("mark", [rb"\u007f0\u007f", rb"\u007F0\u007F", b"\x7f0\x7f"])
def test_a_mark_that_the_caller_wrote_is_never_taken_for_one(mark: bytes) -> None:
    data = b'{"messages":[{"role":"user","content":"%b","images":["%b"]}]}' % (mark, PNG.encode())
    found = json.loads(translation("ollama", "openai", Body(data), TARGET, lambda: REPLY).request.body)
    assert found["messages"][0]["content"][0]["text"] == "\x7f0\x7f"


PIECES = [PNG, JPEG, PDF, SHORT, "", "a", '"', "\\", ",", ":" * LEAST, " " * LEAST, "x" * (LEAST - 1)]
texts = st.lists(st.integers(0, len(PIECES) - 1), max_size=3).map(lambda chosen: "".join(PIECES[at] for at in chosen))
values = st.recursive(
    texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)


@given(values, st.sampled_from([None, 1]))
def test_what_is_taken_out_is_put_back_byte_for_byte(value: Any, indent: int | None) -> None:
    data = json.dumps(value, indent=indent).encode()
    blobs = Blobs.of(data, [(0, len(data))])
    if blobs is not None:
        json.loads(blobs.outline)
        assert blobs.restored(blobs.outline) == data
