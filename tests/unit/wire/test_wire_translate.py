"""Every dialect to every dialect: what a caller asked for arrives, and what a model answered comes back."""

from __future__ import annotations

import json
import time
from typing import Any

import grammar
import pytest
from cuts import cuts
from scenes import ANSWERS, STOPS, STREAMS, WHOLE, Scene, sse

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.events import Finish, Start, Usage
from lmgw.wire.neutral import note
from lmgw.wire.progress import Progress
from lmgw.wire.translate import DIALECTS, NATIVES, Translation, translation

CALLERS = ("openai", "anthropic", "ollama", "ollama_generate", "responses")
UPSTREAMS = ("openai", "anthropic", "ollama")
PAIRS = [(caller, upstream) for caller in CALLERS for upstream in UPSTREAMS]
ABLE = Capabilities(reasoning=True, thinking="adaptive")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def made(caller: str, upstream: str, asked: dict[str, Any], **target: Any) -> Translation:
    body = Body(json.dumps({"model": "asked"} | asked).encode())
    reply = Reply("id-1", "asked", 1_760_000_000, include_usage=body.include_usage)
    return translation(caller, upstream, body, Target("m", **{"capabilities": ABLE} | target), lambda: reply)


def went(caller: str, upstream: str, asked: dict[str, Any], **target: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made(caller, upstream, asked, **target).request.body)
    return found


# --- requests ------------------------------------------------------------------------------------------------


def question(caller: str, scene: str) -> dict[str, Any]:
    """A request of ``caller`` for one scene."""
    image = scene == "image"
    if caller == "ollama_generate":
        return {"prompt": "Hello", **({"images": [PNG]} if image else {}), **ollama_fields(scene)}
    if caller == "ollama":
        message = {"role": "user", "content": "Hello", **({"images": [PNG]} if image else {})}
        return {"messages": [message], **ollama_fields(scene)}
    parts: list[dict[str, Any]] = [{"type": "text", "text": "Hello"}]
    if caller == "responses":
        content = [{"type": "input_text", "text": "Hello"}]
        if image:
            content.append({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})
        return {"input": [{"role": "user", "content": content}], **responses_fields(scene)}
    if caller == "openai":
        if image:
            parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})
        return {"messages": [{"role": "user", "content": parts}], "max_tokens": 8000, **openai_fields(scene)}
    if image:
        parts.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": 8000, **anthropic_fields(scene)}


def openai_fields(scene: str) -> dict[str, Any]:
    function = {"name": "f", "description": "d", "parameters": SCHEMA}
    return {
        "tools": {"tools": [{"type": "function", "function": function}]},
        "reasoning": {"reasoning_effort": "high"},
        "json": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        "stream": {"stream": True},
    }.get(scene, {})


def responses_fields(scene: str) -> dict[str, Any]:
    return {
        "tools": {"tools": [{"type": "function", "name": "f", "description": "d", "parameters": SCHEMA}]},
        "reasoning": {"reasoning": {"effort": "high"}},
        "json": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        "stream": {"stream": True},
    }.get(scene, {})


