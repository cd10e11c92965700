"""The line of a request in the log: the same facts as text and as JSON, past Twisted's logger but under its rules."""

import io
import json
from typing import Any

import pytest

from lmgw.core.record import Entry
from lmgw.core.usage import Tokens
from lmgw.logs import Logs

AT = 1_790_000_000.25


def entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": "req_1", "timestamp": AT - 2, "dialect": "openai", "client": "laptop", "profile": "default",
        "tier": "local:fast", "backend": "gpu", "model": "qwen3", "success": True, "status": 200, "ttft_ms": 400.4,
        "latency_ms": 1999.6, "tokens": Tokens(100, 50, 10, 1), "cost_usd": 0.5, "user": "someone",
        "requested_model": "anything", "attribution": {"x-session": "s"},
    }  # fmt: skip
    return Entry(**(fields | changes))


def written(level: str, format: str, *entries: Entry) -> str:
    stream = io.BytesIO()
    logs = Logs(stream)
    logs.configure(level, format)
    logs.requests(entries, AT)
    return stream.getvalue().decode()


def test_text_is_one_line_with_what_an_operator_looks_for():
    line = written("info", "text", entry())
    assert line == (
        "2026-09-21T14:13:20.250Z info  req_1 laptop default local:fast 200 complete"
        " ttft 400 ms, 2000 ms, 111 in, 50 out\n"
    )


def test_several_are_written_at_once_each_on_its_line():
    class Counting(io.BytesIO):
        writes = 0

        def write(self, data):
            self.writes += 1
            return super().write(data)

    stream = Counting()
    Logs(stream).requests([entry(id=id) for id in ("req_1", "req_2")], AT)
    assert [line.split()[2] for line in stream.getvalue().decode().splitlines()] == ["req_1", "req_2"]
    assert stream.writes == 1


def test_what_a_pipe_does_not_take_at_once_is_written_next():
    class Narrow(io.BytesIO):
        def write(self, data):
            return super().write(data[:50])

    stream = Narrow()
    Logs(stream).requests([entry()], AT)
    assert stream.getvalue().decode() == written("info", "text", entry())


def test_text_of_a_failure_ends_with_its_words():
    line = written("info", "text", entry(client="", tier="", ttft_ms=None, tokens=Tokens(), error="no such model"))
    assert " req_1 - default - 200 complete ttft - ms, 2000 ms, 0 in, 0 out: no such model\n" in line


def test_json_has_every_fact_by_name():
    line = json.loads(written("info", "json", entry(error="no", fault="provider")))
    assert line["time"] == "2026-09-21T14:13:20.250Z"
    assert (line["level"], line["event"], line["logger"]) == ("info", "request", "lmgw.requests")
    assert line["message"].startswith("req_1 laptop")
    wanted = {
        "id": "req_1", "client": "laptop", "profile": "default", "tier": "local:fast", "backend": "gpu",
        "status": 200, "ttft_ms": 400.4, "latency_ms": 1999.6, "input_tokens": 100, "output_tokens": 50,
        "cache_read_tokens": 10, "cache_write_tokens": 1, "cost_usd": 0.5, "error": "no", "fault": "provider",
        "end_reason": "complete", "attempts": 0,
    }  # fmt: skip
    assert wanted.items() <= line.items()


def test_what_callers_send_beside_their_id_is_in_neither():
    for format in ("text", "json"):
        line = written("info", format, entry())
        for secret in ("someone", "anything", "x-session"):
            assert secret not in line


@pytest.mark.parametrize(("level", "shown"), [("trace", 1), ("debug", 1), ("info", 1), ("warn", 0), ("error", 0)])
def test_the_level_decides(level, shown):
    assert written(level, "text", entry()).count("\n") == shown


def test_a_providers_words_cannot_start_a_line_or_speak_to_the_terminal():
    words = "a\n2026 error forged\x1b[2J\u2028"
    assert written("info", "text", entry(error=words)).count("\n") == 1
    assert "\x1b" not in written("info", "text", entry(error=words))
    assert written("info", "json", entry(error=words)).count("\n") == 1


def test_a_stream_that_fails_costs_the_line_and_nothing_else():
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    Logs(Full()).requests([entry()], AT)
