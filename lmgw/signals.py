"""Signals, handed to the event loop: a handler runs between any two instructions and must do nothing itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Protocol


class Threads(Protocol):
    """The part of a reactor that a signal handler may touch."""

    def callFromThread(self, callable: Callable[[], object]) -> None:
        """Call it in the event loop, soon; wakes the loop up."""


def on_hangup(reactor: Threads, act: Callable[[], object]) -> None:
    """Call ``act`` in the event loop at each SIGHUP, which would otherwise kill."""
    _install(reactor, signal.SIGHUP, act)


def on_stop(reactor: Threads, act: Callable[[], object]) -> None:
    """Call ``act`` in the event loop at each SIGTERM and SIGINT.

    To be called while the reactor runs: it installs handlers of its own when it starts. An ignored SIGINT stays
    ignored: a shell starts background jobs so.
    """
    _install(reactor, signal.SIGTERM, act)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        _install(reactor, signal.SIGINT, act)


def _install(reactor: Threads, number: signal.Signals, act: Callable[[], object]) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(act)

    signal.signal(number, handle)
