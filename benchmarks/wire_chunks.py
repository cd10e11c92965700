"""CPU of the wire layer: microseconds a chunk for every pair of dialects, milliseconds for large requests.

Run ``python benchmarks/wire_chunks.py`` in an environment with the package. Times are of the process (not of the wall
clock), the best of several runs. A chunk is one piece of text of an upstream's stream that came in a read of its own.
The aims: under 10 µs a chunk passed through, under 60 µs translated; a request of n MiB in under 5 + n milliseconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from lmgw.config.snapshot import Capabilities
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.translate import NATIVES, translation

CALLERS = ("openai", "anthropic", "ollama", "responses")
#: Pairs; to an upstream that has the Responses API requests of it are only passed through.
PAIRS = [*((caller, upstream) for caller in CALLERS for upstream in CALLERS[:3]), ("responses", "responses")]
TARGET = Target("model", Capabilities(reasoning=True))
REPLY = Reply("id-1", "asked", 1_760_000_000, include_usage=True)

_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "gpt-4.1-mini"}
_CHOICE = {"index": 0, "delta": {"content": " world"}, "logprobs": None, "finish_reason": None}
_OPENAI = {
    **_HEAD,
    "service_tier": "default",
    "system_fingerprint": "fp_1",
    "choices": [_CHOICE],
    "obfuscation": "aBcD",
}
_DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " world"}}
_BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
_USAGE = {"input_tokens": 10, "output_tokens": 1}
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": _USAGE}
_START = {"type": "message_start", "message": _MESSAGE | {"stop_reason": None}}
_OLLAMA = {
    "model": "qwen3:8b",
    "created_at": "2026-01-02T03:04:05.678901234Z",
    "message": {"role": "assistant", "content": " world"},
    "done": False,
}


_RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "model": "gpt-5.4"}
_CREATED = {"type": "response.created", "sequence_number": 0, "response": _RESPONSE}
_WHERE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_TEXT = {"type": "response.output_text.delta", "sequence_number": 4, **_WHERE, "delta": " world", "logprobs": []}


def _event(value: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), json.dumps(value).encode())


#: What comes before the first chunk, and one chunk, of each dialect.
STREAMS = {
    "openai": (b"", b"data: " + json.dumps(_OPENAI, separators=(",", ":")).encode() + b"\n\n"),
    "anthropic": (_event(_START) + _event(_BLOCK), _event(_DELTA)),
    "ollama": (b"", json.dumps(_OLLAMA).encode() + b"\n"),
    "responses": (_event(_CREATED), _event(_TEXT)),
}


def cost(call: Callable[[], object], number: int, runs: int = 7) -> float:
    """Return the seconds of CPU that one call takes."""
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        for _ in range(number):
            call()
        best = min(best, time.process_time() - start)
    return best / number


def asked(caller: str, content: object, count: int = 1) -> dict[str, Any]:
    """A caller's request of ``count`` turns, the last with ``content``."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": f"Turn {at} of many."} for at in range(count - 1)]
    return {
        "model": "asked",
        "max_tokens": 99,
        "stream": True,
        "input" if caller == "responses" else "messages": [*turns, {"role": "user", "content": content}],
    }


def pictured(caller: str, data: str) -> dict[str, Any]:
    """A caller's request with one image."""
    if caller == "ollama":
        request = asked(caller, "Who?")
        request["messages"][0]["images"] = [data]
        return request
    if caller == "openai":
        return asked(caller, [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}])
    if caller == "responses":
        return asked(caller, [{"type": "input_image", "image_url": f"data:image/png;base64,{data}"}])
    return asked(caller, [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}])


def chunk_us(caller: str, upstream: str) -> float:
    """Return the microseconds of one chunk."""
    stream = translation(
        caller, upstream, Body(json.dumps(asked(caller, "Hello")).encode()), TARGET, lambda: REPLY
    ).stream()
    before, chunk = STREAMS[upstream]
    stream.feed(before + chunk)
    assert stream.progress.content
    return cost(lambda: stream.feed(chunk), 5000) * 1e6


def request_ms(caller: str, upstream: str, data: bytes, number: int) -> float:
    """Return the milliseconds of reading a request and making it ready."""
    return cost(lambda: translation(caller, upstream, Body(data), TARGET, lambda: REPLY), number, 5) * 1e3


def main() -> None:
    """Print one line a pair."""
    image = "iVBORw0KGgo" + "A" * (8 * 1024 * 1024)
    print(f"{'caller':>10} {'upstream':>10}   µs/chunk   small request µs   2,000 turns ms   8 MiB image ms")
    for caller, upstream in PAIRS:
        small = json.dumps(asked(caller, "Hello")).encode()
        turns = json.dumps(asked(caller, "Hello", 2000)).encode()
        large = json.dumps(pictured(caller, image)).encode()
        print(
            f"{caller:>10} {upstream:>10}   {chunk_us(caller, upstream):8.1f}"
            f"   {request_ms(caller, upstream, small, 2000) * 1e3:16.1f}"
            f"   {request_ms(caller, upstream, turns, 10):14.2f}"
            f"   {request_ms(caller, upstream, large, 2):14.1f}"
            f"   {'passed through' if (caller, upstream) in NATIVES else 'translated'}"
        )


if __name__ == "__main__":
    main()
