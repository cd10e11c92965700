"""What docs/routing.md shows is true: its requests are sent, its transcripts compared with what comes."""

import json
import re
from pathlib import Path

import msgspec
import pytest_twisted
from routing_rig import CHAT, asking, house
from twisted.internet import reactor

from lmgw.cli.cases import read_cases
from lmgw.cli.classify_test import label_all
from lmgw.cli.running import _plan
from lmgw.cli.scores import Scores
from lmgw.config.loader import load
from lmgw.gateway.explaining import Circumstances, explained

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "routing.md").read_text()
CONFIG, VOICE = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CONSOLES = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ROWS = [
    (model, message, answer)
    for model, message, answer in re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (\d\d\d .*) \|$", PAGE, re.MULTILINE)
]


def transcripts():
    """Each command of the page with the lines that it printed."""
    for console in CONSOLES:
        for block in console.split("$ ")[1:]:
            command, *lines = block.splitlines()
            yield command, lines


def content(message):
    words = re.fullmatch(r"\(([\d,]+) words\)", message)
    return "word " * int(words[1].replace(",", "")) if words else message


@pytest_twisted.ensureDeferred
async def test_every_request_of_its_tables_is_answered_as_they_say(tmp_path):
    assert len(ROWS) > 15
    async with house(tmp_path, CONFIG) as at:
        for model, message, expected in ROWS:
            answer = await at.chat(model, content(message))
            assert answer.status == int(expected[:3]), (model, message, answer)
            for name, value in re.findall(r"`(\w+): ([^`]+)`", expected):
                assert answer.headers[f"x-lmg-{name.lower()}"] == value, (model, message)
            if "Attempts" not in expected and answer.status == 200:
                assert "x-lmg-attempts" not in answer.headers
            if answer.status >= 400:
                said = re.findall(r'"(.+?)"(?= and|$)', expected[4:])
                assert said
                assert all(words in answer.message for words in said), answer.message


@pytest_twisted.ensureDeferred
async def test_the_first_transcript_is_what_curl_shows(tmp_path):
    ((command, shown),) = [(c, lines) for c, lines in transcripts() if c.startswith("curl")]
    body = json.loads(re.search(r"-d '(.*?)'", command)[1])
    async with house(tmp_path, CONFIG) as at:
        client = await at.gateway.open(CHAT, body)
        await client.answer()
        head = client.bytes.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        client.drop()
        await client.closed
        came = [line for line in head if line.startswith("X-LMG")]
        without_times = [[re.sub(r"[\d.]+$", "", line) for line in lines] for lines in (came, shown)]
        assert without_times[0] == without_times[1]


@pytest_twisted.ensureDeferred
async def test_its_explanations_are_those_of_the_gateway(tmp_path):
    explanations = [(command, lines) for command, lines in transcripts() if command.startswith("lmgw explain")]
    assert len(explanations) == 7
    async with house(tmp_path, CONFIG) as at:
        for command, lines in explanations:
            text = re.search(r'"([^"]+)"$', command)[1]
            model = re.search(r"--model (\S+)", command)[1]
            label, profile = re.search(r'--label "(.+?)"', command), re.search(r"--profile (\S+)", command)
            given = Circumstances(
                label=label and label[1], profile=profile and profile[1], expert="--expert" in command
            )
            body = json.dumps(asking(text, model)).encode()
            plan = await explained(at.gateway.engine, body, given)
            assert list(_plan(msgspec.to_builtins(plan))) == lines


@pytest_twisted.ensureDeferred
async def test_its_classifiers_table_is_what_classify_test_prints(tmp_path):
    ((_, shown),) = [(c, lines) for c, lines in transcripts() if c.startswith("lmgw classify-test")]
    path = tmp_path / "try.toml"
    path.write_text(CONFIG)
    cases = read_cases(ROOT / "etc" / "lm-gateway" / "classify-cases.example.toml")
    scores = Scores(await label_all(reactor, load(str(path), {}), "sorted", cases))
    came = [line for line in scores.lines() if not line.startswith("latency")]
    assert came == [line for line in shown if not line.startswith("latency")]


@pytest_twisted.ensureDeferred
async def test_its_thinking_messages_load_and_are_sent(tmp_path):
    async with house(tmp_path, CONFIG + VOICE) as at:
        answer = await at.chat("voice", stream=True, max_tokens=1)
        assert b"Let me think" in answer.body or b"One moment" in answer.body
        told = {name for name in answer.headers if name.startswith("x-lmg")}
        assert told == {"x-lmg-profile"}
