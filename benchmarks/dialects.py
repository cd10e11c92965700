"""What is said in each dialect: the request of a benchmark, and what the fake provider answers (native/upstream.c)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Stands in every streamed piece; the upstream writes the time over the digits.
MARK = "@T=" + "0" * 19
_PAD = "x" * 40

_SYSTEM = (
    "You are a careful assistant. Answer briefly, cite the file and line you looked at, and never invent an API. When "
    "you are not sure say so in plain words and propose how to find out. Keep code blocks short and runnable."
)
_ASKED = (
    "I have a service which accepts uploads and sometimes the worker that thumbnails them dies with exit code 137 "
    "while the queue still thinks the job is being worked on. How would you find out which jobs are stuck and requeue "
    "them without doing any of them twice? We run postgres 15 and a small python worker."
)
_TOLD = (
    "Give every job a lease with an expiry and a fencing token, renew it while working, and let a sweeper requeue the "
    "expired ones."
)
_ASKED_AGAIN = "Please show me the SQL for the sweeper, and the python for the renewal."
_FILE = 'def renew(job):\n    """Renew the lease of \\"job\\"."""\n    return lease(job, seconds=60)\n' * 11
#: How a whole answer ends, in every dialect.
ANSWER_END = "here today on one core."
_ANSWER = (
    "The quick brown fox jumps over the lazy dog while the patient gateway forwards every byte of this answer without "
    f"touching it at all, which is the whole point of the exercise we are running {ANSWER_END}"
)

Turns = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect.

    :ivar target: where a gateway takes its requests.
    :ivar ask: renders a request of (model, streamed, turns).
    :ivar stream_end: what stands at the end of every complete stream.
    :ivar path: how a request's target ends at the fake provider.
    :ivar events: a stream's begin, one piece, end.
    """

    target: str
    ask: Callable[[str, bool, Turns], dict[str, Any]]
    stream_end: str
    path: str
    content_type: str
    whole: dict[str, Any]
    events: tuple[str, str, str]

    def request(self, model: str, *, pieces: int = 0, interval_us: int = 0, size: int = 0) -> bytes:
        """Return a request's body, of about 1 kB or of ``size`` bytes; streamed where ``pieces`` are asked for."""
        knobs = f" @@N={pieces},D={interval_us}@@"
        turns = [
            {"role": "user", "content": _ASKED},
            {"role": "assistant", "content": _TOLD},
            {"role": "user", "content": _ASKED_AGAIN + knobs},
        ]
        body = self._body(model, pieces, turns)
        more = [{"role": "user", "content": _FILE}, {"role": "assistant", "content": _TOLD}]
        each = len(_compact(more)) - 1
        return self._body(model, pieces, more * max(0, (size - len(body)) // each) + turns) if size else body

    def _body(self, model: str, pieces: int, turns: Turns) -> bytes:
        return _compact(self.ask(model, pieces > 0, turns))

    def end_of(self, *, streamed: bool) -> str:
        """Return what every good answer holds."""
        return self.stream_end if streamed else ANSWER_END

    def write_to(self, folder: Path) -> None:
        """Write the files that the fake provider wants."""
        folder.mkdir(parents=True, exist_ok=True)
        body = _compact(self.whole)
        begin, piece, end = (_chunk(text) for text in self.events)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        stream = f"HTTP/1.1 200 OK\r\nContent-Type: {self.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        files = {
            "path": self.path.encode(),
            "whole": head + body,
            "begin": stream + begin,
            "piece": piece,
            "end": end + b"0\r\n\r\n",
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _data(*values: dict[str, Any]) -> str:
    return "".join(f"data: {_compact(value).decode()}\n\n" for value in values)


def _events(*values: dict[str, Any]) -> str:
    return "".join(f"event: {value['type']}\ndata: {_compact(value).decode()}\n\n" for value in values)


def _lines(*values: dict[str, Any]) -> str:
    return "".join(_compact(value).decode() + "\n" for value in values)


# --- OpenAI's Chat Completions


def _chat(model: str, stream: bool, turns: Turns) -> dict[str, Any]:
    messages = [{"role": "system", "content": _SYSTEM}, *turns]
    return {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 512, "stream": stream}


def _chat_chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "fake",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


OPENAI = Dialect(
    target="/v1/chat/completions",
    ask=_chat,
    stream_end="data: [DONE]",
    path="/chat/completions",
    content_type="text/event-stream",
    whole={
        "id": "chatcmpl-123456789012345678901234",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "fake",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _ANSWER},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 212, "completion_tokens": 48, "total_tokens": 260},
    },
    events=(
        "",
        _data(_chat_chunk({"content": f"{MARK} {_PAD}"})),
        _data(_chat_chunk({}, "stop")) + "data: [DONE]\n\n",
    ),
)


