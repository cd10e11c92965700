"""An Ollama caller's own request, edited for an Ollama server: the tier's model and policy, every other byte kept."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from lmgw.errors import BadRequest
from lmgw.wire.body import Body
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import Reasoning
from lmgw.wire.ollama_upstream import CHAT_PATH, think_value
from lmgw.wire.splice import splice, splice_object


class _Role(msgspec.Struct):
    role: str = ""
    content: str | None = None


class _Named(msgspec.Struct):
    name: str


class _Offer(msgspec.Struct):
    function: _Named


_NULL = b"null"
_ENCODE = msgspec.json.encode
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_LIST = msgspec.json.Decoder(list[Raw])
_MESSAGE = msgspec.json.Decoder(_Role)
_TOOLS = msgspec.json.Decoder(list[_Offer] | None)


def edit_chat(body: Body, target: Target) -> Rendered:
    """Return an Ollama caller's ``/api/chat`` request with the tier's model and policy, every other byte kept.

    Raises :class:`~lmgw.errors.BadRequest` for a field that policy touches and that has the wrong type.
    """
    edits: dict[str, Any] = {"model": target.model}
    if target.system:
        edits["messages"] = _prepended(body, target.system)
    if target.think is not None and not _said(body, "think"):
        think = think_value(Reasoning(enabled=target.think), target.capabilities)
        if think is not None:
            edits["think"] = think
    edits.update(policy_edits(body, target))
    return Rendered(CHAT_PATH, splice(body, edits))


def policy_edits(body: Body, target: Target) -> dict[str, Any]:
    """Return the edits that the backend's and the tier's ``options`` and ``keep_alive`` make to an Ollama body."""
    edits: dict[str, Any] = {}
    if target.options or target.pinned_options:
        edits["options"] = _merged_options(body, target)
    if target.keep_alive is not None and not _said(body, "keep_alive"):
        edits["keep_alive"] = target.keep_alive
    return edits


def offered_tools(body: Body, target: Target) -> tuple[str, ...]:
    """Return the names of the tools that an Ollama body offers, if the backend's text is to be repaired into calls."""
    if not target.repair_tool_calls:
        return ()
    try:
        tools = _TOOLS.decode(body.fields.get("tools", _NULL)) or ()
    except msgspec.ValidationError:
        return ()  # the upstream says what is wrong with them
    return tuple(tool.function.name for tool in tools)


def _said(body: Body, key: str) -> bool:
    raw = body.fields.get(key)
    return raw is not None and bytes(raw) != _NULL


def _merged_options(body: Body, target: Target) -> Any:
    if not _said(body, "options"):
        return {**target.options, **target.pinned_options}
    own = bytes(body.fields["options"])
    try:
        said = _OBJECT.decode(own)
    except msgspec.ValidationError:
        raise BadRequest("options must be an object", param="options") from None
    defaults = {name: value for name, value in target.options.items() if bytes(said.get(name, _NULL)) == _NULL}
    return Raw(splice_object(own, {**defaults, **target.pinned_options}))


def _prepended(body: Body, system: str) -> list[Raw]:
    """Return the messages with ``system`` before all else, before the caller's own system text if that is first."""
    try:
        messages = _LIST.decode(body.fields.get("messages", b"[]"))
        first = _MESSAGE.decode(messages[0]) if messages else _Role()
    except msgspec.ValidationError:
        raise BadRequest("messages must be a list of objects with a role", param="messages") from None
    if first.role.lower() == "system":
        content = f"{system}\n\n{first.content}" if first.content else system
        messages[0] = Raw(splice_object(bytes(messages[0]), {"content": content}))
    else:
        messages.insert(0, Raw(_ENCODE({"role": "system", "content": system})))
    return messages
