"""The Responses API of the ``openai`` package as a caller, see ``sdk_callers``."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import openai
from sdk_callers import CLIENT_KEY, MAX_TOKENS, Told


class ResponsesCaller:
    """``client.responses``; ``turn`` are an answer's output items, which all go back."""

    name = "responses"
    manners = ("create", "create_stream", "stream")
    finish = {"stop": "completed", "tool_calls": "completed"}

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=10)

    def close(self) -> None:
        self.client.close()

    def user(self, text: str, picture: bytes | None = None) -> list[Any]:
        if picture is None:
            return [{"role": "user", "content": text}]
        url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": url, "detail": "auto"}]
        return [{"role": "user", "content": parts}]

    def results(self, told: Told, texts: Iterable[str]) -> list[Any]:
        """Return the turn's calls answered; the turn itself comes before, item by item."""
        ids = [item["call_id"] for item in told.turn if item["type"] == "function_call"]
        pairs = zip(ids, texts, strict=True)
        return [{"type": "function_call_output", "call_id": id, "output": text} for id, text in pairs]

    def ask(
        self, manner: str, model: str, messages: list[Any], *, tools: Any = (), schema: Any = None, think: bool = False
    ) -> Told:
        options: dict[str, Any] = {"model": model, "input": messages, "max_output_tokens": MAX_TOKENS, "store": False}
        if tools:
            options["tools"] = [_tool(tool) for tool in tools]
        if think:
            options["reasoning"] = {"effort": "medium", "summary": "auto"}
            options["include"] = ["reasoning.encrypted_content"]
        responses = self.client.responses
        if manner == "stream":
            return self._stream(responses, options | ({"text_format": schema} if schema else {}))
        if manner == "create" and schema is not None:
            return _from_response(responses.parse(**options, text_format=schema))
        if schema is not None:
            wanted = {"type": "json_schema", "name": "weather", "schema": schema.model_json_schema(), "strict": True}
            options["text"] = {"format": wanted}
        if manner == "create_stream":
            return self._events(responses, options)
        return _from_response(responses.create(**options))

    def _stream(self, responses: Any, options: dict[str, Any]) -> Told:
        """Read with the SDK's helper, whose events must tell the same as its final response."""
        text, called = "", []
        with responses.stream(**options) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    text += event.delta
                    assert event.snapshot.endswith(event.delta)
                elif event.type == "response.function_call_arguments.done":
                    called.append((event.name, json.loads(event.arguments)))
            told = _from_response(stream.get_final_response())
        assert (text, called) == (told.text, told.calls)
        return told

    def _events(self, responses: Any, options: dict[str, Any]) -> Told:
        """Add the events up by hand; the last one repeats everything."""
        text, thought, items = "", "", []
        for number, event in enumerate(responses.create(**options, stream=True)):
            assert event.sequence_number == number
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.reasoning_summary_text.delta":
                thought += event.delta
            elif event.type == "response.output_item.done":
                items.append(event.item)
        told = _from_response(event.response)
        assert (text, thought, items) == (told.text, told.thought, event.response.output)
        return told


def _tool(tool: Any) -> dict[str, Any]:
    function = openai.pydantic_function_tool(tool)["function"]
    return {"type": "function", **function}


def _from_response(response: Any) -> Told:
    assert response.object == "response"
    assert response.id.startswith("resp_")
    assert response.error is None
    output, usage = response.output, response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    thoughts = [part.text for item in output if item.type == "reasoning" for part in item.summary]
    calls = [(item.name, json.loads(item.arguments)) for item in output if item.type == "function_call"]
    own = {"parsed_arguments": True, "content": {"__all__": {"parsed"}}}
    return Told(
        response.output_text,
        "".join(thoughts),
        calls,
        response.status,
        (usage.input_tokens, usage.output_tokens),
        [item.model_dump(exclude=own if item.type != "reasoning" else None, exclude_none=True) for item in output],
        getattr(response, "output_parsed", None),
    )