def anthropic_fields(scene: str) -> dict[str, Any]:
    return {
        "tools": {"tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}]},
        "reasoning": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        "json": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "stream": {"stream": True},
    }.get(scene, {})


def ollama_fields(scene: str) -> dict[str, Any]:
    function = {"name": "f", "description": "d", "parameters": SCHEMA}
    streams = {"stream": scene == "stream"}
    return streams | {
        "tools": {"tools": [{"type": "function", "function": function}]},
        "reasoning": {"think": "high"},
        "json": {"format": SCHEMA},
    }.get(scene, {})


def arrived(upstream: str, sent: dict[str, Any]) -> dict[str, Any]:
    """What a request says, in words that are the same for all upstreams."""
    message = sent["messages"][-1]
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    found = {
        "text": "".join(part["text"] for part in parts if part["type"] == "text"),
        "stream": sent.get("stream", False),
        "model": sent["model"],
    }
    if upstream == "openai":
        images = [part["image_url"]["url"].partition(",")[2] for part in parts if part["type"] == "image_url"]
        tools = [tool["function"] for tool in sent.get("tools", ())]
        schema = sent.get("response_format", {}).get("json_schema", {}).get("schema")
        return found | {"images": images, "tools": tools, "schema": schema, "effort": sent.get("reasoning_effort")}
    if upstream == "anthropic":
        images = [part["source"]["data"] for part in parts if part["type"] == "image"]
        tools = [
            {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
            for tool in sent.get("tools", ())
        ]
        output = sent.get("output_config", {})
        schema = output.get("format", {}).get("schema")
        return found | {"images": images, "tools": tools, "schema": schema, "effort": output.get("effort")}
    tools = [tool["function"] for tool in sent.get("tools", ())]
    found |= {"images": message.get("images", []), "tools": tools, "schema": sent.get("format")}
    return found | {"effort": sent.get("think")}


TOOL = {"name": "f", "description": "d", "parameters": SCHEMA}
SCENES: dict[str, dict[str, Any]] = {
    "text": {},
    "stream": {"stream": True},
    "image": {"images": [PNG]},
    "tools": {"tools": [TOOL]},
    "reasoning": {"effort": "high"},
    "json": {"schema": SCHEMA},
}


ASKED = [(*pair, scene) for pair in PAIRS for scene in SCENES if (pair[0], scene) != ("ollama_generate", "tools")]


@pytest.mark.parametrize(("caller", "upstream", "scene"), ASKED)
def test_what_was_asked_for_arrives(caller: str, upstream: str, scene: str) -> None:
    sent = went(caller, upstream, question(caller, scene))
    nothing = {
        "text": "Hello",
        "stream": False,
        "model": "m",
        "images": [],
        "tools": [],
        "schema": None,
        "effort": None,
    }
    assert arrived(upstream, sent) == nothing | SCENES[scene]


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_the_tiers_prompt_and_thinking_arrive(caller: str, upstream: str) -> None:
    sent = went(caller, upstream, question(caller, "text"), system="P", think=True)
    prompt = sent["system"] if upstream == "anthropic" else sent["messages"][0]["content"]
    assert json.dumps(sent).count('"P"') == 1
    assert prompt == "P" or prompt == [{"type": "text", "text": "P"}]
    assert {"reasoning_effort", "thinking", "think"} & sent.keys()


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_what_is_lost_is_named_once(upstream: str) -> None:
    asked = question("ollama", "text") | {"options": {"mirostat": 1, "top_k": 3}}
    lost = {"openai": ("options.mirostat", "options.top_k"), "anthropic": ("options.mirostat",), "ollama": ()}
    assert made("ollama", upstream, asked).request.lossy == lost[upstream]


def test_a_schema_that_is_nested_too_deeply_is_the_callers_fault() -> None:
    deep = b'{"items":' * 450 + b"{}" + b"}" * 450
    asked = b'{"model":"m","messages":[{"role":"user","content":"x"}],"format":%b}' % deep
    with pytest.raises(BadRequest, match="nested too deeply"):
        translation("ollama", "openai", Body(asked), Target("m"), lambda: Reply("id-1", "m", 1))


# --- answers -------------------------------------------------------------------------------------------------


def gist(caller: str, told: dict[str, Any]) -> dict[str, Any]:
    """What a stream said, in words that are the same for all callers."""
    usage = told["usage"]
    both = ("input_tokens", "output_tokens")
    counts = {"openai": ("prompt_tokens", "completion_tokens"), "anthropic": both, "responses": both}
    keys = counts.get(caller, ("prompt_eval_count", "eval_count"))
    return {
        "text": told["text"],
        "reasoning": told["reasoning"],
        "calls": [(call["name"], json.loads(call["arguments"])) for call in told["tool_calls"]],
        "usage": tuple(usage[key] for key in keys),
        "finish": told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason") or told["status"],
    }


def gist_of_answer(caller: str, found: dict[str, Any]) -> dict[str, Any]:
    """What a whole answer said, likewise."""
    if caller == "openai":
        choice = found["choices"][0]
        message = choice["message"]
        told = {"text": message["content"] or "", "reasoning": message.get("reasoning_content", "")}
        told["tool_calls"] = [call["function"] for call in message.get("tool_calls", ())]
        return gist(caller, told | {"usage": found["usage"], "finish_reason": choice["finish_reason"]})
    if caller == "anthropic":
        texts = {
            kind: "".join(block[kind] for block in found["content"] if block["type"] == kind)
            for kind in ("text", "thinking")
        }
        calls = [
            {"name": block["name"], "arguments": json.dumps(block["input"])}
            for block in found["content"]
            if block["type"] == "tool_use"
        ]
        told = {"text": texts["text"], "reasoning": texts["thinking"], "tool_calls": calls}
        return gist(caller, told | {"usage": found["usage"], "stop_reason": found["stop_reason"]})
    if caller == "responses":
        output = found["output"]
        told = {"usage": found["usage"], "status": found["status"], "text": "", "reasoning": ""}
        told["text"] = "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
        thoughts = [item["summary"] for item in output if item["type"] == "reasoning"]
        told["reasoning"] = "".join(part["text"] for summary in thoughts for part in summary)
        return gist(caller, told | {"tool_calls": [item for item in output if item["type"] == "function_call"]})
    holder = found if caller == "ollama_generate" else found["message"]
    told = {"text": holder["response" if caller == "ollama_generate" else "content"]}
    told["reasoning"] = holder.get("thinking", "")
    told["tool_calls"] = [
        {"name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"])}
        for call in holder.get("tool_calls", ())
    ]
    return gist(caller, told | {"usage": found, "done_reason": found["done_reason"]})


