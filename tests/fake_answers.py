"""What the fake provider of ``fakes`` answers by itself, in three dialects: pure functions of the request.

The text is ``Hello from the fake.``; a last message with "use the tool" in it gets a call of the first tool instead.
Usage is always 11 tokens in, 5 out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

TEXT = "Hello from the fake."
WORDS = ("Hello ", "from ", "the ", "fake.")
INPUT_TOKENS, OUTPUT_TOKENS = 11, 5
ARGUMENTS = {"city": "Paris"}

JSON, SSE, NDJSON = "application/json", "text/event-stream", "application/x-ndjson"

#: Status, content type, and the body in pieces: one for a whole answer, more for a stream.
Reply = tuple[int, str, list[bytes]]


def answer(method: bytes, path: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Reply:
    """Answer one request."""
    route = path.partition(b"?")[0].decode().removeprefix("/v1")
    anthropic = any(name.lower() == b"anthropic-version" for name, _ in headers)
    if method == b"GET":
        return _get(route, anthropic)
    request = json.loads(body)
    respond = _ROUTES.get(route)
    if respond is None:
        return 404, JSON, [_json({"error": {"message": f"no route {route}", "type": "invalid_request_error"}})]
    return respond(request)


def _get(route: str, anthropic: bool) -> Reply:
    if route == "/api/version":
        found = {"version": "0.12.6"}
    elif route == "/api/tags":
        found = {"models": [{"name": "fake:latest", "model": "fake:latest", "modified_at": "2026-01-01T00:00:00Z"}]}
    elif anthropic:
        model = {"type": "model", "id": "fake", "display_name": "Fake", "created_at": "2026-01-01T00:00:00Z"}
        found = {"data": [model], "has_more": False, "first_id": "fake", "last_id": "fake"}
    else:
        found = {"object": "list", "data": [{"id": "fake", "object": "model", "created": 1, "owned_by": "fake"}]}
    return 200, JSON, [_json(found)]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _sse(value: object, event: str = "") -> bytes:
    line = f"event: {event}\n" if event else ""
    return line.encode() + b"data: " + _json(value) + b"\n\n"


def _tool(request: dict) -> str | None:
    """Return the name of the tool to call, if one is wanted."""
    tools = request.get("tools")
    if not tools or "use the tool" not in json.dumps(request["messages"][-1]):
        return None
    return tools[0].get("name") or tools[0]["function"]["name"]


# --- OpenAI --------------------------------------------------------------------------------------------------


def _openai_chat(request: dict) -> Reply:
    tool = _tool(request)
    finish = "tool_calls" if tool else "stop"
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": 16}
    base = {"id": "chatcmpl-fake", "created": 1, "model": request["model"]}
    call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": json.dumps(ARGUMENTS)}}
    if not request.get("stream"):
        message = {"role": "assistant", "content": None if tool else TEXT}
        if tool:
            message["tool_calls"] = [call]
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return 200, JSON, [_json({**base, "object": "chat.completion", "choices": [choice], "usage": usage})]
    deltas: list[dict] = [{"role": "assistant", "content": ""}]
    if tool:
        arguments = call["function"]["arguments"]
        deltas.append({"tool_calls": [{**call, "index": 0, "function": {"name": tool, "arguments": ""}}]})
        parts = (arguments[:5], arguments[5:])
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts]
    else:
        deltas += [{"content": word} for word in WORDS]
    base["object"] = "chat.completion.chunk"
    frames = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    frames.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if (request.get("stream_options") or {}).get("include_usage"):
        frames.append({**base, "choices": [], "usage": usage})
    return 200, SSE, [*map(_sse, frames), b"data: [DONE]\n\n"]


def _openai_completion(request: dict) -> Reply:
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": 16}
    base = {"id": "cmpl-fake", "object": "text_completion", "created": 1, "model": request["model"]}
    if not request.get("stream"):
        choice = {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
        return 200, JSON, [_json({**base, "choices": [choice], "usage": usage})]
    frames = [{**base, "choices": [{"index": 0, "text": word, "finish_reason": None}]} for word in WORDS]
    frames.append({**base, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    return 200, SSE, [*map(_sse, frames), b"data: [DONE]\n\n"]


def _openai_embeddings(request: dict) -> Reply:
    inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
    data = [{"object": "embedding", "index": index, "embedding": [0.5, -0.5]} for index in range(len(inputs))]
    usage = {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}
    return 200, JSON, [_json({"object": "list", "data": data, "model": request["model"], "usage": usage})]


# --- Anthropic -----------------------------------------------------------------------------------------------


def _anthropic_messages(request: dict) -> Reply:
    tool = _tool(request)
    finish = "tool_use" if tool else "end_turn"
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    block = {"type": "tool_use", "id": "toolu_1", "name": tool} if tool else {"type": "text"}
    message = {"id": "msg_fake", "type": "message", "role": "assistant", "model": request["model"]}
    if not request.get("stream"):
        content = [{**block, "input": ARGUMENTS} if tool else {**block, "text": TEXT}]
        whole = {**message, "content": content, "stop_reason": finish, "stop_sequence": None, "usage": usage}
        return 200, JSON, [_json(whole)]
    begun = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    if tool:
        arguments = json.dumps(ARGUMENTS)
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (arguments[:5], arguments[5:])]
    else:
        deltas = [{"type": "text_delta", "text": word} for word in WORDS]
    events = [
        {"type": "message_start", "message": begun},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {**block, "input": {}} if tool else {**block, "text": ""},
        },
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": finish, "stop_sequence": None},
            "usage": {"output_tokens": OUTPUT_TOKENS},
        },
        {"type": "message_stop"},
    ]
    return 200, SSE, [_sse(event, event["type"]) for event in events]


def _anthropic_count(request: dict) -> Reply:
    return 200, JSON, [_json({"input_tokens": INPUT_TOKENS})]


# --- Ollama --------------------------------------------------------------------------------------------------


def _ollama_chat(request: dict) -> Reply:
    tool = _tool(request)
    call = {"function": {"name": tool, "arguments": ARGUMENTS}}
    if tool:
        steps = [{"message": {"role": "assistant", "content": "", "tool_calls": [call]}}]
    else:
        steps = [{"message": {"role": "assistant", "content": word}} for word in WORDS]
    whole = steps[0] if tool else {"message": {"role": "assistant", "content": TEXT}}
    return _ollama(request, steps, whole, {"message": {"role": "assistant", "content": ""}})


def _ollama_generate(request: dict) -> Reply:
    return _ollama(request, [{"response": word} for word in WORDS], {"response": TEXT}, {"response": ""})


def _ollama(request: dict, steps: list[dict], whole: dict, last: dict) -> Reply:
    base = {"model": request["model"], "created_at": "2026-01-01T00:00:00Z"}
    done = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 3,
        "load_duration": 1,
        "prompt_eval_count": INPUT_TOKENS,
        "prompt_eval_duration": 1,
        "eval_count": OUTPUT_TOKENS,
        "eval_duration": 1,
    }
    if request.get("stream") is False:
        return 200, JSON, [_json({**base, **whole, **done})]
    lines = [{**base, **step, "done": False} for step in steps] + [{**base, **last, **done}]
    return 200, NDJSON, [_json(line) + b"\n" for line in lines]


def _ollama_embed(request: dict) -> Reply:
    inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
    found = {"model": request["model"], "embeddings": [[0.5, -0.5]] * len(inputs), "prompt_eval_count": INPUT_TOKENS}
    return 200, JSON, [_json(found)]


def _ollama_embeddings(request: dict) -> Reply:
    return 200, JSON, [_json({"embedding": [0.5, -0.5]})]


_ROUTES = {
    "/chat/completions": _openai_chat,
    "/completions": _openai_completion,
    "/embeddings": _openai_embeddings,
    "/messages": _anthropic_messages,
    "/messages/count_tokens": _anthropic_count,
    "/api/chat": _ollama_chat,
    "/api/generate": _ollama_generate,
    "/api/embed": _ollama_embed,
    "/api/embeddings": _ollama_embeddings,
}
