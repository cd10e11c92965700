import io
import json
from collections.abc import Callable

import pytest
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from lmgw.logs import Logs
from lmgw.secret import Secret

CANARY = "sk-canary-0123456789abcdef"


def written(level: str, format: str, emit: Callable[[Logger], object], namespace: str = "lmgw.test") -> str:
    stream = io.BytesIO()
    logs = Logs(stream)
    logs.configure(level, format)
    emit(Logger(namespace=namespace, observer=logs))
    return stream.getvalue().decode()


def boom() -> Failure:
    try:
        raise ValueError("boom")
    except ValueError:
        return Failure()


def test_text_is_one_line_with_time_and_level():
    line = written("info", "text", lambda log: log.info("listening on {port}", port=8080))
    moment, rest = line.split(" ", 1)
    assert rest == "info  listening on 8080\n"
    assert moment[10] == "T"
    assert moment.endswith("Z")


def test_json_is_one_object_a_line_with_the_fields_by_name():
    emit = lambda log: log.warn("{count} of {what}", count=2, what="tiers", ok=True, ratio=0.5, nothing=None)  # noqa: E731
    line = json.loads(written("info", "json", emit))
    del line["time"]
    assert line == {
        "level": "warn",
        "event": "{count} of {what}",
        "message": "2 of tiers",
        "logger": "lmgw.test",
        "count": 2,
        "what": "tiers",
        "ok": True,
        "ratio": 0.5,
        "nothing": None,
    }


def test_json_survives_every_value():
    values = {"b": b"\xff", "nan": float("nan"), "s": "\ud800", "l": (1, {2}), "m": {3: object}, "o": object()}
    line = json.loads(written("info", "json", lambda log: log.info("x", **values)))
    assert line["b"] == "\\xff"
    assert line["nan"] == "nan"
    assert line["l"] == [1, [2]]


def test_a_field_cannot_pose_as_the_level_or_the_message():
    line = json.loads(written("info", "json", lambda log: log.info("true", message="forged", event="forged")))
    assert (line["message"], line["event"]) == ("true", "true")


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_secret_is_never_written(format):
    emit = lambda log: log.error("{key} {it}", key=Secret(CANARY), it={"k": Secret(CANARY)})  # noqa: E731
    line = written("trace", format, emit)
    assert CANARY not in line
    assert "Secret(***)" in line


def test_a_value_cannot_start_a_line_or_speak_to_the_terminal():
    line = written("info", "text", lambda log: log.info("got {it}", it="a\n2026 error forged\r\x1b[2J\x7f\x9b"))
    assert line.endswith("got a\\n2026 error forged\\r\\x1b[2J\\x7f\\x9b\n")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", ["debug", "info", "warn", "error", "critical"]),
        ("debug", ["debug", "info", "warn", "error", "critical"]),
        ("info", ["info", "warn", "error", "critical"]),
        ("warn", ["warn", "error", "critical"]),
        ("warning", ["warn", "error", "critical"]),
        ("error", ["error", "critical"]),
    ],
)
def test_the_level_decides_what_is_shown(level, shown):
    def everything(log):
        for each in LogLevel.iterconstants():
            log.emit(each, each.name)

    lines = written(level, "json", everything).splitlines()
    assert [json.loads(line)["level"] for line in lines] == shown


@pytest.mark.parametrize(("level", "shown"), [("debug", False), ("trace", True)])
def test_what_twisted_says_about_itself_is_chatter(level, shown):
    line = written(level, "text", lambda log: log.info("Starting factory"), namespace="twisted.web")
    assert bool(line) is shown


def test_a_warning_of_twisted_is_heard_with_its_origin():
    line = written("info", "text", lambda log: log.warn("out of luck"), namespace="twisted.web")
    assert line.endswith("warn  [twisted.web] out of luck\n")


def test_an_expected_failure_is_one_line():
    line = written("info", "text", lambda log: log.error("backend down", log_failure=boom()))
    assert line.endswith("error backend down: ValueError: boom\n")


def test_an_expected_failure_has_its_traceback_at_debug():
    line = written("debug", "text", lambda log: log.error("backend down", log_failure=boom()))
    assert "\n    Traceback (most recent call last)" in line


@pytest.mark.parametrize("level", ["info", "error"])
def test_a_bug_is_one_json_object_with_its_traceback(level):
    line = json.loads(written(level, "json", lambda log: log.failure("oops", failure=boom())))
    assert line["error"] == "ValueError: boom"
    assert "Traceback" in line["traceback"]


def test_a_stream_that_fails_is_not_an_error_of_the_program():
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    Logger(observer=Logs(Full())).error("lost")


def test_a_file_that_was_moved_away_is_opened_again(tmp_path):
    path = tmp_path / "lmgw.log"
    logs = Logs.to_file(str(path))
    log = Logger(namespace="lmgw", observer=logs)
    log.info("before")
    path.rename(tmp_path / "lmgw.log.1")
    log.info("still there")
    logs.reopen()
    log.info("after")
    logs._stream.close()
    assert (tmp_path / "lmgw.log.1").read_text().count("\n") == 2
    assert path.read_text().endswith("after\n")


def test_a_file_that_cannot_be_opened_again_leaves_the_old_one_in_use(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    logs = Logs.to_file(str(folder / "lmgw.log"))
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(OSError, match="No such file"):
        logs.reopen()
    Logger(namespace="lmgw", observer=logs).info("goes on")
    logs._stream.close()
    assert (moved / "lmgw.log").read_text().endswith("goes on\n")
