"""Whole answers of OpenAI Chat Completions: read from upstreams of every make, written for callers."""

from __future__ import annotations

from typing import Any

import msgspec

from lmgw.errors import UpstreamFailed
from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, FinishReason, Part, Text, Thinking, ToolCall, Usage
from lmgw.wire.names import made_call_id
from lmgw.wire.openai_reasoning import render_detail, thoughts
from lmgw.wire.statuses import error_in, read_error

#: What upstreams call the end of an answer; anything else that is not empty means ``stop``.
FINISHES: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
}

_encode = msgspec.json.Encoder().encode


class _Details(msgspec.Struct, gc=False):
    """What a count is made of."""

    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class Counts(msgspec.Struct, gc=False):
    """``usage`` as most servers send it."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    prompt_cache_hit_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        """Return the neutral form. The prompt's count includes what was cached, the completion's what was reasoning."""
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        read = (prompt and prompt.cached_tokens) or self.prompt_cache_hit_tokens or 0
        written = (prompt and prompt.cache_write_tokens) or 0
        fresh = (self.prompt_tokens or 0) - read - written
        reasoning = (completion and completion.reasoning_tokens) or 0
        return Usage(max(0, fresh), self.completion_tokens or 0, read, written, reasoning)


def parse_answer(body: bytes) -> Answer:
    """Read an upstream's 2xx answer. Raises :class:`~lmgw.errors.GatewayError` where it is an error or no answer."""
    choice, found = first_choice(body)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UpstreamFailed("the provider's answer holds no message")
    id = found.get("id") or ""
    parts = [*_reasoning(message), *_texts(message), *_calls(message, id)]
    called = any(isinstance(part, ToolCall) for part in parts)
    return Answer(
        id=str(id),
        model=str(found.get("model") or ""),
        parts=tuple(parts),
        finish=finish_reason(choice.get("finish_reason"), called) or "stop",
        usage=parse_usage(found.get("usage")),
    )


def first_choice(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an answer's first choice and the whole of it. Raises as :func:`parse_answer`."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed(read_error(200, body).message) from None
    choices = found.get("choices") if isinstance(found, dict) else None
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0], found
    raise error_in(found) or UpstreamFailed("the provider's answer holds no choices")


def finish_reason(value: object, called: bool) -> FinishReason | None:
    """Return the neutral reason, ``None`` while there is none; ``called``: the answer holds a tool call."""
    if not value or not isinstance(value, str):
        return None
    reason = FINISHES.get(value, "stop")
    return "tool_calls" if called and reason == "stop" else reason


def parse_usage(found: Any) -> Usage | None:
    """Read ``usage``, which may be decoded as :class:`Counts` already, or as anything else."""
    if isinstance(found, Counts):
        return found.usage()
    if not isinstance(found, dict):
        return None
    try:
        return msgspec.convert(found, Counts).usage()
    except msgspec.ValidationError:
        return _odd_counts(found).usage()


def _odd_counts(found: dict[str, Any]) -> Counts:
    """Read a ``usage`` in which something is no integer: numbers are rounded down, all else counts as missing."""
    prompt, completion = details(found, "prompt_tokens_details"), details(found, "completion_tokens_details")
    return Counts(
        count(found, "prompt_tokens"),
        count(found, "completion_tokens"),
        count(found, "prompt_cache_hit_tokens"),
        _Details(count(prompt, "cached_tokens"), count(prompt, "cache_write_tokens")),
        _Details(reasoning_tokens=count(completion, "reasoning_tokens")),
    )


def render_usage(usage: Usage) -> dict[str, Any]:
    """Write ``usage`` as OpenAI counts it."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def render_answer(answer: Answer, reply: Reply) -> bytes:
    """Write a whole answer for a caller."""
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    reasoned = [part for part in answer.parts if isinstance(part, Thinking)]
    calls = [_call(part, reply) for part in answer.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not calls else None,
        "refusal": None,
    }
    if reasoning := "".join(part.text for part in reasoned):
        message["reasoning_content"] = reasoning
    if any(part.signature or part.redacted for part in reasoned):
        message["reasoning_details"] = [
            render_detail(part.signature, part.redacted, part.text, index) for index, part in enumerate(reasoned)
        ]
    if calls:
        message["tool_calls"] = calls
    body: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created_s,
        "model": answer.model or reply.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}],
    }
    if answer.usage is not None:
        body["usage"] = render_usage(answer.usage)
    return _encode(body)


def _call(call: ToolCall, reply: Reply) -> dict[str, Any]:
    function = {"name": reply.tool_names.get(call.name, call.name), "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def content_texts(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning of ``content``: a string, or parts (Mistral's with ``thinking`` among them)."""
    if isinstance(content, str):
        return content, ""
    text, reasoning = "", ""
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            reasoning += content_texts(part.get("thinking"))[0]
        else:
            text += str(part.get("text") or "")
    return text, reasoning


def _reasoning(message: dict[str, Any]) -> list[Thinking]:
    text = content_texts(message.get("content"))[1]
    return thoughts(message) or ([Thinking(text)] if text else [])


def _texts(message: dict[str, Any]) -> list[Part]:
    text = content_texts(message.get("content"))[0]
    refusal = message.get("refusal")
    return [Text(part) for part in (text, refusal) if part and isinstance(part, str)]


def _calls(message: dict[str, Any], seed: object) -> list[Part]:
    entries = message.get("tool_calls") or ([{"function": legacy}] if (legacy := message.get("function_call")) else [])
    calls: list[Part] = []
    for entry in entries if isinstance(entries, list) else ():
        function = entry.get("function") if isinstance(entry, dict) else None
        if isinstance(function, dict):
            id = entry.get("id") or made_call_id(seed, len(calls))
            calls.append(ToolCall(str(id), str(function.get("name") or ""), arguments_text(function.get("arguments"))))
    return calls


def arguments_text(arguments: Any) -> str:
    """Return a call's arguments as JSON text; some servers send them decoded."""
    if isinstance(arguments, str):
        return arguments
    return _encode(arguments).decode() if arguments is not None else ""


def details(usage: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the object at ``key``, an empty one where there is none."""
    found = usage.get(key)
    return found if isinstance(found, dict) else {}


def count(holder: dict[str, Any], key: str) -> int:
    """Return the number at ``key``, 0 where there is none."""
    found = holder.get(key)
    return int(found) if isinstance(found, (int, float)) else 0  # a union is made anew at every look
