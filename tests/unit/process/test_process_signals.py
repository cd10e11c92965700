import os
import signal

import pytest

from lmgw.signals import on_hangup, on_stop


class Loop:
    """Holds what a signal handler hands over until the loop turns."""

    def __init__(self):
        self.waiting = []

    def callFromThread(self, callable):
        self.waiting.append(callable)


@pytest.fixture(autouse=True)
def handlers():
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_hangup_is_handed_to_the_loop_and_does_nothing_itself():
    loop, done = Loop(), []
    on_hangup(loop, lambda: done.append("reload"))
    os.kill(os.getpid(), signal.SIGHUP)
    assert done == []
    for call in loop.waiting:
        call()
    assert done == ["reload"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_each_stop_signal_is_handed_over(number):
    loop = Loop()
    on_stop(loop, lambda: None)
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    assert len(loop.waiting) == 2


def test_an_ignored_interrupt_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    on_stop(Loop(), lambda: None)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
