"""The providers of the soak, in a process of their own: three dialects on one port, failing as they are told.

python provider.py PORT; GET /stats shows how many connections there are.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from faults import DIRECTIVE, FAULTS

JSON, SSE, NDJSON = "application/json", "text/event-stream", "application/x-ndjson"
ERROR = {"error": {"message": "soak", "type": "server_error", "code": None, "param": None}}
#: What a word is padded with.
PADDING = "lorem ipsum "


def words(name: str, pieces: int, pad: int) -> list[str]:
    """Return the text of an answer, piece by piece; callers know what to expect."""
    padding = (PADDING * (pad // len(PADDING) + 1))[:pad]
    return [f"{name}:{at} {padding}" for at in range(pieces)] + [f"end of {name}"]


# --- answers by dialect ----------------------------------------------------------------------------------------------


def _data(value: Any, event: str = "") -> bytes:
    line = f"event: {event}\n" if event else ""
    return line.encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


def _openai(text: list[str], stream: bool) -> list[bytes]:
    base = {"id": "chatcmpl-1", "created": 1, "model": "soak"}
    usage = {"prompt_tokens": 3, "completion_tokens": len(text), "total_tokens": 3 + len(text)}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": "".join(text)}, "finish_reason": "stop"}
        return [json.dumps({**base, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()]
    chunk = {**base, "object": "chat.completion.chunk"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in text)]
    frames = [_data({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    end = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
    return [frames[0] + frames[1], *frames[2:], _data(end) + b"data: [DONE]\n\n"]


def _completion(text: list[str], stream: bool) -> list[bytes]:
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "soak"}
    if not stream:
        choice = {"index": 0, "text": "".join(text), "finish_reason": "stop"}
        return [json.dumps({**base, "choices": [choice]}).encode()]
    frames = [_data({**base, "choices": [{"index": 0, "text": word, "finish_reason": None}]}) for word in text]
    return [
        *frames,
        _data({**base, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
    ]


def _anthropic(text: list[str], stream: bool) -> list[bytes]:
    usage = {"input_tokens": 3, "output_tokens": len(text)}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "soak", "stop_sequence": None}
    if not stream:
        content = [{"type": "text", "text": "".join(text)}]
        return [json.dumps({**message, "content": content, "stop_reason": "end_turn", "usage": usage}).encode()]
    begin = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}} for t in text]
    end = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    frames = [_data(event, event["type"]) for event in (*begin, *deltas, *end)]
    return [b"".join(frames[:3]), *frames[3 : 2 + len(text)], b"".join(frames[2 + len(text) :])]


def _ollama(text: list[str], stream: bool) -> list[bytes]:
    base = {"model": "soak", "created_at": "2026-01-01T00:00:00Z"}
    end = {"done": True, "done_reason": "stop", "eval_count": len(text), "prompt_eval_count": 3}
    if not stream:
        return [json.dumps({**base, "message": {"role": "assistant", "content": "".join(text)}, **end}).encode()]
    lines = [{**base, "message": {"role": "assistant", "content": word}, "done": False} for word in text]
    lines.append({**base, "message": {"role": "assistant", "content": ""}, **end})
    return [json.dumps(line).encode() + b"\n" for line in lines]


def _embedding(text: list[str], stream: bool) -> list[bytes]:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
    return [json.dumps({"object": "list", "data": data, "model": "soak", "usage": {"prompt_tokens": 3}}).encode()]


def _count(text: list[str], stream: bool) -> list[bytes]:
    return [b'{"input_tokens": 3}']


ANSWERS: dict[str, tuple[Callable[[list[str], bool], list[bytes]], str]] = {
    "/v1/chat/completions": (_openai, SSE),
    "/v1/completions": (_completion, SSE),
    "/v1/embeddings": (_embedding, SSE),
    "/v1/messages": (_anthropic, SSE),
    "/v1/messages/count_tokens": (_count, SSE),
    "/api/chat": (_ollama, NDJSON),
}


# --- the server ------------------------------------------------------------------------------------------------------


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, *lines: str) -> bytes:
    return "".join([f"HTTP/1.1 {status} Soak\r\n", *(f"{line}\r\n" for line in lines), "\r\n"]).encode()


def _whole(status: int, body: bytes, *lines: str, kind: str = JSON) -> bytes:
    return _head(status, f"Content-Type: {kind}", f"Content-Length: {len(body)}", *lines) + body


class Connection:
    """One connection of the gateway's, read request by request."""

    open = 0

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._served = 0

    async def serve(self) -> None:
        """Answer until either side has enough."""
        Connection.open += 1
        try:
            while await self._answer_one():
                self._served += 1
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            Connection.open -= 1
            self._writer.close()

    async def _answer_one(self) -> bool:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await self._reader.readexactly(int(fields.get("content-length", 0)))
        if method == "GET":
            await self._send(_whole(200, json.dumps({"connections": Connection.open}).encode()))
            return True
        found = DIRECTIVE.search(body)
        name, fault = (found[1].decode(), found[2].decode()) if found else ("nobody", "none")
        pieces, pace_ms, pad = (int(found[at]) for at in (3, 4, 5)) if found else (3, 0, 0)
        render, kind = ANSWERS[path]
        asked = json.loads(body)
        stream = asked.get("stream", path == "/api/chat") and path not in (
            "/v1/embeddings",
            "/v1/messages/count_tokens",
        )
        self._pieces = render(words(name, pieces, pad), stream)
        self._kind = kind if stream else JSON
        self._stream, self._pace_s = stream, pace_ms / 1000
        return await getattr(self, f"_do_{fault}", self._do_status)(fault)

    # -- sending

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _paced(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            await self._send(_chunk(piece))
            if self._pace_s:
                await asyncio.sleep(self._pace_s)

    async def _first_half(self) -> None:
        """Send the head and so much of the body that there is content in it, but no end."""
        if self._stream:
            await self._send(_head(200, f"Content-Type: {self._kind}", "Transfer-Encoding: chunked"))
            await self._paced(self._pieces[: max(1, len(self._pieces) // 2)])
        else:
            (body,) = self._pieces
            await self._send(_whole(200, body)[: -len(body) // 2])

    def _reset(self) -> bool:
        self._writer.transport.abort()
        return False

    async def _until_left(self) -> bool:
        """Say nothing more until the other side goes."""
        await self._reader.read()
        return False

    # -- what is done with a request; true where the connection can serve another

    async def _do_none(self, fault: str, *lines: str, after: bytes = b"") -> bool:
        if self._stream:
            await self._send(_head(200, f"Content-Type: {self._kind}", "Transfer-Encoding: chunked", *lines))
            await self._paced(self._pieces)
            await self._send(b"0\r\n\r\n" + after)
        else:
            await asyncio.sleep(self._pace_s)
            await self._send(_whole(200, self._pieces[0], *lines) + after)
        return True

    _do_large = _do_none

    async def _do_drip(self, fault: str) -> bool:
        body = b"".join(map(_chunk, self._pieces)) + b"0\r\n\r\n"
        data = _head(200, f"Content-Type: {self._kind}", "Transfer-Encoding: chunked") + body
        for at in range(0, len(data), 37):
            await self._send(data[at : at + 37])
            await asyncio.sleep(0)
        return True

    async def _do_early_hints(self, fault: str) -> bool:
        await self._send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        return await self._do_none(fault)

    async def _do_close_after(self, fault: str) -> bool:
        await self._do_none(fault, "Connection: close")
        return False

    async def _do_by_close(self, fault: str) -> bool:
        await self._send(_head(200, f"Content-Type: {self._kind}") + b"".join(self._pieces))
        return False

    async def _do_extra_bytes(self, fault: str) -> bool:
        # In one piece with the answer: what comes once another request is on its way is that one's answer by HTTP/1.1.
        await self._do_none(fault, after=b"HTTP/1.1 200 Poison\r\nContent-Length: 2\r\n\r\n{}")
        return await self._until_left()

    async def _do_stale(self, fault: str) -> bool:
        return self._reset() if self._served else await self._do_none(fault)

    async def _do_status(self, fault: str) -> bool:
        status = int(fault[1:])
        lines = ("Retry-After: 1",) if status in (429, 503, 529) else ()
        await self._send(_whole(status, json.dumps(ERROR).encode(), *lines))
        return True

    async def _do_html(self, fault: str) -> bool:
        await self._send(_whole(502, b"<html><h1>Bad Gateway</h1></html>", kind="text/html"))
        return True

    async def _do_redirect(self, fault: str) -> bool:
        await self._send(_whole(302, b"", "Location: http://127.0.0.1:1/"))
        return True

    async def _do_close(self, fault: str) -> bool:
        return False

    async def _do_reset(self, fault: str) -> bool:
        return self._reset()

    async def _do_half_head(self, fault: str) -> bool:
        await self._send(b"HTTP/1.1 200 OK\r\nContent-Ty")
        return False

    async def _do_garbage(self, fault: str) -> bool:
        await self._send(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        return await self._until_left()

    async def _do_two_lengths(self, fault: str) -> bool:
        await self._send(_head(200, "Content-Length: 2", "Content-Length: 3") + b"{}}")
        return await self._until_left()

    async def _do_huge_head(self, fault: str) -> bool:
        await self._send(_head(200, *(f"X-{at}: {'x' * 1000}" for at in range(200))))
        return await self._until_left()

    async def _do_silence(self, fault: str) -> bool:
        return await self._until_left()

    async def _do_no_json(self, fault: str) -> bool:
        await self._send(_whole(200, b"well, no", kind=self._kind))
        return True

    async def _do_error_in_200(self, fault: str) -> bool:
        if self._stream:
            self._pieces = [self._error()]
            return await self._do_none(fault)
        await self._send(_whole(200, json.dumps(ERROR).encode()))
        return True

    async def _do_empty(self, fault: str) -> bool:
        if self._stream:
            self._pieces = []
            return await self._do_none(fault)
        await self._send(_whole(200, b""))
        return True

    async def _do_cut(self, fault: str) -> bool:
        await self._first_half()
        return False

    async def _do_reset_amid(self, fault: str) -> bool:
        await self._first_half()
        await asyncio.sleep(0.05)  # a reset overtakes what the other side has not read yet
        return self._reset()

    async def _do_silence_amid(self, fault: str) -> bool:
        await self._first_half()
        return await self._until_left()

    async def _do_garbage_amid(self, fault: str) -> bool:
        if not self._stream:
            return await self._do_garbage(fault)
        await self._first_half()
        await self._send(b"what chunk is this\r\n")
        return await self._until_left()

    async def _do_error_amid(self, fault: str) -> bool:
        if not self._stream:
            return await self._do_error_in_200(fault)
        self._pieces = [*self._pieces[: max(1, len(self._pieces) // 2)], self._error()]
        return await self._do_none(fault)

    def _error(self) -> bytes:
        if self._kind == NDJSON:
            return b'{"error": "soak"}\n'
        anthropic = {"type": "error", "error": {"type": "api_error", "message": "soak"}}
        return _data(anthropic, "error") if b"message_start" in self._pieces[0] else _data(ERROR)


async def main(port: int) -> None:
    """Serve for ever. Raises ``SystemExit`` where the table of faults names one that nothing here does."""
    unknown = [name for name in FAULTS if not hasattr(Connection, f"_do_{name}") and not name[1:].isdigit()]
    if unknown:
        raise SystemExit(f"nobody knows how to do {unknown}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(reader, writer).serve()

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024, limit=1 << 21)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
