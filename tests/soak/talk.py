"""How the soak's clients ask and read: every dialect over HTTP/1.1, on connections that they can abuse."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What came of one request; ``complete`` as HTTP has it, ``ended`` as the dialect has it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    @property
    def streamed(self) -> bool:
        """Whether it is a stream."""
        return self.headers.get("content-type", "").startswith(("text/event-stream", "application/x-ndjson"))

    @property
    def message(self) -> str:
        """The words of an error, as far as there are any."""
        try:
            error = json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return self.body[:200].decode("utf-8", "replace")
        return str(error if isinstance(error, str) else error.get("message"))


class Line:
    """One connection to the gateway; raises ``OSError`` and ``EOFError`` as the socket does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, *, buffer: int = 0) -> Line:
        """Connect; ``buffer`` limits what the kernel takes before we read, in bytes."""
        sock = socket.socket()
        sock.setblocking(False)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=sock, limit=1 << 16))

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """Read an answer's head."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = text.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        return Answer(int(status.split(" ")[1]), {name.lower(): value for name, value in headers.items()})

    async def read(self) -> Answer:
        """Read one answer, whatever becomes of it."""
        answer = await self.head()
        try:
            await self.read_body(answer)
        except (OSError, EOFError):
            answer.complete = False
        return answer

    async def read_body(self, answer: Answer) -> None:
        """Read the rest of an answer."""
        if "content-length" in answer.headers:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        else:
            pieces: list[bytes] = []
            try:
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    pieces.append((await self.reader.readexactly(size + 2))[:-2])
                await self.reader.readexactly(2)
            finally:
                answer.body = b"".join(pieces)
        answer.complete = True

    def drop(self) -> None:
        """Go away, as a killed process does."""
        self.writer.transport.abort()


# --- dialects --------------------------------------------------------------------------------------------------------

Shown = tuple[str, bool, bool]  #: text, whether its end was seen, whether an error was


@dataclass(frozen=True)
class Dialect:
    """One caller's side."""

    path: str
    body: Callable[[str, str, bool], dict[str, Any]]
    whole: Callable[[dict[str, Any]], str]
    event: Callable[[dict[str, Any]], Shown]

    def request(self, model: str, words: str, *, stream: bool, headers: dict[str, str]) -> bytes:
        """Return a request as bytes."""
        body = json.dumps(self.body(model, words, stream)).encode()
        lines = [f"POST {self.path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def shown(self, answer: Answer) -> Shown:
        """Return what a user sees of an answer."""
        if not answer.streamed:
            return self.whole(json.loads(answer.body)), True, False
        pieces, ended, failed = [], False, False
        for line in answer.body.splitlines():
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                ended = True
            elif data.startswith(b"{"):
                piece, end, error = self.event(json.loads(data))
                pieces.append(piece)
                ended, failed = ended or end, failed or error
        return "".join(pieces), ended, failed


def _messages(model: str, words: str, stream: bool) -> dict[str, Any]:
    return {"model": model, "stream": stream, "max_tokens": 500, "messages": [{"role": "user", "content": words}]}


def _openai_event(event: dict[str, Any]) -> Shown:
    choices = event.get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or choices[0].get("text") or "", False, "error" in event


def _anthropic_event(event: dict[str, Any]) -> Shown:
    text = event["delta"].get("text", "") if event["type"] == "content_block_delta" else ""
    return text, event["type"] == "message_stop", event["type"] == "error"


def _ollama_event(event: dict[str, Any]) -> Shown:
    text = (event.get("message") or {}).get("content") or event.get("response") or ""
    return text, bool(event.get("done")), "error" in event


def _responses_event(event: dict[str, Any]) -> Shown:
    kind = event["type"]
    text = event["delta"] if kind == "response.output_text.delta" else ""
    return text, kind == "response.completed", kind in ("error", "response.failed")


def _responses_whole(answer: dict[str, Any]) -> str:
    return "".join(part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"])


DIALECTS = {
    "chat": Dialect("/v1/chat/completions", _messages, lambda a: a["choices"][0]["message"]["content"], _openai_event),
    "completions": Dialect(
        "/v1/completions",
        lambda model, words, stream: {"model": model, "prompt": words, "stream": stream},
        lambda a: a["choices"][0]["text"],
        _openai_event,
    ),
    "messages": Dialect("/v1/messages", _messages, lambda a: a["content"][0]["text"], _anthropic_event),
    "responses": Dialect(
        "/v1/responses",
        lambda model, words, stream: {"model": model, "input": words, "stream": stream},
        _responses_whole,
        _responses_event,
    ),
    "ollama": Dialect("/api/chat", _messages, lambda a: a["message"]["content"], _ollama_event),
    "generate": Dialect(
        "/api/generate",
        lambda model, words, stream: {"model": model, "prompt": words, "stream": stream},
        lambda a: a["response"],
        _ollama_event,
    ),
}
