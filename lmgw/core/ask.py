"""What a caller asks of routing: the few facts that choose a tier, and the prompt only where it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import msgspec

from lmgw.wire.events import Document, Image, Message, Request, Text, Thinking, ToolCall, ToolResult

Operation = Literal["chat", "completions", "embeddings", "count_tokens"]

#: Base64 characters of a document that count as one image, as its pages will be.
DOCUMENT_CHARS_AN_IMAGE = 65_536


class Turn(NamedTuple):
    """What a user or the assistant said: the text parts of one message."""

    role: Literal["user", "assistant"]
    text: str


class Prompt(msgspec.Struct, frozen=True):
    """What a request makes a model read, as classification and the context fit see it.

    :ivar turns: the user's and the assistant's texts in order; system text and tool results are not among them.
    :ivar tool_result: whether the conversation holds a tool's result.
    :ivar texts: everything that is read as text: messages, calls, results, tools.
    :ivar messages: how many messages there are, tools counted as one each.
    :ivar images: how many images there are; documents count as one or more.
    """

    turns: tuple[Turn, ...] = ()
    tool_result: bool = False
    texts: tuple[str, ...] = ()
    messages: int = 0
    images: int = 0

    @classmethod
    def of(cls, request: Request) -> Prompt:
        """Read a request in the neutral form."""
        turns: list[Turn] = []
        texts: list[str] = []
        images = 0
        tool_result = False
        for message in request.messages:
            said = _said(message)
            if said and message.role != "system":
                turns.append(Turn(message.role, said))
            for part in message.parts:
                tool_result = tool_result or isinstance(part, ToolResult)
                images += _read(part, texts)
        for tool in request.tools:
            texts += (tool.name, tool.description or "", msgspec.json.encode(tool.parameters or {}).decode())
        return cls(tuple(turns), tool_result, tuple(texts), len(request.messages) + len(request.tools), images)

    @classmethod
    def roughly(cls, messages: object, tools: object = None) -> Prompt:
        """Read what there is of a conversation with parts that only its own provider knows: each counts as an image."""
        turns: list[Turn] = []
        texts: list[str] = [] if tools is None else [msgspec.json.encode(tools).decode()]
        unknown = 0
        tool_result = False
        told = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
        for message in told:
            role, content = message.get("role"), message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}] if isinstance(content, str) else []
            said = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
            unknown += len(parts) - len(said)
            texts += said
            tool_result = tool_result or role == "tool"
            if said and (role == "user" or role == "assistant"):
                turns.append(Turn(role, "\n".join(said)))
        return cls(tuple(turns), tool_result, tuple(texts), len(told), unknown)


class Ask(Protocol):
    """One request as routing sees it.

    :ivar model: the caller's model hint, ``None`` or empty where it names none.
    :ivar size: bytes of the body: no text in it has more tokens than that.
    :ivar priority: what ``X-LMG-Priority`` asked for.
    :ivar deadline: when the request's time is used up, in seconds of the clock that ``now`` comes from.
    """

    model: str | None
    size: int
    operation: Operation
    stream: bool
    priority: int | None
    deadline: float | None

    @property
    def expert(self) -> bool:
        """Whether the caller sent ``X-LMG-Expert: true``."""

    def prompt(self) -> Prompt:
        """Read the body; called at most once, and only where the route depends on it."""

    def may_hold_images(self) -> bool:
        """Look at the body's bytes for images and documents, cheaply; may say yes wrongly, never no."""


class Supposed(msgspec.Struct):
    """An :class:`Ask` of given values, where no request has come."""

    model: str | None
    prompt: Callable[[], Prompt]
    size: int
    may_hold_images: Callable[[], bool]
    operation: Operation = "chat"
    stream: bool = False
    expert: bool = False
    priority: int | None = None
    deadline: float | None = None


def _said(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, Text) and part.text)


def _read(part: object, texts: list[str]) -> int:
    """Add a part's texts; return how many images it counts as."""
    match part:
        case Text(text=text) | Thinking(text=text):
            texts.append(text)
        case Image():
            return 1
        case Document(text=str(text)):
            texts.append(text)
        case Document(data=data):
            return 1 + len(data or "") // DOCUMENT_CHARS_AN_IMAGE
        case ToolCall(name=name, arguments=arguments):
            texts += (name, arguments)
        case ToolResult(parts=parts):
            return sum(_read(inner, texts) for inner in parts)
    return 0
