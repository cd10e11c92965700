"""What OpenAI's Chat Completions API refuses (openai-openapi, ``CreateChatCompletionRequest``, and its known errors).

Models that begin with ``gpt-4`` do not reason, those with ``gpt-5`` and ``o`` do and take no sampling and no
``max_tokens``. Reasoning on the assistant's turns is taken back, as the servers do that send it.
"""

from __future__ import annotations

import json
from typing import Any

from rules import NAME, Refused, must, picture, strict_schema, typed, unknown

KEYS = frozenset(
    (
        *("model", "messages", "audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens"),
        *("max_tokens", "metadata", "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty"),
        *("prompt_cache_key", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier"),
        *("stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p"),
        *("user", "verbosity", "web_search_options", "functions", "function_call"),
    )
)
MESSAGE_KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {
        *("role", "content", "refusal", "audio", "name", "tool_calls", "function_call", "annotations"),
        *("reasoning_content", "reasoning_details"),
    },
    "tool": {"role", "content", "tool_call_id"},
}
PART_KEYS = {
    "text": {"type", "text"},
    "image_url": {"type", "image_url"},
    "file": {"type", "file"},
    "refusal": {"type", "refusal"},
}
PARTS = {"user": {"text", "image_url", "file"}, "assistant": {"text", "refusal"}}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def check_chat(request: dict[str, Any]) -> None:
    """Raise :class:`rules.Refused` for what the API would answer with a 400."""
    if (key := unknown(request, KEYS)) is not None:
        raise Refused(f"Unrecognized request argument supplied: {key}")
    must(isinstance(request.get("model"), str), "you must provide a model parameter")
    _types(request)
    _model_limits(request, str(request["model"]))
    _tools(request)
    _response_format(request.get("response_format"), request.get("messages"))
    must(isinstance(request.get("messages"), list) and request["messages"], "[] is too short - 'messages'")
    _messages(request["messages"])


def check_completion(request: dict[str, Any]) -> None:
    """The same for ``/v1/completions``."""
    must(isinstance(request.get("prompt"), str | list), "you must provide a prompt")
    must("messages" not in request, "Unrecognized request argument supplied: messages")


def check_embeddings(request: dict[str, Any]) -> None:
    """The same for ``/v1/embeddings``."""
    allowed = {"model", "input", "encoding_format", "dimensions", "user"}
    if (key := unknown(request, allowed)) is not None:
        raise Refused(f"Unrecognized request argument supplied: {key}")
    must(request.get("input"), "'$.input' is invalid")
    must(request.get("encoding_format", "float") in ("float", "base64"), "'$.encoding_format' is invalid")


