"""Ollama's own answers passing to an Ollama caller: every byte kept but the model's name."""

from __future__ import annotations

from typing import Any

import grammar
import msgspec
import pytest
from cuts import cuts

from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.events import Usage
from lmgw.wire.ollama import OLLAMA
from lmgw.wire.ollama_relay import Renamer
from lmgw.wire.progress import Progress

REPLY = Reply("id", "asked:latest", 1767323045)
TOOLS = b'{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"turn_on"}}]}'
AT = "2026-01-02T03:04:05.678901234Z"


def relayed(
    pieces: list[bytes], request: bytes = b'{"model":"m"}', repair: bool = False, clean: bool = True
) -> tuple[bytes, Progress]:
    relay = OLLAMA.relay(Body(request), Target("up", repair_tool_calls=repair), lambda: REPLY)
    passed = b"".join(relay.feed(piece) for piece in pieces) + relay.eof(clean)
    return passed, relay.progress


def line(message: dict[str, Any] | None = None, **fields: Any) -> bytes:
    content = {"role": "assistant", "content": "", **(message or {})}
    return msgspec.json.encode({"model": "up", "created_at": AT, "message": content, "done": False, **fields}) + b"\n"


DONE = line(done=True, done_reason="stop", total_duration=5, prompt_eval_count=10, eval_count=9, new_field=[1.50])


def test_only_the_name_changes() -> None:
    data = line({"content": "Hé", "x": 1}) + line({"thinking": "T"}, logprobs=[{"token": "a"}]) + DONE
    for pieces in cuts(data):
        passed, progress = relayed(pieces)
        assert passed == data.replace(b'"up"', b'"asked:latest"')
        assert progress == Progress(
            content=True, text="Hé", reasoning=True, finish="stop", usage=Usage(10, 9), model="up", chars=3
        )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"model":"up","a":1}', b'{"model":"new","a":1}'),
        (b' { "model" : "u\\"p" , "a":1}\n', b' { "model" : "new" , "a":1}\n'),
        (b'{"a":1.0,"model":"up"}\n', b'{"a":1.0,"model":"new"}\n'),
        (b'{"a":1}', b'{"a":1,"model":"new"}'),
        (b'{"model":null}\n', b'{"model":"new"}\n'),
    ],
)
def test_a_name_is_found_wherever_it_stands(data: bytes, expected: bytes) -> None:
    assert Renamer("new")(data) == expected


def test_another_name_in_the_middle_of_a_stream_is_changed_too() -> None:
    rename = Renamer("new")
    assert [rename(b'{"model":"%b"}' % name) for name in (b"up", b"up2", b"up")] == [b'{"model":"new"}'] * 3


def test_an_error_line_is_not_passed_on() -> None:
    for pieces in cuts(line({"content": "Par"}) + b'{"error":"boom"}\n' + DONE):
        passed, progress = relayed(pieces)
        told = grammar.ollama(passed, whole=False)
        assert (told["text"], told["error"]) == ("Par", None)
        assert progress.error is not None
        assert progress.error.message == "boom"


def test_a_stream_without_its_last_line_is_an_error() -> None:
    passed, progress = relayed([line({"content": "Par"})])
    assert grammar.ollama(passed, whole=False)["text"] == "Par"
    assert progress.error is not None
    assert progress.error.status == 502


def test_calls_are_seen() -> None:
    data = line({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}) + DONE
    _, progress = relayed([data])
    assert (progress.content, progress.tool_call, progress.finish, progress.chars) == (True, True, "tool_calls", 7)


def test_a_line_that_cannot_be_read_is_passed_on() -> None:
    passed, progress = relayed([b"?\n" + DONE])
    assert passed.startswith(b"?\n")
    assert progress.finish == "stop"


# --- repair --------------------------------------------------------------------------------------------------


