"""One streamed answer on its way to the client: held until the session commits it, then passed on as it comes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from lmgw.core.steps import Commit, Ended, Event, Failed, Fault, FaultKind, Outcome, Step
from lmgw.errors import UpstreamFailed
from lmgw.gateway.inbound import Sink
from lmgw.upstream.exchange import Exchange
from lmgw.wire.progress import Progress
from lmgw.wire.translate import AnswerStream

#: Bytes of an answer that are held while its fate is open; beyond it the session must decide.
HELD_BYTES = 1 << 20


class Relay:
    """Takes one exchange's body, asks the session about it, and writes to the sink what the session commits.

    ``decided`` fires with the step that ends the relay: what the session says once the answer is complete, broken or
    rejected. ``begin`` is called at the commit, before the first write.
    """

    __slots__ = (
        "_begin",
        "_committed",
        "_exchange",
        "_feed",
        "_held",
        "_held_bytes",
        "_sink",
        "_stream",
        "decided",
        "wrote",
    )

    def __init__(
        self,
        exchange: Exchange,
        stream: AnswerStream,
        sink: Sink,
        *,
        feed: Callable[[Outcome], Step | None],
        begin: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._stream = stream
        self._sink = sink
        self._feed = feed
        self._begin = begin
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._committed = False
        #: Something was written since this was last set to false.
        self.wrote = False
        self.decided: Deferred[Step | None] = Deferred()

    @property
    def progress(self) -> Progress:
        """What is known of the answer so far."""
        return self._stream.progress

    def data(self, data: bytes) -> None:
        """Take what one read of the upstream's socket brought."""
        if self.decided.called:
            return
        out = self._stream.feed(data)
        progress = self._stream.progress
        if self._committed:
            if out:
                self._sink.write(out)
                self.wrote = True
        else:
            if out:
                self._held.append(out)
                self._held_bytes += len(out)
            self._consider(progress)  # before an error: what came in the same read came before it
        if progress.error is not None and not self.decided.called:
            self._end(self._feed(Failed(Fault(FaultKind.STREAM, progress.error, status=progress.error.status))))

    def ended(self, fault: Fault | None) -> None:
        """The upstream's body is complete, or broke off."""
        if self.decided.called:
            return
        out = self._stream.eof(fault is None)
        progress = self._stream.progress
        if progress.error is not None:
            if out and self._committed:
                self._sink.write(out)
            self._end(self._feed(Failed(fault or Fault(FaultKind.CLOSED, progress.error))))
            return
        if not self._committed:
            self._held.append(out)
            step = self._feed(Ended(progress))
            if not isinstance(step, Commit):
                self._end(step)
                return
            self._commit()
        elif out:
            self._sink.write(out)
        self._end(self._feed(Ended(progress)))

    def _consider(self, progress: Progress) -> None:
        """Ask the session where it has something to judge: the first content, and with ``hold`` each further piece."""
        full = self._held_bytes > HELD_BYTES
        if full and not progress.content:
            error = UpstreamFailed("the provider sent a megabyte without any content")
            self._end(self._feed(Failed(Fault(FaultKind.PROTOCOL, error))))
        elif progress.content or progress.finish is not None:
            step = self._feed(Event(progress, full=full))
            if isinstance(step, Commit):
                self._commit()
            elif step is not None:
                self._end(step)

    def _commit(self) -> None:
        self._committed = True
        self._begin()
        held, self._held = b"".join(self._held), []
        if held:
            self._sink.write(held)
        if self._sink.paused:
            self._exchange.pause()

    def _end(self, step: Step | None) -> None:
        self._exchange.abort()
        if not self.decided.called:  # a client that went away while we wrote has cancelled the wait
            self.decided.callback(step)
