"""What a client of each dialect insists on in a stream, as strictly as the strictest of their SDKs.

Each function reads all bytes of one stream and returns what a client would have been told, as a dictionary; it raises
:class:`BrokenGrammar` with every fault found. A stream that ends with the dialect's error is well formed: ``error`` is
set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ollama import ChatResponse, GenerateResponse
from pydantic import ValidationError

Told = dict[str, Any]

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class BrokenGrammar(AssertionError):
    """A stream that some client would choke on, or read wrongly."""


class Faults(list[str]):
    """Faults found so far."""

    def unless(self, fine: object, fault: str) -> None:
        """Note ``fault`` unless all is ``fine``."""
        if not fine:
            self.append(fault)

    def close(self, told: Told) -> Told:
        """Raise if anything was noted."""
        if self:
            raise BrokenGrammar("; ".join(dict.fromkeys(self)) + f"\ntold so far: {told}")
        return told


def sse(raw: bytes, faults: Faults) -> Iterator[tuple[str | None, str]]:
    """Yield each event's name and data."""
    text = raw.decode()
    faults.unless(not text or text.endswith("\n\n"), "the last event is not ended by a blank line")
    for block in text.split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)
            else:
                faults.unless(key == "", f"a line that SDKs do not take: {line}")
        if data:
            yield name, "\n".join(data)
        else:
            faults.unless(name is None, "an event without data")


def openai(raw: bytes, include_usage: bool = False) -> Told:
    """Read a stream of Chat Completions. ``finish_reason`` and ``done`` (``[DONE]``) are told besides the content."""
    return _OpenAI(include_usage).read(raw)


