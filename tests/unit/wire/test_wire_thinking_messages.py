"""An answer that goes on after words of the gateway's own: one stream, whatever the pair, whichever attempt answers."""

from __future__ import annotations

import json
from typing import Any

import grammar
import pytest
from cuts import cuts
from scenes import ANSWERS, STREAMS, Scene

from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.neutral import opening
from lmgw.wire.translate import DIALECTS, AnswerStream, Translation, translation

CALLERS = ("openai", "anthropic", "ollama", "ollama_generate", "responses")
UPSTREAMS = ("openai", "anthropic", "ollama")
PAIRS = [(caller, upstream) for caller in CALLERS for upstream in UPSTREAMS]
SAID = 'One "moment" …\n\n'
REPLY = Reply("id-1", "asked", 1_760_000_000, include_usage=True)


def way(caller: str, upstream: str, /, model: str = "m", **fields: Any) -> Translation:
    prompts = {"ollama_generate": {"prompt": "hi"}, "responses": {"input": "hi"}}
    prompt = prompts.get(caller) or {"messages": [{"role": "user", "content": "hi"}]}
    usage = {"stream_options": {"include_usage": True}} if caller == "openai" else {}
    body = {"model": "asked", "max_tokens": 9, "stream": True, **prompt, **usage, **fields}
    return translation(caller, upstream, Body(json.dumps(body).encode()), Target(model), lambda: REPLY)


def opened(caller: str) -> bytes:
    return opening(DIALECTS[caller].render_stream(REPLY), REPLY, SAID)


def read(stream: AnswerStream, raw: bytes) -> bytes:
    return stream.feed(raw) + stream.eof(clean=True)


def test_the_words_are_there_before_the_answer_is() -> None:
    for caller in CALLERS:
        assert json.dumps(SAID, ensure_ascii=False).encode() in opened(caller)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_the_answer_goes_on_in_the_same_stream(caller: str, upstream: str, name: str) -> None:
    scene = ANSWERS[name]
    for chunks in cuts(STREAMS[upstream](scene).encode(), seeds=2):
        stream = way(caller, upstream).stream(SAID)
        raw = b"".join([opened(caller), *[stream.feed(data) for data in chunks], stream.eof(clean=True)])
        told = grammar.check(caller, raw, include_usage=True)
        assert told["text"] == SAID + scene.text
        assert told["reasoning"] == scene.reasoning
        calls = [(call["name"], json.loads(call["arguments"])) for call in told["tool_calls"]]
        assert calls == scene.calls
        assert told["usage"]


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_the_words_are_no_part_of_what_is_judged(caller: str, upstream: str) -> None:
    stream = way(caller, upstream).stream(SAID)
    assert not stream.progress.content
    read(stream, STREAMS[upstream](ANSWERS["text"]).encode())
    assert stream.progress.text == ANSWERS["text"].text


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_a_later_attempt_goes_on_as_if_there_had_been_no_other(caller: str, upstream: str) -> None:
    refused = Scene("As an AI", "hm, hm", [("g", {"b": 1})], "tool_calls")
    scene = ANSWERS["everything"]
    for earlier in UPSTREAMS:
        read(way(caller, earlier, "small").stream(SAID), STREAMS[earlier](refused).encode())  # held, never sent
        raw = opened(caller) + read(way(caller, upstream).stream(SAID), STREAMS[upstream](scene).encode())
        told = grammar.check(caller, raw, include_usage=True)
        assert (told["text"], told["reasoning"]) == (SAID + scene.text, scene.reasoning)


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_an_error_after_the_words_ends_the_stream_in_the_callers_dialect(caller: str, upstream: str) -> None:
    stream = way(caller, upstream).stream(SAID)
    assert stream.eof(clean=False) == b""
    error = stream.progress.error
    assert error is not None
    raw = opened(caller) + (stream.last_words(error) or DIALECTS[caller].render_stream_error(error, "req_1"))
    told = grammar.check(caller, raw, include_usage=True)
    assert told["error"]
    assert told["text"] == SAID


def test_the_request_of_a_pass_through_pair_stays_the_callers() -> None:
    body = b'{"x_odd":1.50e2,"model":"asked","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"stream":true}'
    passed = translation("anthropic", "anthropic", Body(body), Target("m"), lambda: REPLY)
    passed.stream(SAID)
    assert passed.request.body == body.replace(b'"asked"', b'"m"')


def test_calls_written_as_text_are_repaired_after_the_words_too() -> None:
    function = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
    body = {"model": "asked", "messages": [{"role": "user", "content": "hi"}], "tools": [{"function": function}]}
    asked = Body(json.dumps(body).encode())
    passed = translation("ollama", "ollama", asked, Target("m", repair_tool_calls=True), lambda: REPLY)
    raw = opened("ollama") + read(passed.stream(SAID), STREAMS["ollama"](Scene('f(a="x")')).encode())
    told = grammar.check("ollama", raw)
    assert told["text"] == SAID
    assert [(call["name"], json.loads(call["arguments"])) for call in told["tool_calls"]] == [("f", {"a": "x"})]
