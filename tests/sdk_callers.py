"""The official SDKs as callers: the same conversation held with each of them, in every manner that it offers.

    caller = OpenAICaller(gateway.url)
    history = caller.user("please use the tool")
    told = await in_thread(caller.ask, "stream", "tier", history, tools=TOOLS)
    history += [told.turn, *caller.results(told, ["rain"])]

``ask`` blocks, as the SDKs do, so it runs in a thread. What it returns is read with the SDK's own accumulators (or, in
the manners without one, as their documentation says), and ``turn`` is given back to the next call as people do.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import anthropic
import ollama
import openai
from pydantic import BaseModel, ConfigDict, Field

CLIENT_KEY = "sk-client-of-the-gateway"
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
MAX_TOKENS = 8000


class GetWeather(BaseModel):
    """Weather by city"""

    model_config = ConfigDict(extra="forbid")
    city: str


class GetTime(BaseModel):
    """Time by city"""

    model_config = ConfigDict(extra="forbid")
    city: str


class Weather(BaseModel):
    """What is asked for as JSON; no provider's strict mode but OpenAI's takes the limits."""

    model_config = ConfigDict(extra="forbid")
    city: str
    degrees: int = Field(ge=-90, le=60)


TOOLS: tuple[type[BaseModel], ...] = (GetWeather, GetTime)


@dataclass
class Told:
    """One answer; ``calls`` are names and arguments, ``usage`` is input, output, ``turn`` is the SDK's own message."""

    text: str
    thought: str
    calls: list[tuple[str, dict[str, Any]]]
    finish: str | None
    usage: tuple[int, int]
    turn: Any
    parsed: Any = None


class Caller(Protocol):
    """One SDK. ``manners`` are its ways to ask; the finish words are those of its dialect."""

    name: str
    manners: Sequence[str]
    finish: dict[str, str]

    def user(self, text: str, picture: bytes | None = None) -> list[Any]:
        """Return the messages of a user's turn."""

    def results(self, told: Told, texts: Iterable[str]) -> list[Any]:
        """Return the messages that give the results of an answer's calls back."""

    def ask(
        self, manner: str, model: str, messages: list[Any], *, tools: Any = (), schema: Any = None, think: bool = False
    ) -> Told:
        """Ask, and read the whole answer."""

    def close(self) -> None:
        """Close its connections."""


# --- openai --------------------------------------------------------------------------------------------------


