"""Requests of the Responses API, read: what each field and each item means, and what is refused in words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from lmgw.errors import BadRequest
from lmgw.wire.events import (
    Document,
    Image,
    JsonFormat,
    Message,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from lmgw.wire.responses_request import parse_request

PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def read(**body: Any) -> Request:
    return parse_request({"model": "m", "input": "hi", **body})


def turns(*items: Any) -> tuple[Message, ...]:
    return read(input=list(items)).messages


def user(*parts: Part) -> Message:
    return Message("user", parts)


def said(*parts: Part) -> Message:
    return Message("assistant", parts)


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limit": ({"max_output_tokens": 9}, {"max_tokens": 9}),
    "sampling": ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
    "effort": ({"reasoning": {"effort": "low"}}, {"reasoning": Reasoning(effort="low")}),
    "no effort": ({"reasoning": {"effort": "none"}}, {"reasoning": Reasoning(enabled=False, effort="none")}),
    "a summary alone asks for no reasoning": ({"reasoning": {"summary": "auto"}}, {}),
    "one call at a time": ({"parallel_tool_calls": False}, {"parallel_tools": False}),
    "user": ({"user": "u"}, {"user": "u"}),
    "safety identifier": ({"user": "u", "safety_identifier": "s"}, {"user": "s"}),
    "stream": ({"stream": True, "stream_options": {"include_obfuscation": False}}, {"stream": True}),
    "text": ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}),
    "any JSON": ({"text": {"format": {"type": "json_object"}}}, {"format": JsonFormat()}),
    "schema": (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
        {"format": JsonFormat(SCHEMA, "n", True)},
    ),
    "choice": ({"tool_choice": "required"}, {"tool_choice": ToolChoice("required")}),
    "named": ({"tool_choice": {"type": "function", "name": "f"}}, {"tool_choice": ToolChoice("named", ("f",))}),
    "allowed": (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}},
        {"tool_choice": ToolChoice("auto", ("f",))},
    ),
    "what is nobody's loss": (
        {
            "store": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "k",
            "client_metadata": {"x-codex-window-id": "w"},
            "service_tier": "auto",
            "truncation": "disabled",
            "metadata": {"a": "b"},
            "previous_response_id": None,
            "background": False,
        },
        {},
    ),
    "what is lost": (
        {"max_tool_calls": 3, "text": {"verbosity": "low"}, "top_logprobs": 2, "new_field": {"a": 1}},
        {"dropped": ("top_logprobs", "new_field", "text.verbosity", "max_tool_calls")},
    ),
}


@pytest.mark.parametrize(("body", "expected"), FIELDS.values(), ids=FIELDS)
def test_what_a_field_means(body: dict[str, Any], expected: dict[str, Any]) -> None:
    plain = Request("m", (user(Text("hi")),), include_usage=True)
    assert msgspec.structs.replace(read(**body), echo=None) == msgspec.structs.replace(plain, **expected)


def test_instructions_lead() -> None:
    found = read(instructions="Be brief.", input=[{"role": "developer", "content": "Dev."}])
    assert found.messages == (Message("system", (Text("Be brief."),)), Message("system", (Text("Dev."),)))


def test_what_the_answer_repeats_is_kept_as_it_was_written() -> None:
    fields = {"tools": [{"type": "web_search"}], "metadata": {"a": "b"}, "instructions": "I", "top_p": 1.0}
    assert repeated(read(**fields, store=True, user=None, new_field=1)).items() >= fields.items()


def repeated(request: Request) -> dict[str, Any]:
    return json.loads(b"{%b}" % request.echo.fields)  # type: ignore[no-any-return]


def test_what_the_answer_could_not_repeat_is_refused() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(BadRequest, match="nested too deeply"):
        read(metadata=deep)


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}', "status": "x"}
ITEMS: dict[str, tuple[list[Any], list[Message]]] = {
    "a message needs no type": ([{"role": "user", "content": "a"}], [user(Text("a"))]),
    "an empty one is still a turn": ([{"role": "user", "content": ""}], [user()]),
    "parts": (
        [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
                    {"type": "input_image", "image_url": "https://h/a.png"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
                    {"type": "input_file", "file_url": "https://h/a.pdf"},
                ],
            }
        ],
        [
            user(
                Text("a"),
                Image("image/png", PNG, detail="low"),
                Image(url="https://h/a.png"),
                Document("application/pdf", "QUJD", title="a.pdf"),
                Document(url="https://h/a.pdf"),
            )
        ],
    ),
    "what the assistant did gathers in one turn": (
        [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "On it."}]},
            CALL,
            {**CALL, "call_id": "c2", "arguments": ""},
        ],
        [said(Thinking("hm"), Text("On it."), ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "f", ""))],
    ),
    "so do the results": (
        [
            CALL,
            {**CALL, "call_id": "c2"},
            {"type": "function_call_output", "call_id": "c1", "output": "4 C"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "20 C"}]},
            {"role": "user", "content": "And?"},
        ],
        [
            said(ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "f", '{"a": 1}')),
            user(ToolResult("c1", (Text("4 C"),)), ToolResult("c2", (Text("20 C"),))),
            user(Text("And?")),
        ],
    ),
    "a call after its sister's result is another turn": (
        [CALL, {"type": "function_call_output", "call_id": "c1", "output": ""}, {**CALL, "call_id": "c2"}],
        [said(ToolCall("c1", "f", '{"a": 1}')), user(ToolResult("c1", ())), said(ToolCall("c2", "f", '{"a": 1}'))],
    ),
    "a second text is a turn of its own": (
        [
            {"role": "assistant", "content": "a"},
            {"type": "reasoning", "summary": []},
            {"role": "assistant", "content": "b"},
        ],
        [said(Text("a")), said(Thinking(), Text("b"))],
    ),
    "but not behind a call, whose result must follow": (
        [{"role": "assistant", "content": "a"}, CALL, {"role": "assistant", "content": "b"}],
        [said(Text("a"), ToolCall("c1", "f", '{"a": 1}'), Text("b"))],
    ),
    "a refusal is text": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [said(Text("No."))],
    ),
    "the gateway's own seal": (
        [
            {"type": "reasoning", "summary": [{"text": "hm"}], "encrypted_content": "lmgw:signature:sig"},
            {"type": "reasoning", "summary": [], "encrypted_content": "lmgw:redacted:data"},
            {"type": "reasoning", "summary": [{"text": "so"}], "encrypted_content": "lmgw:signature:"},
        ],
        [said(Thinking("hm", "sig"), Thinking(redacted="data"), Thinking("so"))],
    ),
    "what OpenAI encrypted is nobody else's": (
        [{"type": "reasoning", "summary": [], "content": [{"text": "raw"}], "encrypted_content": "gAAA"}],
        [said(Thinking("raw"))],
    ),
    "a custom tool's call and result": (
        [
            {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": 'a "b"'},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        ],
        [said(ToolCall("c1", "patch", '{"input":"a \\"b\\""}')), user(ToolResult("c1", (Text("done"),)))],
    ),
    "a call in a namespace": ([{**CALL, "namespace": "n"}], [said(ToolCall("c1", "n__f", '{"a": 1}'))]),
}


@pytest.mark.parametrize(("items", "expected"), ITEMS.values(), ids=ITEMS)
def test_what_items_come_to(items: list[Any], expected: list[Message]) -> None:
    assert list(turns(*items)) == expected


def test_traces_of_foreign_tools_are_left_out_and_named() -> None:
    found = read(input=[{"type": "web_search_call", "id": "ws_1"}, {"role": "user", "content": "a"}])
    assert (found.messages, found.dropped) == ((user(Text("a")),), ("input.web_search_call",))


TOOLS = [
    {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False},
    {"type": "namespace", "name": "n", "description": "x", "tools": [{"type": "function", "name": "g"}]},
    {"type": "web_search", "external_web_access": False},
    {"type": "local_shell"},
    {"type": "custom", "name": "patch", "description": "Patches."},
    {"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}},
]


def test_tools_of_any_type_are_taken_and_what_cannot_be_offered_is_named() -> None:
    found = read(tools=TOOLS)
    function, inner, patch, sql = found.tools
    assert function == Tool("f", "d", SCHEMA, False)
    assert inner == Tool("n__g")
    assert (patch.name, patch.description) == ("patch", "Patches.")
    assert patch.parameters is not None
    assert (list(patch.parameters["properties"]), patch.parameters["required"]) == (["input"], ["input"])
    assert sql.description == "The input must fit this lark grammar:\nstart: WORD"
    assert found.dropped == ("tools.web_search", "tools.local_shell", "tools.format")


def test_tools_that_are_offered_later_count_and_the_last_of_a_name_holds() -> None:
    later = {"type": "additional_tools", "role": "developer", "tools": [{**TOOLS[0], "description": "new"}, TOOLS[1]]}
    found = read(tools=TOOLS[:1], input=[later, {"role": "user", "content": "a"}])
    assert found.messages == (user(Text("a")),)
    assert [(tool.name, tool.description) for tool in found.tools] == [("f", "new"), ("n__g", None)]
    assert repeated(found)["tools"] == [TOOLS[0], *later["tools"]]
    assert found.dropped == ()


def test_a_choice_of_what_is_left_out_is_left_to_the_model() -> None:
    found = read(tools=TOOLS, tool_choice={"type": "web_search"})
    assert (found.tool_choice, found.dropped[-1]) == (None, "tool_choice")
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "web_search"}, {"type": "custom", "name": "sql"}],
    }
    assert read(tools=TOOLS, tool_choice=allowed).tool_choice == ToolChoice("required", ("sql",))
    nothing = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    assert read(tools=TOOLS, tool_choice=nothing).tool_choice == ToolChoice("none")
    named = {"type": "function", "name": "g", "namespace": "n"}
    assert read(tools=TOOLS, tool_choice=named).tool_choice == ToolChoice("named", ("n__g",))


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "an earlier answer": ({"previous_response_id": "resp_1"}, "previous_response_id", "send the earlier items"),
    "a conversation": ({"conversation": {"id": "c"}}, "conversation", "send the items"),
    "the background": ({"background": True}, "background", "nothing is stored"),
    "a template": ({"prompt": {"id": "p"}}, "prompt", "send its text"),
    "a reference": ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", "send the item itself"),
    "a bare reference": ({"input": [{"id": "msg_1"}]}, "input[0]", "send the item itself"),
    "a compaction": ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]", "only the provider"),
    "no input": ({"input": None}, "input", "missing"),
    "empty input": ({"input": []}, "input", "empty"),
    "input of another kind": ({"input": 5}, "input", "a string or an array"),
    "an item of another kind": ({"input": ["a"]}, "input[0]", "an object"),
    "a role": ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role", "user, system"),
    "a part": ({"input": [{"role": "user", "content": [5]}]}, "input[0].content[0]", "an object"),
    "a type of part": (
        {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "input[0].content[0].type",
        "input_audio",
    ),
    "an uploaded image": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]},
        "input[0].content[0].image_url",
        "send the image itself",
    ),
    "an uploaded file": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]},
        "input[0].content[0].file_data",
        "send the file itself",
    ),
    "a call without its id": ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id", "missing"),
    "a result without its id": ({"input": [{"type": "function_call_output"}]}, "input[0].call_id", "missing"),
    "a tool without a name": ({"tools": [{"type": "function"}]}, "tools[0].name", "missing"),
    "a tool without a type": ({"tools": [{"name": "f"}]}, "tools[0].type", "missing"),
    "a tool of a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]},
        "tools[0].tools[0].name",
        "missing",
    ),
    "a tool that is offered later": (
        {"input": [{"type": "additional_tools", "tools": [{"type": "function"}]}]},
        "input[0].tools[0].name",
        "missing",
    ),
    "tools of another kind": ({"tools": ["f"]}, "tools[0]", "an object"),
    "a choice": ({"tool_choice": "any"}, "tool_choice", '"required"'),
    "a format": ({"text": {"format": {"type": "xml"}}}, "text.format.type", "json_schema"),
    "an effort": ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "one of none"),
    "a number": ({"max_output_tokens": "9"}, "max_output_tokens", "an integer"),
    "instructions": ({"instructions": ["a"]}, "instructions", "a string"),
}


@pytest.mark.parametrize(("body", "param", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_in_words(body: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**body)
    assert caught.value.param == param
    assert words in caught.value.message
    assert param in caught.value.message


def test_the_pieces_of_a_summary_are_paragraphs() -> None:
    summary = [{"type": "summary_text", "text": text} for text in ("**One**", "**Two**")]
    assert turns({"type": "reasoning", "summary": summary}) == (
        Message("assistant", (Thinking("**One**\n\n**Two**"),)),
    )


def test_reading_a_long_turn_takes_time_in_proportion() -> None:
    items = [{"type": "function_call", "call_id": f"c{at}", "name": "f", "arguments": "{}"} for at in range(20_000)]
    (turn,) = turns(*items)
    assert len(turn.parts) == len(items)
