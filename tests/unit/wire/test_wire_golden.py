"""The golden cases, at the level of bytes: what is sent upstream, and what the caller gets, however it arrives."""

from __future__ import annotations

import json
from typing import Any

import golden
import grammar
import pytest
from cuts import cuts

from lmgw.config.snapshot import Capabilities
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.embeddings import translate_embeddings
from lmgw.wire.statuses import caller_status
from lmgw.wire.translate import DIALECTS, Translation, translation


def spoken(kind: str) -> list[Any]:
    """The cases of one kind between dialects that there are."""
    cases = golden.load(kind).items()
    return [
        pytest.param(case, id=name) for name, case in cases if {case["caller"], case["upstream"]} <= DIALECTS.keys()
    ]


def prepare(case: dict[str, Any]) -> tuple[Body, Target, Reply]:
    body = Body(json.dumps(case["request"]).encode())
    include_usage = body.include_usage
    target = Target(case["model"], Capabilities(**case["capabilities"]))
    id = "resp_1" if case["caller"] == "responses" else "id-1"
    return body, target, Reply(id, body.model or "", 1_760_000_000, include_usage=include_usage)


def translated(case: dict[str, Any]) -> Translation:
    body, target, reply = prepare(case)
    return translation(case["caller"], case["upstream"], body, target, lambda: reply)


@pytest.mark.parametrize("case", spoken("request"))
def test_what_is_sent(case: dict[str, Any]) -> None:
    request = translated(case).request
    path = request.path if request.path.startswith("/api/") else f"/v1{request.path}"
    assert path == case["path"]
    assert golden.problems(json.loads(request.body), case["checks"]) == []


@pytest.mark.parametrize("case", spoken("answer"))
def test_what_is_answered(case: dict[str, Any]) -> None:
    answer, progress = translated(case).answer(json.dumps(case["answer"]).encode())
    assert progress.error is None
    assert golden.problems(json.loads(answer), case["checks"]) == []


@pytest.mark.parametrize("case", spoken("error"))
def test_what_an_error_becomes(case: dict[str, Any]) -> None:
    answer = case["answer"]
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    error = translated(case).error(case["status"], body)
    assert caller_status(error.status, case["caller"]) in case["expected_status"]
    rendered = DIALECTS[case["caller"]].render_error(error, "req_1")
    assert golden.problems(json.loads(rendered), case["checks"]) == []


@pytest.mark.parametrize("case", spoken("stream"))
def test_what_is_streamed(case: dict[str, Any]) -> None:
    for chunks in cuts("".join(case["stream"]).encode(), seeds=5):
        stream = translated(case).stream()
        raw = b"".join([stream.feed(data) for data in chunks]) + stream.eof(clean=True)
        if stream.progress.error is not None:
            error = stream.progress.error
            raw += stream.last_words(error) or DIALECTS[case["caller"]].render_stream_error(error, "req_1")
        include_usage = (case["request"].get("stream_options") or {}).get("include_usage", False)
        told = grammar.check(case["caller"], raw, include_usage)
        assert golden.problems(told, case["checks"]) == []


MAPS = [
    pytest.param(entry, *pair, id=f"{entry['upstream']}-{entry['caller']}-{pair[0]}{'-tools' * entry['tools']}")
    for case in golden.load("finish").values()
    for entry in case["maps"]
    for pair in entry["pairs"]
]


@pytest.mark.parametrize(("entry", "given", "expected"), MAPS)
def test_why_an_answer_ended(entry: dict[str, Any], given: str, expected: str) -> None:
    asked = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    way = translation(
        entry["caller"], entry["upstream"], Body(json.dumps(asked).encode()), Target("m"), lambda: Reply("id-1", "m", 1)
    )
    raw, _ = way.answer(json.dumps(golden.answer_of(entry["upstream"], given, entry["tools"])).encode())
    found = json.loads(raw)
    reasons = {
        "openai": lambda: found["choices"][0]["finish_reason"],
        "anthropic": lambda: found["stop_reason"],
        "ollama": lambda: found["done_reason"],
    }
    assert reasons[entry["caller"]]() == expected


def test_embeddings_are_asked_for_in_the_upstreams_words() -> None:
    case = golden.load("request")["request-ollama-openai-embed"]
    request = translate_embeddings("ollama", "openai", *prepare(case)).request
    assert f"/v1{request.path}" == case["path"]
    assert golden.problems(json.loads(request.body), case["checks"]) == []


def test_embeddings_come_in_the_form_that_was_asked_for() -> None:
    case = golden.load("answer")["answer-ollama-openai-embeddings"]
    answer, progress = translate_embeddings("openai", "ollama", *prepare(case)).answer(
        json.dumps(case["answer"]).encode()
    )
    assert progress.error is None
    assert golden.problems(json.loads(answer), case["checks"]) == []
