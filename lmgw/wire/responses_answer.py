"""Answers of OpenAI's Responses API, written for callers: the response object and its output items."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Raw

from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, FinishReason, Part, Text, Thinking, ToolCall, Usage
from lmgw.wire.names import made_id
from lmgw.wire.responses_fields import NOTHING, REASONS, Echo, Origin, render_usage, seal
from lmgw.wire.responses_tools import custom_input

_Item = dict[str, Any]

_encode = msgspec.json.Encoder().encode


class Envelope:
    """One response as its events show it, from ``in_progress`` to its end; what never changes is encoded once."""

    def __init__(self, reply: Reply, model: str) -> None:
        fixed = {
            "id": reply.id,
            "object": "response",
            "created_at": reply.created_s,
            "model": model or reply.model,
        }
        self._head = b"%b,%b," % (_encode(fixed)[:-1], _echo(reply).fields)

    def render(
        self,
        status: str,
        output: Sequence[_Item | Raw] = (),
        usage: Usage | None = None,
        *,
        reason: str | None = None,
        error: dict[str, Any] | None = None,
    ) -> Raw:
        """Return the response as JSON; ``reason`` says why it is incomplete."""
        state = {
            "status": status,
            "output": output,
            "usage": None if usage is None else render_usage(usage),
            "incomplete_details": None if reason is None else {"reason": reason},
            "error": error,
        }
        return Raw(self._head + _encode(state)[1:])

    def render_end(self, finish: FinishReason, output: Sequence[_Item | Raw], usage: Usage | None) -> tuple[str, Raw]:
        """Return the status and the JSON of the response once the model is done."""
        reason = REASONS.get(finish)
        status = "completed" if reason is None else "incomplete"
        return status, self.render(status, output, usage, reason=reason)


class Items:
    """Writes the output items of one answer, with the tools called what the caller calls them."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._origins = _echo(reply).origins

    def id(self, prefix: str, index: int) -> str:
        """Return the id of the item at ``index``."""
        return made_id(prefix, self._reply.id, index)

    def origin(self, name: str) -> Origin:
        """Return what the caller calls the tool that the model calls ``name``."""
        name = self._reply.tool_names.get(name, name)
        return self._origins.get(name) or Origin(name)

    def message(self, index: int, text: str, status: str) -> _Item:
        """Write text."""
        item = {"id": self.id("msg", index), "type": "message", "status": status, "role": "assistant"}
        return {**item, "content": [text_part(text)]}

    def reasoning(self, index: int, text: str, sealed: str | None) -> _Item:
        """Write reasoning; ``sealed`` is its proof for the way back."""
        summary = [summary_part(text)] if text else []
        return {"id": self.id("rs", index), "type": "reasoning", "summary": summary, "encrypted_content": sealed}

    def call(self, index: int, call_id: str, origin: Origin, arguments: str, status: str) -> _Item:
        """Write a call of a function or of a custom tool; ``arguments`` may be empty."""
        item: _Item = {"id": self.id("ctc" if origin.custom else "fc", index)}
        if origin.custom:
            item |= {"type": "custom_tool_call", "input": custom_input(arguments)}
        else:
            item |= {"type": "function_call", "arguments": arguments}
        item |= {"status": status, "call_id": call_id, "name": origin.name}
        return item if origin.namespace is None else {**item, "namespace": origin.namespace}


def _echo(reply: Reply) -> Echo:
    kept = reply.request.echo if reply.request is not None else None
    return kept if isinstance(kept, Echo) else NOTHING


def text_part(text: str) -> dict[str, Any]:
    """Write the content of a message."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def summary_part(text: str) -> dict[str, Any]:
    """Write the text of reasoning."""
    return {"type": "summary_text", "text": text}


def render_answer(answer: Answer, reply: Reply) -> bytes:
    """Write a whole answer for a caller."""
    items = Items(reply)
    output: list[_Item] = []
    for kind, parts in groupby(answer.parts, type):
        if kind is Text:
            text = "".join(part.text for part in parts if isinstance(part, Text))
            if text:
                output.append(items.message(len(output), text, "completed"))
        else:
            for part in parts:
                output.append(_item(part, items, len(output)))
    if output and answer.finish in REASONS and "status" in output[-1]:
        output[-1]["status"] = "incomplete"
    return bytes(Envelope(reply, answer.model).render_end(answer.finish, output, answer.usage)[1])


def _item(part: Part, items: Items, index: int) -> _Item:
    match part:
        case Thinking(text, signature, redacted):
            return items.reasoning(index, text, seal(signature, redacted))
        case ToolCall(id, name, arguments):
            return items.call(index, id, items.origin(name), arguments or "{}", "completed")
    raise TypeError(f"an answer cannot hold a {type(part).__name__}")
