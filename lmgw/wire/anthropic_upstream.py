"""Requests of Anthropic's Messages API, written for upstreams.

The API refuses fields and values that it does not know, so only what is known to be taken is sent; what is left out is
named in :attr:`~lmgw.wire.dialect.Rendered.lossy`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.anthropic_fields import MESSAGES_PATH, VERSION
from lmgw.wire.anthropic_messages import Conversation
from lmgw.wire.anthropic_schema import closed
from lmgw.wire.anthropic_thinking import thinking
from lmgw.wire.anthropic_tools import Tools
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import JsonFormat, Request
from lmgw.wire.names import short_names
from lmgw.wire.neutral import JSON_ONLY, with_policy

#: Tokens of an answer where neither the caller nor the catalog says how many; every Claude takes it.
_MAX_TOKENS = 4096
#: What ``metadata.user_id`` may be; it must not be somebody's name, address or number.
_USER = re.compile(r"[\w.:-]{1,256}", re.ASCII)
_PHONE = re.compile(r"[\d.:-]{7,20}", re.ASCII)

_encode = msgspec.json.Encoder().encode


def render_request(request: Request, target: Target) -> Rendered:
    """Write ``request`` for ``target``. Raises :class:`~lmgw.errors.BadRequest` where the meaning would change."""
    if request.n > 1:
        raise BadRequest("n must be 1: the model behind this name gives one answer at a time", param="n")
    try:
        return _render(with_policy(request, target), target)
    except RecursionError:
        raise BadRequest("a schema in the request is nested too deeply") from None


def _render(request: Request, target: Target) -> Rendered:
    capabilities = target.capabilities
    lossy = [*request.dropped, *(f"options.{name}" for name in request.options)]
    conversation = Conversation(capabilities)
    for message in request.messages:
        conversation.add(message)
    conversation.finish()
    schema = _json_schema(request.format)
    if request.format is not None and schema is None:
        conversation.system.append({"type": "text", "text": JSON_ONLY})
    by_tool = schema is not None and not capabilities.structured_outputs
    tools = Tools(request, capabilities, schema if by_tool else None)
    lossy += tools.lossy
    max_tokens = request.max_tokens or target.max_output_tokens or capabilities.max_output_tokens or _MAX_TOKENS
    think = thinking(
        request.reasoning,
        capabilities,
        max_tokens,
        forced=tools.forced,
        unsigned_calls=conversation.ends_in_unsigned_calls,
    )
    if think.lost:
        lossy.append("reasoning")
    output: dict[str, Any] = {}
    if think.effort is not None:
        output["effort"] = think.effort
    if schema is not None and not by_tool:
        output["format"] = {"type": "json_schema", "schema": closed(schema)}
    body: dict[str, Any] = {"model": target.model, "max_tokens": max_tokens}
    if conversation.system:
        body["system"] = conversation.system_text
    body["messages"] = conversation.turns
    body |= tools.fields | think.fields | _sampling(request, capabilities, lossy, thinks=think.on)
    body |= _stop(request, lossy) | _user(request, lossy)
    if output:
        body["output_config"] = output
    if request.stream:
        body["stream"] = True
    return Rendered(
        MESSAGES_PATH,
        _encode(body),
        (VERSION,),
        lossy=tuple(dict.fromkeys(lossy)),
        tool_names=short_names(tool.name for tool in request.tools),
        json_tool=tools.json_tool,
    )


def _json_schema(format: JsonFormat | None) -> dict[str, Any] | None:
    """Return the schema of the answer; ``None`` where any object will do, or no JSON is asked for."""
    if format is None or not format.schema:
        return None
    if format.description is None or "description" in format.schema:
        return format.schema
    return {**format.schema, "description": format.description}


def _sampling(request: Request, capabilities: Capabilities, lossy: list[str], *, thinks: bool) -> dict[str, Any]:
    """Return what steers the choice of tokens: temperature or else ``top_p``, nothing while the model thinks."""
    lossy += ["seed"] if request.seed is not None else []
    lossy += [name for name in ("frequency_penalty", "presence_penalty") if getattr(request, name)]
    wanted = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    said = {name: value for name, value in wanted.items() if value is not None}
    dropped = list(said) if thinks or not capabilities.sampling else ["top_p"] if "temperature" in said else []
    lossy += [name for name in dropped if said.pop(name, 1) != 1]
    if said.get("temperature", 0) > 1:
        said["temperature"] = 1
        lossy.append("temperature")
    return said


def _stop(request: Request, lossy: list[str]) -> dict[str, Any]:
    """Return the stop sequences; the API refuses those that are only white space."""
    kept = [stop for stop in request.stop if stop and not stop.isspace()]
    if len(kept) < len(request.stop):
        lossy.append("stop")
    return {"stop_sequences": kept} if kept else {}


def _user(request: Request, lossy: list[str]) -> dict[str, Any]:
    user = request.user
    if not user:
        return {}
    if _USER.fullmatch(user) and not _PHONE.fullmatch(user):
        return {"metadata": {"user_id": user}}
    lossy.append("user")
    return {}
