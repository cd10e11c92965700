"""Who may come in while the machine is busy: watches how much work the event loop's turns are."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lmgw.core.pressure import Pressure

#: Seconds in which an overload is told once.
QUIET_S = 60.0

log = Logger()


class Admission:
    """Asked once a request, when its head has been read; costs nothing while there are no requests.

    :param worked_s: the event loop's clock of work: the seconds of processor time that its thread has had. Time that
        others took on a machine that is shared is no work of ours, and turning requests away would not bring it back.
    :ivar turned_away: requests that were not let in, since start.
    """

    def __init__(self, reactor: IReactorTime, worked_s: Callable[[], float] = time.thread_time) -> None:
        self.turned_away = 0
        self._reactor = reactor
        self._worked_s = worked_s
        self._pressure = Pressure()
        self._watching = False
        self._asked = False
        self._quiet_until = 0.0

    def admits(self) -> bool:
        """Whether a request may come in."""
        self._asked = True
        if not self._watching:
            self._watching = True
            self._pressure.woke(self._worked_s())
            self._reactor.callLater(0, self._turn)
        if self._pressure.calm or self._pressure.admits(self._worked_s()):  # that clock is a call of the system
            return True
        self.turned_away += 1
        now = self._reactor.seconds()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_S
            log.warn(
                "overloaded: more requests come than this machine can serve; some get a 503 ({count} so far)",
                count=self.turned_away,
            )
        return False

    def _turn(self) -> None:
        """A turn begins: timers are called before sockets are looked at."""
        long = self._pressure.turned(self._worked_s())
        self._watching = self._asked or long
        self._asked = False
        if self._watching:
            self._reactor.callLater(0, self._turn)
