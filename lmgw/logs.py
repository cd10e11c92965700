"""What the process says: one line an event, as text or JSON, on one stream.

Nothing rotates here: on stdout that is the supervisor's, on a file logrotate's, which sends SIGHUP.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO

import msgspec
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from lmgw.core.record import Entry
from lmgw.gateway.recording import fields, words

#: ``log_level`` to the lowest rank that is shown. ``trace`` is ``debug`` and what Twisted says about itself.
LEVELS = {"trace": 0, "debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40}
_RANKS = {LogLevel.debug: 10, LogLevel.info: 20, LogLevel.warn: 30, LogLevel.error: 40, LogLevel.critical: 50}
_WARN = _RANKS[LogLevel.warn]

#: Namespaces heard below ``warn``; Twisted's port is one because it says "out of descriptors" at ``info``.
_HEARD = ("lmgw", "twisted.internet.tcp.Port")

#: Keys that Twisted's old logging adds to events; no fields of ours.
_LEGACY = frozenset({"message", "time", "system", "isError", "failure", "why", "format", "logLevel"})

_encode = msgspec.json.Encoder().encode

#: Where the lines of requests come from.
_REQUESTS = "lmgw.requests"

#: Control characters shown as escapes: a value cannot start a line of its own or speak to a terminal.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\t", 10: "\\n", 13: "\\r"}


@implementer(ILogObserver)
class Logs:
    """The process's one log observer.

    :param stream: unbuffered, binary; written in whole lines.
    :param path: the file behind ``stream``, absolute, if there is one: :meth:`reopen` opens it again.
    """

    def __init__(self, stream: BinaryIO, path: str | None = None) -> None:
        self._stream = stream
        self._path = path
        self.configure("info", "text")

    @classmethod
    def to_file(cls, path: str) -> Logs:
        """Append to ``path``. Raises :class:`OSError`."""
        return cls(_append(path), path)

    def configure(self, level: str, format: str) -> None:
        """Take over ``log_level`` and ``log_format`` of a configuration, from the next line on."""
        self._threshold = LEVELS[level]
        self._render = _as_json if format == "json" else _as_text
        self._render_requests = _requests_as_json if format == "json" else _requests_as_text

    def reopen(self) -> None:
        """Open the file again, if it is one: it may have been moved away. Raises :class:`OSError`, then goes on."""
        if self._path is not None:
            fresh, stale = _append(self._path), self._stream
            self._stream = fresh
            stale.close()

    def __call__(self, event: LogEvent) -> None:
        if _rank(event) >= self._threshold:
            self._write(_bytes(self._render(event, self._threshold <= LEVELS["debug"])))

    def requests(self, entries: Sequence[Entry], epoch_s: float) -> None:
        """Write the lines of requests that ended at ``epoch_s``, all at once.

        They do not come by Twisted's logger, which takes ten times as long: here that would be most of a line's cost.
        """
        if self._threshold <= LEVELS["info"]:
            self._write(self._render_requests(entries, _moment(epoch_s)))

    def _write(self, lines: bytes) -> None:
        try:  # not contextlib.suppress, which takes as long as the write
            while lines:  # a pipe may take a part
                lines = lines[self._stream.write(lines) or len(lines) :]
        except OSError:
            return  # a full disk, a reader that went away: there is no other place to say so


def _append(path: str) -> BinaryIO:
    return open(path, "ab", buffering=0)


def _rank(event: LogEvent) -> int:
    """How loud an event is: below ``warn``, what is not ours is chatter."""
    rank = _RANKS.get(event.get("log_level", LogLevel.info), _WARN)
    return rank if rank >= _WARN or event.get("log_namespace", "").startswith(_HEARD) else 0


def _as_text(event: LogEvent, verbose: bool) -> str:
    namespace = event.get("log_namespace", "-")
    origin = "" if namespace.startswith("lmgw") else f"[{namespace}] "
    message = formatEvent(event).translate(_VISIBLE)
    failure: Failure | None = event.get("log_failure")
    if failure is not None:
        message += f": {_error(failure)}".translate(_VISIBLE)
        if _is_bug(event, verbose):
            message += "".join(f"\n    {line}" for line in failure.getTraceback().rstrip().split("\n"))
    return f"{_time(event)} {_level(event):5} {origin}{message}"


def _as_json(event: LogEvent, verbose: bool) -> str:
    """Render ``time``, ``level``, ``event`` (the text before its values go in: it names the kind), ``message``,
    ``logger``, ``error`` and ``traceback`` if there is a failure, and each field under its own name.
    """
    line: dict[str, object] = {
        "time": _time(event),
        "level": _level(event),
        "event": event.get("log_format") or "",
        "message": formatEvent(event),
        "logger": event.get("log_namespace", "-"),
    }
    failure: Failure | None = event.get("log_failure")
    if failure is not None:
        line["error"] = _error(failure)
        if _is_bug(event, verbose):
            line["traceback"] = failure.getTraceback()
    for name, value in event.items():
        if not name.startswith("log_") and name not in _LEGACY:
            line.setdefault(name, _plain(value))
    return json.dumps(line, ensure_ascii=False)


def _bytes(line: str) -> bytes:
    return f"{line}\n".encode("utf-8", "backslashreplace")


def _requests_as_text(entries: Sequence[Entry], moment: str) -> bytes:
    return _bytes("\n".join([f"{moment} info  {_visible(entry)}" for entry in entries]))


def _visible(entry: Entry) -> str:
    """Return a request's line; its error may be a provider's words, all else was printable where it came from."""
    return words(entry) if entry.error is None else words(entry).translate(_VISIBLE)


def _requests_as_json(entries: Sequence[Entry], moment: str) -> bytes:
    return b"".join([_encode(_request(entry, moment) | fields(entry)) + b"\n" for entry in entries])


def _request(entry: Entry, moment: str) -> dict[str, Any]:
    return {"time": moment, "level": "info", "event": "request", "message": words(entry), "logger": _REQUESTS}


def _is_bug(event: LogEvent, verbose: bool) -> bool:
    """Whether the traceback is worth its lines."""
    return verbose or event.get("log_level") is LogLevel.critical


def _error(failure: Failure) -> str:
    return f"{failure.type.__name__ if failure.type else 'Failure'}: {failure.getErrorMessage()}"


def _level(event: LogEvent) -> str:
    return getattr(event.get("log_level"), "name", "info")


def _time(event: LogEvent) -> str:
    return _moment(event.get("log_time", 0.0))


def _moment(epoch_s: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return f"{_second(int(epoch_s))}.{int(epoch_s % 1 * 1000):03}Z"


@lru_cache(maxsize=4)
def _second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _plain(value: Any) -> object:
    """Make a field of what JSON has; everything else is its ``str``, which a secret redacts."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return str(value)
