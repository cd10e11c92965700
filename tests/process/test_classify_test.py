"""``lmgw classify-test`` as an operator runs it, on the demo provider."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from processes import LONG

import lmgw

ROOT = Path(__file__).parents[2]
LMGW = Path(sys.executable).parent / "lmgw"
DEMO = Path(lmgw.__file__).parent / "demo" / "config.toml"
EXAMPLE = ROOT / "etc" / "lm-gateway" / "classify-cases.example.toml"


@pytest.fixture
def run(environ):
    def run(*arguments, config=DEMO):
        command = [LMGW, "classify-test", "--config", config, *map(str, arguments)]
        return subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=LONG)

    return run


def test_the_example_runs_on_the_demo(run):
    done = run("--profile", "smart", EXAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    head, *_ = done.stdout.splitlines()
    assert head.split() == ["expected", "instant", "instant-think", "fast", "fast-think", "deep", "deep-think"]
    assert "\naccuracy " in done.stdout
    assert "\nlatency   p50 " in done.stdout
    assert "\nlabels    by local:instant 12\n" in done.stdout


def test_scripts_get_json_and_an_exit_code(run):
    done = run("--profile", "smart", EXAMPLE, "--json", "--at-least", "100")
    assert done.returncode == 1
    facts = json.loads(done.stdout)
    assert facts["cases"] == 12
    assert facts["right"] + len(facts["wrong"]) == 12
    assert 100 <= facts["latency_ms"]["p50"] <= facts["latency_ms"]["p95"]


@pytest.mark.parametrize(("profile", "words"), [("auto", "these do: smart"), ("nobody", "there is no profile")])
def test_what_cannot_be_tested_is_said_in_one_line(run, profile, words):
    done = run("--profile", profile, EXAMPLE)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


class Provider(BaseHTTPRequestHandler):
    """Says ``deep`` where the question has a "why" in it, else ``instant``; ``server.asked`` are the requests."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], request))
        label = "deep" if "why" in request["messages"][-1]["content"] else "Instant."
        message = {"role": "assistant", "content": label}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def provider() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_real_provider_is_asked_once_an_example_with_the_profiles_prompt(run, provider, environ, tmp_path):
    environ["LABEL_KEY"] = "key-of-the-classifier"
    config = tmp_path / "config.toml"
    config.write_text(f"""
        backends.up = {{ base_url = "http://127.0.0.1:{provider.server_port}", api_key_env = "LABEL_KEY" }}
        tiers = [
            {{ name = "a:instant", backend = "up", model = "m" }},
            {{ name = "a:deep", backend = "up", model = "n" }},
        ]
        [profiles.auto]
        mode = "classify"
        classifier = "a:instant"
        classifier_prompt = "Sort this."
    """)
    cases = tmp_path / "cases.toml"
    texts = {"hello": "instant", "why is the sky blue": "deep", "why not": "instant"}
    cases.write_text("".join(f'[[cases]]\ntext = "{text}"\nlabel = "{label}"\n' for text, label in texts.items()))
    done = run("--profile", "auto", cases, config=config)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:3] == ["expected instant deep", "instant 1 1", "deep . 1"]
    assert "accuracy 66.7 %: 2 of 3" in lines
    assert "expected instant, got deep: why not" in lines
    assert [path for path, _, _ in provider.asked] == ["/v1/chat/completions"] * 3
    assert {key for _, key, _ in provider.asked} == {"Bearer key-of-the-classifier"}
    first = provider.asked[0][2]
    assert [message["content"] for message in first["messages"]] == ["Sort this.", "hello"]
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("m", 0, 10)
    assert "key-of-the-classifier" not in done.stdout
