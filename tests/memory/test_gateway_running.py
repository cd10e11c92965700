"""A request's coroutine: run at once, resumed by what it awaits, broken off."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from lmgw.core.steps import Fault, FaultKind
from lmgw.errors import UpstreamFailed
from lmgw.gateway.running import Running
from lmgw.upstream.exchange import Asking, Head


class RunningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seen: list[object] = []
        self.first: Deferred[int] = Deferred()
        self.second: Deferred[int] = Deferred()

    async def work(self) -> None:
        for awaited in (self.first, self.second):
            try:
                self.seen.append(await awaited)
            except (CancelledError, ValueError) as error:
                self.seen.append(type(error))
        self.seen.append("end")

    def test_it_runs_up_to_what_it_waits_for_and_on_when_that_comes(self) -> None:
        Running(self.work())
        self.first.callback(1)
        self.assertEqual(self.seen, [1])
        self.second.callback(2)
        self.assertEqual(self.seen, [1, 2, "end"])

    def test_what_is_there_already_is_not_waited_for(self) -> None:
        self.first, self.second = succeed(1), succeed(2)
        Running(self.work())
        self.assertEqual(self.seen, [1, 2, "end"])

    def test_failures_are_raised_where_it_waits(self) -> None:
        Running(self.work())
        self.first.errback(ValueError())
        self.assertEqual(self.seen, [ValueError])

    def test_cancelled_it_goes_on_where_it_waits(self) -> None:
        running = Running(self.work())
        running.cancel()
        self.assertEqual(self.seen, [CancelledError])
        running.cancel()
        running.cancel()
        self.assertEqual(self.seen, [CancelledError, CancelledError, "end"])

    def test_it_cannot_be_broken_off_while_it_does_not_wait(self) -> None:
        async def impatient() -> None:
            await self.first
            running.cancel()
            self.seen.append(await self.second)

        running = Running(impatient())
        self.first.callback(1)
        self.second.callback(2)
        self.assertEqual(self.seen, [2])

    def test_what_it_raises_is_logged(self) -> None:
        async def faulty() -> None:
            await self.first
            raise RuntimeError("oh")

        Running(faulty())
        self.first.callback(1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class Exchange(Asking):
    def __init__(self, at_once: Head | None = None) -> None:
        self._heard = self._resume = None
        self._at_once = at_once
        self.seen: list[object] = []

    def ask(self) -> None:
        self.seen.append("asked")
        if self._at_once is not None:
            self.tell(self._at_once)

    def abort(self) -> None:
        self.seen.append("aborted")
        if self._heard is None:
            self.tell(Fault(FaultKind.CLOSED, UpstreamFailed("aborted")))

    def tell(self, head: Head | Fault) -> None:
        self._tell(head)


class AskingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.head = Head(200, [])
        self.exchange = Exchange()

    async def work(self) -> None:
        try:
            self.exchange.seen.append(await self.exchange)
        except CancelledError as error:
            self.exchange.seen.append(type(error))

    def test_the_coroutine_goes_on_when_the_head_is_told(self) -> None:
        Running(self.work())
        self.assertEqual(self.exchange.seen, ["asked"])
        self.exchange.tell(self.head)
        self.assertEqual(self.exchange.seen, ["asked", self.head])

    def test_a_head_that_is_told_at_once_is_not_waited_for(self) -> None:
        self.exchange = Exchange(self.head)
        Running(self.work())
        self.assertEqual(self.exchange.seen, ["asked", self.head])

    def test_broken_off_it_is_aborted_first_and_raises_where_it_is_awaited(self) -> None:
        running = Running(self.work())
        running.cancel()
        self.assertEqual(self.exchange.seen, ["asked", "aborted", CancelledError])
        running.cancel()
        self.assertEqual(self.exchange.seen, ["asked", "aborted", CancelledError])

    def test_others_wait_for_a_deferred(self) -> None:
        head = Deferred.fromCoroutine(self.exchange.head())
        self.exchange.tell(self.head)
        self.assertEqual(self.successResultOf(head), self.head)
        self.exchange = Exchange(self.head)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.exchange.head())), self.head)

    def test_their_wait_is_broken_off_just_so(self) -> None:
        head = Deferred.fromCoroutine(self.exchange.head())
        head.cancel()
        self.failureResultOf(head, CancelledError)
        self.assertEqual(self.exchange.seen, ["asked", "aborted"])
