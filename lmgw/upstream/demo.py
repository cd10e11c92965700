"""The ``demo`` provider: answers from inside the process, in OpenAI's dialect, so that everything can be tried
without a key, a network or a model.

The answer says something about the question, a word at a time, about twenty a second. Some words in the last message
ask for more:

- ``use the tool`` calls the first of the tools that the request offers, with arguments that fit its schema;
- ``slow`` lets a second pass between two words;
- ``fail 503`` (any status from 400 to 599) answers with this status;
- ``fail refused`` and ``fail timeout`` act like a server that is down, or silent;
- ``fail break`` breaks off in the middle of the answer;
- ``I cannot help`` is what all models then say, but for those with ``capable`` in their name.

A classifier's call gets a label for an answer, by the words of the question.
``/embeddings`` gives each input a short vector, ``/completions`` answers the prompt, ``/models`` lists one model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import UpstreamFailed, UpstreamTimeout
from lmgw.upstream import demo_words
from lmgw.upstream.exchange import Asking, Head, Receiver

#: Seconds before the first byte, between two words, and between two words of ``slow``.
THINKING_S, WORD_S, SLOW_S = 0.1, 0.05, 1.0

_FAIL = re.compile(r"\bfail (refused|timeout|break|[45]\d\d)\b")
_WORD = re.compile(r"\S+\s*")

_FAULTS = {
    "refused": Fault(
        FaultKind.CONNECT,
        UpstreamFailed("the provider could not be reached: connection refused"),
        detail='the demo provider was asked to "fail refused"',
    ),
    "timeout": Fault(
        FaultKind.TIMEOUT,
        UpstreamTimeout("the provider sent no answer in time"),
        detail='the demo provider was asked to "fail timeout"',
    ),
    "break": Fault(
        FaultKind.CLOSED,
        UpstreamFailed("the provider closed the connection in the middle of its answer"),
        detail='the demo provider was asked to "fail break"',
    ),
}


class Script(msgspec.Struct, frozen=True):
    """What the demo will say: the status, the body in pieces, seconds between them, and how it ends."""

    status: int
    pieces: Sequence[bytes]
    pace_s: float = 0.0
    stream: bool = False
    fault: Fault | None = None


class DemoExchange(Asking):
    """An :class:`~lmgw.upstream.exchange.Exchange` with nobody."""

    def __init__(self, reactor: IReactorTime, path: str, body: bytes) -> None:
        self._reactor = reactor
        self._script = write(path, body)
        self._rest: Iterator[bytes] = iter(self._script.pieces)
        self._call: IDelayedCall | None = None
        self._heard = self._resume = None
        self._receiver: Receiver | None = None
        self._paused = False

    def ask(self) -> None:
        """Think for a moment, then answer."""
        if self._script.fault is not None and not self._script.pieces:
            self._answer(self._script.fault)
        else:
            kind = b"text/event-stream; charset=utf-8" if self._script.stream else b"application/json"
            head = Head(self._script.status, [(b"content-type", kind), (b"x-request-id", b"demo")])
            self._call = self._reactor.callLater(THINKING_S, self._answer, head)

    def relay(self, receiver: Receiver) -> None:
        """Hand the body over, at the script's pace."""
        self._receiver = receiver
        self._next()

    async def body(self, limit: int) -> bytes | Fault:
        """Return the whole body at once."""
        return self.at_hand(limit)

    def at_hand(self, limit: int) -> bytes | Fault:
        """The same."""
        return self._script.fault or b"".join(self._rest)

    def pause(self) -> None:
        """Stop talking."""
        self._paused = True
        self._stop()

    def resume(self) -> None:
        """Talk on."""
        if self._paused:
            self._paused = False
            self._next()

    def abort(self) -> None:
        """Be quiet for good."""
        self._receiver = None
        self._stop()
        self._answer(_FAULTS["break"])

    def _answer(self, answer: Head | Fault) -> None:
        if self._heard is None:
            self._tell(answer)

    def _stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _next(self) -> None:
        if self._receiver is None or self._paused:
            return
        piece = next(self._rest, None)
        if piece is None:
            receiver, self._receiver = self._receiver, None
            receiver.ended(self._script.fault)
            return
        self._call = self._reactor.callLater(self._script.pace_s, self._next)
        self._receiver.data(piece)


