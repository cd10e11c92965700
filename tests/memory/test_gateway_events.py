"""Live events: gathered, bounded, and never kept for who does not read them."""

from typing import Any

from admin_rig import read_events
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lmgw.gateway.events import ENTRIES, LISTENERS, PERIOD_S, QUIET_S, STALLED_S, Events


class Browser:
    """A sink that notes what it is sent."""

    def __init__(self) -> None:
        self.begun = self.paused = self.closed = False
        self.sent = b""
        self.writes = 0
        self.flow: Any = None

    def attach(self, flow: Any) -> None:
        self.flow = flow

    def begin(self, status: int, headers: Any) -> None:
        self.begun = True

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.sent += b"%x\r\n%b\r\n" % (len(data), data)

    def abort(self, last: bytes = b"") -> None:
        self.closed = True

    def heard(self, kind: str) -> list[Any]:
        return [data for name, data in read_events(b"\r\n\r\n" + self.sent) if name == kind]


class EventsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.snapshot = {"count": 0}
        self.events = Events(self.clock, lambda: {"started_at": 1}, lambda: dict(self.snapshot), self.clock.seconds)

    def listen(self) -> Browser:
        browser = Browser()
        self.events.listen(browser)
        return browser

    def test_nobody_listens_and_nothing_is_gathered(self) -> None:
        self.events.entry(b"{}")
        self.events.mark("reload", "x")
        self.assertFalse(self.events.wanted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_marks_are_kept_whether_or_not_anybody_listens(self) -> None:
        self.clock.advance(5)
        self.events.mark("reload", "files unchanged")
        self.assertEqual(list(self.events.marks), [{"at": 5.0, "kind": "reload", "text": "files unchanged"}])

    def test_a_listener_is_greeted_and_shown_what_runs(self) -> None:
        browser = self.listen()
        self.assertEqual(browser.heard("hello"), [{"started_at": 1}])
        self.assertEqual(browser.heard("inflight"), [{"count": 0}])

    def test_entries_come_with_the_next_tick_in_order_and_one_write(self) -> None:
        browser = self.listen()
        for number in range(3):
            self.events.entry(b'{"n":%d}' % number)
        self.assertEqual(browser.heard("entry"), [])
        writes = browser.writes
        self.clock.advance(PERIOD_S)
        self.assertEqual(browser.heard("entry"), [{"n": 0}, {"n": 1}, {"n": 2}])
        self.assertEqual(browser.writes, writes + 1)

    def test_what_runs_is_told_twice_a_second_at_most_and_only_if_it_changed(self) -> None:
        browser = self.listen()
        for count in range(8):
            self.snapshot["count"] = count
            self.clock.advance(PERIOD_S / 8)
        self.assertEqual(len(browser.heard("inflight")), 2)
        self.clock.pump([PERIOD_S] * 8)
        self.assertEqual(len(browser.heard("inflight")), 2)

    def test_what_ran_when_somebody_came_is_not_taken_for_known(self) -> None:
        self.listen()
        self.clock.advance(PERIOD_S)
        self.snapshot["count"] = 1
        late = self.listen()
        self.snapshot["count"] = 0
        self.clock.advance(PERIOD_S)
        self.assertEqual(late.heard("inflight"), [{"count": 1}, {"count": 0}])

    def test_a_flood_is_cut_down_and_counted(self) -> None:
        browser = self.listen()
        for _ in range(ENTRIES + 7):
            self.events.entry(b"{}")
        self.clock.advance(PERIOD_S)
        self.assertEqual(len(browser.heard("entry")), ENTRIES)
        self.assertEqual(browser.heard("missed"), [{"count": 7}])
        self.events.entry(b"{}")
        self.clock.advance(PERIOD_S)
        self.assertEqual(len(browser.heard("entry")), ENTRIES + 1)

    def test_much_is_written_before_its_time_so_that_little_is_held(self) -> None:
        browser = self.listen()
        writes = browser.writes
        for _ in range(100):
            self.events.entry(b'"%b"' % (b"x" * 1000))
        self.assertGreater(browser.writes, writes)
        self.assertLess(browser.writes, writes + 10)

    def test_who_does_not_read_misses_what_happens_and_is_told_how_much(self) -> None:
        browser = self.listen()
        before = browser.sent
        browser.paused = True
        for _ in range(3):
            self.events.entry(b"{}")
            self.clock.advance(PERIOD_S)
        self.assertEqual(browser.sent, before)
        browser.paused = False
        self.events.entry(b"{}")
        self.clock.advance(PERIOD_S)
        self.assertEqual(browser.heard("missed"), [{"count": 3}])
        self.assertEqual(len(browser.heard("entry")), 1)

    def test_who_does_not_read_for_long_is_dropped_and_the_others_are_not(self) -> None:
        slow, quick = self.listen(), self.listen()
        slow.paused = True
        for _ in range(int(STALLED_S / PERIOD_S) + 2):
            self.events.entry(b"{}")
            self.clock.advance(PERIOD_S)
        self.assertTrue(slow.closed)
        self.assertFalse(quick.closed)
        self.assertTrue(self.events.wanted)

    def test_nothing_runs_any_more_once_the_last_has_left(self) -> None:
        browser = self.listen()
        self.events.entry(b"{}")
        browser.flow.gone("client_gone")
        self.assertFalse(self.events.wanted)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        other = self.listen()
        self.clock.advance(PERIOD_S)
        self.assertEqual(other.heard("entry"), [])

    def test_a_quiet_time_is_broken_by_a_comment(self) -> None:
        browser = self.listen()
        self.clock.pump([PERIOD_S] * int(QUIET_S / PERIOD_S + 1))
        self.assertIn(b": quiet\n\n", browser.sent)

    def test_one_too_many_ends_the_oldest(self) -> None:
        browsers = [self.listen() for _ in range(LISTENERS + 1)]
        self.assertTrue(browsers[0].closed)
        self.assertFalse(browsers[1].closed)

    def test_all_are_dropped_at_once(self) -> None:
        browsers = [self.listen() for _ in range(3)]
        self.events.drop_all()
        self.assertTrue(all(browser.closed for browser in browsers))
        self.assertEqual(self.clock.getDelayedCalls(), [])
