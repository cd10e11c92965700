"""What an Ollama server is sent for a neutral request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ollama._types import ChatRequest

from lmgw.config.snapshot import Capabilities
from lmgw.errors import BadRequest
from lmgw.wire.dialect import Rendered, Target
from lmgw.wire.events import (
    Document,
    Image,
    JsonFormat,
    Message,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from lmgw.wire.ollama import OLLAMA

HI = (Message("user", (Text("Hi"),)),)
TOOLS = (Tool("f", "d", {"type": "object"}), Tool("g"))
UP = Target("up")
THINKER = Capabilities(reasoning=True)


def render(*messages: Message, target: Target = UP, **fields: Any) -> Rendered:
    rendered = OLLAMA.render_request(Request("m", messages or HI, **fields), target)
    ChatRequest.model_validate_json(rendered.body)
    return rendered


def sent(*messages: Message, target: Target = UP, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(render(*messages, target=target, **fields).body)
    return body


def test_the_least_request_says_whether_it_streams() -> None:
    rendered = render()
    assert rendered.path == "/api/chat"
    assert msgspec.json.decode(rendered.body) == {
        "model": "up",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
    }
    assert sent(stream=True)["stream"] is True


def test_numbers_go_under_options() -> None:
    body = sent(
        max_tokens=77,
        temperature=0.3,
        top_p=0.7,
        top_k=5,
        seed=9,
        frequency_penalty=0.2,
        presence_penalty=0.1,
        stop=("END",),
        options={"num_ctx": 4096},
    )
    assert body["options"] == {
        "num_predict": 77,
        "temperature": 0.3,
        "top_p": 0.7,
        "top_k": 5,
        "seed": 9,
        "frequency_penalty": 0.2,
        "presence_penalty": 0.1,
        "stop": ["END"],
        "num_ctx": 4096,
    }
    assert body.keys() == {"model", "messages", "stream", "options"}


def test_the_requests_options_win_over_the_tiers_but_not_over_pinned_ones() -> None:
    target = Target(
        "up", options={"num_ctx": 1, "seed": 1, "top_k": 1}, pinned_options={"num_ctx": 3, "temperature": 0}
    )
    assert sent(target=target, seed=2, temperature=1.0, options={"num_ctx": 2})["options"] == {
        "num_ctx": 3,
        "seed": 2,
        "top_k": 1,
        "temperature": 0,
    }


def test_no_limit_said_aloud_wins_over_the_tiers_limit() -> None:
    request = OLLAMA.parse_request(
        {"model": "m", "messages": [{"role": "user", "content": "x"}], "options": {"num_predict": -1}}
    )
    rendered = OLLAMA.render_request(request, Target("up", options={"num_predict": 10}))
    assert msgspec.json.decode(rendered.body)["options"] == {"num_predict": -1}


@pytest.mark.parametrize(("own", "tier", "value"), [(None, "5m", "5m"), (0, "5m", 0), (-1, None, -1)])
def test_the_requests_keep_alive_wins(own: Any, tier: Any, value: Any) -> None:
    assert sent(target=Target("up", keep_alive=tier), keep_alive=own)["keep_alive"] == value


def test_keep_alive_is_left_to_ollama_where_nobody_says_it() -> None:
    assert "keep_alive" not in sent()


def test_a_format_is_json_or_the_bare_schema() -> None:
    assert sent(format=JsonFormat())["format"] == "json"
    assert sent(format=JsonFormat({"type": "object"}, "n", True))["format"] == {"type": "object"}


@pytest.mark.parametrize(
    ("reasoning", "capabilities", "think"),
    [
        (Reasoning(enabled=False), Capabilities(), False),
        (Reasoning(enabled=True, effort="none"), THINKER, False),
        (Reasoning(), THINKER, True),
        (Reasoning(), Capabilities(thinking="budget"), True),
        (Reasoning(budget_tokens=2000), THINKER, True),
        (Reasoning(adaptive=True), THINKER, True),
        (Reasoning(effort="minimal"), THINKER, "low"),
        (Reasoning(effort="low"), THINKER, "low"),
        (Reasoning(effort="medium"), THINKER, "medium"),
        (Reasoning(effort="high"), THINKER, "high"),
        (Reasoning(effort="xhigh"), THINKER, "max"),
        (Reasoning(effort="max"), THINKER, "max"),
        (Reasoning(effort="max"), Capabilities(reasoning=True, efforts=("low", "medium", "high")), "high"),
        (Reasoning(effort="low"), Capabilities(reasoning=True, efforts=("medium", "high")), "medium"),
    ],
)
def test_thinking_is_said_in_ollamas_words(reasoning: Reasoning, capabilities: Capabilities, think: object) -> None:
    assert sent(target=Target("up", capabilities), reasoning=reasoning)["think"] == think


def test_thinking_is_not_asked_of_a_model_that_is_not_known_to_think() -> None:
    rendered = render(reasoning=Reasoning(effort="high"))
    assert "think" not in msgspec.json.decode(rendered.body)
    assert rendered.lossy == ("reasoning",)


@pytest.mark.parametrize(
    ("own", "think", "expected"),
    [(None, True, True), (None, False, False), (None, None, None), (Reasoning(effort="low"), False, "low")],
)
def test_the_tiers_think_is_said_where_the_caller_is_silent(
    own: Reasoning | None, think: bool | None, expected: object
) -> None:
    assert sent(target=Target("up", THINKER, think=think), reasoning=own).get("think") == expected


def test_a_tiers_think_that_the_model_cannot_obey_is_no_loss_of_the_callers() -> None:
    assert render(target=Target("up", think=True)).lossy == ()


def test_the_profiles_prompt_comes_first() -> None:
    target = Target("up", system="P")
    assert sent(target=target)["messages"][0] == {"role": "system", "content": "P"}
    assert sent(Message("system", (Text("S"),)), *HI, target=target)["messages"] == [
        {"role": "system", "content": "P\n\nS"},
        {"role": "user", "content": "Hi"},
    ]


def test_tools_are_functions() -> None:
    assert sent(tools=TOOLS)["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
    ]


@pytest.mark.parametrize(
    ("choice", "names", "lossy"),
    [
        (None, ["f", "g"], ()),
        (ToolChoice("auto"), ["f", "g"], ()),
        (ToolChoice("auto", ("g",)), ["g"], ()),
        (ToolChoice("required"), ["f", "g"], ("tool_choice",)),
        (ToolChoice("required", ("f",)), ["f"], ("tool_choice",)),
        (ToolChoice("named", ("g",)), ["g"], ("tool_choice",)),
        (ToolChoice("none"), None, ()),
    ],
)
def test_a_choice_is_kept_by_what_is_offered(
    choice: ToolChoice | None, names: list[str] | None, lossy: tuple[str, ...]
) -> None:
    rendered = render(tools=TOOLS, tool_choice=choice)
    tools = msgspec.json.decode(rendered.body).get("tools")
    assert (tools and [tool["function"]["name"] for tool in tools]) == names
    assert rendered.lossy == lossy


def test_what_cannot_be_carried_over_is_named_once() -> None:
    assert render(tools=TOOLS, parallel_tools=False, dropped=("logit_bias", "logit_bias")).lossy == (
        "logit_bias",
        "parallel_tool_calls",
    )


def test_more_than_one_answer_is_refused() -> None:
    with pytest.raises(BadRequest, match="n must be 1"):
        render(n=2)


def test_text_is_joined_and_images_are_bare() -> None:
    parts = (Text("a"), Image("image/png", "QUJD"), Text("b"))
    assert sent(Message("user", parts))["messages"] == [{"role": "user", "content": "a\n\nb", "images": ["QUJD"]}]


def test_an_assistants_text_is_joined_without_a_gap() -> None:
    parts = (Thinking("t"), Text("a"), Thinking("u", signature="s"), Text("b"))
    assert sent(Message("assistant", parts))["messages"] == [{"role": "assistant", "content": "ab", "thinking": "tu"}]


@pytest.mark.parametrize(
    ("part", "capabilities", "words"),
    [
        (Image(url="https://example.com/a.png"), Capabilities(), "not by URL"),
        (Image("image/png", "QUJD"), Capabilities(vision=False), "takes no images"),
        (Document(data="JVBERi0="), Capabilities(), "no documents but plain text"),
    ],
)
def test_what_ollama_cannot_see_is_refused_in_words(part: Any, capabilities: Capabilities, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        render(Message("user", (part,)), target=Target("up", capabilities))


def test_a_text_document_is_text() -> None:
    parts = (Document("text/plain", text="D", title="T"), Text("?"))
    assert sent(Message("user", parts))["messages"][0]["content"] == "T\n\nD\n\n?"


def test_results_become_messages_with_the_name_of_their_call() -> None:
    messages = sent(
        Message("assistant", (ToolCall("x", "f", '{"a": 1}'), ToolCall("y", "g", ""))),
        Message("user", (Text("now"), ToolResult("x", (Text("1"), Text("2"))), ToolResult("y", ()))),
    )["messages"]
    assert messages == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "x", "function": {"name": "f", "arguments": {"a": 1}}},
                {"id": "y", "function": {"name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "1\n2", "tool_name": "f", "tool_call_id": "x"},
        {"role": "tool", "content": "", "tool_name": "g", "tool_call_id": "y"},
        {"role": "user", "content": "now"},
    ]


def test_results_come_in_the_order_of_their_calls() -> None:
    """Models know them by nothing else."""

    def calls(*ids: str) -> Message:
        return Message("assistant", tuple(ToolCall(id, "f", "{}") for id in ids))

    def results(*ids: str) -> Message:
        return Message("user", tuple(ToolResult(id, (Text(id),)) for id in ids))

    told = sent(calls("x", "y"), results("?", "y"), results("x"), calls("x", "z"), results("z", "x"))["messages"]
    assert "".join(turn["content"] or "-" for turn in told) == "-?xy-xz"


def test_an_image_in_a_result_stays_with_it() -> None:
    result = ToolResult("x", (Text("r"), Image("image/png", "QUJD")), "f", is_error=True)
    rendered = render(Message("user", (result,)))
    assert msgspec.json.decode(rendered.body)["messages"] == [
        {"role": "tool", "content": "r", "images": ["QUJD"], "tool_name": "f", "tool_call_id": "x"}
    ]
    assert rendered.lossy == ("is_error",)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("null", {}),
        ('{"a":\n1}', {"a": 1}),
        ("[1]", {"_raw": "[1]"}),
        ('{"a":', {"_raw": '{"a":'}),
        ('{"a":1} x', {"_raw": '{"a":1} x'}),
    ],
)
def test_arguments_are_always_an_object(text: str, arguments: dict[str, Any]) -> None:
    message = sent(Message("assistant", (ToolCall("x", "f", text),)))["messages"][0]
    assert message["tool_calls"][0]["function"]["arguments"] == arguments