class _OpenAI:
    def __init__(self, include_usage: bool) -> None:
        self.faults = Faults()
        self.include_usage = include_usage
        self.names: set[str] = set()
        self.role = False
        self.details: dict[int, dict[str, Any]] = {}
        self.told: Told = {
            "text": "",
            "reasoning": "",
            "tool_calls": [],
            "finish_reason": None,
            "usage": None,
            "error": None,
            "done": False,
        }

    def read(self, raw: bytes) -> Told:
        told, faults = self.told, self.faults
        for _, data in sse(raw, faults):
            faults.unless(not told["done"], "something after [DONE]")
            faults.unless(told["error"] is None, "something after the error")
            if data == "[DONE]":
                told["done"] = True
                continue
            chunk = json.loads(data)
            if "error" in chunk:
                told["error"] = chunk["error"]
                keys = {"message", "type", "param", "code"}
                faults.unless(keys <= chunk["error"].keys(), "the error lacks one of its four keys")
            else:
                self.chunk(chunk)
        if self.details:
            told["reasoning_details"] = [self.details[index] for index in sorted(self.details)]
        ids = [call["id"] for call in told["tool_calls"]]
        faults.unless(len(set(ids)) == len(ids), "two calls with one id")
        if told["error"] is None:
            faults.unless(told["done"], "no [DONE]")
            faults.unless(told["finish_reason"], "no finish_reason")
        else:
            faults.unless(not told["done"] and not told["finish_reason"], "an error, and a regular end")
        return faults.close(told)

    def chunk(self, chunk: dict[str, Any]) -> None:
        told, faults = self.told, self.faults
        faults.unless(chunk.get("object") == "chat.completion.chunk", "object is not chat.completion.chunk")
        faults.unless(isinstance(chunk.get("created"), int), "created is no integer")
        self.names.add(json.dumps([chunk.get("id"), chunk.get("created"), chunk.get("model")]))
        faults.unless(len(self.names) == 1, f"id, created or model change: {self.names}")
        faults.unless(isinstance(chunk.get("id"), str) and isinstance(chunk.get("model"), str), "id or model missing")
        faults.unless(told["usage"] is None or self.usage_with_choices, "a chunk after the usage")
        if chunk.get("usage"):
            told["usage"] = chunk["usage"]
        self.usage_with_choices = bool(chunk["choices"])
        if not chunk["choices"]:
            faults.unless(chunk.get("usage"), "no choices and no usage")
            faults.unless(self.include_usage, "usage that nobody asked for")
            faults.unless(told["finish_reason"], "usage before the finish")
        for choice in chunk["choices"]:
            faults.unless(choice.get("index") == 0, "a choice that is not the first")
            faults.unless("finish_reason" in choice, "a choice without finish_reason")
            self.delta(choice["delta"])
            if choice.get("finish_reason"):
                faults.unless(told["finish_reason"] is None, "finished twice")
                reasons = ("stop", "length", "tool_calls", "content_filter")
                faults.unless(choice["finish_reason"] in reasons, f"finish_reason {choice['finish_reason']}")
                told["finish_reason"] = choice["finish_reason"]

    def delta(self, delta: dict[str, Any]) -> None:
        told, faults = self.told, self.faults
        if "role" in delta:
            faults.unless(not self.role and delta["role"] == "assistant", "the role, again or another")
            self.role = True
        faults.unless(self.role, "a delta before the role")
        faults.unless(not (delta.get("reasoning_content") and delta.get("reasoning")), "reasoning under two names")
        faults.unless(not (delta and told["finish_reason"]), "content after the finish")
        told["text"] += delta.get("content") or ""
        told["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
        for entry in delta.get("reasoning_details") or ():
            faults.unless(isinstance(entry.get("index"), int), "a list entry without an index")
            kept = self.details.setdefault(entry["index"], {})
            for key, value in entry.items():
                kept[key] = kept.get(key, "") + value if key in ("text", "data", "signature") else value
        for fragment in delta.get("tool_calls") or ():
            self.fragment(fragment)

    def fragment(self, fragment: dict[str, Any]) -> None:
        calls, faults = self.told["tool_calls"], self.faults
        index, function = fragment.get("index"), fragment["function"]
        faults.unless(isinstance(function.get("arguments"), str), "arguments are no string")
        if index == len(calls):
            faults.unless(fragment.get("type") == "function", "a call begins without its type")
            faults.unless(fragment.get("id") and function.get("name"), "a call begins without id or name")
            calls.append({"id": fragment.get("id"), "name": function.get("name"), "arguments": ""})
        else:
            faults.unless(index == len(calls) - 1, f"index {index} while call {len(calls) - 1} is open")
            faults.unless(not fragment.keys() & {"id", "type"} and "name" not in function, "id, type or name again")
        calls[-1]["arguments"] += function.get("arguments") or ""


def anthropic(raw: bytes) -> Told:
    """Read a stream of Messages. ``blocks`` are as the SDK gathers them."""
    return _Anthropic().read(raw)


class _Anthropic:
    DELTAS = {
        "text": {"text_delta", "citations_delta"},
        "thinking": {"thinking_delta", "signature_delta"},
        "tool_use": {"input_json_delta"},
    }
    STARTS: dict[str, Callable[[dict[str, Any]], bool]] = {
        "text": lambda block: block.get("text") == "",
        "thinking": lambda block: block.get("thinking") == "" and block.get("signature") == "",
        "tool_use": lambda block: bool(block.get("id") and block.get("name")) and block.get("input") == {},
        "redacted_thinking": lambda block: isinstance(block.get("data"), str),
    }
    REASONS = ("end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause_turn")

    def __init__(self) -> None:
        self.faults = Faults()
        self.open: dict[str, Any] | None = None
        self.json = ""
        self.state = "before"
        self.told: Told = {"blocks": [], "stop_reason": None, "stop_sequence": None, "usage": {}, "error": None}

    def read(self, raw: bytes) -> Told:
        told, faults = self.told, self.faults
        for name, data in sse(raw, faults):
            event = json.loads(data)
            faults.unless(name == event.get("type"), f"event {name} carries {event.get('type')}")
            if event["type"] == "ping":
                continue
            faults.unless(self.state != "over", f"{event['type']} after the end")
            handler = getattr(self, f"on_{event['type']}", None)
            faults.unless(handler, f"unknown event {event['type']}")
            if event["type"] not in ("message_start", "error"):
                faults.unless(self.state != "before", f"{event['type']} before message_start")
            if handler:
                handler(event)
        faults.unless(self.state == "over", "no message_stop and no error")
        blocks = told["blocks"]
        for kind, key, into in (("text", "text", "text"), ("thinking", "thinking", "reasoning")):
            told[into] = "".join(block[key] for block in blocks if block["type"] == kind)
        told["tool_calls"] = [
            {"id": block["id"], "name": block["name"], "arguments": json.dumps(block["input"])}
            for block in blocks
            if block["type"] == "tool_use"
        ]
        told["block_types"] = [block["type"] for block in blocks]
        fine = told["error"] or all(block.get("text") != "" for block in blocks)
        faults.unless(fine, "an empty text block")
        return faults.close(told)

    def on_message_start(self, event: dict[str, Any]) -> None:
        message = event["message"]
        self.faults.unless(self.state == "before", "a second message_start")
        self.state = "begun"
        fine = message["type"] == "message" and message["role"] == "assistant" and message["content"] == []
        self.faults.unless(fine and message["id"] and isinstance(message["model"], str), "the message's shape")
        self.faults.unless(message["stop_reason"] is None, "a stop_reason at the start")
        self.count(message["usage"], ("input_tokens", "output_tokens"))
        self.told |= {"id": message["id"], "model": message["model"]}

    def count(self, usage: dict[str, Any], needed: tuple[str, ...]) -> None:
        self.faults.unless(all(isinstance(usage.get(key), int) for key in needed), f"usage lacks one of {needed}")
        self.told["usage"].update({key: value for key, value in usage.items() if value is not None})

    def on_content_block_start(self, event: dict[str, Any]) -> None:
        blocks, block = self.told["blocks"], dict(event["content_block"])
        self.faults.unless(self.open is None, "a block begins inside another")
        self.faults.unless(event["index"] == len(blocks), f"block {event['index']} is number {len(blocks)}")
        begins = self.STARTS.get(block["type"])
        self.faults.unless(begins and begins(block), f"how a {block['type']} block begins: {block}")
        self.open, self.json = block, ""
        blocks.append(block)

    def on_content_block_delta(self, event: dict[str, Any]) -> None:
        block, delta = self.open, event["delta"]
        if block is None or event["index"] != len(self.told["blocks"]) - 1:
            self.faults.append("a delta for a block that is not open")
            return
        kind = delta["type"]
        if kind not in self.DELTAS.get(block["type"], ()):
            self.faults.append(f"{kind} in a {block['type']} block")
        elif kind == "input_json_delta":
            self.json += delta["partial_json"]
        elif kind == "signature_delta":
            self.faults.unless(not block["signature"], "a second signature")
            block["signature"] = delta["signature"]
        elif kind in ("text_delta", "thinking_delta"):
            self.faults.unless(not block.get("signature"), "thinking after its signature")
            block[block["type"]] += delta[block["type"]]

    def on_content_block_stop(self, event: dict[str, Any]) -> None:
        fine = self.open is not None and event["index"] == len(self.told["blocks"]) - 1
        self.faults.unless(fine, "a stop for a block that is not open")
        if self.open is not None and self.open["type"] == "tool_use" and self.json.strip():
            try:
                self.open["input"] = json.loads(self.json)
            except ValueError:
                self.faults.append(f"a call's fragments are no JSON: {self.json}")
        self.open = None

    def on_message_delta(self, event: dict[str, Any]) -> None:
        self.faults.unless(self.open is None, "message_delta inside a block")
        self.faults.unless(self.state == "begun", "a second message_delta")
        self.state = "told"
        delta = event["delta"]
        self.told |= {"stop_reason": delta["stop_reason"], "stop_sequence": delta.get("stop_sequence")}
        self.faults.unless(delta["stop_reason"] in self.REASONS, f"stop_reason {delta['stop_reason']}")
        self.count(event["usage"], ("output_tokens",))

    def on_message_stop(self, event: dict[str, Any]) -> None:
        self.faults.unless(self.state == "told", "message_stop without message_delta")
        self.state = "over"

    def on_error(self, event: dict[str, Any]) -> None:
        error = self.told["error"] = event["error"]
        fine = isinstance(error.get("type"), str) and isinstance(error.get("message"), str)
        self.faults.unless(fine, "an error without type or message")
        self.faults.unless(self.state != "told", "an error after the answer was told complete")
        self.state = "over"


def responses(raw: bytes) -> Told:
    """Read a stream of the Responses API. ``items`` are the output; ``status`` is the response's at its end."""
    return _Responses().read(raw)


class _Responses:
    ENDS = ("completed", "incomplete", "failed")
    #: By item type: the events that fill it, and the key of its text in the last of them.
    FILLS = {
        "message": ("response.output_text", "text"),
        "reasoning": ("response.reasoning_summary_text", "text"),
        "function_call": ("response.function_call_arguments", "arguments"),
        "custom_tool_call": ("response.custom_tool_call_input", "input"),
    }
    PARTS = {"message": "response.content_part", "reasoning": "response.reasoning_summary_part"}
    KEYS = {
        *("id", "object", "created_at", "status", "model", "output", "parallel_tool_calls", "tool_choice", "tools"),
        *("usage", "error", "incomplete_details", "instructions", "metadata", "temperature", "top_p", "text", "store"),
        *("reasoning", "max_output_tokens", "previous_response_id"),
    }

    def __init__(self) -> None:
        self.faults = Faults()
        self.count = 0
        self.response: dict[str, Any] | None = None
        self.open: dict[str, Any] | None = None
        self.text: str | None = None  # of the open part
        self.told: Told = {"text": "", "reasoning": "", "tool_calls": [], "items": [], "status": None, "error": None}
        self.told["usage"] = None

    def read(self, raw: bytes) -> Told:
        told, faults = self.told, self.faults
        for name, data in sse(raw, faults):
            event = json.loads(data)  # a [DONE] is no JSON
            faults.unless(name == event["type"], f"event {name} carries {event['type']}")
            faults.unless(event["sequence_number"] == self.count, f"event {event['sequence_number']} is {self.count}")
            self.count += 1
            faults.unless(told["status"] not in self.ENDS, f"{name} after the end")
            faults.unless(name == "response.created" or self.response, f"{name} before response.created")
            faults.unless(not told["error"] or name == "response.failed", "something after the error")
            self.event(event)
        faults.unless(told["status"] in self.ENDS, "no last event")
        faults.unless((told["status"] == "failed") == (told["error"] is not None), "an error, and a regular end")
        return faults.close(told)

    def event(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "error":
            fine = {"code", "message", "param"} <= event.keys() and event["error"]["message"] == event["message"]
            self.faults.unless(fine, "an error without code, message or param")
            self.told["error"] = event["error"]
        elif "response" in event:
            self.lifecycle(kind.removeprefix("response."), event["response"])
        elif kind == "response.output_item.added":
            self.added(event)
        elif self.open is None or event["output_index"] != len(self.told["items"]):
            self.faults.append(f"{kind} for an item that is not open")
        elif kind == "response.output_item.done":
            self.done(event["item"])
        else:
            self.filled(kind, event)

    def lifecycle(self, kind: str, response: dict[str, Any]) -> None:
        told, faults = self.told, self.faults
        faults.unless(response.keys() >= self.KEYS, f"the response lacks {self.KEYS - response.keys()}")
        faults.unless(response["object"] == "response" and isinstance(response["created_at"], int), "its shape")
        fixed = {key: response[key] for key in ("id", "created_at", "model", "tools", "instructions", "tool_choice")}
        faults.unless(self.response in (None, fixed), f"the response changes: {self.response} and {fixed}")
        status = "in_progress" if kind == "created" else kind
        faults.unless(response["status"] == status, f"{kind} with status {response['status']}")
        if kind in ("created", "in_progress"):
            faults.unless((self.response is None) == (kind == "created") and not told["items"], f"{kind} out of place")
            faults.unless(response["output"] == [], f"{kind} with output")
        else:
            faults.unless(kind in self.ENDS, f"unknown end {kind}")
            self.end(kind, response)
        self.response = fixed
        told["status"] = response["status"]

    def end(self, kind: str, response: dict[str, Any]) -> None:
        told, faults = self.told, self.faults
        faults.unless((kind == "incomplete") == bool(response["incomplete_details"]), "incomplete without a reason")
        faults.unless((kind == "failed") == bool(response["error"]), "failed without an error")
        faults.unless(self.open is None or kind == "failed", "an item that was not done")
        output = response["output"]
        faults.unless(output[: len(told["items"])] == told["items"], "another output than was told")
        faults.unless(len(output) - len(told["items"]) == bool(self.open), "more or less output than was told")
        if self.open and self.open["type"] == "message":
            told["text"] += self.text or ""
        told["reason"] = (response["incomplete_details"] or {}).get("reason")
        told["usage"] = response["usage"]

    def added(self, event: dict[str, Any]) -> None:
        item = event["item"]
        self.faults.unless(self.open is None, "an item begins inside another")
        self.faults.unless(event["output_index"] == len(self.told["items"]), "items are not counted from 0")
        self.faults.unless(item["id"] not in [told["id"] for told in self.told["items"]], "two items with one id")
        empty = [item.get(key) for key in ("content", "summary", "arguments", "input")]
        self.faults.unless(not any(empty), "an item that is not empty when it is added")
        self.open = item
        self.text = None if item["type"] in self.PARTS else ""

    def filled(self, kind: str, event: dict[str, Any]) -> None:
        item, faults = self.open or {}, self.faults
        faults.unless(event["item_id"] == item["id"], f"{kind} for another item")
        part = self.PARTS.get(item["type"])
        if part is not None:
            place = "content_index" if item["type"] == "message" else "summary_index"
            faults.unless(event.get(place) == 0, f"{kind} without its {place}")
        prefix, key = self.FILLS[item["type"]]
        if kind == f"{part}.added":
            faults.unless(self.text is None and event["part"]["text"] == "", "a part that is not new or not empty")
            self.text = ""
            return
        faults.unless(self.text is not None, f"{kind} before its part")
        if kind == f"{prefix}.delta":
            self.text = (self.text or "") + event["delta"]
        elif kind == f"{prefix}.done":
            faults.unless(event[key] == self.text, f"{kind} says other than its deltas")
        else:
            faults.unless(kind == f"{part}.done" and event["part"]["text"] == self.text, f"{kind} in a {item['type']}")

    def done(self, item: dict[str, Any]) -> None:
        told, faults, added = self.told, self.faults, self.open or {}
        self.open = None
        told["items"].append(item)
        same = ("id", "type", "call_id", "name", "namespace", "role")
        faults.unless(all(item.get(key) == added.get(key) for key in same), "an item that changed its identity")
        match item["type"]:
            case "message":
                (part,) = item["content"]
                text = part["text"]
                faults.unless(part["annotations"] == [] and part["type"] == "output_text", "the text's shape")
                told["text"] += text
            case "reasoning":
                text = "".join(part["text"] for part in item["summary"]) if item["summary"] else None
                told["reasoning"] += text or ""
            case kind:
                text = item[self.FILLS[kind][1]]
                told["tool_calls"].append({"id": item["call_id"], "name": item["name"], "arguments": text})
        faults.unless(text == self.text, "an item that ends with other content than was told")


def ollama(raw: bytes, generate: bool = False, whole: bool = True) -> Told:
    """Read a stream of ``/api/chat``, or of ``/api/generate``; one that is not ``whole`` may lack its end."""
    faults = Faults()
    told: Told = {"text": "", "reasoning": "", "tool_calls": [], "done": False, "done_reason": None, "usage": {}}
    told["error"] = None
    lines = raw.decode().split("\n")
    faults.unless(lines.pop() == "", "the last line is not ended")
    for line in lines:
        if not line.strip():
            faults.append("a blank line")
            continue
        found = json.loads(line)
        faults.unless(not told["done"] and told["error"] is None, "a line after the last")
        if "error" in found:
            told["error"] = found["error"]
            faults.unless(found["error"] and isinstance(found["error"], str), "an error that is no string")
        else:
            _ollama_line(found, generate, told, faults)
    faults.unless(told["done"] or told["error"] is not None or not whole, "no done line")
    return faults.close(told)


def calls(told: Told) -> list[tuple[str | None, str, Any]]:
    """Return the calls that a client was told: id, name, arguments decoded."""
    return [(call["id"], call["name"], json.loads(call["arguments"])) for call in told["tool_calls"]]


def _ollama_line(line: dict[str, Any], generate: bool, told: Told, faults: Faults) -> None:
    try:
        (GenerateResponse if generate else ChatResponse).model_validate(line, strict=True)
    except ValidationError as error:
        faults.append(f"ollama-python refuses it: {error}")
    faults.unless(isinstance(line.get("model"), str), "model is no string")
    faults.unless(told.setdefault("model", line.get("model")) == line.get("model"), "another model's name")
    faults.unless(RFC3339.fullmatch(str(line.get("created_at"))), "created_at is no time of RFC 3339")
    faults.unless(isinstance(line.get("done"), bool), "done is no boolean")
    holder = line if generate else line.get("message") or {}
    text = holder.get("response" if generate else "content")
    faults.unless(isinstance(text, str), "no text, not even an empty one")
    faults.unless(generate or holder.get("role") == "assistant", "the role is missing")
    told["text"] += text or ""
    told["reasoning"] += holder.get("thinking") or ""
    for call in holder.get("tool_calls") or ():
        function = call["function"]
        faults.unless(isinstance(function.get("name"), str), "a call without a name")
        faults.unless(isinstance(function.get("arguments"), dict), "arguments are no object")
        told["tool_calls"].append(
            {"id": call.get("id"), "name": function.get("name"), "arguments": json.dumps(function.get("arguments"))}
        )
    for key, value in line.items():
        if key.endswith(("_duration", "_count")):
            faults.unless(type(value) is int, f"{key} is no integer")
    if line.get("done"):
        told["done"], told["done_reason"] = True, line.get("done_reason")
        told["usage"] = {key: line.get(key, 0) for key in ("prompt_eval_count", "eval_count")}
        faults.unless(line.get("done_reason") in ("stop", "length", "load", "unload"), "done without a reason")


def check(dialect: str, raw: bytes, include_usage: bool = False) -> Told:
    """Read a stream of the dialect of this name."""
    if dialect == "openai":
        return openai(raw, include_usage)
    if dialect == "anthropic":
        return anthropic(raw)
    if dialect == "responses":
        return responses(raw)
    return ollama(raw, generate=dialect == "ollama_generate")
