"""Model lists as the official packages read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from anthropic.types import ModelInfo
from ollama._types import ListResponse, ProcessResponse, ShowResponse
from openai.types import Model

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.lists import (
    PULLED,
    VERSION,
    Entry,
    render_model,
    render_models,
    render_ps,
    render_show,
    render_tags,
    tagged,
)

AT = 1767323045
ENTRIES = (
    Entry("local:fast", "tier", "ollama", AT, context_tokens=8192, max_output_tokens=1000),
    Entry("hint:fast", "alias", "alias", AT, resolves_to="local:fast"),
    Entry("code", "profile", "profile", AT),
    Entry("default", "profile", "profile", AT, context_tokens=4096),
)


def models(**paging: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(render_models(ENTRIES, **paging))
    return found


def test_one_body_is_a_list_for_both_dialects() -> None:
    body = models()
    assert body["object"] == "list"
    assert (body["has_more"], body["first_id"], body["last_id"]) == (False, "local:fast", "default")
    for entry in body["data"]:
        Model.model_validate(entry, strict=True)
        ModelInfo.model_validate(entry)
    assert body["data"][0] == {
        "id": "local:fast",
        "object": "model",
        "created": AT,
        "owned_by": "ollama",
        "type": "model",
        "display_name": "local:fast",
        "created_at": "2026-01-02T03:04:05Z",
        "lifecycle": "active",
        "max_input_tokens": 8192,
        "max_tokens": 1000,
    }
    assert body["data"][1]["lm_gateway"] == {"resolves_to": "local:fast"}
    assert "max_tokens" not in body["data"][1]


def test_one_model_is_its_entry_of_the_list() -> None:
    assert msgspec.json.decode(render_model(ENTRIES[1])) == models()["data"][1]


@pytest.mark.parametrize(
    ("paging", "names", "more"),
    [
        ({"limit": 2}, ["local:fast", "hint:fast"], True),
        ({"limit": 4}, ["local:fast", "hint:fast", "code", "default"], False),
        ({"limit": 2, "after_id": "hint:fast"}, ["code", "default"], False),
        ({"limit": 1, "after_id": "hint:fast"}, ["code"], True),
        ({"limit": 1, "before_id": "code"}, ["hint:fast"], True),
        ({"before_id": "hint:fast"}, ["local:fast"], False),
        ({"after_id": "default"}, [], False),
    ],
)
def test_pages_are_anthropics(paging: dict[str, Any], names: list[str], more: bool) -> None:
    body = models(**paging)
    assert [entry["id"] for entry in body["data"]] == names
    assert body["has_more"] is more
    assert (body["first_id"], body["last_id"]) == ((names[0], names[-1]) if names else (None, None))


@pytest.mark.parametrize("paging", [{"limit": 0}, {"after_id": "x"}, {"before_id": "x"}])
def test_a_wrong_page_is_named(paging: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        models(**paging)
    assert caught.value.param == next(iter(paging))


def test_tags_hold_the_profiles_and_the_default_one_first() -> None:
    body = msgspec.json.decode(render_tags(ENTRIES))
    assert [model["name"] for model in body["models"]] == ["default:latest", "code:latest"]
    found = ListResponse.model_validate(body)
    assert [model.model for model in found.models] == ["default:latest", "code:latest"]
    assert len({model.digest for model in found.models}) == 2
    assert all(model.modified_at and model.details and model.size == 0 for model in found.models)


def test_ps_holds_the_same_names() -> None:
    found = ProcessResponse.model_validate_json(render_ps(ENTRIES))
    assert [(model.name, model.context_length) for model in found.models] == [
        ("default:latest", 4096),
        ("code:latest", 0),
    ]
    assert all(model.expires_at for model in found.models)


@pytest.mark.parametrize(
    ("capabilities", "words"),
    [
        (Capabilities(), ["completion", "tools", "vision"]),
        (Capabilities(vision=False, reasoning=True), ["completion", "tools", "thinking"]),
        (Capabilities(vision=False, thinking="adaptive"), ["completion", "tools", "thinking"]),
    ],
)
def test_show_tells_what_the_model_can_do(capabilities: Capabilities, words: list[str]) -> None:
    found = ShowResponse.model_validate_json(
        render_show(Entry("x", "profile", "profile", AT, capabilities=capabilities))
    )
    assert found.capabilities == words
    assert found.modelinfo is not None
    assert found.modelinfo["general.basename"] == "x"


def test_show_tells_the_window_under_the_architectures_name() -> None:
    info = msgspec.json.decode(render_show(ENTRIES[0]))["model_info"]
    assert info[f"{info['general.architecture']}.context_length"] == 8192


@pytest.mark.parametrize(("name", "shown"), [("code", "code:latest"), ("local:fast", "local:fast")])
def test_a_name_has_a_tag(name: str, shown: str) -> None:
    assert tagged(name) == shown


def test_fixed_answers() -> None:
    assert all(part.isdigit() for part in msgspec.json.decode(VERSION)["version"].split("."))
    assert msgspec.json.decode(PULLED) == {"status": "success"}
    assert PULLED.endswith(b"\n")
