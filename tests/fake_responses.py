"""What the fake provider answers by itself in OpenAI's Responses API: pure functions of the request.

What is said is decided in ``fake_model``. Like OpenAI with ``store: false`` it takes only reasoning of its own making.
"""

from __future__ import annotations

import json
from typing import Any

from fake_answers import INPUT_TOKENS, JSON, OUTPUT_TOKENS, SSE, THOUGHT_TOKENS, Reply
from fake_model import Call, Heard, Turn, say
from rules import Refused, must

CIPHER = "gAAAAfake"


def answer(body: bytes) -> Reply:
    """Answer ``POST /v1/responses``."""
    request = json.loads(body)
    try:
        heard = _hear(request)
    except Refused as refused:
        fields = {"message": refused.message, "type": "invalid_request_error", "param": None, "code": None}
        return 400, JSON, [_json({"error": fields})]
    said = say(heard)
    output: list[dict[str, Any]] = []
    if said.thought:
        summary = [{"type": "summary_text", "text": said.thought}]
        output.append({"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": CIPHER})
    if said.text:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": said.text}
        output.append({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]})
    for at, call in enumerate(said.calls):
        fields = {"call_id": f"call_{call.id}", "name": call.name, "arguments": json.dumps(call.arguments)}
        output.append({"id": f"fc_{at}", "type": "function_call", "status": "completed", **fields})
    usage = {
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": THOUGHT_TOKENS if said.thought else 0},
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    base = {"id": "resp_up", "object": "response", "created_at": 1, "model": request["model"], "store": False}
    base |= {"tools": request.get("tools") or [], "tool_choice": "auto", "parallel_tool_calls": True, "error": None}
    whole = {**base, "status": "completed", "output": output, "usage": usage, "incomplete_details": None}
    if not request.get("stream"):
        return 200, JSON, [_json(whole)]
    begun = {**base, "status": "in_progress", "output": [], "usage": None}
    events = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
    for index, item in enumerate(output):
        events += _events(index, item)
    events.append(("response.completed", {"response": whole}))
    return 200, SSE, [_frame(at, name, fields) for at, (name, fields) in enumerate(events)]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _frame(number: int, name: str, fields: dict[str, Any]) -> bytes:
    data = _json({"type": name, "sequence_number": number, **fields})
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def _events(index: int, item: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    where = {"item_id": item["id"], "output_index": index}
    if item["type"] == "function_call":
        empty, key, text = {"arguments": "", "status": "in_progress"}, "arguments", item["arguments"]
        part, prefix, place = None, "response.function_call_arguments", {}
    elif item["type"] == "message":
        empty, key, text = {"content": [], "status": "in_progress"}, "text", item["content"][0]["text"]
        part, prefix, place = "response.content_part", "response.output_text", {"content_index": 0, "logprobs": []}
    else:
        empty, key, text = {"summary": []}, "text", item["summary"][0]["text"]
        part, prefix, place = "response.reasoning_summary_part", "response.reasoning_summary_text", {"summary_index": 0}
    held = (item.get("content") or item.get("summary") or [{}])[0]
    events = [("response.output_item.added", {"output_index": index, "item": {**item, **empty}})]
    events += [(f"{part}.added", {**where, **place, "part": {**held, "text": ""}})] if part else []
    events += [(f"{prefix}.delta", {**where, **place, "delta": piece}) for piece in (text[:5], text[5:]) if piece]
    more = {"name": item["name"]} if not part else {}
    events.append((f"{prefix}.done", {**where, **place, **more, key: text}))
    events += [(f"{part}.done", {**where, **place, "part": held})] if part else []
    return [*events, ("response.output_item.done", {"output_index": index, "item": item})]


def _hear(request: dict[str, Any]) -> Heard:
    given = request["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    tools = {tool["name"]: tool.get("parameters") for tool in request.get("tools") or () if tool["type"] == "function"}
    wanted = (request.get("text") or {}).get("format") or {}
    return Heard(
        _turns(items),
        tools,
        schema=wanted.get("schema"),
        think=(request.get("reasoning") or {}).get("effort") not in (None, "none"),
    )


def _turns(items: list[dict[str, Any]]) -> list[Turn]:
    turns: list[Turn] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning":
            must(item.get("encrypted_content") == CIPHER, f"Item with id '{item['id']}' not found.")
        elif kind == "function_call":
            if not turns or turns[-1].role != "assistant":
                turns.append(Turn("assistant"))
            turns[-1].calls.append(Call(item["call_id"], item["name"], json.loads(item["arguments"])))
        elif kind == "function_call_output":
            turns.append(Turn("tool", results=[(item["call_id"], item["output"])]))
        else:
            turns.append(_message(item))
    return turns


def _message(item: dict[str, Any]) -> Turn:
    turn = Turn(item["role"])
    content = item["content"]
    for part in content if isinstance(content, list) else [{"type": "input_text", "text": content}]:
        if part["type"] == "input_image":
            turn.see(part["image_url"].partition(",")[2])
        else:
            turn.text += part["text"]
    return turn
