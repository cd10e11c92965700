"""The demo provider: OpenAI's dialect, a word at a time, and trouble on demand."""

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from upstream_rig import Reader, result, waiting

from lmgw.core.steps import Fault, FaultKind
from lmgw.upstream.demo import SLOW_S, THINKING_S, WORD_S, DemoExchange

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"enum": ["C", "F"]},
                "place": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
                "note": {"type": "string"},
            },
            "required": ["city", "days", "unit", "place"],
        },
    },
}


class DemoTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def ask(self, text: Any = "Hello there", path: str = "/chat/completions", **fields: Any) -> DemoExchange:
        request = {"model": "demo-small", "messages": [{"role": "user", "content": text}], **fields}
        return DemoExchange(self.clock, path, json.dumps(request).encode())

    def head(self, exchange: DemoExchange) -> Any:
        head = Deferred.fromCoroutine(exchange.head())
        self.clock.advance(THINKING_S)
        return result(head)

    def whole(self, *args: Any, **fields: Any) -> dict[str, Any]:
        exchange = self.ask(*args, **fields)
        self.head(exchange)
        return json.loads(result(Deferred.fromCoroutine(exchange.body(1 << 20))))

    def streamed(self, *args: Any, **fields: Any) -> tuple[DemoExchange, Reader]:
        exchange, reader = self.ask(*args, stream=True, **fields), Reader()
        self.assertEqual(self.head(exchange).get(b"content-type"), b"text/event-stream; charset=utf-8")
        exchange.relay(reader)
        return exchange, reader

    def frames(self, reader: Reader) -> list[dict[str, Any]]:
        data = [piece.removeprefix(b"data: ").strip() for piece in reader.body.split(b"\n\n") if piece]
        self.assertEqual(data.pop(), b"[DONE]")
        return [json.loads(piece) for piece in data]

    def test_a_whole_answer_speaks_of_the_question(self) -> None:
        answer = self.whole()
        self.assertEqual(answer["model"], "demo-small")
        (choice,) = answer["choices"]
        self.assertIn("Hello there", choice["message"]["content"])
        self.assertEqual(choice["finish_reason"], "stop")
        usage = answer["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])

    def test_a_stream_says_the_same_word_by_word(self) -> None:
        _, reader = self.streamed(stream_options={"include_usage": True})
        self.clock.pump([WORD_S] * 200)
        *frames, finish, usage = self.frames(reader)
        self.assertEqual(reader.ends, [None])
        text = "".join(frame["choices"][0]["delta"]["content"] for frame in frames)
        self.assertEqual(text, self.whole()["choices"][0]["message"]["content"])
        self.assertEqual(finish["choices"][0]["finish_reason"], "stop")
        self.assertEqual((usage["choices"], usage["usage"]), ([], self.whole()["usage"]))

    def test_about_twenty_words_come_in_a_second(self) -> None:
        _, reader = self.streamed()
        self.clock.pump([WORD_S] * 20)
        self.assertEqual(len(reader.pieces), 21)

    def test_usage_comes_only_if_asked_for(self) -> None:
        _, reader = self.streamed()
        self.clock.pump([WORD_S] * 200)
        self.assertFalse(any("usage" in frame for frame in self.frames(reader)))

    def test_slow_is_slow(self) -> None:
        _, reader = self.streamed("be slow please")
        self.clock.pump([SLOW_S / 4] * 8)
        self.assertEqual(len(reader.pieces), 3)

    def test_a_paused_reader_gets_nothing_and_misses_nothing(self) -> None:
        exchange, reader = self.streamed()
        exchange.pause()
        self.clock.pump([WORD_S] * 200)
        self.assertEqual(len(reader.pieces), 1)
        exchange.resume()
        self.clock.pump([WORD_S] * 200)
        self.assertEqual(reader.ends, [None])
        self.frames(reader)

    def test_abort_ends_it_without_a_word(self) -> None:
        exchange, reader = self.streamed()
        exchange.abort()
        exchange.resume()
        self.clock.pump([WORD_S] * 200)
        self.assertEqual((len(reader.pieces), reader.ends), (1, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abort_while_thinking_tells_the_one_who_waits(self) -> None:
        exchange = self.ask()
        head = Deferred.fromCoroutine(exchange.head())
        self.assertTrue(waiting(head))
        exchange.abort()
        self.assertIsInstance(result(head), Fault)

    def test_cancelling_leaves_nothing_behind(self) -> None:
        head = Deferred.fromCoroutine(self.ask().head())
        head.cancel()
        self.failureResultOf(head, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_tool_is_called_where_one_is_offered_and_asked_for(self) -> None:
        (choice,) = self.whole("please use the tool", tools=[TOOL])["choices"]
        self.assertEqual(choice["finish_reason"], "tool_calls")
        (call,) = choice["message"]["tool_calls"]
        arguments = {"city": "demo", "days": 1, "unit": "C", "place": {"x": 1.5}}
        self.assertEqual(call["function"]["name"], "get_weather")
        self.assertEqual(json.loads(call["function"]["arguments"]), arguments)
        self.assertEqual(self.whole("please use the tool")["choices"][0]["finish_reason"], "stop")
        self.assertEqual(self.whole("hello", tools=[TOOL])["choices"][0]["finish_reason"], "stop")

    def test_the_tool_is_called_in_a_stream(self) -> None:
        _, reader = self.streamed("please use the tool", tools=[TOOL])
        self.clock.pump([WORD_S] * 200)
        *frames, finish = self.frames(reader)
        calls = [frame["choices"][0]["delta"]["tool_calls"][0] for frame in frames[1:]]
        self.assertEqual((calls[0]["id"], calls[0]["function"]["name"]), ("call_demo", "get_weather"))
        self.assertIn("city", json.loads("".join(call["function"]["arguments"] for call in calls)))
        self.assertEqual(finish["choices"][0]["finish_reason"], "tool_calls")

    def test_a_limit_cuts_the_answer_and_says_so(self) -> None:
        answer = self.whole(max_tokens=3)
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        self.assertEqual(answer["usage"]["completion_tokens"], 3)

    def test_a_status_can_be_asked_for(self) -> None:
        exchange = self.ask("fail 503", stream=True)
        self.assertEqual(self.head(exchange).status, 503)
        body = json.loads(result(Deferred.fromCoroutine(exchange.body(1 << 20))))
        self.assertIn("503", body["error"]["message"])

    def test_faults_can_be_asked_for(self) -> None:
        self.assertEqual(self.head(self.ask("fail refused")).kind, FaultKind.CONNECT)
        self.assertEqual(self.head(self.ask("fail timeout")).kind, FaultKind.TIMEOUT)
        _, reader = self.streamed("fail break")
        self.clock.pump([WORD_S] * 200)
        self.assertEqual([end.kind for end in reader.ends if end], [FaultKind.CLOSED])
        whole = self.ask("fail break")
        self.assertEqual(self.head(whole).status, 200)
        self.assertEqual(result(Deferred.fromCoroutine(whole.body(9))).kind, FaultKind.CLOSED)

    def test_content_in_parts_is_read(self) -> None:
        content = [{"type": "text", "text": "in two"}, {"type": "image_url"}, {"type": "text", "text": "parts"}]
        self.assertIn("in two", self.whole(content)["choices"][0]["message"]["content"])

    def test_completions_have_text(self) -> None:
        answer = self.whole(path="/completions", messages=None, prompt="Once upon")
        self.assertIn("Once upon", answer["choices"][0]["text"])
        _, reader = self.streamed(path="/completions", messages=None, prompt="Once upon")
        self.clock.pump([WORD_S] * 200)
        text = "".join(frame["choices"][0]["text"] for frame in self.frames(reader))
        self.assertEqual(text, answer["choices"][0]["text"])

    def test_embeddings_depend_on_the_text_only(self) -> None:
        first, second, again = (
            entry["embedding"] for entry in self.whole(path="/embeddings", input=["a", "b", "a"])["data"]
        )
        self.assertEqual(first, again)
        self.assertNotEqual(first, second)

    def test_nonsense_gets_an_answer(self) -> None:
        for body in (b"", b"[]", b"{", b'{"messages": 3}', b'{"messages": [3], "tools": {}, "stream_options": null}'):
            exchange = DemoExchange(self.clock, "/chat/completions", body)
            self.assertEqual(self.head(exchange).status, 200)
