"""Pass-through of OpenAI's Responses API: callers and upstreams that both speak it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from lmgw.errors import BadRequest, GatewayError, UpstreamFailed
from lmgw.wire import sse
from lmgw.wire.body import Body
from lmgw.wire.dialect import LazyReply, Rendered, Target
from lmgw.wire.events import FinishReason, Reasoning
from lmgw.wire.openai_stream import DONE
from lmgw.wire.openai_upstream import effort
from lmgw.wire.progress import Progress
from lmgw.wire.relay import Relay
from lmgw.wire.responses_fields import (
    RESPONSES_PATH,
    SEAL,
    error_event,
    finish_reason,
    parse_usage,
    render_event,
    response_error,
)
from lmgw.wire.responses_request import STATEFUL, refuse_state
from lmgw.wire.splice import splice, splice_object
from lmgw.wire.statuses import error_in, read_error

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SEAL = SEAL.encode()
_REFUSAL, _TEXT = "response.refusal.delta", "response.output_text.delta"
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
#: Items that are for the caller to act on; other calls ran at the provider.
_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call", "computer_call")
#: What is not found where the route is there: a model, an item by its id.
_SOMETHING_ELSE = re.compile(r"model|\bid\b")
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class _Item(msgspec.Struct, gc=False):
    """An output item, as far as the gateway reads it; there are many types, and not all have these of one shape."""

    type: Any = None
    content: Any = None
    summary: Any = None
    arguments: Any = None
    input: Any = None


class _State(msgspec.Struct, gc=False):
    """What a stream's last event says of the response besides its output."""

    model: Any = None
    status: Any = None
    usage: Any = None
    incomplete_details: Any = None
    error: Any = None


class _Response(_State, gc=False):
    """A whole answer."""

    output: list[_Item] | None = None


class _StreamEvent(msgspec.Struct, gc=False):
    type: str = ""
    sequence_number: Any = None
    delta: Any = None
    item: _Item | None = None
    response: Raw = Raw(b"")
    error: Any = None
    message: Any = None
    code: Any = None
    param: Any = None


class _Kind(msgspec.Struct):
    encrypted_content: Any = None


_LIST = msgspec.json.Decoder(list[Raw])
_KIND = msgspec.json.Decoder(_Kind)
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_VALUE = msgspec.json.Decoder()
_STATE = msgspec.json.Decoder(_State)
_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_StreamEvent)
_encode = msgspec.json.Encoder().encode


# --- requests ------------------------------------------------------------------------------------------------


def edit_request(body: Body, target: Target) -> Rendered:
    """Return the caller's bytes with the tier's model and policy, and without reasoning of another kind of API.

    Raises :class:`~lmgw.errors.BadRequest` where a field must be read for that and cannot be, and for what only a
    server with a memory has.
    """
    refuse_state({key: _VALUE.decode(body.fields[key]) for key in STATEFUL if key in body.fields})
    edits: dict[str, Any] = {"model": target.model}
    if target.system:
        edits["instructions"] = _instructions(body, target.system)
    if target.think is not None and target.capabilities.reasoning:
        edits |= _reasoning(body, target)
    if _SEAL in body.legible:
        edits |= _without_sealed(body)
    return Rendered(RESPONSES_PATH, splice(body, edits))


def _instructions(body: Body, system: str) -> str:
    own = _VALUE.decode(body.fields.get("instructions", b"null"))
    if own is not None and not isinstance(own, str):
        raise BadRequest("instructions must be a string", param="instructions")
    return f"{system}\n\n{own}" if own else system


def _reasoning(body: Body, target: Target) -> dict[str, Any]:
    """Return the edit of the tier's switch for thinking, nothing for a caller that says how it is to be."""
    own = bytes(body.fields.get("reasoning", b"null"))
    try:
        said = {} if own == b"null" else _OBJECT.decode(own)
    except msgspec.ValidationError:
        raise BadRequest("reasoning must be an object", param="reasoning") from None
    if bytes(said.get("effort", b"null")) != b"null":
        return {}
    word = effort(Reasoning(enabled=bool(target.think)), target.capabilities)
    return {"reasoning": Raw(splice_object(own if said else b"{}", {"effort": word}))}


def _without_sealed(body: Body) -> dict[str, Any]:
    """Return the edit that takes out reasoning that the gateway sealed: OpenAI cannot read it, and refuses it."""
    own = bytes(body.fields.get("input", b"null"))
    if own[:1] != b"[":
        return {}
    items = _LIST.decode(own)
    return {"input": [item for item in items if not _is_sealed(item)]}


def _is_sealed(item: Raw) -> bool:
    try:
        content = _KIND.decode(item).encrypted_content
    except msgspec.ValidationError:
        return False  # no object: for the upstream to say
    return isinstance(content, str) and content.startswith(SEAL)


def lacks_route(error: GatewayError) -> bool:
    """Whether an upstream's refusal says that it has no Responses API at all: not that something in it is unknown."""
    words = f"{error.code} {error.message}".lower()
    return error.status in (404, 405, 501) and error.param is None and not _SOMETHING_ELSE.search(words)


