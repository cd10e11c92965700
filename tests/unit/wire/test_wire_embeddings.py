"""Embeddings between the two dialects that have them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest
from ollama._types import EmbeddingsResponse, EmbedRequest, EmbedResponse
from openai.types import CreateEmbeddingResponse

from lmgw.errors import BadRequest
from lmgw.wire.body import Body
from lmgw.wire.dialect import Reply, Target
from lmgw.wire.embeddings import Caller, Embeddings, translate_embeddings
from lmgw.wire.events import Usage

REPLY = Reply("id", "asked", 0)
VECTORS = [[0.5, -0.25, 1.0], [0.125, 0.0, 2.0]]
FROM_OLLAMA = b'{"model":"up","embeddings":[[0.5,-0.25,1.0],[0.125,0.0,2.0]],"total_duration":5,"prompt_eval_count":2}'
FROM_OPENAI = (
    b'{"object":"list","data":[{"object":"embedding","index":1,"embedding":[0.125,0.0,2.0]},'
    b'{"object":"embedding","index":0,"embedding":[0.5,-0.25,1.0]}],'
    b'"model":"up","usage":{"prompt_tokens":2,"total_tokens":2}}'
)


def start(caller: Caller, upstream: str, body: dict[str, Any] | bytes, target: Target | None = None) -> Embeddings:
    data = body if isinstance(body, bytes) else msgspec.json.encode({"model": "m", **body})
    return translate_embeddings(caller, upstream, Body(data), target or Target("up"), REPLY)


def sent(caller: Caller, upstream: str, body: dict[str, Any], **target: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(start(caller, upstream, body, Target("up", **target)).request.body)
    return found


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


# --- requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "upstream", "path"),
    [
        ("openai", "openai", "/embeddings"),
        ("ollama", "openai", "/embeddings"),
        ("ollama_legacy", "openai", "/embeddings"),
        ("openai", "ollama", "/api/embed"),
        ("ollama", "ollama", "/api/embed"),
        ("ollama_legacy", "ollama", "/api/embeddings"),
    ],
)
def test_each_pair_has_its_route(caller: Caller, upstream: str, path: str) -> None:
    assert start(caller, upstream, {"input": "a", "prompt": "a"}).request.path == path


@pytest.mark.parametrize("caller", ["openai", "ollama", "ollama_legacy"])
def test_anthropic_has_no_embeddings(caller: Caller) -> None:
    with pytest.raises(BadRequest, match="makes no embeddings"):
        start(caller, "anthropic", {"input": "a", "prompt": "a"})


def test_openai_to_openai_keeps_all_but_the_model() -> None:
    body = b'{ "input":[1,2], "model" : "m","x":1.50 }'
    assert start("openai", "openai", body).request.body == body.replace(b'"m"', b'"up"')


@pytest.mark.parametrize("given", ["a", ["a", "b"]])
def test_openai_to_ollama(given: Any) -> None:
    body = sent("openai", "ollama", {"input": given, "encoding_format": "base64", "dimensions": 3, "user": "u"})
    assert body == {"model": "up", "input": given, "dimensions": 3}
    EmbedRequest.model_validate(body)


def test_the_tiers_options_go_to_ollama() -> None:
    policy = {"options": {"num_ctx": 1, "a": 1}, "pinned_options": {"num_ctx": 2}, "keep_alive": "5m"}
    expected = {"model": "up", "input": "x", "options": {"num_ctx": 2, "a": 1}, "keep_alive": "5m"}
    assert sent("openai", "ollama", {"input": "x"}, **policy) == expected
    assert sent("ollama", "ollama", {"input": "x"}, **policy) == expected
    assert sent("ollama", "ollama", {"input": "x", "keep_alive": 0, "options": {"a": 3}}, **policy) == {
        **expected,
        "keep_alive": 0,
        "options": {"a": 3, "num_ctx": 2},
    }


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "input", "input is missing"),
        ({"input": ""}, "input", "must not be empty"),
        ({"input": []}, "input", "must not be empty"),
        ({"input": [1, 2]}, "input", "takes no token numbers"),
        ({"input": [[1, 2]]}, "input", "takes no token numbers"),
        ({"input": 1}, "input", "must be a string or an array of strings"),
        ({"input": "a", "dimensions": "3"}, "dimensions", "must be an integer"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", 'must be "float" or "base64"'),
        ({"input": "a", "encoding_format": 1}, "encoding_format", "must be a string"),
    ],
)
def test_what_ollama_cannot_take_is_refused_in_words(body: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        start("openai", "ollama", body)
    assert caught.value.param == param


def test_ollama_to_openai_drops_what_openai_does_not_know() -> None:
    body = {"input": ["a"], "truncate": True, "keep_alive": "5m", "options": {"num_ctx": 512}, "dimensions": 3}
    request = start("ollama", "openai", body).request
    assert msgspec.json.decode(request.body) == {"model": "up", "input": ["a"], "dimensions": 3}
    assert request.lossy == ("options.num_ctx", "truncate")


def test_the_legacy_route_says_prompt() -> None:
    assert sent("ollama_legacy", "openai", {"prompt": "a"}) == {"model": "up", "input": "a"}
    assert sent("ollama_legacy", "ollama", {"prompt": "a"}) == {"model": "up", "prompt": "a"}
    with pytest.raises(BadRequest, match="prompt is missing"):
        start("ollama_legacy", "openai", {"input": "a"})


# --- answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_ollamas_vectors_come_as_they_were_asked_for(encoding: str | None) -> None:
    fields = {} if encoding is None else {"encoding_format": encoding}
    data, progress = start("openai", "ollama", {"input": ["a", "b"], **fields}).answer(FROM_OLLAMA)
    answer = CreateEmbeddingResponse.model_validate_json(data) if encoding != "base64" else msgspec.json.decode(data)
    if encoding == "base64":
        assert [item["embedding"] for item in answer["data"]] == [packed(*vector) for vector in VECTORS]
        assert [item["index"] for item in answer["data"]] == [0, 1]
        assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    else:
        assert [item.embedding for item in answer.data] == VECTORS
        assert [item.index for item in answer.data] == [0, 1]
        assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("up", 2, 2)
    assert (progress.content, progress.finish, progress.usage, progress.model) == (True, "stop", Usage(2), "up")


@pytest.mark.parametrize("as_base64", [True, False])
def test_openais_vectors_come_as_numbers_in_order(as_base64: bool) -> None:
    data = FROM_OPENAI
    if as_base64:
        for vector, text in ((VECTORS[0], b"[0.5,-0.25,1.0]"), (VECTORS[1], b"[0.125,0.0,2.0]")):
            data = data.replace(text, b'"%b"' % packed(*vector).encode())
    body, progress = start("ollama", "openai", {"input": ["a", "b"]}).answer(data)
    answer = EmbedResponse.model_validate_json(body)
    assert [list(vector) for vector in answer.embeddings] == VECTORS
    assert (answer.model, answer.prompt_eval_count, answer.total_duration) == ("asked", 2, 1)
    assert progress.usage == Usage(2)


def test_the_legacy_route_answers_one_vector() -> None:
    upstream = b'{"data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":1}}'
    body, _ = start("ollama_legacy", "openai", {"prompt": "a"}).answer(upstream)
    assert EmbeddingsResponse.model_validate_json(body).embedding == [0.5]


def test_the_same_dialect_passes_through() -> None:
    assert start("openai", "openai", {"input": "a"}).answer(FROM_OPENAI)[0] == FROM_OPENAI
    passed, progress = start("ollama", "ollama", {"input": "a"}).answer(FROM_OLLAMA)
    assert passed == FROM_OLLAMA.replace(b'"up"', b'"asked"')
    assert progress.usage == Usage(2)
    legacy = b'{"embedding":[0.5]}'
    assert start("ollama_legacy", "ollama", {"prompt": "a"}).answer(legacy)[0] == legacy


@pytest.mark.parametrize(
    ("caller", "upstream"), [("openai", "openai"), ("openai", "ollama"), ("ollama", "openai"), ("ollama", "ollama")]
)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"boom"}', "boom"),
        (b'{"error":{"message":"bang"}}', "bang"),
        (b'{"error":""}', "without saying which"),
        (b"<html>", "holds no embeddings"),
        (b"[]", "holds no embeddings"),
    ],
)
def test_an_error_inside_a_200_is_an_error(caller: Caller, upstream: str, body: bytes, words: str) -> None:
    data, progress = start(caller, upstream, {"input": "a"}).answer(body)
    assert data == b""
    assert progress.error is not None
    assert words in progress.error.message


@pytest.mark.parametrize(
    ("caller", "upstream", "body", "words"),
    [
        ("openai", "ollama", b'{"embeddings":[[1.0],[2.0]]}', "sent 2 embeddings for 1 inputs"),
        ("ollama", "openai", b'{"data":[]}', "sent 0 embeddings for 1 inputs"),
        ("openai", "ollama", b'{"embeddings":[[1e300]]}', "not made of 32-bit floats"),
        ("ollama", "openai", b'{"data":[{"embedding":"AAA="}]}', "not made of 32-bit floats"),
        ("ollama", "openai", b'{"data":[{"embedding":"?"}]}', "not made of 32-bit floats"),
        ("ollama", "openai", b'{"data":[{"embedding":null}]}', "not made of 32-bit floats"),
    ],
)
def test_vectors_that_nobody_can_use_are_an_error(caller: Caller, upstream: str, body: bytes, words: str) -> None:
    data, progress = start(caller, upstream, {"input": "a", "encoding_format": "base64"}).answer(body)
    assert data == b""
    assert progress.error is not None
    assert words in progress.error.message
