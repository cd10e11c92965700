"""Text of the gateway's own, said in the caller's dialect."""

from __future__ import annotations

from lmgw.wire.dialect import Reply
from lmgw.wire.events import Answer, Finish, Start, Text, TextDelta, Usage
from lmgw.wire.neutral import opening
from lmgw.wire.translate import DIALECTS


def spoken(dialect: str, text: str, reply: Reply, *, stream: bool, after: str = "") -> bytes:
    """Return a whole answer, or a whole stream (what is left of one that began with ``after``), that says ``text``."""
    speaker = DIALECTS[dialect]
    if not stream:
        return speaker.render_answer(Answer(reply.id, reply.model, (Text(text),), "stop", Usage()), reply)
    renderer = speaker.render_stream(reply)
    if after:
        opening(renderer, reply, after)
    return renderer.render([Start(reply.id, reply.model), TextDelta(text), Finish("stop", Usage())])
