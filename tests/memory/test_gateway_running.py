"""A request's coroutine: run at once, resumed by what it awaits, broken off."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from lmgw.gateway.running import Pending, Running


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


class PendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seen: list[object] = []
        self.pending: Pending[int] = Pending(lambda: self.seen.append("cancelled"))

    async def work(self) -> None:
        try:
            self.seen.append(await self.pending)
        except CancelledError as error:
            self.seen.append(type(error))

    def test_the_coroutine_goes_on_when_the_value_is_told(self) -> None:
        Running(self.work())
        self.assertEqual(self.seen, [])
        self.pending.tell(1)
        self.assertEqual(self.seen, [1])

    def test_a_value_that_was_told_before_is_not_waited_for(self) -> None:
        self.pending.tell(1)
        Running(self.work())
        self.assertEqual(self.seen, [1])

    def test_broken_off_it_is_cancelled_first_and_raises_where_it_is_awaited(self) -> None:
        running = Running(self.work())
        running.cancel()
        self.assertEqual(self.seen, ["cancelled", CancelledError])
        running.cancel()
        self.assertEqual(self.seen, ["cancelled", CancelledError])
