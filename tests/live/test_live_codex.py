"""Codex itself, where it is installed, with a gateway between it and a scripted provider."""

import json
import os
import shutil
import subprocess

import pytest
import pytest_twisted
from fakes import FakeUpstream, Stream
from gateway_rig import Gateway
from scenes import STREAMS, Scene
from twisted.internet.threads import deferToThread

CODEX = shutil.which("codex")
CONFIG = """
[backends.up]
provider = "{provider}"
base_url = "{url}"

[[tiers]]
name = "{name}"
backend = "up"
model = "m"
"""
HOME = """
model = "{name}"
model_provider = "lmgw"

[model_providers.lmgw]
name = "lmgw"
base_url = "{url}/v1"
wire_api = "responses"
stream_max_retries = 0
"""
COMMAND = "echo made by codex > made.txt"
PATCH = "*** Begin Patch\n*** Add File: made.txt\n+made by codex\n*** End Patch\n"
#: By the kind of tool that Codex offers for it: the model's name, as Codex knows it; the tool and its arguments.
TASKS = {
    "a function": ("fast", "exec_command", {"cmd": COMMAND}),
    "a custom tool": ("gpt-5.5", "apply_patch", {"input": PATCH}),
}

pytestmark = pytest.mark.skipif(CODEX is None, reason="codex is not installed (npm install -g @openai/codex)")


def run(home, folder):
    """Let Codex do its task; the sandbox is off, as what it runs is written above."""
    command = [CODEX, "exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "Do it."]
    environ = {**os.environ, "CODEX_HOME": str(home)}
    return subprocess.run(
        command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("task", TASKS)
@pytest_twisted.ensureDeferred
async def test_codex_does_a_task(tmp_path, provider, task):
    name, tool, arguments = TASKS[task]
    turns = [Scene("On it.", "I had better do it.", [(tool, arguments)], "tool_calls"), Scene("It is done.")]
    upstream = await FakeUpstream.start()
    content_type = "application/x-ndjson" if provider == "ollama" else "text/event-stream"

    def answer(connection, request):
        stream = Stream(content_type)
        stream(connection)
        stream.send(STREAMS[provider](turns[min(len(upstream.requests), 2) - 1]).encode())
        stream.end()

    upstream.default = answer
    gateway = await Gateway.start(tmp_path, CONFIG.format(provider=provider, url=upstream.url, name=name), {})
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    (home / "config.toml").write_text(HOME.format(name=name, url=gateway.url))
    done = await deferToThread(run, home, folder)
    await gateway.stop()
    await upstream.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    assert (folder / "made.txt").read_text() == "made by codex\n"
    assert [item["text"] for item in items if item["type"] == "agent_message"] == ["On it.", "It is done."]
    assert events[-1]["usage"] == {**events[-1]["usage"], "input_tokens": 20, "output_tokens": 10}
    assert len(upstream.requests) == 2
