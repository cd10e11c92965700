"""``POST /admin/playground``: an operator's chat through the same engine, its answer as server-sent events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from lmgw.errors import BadRequest
from lmgw.gateway.events import HEADERS, event
from lmgw.gateway.explaining import operator
from lmgw.gateway.headers import Header
from lmgw.gateway.inbound import Flow, Inbound, Route, Sink

if TYPE_CHECKING:
    from lmgw.gateway.engine import Engine

#: The client's name in records and metrics.
NAME = "playground"


class _Choice(msgspec.Struct):
    """What a body may hold beside a chat's own fields."""

    profile: str | None = None
    tier: str | None = None


def play(engine: Engine, body: bytes, request_id: str, peer: str, sink: Sink) -> None:
    """Answer a chat. Raises :class:`~lmgw.errors.BadRequest` where there is no such profile or tier.

    The body is that of a Chat Completions request, with ``profile`` and ``tier`` beside; it streams unless it says
    otherwise. The operator needs no key and no flag.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        choice = msgspec.json.decode(body, type=_Choice)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body must be a chat, with a profile or a tier by name: {error}") from None
    runtime = engine.current
    identity = operator(runtime, choice.profile, NAME)
    fields.pop("profile", None)
    if fields.pop("tier", None) is not None and choice.tier is not None:
        if choice.tier not in runtime.config.tiers:
            raise BadRequest(f'there is no tier "{choice.tier}"; there are {", ".join(runtime.config.tiers)}')
        fields["model"] = msgspec.Raw(msgspec.json.encode(choice.tier))
    fields.setdefault("stream", msgspec.Raw(b"true"))
    headers = {b"x-lmg-expert": b"true"}
    inbound = Inbound(Route.CHAT, request_id, msgspec.json.encode(fields), headers, peer, False, engine.now())
    engine.handle(inbound, Playback(sink, request_id), identity)


class Playback:
    """A sink that shows an answer from outside: its head as the first event, then what a client would get."""

    def __init__(self, sink: Sink, request_id: str) -> None:
        self._sink = sink
        self._request_id = request_id

    @property
    def begun(self) -> bool:
        """Whether a head was shown."""
        return self._sink.begun

    @property
    def paused(self) -> bool:
        """Whether the browser does not read."""
        return self._sink.paused

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._sink.closed

    def attach(self, flow: Flow) -> None:
        """Say who is told when the browser is slow or gone."""
        self._sink.attach(flow)

    def answer(self, status: int, headers: Sequence[Header], body: bytes, lines: bytes = b"") -> None:
        """Show a whole answer as an event ``answer``; an error as what it is."""
        if self.begun or self.closed:
            return
        if status >= 400:
            self._sink.answer(status, headers, body, lines)
            return
        self.begin(status, headers, lines)
        data = b"".join(b"data: %b\n" % line for line in body.splitlines() or [b""])
        self._sink.write(b"event: answer\n%b\n" % data)
        self._sink.finish()

    def begin(self, status: int, headers: Sequence[Header], lines: bytes = b"") -> None:
        """Show the head, and what it says of the route in the real one too."""
        own = [line.split(b": ", 1) for line in lines.splitlines()]
        headers = [*((name, value) for name, value in own), *headers]
        shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        head = {"status": status, "headers": {"X-Request-ID": self._request_id, **shown}}
        self._sink.begin(200, [*HEADERS, *(header for header in headers if header[0].startswith(b"X-LMG-"))])
        self._sink.write(event("head", msgspec.json.encode(head)))

    def write(self, data: bytes) -> None:
        """Show a piece of a streamed answer as it is."""
        self._sink.write(data)

    def finish(self) -> None:
        """End validly."""
        self._sink.finish()

    def abort(self, last: bytes = b"") -> None:
        """Show the last words, and break off."""
        self._sink.abort(last)
