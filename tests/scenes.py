"""What a model may answer, as each upstream dialect says it: whole and streamed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Scene:
    """What a model answers, whatever it speaks."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    finish: str = "stop"


ANSWERS = {
    "text": Scene('Grüße, 🎉\n"you"'),
    "reasoning": Scene("Four.", "2+2"),
    "a call": Scene(calls=[("f", {"a": "x"})], finish="tool_calls"),
    "text and calls": Scene("On it.", calls=[("f", {"a": "x"}), ("g", {}), ("f", {"a": ["y"]})], finish="tool_calls"),
    "everything": Scene("On it.", "hm", [("f", {"a": "x"})], "tool_calls"),
    "a cut text": Scene("Four a", finish="length"),
    "nothing": Scene(),
}
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def halves(text: str) -> list[str]:
    return [half for half in (text[: len(text) // 2], text[len(text) // 2 :]) if half]


def sse(value: dict[str, Any], name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(value)}\n\n"


def openai_stream(scene: Scene) -> str:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": half} for half in halves(scene.reasoning)]
    deltas += [{"content": half} for half in halves(scene.text)]
    for index, (name, arguments) in enumerate(scene.calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": f"id{index}", "type": "function", "function": function}]})
        for half in halves(json.dumps(arguments)):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": scene.finish}]})
    chunks.append({**head, "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
    return "".join(map(sse, chunks)) + "data: [DONE]\n\n"


def anthropic_stream(scene: Scene) -> str:
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if scene.reasoning:
        deltas: list[dict[str, Any]] = [
            {"type": "thinking_delta", "thinking": half} for half in halves(scene.reasoning)
        ]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
        deltas.append({"type": "signature_delta", "signature": "sig"})
    if scene.text:
        texts = [{"type": "text_delta", "text": half} for half in halves(scene.text)]
        blocks.append(({"type": "text", "text": ""}, texts))
    for index, (name, arguments) in enumerate(scene.calls):
        json_text = json.dumps(arguments) if arguments else ""
        inputs = [{"type": "input_json_delta", "partial_json": half} for half in ["", *halves(json_text)]]
        blocks.append(({"type": "tool_use", "id": f"id{index}", "name": name, "input": {}}, inputs))
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "up", "content": [], "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message | {"stop_reason": None}}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": STOPS[scene.finish], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}})
    return "".join(sse(event, event["type"]) for event in [*events, {"type": "message_stop"}])


def ollama_stream(scene: Scene) -> str:
    head = {"model": "m", "created_at": "2026-01-02T03:04:05.678Z"}
    messages: list[dict[str, Any]] = [{"content": "", "thinking": half} for half in halves(scene.reasoning)]
    messages += [{"content": half} for half in halves(scene.text)]
    for index, (name, arguments) in enumerate(scene.calls):
        call = {"id": f"id{index}", "function": {"index": 0, "name": name, "arguments": arguments}}
        messages.append({"content": "", "tool_calls": [call]})
    lines = [{**head, "message": {"role": "assistant", **message}, "done": False} for message in messages]
    done = {"done": True, "done_reason": "length" if scene.finish == "length" else "stop"}
    counts = {"prompt_eval_count": 10, "eval_count": 5, "total_duration": 3}
    lines.append({**head, "message": {"role": "assistant", "content": ""}, **done, **counts})
    return "".join(json.dumps(line) + "\n" for line in lines)


STREAMS = {"openai": openai_stream, "anthropic": anthropic_stream, "ollama": ollama_stream}


def openai_answer(scene: Scene) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": scene.text or None}
    if scene.reasoning:
        message["reasoning_content"] = scene.reasoning
    if scene.calls:
        message["tool_calls"] = [
            {"id": f"id{index}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for index, (name, arguments) in enumerate(scene.calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": scene.finish}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice], "usage": usage}


def anthropic_answer(scene: Scene) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if scene.reasoning:
        content.append({"type": "thinking", "thinking": scene.reasoning, "signature": "sig"})
    if scene.text:
        content.append({"type": "text", "text": scene.text})
    for index, (name, arguments) in enumerate(scene.calls):
        content.append({"type": "tool_use", "id": f"id{index}", "name": name, "input": arguments})
    usage = {"input_tokens": 10, "output_tokens": 5}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "up", "content": content}
    return {**head, "stop_reason": STOPS[scene.finish], "stop_sequence": None, "usage": usage}


def ollama_answer(scene: Scene) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": scene.text}
    if scene.reasoning:
        message["thinking"] = scene.reasoning
    if scene.calls:
        message["tool_calls"] = [
            {"id": f"id{index}", "function": {"name": name, "arguments": arguments}}
            for index, (name, arguments) in enumerate(scene.calls)
        ]
    reason = "length" if scene.finish == "length" else "stop"
    head = {"model": "m", "created_at": "2026-01-02T03:04:05Z", "message": message, "done": True, "done_reason": reason}
    return {**head, "prompt_eval_count": 10, "eval_count": 5}


WHOLE = {"openai": openai_answer, "anthropic": anthropic_answer, "ollama": ollama_answer}
