"""The neutral form: what all dialects have in common, as values.

Requests are read into :class:`Request` and written from it; whole answers are :class:`Answer`; streams are sequences
of the events below.
Nothing in it can be part of a cycle, so the garbage collector need not look at it (``gc=False``).
Only a pair of *different* dialects goes through here; the same dialect on both sides is relayed as bytes (``splice``,
``relay``).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from lmgw.errors import GatewayError

# --- requests ------------------------------------------------------------------------------------------------


class Text(msgspec.Struct, frozen=True, gc=False):
    """A piece of text; ``cache`` is Anthropic's ``cache_control``, kept where a part carried it."""

    text: str
    cache: dict[str, Any] | None = None


class Image(msgspec.Struct, frozen=True, gc=False):
    """An image: base64 ``data`` with its ``media_type``, or a ``url``."""

    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    detail: str | None = None
    cache: dict[str, Any] | None = None


class Document(msgspec.Struct, frozen=True, gc=False):
    """A PDF or text document: base64 ``data``, plain ``text`` or a ``url``."""

    media_type: str = "application/pdf"
    data: str | None = None
    text: str | None = None
    url: str | None = None
    title: str | None = None
    cache: dict[str, Any] | None = None


class Thinking(msgspec.Struct, frozen=True, gc=False):
    """Reasoning of an earlier turn.

    ``signature`` proves it to Anthropic; ``redacted`` is its opaque form instead of text.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A call by the assistant; ``arguments`` is JSON text as it came (it may be empty or not an object)."""

    id: str
    name: str
    arguments: str
    cache: dict[str, Any] | None = None


class ToolResult(msgspec.Struct, frozen=True, gc=False):
    """What a call came to: ``Text``, ``Image`` and ``Document`` parts."""

    id: str
    parts: tuple[Text | Image | Document, ...]
    name: str | None = None
    is_error: bool = False
    cache: dict[str, Any] | None = None


Part = Text | Image | Document | Thinking | ToolCall | ToolResult


class Message(msgspec.Struct, frozen=True, gc=False):
    """One turn. ``system`` turns stand where they stood; tool results are ``ToolResult`` parts of a ``user`` turn."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True, gc=False):
    """A function the model may call; ``parameters`` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    cache: dict[str, Any] | None = None


class ToolChoice(msgspec.Struct, frozen=True, gc=False):
    """``named`` has one name in ``names``; ``auto`` and ``required`` may have an allow-list there."""

    mode: Literal["none", "auto", "required", "named"]
    names: tuple[str, ...] = ()


class JsonFormat(msgspec.Struct, frozen=True, gc=False):
    """The answer must be JSON: any object if ``schema`` is ``None``."""

    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """What the caller wants of thinking: off, on (``effort`` and ``budget_tokens`` unset), an effort word, a budget."""

    enabled: bool = True
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    budget_tokens: int | None = None
    adaptive: bool = False


class Request(msgspec.Struct, frozen=True, gc=False):
    """A chat request in the neutral form; ``None`` is "not said".

    ``dropped`` are the caller's field names that the neutral form has no place for (they go into ``X-LMG-Lossy``
    unless ignoring them changes nothing anybody could notice). ``options`` are Ollama's options that no other field
    holds. ``echo`` is what the caller's dialect keeps of the body for its answer.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()
    user: str | None = None
    format: JsonFormat | None = None
    reasoning: Reasoning | None = None
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    options: dict[str, Any] = {}
    keep_alive: int | str | None = None
    echo: Any = None
    dropped: tuple[str, ...] = ()


# --- answers -------------------------------------------------------------------------------------------------

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of disjoint kinds: ``input`` excludes both cache kinds; ``reasoning`` is a part of ``output``."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole answer: ``Thinking``, ``Text`` and ``ToolCall`` parts in order."""

    id: str
    model: str
    parts: tuple[Part, ...]
    finish: FinishReason
    usage: Usage | None = None
    stop_sequence: str | None = None


# --- stream events -------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, gc=False):
    """The answer begins; ``usage`` where the dialect tells the prompt's size here."""

    id: str
    model: str
    usage: Usage | None = None


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    text: str


class ReasoningEnd(msgspec.Struct, frozen=True, gc=False):
    """The block of reasoning is over: its ``signature``, or the whole of a ``redacted`` block."""

    signature: str | None = None
    redacted: str | None = None


class ToolStart(msgspec.Struct, frozen=True, gc=False):
    """A call begins; ``index`` counts calls from 0. Until its :class:`ToolEnd` only its own fragments follow."""

    index: int
    id: str
    name: str


class ToolDelta(msgspec.Struct, frozen=True, gc=False):
    """A fragment of the call's arguments, cut anywhere."""

    index: int
    fragment: str


class ToolEnd(msgspec.Struct, frozen=True, gc=False):
    """The call is complete. Parsers always send it, even where the dialect has no such event."""

    index: int


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The model is done; ``usage`` are the last cumulative figures, if any. Always the last event of a good stream."""

    reason: FinishReason
    usage: Usage | None = None
    stop_sequence: str | None = None


class StreamError(msgspec.Struct, frozen=True):
    """The upstream broke off: in words of its own, or by closing before a finish. Always the last event."""

    error: GatewayError


Event = Start | TextDelta | ReasoningDelta | ReasoningEnd | ToolStart | ToolDelta | ToolEnd | Finish | StreamError