def write(path: str, body: bytes) -> Script:
    """Work out what to answer to a request's body."""
    request = _decode(body)
    question = _question(request)
    if demo_words.is_classification(request):
        return Script(200, [Answer(request, question, demo_words.label(question), chat=True).whole()])
    asked = _FAIL.search(question.lower())
    fail = asked.group(1) if asked else ""
    if fail.isdigit():
        words = f"the demo was asked to fail with {fail}"
        error = {"message": words, "type": "demo_error", "param": None, "code": None}
        return Script(int(fail), [_encode({"error": error})])
    if fail in ("refused", "timeout"):
        return Script(0, [], fault=_FAULTS[fail])
    if path.startswith("/models"):
        return Script(200, [_encode({"object": "list", "data": [{"id": "demo", "object": "model", "created": 0}]})])
    if path == "/embeddings":
        return Script(200, [_encode(_embeddings(request))])
    said = demo_words.answer(question, str(request.get("model", "demo")))
    answer = Answer(request, question, said, chat=path != "/completions")
    fault = _FAULTS["break"] if fail else None
    if request.get("stream") is not True:
        return Script(200, [b""] if fault else [answer.whole()], fault=fault)
    pieces = answer.stream()
    pace_s = SLOW_S if "slow" in question.lower().split() else WORD_S
    return Script(200, pieces[: len(pieces) // 2] if fault else pieces, pace_s, stream=True, fault=fault)


class Answer:
    """One answer to a chat or a completion request, in OpenAI's dialect."""

    def __init__(self, request: Mapping[str, Any], question: str, said: str, chat: bool) -> None:
        self._chat = chat
        self._request = request
        tools = request.get("tools")
        self._call = _tool_call(tools) if tools and "use the tool" in question.lower() else None
        limit = request.get("max_completion_tokens") or request.get("max_tokens") or len(question) + 100
        words = [] if self._call else _WORD.findall(said)
        self._words = words[:limit]
        self._finish = "tool_calls" if self._call else "stop" if len(words) <= limit else "length"
        prompt_tokens = len(_WORD.findall(str(request.get("messages") or request.get("prompt")))) + 1
        output_tokens = len(self._words) or 8
        self._usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": prompt_tokens + output_tokens,
        }

    def whole(self) -> bytes:
        """Return the answer in one piece."""
        text = "".join(self._words)
        message: dict[str, Any] = {"role": "assistant", "content": None if self._call else text}
        if self._call:
            message["tool_calls"] = [self._call]
        kind, choice = ("chat.completion", {"message": message}) if self._chat else ("text_completion", {"text": text})
        return _encode(self._frame(kind, choice, self._finish) | {"usage": self._usage})

    def stream(self) -> list[bytes]:
        """Return the answer as SSE frames."""
        if not self._chat:
            frames = [self._frame("text_completion", {"text": word}) for word in self._words]
            frames.append(self._frame("text_completion", {"text": ""}, self._finish))
        else:
            deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
            deltas += [{"content": word} for word in self._words]
            if self._call:
                function = self._call["function"]
                begun = {**self._call, "index": 0, "function": {**function, "arguments": ""}}
                deltas.append({"tool_calls": [begun]})
                deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": function["arguments"]}}]})
            frames = [self._frame("chat.completion.chunk", {"delta": delta}) for delta in deltas]
            frames.append(self._frame("chat.completion.chunk", {"delta": {}}, self._finish))
        if (self._request.get("stream_options") or {}).get("include_usage"):
            frames.append({**frames[-1], "choices": [], "usage": self._usage})
        return [b"data: %b\n\n" % data for data in [*map(_encode, frames), b"[DONE]"]]

    def _frame(self, kind: str, choice: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-demo",
            "object": kind,
            "created": 0,
            "model": self._request.get("model", "demo"),
            "choices": [{"index": 0, **choice, "finish_reason": finish}],
        }


def _tool_call(tools: Any) -> dict[str, Any] | None:
    """Call the first function, with a value for each property that its schema requires."""
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            schema = function.get("parameters")
            arguments = _sample(schema if isinstance(schema, dict) else {})
            called = {"name": function["name"], "arguments": msgspec.json.encode(arguments).decode()}
            return {"id": "call_demo", "type": "function", "function": called}
    return None


def _sample(schema: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {name: _value(properties.get(name), depth) for name in required if isinstance(name, str)}


def _value(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > 3:
        return "demo"
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return _sample(schema, depth + 1)
    return {"integer": 1, "number": 1.5, "boolean": True, "array": [], "null": None}.get(
        str(schema.get("type")), "demo"
    )


def _embeddings(request: Mapping[str, Any]) -> dict[str, Any]:
    """Give each input a vector of eight numbers that depends on nothing but its text."""
    inputs = request.get("input")
    texts = inputs if isinstance(inputs, list) else [inputs]
    data = []
    for index, text in enumerate(texts):
        digest = hashlib.sha256(str(text).encode()).digest()[:8]
        data.append({"object": "embedding", "index": index, "embedding": [byte / 128 - 1 for byte in digest]})
    tokens = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": request.get("model", "demo"), "data": data, "usage": usage}


def _question(request: Mapping[str, Any]) -> str:
    """Return the text of the last message, or the prompt."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return str(request.get("prompt") or "")
    content = messages[-1].get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict)).strip()
    return str(content or "")


def _decode(body: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(body or b"{}")
    except msgspec.DecodeError:
        return {}
    return request if isinstance(request, dict) else {}


_encode = msgspec.json.encode
