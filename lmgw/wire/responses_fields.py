"""Names and numbers of OpenAI's Responses API that requests, answers and streams share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lmgw.errors import BadRequest, GatewayError
from lmgw.wire.events import FinishReason, Usage
from lmgw.wire.openai_answer import count, details
from lmgw.wire.statuses import names

RESPONSES_PATH = "/responses"

#: What ``encrypted_content`` begins with where the reasoning came through the gateway from another kind of API.
SEAL = "lmgw:"
_SIGNATURE = f"{SEAL}signature:"
_REDACTED = f"{SEAL}redacted:"

_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
#: Why an answer is ``incomplete``, by the reason it finished for; with any other it is ``completed``.
REASONS = {finish: reason for reason, finish in _INCOMPLETE.items()}

#: The response's fields that the caller can choose, with what they are where it did not.
_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
#: What follows from nothing being stored.
_STATELESS = {"background": False, "previous_response_id": None, "store": False}

_encode = msgspec.json.Encoder().encode


class Origin(msgspec.Struct, frozen=True):
    """What the caller calls a tool whose function is not simply its own."""

    name: str
    namespace: str | None = None
    custom: bool = False


class Echo(msgspec.Struct, frozen=True):
    """What is kept of a request for its answer.

    :ivar fields: the response's fields that repeat it, as JSON without the braces.
    :ivar origins: tools that are called otherwise in the neutral form, by their names there.
    """

    fields: bytes
    origins: Mapping[str, Origin]

    @classmethod
    def of(cls, said: Mapping[str, Any], origins: Mapping[str, Origin]) -> Echo:
        """Keep what the caller said. Raises :class:`~lmgw.errors.BadRequest` for what is nested too deeply."""
        try:
            return cls(_encode(_DEFAULTS | dict(said) | _STATELESS)[1:-1], origins)
        except RecursionError:
            raise BadRequest("the body is nested too deeply") from None


#: What words of the gateway's own are an answer to.
NOTHING = Echo.of({}, {})


def finish_reason(incomplete_reason: str | None, called: bool) -> FinishReason:
    """Return the neutral reason; ``called``: the answer holds a tool call."""
    if incomplete_reason is not None:
        return _INCOMPLETE.get(incomplete_reason, "length")
    return "tool_calls" if called else "stop"


def parse_usage(found: Any) -> Usage | None:
    """Read ``usage``: input includes what was cached, output what was reasoning."""
    if not isinstance(found, dict):
        return None
    prompt = details(found, "input_tokens_details")
    read, written = count(prompt, "cached_tokens"), count(prompt, "cache_write_tokens")
    return Usage(
        input=max(0, count(found, "input_tokens") - read - written),
        output=count(found, "output_tokens"),
        cache_read=read,
        cache_write=written,
        reasoning=count(details(found, "output_tokens_details"), "reasoning_tokens"),
    )


def render_usage(usage: Usage) -> dict[str, Any]:
    """Write ``usage``, likewise."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": prompt + usage.output,
    }


def seal(signature: str | None, redacted: str | None) -> str:
    """Return the ``encrypted_content`` of reasoning, in which a caller sends back what proves it to Anthropic."""
    if redacted is not None:
        return _REDACTED + redacted
    return _SIGNATURE + (signature or "")


def unseal(content: str) -> tuple[str | None, str | None]:
    """Return the signature and the redacted text that :func:`seal` put away; nobody else's can be read here."""
    if content.startswith(_REDACTED):
        return None, content.removeprefix(_REDACTED)
    if content.startswith(_SIGNATURE):
        return content.removeprefix(_SIGNATURE) or None, None
    return None, None


def render_event(name: str, number: int, fields: dict[str, Any]) -> bytes:
    """Return one event of a stream, number ``number`` from 0."""
    data = _encode({"type": name, "sequence_number": number, **fields})
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def error_event(error: GatewayError) -> dict[str, Any]:
    """Write the fields of an ``error`` event: as they are documented, and again under ``error``, where SDKs look."""
    fields = {**response_error(error), "param": error.param}
    return {**fields, "error": {"type": error.type or names(error.status).openai, **fields}}


def response_error(error: GatewayError) -> dict[str, Any]:
    """Write the ``error`` of a response that failed."""
    fault = "server_error" if error.status >= 500 else "invalid_prompt"
    return {"code": error.code or names(error.status).openai_code or fault, "message": error.message}
