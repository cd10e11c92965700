"""What an Ollama server refuses: values of the wrong type (its Go structs), not keys that it does not know.

Models with ``qwen3`` in their name think, with ``vl`` they see.
"""

from __future__ import annotations

from typing import Any

from rules import Refused, is_a, must, picture

INTEGERS = (
    "num_ctx",
    "num_predict",
    "num_keep",
    "seed",
    "top_k",
    "num_gpu",
    "num_thread",
    "num_batch",
    "repeat_last_n",
)
FLOATS = ("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty")


def check_chat(request: dict[str, Any]) -> None:
    """Raise :class:`rules.Refused` for what ``/api/chat`` would answer with a 400."""
    _common(request)
    called: list[str] = []
    for message in request.get("messages", ()):
        _message(message, str(request["model"]))
        if message["role"] == "tool":  # nothing but their order says which call they are of
            must(called, "a tool's result without a call")
            must(message.get("tool_name") in (None, called.pop(0)), "the results are not in the order of their calls")
        else:
            called = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    for tool in request.get("tools") or ():
        function = tool.get("function")
        must(tool.get("type") == "function" and isinstance(function, dict), f"tools: {tool}")
        must(isinstance(function.get("name"), str), "tools: name")
        parameters = function.get("parameters")
        must(isinstance(parameters, dict) and parameters.get("type") == "object", "tools: parameters")


def check_generate(request: dict[str, Any]) -> None:
    """The same for ``/api/generate``."""
    _common(request)
    must(isinstance(request.get("prompt", ""), str), "json: cannot unmarshal into field prompt of type string")
    for image in request.get("images") or ():
        picture(image)


def check_embed(request: dict[str, Any]) -> None:
    """The same for ``/api/embed``."""
    must(isinstance(request.get("model"), str), "model is required")
    must(isinstance(request.get("input"), str | list), "invalid input type")
    _options(request.get("options") or {})


def check_legacy_embed(request: dict[str, Any]) -> None:
    """The same for ``/api/embeddings``."""
    must(isinstance(request.get("prompt"), str), "json: cannot unmarshal into field prompt of type string")


def _common(request: dict[str, Any]) -> None:
    must(isinstance(request.get("model"), str), "model is required")
    must(is_a(request.get("stream", True), bool), "json: cannot unmarshal into field stream of type bool")
    must(is_a(request.get("keep_alive", 0), int, float, str), "json: invalid keep_alive")
    wanted = request.get("format")
    must(wanted in (None, "", "json") or isinstance(wanted, dict), f"invalid format: {wanted!r}")
    _options(request.get("options") or {})
    think = request.get("think")
    must(think in (None, True, False, "low", "medium", "high", "max"), f"invalid think value: {think!r}")
    if think and "qwen3" not in request["model"]:
        raise Refused(f"{request['model']!r} does not support thinking")


def _options(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name in INTEGERS:
            must(is_a(value, int, float), f"option {name!r} must be of type integer")
        elif name in FLOATS:
            must(is_a(value, int, float), f"option {name!r} must be of type float32")
        elif name == "stop":
            must(isinstance(value, list), "option 'stop' must be of type array")


def _message(message: dict[str, Any], model: str) -> None:
    role = message.get("role")
    must(role in ("system", "user", "assistant", "tool"), f"invalid role: {role!r}")
    must(isinstance(message.get("content", ""), str), "json: cannot unmarshal into field content of type string")
    must(isinstance(message.get("thinking", ""), str), "json: cannot unmarshal into field thinking of type string")
    for image in message.get("images") or ():
        must("vl" in model, "this model is missing data required for image input")
        picture(image)
    for call in message.get("tool_calls") or ():
        function = call.get("function", {})
        must(isinstance(function.get("name"), str), "json: tool_calls.function.name")
        must(isinstance(function.get("arguments"), dict), "json: cannot unmarshal into field arguments of type map")
        must(is_a(function.get("index", 0), int), "json: tool_calls.function.index")
    if role == "tool":
        must(isinstance(message.get("tool_name", ""), str), "json: tool_name")
