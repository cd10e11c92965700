"""What the fake provider of ``fakes`` answers by itself, in three dialects: pure functions of the request.

What is said is decided in ``fake_model``, here it gets its shape: that of the real APIs, with all the fields that they
send. With ``strict`` a request is refused first for whatever the real one refuses (``rules_openai`` and its sisters).
Usage is always 11 tokens in, 5 out, 3 of them thinking where it thinks.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import rules_anthropic
import rules_ollama
import rules_openai
from fake_model import TEXT, Call, Heard, Said, Turn, say
from rules import Refused

INPUT_TOKENS, OUTPUT_TOKENS, THOUGHT_TOKENS = 11, 5, 3

JSON, SSE, NDJSON = "application/json", "text/event-stream", "application/x-ndjson"

#: Status, content type, and the body in pieces: one for a whole answer, more for a stream.
Reply = tuple[int, str, list[bytes]]


def answer(
    method: bytes, path: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, strict: bool = False
) -> Reply:
    """Answer one request."""
    route = path.partition(b"?")[0].decode().removeprefix("/v1")
    fields = {name.decode().lower(): value.decode() for name, value in headers}
    if method == b"GET":
        return _get(route, "anthropic-version" in fields)
    respond, check = _ROUTES.get(route, (None, None))
    if respond is None:
        return 404, JSON, [_json({"error": {"message": f"no route {route}", "type": "invalid_request_error"}})]
    request = json.loads(body)
    if strict:
        try:
            check(request, fields)
        except Refused as refused:
            return refused.status, JSON, [_json(_refusal(route, refused))]
    return respond(request)


def _get(route: str, anthropic: bool) -> Reply:
    if route == "/api/version":
        found: dict[str, Any] = {"version": "0.12.6"}
    elif route == "/api/tags":
        found = {"models": [{"name": "fake:latest", "model": "fake:latest", "modified_at": "2026-01-01T00:00:00Z"}]}
    elif anthropic:
        model = {"type": "model", "id": "fake", "display_name": "Fake", "created_at": "2026-01-01T00:00:00Z"}
        found = {"data": [model], "has_more": False, "first_id": "fake", "last_id": "fake"}
    else:
        found = {"object": "list", "data": [{"id": "fake", "object": "model", "created": 1, "owned_by": "fake"}]}
    return 200, JSON, [_json(found)]


def _refusal(route: str, refused: Refused) -> dict[str, Any]:
    kind = "authentication_error" if refused.status == 401 else "invalid_request_error"
    if route.startswith("/api/"):
        return {"error": refused.message}
    if route.startswith("/messages"):
        return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_fake"}
    return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _sse(value: object, event: str = "") -> bytes:
    line = f"event: {event}\n" if event else ""
    return line.encode() + b"data: " + _json(value) + b"\n\n"


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


def _halves(text: str) -> tuple[str, str]:
    return text[:5], text[5:]


# --- OpenAI --------------------------------------------------------------------------------------------------


def _hear_openai(request: dict[str, Any]) -> Heard:
    turns = [_openai_turn(message) for message in request["messages"]]
    tools = {tool["function"]["name"]: tool["function"].get("parameters") for tool in request.get("tools") or ()}
    choice = request.get("tool_choice")
    wanted = request.get("response_format") or {}
    return Heard(
        turns,
        {} if choice == "none" else tools,
        forced=choice["function"]["name"] if isinstance(choice, dict) else None,
        must_call=choice == "required",
        schema=(wanted.get("json_schema") or {}).get("schema"),
        json_object=wanted.get("type") == "json_object",
        think=request.get("reasoning_effort") not in (None, "none"),
    )


def _openai_turn(message: dict[str, Any]) -> Turn:
    turn = Turn(message["role"])
    content = message.get("content") or ""
    for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        if part["type"] == "text":
            turn.text += part["text"]
        elif part["type"] == "image_url" and part["image_url"]["url"].startswith("data:"):
            turn.see(part["image_url"]["url"].partition(",")[2])
    for call in message.get("tool_calls") or ():
        function = call["function"]
        turn.calls.append(Call(call["id"], function["name"], json.loads(function["arguments"])))
    if message["role"] == "tool":
        return Turn("tool", results=[(message["tool_call_id"], turn.text)])
    return turn


def _openai_chat(request: dict[str, Any]) -> Reply:
    said = say(_hear_openai(request))
    finish = "tool_calls" if said.calls else "stop"
    base = {"id": "chatcmpl-fake", "created": 1, "model": request["model"], "service_tier": "default"}
    calls = [_openai_call(call) for call in said.calls]
    usage = _openai_usage(said)
    if not request.get("stream"):
        message: dict[str, Any] = {
            "role": "assistant",
            "content": said.text or None,
            "refusal": None,
            "annotations": [],
        }
        message |= {"reasoning_content": said.thought} if said.thought else {}
        message |= {"tool_calls": calls} if calls else {}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return 200, JSON, [_json({**base, "object": "chat.completion", "choices": [choice], "usage": usage})]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if said.text else None, "refusal": None}]
    deltas += [{"reasoning_content": word} for word in _words(said.thought)]
    deltas += [{"content": word} for word in _words(said.text)]
    for at, call in enumerate(calls):
        empty = {**call, "index": at, "function": {**call["function"], "arguments": ""}}
        parts = [{"index": at, "function": {"arguments": part}} for part in _halves(call["function"]["arguments"])]
        deltas += [{"tool_calls": [fragment]} for fragment in (empty, *parts)]
    asked = (request.get("stream_options") or {}).get("include_usage")
    base |= {"object": "chat.completion.chunk", "system_fingerprint": "fp_fake"} | ({"usage": None} if asked else {})
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish})
    frames = [{**base, "choices": [choice]} for choice in choices]
    if asked:
        frames.append({**base, "choices": [], "usage": usage})
    return 200, SSE, [*map(_sse, frames), b"data: [DONE]\n\n"]


def _openai_call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": f"call_{call.id}", "type": "function", "function": function}


def _openai_usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": THOUGHT_TOKENS if said.thought else 0},
    }


def _openai_completion(request: dict[str, Any]) -> Reply:
    base = {"id": "cmpl-fake", "object": "text_completion", "created": 1, "model": request["model"]}
    if not request.get("stream"):
        choice = {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
        return 200, JSON, [_json({**base, "choices": [choice], "usage": _openai_usage(Said())})]
    choices = [{"index": 0, "text": word, "logprobs": None, "finish_reason": None} for word in _words(TEXT)]
    choices.append({"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"})
    frames: list[dict[str, Any]] = [{**base, "choices": [choice]} for choice in choices]
    if (request.get("stream_options") or {}).get("include_usage"):
        frames.append({**base, "choices": [], "usage": _openai_usage(Said())})
    return 200, SSE, [*map(_sse, frames), b"data: [DONE]\n\n"]


def _openai_embeddings(request: dict[str, Any]) -> Reply:
    vectors: list[Any] = _vectors(request)
    if request.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() for vector in vectors]
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    usage = {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}
    return 200, JSON, [_json({"object": "list", "data": data, "model": request["model"], "usage": usage})]


def _vectors(request: dict[str, Any]) -> list[list[float]]:
    inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
    return [[0.5, -0.5, at + 0.25][: request.get("dimensions")] for at in range(len(inputs))]


# --- Anthropic -----------------------------------------------------------------------------------------------


def _hear_anthropic(request: dict[str, Any]) -> Heard:
    turns = [_anthropic_turn(message["role"], message["content"]) for message in request["messages"]]
    choice = request.get("tool_choice") or {}
    tools = {tool["name"]: tool.get("input_schema") for tool in request.get("tools") or ()}
    return Heard(
        turns,
        {} if choice.get("type") == "none" else tools,
        forced=choice.get("name"),
        must_call=choice.get("type") == "any",
        json_object="JSON object" in json.dumps(request.get("system", "")),
        schema=((request.get("output_config") or {}).get("format") or {}).get("schema"),
        think=(request.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
    )


def _anthropic_turn(role: str, content: str | list[dict[str, Any]]) -> Turn:
    turn = Turn(role)
    for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        match block["type"]:
            case "text":
                turn.text += block["text"]
            case "image" if block["source"]["type"] == "base64":
                turn.see(block["source"]["data"])
            case "tool_use":
                turn.calls.append(Call(block["id"], block["name"], block["input"]))
            case "tool_result":
                inner = _anthropic_turn(role, block.get("content", ""))
                turn.results.append((block["tool_use_id"], inner.text))
                turn.pictures += inner.pictures
    return turn


def _anthropic_messages(request: dict[str, Any]) -> Reply:
    said = say(_hear_anthropic(request))
    finish = {"stop_reason": "tool_use" if said.calls else "end_turn", "stop_sequence": None}
    usage = {
        "input_tokens": INPUT_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": OUTPUT_TOKENS,
        "service_tier": "standard",
    }
    usage |= {"output_tokens_details": {"thinking_tokens": THOUGHT_TOKENS}} if said.thought else {}
    message = {"id": "msg_fake", "type": "message", "role": "assistant", "model": request["model"]}
    blocks = _anthropic_blocks(said)
    if not request.get("stream"):
        return 200, JSON, [_json({**message, "content": blocks, **finish, "usage": usage})]
    unfinished = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, **unfinished}}]
    for at, block in enumerate(blocks):
        start, deltas = _BLOCK_STREAMS[block["type"]](block)
        events.append({"type": "content_block_start", "index": at, "content_block": start})
        events += [{"type": "ping"}] if at == 0 else []
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": at})
    events.append({"type": "message_delta", "delta": finish, "usage": usage})
    events.append({"type": "message_stop"})
    return 200, SSE, [_sse(event, event["type"]) for event in events]


def _anthropic_blocks(said: Said) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if said.thought:
        proof = rules_anthropic.signature(said.thought)
        blocks.append({"type": "thinking", "thinking": said.thought, "signature": proof})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    blocks += [
        {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments}
        for call in said.calls
    ]
    return blocks


_Streamed = tuple[dict[str, Any], list[dict[str, Any]]]


def _text_stream(block: dict[str, Any]) -> _Streamed:
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in _words(block["text"])]


def _thinking_stream(block: dict[str, Any]) -> _Streamed:
    deltas = [{"type": "thinking_delta", "thinking": word} for word in _words(block["thinking"])]
    proof = {"type": "signature_delta", "signature": block["signature"]}
    return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, proof]


def _tool_stream(block: dict[str, Any]) -> _Streamed:
    parts = ("", *_halves(json.dumps(block["input"])))
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


_BLOCK_STREAMS: Mapping[str, Callable[[dict[str, Any]], _Streamed]] = {
    "text": _text_stream,
    "thinking": _thinking_stream,
    "tool_use": _tool_stream,
}


def _anthropic_count(request: dict[str, Any]) -> Reply:
    return 200, JSON, [_json({"input_tokens": INPUT_TOKENS})]


# --- Ollama --------------------------------------------------------------------------------------------------


def _hear_ollama(request: dict[str, Any]) -> Heard:
    turns = [_ollama_turn(message) for message in request["messages"]]
    tools = {tool["function"]["name"]: tool["function"].get("parameters") for tool in request.get("tools") or ()}
    wanted = request.get("format")
    schema = wanted if isinstance(wanted, dict) else None
    return Heard(turns, tools, schema=schema, json_object=wanted == "json", think=bool(request.get("think")))


def _ollama_turn(message: dict[str, Any]) -> Turn:
    if message["role"] == "tool":
        return Turn("tool", results=[(None, message["content"])])
    turn = Turn(message["role"], message.get("content") or "")
    for data in message.get("images") or ():
        turn.see(data)
    for call in message.get("tool_calls") or ():
        turn.calls.append(Call(None, call["function"]["name"], call["function"]["arguments"]))
    return turn


def _ollama_chat(request: dict[str, Any]) -> Reply:
    said = say(_hear_ollama(request))
    calls = [
        {"function": {"index": at, "name": call.name, "arguments": call.arguments}}
        for at, call in enumerate(said.calls)
    ]
    fields = [{"content": "", "thinking": word} for word in _words(said.thought)]
    fields += [{"content": word} for word in _words(said.text)]
    fields += [{"content": "", "tool_calls": [call]} for call in calls]
    whole = {"role": "assistant", "content": said.text}
    whole |= {"thinking": said.thought} if said.thought else {}
    whole |= {"tool_calls": calls} if calls else {}
    steps = [{"message": {"role": "assistant", **step}} for step in fields]
    return _ollama(request, steps, {"message": whole}, {"message": {"role": "assistant", "content": ""}})


def _ollama_generate(request: dict[str, Any]) -> Reply:
    return _ollama(request, [{"response": word} for word in _words(TEXT)], {"response": TEXT}, {"response": ""})


def _ollama(request: dict[str, Any], steps: list[dict[str, Any]], whole: dict[str, Any], last: dict[str, Any]) -> Reply:
    base = {"model": request["model"], "created_at": "2026-01-01T00:00:00.123456789Z"}
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


def _ollama_embed(request: dict[str, Any]) -> Reply:
    found = {"model": request["model"], "embeddings": _vectors(request), "prompt_eval_count": INPUT_TOKENS}
    return 200, JSON, [_json({**found, "total_duration": 3, "load_duration": 1})]


def _ollama_embeddings(request: dict[str, Any]) -> Reply:
    return 200, JSON, [_json({"embedding": [0.5, -0.5, 0.25]})]


# --- routes --------------------------------------------------------------------------------------------------

_Check = Callable[[dict[str, Any], Mapping[str, str]], None]


def _body_only(check: Callable[[dict[str, Any]], None]) -> _Check:
    return lambda request, headers: check(request)


_ROUTES: Mapping[str, tuple[Callable[[dict[str, Any]], Reply], _Check]] = {
    "/chat/completions": (_openai_chat, _body_only(rules_openai.check_chat)),
    "/completions": (_openai_completion, _body_only(rules_openai.check_completion)),
    "/embeddings": (_openai_embeddings, _body_only(rules_openai.check_embeddings)),
    "/messages": (_anthropic_messages, rules_anthropic.check_messages),
    "/messages/count_tokens": (_anthropic_count, rules_anthropic.check_count),
    "/api/chat": (_ollama_chat, _body_only(rules_ollama.check_chat)),
    "/api/generate": (_ollama_generate, _body_only(rules_ollama.check_generate)),
    "/api/embed": (_ollama_embed, _body_only(rules_ollama.check_embed)),
    "/api/embeddings": (_ollama_embeddings, _body_only(rules_ollama.check_legacy_embed)),
}