def _types(request: dict[str, Any]) -> None:
    typed(
        request,
        "",
        stream=bool,
        temperature=(int, float),
        top_p=(int, float),
        n=int,
        max_tokens=int,
        max_completion_tokens=int,
        seed=int,
        user=str,
        stop=(str, list),
        parallel_tool_calls=bool,
    )
    must(0 <= request.get("temperature", 1) <= 2, "temperature must be between 0 and 2")
    must(len(request.get("user", "")) <= 64, "user: string too long, at most 64")
    must(
        len(request["stop"]) <= 4 if isinstance(request.get("stop"), list) else True, "stop: array too long, at most 4"
    )
    if "stream_options" in request:
        must(request.get("stream"), "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        must(set(request["stream_options"]) <= {"include_usage", "include_obfuscation"}, "unknown stream_options")


def _model_limits(request: dict[str, Any], model: str) -> None:
    must(
        not {"max_tokens", "max_completion_tokens"} <= set(request),
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
    )
    reasons = model.startswith(("gpt-5", "o"))
    effort = request.get("reasoning_effort")
    must(effort in (None, *EFFORTS), f"Invalid value: {effort!r}")
    if reasons:
        for key in ("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty"):
            if key in request and effort != "none":
                raise Refused(f"Unsupported parameter: '{key}' is not supported with this model.", param=key)
    else:
        must(effort is None, "Unrecognized request argument supplied: reasoning_effort")


def _tools(request: dict[str, Any]) -> None:
    if "tools" not in request:
        must("tool_choice" not in request, "'tool_choice' is only allowed when 'tools' are specified.")
        must("parallel_tool_calls" not in request, "'parallel_tool_calls' is only allowed when 'tools' are specified.")
        return
    must(request["tools"], "[] is too short - 'tools'")
    names = set()
    for tool in request["tools"]:
        must(set(tool) == {"type", "function"} and tool["type"] == "function", f"tools: {tool}")
        function = tool["function"]
        must(set(function) <= {"name", "description", "parameters", "strict"}, f"tools.function: {sorted(function)}")
        must(NAME.fullmatch(function["name"]), "tools.function.name does not match the pattern")
        must(function["name"] not in names, "tools.function.name must be unique")
        names.add(function["name"])
        typed(function, "tools.function.", description=str, parameters=dict, strict=bool)
        if function.get("strict"):
            _strict(function["parameters"], f"Invalid schema for function {function['name']!r}")
    choice = request.get("tool_choice", "auto")
    if isinstance(choice, dict) and choice.get("type") == "function":
        must(choice["function"]["name"] in names, "tool_choice names no tool of 'tools'")
    elif not isinstance(choice, dict):
        must(choice in ("none", "auto", "required"), f"Invalid value: {choice!r}")


def _strict(schema: Any, where: str) -> None:
    strict_schema(schema, where)
    if isinstance(schema, dict) and "properties" in schema:
        must(set(schema.get("required", ())) == set(schema["properties"]), f"{where}: 'required' must name all keys")


def _response_format(wanted: Any, messages: Any) -> None:
    if wanted is None:
        return
    kind = wanted.get("type")
    must(kind in ("text", "json_object", "json_schema"), f"Invalid value: {kind!r}")
    if kind == "json_object":
        must(
            "json" in json.dumps(messages).lower(),
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        )
    if kind == "json_schema":
        schema = wanted.get("json_schema") or {}
        must(set(wanted) == {"type", "json_schema"}, "unknown key in response_format")
        must(set(schema) <= {"name", "description", "schema", "strict"}, "unknown key in json_schema")
        must(NAME.fullmatch(schema.get("name", "")), "Missing required parameter: 'response_format.json_schema.name'")
        if schema.get("strict"):
            _strict(schema["schema"], "Invalid schema for response_format")


def _messages(messages: list[Any]) -> None:
    unanswered: dict[str, None] = {}
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        role = message.get("role")
        must(role in MESSAGE_KEYS, f"{where}: Invalid value: {role!r}")
        if (key := unknown(message, MESSAGE_KEYS[role])) is not None:
            raise Refused(f"Additional properties are not allowed ({key!r} was unexpected) - '{where}'")
        if role == "tool":
            must(
                message.get("tool_call_id") in unanswered,
                f"{where}: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
            )
            del unanswered[message["tool_call_id"]]
        else:
            _nothing_unanswered(unanswered)
        _content(message, role, where)
        for call in message.get("tool_calls") or ():
            _call(call, where)
            must(call["id"] not in unanswered, f"{where}: duplicate tool_call id")
            unanswered[call["id"]] = None
        must(message.get("tool_calls") != [], f"[] is too short - '{where}.tool_calls'")
    _nothing_unanswered(unanswered)


def _nothing_unanswered(unanswered: dict[str, None]) -> None:
    must(
        not unanswered,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(unanswered)}",
    )


def _call(call: dict[str, Any], where: str) -> None:
    must(set(call) == {"id", "type", "function"}, f"{where}.tool_calls: keys {sorted(call)}")
    must(isinstance(call["id"], str) and 0 < len(call["id"]) <= 40, f"{where}.tool_calls.id: string too long")
    must(set(call["function"]) == {"name", "arguments"}, f"{where}.tool_calls.function: keys")
    must(NAME.fullmatch(call["function"]["name"]), f"{where}.tool_calls.function.name: pattern")
    must(isinstance(call["function"]["arguments"], str), f"{where}.tool_calls.function.arguments: not a string")


def _content(message: dict[str, Any], role: str, where: str) -> None:
    content = message.get("content")
    if content is None:
        must(
            role == "assistant" and message.get("tool_calls"),
            f"Invalid value for 'content': expected a string ({where})",
        )
        return
    if isinstance(content, str):
        return
    must(isinstance(content, list) and content, f"{where}.content: [] is too short")
    for part in content:
        kind = part.get("type")
        must(kind in PARTS.get(role, {"text"}), f"{where}.content: Invalid value: {kind!r}")
        must(set(part) == PART_KEYS[kind], f"{where}.content: keys {sorted(part)}")
        if kind == "image_url":
            _image(part["image_url"], where)


def _image(image: Any, where: str) -> None:
    must(isinstance(image, dict) and set(image) <= {"url", "detail"}, f"{where}: image_url must be an object")
    must(image.get("detail", "auto") in ("auto", "low", "high"), f"{where}: invalid detail")
    url = image["url"]
    if not url.startswith("https://"):
        head, comma, data = url.partition(";base64,")
        must(comma and head.startswith("data:"), f"{where}: Invalid image URL")
        picture(data, head.removeprefix("data:"))
