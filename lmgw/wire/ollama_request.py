"""Requests of Ollama's native API, read from callers: ``/api/chat`` and ``/api/generate``.

The shapes are those of Ollama's ``api/types.go``; clients add to those an empty list of tools (ollama-python) and whole
numbers as floats (Home Assistant's ``num_ctx``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from lmgw.errors import BadRequest
from lmgw.wire.events import JsonFormat, Message, Part, Reasoning, Request, Text, Tool
from lmgw.wire.ollama_messages import OllamaMessage, images, parse_messages
from lmgw.wire.shapes import shaped

_LATEST = ":latest"
#: Options that are numbers, by the name they have here and in the neutral form.
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_INTEGERS = ("top_k", "seed", "num_predict")
#: Fields of ``/api/generate`` that no chat API has.
_TEMPLATING = ("raw", "template", "context", "suffix")
_EFFORTS: tuple[Literal["low", "medium", "high", "max"], ...] = ("low", "medium", "high", "max")


class _ToolFunction(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: _ToolFunction
    type: str | None = None


class _Body(msgspec.Struct, kw_only=True):
    model: str | None = None
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    think: bool | str | None = None
    keep_alive: int | float | str | None = None


class _Chat(_Body, kw_only=True):
    messages: list[OllamaMessage] | None = None
    tools: list[_Tool] | None = None


class _Generate(_Body, kw_only=True):
    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None


def untagged(model: str) -> str:
    """Return a model's name without the tag that Ollama's clients add to a name that has none."""
    return model.removesuffix(_LATEST)


def parse_chat(body: Mapping[str, Any]) -> Request:
    """Read a body of ``/api/chat``. Raises :class:`~lmgw.errors.BadRequest` naming the field."""
    chat = shaped(body, _Chat, "")
    if not chat.messages:
        raise BadRequest("messages must not be empty", param="messages")
    tools = []
    for at, tool in enumerate(chat.tools or ()):
        if tool.type not in (None, "function"):
            raise BadRequest(f"tools[{at}].type must be function", param=f"tools[{at}].type")
        tools.append(Tool(tool.function.name, tool.function.description, tool.function.parameters))
    return _request(chat, body, parse_messages(chat.messages), tuple(tools))


def parse_generate(body: Mapping[str, Any]) -> Request:
    """Read a body of ``/api/generate`` as a chat of one turn.

    Raises :class:`~lmgw.errors.BadRequest` for what no chat has: ``raw``, ``template``, ``context``, ``suffix``.
    """
    for field in _TEMPLATING:
        if body.get(field):
            raise BadRequest(
                f"{field} is not supported: the gateway sends every prompt as a chat; use /api/chat with messages",
                param=field,
            )
    generate = shaped(body, _Generate, "")
    turns = [Message("system", (Text(generate.system),))] if generate.system else []
    parts: list[Part] = [Text(generate.prompt)] if generate.prompt else []
    parts.extend(images(generate.images, "images"))
    if not parts:
        raise BadRequest("prompt must not be empty", param="prompt")
    return _request(generate, body, (*turns, Message("user", tuple(parts))), ())


def is_load_request(body: Mapping[str, Any]) -> bool:
    """Whether a body of either route asks only to load (or unload) the model: it has no messages and no prompt."""
    return not body.get("messages") and not body.get("prompt") and not body.get("images")


def is_unload(body: Mapping[str, Any]) -> bool:
    """Whether a load request asks for the opposite: ``keep_alive`` is zero, as a number or a duration."""
    keep_alive = body.get("keep_alive")
    if isinstance(keep_alive, str):
        return re.fullmatch(r"[+-]?(0+(\.0*)?[a-zµ]*)+", keep_alive) is not None
    return keep_alive is not None and keep_alive == 0


def _request(body: _Body, fields: Mapping[str, Any], turns: tuple[Message, ...], tools: tuple[Tool, ...]) -> Request:
    known = type(body).__struct_fields__
    dropped = tuple(key for key, value in fields.items() if value and key not in known)
    return Request(
        model=untagged(body.model or ""),
        messages=turns,
        tools=tools,
        format=_format(body.format),
        reasoning=_reasoning(body.think),
        stream=body.stream is not False,
        keep_alive=_keep_alive(body.keep_alive),
        dropped=dropped,
        **_options(body.options or {}),
    )


def _format(value: str | dict[str, Any] | None) -> JsonFormat | None:
    if isinstance(value, dict):
        return JsonFormat(schema=value)
    if value == "json":
        return JsonFormat()
    if not value:
        return None
    raise BadRequest('format must be "json" or a JSON schema', param="format")


def _reasoning(think: bool | str | None) -> Reasoning | None:
    if think is None or isinstance(think, bool):
        return None if think is None else Reasoning(enabled=think)
    for effort in _EFFORTS:
        if think == effort:
            return Reasoning(effort=effort)
    raise BadRequest(f"think must be true, false or one of {', '.join(_EFFORTS)}", param="think")


def _keep_alive(value: int | float | str | None) -> int | str | None:
    """Seconds or a duration: whole seconds become an integer, others a duration that means the same."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else f"{value}s"
    return value


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the neutral form's fields for ``options``; what it has no field for stands in its ``options``."""
    fields: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name == "stop":
            fields["stop"] = _stop(value)
        elif name in _NUMBERS:
            fields[name] = _number(name, value)
        elif name in _INTEGERS:
            fields[name] = _integer(name, value)
        else:
            rest[name] = _whole(value)
    limit = fields.pop("num_predict", None)
    if limit is not None and limit > 0:
        fields["max_tokens"] = limit
    elif limit is not None:
        rest["num_predict"] = limit  # no limit, said aloud: a default of the tier must not come back
    return {**fields, "options": rest}


def _stop(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(stop, str) for stop in value):
        return tuple(value)
    raise BadRequest("options.stop must be a list of strings", param="options.stop")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"options.{name} must be a number", param=f"options.{name}")
    return value


def _integer(name: str, value: Any) -> int:
    whole = _whole(value)
    if isinstance(whole, bool) or not isinstance(whole, int):
        raise BadRequest(f"options.{name} must be an integer", param=f"options.{name}")
    return whole


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