def expected(caller: str, scene: Scene) -> dict[str, Any]:
    ollama = "length" if scene.finish == "length" else "stop"
    status = "incomplete" if scene.finish == "length" else "completed"
    finish = {"openai": scene.finish, "anthropic": STOPS[scene.finish], "responses": status}.get(caller, ollama)
    found = {"text": scene.text, "reasoning": scene.reasoning, "calls": scene.calls}
    return found | {"usage": (10, 5), "finish": finish}


def progressed(progress: Progress, scene: Scene) -> None:
    assert progress.error is None
    assert progress.content == bool(scene.text or scene.reasoning or scene.calls)
    assert (progress.text, progress.finish) == (scene.text, scene.finish)
    assert (progress.reasoning, progress.tool_call) == (bool(scene.reasoning), bool(scene.calls))
    assert progress.usage is not None
    assert (progress.usage.input, progress.usage.output) == (10, 5)
    assert progress.chars >= len(scene.text + scene.reasoning)


def streaming(caller: str) -> dict[str, Any]:
    usage = {"stream_options": {"include_usage": True}} if caller == "openai" else {}
    return question(caller, "stream") | usage


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_a_stream_comes_back(caller: str, upstream: str, name: str) -> None:
    scene = ANSWERS[name]
    for chunks in cuts(STREAMS[upstream](scene).encode(), seeds=2):
        stream = made(caller, upstream, streaming(caller)).stream()
        raw = b"".join([stream.feed(data) for data in chunks]) + stream.eof(clean=True)
        assert gist(caller, grammar.check(caller, raw, include_usage=True)) == expected(caller, scene)
        progressed(stream.progress, scene)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_a_whole_answer_comes_back(caller: str, upstream: str, name: str) -> None:
    scene = ANSWERS[name]
    raw, progress = made(caller, upstream, question(caller, "text")).answer(json.dumps(WHOLE[upstream](scene)).encode())
    assert gist_of_answer(caller, json.loads(raw)) == expected(caller, scene)
    progressed(progress, scene)


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_a_stream_that_breaks_off_ends_in_the_callers_kind_of_error(caller: str, upstream: str) -> None:
    whole = STREAMS[upstream](ANSWERS["everything"]).encode()
    for end in range(0, len(whole) - 1, 29):
        for clean in (True, False):
            stream = made(caller, upstream, streaming(caller)).stream()
            raw = stream.feed(whole[:end]) + stream.eof(clean)
            error = stream.progress.error
            if error is not None:
                assert error.status == 502
                raw += stream.last_words(error) or DIALECTS[caller].render_stream_error(error, "req_1")
                assert grammar.check(caller, raw, include_usage=True)["error"]
            else:
                assert stream.progress.finish


