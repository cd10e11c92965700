"""What is known of one answer while it comes in; the engine and the plan decide by it."""

from __future__ import annotations

import msgspec

from lmgw.errors import GatewayError
from lmgw.wire.events import FinishReason, Usage

#: Characters of text kept for judging; no profile may peek further.
TEXT_KEPT = 4096


class Progress(msgspec.Struct):
    """The state of an answer, kept up to date by whatever reads it.

    :ivar content: text, reasoning or a fragment of a tool call has come: the commit point.
    :ivar text: the first :data:`TEXT_KEPT` characters of text; not kept up once the answer is committed.
    :ivar finish: why the model stopped, once it did; an answer without it is incomplete.
    :ivar error: the upstream's own error, in the stream or inside a 200.
    """

    content: bool = False
    text: str = ""
    reasoning: bool = False
    tool_call: bool = False
    finish: FinishReason | None = None
    usage: Usage | None = None
    error: GatewayError | None = None
    model: str | None = None
    #: Characters of text, reasoning and arguments seen: the estimate of output tokens where no usage comes.
    chars: int = 0

    def add_text(self, text: str) -> None:
        """Text came: content."""
        self.content = True
        self.chars += len(text)
        if len(self.text) < TEXT_KEPT:
            self.text = (self.text + text)[:TEXT_KEPT]
