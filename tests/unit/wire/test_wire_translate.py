"""Every dialect to every dialect: what a caller asked for arrives, and what a model answered comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import grammar
import pytest
from cuts import cuts

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.progress import Progress
from lmgw.wire.translate import DIALECTS, NATIVES, Translation, translation

CALLERS = ("openai", "anthropic", "ollama", "ollama_generate")
UPSTREAMS = ("openai", "anthropic", "ollama")
PAIRS = [(caller, upstream) for caller in CALLERS for upstream in UPSTREAMS]
ABLE = Capabilities(reasoning=True, thinking="adaptive")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def made(caller: str, upstream: str, asked: dict[str, Any], **target: Any) -> Translation:
    body = Body(json.dumps({"model": "asked"} | asked).encode())
    reply = Reply("id-1", "asked", 1_760_000_000, include_usage=body.include_usage)
    return translation(caller, upstream, body, Target("m", **{"capabilities": ABLE} | target), reply)


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
    lossy = made("ollama", upstream, asked).request.lossy
    assert (
        lossy == {"openai": ("options.mirostat", "top_k"), "anthropic": ("options.mirostat",), "ollama": ()}[upstream]
    )


# --- answers -------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """What a model answers, whatever it speaks."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    finish: str = "stop"


ANSWERS = {
    "text": Scene('Grüße, 🎉\n"you"'),
    "reasoning": Scene("Four.", "2+2"),
    "a call": Scene(calls=[("f", {"a": "x"})], finish="tool_calls"),
    "text and calls": Scene("On it.", calls=[("f", {"a": "x"}), ("g", {}), ("f", {"a": ["y"]})], finish="tool_calls"),
    "everything": Scene("On it.", "hm", [("f", {"a": "x"})], "tool_calls"),
    "a cut text": Scene("Four a", finish="length"),
    "nothing": Scene(),
}
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def halves(text: str) -> list[str]:
    return [half for half in (text[: len(text) // 2], text[len(text) // 2 :]) if half]


def sse(value: dict[str, Any], name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(value)}\n\n"


def openai_stream(scene: Scene) -> str:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": half} for half in halves(scene.reasoning)]
    deltas += [{"content": half} for half in halves(scene.text)]
    for index, (name, arguments) in enumerate(scene.calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": f"id{index}", "type": "function", "function": function}]})
        for half in halves(json.dumps(arguments)):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": scene.finish}]})
    chunks.append({**head, "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
    return "".join(map(sse, chunks)) + "data: [DONE]\n\n"


def anthropic_stream(scene: Scene) -> str:
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if scene.reasoning:
        deltas: list[dict[str, Any]] = [
            {"type": "thinking_delta", "thinking": half} for half in halves(scene.reasoning)
        ]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
        deltas.append({"type": "signature_delta", "signature": "sig"})
    if scene.text:
        texts = [{"type": "text_delta", "text": half} for half in halves(scene.text)]
        blocks.append(({"type": "text", "text": ""}, texts))
    for index, (name, arguments) in enumerate(scene.calls):
        json_text = json.dumps(arguments) if arguments else ""
        inputs = [{"type": "input_json_delta", "partial_json": half} for half in ["", *halves(json_text)]]
        blocks.append(({"type": "tool_use", "id": f"id{index}", "name": name, "input": {}}, inputs))
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "up", "content": [], "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message | {"stop_reason": None}}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": STOPS[scene.finish], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}})
    return "".join(sse(event, event["type"]) for event in [*events, {"type": "message_stop"}])


def ollama_stream(scene: Scene) -> str:
    head = {"model": "m", "created_at": "2026-01-02T03:04:05.678Z"}
    messages: list[dict[str, Any]] = [{"content": "", "thinking": half} for half in halves(scene.reasoning)]
    messages += [{"content": half} for half in halves(scene.text)]
    for index, (name, arguments) in enumerate(scene.calls):
        call = {"id": f"id{index}", "function": {"index": 0, "name": name, "arguments": arguments}}
        messages.append({"content": "", "tool_calls": [call]})
    lines = [{**head, "message": {"role": "assistant", **message}, "done": False} for message in messages]
    done = {"done": True, "done_reason": "length" if scene.finish == "length" else "stop"}
    counts = {"prompt_eval_count": 10, "eval_count": 5, "total_duration": 3}
    lines.append({**head, "message": {"role": "assistant", "content": ""}, **done, **counts})
    return "".join(json.dumps(line) + "\n" for line in lines)


STREAMS = {"openai": openai_stream, "anthropic": anthropic_stream, "ollama": ollama_stream}


def openai_answer(scene: Scene) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": scene.text or None}
    if scene.reasoning:
        message["reasoning_content"] = scene.reasoning
    if scene.calls:
        message["tool_calls"] = [
            {"id": f"id{index}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for index, (name, arguments) in enumerate(scene.calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": scene.finish}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice], "usage": usage}


def anthropic_answer(scene: Scene) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if scene.reasoning:
        content.append({"type": "thinking", "thinking": scene.reasoning, "signature": "sig"})
    if scene.text:
        content.append({"type": "text", "text": scene.text})
    for index, (name, arguments) in enumerate(scene.calls):
        content.append({"type": "tool_use", "id": f"id{index}", "name": name, "input": arguments})
    usage = {"input_tokens": 10, "output_tokens": 5}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "up", "content": content}
    return {**head, "stop_reason": STOPS[scene.finish], "stop_sequence": None, "usage": usage}


def ollama_answer(scene: Scene) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": scene.text}
    if scene.reasoning:
        message["thinking"] = scene.reasoning
    if scene.calls:
        message["tool_calls"] = [
            {"id": f"id{index}", "function": {"name": name, "arguments": arguments}}
            for index, (name, arguments) in enumerate(scene.calls)
        ]
    reason = "length" if scene.finish == "length" else "stop"
    head = {"model": "m", "created_at": "2026-01-02T03:04:05Z", "message": message, "done": True, "done_reason": reason}
    return {**head, "prompt_eval_count": 10, "eval_count": 5}


WHOLE = {"openai": openai_answer, "anthropic": anthropic_answer, "ollama": ollama_answer}


def gist(caller: str, told: dict[str, Any]) -> dict[str, Any]:
    """What a stream said, in words that are the same for all callers."""
    usage = told["usage"]
    counts = {"openai": ("prompt_tokens", "completion_tokens"), "anthropic": ("input_tokens", "output_tokens")}
    keys = counts.get(caller, ("prompt_eval_count", "eval_count"))
    return {
        "text": told["text"],
        "reasoning": told["reasoning"],
        "calls": [(call["name"], json.loads(call["arguments"])) for call in told["tool_calls"]],
        "usage": tuple(usage[key] for key in keys),
        "finish": told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason"),
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
    finish = {"openai": scene.finish, "anthropic": STOPS[scene.finish]}.get(caller, ollama)
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
                raw += DIALECTS[caller].render_stream_error(error, "req_1")
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
    raw = stream.feed(anthropic_stream(scene).encode()) + stream.eof(True)
    assert gist(caller, grammar.check(caller, raw, include_usage=True)) == want
    assert (stream.progress.tool_call, stream.progress.finish) == (False, "stop")
    raw, progress = way.answer(json.dumps(anthropic_answer(scene)).encode())
    found = gist_of_answer(caller, json.loads(raw))
    assert json.loads(found["text"].removeprefix("Here:")) == {"a": "x"}
    assert (found["calls"], found["finish"], progress.tool_call) == ([], "stop", False)


# --- which way -----------------------------------------------------------------------------------------------


def test_the_same_dialect_passes_bytes() -> None:
    asked = b'{"model":"x","messages":[{"role":"user","content":"a"}],"max_tokens":1e2,"stream":false,"new":1.50}'
    for caller, upstream in NATIVES:
        way = translation(caller, upstream, Body(asked), Target("m"), Reply("id-1", "x", 1))
        assert way.request.body == asked.replace(b'"x"', b'"m"')


def test_an_operation_that_a_provider_does_not_have_is_refused_in_words() -> None:
    with pytest.raises(BadRequest, match="has no completions"):
        translation("openai_completions", "anthropic", Body(b'{"prompt":"a"}'), Target("m"), Reply("id-1", "x", 1))
