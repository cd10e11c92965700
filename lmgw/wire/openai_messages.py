"""The conversation of an OpenAI Chat Completions request, read into turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lmgw.errors import BadRequest
from lmgw.wire.events import Document, Image, Message, Part, Text, ToolCall, ToolResult
from lmgw.wire.openai_fields import field, text_field, wrong
from lmgw.wire.openai_reasoning import thoughts

_Cache = dict[str, Any] | None


def parse_messages(messages: Sequence[Any]) -> tuple[Message, ...]:
    """Read ``messages``; neighbouring tool results become one turn.

    Raises :class:`~lmgw.errors.BadRequest` naming the field.
    """
    turns: list[Message] = []
    results: list[Part] = []
    legacy_id = ""
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"messages[{at}]", "an object")
        role, content = message.get("role"), message.get("content")
        if role == "tool" or role == "function":
            results.append(_result(message, f"messages[{at}].", legacy_id))
            continue
        if results:
            turns.append(Message("user", tuple(results)))
            results = []
        if type(content) is str and len(message) == 2 and (role == "user" or role == "assistant"):
            turns.append(Message(role, (Text(content),) if content else ()))
        elif role == "user":
            turns.append(Message("user", _content(message, f"messages[{at}].")))
        elif role == "system" or role == "developer":
            turns.append(Message("system", _content(message, f"messages[{at}].")))
        elif role == "assistant":
            legacy_id = f"call_fn_{at}"
            turns.append(Message("assistant", _assistant(message, f"messages[{at}].", legacy_id)))
        else:
            raise wrong(f"messages[{at}].role", "system, developer, user, assistant or tool")
    if results:
        turns.append(Message("user", tuple(results)))
    return tuple(turns)


def _assistant(message: Mapping[str, Any], where: str, legacy_id: str) -> tuple[Part, ...]:
    parts: list[Part] = [*thoughts(message), *_content(message, where)]
    if refusal := field(message, "refusal", str, where):
        parts.append(Text(refusal))
    for at, call in enumerate(field(message, "tool_calls", list, where) or ()):
        here = f"{where}tool_calls[{at}]."
        if not isinstance(call, dict) or call.get("type", "function") != "function":
            raise wrong(f"{where}tool_calls[{at}]", "a call of a function")
        function = field(call, "function", dict, here) or {}
        parts.append(_call(text_field(call, "id", here), function, f"{here}function.", _cache(call)))
    if legacy := field(message, "function_call", dict, where):
        parts.append(_call(legacy_id, legacy, f"{where}function_call.", None))
    return tuple(parts)


def _call(id: str, function: Mapping[str, Any], where: str, cache: _Cache) -> ToolCall:
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        arguments = msgspec.json.encode(arguments).decode()
    elif arguments is not None and not isinstance(arguments, str):
        raise wrong(f"{where}arguments", "a string of JSON")
    return ToolCall(id, text_field(function, "name", where), arguments or "", cache)


def _result(message: Mapping[str, Any], where: str, legacy_id: str) -> ToolResult:
    name = field(message, "name", str, where)
    id = legacy_id if message["role"] == "function" else text_field(message, "tool_call_id", where)
    parts: list[Any] = list(_content(message, where, in_message=False))
    return ToolResult(id, tuple(parts), name, cache=_cache(message))


def _content(message: Mapping[str, Any], where: str, in_message: bool = True) -> tuple[Part, ...]:
    """Read ``content``. A message's own ``cache_control`` belongs to its last part (unless the message is a result)."""
    content = message.get("content")
    cache = _cache(message) if in_message else None
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (Text(content, cache),)
    if not isinstance(content, list):
        raise wrong(f"{where}content", "a string or an array of parts")
    parts = []
    last = len(content) - 1
    for at, part in enumerate(content):
        if not isinstance(part, dict):
            raise wrong(f"{where}content[{at}]", "an object")
        parts.append(_part(part, f"{where}content[{at}].", _cache(part) or (cache if at == last else None)))
    return tuple(parts)


def _part(part: Mapping[str, Any], where: str, cache: _Cache) -> Part:
    kind = part.get("type")
    if kind == "text":
        return Text(field(part, "text", str, where) or "", cache)
    if kind == "image_url":
        image = part.get("image_url")
        if isinstance(image, str):
            image = {"url": image}
        elif not isinstance(image, dict):
            raise wrong(f"{where}image_url", "an object")
        url = text_field(image, "url", f"{where}image_url.")
        detail = field(image, "detail", str, f"{where}image_url.")
        if url.startswith("data:"):
            media_type, data = data_url(url, f"{where}image_url.url")
            return Image(media_type, data, detail=detail, cache=cache)
        return Image(url=url, detail=detail, cache=cache)
    if kind == "file":
        return _file(field(part, "file", dict, where) or {}, f"{where}file.", cache)
    if kind == "refusal":
        return Text(field(part, "refusal", str, where) or "", cache)
    raise BadRequest(f"{where}type: a {kind!r} part cannot be carried over to this model", param=f"{where}type")


def _file(file: Mapping[str, Any], where: str, cache: _Cache) -> Document:
    data = field(file, "file_data", str, where)
    if not data:
        raise BadRequest(f"{where}file_data is missing: this model can be given files only whole", param=where[:-1])
    title = field(file, "filename", str, where)
    if not data.startswith("data:"):
        return Document(data=data, title=title, cache=cache)
    media_type, data = data_url(data, f"{where}file_data")
    return Document(media_type, data, title=title, cache=cache)


def data_url(url: str, where: str) -> tuple[str, str]:
    """Return the media type and the base64 text of a ``data:`` URL (RFC 2397)."""
    comma = url.find(",", 5, 300)
    head = url[5:comma].split(";")
    if comma < 0 or head[-1].strip() != "base64" or not head[0]:
        raise BadRequest(f"{where} must be a data URL with a media type and base64", param=where)
    return head[0].strip().lower(), url[comma + 1 :]


def _cache(holder: Mapping[str, Any]) -> _Cache:
    cache = holder.get("cache_control")
    return cache if isinstance(cache, dict) else None