# --- Anthropic's Messages


def _messages(model: str, stream: bool, turns: Turns) -> dict[str, Any]:
    return {
        "model": model,
        "system": _SYSTEM,
        "messages": turns,
        "temperature": 0.2,
        "max_tokens": 512,
        "stream": stream,
    }


_USAGE = {"input_tokens": 212, "output_tokens": 48}
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "fake", "stop_sequence": None}

ANTHROPIC = Dialect(
    target="/v1/messages",
    ask=_messages,
    stream_end='{"type":"message_stop"}',
    path="/messages",
    content_type="text/event-stream",
    whole={
        **_MESSAGE,
        "content": [{"type": "text", "text": _ANSWER}],
        "stop_reason": "end_turn",
        "usage": _USAGE,
    },
    events=(
        _events(
            {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None, "usage": _USAGE}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        _events({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"{MARK} {_PAD}"}}),
        _events(
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 48},
            },
            {"type": "message_stop"},
        ),
    ),
)


# --- Ollama's chat


def _ollama(model: str, stream: bool, turns: Turns) -> dict[str, Any]:
    messages = [{"role": "system", "content": _SYSTEM}, *turns]
    return {
        "model": model,
        "messages": messages,
        "stream": stream,
        "options": {"temperature": 0.2, "num_predict": 512},
    }


def _ollama_line(content: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "fake",
        "created_at": "2026-01-02T03:04:05.678901234Z",
        "message": {"role": "assistant", "content": content},
        "done": bool(more),
        **more,
    }


_COUNTS = {
    "done_reason": "stop",
    "total_duration": 1_000_000,
    "load_duration": 1000,
    "prompt_eval_count": 212,
    "prompt_eval_duration": 1000,
    "eval_count": 48,
    "eval_duration": 1000,
}

OLLAMA = Dialect(
    target="/api/chat",
    ask=_ollama,
    stream_end='"done":true',
    path="/api/chat",
    content_type="application/x-ndjson",
    whole=_ollama_line(_ANSWER, **_COUNTS),
    events=("", _lines(_ollama_line(f"{MARK} {_PAD}")), _lines(_ollama_line("", **_COUNTS))),
)


# --- OpenAI's Responses


def _responses(model: str, stream: bool, turns: Turns) -> dict[str, Any]:
    return {
        "model": model,
        "instructions": _SYSTEM,
        "input": turns,
        "temperature": 0.2,
        "max_output_tokens": 512,
        "stream": stream,
        "store": False,
    }


def _response(status: str, text: str | None) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "model": "fake",
        "output": [] if text is None else [_item("completed", text)],
        "usage": {"input_tokens": 212, "output_tokens": 48, "total_tokens": 260} if status == "completed" else None,
    }


def _item(status: str, text: str | None) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


_WHERE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_DELTA = "response.output_text.delta"

RESPONSES = Dialect(
    target="/v1/responses",
    ask=_responses,
    stream_end='"type":"response.completed"',
    path="/responses",
    content_type="text/event-stream",
    whole=_response("completed", _ANSWER),
    events=(
        _events(
            {"type": "response.created", "sequence_number": 0, "response": _response("in_progress", None)},
            {
                "type": "response.output_item.added",
                "sequence_number": 1,
                "output_index": 0,
                "item": _item("in_progress", None),
            },
            {"type": "response.content_part.added", "sequence_number": 2, **_WHERE, "part": _part("")},
        ),
        _events({"type": _DELTA, "sequence_number": 3, **_WHERE, "delta": f"{MARK} {_PAD}", "logprobs": []}),
        _events(
            {"type": "response.output_text.done", "sequence_number": 4, **_WHERE, "text": "…", "logprobs": []},
            {"type": "response.content_part.done", "sequence_number": 5, **_WHERE, "part": _part("…")},
            {
                "type": "response.output_item.done",
                "sequence_number": 6,
                "output_index": 0,
                "item": _item("completed", "…"),
            },
            {"type": "response.completed", "sequence_number": 7, "response": _response("completed", "…")},
        ),
    ),
)

DIALECTS = {"openai": OPENAI, "anthropic": ANTHROPIC, "ollama": OLLAMA, "responses": RESPONSES}
