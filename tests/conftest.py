"""For every test: no key that a test gives to the gateway may come out of it again, and Ctrl-C is heard."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from canary import CANARY
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

# What a shell starts in the background has it ignored, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_key_in_any_log() -> Iterator[None]:
    """Fail the test in which a key was logged, formatted or not."""
    seen: list[str] = []

    def observe(event: LogEvent) -> None:
        failure = event.get("log_failure")
        texts = (formatEvent(event), repr(event), failure.getTraceback() if failure is not None else "")
        seen.extend(text for text in texts if CANARY in text)

    globalLogPublisher.addObserver(observe)
    yield
    globalLogPublisher.removeObserver(observe)
    assert not seen, f"a key was logged: {seen[0].replace(CANARY, '<the key>')[:500]}"
