"""What Anthropic's Messages API refuses (platform.claude.com, and its known errors).

Models with ``4-5`` in their name think by budget, later ones adaptively and without sampling; ``4-0`` has no structured
outputs. A signature proves its text: :func:`signature` makes it, and another one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from rules import NAME, Refused, must, picture, strict_schema, typed, unknown

VERSIONS = ("2023-06-01", "2026-10-21")
COUNTED = {
    *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"),
    *("context_management", "mcp_servers", "speed", "user_profile_id"),
}
KEYS = {
    *COUNTED,
    *("max_tokens", "stop_sequences", "stream", "temperature", "top_p", "top_k", "metadata", "service_tier"),
    *("container", "inference_geo", "diagnostics"),
}
BLOCKS = {
    "text": {"text", "citations"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
    "tool_use": {"id", "name", "input", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
IN_TURN = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
}
_ID = re.compile(r"[a-zA-Z0-9_-]+")
#: Keywords of JSON Schema that structured outputs do not take.
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength")


def signature(text: str) -> str:
    """Return what proves that the model has thought ``text``."""
    return f"Eq{sha256(text.encode()).hexdigest()}=="


def adaptive(model: str) -> bool:
    """Whether a model thinks adaptively."""
    return not re.search(r"4-[0-5]", model)


def check_messages(request: dict[str, Any], headers: Mapping[str, str]) -> None:
    """Raise :class:`rules.Refused` for what the API would answer with a 400 or 401."""
    _headers(headers)
    _keys(request, KEYS)
    must("max_tokens" in request, "max_tokens: Field required")
    _types(request)
    _sampling(request, headers["anthropic-version"])
    _rest(request)


def check_count(request: dict[str, Any], headers: Mapping[str, str]) -> None:
    """The same for ``count_tokens``, which knows fewer fields."""
    _headers(headers)
    _keys(request, COUNTED)
    _rest(request)


def _headers(headers: Mapping[str, str]) -> None:
    if ("x-api-key" in headers) == ("authorization" in headers):
        raise Refused("authentication_error: send either x-api-key or authorization", 401)
    must(headers.get("anthropic-version") in VERSIONS, "anthropic-version: header is required")


def _keys(request: dict[str, Any], allowed: set[str]) -> None:
    if (key := unknown(request, allowed)) is not None:
        raise Refused(f"{key}: Extra inputs are not permitted")
    must(isinstance(request.get("model"), str), "model: Field required")
    must(isinstance(request.get("messages"), list), "messages: Field required")


def _types(request: dict[str, Any]) -> None:
    typed(request, "", max_tokens=int, stream=bool, temperature=(int, float), stop_sequences=list, metadata=dict)
    must(request["max_tokens"] >= 1, "max_tokens: must be at least 1")
    for stop in request.get("stop_sequences", ()):
        must(stop.strip(), "stop_sequences: each stop sequence must contain non-whitespace")
    if "metadata" in request:
        must(set(request["metadata"]) <= {"user_id"}, "metadata: Extra inputs are not permitted")
        must("@" not in request["metadata"]["user_id"], "metadata.user_id: must not be an email address")


def _sampling(request: dict[str, Any], version: str) -> None:
    said = {"temperature", "top_p", "top_k"} & set(request)
    must(not said or version != VERSIONS[1], f"{said}: not supported in this version of the API")
    must(not said or not adaptive(request["model"]), f"{said}: not supported by this model")
    must(not {"temperature", "top_p"} <= said, "temperature and top_p cannot both be specified for this model")
    must(0 <= request.get("temperature", 1) <= 1, "temperature: range: 0..1")
    if request.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        must(request.get("temperature", 1) == 1 and "top_k" not in said, "temperature may only be 1 with thinking")


def _rest(request: dict[str, Any]) -> None:
    _system(request.get("system", "x"), "system")
    _thinking(request)
    _tools(request)
    _output(request)
    _turns(request)


def _system(system: Any, where: str) -> None:
    if isinstance(system, str):
        must(system.strip(), f"{where}: text content blocks must be non-empty")
        return
    for block in system:
        must(block.get("type") == "text", f"{where}: only text blocks")
        _block(block, where)


def _thinking(request: dict[str, Any]) -> None:
    thinking = request.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    if kind == "enabled":
        must(not adaptive(request["model"]), "thinking.type: enabled is not supported by this model, use adaptive")
        must(set(thinking) == {"type", "budget_tokens"}, "thinking: Extra inputs are not permitted")
        limit = request.get("max_tokens", 1 << 30)
        must(1024 <= thinking["budget_tokens"] < limit, "thinking.budget_tokens: at least 1024 and below max_tokens")
    elif kind == "adaptive":
        must(adaptive(request["model"]), "thinking.type: adaptive is not supported by this model")
        must(set(thinking) <= {"type", "display"}, "thinking: Extra inputs are not permitted")
    else:
        must(thinking == {"type": "disabled"}, f"thinking.type: unknown {kind!r}")
    forced = request.get("tool_choice", {}).get("type") in ("any", "tool")
    must(kind == "disabled" or not forced, "Thinking may not be enabled when tool_choice forces tool use.")


def _tools(request: dict[str, Any]) -> None:
    names = set()
    for tool in request.get("tools", ()):
        allowed = {"name", "description", "input_schema", "strict", "cache_control", "type"}
        must(set(tool) <= allowed, f"tools: Extra inputs are not permitted: {sorted(tool)}")
        must(tool.get("type", "custom") == "custom", "tools: unknown type")
        must(NAME.fullmatch(tool["name"]), "tools.name: String should match pattern")
        must(isinstance(tool.get("input_schema"), dict), "tools.input_schema: Field required")
        must(tool["input_schema"].get("type") == "object", "tools.input_schema.type: Field required")
        names.add(tool["name"])
        if tool.get("strict"):
            _structured(tool["input_schema"], "tools.input_schema")
    choice = request.get("tool_choice")
    if choice is None:
        return
    must(names, "tool_choice may only be specified while providing tools.")
    kind = choice.get("type")
    must(kind in ("auto", "any", "tool", "none"), f"tool_choice: unknown {kind!r}")
    allowed = {"type"} | ({"name"} if kind == "tool" else set())
    allowed |= set() if kind == "none" else {"disable_parallel_tool_use"}
    must(set(choice) <= allowed, f"tool_choice: Extra inputs are not permitted: {sorted(choice)}")
    must(kind != "tool" or choice["name"] in names, "tool_choice: tool not found in provided tools")


def _output(request: dict[str, Any]) -> None:
    config = request.get("output_config", {})
    must(set(config) <= {"effort", "format"}, "output_config: Extra inputs are not permitted")
    if "effort" in config:
        must(adaptive(request["model"]), "This model does not support the effort parameter.")
        must(config["effort"] in ("low", "medium", "high", "xhigh", "max"), "output_config.effort: unknown")
    if "format" in config:
        must("4-0" not in request["model"], "output_config.format: not supported by this model")
        must(set(config["format"]) == {"type", "schema"}, "output_config.format: Extra inputs are not permitted")
        must(config["format"]["type"] == "json_schema", "output_config.format.type: unknown")
        _structured(config["format"]["schema"], "output_config.format.schema")


def _structured(schema: Any, where: str) -> None:
    strict_schema(schema, where)
    for entry in _schemas(schema):
        for key in _LIMITS:
            must(key not in entry, f"{where}: property '{key}' is not supported")


def _schemas(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [inner for entry in schema for inner in _schemas(entry)]
    if not isinstance(schema, dict):
        return []
    named = [*(schema.get("properties") or {}).values(), *(schema.get("$defs") or {}).values()]
    return [schema, *_schemas(named), *_schemas([schema.get(key) for key in ("items", "anyOf", "allOf")])]


def _turns(request: dict[str, Any]) -> None:
    messages = request["messages"]
    must(messages, "messages: at least one message is required")
    must(messages[0].get("role") == "user", "messages: first message must use the user role")
    called: list[str] = []
    before = ""
    for at, message in enumerate(messages):
        where, role = f"messages.{at}", message.get("role")
        must(set(message) == {"role", "content"}, f"{where}: Extra inputs are not permitted: {sorted(message)}")
        if role == "system":
            must("opus-4-8" in request["model"], f"{where}: system is not supported inside messages by this model")
            _system(message["content"], where)
            continue
        must(role in IN_TURN, f"{where}.role: unknown {role!r}")
        must(role != before, f"{where}: roles must alternate")
        before = role
        blocks = _blocks(message["content"], role, where)
        _results(blocks, called, where)
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        must(len(set(called)) == len(called), f"{where}: `tool_use` ids must be unique")
    must(not called, f"`tool_use` ids were found without `tool_result` blocks immediately after: {called}.")
    _thought_before_calls(request)


def _blocks(content: Any, role: str, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        must(content or role == "assistant", f"{where}: user messages must have non-empty content")
        return [{"type": "text", "text": content}]
    must(isinstance(content, list), f"{where}.content: should be a string or a list")
    must(content or role == "assistant", f"{where}: user messages must have non-empty content")
    for block in content:
        must(block.get("type") in IN_TURN[role], f"{where}: a {block.get('type')!r} block in a turn of the {role}'s")
        _block(block, where)
    return content


def _block(block: dict[str, Any], where: str) -> None:
    kind = block["type"]
    allowed = {"type", "cache_control", *BLOCKS[kind]}
    must(set(block) <= allowed, f"{where}: Extra inputs are not permitted: {sorted(set(block) - allowed)}")
    if kind == "text":
        must(block["text"].strip(), f"{where}: text content blocks must contain non-whitespace text")
    elif kind == "image":
        _image(block["source"], where)
    elif kind == "tool_use":
        must(_ID.fullmatch(block["id"]), f"{where}: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        must(NAME.fullmatch(block["name"]), f"{where}: tool_use.name: String should match pattern")
        must(isinstance(block["input"], dict), f"{where}: tool_use.input: Input should be a valid dictionary")
    elif kind == "tool_result" and isinstance(block.get("content", ""), list):
        for inner in block["content"]:
            must(inner["type"] in ("text", "image", "document"), f"{where}: tool_result: {inner['type']}")
            _block(inner, where)
    elif kind == "thinking":
        must(block["signature"] == signature(block["thinking"]), f"{where}: Invalid `signature` in `thinking` block")


def _image(source: dict[str, Any], where: str) -> None:
    if source["type"] == "base64":
        must(set(source) == {"type", "media_type", "data"}, f"{where}: image.source: keys {sorted(source)}")
        picture(source["data"], source["media_type"])
    else:
        must(set(source) == {"type", "url"} and source["url"].startswith("https://"), f"{where}: image.source")


def _results(blocks: list[dict[str, Any]], called: list[str], where: str) -> None:
    """All results of a turn's calls stand at the beginning of the next turn."""
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    stray = [id for id in answered if id not in called]
    must(not stray, f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {stray}.")
    must(len(set(answered)) == len(answered), f"{where}: each tool_use must have a single result")
    missing = [id for id in called if id not in answered]
    must(not missing, f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {missing}.")
    first = [block["type"] == "tool_result" for block in blocks[: len(answered)]]
    must(all(first), f"{where}: `tool_result` blocks must come first")


def _thought_before_calls(request: dict[str, Any]) -> None:
    """A model that thinks by budget goes on from calls only if it is given what it thought before them."""
    if request.get("thinking", {}).get("type") != "enabled":
        return
    last = next((message for message in reversed(request["messages"]) if message["role"] == "assistant"), None)
    content = last["content"] if last is not None else ""
    kinds = [block["type"] for block in content] if isinstance(content, list) else []
    must(
        "tool_use" not in kinds or kinds[0] in ("thinking", "redacted_thinking"),
        f"Expected `thinking` or `redacted_thinking`, but found `{kinds[0] if kinds else ''}`.",
    )
