"""What is in the records of finished requests, and when they are made."""

import json
from types import SimpleNamespace

import pytest
from twisted.internet.testing import MemoryReactorClock

from lmgw.config.snapshot import Config, Gateway, Mode, Tier
from lmgw.core.record import Entry, Reason, Span, Spent, TriedTier, whole
from lmgw.core.usage import Tokens
from lmgw.errors import Unavailable
from lmgw.gateway.asked import Asked
from lmgw.gateway.engine import Engine
from lmgw.gateway.inbound import Inbound, Route
from lmgw.gateway.metrics import AT_ONCE, Counters
from lmgw.gateway.recording import entry_of
from lmgw.gateway.task import Task
from lmgw.wire.events import Usage
from lmgw.wire.progress import Progress


class Sink:
    begun = paused = closed = False

    def attach(self, flow): ...
    def answer(self, status, headers, body, lines): ...


def engine(path, lines):
    made = Engine(MemoryReactorClock(), write_lines=lambda entries, epoch_s: lines.append(entries))
    made.adopt(made.prepare(Config(gateway=Gateway(traffic_log_path=str(path)))))
    return made


def ask(made, id):
    """A request that is refused at once, for its body is empty."""
    made.handle(Inbound(Route.CHAT, id, b""), Sink())


def test_those_of_one_turn_are_made_at_its_end_and_their_lines_written_at_once(tmp_path):
    lines: list[list[Entry]] = []
    made = engine(tmp_path / "traffic.jsonl", lines)
    ask(made, "req_1")
    ask(made, "req_2")
    assert lines == []
    made.reactor.advance(0)
    assert [[entry.id for entry in written] for written in lines] == [["req_1", "req_2"]]


def test_an_answer_was_created_when_its_request_came_however_late_that_is_asked():
    clock = MemoryReactorClock()
    clock.advance(50.0)
    made = Engine(clock, epoch_s=lambda: 1000.0 + clock.seconds())
    made.adopt(made.prepare(Config()))
    inbound = Inbound(Route.CHAT, "r", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', received_at=50.0)
    task = Task(made, made.current, inbound, Sink())
    task.asked = Asked(inbound, None)
    early = task.reply_form("m")
    clock.advance(7.0)
    assert early.created_s == task.reply_form("m").created_s == 1050
    assert early.elapsed_ns() == 7_000_000_000


def test_what_ended_before_a_reopen_is_in_the_file_that_was_moved_away(tmp_path):
    path = tmp_path / "traffic.jsonl"
    made = engine(path, [])
    made.reopen()
    path.rename(tmp_path / "moved")
    ask(made, "req_1")
    made.reopen()
    assert json.loads((tmp_path / "moved").read_text())["id"] == "req_1"
    assert path.read_text() == ""
    made.export.close()


def test_every_field_of_a_record_holds_what_its_name_says():
    tier = Tier("fast", "up", "m-1", input_price=1.0, output_price=2.0)
    tried, reason = TriedTier("fast", "up", 502, "no", 7.0), Reason("fast", True, "first of the ladder")
    label = Spent("label", "up", Tokens(9, 1), 0.5)
    trace = SimpleNamespace(
        profiles=["default", "night"], mode=Mode.CLASSIFY, label="code", tier=tier, priority=3, escalated="exhausted",
        overflowed=True, attempts=[tried], reasons=[reason],
    )  # fmt: skip
    gateway = SimpleNamespace(attribution_headers=("x-session",))
    task = SimpleNamespace(
        inbound=Inbound(Route.MESSAGES, "req_1", b"{}", {b"x-session": b"s"}, proxied=True, received_at=100.0),
        runtime=SimpleNamespace(config=SimpleNamespace(gateway=gateway)),
        asked=SimpleNamespace(body=SimpleNamespace(model="hint"), stream=True),
        session=SimpleNamespace(trace=trace), identity=SimpleNamespace(name="laptop"), user="someone",
        progress=Progress(content=True, finish="stop", usage=Usage(10, 5, 3, 2)), error=Unavailable("gone"),
        status=503, end_reason="complete", first_content_at=100.5, queued_s=0.125, waited_s=0.25, lossy=("seed",),
        spans=[("attempt", "fast", 100.25, 101.0)], discarded=[(tier, Progress(usage=Usage(1), finish="stop"))],
        classifying=[label],
    )  # fmt: skip
    entry = entry_of(task, 102.0, 900.0)  # type: ignore[arg-type]
    assert whole((entry, None, 100.0, task.spans)) == Entry(
        id="req_1", timestamp=1000.0, client="laptop", profile="night", profile_chain=["default", "night"],
        requested_model="hint", tier="fast", backend="up", model="m-1", dialect="anthropic", operation="chat",
        routing_mode="classify", class_label="code", priority=3, stream=True, escalated=True, overflowed=True,
        attempts=[tried], queue_ms=125.0, ttft_ms=500.0, latency_ms=2000.0, overhead_ms=250.0, success=False,
        status=503, error="gone", fault="provider", end_reason="upstream_error", tokens=Tokens(10, 5, 3, 2),
        cost_usd=pytest.approx(0.500026), discarded=(Spent("fast", "up", Tokens(1), 1e-06),), classifying=(label,),
        user="someone", attribution={"x-session": "s"}, lossy=("seed",), reasons=[reason],
        timeline=(Span("attempt", "fast", 250.0, 1000.0),),
    )  # fmt: skip


def test_times_are_counted_up_to_each_bound_whether_counted_at_once_or_when_read():
    counters = Counters()
    for time_ms in (0.0, 50.0, 50.001, 700_000.0) * AT_ONCE:
        counters.add([Entry("r", 0.0, latency_ms=time_ms)])
    counters.add([Entry("r", 0.0, latency_ms=100.0)])
    family = counters.duration.family("seconds", "")
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert (found["0.05"], found["0.1"]) == (2 * AT_ONCE, 3 * AT_ONCE + 1)
    assert (found["600.0"], found["+Inf"]) == (3 * AT_ONCE + 1, 4 * AT_ONCE + 1)
    assert found["seconds_sum"] == pytest.approx(700.100001 * AT_ONCE + 0.1)
