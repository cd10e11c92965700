"""The traffic log on disk: lines appended whole; whatever is wrong with the disk costs lines and nothing else."""

import errno
import os
import stat

import pytest
from twisted.logger import globalLogPublisher

from lmgw.gateway.export import RETRY_S, Export


class Disk:
    """Stands in for ``os.write``: writes, fails, or writes a part, as it is told."""

    def __init__(self):
        self.error = None
        self.room = None
        self._write = os.write

    def write(self, file, data):
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        if self.room is not None:
            data, self.room = data[: self.room], None
        return self._write(file, data)


@pytest.fixture
def said():
    lines = []

    def observe(event):
        if event.get("log_namespace") == "lmgw.gateway.export":
            lines.append((event["log_level"].name, event["log_format"].format(**event)))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def export(clock, tmp_path):
    made = Export(lambda: clock[0], lambda: 1_790_000_000 + clock[0])
    made.configure(str(tmp_path / "traffic.jsonl"))
    yield made
    made.close()


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(os, "write", disk.write)
    return disk


def lines(tmp_path, name="traffic.jsonl"):
    return (tmp_path / name).read_bytes().splitlines()


def test_lines_are_appended_to_what_is_there(export, tmp_path):
    (tmp_path / "traffic.jsonl").write_bytes(b"before\n")
    export.write(b"one")
    export.write(b"two")
    assert lines(tmp_path) == [b"before", b"one", b"two"]
    assert export.lost == 0
    assert export.warning() is None


def test_the_file_is_not_for_everybody(export, tmp_path):
    export.write(b"one")
    assert stat.S_IMODE((tmp_path / "traffic.jsonl").stat().st_mode) & 0o027 == 0


def test_without_a_path_nothing_is_written_or_lost(export, tmp_path):
    export.configure(None)
    export.write(b"one")
    export.reopen()
    assert not export.wanted
    assert (list(tmp_path.iterdir()), export.lost) == ([], 0)


def test_a_file_that_was_moved_away_is_opened_again(export, tmp_path):
    export.write(b"one")
    (tmp_path / "traffic.jsonl").rename(tmp_path / "traffic.jsonl.1")
    export.write(b"two")
    export.reopen()
    export.write(b"three")
    assert lines(tmp_path, "traffic.jsonl.1") == [b"one", b"two"]
    assert lines(tmp_path) == [b"three"]


def test_another_path_is_live(export, tmp_path):
    export.write(b"one")
    export.configure(str(tmp_path / "other.jsonl"))
    export.write(b"two")
    assert (lines(tmp_path), lines(tmp_path, "other.jsonl")) == ([b"one"], [b"two"])


def test_a_full_disk_costs_lines_and_says_so_once(export, tmp_path, disk, said):
    export.write(b"one")
    disk.error = errno.ENOSPC
    for _ in range(100):
        export.write(b"lost")
    disk.error = None
    assert export.lost == 100
    assert "No space left on device; 100 lines lost since" in export.warning()
    assert [level for level, _ in said] == ["error"]
    export.write(b"two")
    assert lines(tmp_path) == [b"one", b"two"]
    assert said[1:] == [("info", f"traffic_log_path {tmp_path}/traffic.jsonl works again; 100 lines were lost")]
    assert export.warning() is None


def test_a_device_that_is_really_full_is_no_different(export, said, tmp_path):
    export.configure("/dev/full")
    for _ in range(3):
        export.write(b"lost")
    assert export.lost == 3
    assert "/dev/full: No space left on device; 3 lines lost since" in export.warning()
    export.reopen()
    export.write(b"lost")
    assert "4 lines lost" in export.warning()
    assert [level for level, _ in said] == ["error"]
    export.configure(str(tmp_path / "roomy.jsonl"))
    export.write(b"kept")
    assert export.warning() is None


def test_a_second_fault_is_counted_from_nothing(export, disk, said):
    for _ in range(2):
        disk.error = errno.EIO
        export.write(b"lost")
        assert "1 lines lost" in export.warning()
        disk.error = None
        export.write(b"kept")
    assert export.lost == 2
    assert [level for level, _ in said] == ["error", "info", "error", "info"]


def test_a_line_that_was_cut_off_spoils_no_other(export, tmp_path, disk):
    disk.room = 5
    export.write(b'{"cut":"off"}')
    export.write(b'{"whole":1}')
    assert lines(tmp_path) == [b'{"cut', b'{"whole":1}']
    assert export.lost == 1


def test_a_path_that_cannot_be_opened_is_tried_now_and_then(export, clock, tmp_path, said):
    export.configure(str(tmp_path / "nowhere" / "traffic.jsonl"))
    for _ in range(3):
        export.write(b"lost")
    (tmp_path / "nowhere").mkdir()
    export.write(b"too soon")
    assert export.lost == 4
    clock[0] += RETRY_S
    export.write(b"kept")
    assert lines(tmp_path, "nowhere/traffic.jsonl") == [b"kept"]
    assert len(said) == 2
    assert "No such file or directory" in said[0][1]


def test_reopening_tries_at_once(export, tmp_path, said):
    export.configure(str(tmp_path / "nowhere" / "traffic.jsonl"))
    export.reopen()
    assert "0 lines lost" in export.warning()
    (tmp_path / "nowhere").mkdir()
    export.reopen()
    export.write(b"kept")
    assert lines(tmp_path, "nowhere/traffic.jsonl") == [b"kept"]


def test_a_folder_in_its_place_is_a_fault_like_any(export, tmp_path):
    export.configure(str(tmp_path))
    export.write(b"lost")
    assert "Is a directory" in export.warning()


def test_a_pipe_that_nobody_reads_holds_nobody_up(export, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    export.configure(str(pipe))
    export.write(b"lost")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    export.reopen()
    for _ in range(100):
        export.write(b"x" * 4095)
    assert export.lost > 1
    os.close(reader)