# --- streams -------------------------------------------------------------------------------------------------


class ResponsesScanner:
    """The :class:`~lmgw.wire.relay.Scanner` of the Responses API.

    :ivar next_number: of the event that would come next.
    :ivar response: the response as the stream's first events show it.
    """

    def __init__(self) -> None:
        self.progress = Progress()
        self.next_number = 0
        self.response = b"{}"

    def scan(self, frame: bytes) -> bytes:
        """Read one frame; return it, or ``b""`` for an error, for what follows the end and for a ``[DONE]``."""
        data = sse.payload(frame)
        if not data:
            return frame
        try:
            event = _EVENT.decode(data)
        except _UNREADABLE:
            return b"" if data == DONE else frame
        progress, kind = self.progress, event.type
        if progress.finish is not None:
            return b""
        if kind == "error" or event.error is not None:
            progress.error = _error(event)
        elif kind.endswith(".delta"):
            _note_delta(progress, kind, event.delta)
        elif kind == "response.output_item.added" and event.item is not None:
            _note_item(progress, event.item)
        elif response := bytes(event.response):
            self._note_response(kind, response)
        if progress.error is not None:
            return b""
        number = event.sequence_number
        self.next_number = (number if isinstance(number, int) else self.next_number) + 1
        return frame

    def end(self) -> bytes:
        """Return nothing: the last event is the response itself."""
        return b""

    def _note_response(self, kind: str, response: bytes) -> None:
        try:
            found = _STATE.decode(response)
        except _UNREADABLE:
            return
        self.response = response
        progress = self.progress
        _note_state(progress, found)
        if kind == "response.failed":
            progress.error = _failure(found)
        elif kind in _ENDS:
            progress.finish = _finish(found, progress)


class ResponsesRelay(Relay):
    """The relay of a stream of the Responses API, which can be ended properly where it breaks off."""

    def __init__(self) -> None:
        self._read = ResponsesScanner()
        super().__init__(sse.Frames(), self._read)

    def last_words(self, error: GatewayError) -> bytes:
        """Return the events that end the stream: the response that began has failed."""
        number = self._read.next_number
        response = _OBJECT.decode(self._read.response) | {"status": "failed", "error": response_error(error)}
        told = render_event("error", number, error_event(error))
        return told + render_event("response.failed", number + 1, {"response": response})


def relay(body: Body, target: Target, reply: LazyReply) -> Relay:
    """Start the way back of a streamed answer."""
    return ResponsesRelay()


def relay_answer(body: Body, target: Target, reply: LazyReply, answer: bytes) -> tuple[bytes, Progress]:
    """Return a whole answer as it came, and what is known of it; an error inside it leaves no bytes."""
    progress = Progress()
    try:
        found = _RESPONSE.decode(answer)
    except _UNREADABLE:
        progress.error = UpstreamFailed(read_error(200, answer).message)
        return b"", progress
    if found.output is None or found.status == "failed":
        progress.error = _failure(found)
        return b"", progress
    for item in found.output:
        _note_item(progress, item)
    _note_state(progress, found)
    progress.finish = _finish(found, progress)
    return answer, progress


def _finish(found: _State, progress: Progress) -> FinishReason:
    why = found.incomplete_details
    reason = str(why.get("reason")) if isinstance(why, dict) else ""
    return finish_reason(reason if found.status == "incomplete" else None, progress.tool_call)


def _note_state(progress: Progress, found: _State) -> None:
    if isinstance(found.model, str):
        progress.model = found.model
    progress.usage = parse_usage(found.usage) or progress.usage


def _note_delta(progress: Progress, kind: str, delta: Any) -> None:
    if not delta or not isinstance(delta, str):
        return
    if kind in (_TEXT, _REFUSAL):
        progress.add_text(delta)
        return
    progress.content = True
    progress.chars += len(delta)
    if kind in _THOUGHTS:
        progress.reasoning = True


def _note_item(progress: Progress, item: _Item) -> None:
    """Write down what an item tells where it begins, or (of a whole answer) where it stands."""
    if item.type == "message":
        for text in _texts(item.content):
            progress.add_text(text)
    elif item.type == "reasoning":
        for text in _texts(item.summary or item.content):
            progress.content = progress.reasoning = True
            progress.chars += len(text)
    else:
        progress.content = True
        progress.tool_call = progress.tool_call or item.type in _CALLS
        progress.chars += sum(len(text) for text in (item.arguments, item.input) if isinstance(text, str))


def _texts(parts: Any) -> Iterator[str]:
    for part in parts if isinstance(parts, list) else ():
        text = (part.get("text") or part.get("refusal")) if isinstance(part, dict) else None
        if text and isinstance(text, str):
            yield text


def _error(event: _StreamEvent) -> GatewayError:
    fields = event.error or {"message": event.message, "code": event.code, "param": event.param}
    return error_in({"error": fields}) or UpstreamFailed("the provider broke off its answer and gave no reason")


def _failure(found: _State) -> GatewayError:
    return error_in({"error": found.error}) or UpstreamFailed("the provider's answer failed and gives no reason")
