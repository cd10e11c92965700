"""The traffic log of a running gateway: rotated by moving it away and SIGHUP."""

import json
import signal

HELLO = {"model": "one", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}


def ids(path):
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_sighup_opens_the_traffic_log_again(start, config, folder):
    path = folder / "traffic.jsonl"
    gateway = start("--config", config(f'traffic_log_path = "{path}"\nlog_format = "json"'))
    for side in ("client", "admin"):
        gateway.urls[side] = gateway.log.wait_for(rf"{side} port: listening on http://([^\s\"]+)")[1]
    gateway.log.wait_for('"message":.*"ready"')
    assert path.read_text() == ""
    assert gateway.ask("/v1/chat/completions", HELLO)[0] == 200
    line = json.loads(gateway.log.wait_for('.*"event":"request".*')[0])
    path.rename(folder / "traffic.jsonl.1")
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for("files unchanged")
    assert gateway.ask("/v1/chat/completions", HELLO)[0] == 200
    # The record follows the answer, so a client may be quicker than the file; the admin port is not.
    second, first = (entry["id"] for entry in gateway.ask("/admin/traffic", side="admin")[1]["entries"])
    assert [first] == [line["id"]] == ids(folder / "traffic.jsonl.1")
    assert ids(path) == [second]


def test_a_full_disk_costs_lines_and_no_request(start, config):
    gateway = start("--config", config('traffic_log_path = "/dev/full"'))
    for side in ("client", "admin"):
        gateway.listening(side)
    for _ in range(3):
        assert gateway.ask("/v1/chat/completions", HELLO)[0] == 200
    gateway.log.wait_for("error traffic_log_path /dev/full: No space left on device; requests go on")
    health = gateway.ask("/admin/health", side="admin")[1]
    assert "No space left on device; 3 lines lost since" in health["losing"]
    assert health["losing"] in health["warnings"]
    gateway.signal(signal.SIGHUP)
    gateway.log.wait_for("files unchanged")
    assert gateway.ask("/v1/chat/completions", HELLO)[0] == 200
    assert "4 lines lost" in gateway.ask("/admin/health", side="admin")[1]["losing"]


def test_a_path_that_cannot_be_written_is_said_at_the_start_and_shown(start, config, folder):
    gateway = start("--config", config(f'traffic_log_path = "{folder}/nowhere/traffic.jsonl"'))
    for side in ("client", "admin"):
        gateway.listening(side)
    gateway.log.wait_for("error traffic_log_path .*No such file or directory; requests go on")
    assert gateway.ask("/v1/chat/completions", HELLO)[0] == 200
    (warning,) = gateway.ask("/admin/health", side="admin")[1]["warnings"]
    assert "No such file or directory; 1 lines lost since" in warning
