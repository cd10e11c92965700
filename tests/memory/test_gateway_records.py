"""When the records of finished requests are made."""

import json

from twisted.internet.testing import MemoryReactorClock

from lmgw.config.snapshot import Config, Gateway
from lmgw.core.record import Entry
from lmgw.gateway.engine import Engine
from lmgw.gateway.inbound import Inbound, Route


class Sink:
    begun = paused = closed = False

    def attach(self, flow): ...
    def answer(self, status, headers, body, lines): ...


def engine(path, lines):
    made = Engine(MemoryReactorClock(), write_lines=lines.append)
    made.adopt(made.prepare(Config(gateway=Gateway(traffic_log_path=str(path)))))
    return made


def ask(made, id):
    """A request that is refused at once, for its body is empty."""
    made.handle(Inbound(Route.CHAT, id, b""), Sink())


def test_those_of_one_turn_are_made_at_its_end_and_their_lines_written_at_once(tmp_path):
    lines: list[list[tuple[Entry, float]]] = []
    made = engine(tmp_path / "traffic.jsonl", lines)
    ask(made, "req_1")
    ask(made, "req_2")
    assert lines == []
    made.reactor.advance(0)
    assert [[entry.id for entry, _ in written] for written in lines] == [["req_1", "req_2"]]


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
