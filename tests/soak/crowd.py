"""The soak's clients: some behave, some vanish, stall, flood, dribble or talk nonsense; each knows what it may see."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from faults import BROKEN, FAULTS, Fault
from provider import words
from talk import DIALECTS, Answer, Dialect, Line

#: Tiers that need not exist after a reload are not among these.
TIERS = ("oa", "an", "ol", "gpu", "capped")
#: Faults that hold a slot of the one narrow queue for long would say more about its length than about the gateway.
SLOW = ("silence", "silence_amid")
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"
BROKEN_OFF = (OSError, EOFError)


@dataclass(frozen=True)
class Limits:
    """What the configuration says, as far as clients must know it; seconds."""

    write_s: float
    head_s: float


@dataclass
class Tally:
    """What was seen.

    :ivar seen: how often which outcome.
    :ivar faults: how often a provider was asked for which fault.
    :ivar unexplained: what no fault explains, in words.
    """

    seen: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    slowest_health_s: float = 0.0

    def wrong(self, words: str) -> None:
        """Note what should not have happened."""
        self.unexplained.append(words)


class Crowd:
    """Everybody who talks to one gateway, at random but for the seed."""

    def __init__(self, port: int, limits: Limits, tally: Tally, seed: int) -> None:
        self.tally = tally
        self._port = port
        self._limits = limits
        self._dice = random.Random(seed)
        self._count = 0
        self._over = False
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Let them in."""
        kinds: list[tuple[int, Callable[[], Coroutine[Any, Any, None]]]] = [
            (24, self.regular),
            (4, self.vanishing),
            (2, self.stalling),
            (1, self.stalling_for_good),
            (1, self.flooding),
            (2, self.dribbling),
            (2, self.idling),
            (2, self.confused),
            (2, self.pipelining),
            (2, self.unknown),
            (2, self.plain),
            (1, self.probing),
        ]
        for many, behave in kinds:
            for _ in range(many):
                self._running.add(asyncio.get_running_loop().create_task(self._keep_at_it(behave)))

    async def stop(self) -> None:
        """Let everybody finish what they are at."""
        self._over = True
        await asyncio.gather(*self._running)

    async def _keep_at_it(self, behave: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self._over:
            try:
                await asyncio.wait_for(behave(), 60)
            except TimeoutError:
                self.tally.wrong(f"{behave.__name__}: nothing happened for a minute")
            except BROKEN_OFF as error:
                self.tally.wrong(f"{behave.__name__}: {type(error).__name__}: {error}")
            await asyncio.sleep(self._dice.expovariate(1 / 0.15))

    # --- asking and judging ------------------------------------------------------------------------------------------

    def _words(self, fault: str, pieces: int, pace_ms: int = 0, pad: int = 0) -> tuple[str, str]:
        """Return a name that no other request has, and the words that tell the provider what to do with it."""
        self._count += 1
        name = f"r{self._count}"
        return name, f"Do tell. soak {name} fault={fault} pieces={pieces} pace={pace_ms} pad={pad}. Thanks."

    def _fault(self, tier: str) -> str:
        if self._dice.random() < 0.6:
            return "none"
        fault = self._dice.choice([name for name in FAULTS if not (tier == "gpu" and name in SLOW)])
        self.tally.faults[fault] += 1
        return fault

    def _headers(self) -> dict[str, str]:
        key = self._dice.choice(["one", "two", "vip"])
        headers = {"Authorization": f"Bearer key-{key}"}
        if self._dice.random() < 0.3:
            headers["X-LMG-Priority"] = str(self._dice.randint(-5, 9))
        if self._dice.random() < 0.3:
            headers["X-Forwarded-User"] = f"user{self._dice.randint(0, 9)}"
        return headers

    async def regular(self) -> None:
        """Ask some questions on one connection, as SDKs do."""
        line = await Line.open(self._port)
        for _ in range(self._dice.randint(1, 6)):
            tier = self._dice.choice(TIERS)
            caller = self._dice.choice(["chat", "chat", "messages", "ollama", "generate", "responses", "completions"])
            if caller == "completions" and tier == "an":
                caller = "chat"
            if not await self._ask(line, caller, tier, self._fault(tier), self._headers()):
                break
            if self._dice.random() < 0.2:
                await asyncio.sleep(self._dice.random())
        line.drop()

    async def _ask(self, line: Line, caller: str, tier: str, fault: str, headers: dict[str, str]) -> bool:
        """Ask one question and judge the answer; returns whether the connection can be used again."""
        pieces = 200 if fault == "large" else self._dice.randint(1, 12)
        pace_ms = self._dice.choice([0, 0, 5, 40])
        name, asked = self._words(fault, pieces, pace_ms, 4000 if fault == "large" else 0)
        stream = self._dice.random() < 0.6
        dialect = DIALECTS[caller]
        await line.send(dialect.request(tier, asked, stream=stream, headers=headers))
        answer = await line.read()
        what = f"{caller} {tier} {fault} {'streamed' if stream else 'whole'}"
        text = "".join(words(name, pieces, 4000 if fault == "large" else 0))
        self.tally.seen[self._judge(dialect, answer, FAULTS[fault], text, what, stream)] += 1
        return answer.complete and answer.headers.get("connection") != "close"

    def _judge(self, dialect: Dialect, answer: Answer, fault: Fault, text: str, what: str, stream: bool) -> str:
        """Return what it was, in a word or two; note it where nothing explains it."""
        allowed = fault.streamed if stream else fault.whole
        if answer.status == 200:
            problem = self._wrong_with(dialect, answer, allowed, text)
            if problem:
                self.tally.wrong(f"{what}: {problem}: {answer.body[-300:]!r} {answer.headers}")
            return "200" if answer.complete else "200 broken off"
        limit = limited(answer)
        if limit:
            return limit
        if answer.status not in allowed or not answer.complete or not answer.message:
            self.tally.wrong(f"{what}: {answer.status} {answer.message}")
        return str(answer.status)

    def _wrong_with(self, dialect: Dialect, answer: Answer, allowed: frozenset[int], text: str) -> str:
        try:
            shown, ended, failed = dialect.shown(answer)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return f"cannot be read: {type(error).__name__} {error}"
        if 200 in allowed:
            good = answer.complete and ended and not failed and shown == text
            return "" if good else f"not whole: complete={answer.complete} ended={ended} failed={failed}"
        # A stream that was begun early, after a silence, says that it failed as one that breaks off amid does. The
        # Responses API ends such a stream validly: its last event says that it failed.
        cut = dialect is DIALECTS["responses"] or not answer.complete
        begun = (shown != "") if BROKEN in allowed else (shown == "" and answer.streamed)
        if cut and failed and not ended and begun and text.startswith(shown):
            return ""
        return f"not as it should fail: complete={answer.complete} ended={ended} failed={failed}"

    # --- clients that do not behave ----------------------------------------------------------------------------------

    async def vanishing(self) -> None:
        """Leave at any moment: in the request, while it waits, in the answer."""
        line = await Line.open(self._port)
        tier = self._dice.choice(TIERS)
        _, asked = self._words(self._fault(tier), 30, 50)
        data = self._dice.choice(list(DIALECTS.values())).request(tier, asked, stream=True, headers=self._headers())
        if self._dice.random() < 0.3:
            data = data[: self._dice.randrange(len(data))]
        await line.send(data)
        await asyncio.sleep(self._dice.choice([0, 0.01, 0.1, 0.5, 1.0]))
        line.drop()
        self.tally.seen["left"] += 1

    async def stalling(self) -> None:
        """Stop reading for a while; the answer must be whole all the same."""
        await self._stall("oa", self._limits.write_s / 3)

    async def stalling_for_good(self) -> None:
        """Stop reading for longer than allowed."""
        await self._stall("oa", self._limits.write_s * 3)

    async def _stall(self, tier: str, seconds: float) -> None:
        line = await Line.open(self._port, buffer=65536)
        name, asked = self._words("none", 1500, 0, 8000)
        await line.send(DIALECTS["chat"].request(tier, asked, stream=True, headers=self._headers()))
        answer = await line.head()
        if answer.status != 200:
            self.tally.seen[limited(answer) or f"stalling {answer.status}"] += 1
            if not limited(answer):
                self.tally.wrong(f"stalling: {answer.status}")
            line.drop()
            return
        await asyncio.sleep(seconds)
        with suppress(*BROKEN_OFF):
            await line.read_body(answer)
        line.drop()
        shown, ended, _ = DIALECTS["chat"].shown(answer)
        whole = answer.complete and ended and shown == "".join(words(name, 1500, 8000))
        patient = seconds < self._limits.write_s
        self.tally.seen[f"stalled, {'whole' if whole else 'cut'}"] += 1
        if whole != patient:
            self.tally.wrong(f"a reader that stopped for {seconds} s: whole={whole}")

    async def flooding(self) -> None:
        """Ask for everything at once, now and then."""
        await asyncio.sleep(self._dice.uniform(1, 4))
        lines = await asyncio.gather(*(Line.open(self._port) for _ in range(60)))
        headers = {"Authorization": "Bearer key-flood"}
        await asyncio.gather(*(self._ask(line, "chat", "gpu", "none", headers) for line in lines))
        for line in lines:
            line.drop()

    async def dribbling(self) -> None:
        """Send a head, or a body, so slowly that it is cut."""
        line = await Line.open(self._port)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
        await line.send(head if self._dice.random() < 0.5 else head + b"Content-Length: 1000\r\n\r\n")
        reading = asyncio.create_task(line.read())
        while not reading.done():
            line.writer.write(b"x")
            await asyncio.wait([reading], timeout=self._limits.head_s / 5)
        answer = await reading
        self.tally.seen[f"dribbling {answer.status}"] += 1
        if answer.status not in (408, 503):
            self.tally.wrong(f"dribbling: {answer.status} {answer.message}")
        line.drop()

    async def idling(self) -> None:
        """Be connected, and say nothing, or nothing more."""
        line = await Line.open(self._port)
        if self._dice.random() < 0.5:
            await line.send(HEALTH)
            await line.read()
        await asyncio.sleep(self._dice.uniform(0, 8))
        line.drop()

    async def confused(self) -> None:
        """Send what is wrong in itself."""
        large = b"POST /v1/messages HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000
        good = {"Authorization": "Bearer key-one"}
        data, statuses = self._dice.choice(
            [
                (b"\x16\x03\x01\x00\x05hello\r\n\r\n", {400}),
                (b"GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", {404}),
                (b"DELETE /v1/messages HTTP/1.1\r\nHost: gateway\r\n\r\n", {405}),
                (large, {413}),
                (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n", {431}),
                (DIALECTS["chat"].request("nobody", "hi", stream=True, headers=good), {404}),
                (DIALECTS["chat"].request("an", "hi", stream=True, headers={}), {401}),
                (DIALECTS["ollama"].request("oa", "hi", stream=True, headers={"Authorization": "Bearer no"}), {401}),
                (DIALECTS["chat"].request("an", "hi", stream=False, headers={"x-api-key": "key-narrow"}), {403, 404}),
                (DIALECTS["chat"].request("oa", "hi", stream=False, headers=good)[:-20] + b"}" * 20, {400}),
                (b"POST /v1/messages HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
            ]
        )
        line = await Line.open(self._port)
        await line.send(data)
        answer = await line.read()
        self.tally.seen[f"confused {answer.status}"] += 1
        if answer.status not in statuses and not limited(answer):
            self.tally.wrong(f"confused {data[:60]!r}: {answer.status} {answer.message}")
        line.drop()

    async def pipelining(self) -> None:
        """Send three requests before reading the first answer."""
        line = await Line.open(self._port)
        headers = self._headers()
        named = [self._words("none", 3) for _ in range(3)]
        await line.send(
            b"".join(
                DIALECTS["chat"].request("oa", asked, stream=at == 1, headers=headers)
                for at, (_, asked) in enumerate(named)
            )
        )
        for at, (name, _) in enumerate(named):
            answer = await line.read()
            text = "".join(words(name, 3, 0))
            self.tally.seen[self._judge(DIALECTS["chat"], answer, FAULTS["none"], text, "pipelining", at == 1)] += 1
            if answer.headers.get("connection") == "close":
                break
        line.drop()

    async def unknown(self) -> None:
        """Use a key with a rate limit, an automatic profile, a tier that comes and goes, a provider that is away."""
        key, model, statuses = self._dice.choice(
            [
                ("limited", "oa", {200}),
                ("one", "climbing", {200}),
                ("one", "sorting", {200}),
                ("one", "sometimes", {200, 404}),
                ("one", "dead", {502, 503}),
                ("one", "dead-with-a-friend", {200}),
            ]
        )
        line = await Line.open(self._port)
        _, asked = self._words("none", 4, 5)
        caller = self._dice.choice(["chat", "messages", "ollama", "responses"])
        headers = {"Authorization": f"Bearer key-{key}"}
        await line.send(DIALECTS[caller].request(model, asked, stream=self._dice.random() < 0.5, headers=headers))
        answer = await line.read()
        scope = answer.headers.get("x-ratelimit-scope")
        self.tally.seen[f"{model} {key} {answer.status}"] += 1
        if answer.status not in statuses and not limited(answer) and not (key == "limited" and scope == "client"):
            self.tally.wrong(f"{model} with key-{key}: {answer.status} {answer.message}")
        line.drop()

    async def plain(self) -> None:
        """Ask for embeddings, token counts and lists."""
        headers = {"Authorization": "Bearer key-one"}
        _, asked = self._words("none", 1)
        embed = json.dumps({"model": "oa", "input": asked}).encode()
        count = json.dumps({"model": "an", "messages": [{"role": "user", "content": asked}]}).encode()
        path, body = self._dice.choice(
            [
                ("/v1/embeddings", embed),
                ("/api/embed", embed),
                ("/v1/messages/count_tokens", count),
                ("/v1/models", b""),
                ("/api/tags", b""),
                ("/status", b""),
            ]
        )
        lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        line = await Line.open(self._port)
        await line.send("\r\n".join([*lines, "", ""]).encode() + body)
        answer = await line.read()
        self.tally.seen[f"{path} {answer.status}"] += 1
        if answer.status != 200 and not limited(answer):
            self.tally.wrong(f"{path}: {answer.status} {answer.message}")
        line.drop()

    async def probing(self) -> None:
        """Ask for the health, as an orchestrator does; it is always there."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        line = await Line.open(self._port)
        await line.send(HEALTH)
        answer = await line.read()
        line.drop()
        self.tally.slowest_health_s = max(self.tally.slowest_health_s, loop.time() - began)
        if answer.status != 200:
            self.tally.wrong(f"/healthz: {answer.status}")


def limited(answer: Answer) -> str:
    """Return which of the gateway's own limits turned a request away, if one did and says when to come back."""
    if "retry-after" not in answer.headers:
        return ""
    if answer.status == 503 and ("more requests come than" in answer.message or not answer.body):
        return "503 overloaded"
    if answer.status == 429 and answer.headers.get("x-ratelimit-scope") == "queue":
        return "429 queue"
    return ""