UPSTREAM_ERRORS = {
    "openai": sse({"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}),
    "anthropic": sse({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, "error"),
    "ollama": '{"error": "slow down"}\n',
}


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_an_error_in_the_stream_keeps_its_words(caller: str, upstream: str) -> None:
    stream = made(caller, upstream, streaming(caller)).stream()
    assert stream.feed(UPSTREAM_ERRORS[upstream].encode()) == b""
    error = stream.progress.error
    assert error is not None
    assert (error.message, error.status) == ("slow down", 502 if upstream == "ollama" else 429)
    assert not stream.progress.content
    rendered = DIALECTS[caller].render_stream_error(error, "req_1")
    assert b"slow down" in rendered
    if (caller, upstream) == ("anthropic", "openai"):
        assert b"rate_limit_error" in rendered


@pytest.mark.parametrize(("caller", "upstream"), PAIRS)
def test_an_error_inside_a_200_is_no_answer(caller: str, upstream: str) -> None:
    raw, progress = made(caller, upstream, question(caller, "text")).answer(
        UPSTREAM_ERRORS[upstream].rpartition("data: ")[2].encode()
    )
    assert raw == b""
    assert progress.error is not None
    assert progress.error.message == "slow down"


def test_another_dialects_type_does_not_reach_the_caller() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
    assert made("anthropic", "anthropic", question("anthropic", "text")).error(529, body).type == "overloaded_error"
    error = made("openai", "anthropic", question("openai", "text")).error(
        404, body.replace(b"overloaded", b"not_found")
    )
    assert error.type is None
    rendered = json.loads(DIALECTS["openai"].render_error(error, "req_1"))["error"]
    assert (rendered["type"], rendered["code"]) == ("invalid_request_error", "model_not_found")


def test_usage_told_at_the_start_counts_until_more_is_told() -> None:
    progress = Progress()
    note(progress, Start("x", "m", Usage(7)))
    note(progress, Finish("stop"))
    assert progress.usage == Usage(7)


# --- tools that stand for others -----------------------------------------------------------------------------

LONG = "mcp__server__" + "x" * 60


@pytest.mark.parametrize(
    ("caller", "upstream"),
    [("openai", "anthropic"), ("anthropic", "openai"), ("ollama", "openai"), ("ollama", "anthropic")],
)
def test_a_long_name_comes_back_whole(caller: str, upstream: str) -> None:
    asked = json.loads(json.dumps(streaming(caller) | question(caller, "tools")).replace('"f"', f'"{LONG}"'))
    way = made(caller, upstream, asked)
    (short,) = (tool["name"] for tool in arrived(upstream, json.loads(way.request.body))["tools"])
    assert len(short) <= 64
    scene = Scene(calls=[(short, {"a": "x"})], finish="tool_calls")
    stream = way.stream()
    raw = stream.feed(STREAMS[upstream](scene).encode()) + stream.eof(True)
    assert [call["name"] for call in grammar.check(caller, raw, include_usage=True)["tool_calls"]] == [LONG]
    raw, _ = way.answer(json.dumps(WHOLE[upstream](scene)).encode())
    assert gist_of_answer(caller, json.loads(raw))["calls"] == [(LONG, {"a": "x"})]


@pytest.mark.parametrize("caller", ["openai", "ollama", "ollama_generate"])
def test_json_by_a_forced_tool_comes_back_as_text(caller: str) -> None:
    unable = Capabilities(structured_outputs=False)
    way = made(caller, "anthropic", streaming(caller) | question(caller, "json"), capabilities=unable)
    sent = json.loads(way.request.body)
    (tool,) = sent["tools"]
    assert sent["tool_choice"] == {"type": "tool", "name": tool["name"]}
    scene = Scene("Here:", calls=[(tool["name"], {"a": "x"})], finish="tool_calls")
    want = expected(caller, Scene('Here:{"a": "x"}'))
    stream = way.stream()
    raw = stream.feed(STREAMS["anthropic"](scene).encode()) + stream.eof(True)
    assert gist(caller, grammar.check(caller, raw, include_usage=True)) == want
    assert (stream.progress.tool_call, stream.progress.finish) == (False, "stop")
    raw, progress = way.answer(json.dumps(WHOLE["anthropic"](scene)).encode())
    found = gist_of_answer(caller, json.loads(raw))
    assert json.loads(found["text"].removeprefix("Here:")) == {"a": "x"}
    assert (found["calls"], found["finish"], progress.tool_call) == ([], "stop", False)


# --- which way -----------------------------------------------------------------------------------------------


def test_the_same_dialect_passes_bytes() -> None:
    asked = b'{"model":"x","messages":[{"role":"user","content":"a"}],"max_tokens":1e2,"stream":false,"new":1.50}'
    for caller, upstream in NATIVES:
        way = translation(caller, upstream, Body(asked), Target("m"), lambda: Reply("id-1", "x", 1))
        assert way.request.body == asked.replace(b'"x"', b'"m"')


def test_an_operation_that_a_provider_does_not_have_is_refused_in_words() -> None:
    body = Body(b'{"prompt":"a"}')
    with pytest.raises(BadRequest, match="has no completions"):
        translation("openai_completions", "anthropic", body, Target("m"), lambda: Reply("id-1", "x", 1))


_CALL_IDS = [f"c{at}" for at in range(10_000)]
_ANSWERED_BACKWARDS = {
    "openai": [
        {"role": "user", "content": "Go."},
        {
            "role": "assistant",
            "tool_calls": [{"id": id, "function": {"name": id, "arguments": "{}"}} for id in _CALL_IDS],
        },
        *({"role": "tool", "tool_call_id": id, "content": id} for id in reversed(_CALL_IDS)),
    ],
    "ollama": [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [{"function": {"name": id, "arguments": {}}} for id in _CALL_IDS]},
        *({"role": "tool", "tool_name": id, "content": id} for id in reversed(_CALL_IDS)),
    ],
}
LENGTHY = {
    "neighbours of one role": ("openai", [{"role": "user", "content": "Hello"}] * 10_000),
    "results against the order of their calls": ("openai", _ANSWERED_BACKWARDS["openai"]),
    "results by the names of their calls": ("ollama", _ANSWERED_BACKWARDS["ollama"]),
}


@pytest.mark.parametrize(("caller", "turns"), LENGTHY.values(), ids=LENGTHY)
@pytest.mark.parametrize("upstream", ["openai", "anthropic", "ollama"])
def test_a_long_conversation_takes_time_in_proportion(caller: str, turns: list[Any], upstream: str) -> None:
    body = Body(json.dumps({"model": "asked", "messages": turns}).encode())
    began = time.process_time()
    translation(caller, upstream, body, Target("model"), lambda: Reply("id", "asked", 0))
    assert time.process_time() - began < 1.5  # it takes 0.02 to 0.2 s, and took 3 to 5 s with the square of the length