def test_text_that_is_a_call_becomes_one() -> None:
    data = line({"thinking": "T"}) + line({"content": "turn_on(na"}) + line({"content": 'me="Lamp")'}) + DONE
    for pieces in cuts(data):
        passed, progress = relayed(pieces, TOOLS, repair=True)
        told = grammar.ollama(passed)
        assert [call[1:] for call in grammar.calls(told)] == [("turn_on", {"name": "Lamp"})]
        assert (told["text"], told["reasoning"], tuple(told["usage"].values())) == ("", "T", (10, 9))
        assert told["model"] == "asked:latest"
        assert (progress.tool_call, progress.finish) == (True, "tool_calls")
        assert b"new_field" in passed


def test_a_call_in_the_last_line_becomes_one() -> None:
    passed, _ = relayed([line({"content": "turn_on()"}, done=True, done_reason="stop")], TOOLS, repair=True)
    told = grammar.ollama(passed)
    assert [call[1:] for call in grammar.calls(told)] == [("turn_on", {})]
    assert (told["text"], told["done_reason"]) == ("", "stop")


@pytest.mark.parametrize(
    ("request_body", "repair"), [(TOOLS, False), (b'{"model":"m"}', True), (TOOLS.replace(b"turn_on", b"other"), True)]
)
def test_nothing_is_repaired_unasked(request_body: bytes, repair: bool) -> None:
    data = line({"content": "turn_on()"}) + DONE
    passed, progress = relayed([data], request_body, repair)
    assert passed == data.replace(b'"up"', b'"asked:latest"')
    assert progress.finish == "stop"


def test_text_that_turns_out_to_be_text_is_let_go_as_it_came() -> None:
    data = line({"content": "turn"}) + line({"content": "_on it"}) + line({"content": "!"}) + DONE
    passed, progress = relayed([data], TOOLS, repair=True)
    assert passed == data.replace(b'"up"', b'"asked:latest"')
    assert progress.text == "turn_on it!"


def test_text_that_is_held_at_the_end_is_let_go() -> None:
    data = line({"content": "turn_on(name="}) + DONE
    assert relayed([data], TOOLS, repair=True)[0] == data.replace(b'"up"', b'"asked:latest"')


def test_text_held_before_an_error_is_let_go() -> None:
    passed, _ = relayed([line({"content": "turn"}) + b'{"error":"boom"}\n'], TOOLS, repair=True)
    assert grammar.ollama(passed, whole=False)["text"] == "turn"


def test_text_held_before_a_real_call_is_let_go() -> None:
    data = line({"content": "turn"}) + line({"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}) + DONE
    assert relayed([data], TOOLS, repair=True)[0] == data.replace(b'"up"', b'"asked:latest"')


# --- whole answers -------------------------------------------------------------------------------------------


def whole(body: bytes, request: bytes = b'{"model":"m"}', repair: bool = False) -> tuple[bytes, Progress]:
    return OLLAMA.relay_answer(Body(request), Target("up", repair_tool_calls=repair), lambda: REPLY, body)


def test_a_whole_answer_keeps_all_but_the_name() -> None:
    body = line({"content": "Hi"}, done=True, done_reason="length", eval_count=2, new_field=1.50)[:-1]
    passed, progress = whole(body)
    assert passed == body.replace(b'"up"', b'"asked:latest"')
    assert (progress.content, progress.text, progress.finish, progress.usage) == (True, "Hi", "length", Usage(0, 2))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"boom"}', "boom"),
        (b'{"model":"up","done":true}', "holds no message"),
        (b"<html>", "not what Ollama's API sends"),
    ],
)
def test_a_whole_answer_that_is_none_is_an_error(body: bytes, words: str) -> None:
    passed, progress = whole(body)
    assert passed == b""
    assert progress.error is not None
    assert words in progress.error.message


def test_a_whole_answer_that_is_a_call_becomes_one() -> None:
    body = line({"content": 'turn_on(name="Lamp")', "thinking": "T"}, done=True, x=1)
    passed, progress = whole(body, TOOLS, repair=True)
    found = msgspec.json.decode(passed)
    assert found["x"] == 1
    assert found["model"] == "asked:latest"
    assert (found["message"]["content"], found["message"]["thinking"]) == ("", "T")
    assert found["message"]["tool_calls"][0]["function"]["arguments"] == {"name": "Lamp"}
    assert progress.finish == "tool_calls"
