"""Turns an answer that is nothing but ``Name(key="value")`` text into the tool calls it was meant to be.

Small thinking models on Ollama sometimes write a call as text instead of calling. A backend with ``repair_tool_calls``
has such answers repaired, but only where the *whole* text is calls of tools that the request offered: a call is
executed by the caller, so prose that merely mentions one must stay prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from lmgw.wire.events import (
    Answer,
    Event,
    Finish,
    StreamError,
    Text,
    TextDelta,
    ToolCall,
    ToolDelta,
    ToolEnd,
    ToolStart,
)
from lmgw.wire.names import made_call_id

#: Characters of text that are held back at most while they may still become calls.
MAX_HELD = 8192

_SPACE = re.compile(r"\s*")
_BETWEEN_CALLS = re.compile(r"[\s,;]*")
_KEY = re.compile(r"[^\W\d]\w*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_WORD = re.compile(r"[-+.\w]+")
#: A bracket, or a string, perhaps not ended yet, whose brackets do not count.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_ESCAPE_OR_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


class _Broken(Exception):
    """The text is no call."""


class _Incomplete(Exception):
    """The text ends before it can be told."""


class CallText:
    """The text of one answer as it comes in: may it still be nothing but calls of these tools?

    :ivar open: whether it may; false from the start where no tool was offered.
    :ivar text: everything that was pushed.
    """

    def __init__(self, names: Collection[str], seed: str) -> None:
        """``seed`` (the answer's id) makes the calls' ids unique in a conversation."""
        self.open = bool(names)
        self.text = ""
        self._names = sorted(names, key=len, reverse=True)
        self._seed = seed
        self._at = 0
        self._calls: list[ToolCall] = []

    def push(self, text: str) -> bool:
        """Add text; return whether all of it may still become calls, and so must be held back."""
        self.text += text
        if len(self.text) > MAX_HELD:
            self.open = False
        try:
            while self.open:
                at = _match(_BETWEEN_CALLS, self.text, self._at).end()
                name, values, self._at = _read_call(self.text, at, self._names)
                arguments = msgspec.json.encode(values).decode()
                made = made_call_id(self._seed, len(self._calls), name, arguments)
                self._calls.append(ToolCall(made, name, arguments))
        except _Incomplete:
            pass
        except (_Broken, ValueError):  # the latter for text that JSON cannot hold
            self.open = False
        return self.open

    def calls(self) -> list[ToolCall]:
        """The text is over: return the calls that it is, or nothing if it is anything else."""
        complete = self.open and _BETWEEN_CALLS.fullmatch(self.text, self._at) is not None
        return self._calls if complete else []


class ToolRepair:
    """Repairs one answer, streamed or whole; ``names`` and ``seed`` as for :class:`CallText`."""

    def __init__(self, names: Collection[str], seed: str) -> None:
        self._held = CallText(names, seed)

    def events(self, events: Sequence[Event]) -> list[Event]:
        """Return the events that may go on: text that may still become a call is held until that is decided."""
        passed: list[Event] = []
        for event in events:
            if not self._held.open:
                passed.append(event)
            elif isinstance(event, TextDelta):
                if not self._held.push(event.text):
                    passed.append(TextDelta(self._held.text))
            elif isinstance(event, Finish):
                passed += self._finish(event)
            else:
                if isinstance(event, ToolStart | StreamError):
                    passed += self._release()
                passed.append(event)
        return passed

    def answer(self, answer: Answer) -> Answer:
        """Return a whole answer with its text turned into calls, or unchanged where the text is anything else."""
        if any(isinstance(part, ToolCall) for part in answer.parts):
            return answer
        for part in answer.parts:
            if isinstance(part, Text):
                self._held.push(part.text)
        calls = self._held.calls()
        if not calls:
            return answer
        others = (part for part in answer.parts if not isinstance(part, Text))
        finish = "tool_calls" if answer.finish == "stop" else answer.finish
        return msgspec.structs.replace(answer, parts=(*others, *calls), finish=finish)

    def _release(self) -> list[Event]:
        self._held.open = False
        return [TextDelta(self._held.text)] if self._held.text else []

    def _finish(self, finish: Finish) -> list[Event]:
        calls = self._held.calls()
        if not calls:
            return [*self._release(), finish]
        self._held.open = False
        events: list[Event] = []
        for index, call in enumerate(calls):
            events += [ToolStart(index, call.id, call.name), ToolDelta(index, call.arguments), ToolEnd(index)]
        if finish.reason == "stop":
            finish = msgspec.structs.replace(finish, reason="tool_calls")
        return [*events, finish]


def _match(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    """Match ``pattern`` at ``at``, where something must follow it: the end of the text leaves it undecided."""
    match = pattern.match(text, at)
    if (match.end() if match else at) == len(text):
        raise _Incomplete
    if match is None:
        raise _Broken
    return match


def _expect(text: str, at: int, allowed: str) -> tuple[str, int]:
    at = _match(_SPACE, text, at).end()
    if text[at] not in allowed:
        raise _Broken
    return text[at], at + 1


def _read_call(text: str, at: int, names: Sequence[str]) -> tuple[str, dict[str, Any], int]:
    """Read ``name(key=value, ...)`` at ``at``; return the name, the arguments and where it ends."""
    for name in names:
        if text.startswith(name, at) and text[at + len(name) : at + len(name) + 1] in ("", " ", "("):
            break
    else:
        rest = text[at:]
        if any(name.startswith(rest) for name in names):
            raise _Incomplete
        raise _Broken
    arguments: dict[str, Any] = {}
    _, at = _expect(text, at + len(name), "(")
    at = _match(_SPACE, text, at).end()
    while text[at] != ")":
        key = _match(_KEY, text, at)
        _, at = _expect(text, key.end(), "=")
        arguments[key.group()], at = _read_value(text, _match(_SPACE, text, at).end())
        mark, at = _expect(text, at, ",)")
        if mark == ")":
            return name, arguments, at
        at = _match(_SPACE, text, at).end()
    return name, arguments, at + 1


def _read_value(text: str, at: int) -> tuple[Any, int]:
    """Read a string in either quotes, a number, a constant of JSON or Python, or a JSON list or object."""
    if text[at] in "\"'":
        string = _STRING.match(text, at)
        if string is None:
            raise _Incomplete
        return _loads(_double_quoted(string.group())), string.end()
    if text[at] in "[{":
        end = _closing_bracket(text, at)
        return _loads(text[at:end]), end
    word = _match(_WORD, text, at)
    if word.group() in _CONSTANTS:
        return _CONSTANTS[word.group()], word.end()
    return _loads(word.group()), word.end()


def _double_quoted(string: str) -> str:
    if string[0] == '"':
        return string
    quotes = {"\\'": "'", '"': '\\"'}
    inner = _ESCAPE_OR_QUOTE.sub(lambda found: quotes.get(found.group(), found.group()), string[1:-1])
    return f'"{inner}"'


def _closing_bracket(text: str, at: int) -> int:
    depth = 0
    for found in _BRACKETS.finditer(text, at):
        mark = found.group()
        depth += (mark in "[{") - (mark in "]}")
        if depth == 0:
            return found.end()
    raise _Incomplete


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _Broken from None


def _no_number(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's