class OpenAICaller:
    """The ``openai`` package."""

    name = "openai"
    manners = ("create", "create_stream", "stream")
    finish = {"stop": "stop", "tool_calls": "tool_calls"}

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=10)

    def close(self) -> None:
        self.client.close()

    def user(self, text: str, picture: bytes | None = None) -> list[Any]:
        if picture is None:
            return [{"role": "user", "content": text}]
        url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
        return [{"role": "user", "content": parts}]

    def results(self, told: Told, texts: Iterable[str]) -> list[Any]:
        pairs = zip(told.turn["tool_calls"], texts, strict=True)
        return [{"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in pairs]

    def ask(
        self, manner: str, model: str, messages: list[Any], *, tools: Any = (), schema: Any = None, think: bool = False
    ) -> Told:
        options: dict[str, Any] = {"model": model, "messages": messages, "max_completion_tokens": MAX_TOKENS}
        if tools:
            options["tools"] = [openai.pydantic_function_tool(tool) for tool in tools]
        if think:
            options["reasoning_effort"] = "medium"
        chat = self.client.chat.completions
        if manner == "stream":
            return self._stream(chat, options | ({"response_format": schema} if schema else {}))
        if manner == "create" and schema is not None:
            return _from_completion(chat.parse(**options, response_format=schema))
        if schema is not None:
            wanted = {"name": "weather", "schema": schema.model_json_schema(), "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if manner == "create_stream":
            return self._chunks(chat, options)
        return _from_completion(chat.create(**options))

    def _stream(self, chat: Any, options: dict[str, Any]) -> Told:
        """Read with the SDK's helper, whose events must tell the same as its final completion."""
        text, called = "", []
        with chat.stream(**options, stream_options={"include_usage": True}) as stream:
            for event in stream:
                if event.type == "content.delta":
                    text += event.delta
                elif event.type == "tool_calls.function.arguments.done":
                    called.append((event.name, json.loads(event.arguments)))
            told = _from_completion(stream.get_final_completion())
        assert (text, called) == (told.text, told.calls)
        return told

    def _chunks(self, chat: Any, options: dict[str, Any]) -> Told:
        """Add the chunks up by hand, as most applications do."""
        text, thought, finish, usage = "", "", None, None
        calls: list[dict[str, Any]] = []
        for chunk in chat.create(**options, stream=True, stream_options={"include_usage": True}):
            if chunk.usage:
                assert chunk.choices == [] or chunk.choices[0].finish_reason, "usage before the end"
                usage = chunk.usage
            for choice in chunk.choices:
                assert finish is None, "a choice after the finish"
                text += choice.delta.content or ""
                thought += getattr(choice.delta, "reasoning_content", None) or ""
                for piece in choice.delta.tool_calls or ():
                    if piece.index == len(calls):
                        calls.append({"id": piece.id, "type": piece.type, "function": {"name": "", "arguments": ""}})
                    else:
                        assert (piece.id, piece.type, piece.function.name) == (None, None, None), "said twice"
                    calls[piece.index]["function"]["name"] += piece.function.name or ""
                    calls[piece.index]["function"]["arguments"] += piece.function.arguments or ""
                finish = choice.finish_reason
        turn: dict[str, Any] = {"role": "assistant", "content": text or None}
        turn |= {"tool_calls": calls} if calls else {}
        called = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
        return Told(text, thought, called, finish, _openai_usage(usage), turn)


def _from_completion(completion: Any) -> Told:
    (choice,) = completion.choices
    message = choice.message
    assert message.role == "assistant"
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    return Told(
        message.content or "",
        getattr(message, "reasoning_content", None) or "",
        calls,
        choice.finish_reason,
        _openai_usage(completion.usage),
        _openai_turn(message),
        getattr(message, "parsed", None),
    )


def _openai_turn(message: Any) -> dict[str, Any]:
    """Return a message as it can be given back: without what only the SDK has put into it."""
    turn: dict[str, Any] = message.model_dump(exclude={"parsed"}, exclude_none=True)
    for call in turn.get("tool_calls", ()):
        call["function"].pop("parsed_arguments", None)
        call.pop("index", None)
    return turn


def _openai_usage(usage: Any) -> tuple[int, int]:
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return usage.prompt_tokens, usage.completion_tokens


# --- anthropic -----------------------------------------------------------------------------------------------


class AnthropicCaller:
    """The ``anthropic`` package; ``thinking`` is what it is asked with where it is to think."""

    name = "anthropic"
    manners = ("create", "create_stream", "stream")
    finish = {"stop": "end_turn", "tool_calls": "tool_use"}
    thinking: dict[str, Any] = {"type": "enabled", "budget_tokens": 2048}

    def __init__(self, url: str) -> None:
        self.client = anthropic.Anthropic(base_url=url, api_key=CLIENT_KEY, max_retries=0, timeout=10)

    def close(self) -> None:
        self.client.close()

    def user(self, text: str, picture: bytes | None = None) -> list[Any]:
        if picture is None:
            return [{"role": "user", "content": text}]
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(picture).decode()}
        return [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": text}]}]

    def results(self, told: Told, texts: Iterable[str]) -> list[Any]:
        ids = [block["id"] if isinstance(block, dict) else block.id for block in told.turn["content"] if _calls(block)]
        pairs = zip(ids, texts, strict=True)
        blocks = [{"type": "tool_result", "tool_use_id": id, "content": text} for id, text in pairs]
        return [{"role": "user", "content": blocks}]

    def ask(
        self, manner: str, model: str, messages: list[Any], *, tools: Any = (), schema: Any = None, think: bool = False
    ) -> Told:
        options: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS}
        if tools:
            options["tools"] = [
                {"name": tool.__name__, "description": tool.__doc__, "input_schema": tool.model_json_schema()}
                for tool in tools
            ]
        if think:
            options["thinking"] = self.thinking
        if manner == "stream":
            with self.client.messages.stream(**options, **({"output_format": schema} if schema else {})) as stream:
                text = "".join(stream.text_stream)
                told = _from_message(stream.get_final_message())
            assert text == told.text
            return told
        if manner == "create" and schema is not None:
            return _from_message(self.client.messages.parse(**options, output_format=schema))
        if schema is not None:
            wanted = anthropic.transform_schema(schema)
            options["output_config"] = {"format": {"type": "json_schema", "schema": wanted}}
        if manner == "create_stream":
            return _from_events(self.client.messages.create(**options, stream=True))
        return _from_message(self.client.messages.create(**options))


def _calls(block: Any) -> bool:
    return (block["type"] if isinstance(block, dict) else block.type) == "tool_use"


def _from_message(message: Any) -> Told:
    assert message.role == "assistant"
    blocks = message.content
    for block in blocks:
        assert block.type != "thinking" or block.signature, "thinking without a signature"
    return Told(
        "".join(block.text for block in blocks if block.type == "text"),
        "".join(block.thinking for block in blocks if block.type == "thinking"),
        [(block.name, block.input) for block in blocks if block.type == "tool_use"],
        message.stop_reason,
        (message.usage.input_tokens, message.usage.output_tokens),
        {"role": "assistant", "content": blocks},
        next((block.parsed_output for block in blocks if hasattr(block, "parsed_output")), None),
    )


def _from_events(events: Iterable[Any]) -> Told:
    """Add the raw events up by hand."""
    blocks: list[dict[str, Any]] = []
    inputs: dict[int, str] = {}
    finish, usage = None, (0, 0)
    for event in events:
        if event.type == "message_start":
            usage = (event.message.usage.input_tokens, 0)
        elif event.type == "content_block_start":
            assert event.index == len(blocks)
            blocks.append(event.content_block.model_dump(exclude_none=True))
            inputs[event.index] = ""
        elif event.type == "content_block_delta":
            delta, block = event.delta, blocks[event.index]
            if delta.type == "input_json_delta":
                inputs[event.index] += delta.partial_json
            else:
                key = delta.type.removesuffix("_delta")
                block[key] = block.get(key, "") + getattr(delta, key)
        elif event.type == "content_block_stop" and blocks[event.index]["type"] == "tool_use":
            blocks[event.index]["input"] = json.loads(inputs[event.index] or "{}")
        elif event.type == "message_delta":
            finish, usage = event.delta.stop_reason, (event.usage.input_tokens or usage[0], event.usage.output_tokens)
    return Told(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        finish,
        usage,
        {"role": "assistant", "content": blocks},
    )


# --- ollama --------------------------------------------------------------------------------------------------


class OllamaCaller:
    """The ``ollama`` package, which has no accumulator of its own."""

    name = "ollama"
    manners = ("chat", "chat_stream")
    finish = {"stop": "stop", "tool_calls": "stop"}

    def __init__(self, url: str) -> None:
        self.client = ollama.Client(url, headers={"Authorization": f"Bearer {CLIENT_KEY}"}, timeout=10)

    def close(self) -> None:
        self.client._client.close()  # 0.6.0 has no close() of its own

    def user(self, text: str, picture: bytes | None = None) -> list[Any]:
        return [{"role": "user", "content": text} | ({"images": [picture]} if picture is not None else {})]

    def results(self, told: Told, texts: Iterable[str]) -> list[Any]:
        pairs = zip(told.turn.tool_calls, texts, strict=True)
        return [{"role": "tool", "tool_name": call.function.name, "content": text} for call, text in pairs]

    def ask(
        self, manner: str, model: str, messages: list[Any], *, tools: Any = (), schema: Any = None, think: bool = False
    ) -> Told:
        options: dict[str, Any] = {"model": model, "messages": messages, "options": {"num_predict": MAX_TOKENS}}
        if tools:
            options["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.__name__,
                        "description": tool.__doc__,
                        "parameters": tool.model_json_schema(),
                    },
                }
                for tool in tools
            ]
        if schema is not None:
            options["format"] = schema.model_json_schema()
        if think:
            options["think"] = True
        if manner == "chat":
            return _from_chat([self.client.chat(**options)])
        return _from_chat(list(self.client.chat(**options, stream=True)))


def _from_chat(parts: list[Any]) -> Told:
    last = parts[-1]
    assert [part.done or False for part in parts] == [False] * (len(parts) - 1) + [True]
    turn = ollama.Message(
        role="assistant",
        content="".join(part.message.content or "" for part in parts),
        thinking="".join(part.message.thinking or "" for part in parts) or None,
        tool_calls=[call for part in parts for call in part.message.tool_calls or ()] or None,
    )
    calls = [(call.function.name, dict(call.function.arguments)) for call in turn.tool_calls or ()]
    usage = (last.prompt_eval_count, last.eval_count)
    assert last.total_duration > 0
    assert last.eval_duration > 0
    return Told(turn.content or "", turn.thinking or "", calls, last.done_reason, usage, turn)
