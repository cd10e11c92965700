"""The tool calls of one stream, put in order.

Events give one call after the other; servers do not always. Some number every call 0, some give no index or no id, some
repeat the id, some weave the fragments of several calls together, some end all calls at the end. A new call is one with
a new index, or with a name and an id of its own. While a call has not ended and its arguments are not whole JSON, what
else comes waits behind it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lmgw.wire.events import Event, ToolDelta, ToolEnd, ToolStart
from lmgw.wire.names import made_call_id


class Function(msgspec.Struct, gc=False):
    """A call's name and a piece of its arguments; some servers send those decoded and whole."""

    name: str | None = None
    arguments: Any = None


class Fragment(msgspec.Struct, gc=False):
    """One entry of a delta's ``tool_calls``."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class _Call:
    """One call: what has come of it, and its place among the answer's calls."""

    __slots__ = ("arguments", "ended", "id", "index", "key", "name")

    def __init__(self, key: int | None, index: int, id: str, name: str) -> None:
        self.key = key
        self.index = index
        self.id = id
        self.name = name
        self.arguments: list[str] = []
        self.ended = False

    @property
    def whole(self) -> bool:
        """Whether nothing more can come: the dialect said so, or the arguments are complete JSON."""
        if self.ended:
            return True
        try:
            msgspec.json.decode("".join(self.arguments))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class Calls:
    """Gathers the fragments of one stream's calls and gives them as events, one call after the other."""

    def __init__(self) -> None:
        self.seed: object = None  # makes ids where the upstream gives none: the answer's own id
        self._count = 0
        self._open: _Call | None = None
        self._last: _Call | None = None
        self._by_key: dict[int, _Call] = {}
        self._waiting: list[_Call | Event] = []

    @property
    def any(self) -> bool:
        """Whether the answer holds a call."""
        return self._count > 0

    def add(self, fragment: Fragment, events: list[Event]) -> None:
        """Take one fragment; append what can be told now."""
        function = fragment.function or Function()
        text = function.arguments
        if text is not None and not isinstance(text, str):
            text = msgspec.json.encode(text).decode()
        call = self._known(fragment, function)
        if call is None:
            call = self._new(fragment, function)
            if self._open is None:
                self._start(call, events)
            else:
                self._waiting.append(call)
        self._last = call
        if text:
            call.arguments.append(text)
            if call is self._open:
                events.append(ToolDelta(call.index, text))
        if self._waiting and self._open is not None and self._open.whole:
            self._release(events)

    def pass_by(self, event: Event, events: list[Event]) -> None:
        """Append another event: behind the open call if that is not whole yet."""
        if self._open is None:
            events.append(event)
            return
        self._waiting.append(event)
        if self._open.whole:
            self._release(events)

    def end(self, key: int, arguments: str, events: list[Event]) -> None:
        """Nothing more comes of the call with this index; ``arguments`` are its own where no fragment brought any."""
        call = self._by_key.pop(key, None)
        if call is None:
            return
        call.ended = True
        if not call.arguments:
            call.arguments.append(arguments)
            if call is self._open:
                events.append(ToolDelta(call.index, arguments))
        if call is self._open:
            self._release(events)

    def close(self, events: list[Event]) -> None:
        """The answer is over: append what waits, and the end of every call."""
        while self._open is not None:
            self._release(events)

    def _known(self, fragment: Fragment, function: Function) -> _Call | None:
        """Return the call that a fragment goes on with, ``None`` if it begins one."""
        call = self._last if fragment.index is None else self._by_key.get(fragment.index)
        if not function.name:
            return call or self._last
        if call is None:
            return None
        if fragment.id:
            return call if fragment.id == call.id else None
        return None if fragment.index is None or call.whole else call

    def _new(self, fragment: Fragment, function: Function) -> _Call:
        id = fragment.id or made_call_id(self.seed, self._count)
        call = _Call(fragment.index, self._count, id, function.name or "")
        self._count += 1
        if fragment.index is not None:
            self._by_key[fragment.index] = call
        return call

    def _start(self, call: _Call, events: list[Event]) -> None:
        self._open = call
        events.append(ToolStart(call.index, call.id, call.name))
        if call.arguments:
            events.append(ToolDelta(call.index, "".join(call.arguments)))

    def _release(self, events: list[Event]) -> None:
        """End the open call, and give what waited behind it up to the next call of which more may come."""
        open_: _Call | None = self._open
        while open_ is not None:
            events.append(ToolEnd(open_.index))
            open_ = self._open = self._next(events)
            if open_ is not None and not (open_.ended or (self._waiting and open_.whole)):
                return

    def _next(self, events: list[Event]) -> _Call | None:
        """Give what waits up to the next call, and begin that."""
        while self._waiting:
            waiting = self._waiting.pop(0)
            if isinstance(waiting, _Call):
                self._start(waiting, events)
                return waiting
            events.append(waiting)
        return None
