"""A request and its answer on the way through the neutral form: policy going there, ``Progress`` coming back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from lmgw.errors import GatewayError
from lmgw.wire.dialect import Reply, StreamParser, StreamRenderer, Target
from lmgw.wire.events import (
    Answer,
    Event,
    Finish,
    Message,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Request,
    Start,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolDelta,
    ToolEnd,
    ToolStart,
)
from lmgw.wire.progress import Progress

#: What tells a model to keep to JSON, where nothing else does.
JSON_ONLY = "Answer with one JSON object and nothing else: no other text, no code fence."


def with_policy(request: Request, target: Target) -> Request:
    """Return the request with the tier's prompt and its switch for thinking, where the request says nothing of it."""
    if target.system:
        request = msgspec.structs.replace(request, messages=with_system(request.messages, target.system))
    if target.think is not None and request.reasoning is None:
        request = msgspec.structs.replace(request, reasoning=Reasoning(enabled=target.think))
    return request


def with_system(messages: tuple[Message, ...], system: str) -> tuple[Message, ...]:
    """Put ``system`` in front: into the first turn if that is a system's, else into one of its own."""
    if not messages or messages[0].role != "system":
        return (Message("system", (Text(system),)), *messages)
    first, *rest = messages
    match first.parts:
        case (Text(text=own, cache=cache), *others):
            parts: tuple[Part, ...] = (Text(f"{system}\n\n{own}", cache), *others)
        case others:
            parts = (Text(system), *others)
    return (Message("system", parts), *rest)


def foreign(error: GatewayError) -> GatewayError:
    """Return another dialect's error without its own word for the type: the status says it in every dialect."""
    error.type = None
    return error


class Rewrite(Protocol):
    """Changes one answer on its way through the neutral form: a stream's events, or the whole of it."""

    def events(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return what goes on of the next events of a stream."""

    def answer(self, answer: Answer) -> Answer:
        """Return a whole answer, changed."""


def opening(renderer: StreamRenderer, reply: Reply, said: str) -> bytes:
    """Let a caller's stream begin with ``said``, a text of the gateway's own; return its bytes."""
    return renderer.render([Start(reply.id, reply.model), TextDelta(said)])


class TranslatedStream:
    """The :class:`~lmgw.wire.translate.AnswerStream` of a pair of different dialects."""

    def __init__(self, parser: StreamParser, renderer: StreamRenderer, rewrite: Rewrite | None = None) -> None:
        self.progress = Progress()
        self._parser = parser
        self._renderer = renderer
        self._rewrite = rewrite

    def feed(self, data: bytes) -> bytes:
        """Take the next upstream bytes, cut anywhere; return the caller's."""
        if self.progress.error is not None:
            return b""
        try:
            events = self._parser.feed(data)
        except GatewayError as error:
            self.progress.error = error
            return b""
        return self._pass(events) if events else b""

    def eof(self, clean: bool) -> bytes:
        """The upstream's body ended; ``clean`` is false when the connection broke."""
        if self.progress.error is not None:
            return b""
        return self._pass(self._parser.eof(clean))

    def last_words(self, error: GatewayError) -> bytes:
        """Return how the stream ends where it breaks off here, ``b""`` where the dialect has no such end."""
        return self._renderer.render([StreamError(error)])

    def _pass(self, events: Sequence[Event]) -> bytes:
        if self._rewrite is not None:
            events = self._rewrite.events(events)
        progress = self.progress
        for event in events:
            note(progress, event)
        if progress.error is not None:
            events = [event for event in events if not isinstance(event, StreamError)]
        return self._renderer.render(events)


def note(progress: Progress, event: Event) -> None:
    """Write down what one event tells."""
    if isinstance(event, TextDelta):
        progress.add_text(event.text)
    elif isinstance(event, ToolDelta):
        progress.chars += len(event.fragment)
    elif isinstance(event, ReasoningDelta):
        progress.content = progress.reasoning = True
        progress.chars += len(event.text)
    elif isinstance(event, ToolStart):
        progress.content = progress.tool_call = True
    elif isinstance(event, Finish):
        progress.finish = event.reason
        progress.usage = event.usage or progress.usage
    elif isinstance(event, Start):
        progress.model = event.model or None
        progress.usage = event.usage
    elif isinstance(event, StreamError):
        progress.error = foreign(event.error)
    elif isinstance(event, ReasoningEnd):
        progress.content = progress.reasoning = True


def note_answer(progress: Progress, answer: Answer) -> None:
    """Write down what a whole answer tells."""
    for part in answer.parts:
        if isinstance(part, Text):
            progress.add_text(part.text)
        elif isinstance(part, Thinking):
            progress.content = progress.reasoning = True
            progress.chars += len(part.text)
        elif isinstance(part, ToolCall):
            progress.content = progress.tool_call = True
            progress.chars += len(part.arguments)
    progress.finish = answer.finish
    progress.usage = answer.usage
    progress.model = answer.model or None


class JsonTool:
    """Turns the calls of a tool that stands for JSON output back into text."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._unwrapped: set[int] = set()
        self._called = False

    def events(self, events: Sequence[Event]) -> list[Event]:
        """Return the events of a stream without the tool."""
        return [event for event in map(self._event, events) if event is not None]

    def answer(self, answer: Answer) -> Answer:
        """Return a whole answer without the tool."""
        parts = tuple(
            Text(part.arguments) if isinstance(part, ToolCall) and part.name == self._name else part
            for part in answer.parts
        )
        called = any(isinstance(part, ToolCall) for part in parts)
        finish = "stop" if answer.finish == "tool_calls" and not called else answer.finish
        return msgspec.structs.replace(answer, parts=parts, finish=finish)

    def _event(self, event: Event) -> Event | None:
        if isinstance(event, ToolStart):
            if event.name == self._name:
                self._unwrapped.add(event.index)
                return None
            self._called = True
            return ToolStart(self._index(event.index), event.id, event.name)
        if isinstance(event, ToolDelta):
            if event.index in self._unwrapped:
                return TextDelta(event.fragment)
            return ToolDelta(self._index(event.index), event.fragment)
        if isinstance(event, ToolEnd):
            return None if event.index in self._unwrapped else ToolEnd(self._index(event.index))
        if isinstance(event, Finish) and event.reason == "tool_calls" and not self._called:
            return msgspec.structs.replace(event, reason="stop")
        return event

    def _index(self, index: int) -> int:
        """Return a call's number among those that are left."""
        return index - sum(1 for gone in self._unwrapped if gone < index)
