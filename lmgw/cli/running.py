"""``lmgw status``, ``reload``, ``explain``, ``traffic``: what a running gateway says on its admin port."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from twisted.python import usage

from lmgw.cli.asking import AdminCommand, Unanswered
from lmgw.cli.command import AS_JSON, complain

#: The admin port says something at least every 15 s.
_QUIET_S = 60.0


class Status(AdminCommand):
    """``lmgw status``: how it stands, and what is missing."""

    longdesc = "Ask a running gateway how it stands. Exit code 0: it is ready; 1: it is not, or does not answer."
    optFlags = [AS_JSON]
    examples = """
Examples:
  lmgw status
  lmgw status --json --url http://127.0.0.1:8081
  LMG_ADMIN_TOKEN=... lmgw status       with a token, which never stands on the command line
"""

    def run(self) -> int:
        try:
            health = self.ask("GET", "/admin/health")
        except Unanswered as error:
            return complain(str(error))
        ready = bool(health.get("ready"))
        if self["json"]:
            print(json.dumps(health, ensure_ascii=False))
        else:
            print("\n".join(_standing(health)))
        return 0 if ready else 1


def _standing(health: Mapping[str, Any]) -> Iterator[str]:
    config = health.get("config") or {}
    state = "ready" if health.get("ready") else f"not ready: {', '.join(health.get('missing', ()))} not set"
    yield f"lmgw {health.get('version')}, up {health.get('uptime_secs')} s, {health.get('status')}, {state}"
    yield f"configuration {config.get('hash')} from {config.get('path')}"
    for warning in health.get("warnings", ()):
        yield f"warning: {warning}"
    for trouble in health.get("troubles", ()):
        yield f"trouble: {trouble.get('sentence')}"
    last = health.get("last_reload")
    if last:
        yield f"{last.get('at')} {last.get('summary')}"
        yield from (f"problem: {problem}" for problem in last.get("problems", ()))


class Reload(AdminCommand):
    """``lmgw reload``: the files again, all or nothing."""

    longdesc = "Let a running gateway read its configuration again, as SIGHUP does. Exit code 1: nothing changed."
    optFlags = [AS_JSON]
    examples = """
Examples:
  lmgw check && lmgw reload
"""

    def run(self) -> int:
        try:
            result = self.ask("POST", "/admin/reload", {})
        except Unanswered as error:
            result = error.body if isinstance(error.body, dict) else {}
            if "problems" not in result:
                return complain(str(error))
        if self["json"]:
            print(json.dumps(result, ensure_ascii=False))
        elif result.get("problems"):
            complain("\n".join([result.get("summary", ""), *result["problems"]]))
        else:
            print(result.get("summary", "reloaded"))
        return 1 if result.get("problems") else 0


class Explain(AdminCommand):
    """``lmgw explain``: where a request would go, and why."""

    longdesc = "Say what would become of a request, without a model being called."
    optParameters = [
        ["model", "m", "default", "the model that the request names: a tier, an alias, a profile"],
        ["profile", "p", None, "as if the caller had this profile"],
        ["client", None, None, "as if this client had asked"],
        ["label", "l", None, "as if the classifier had answered this"],
        ["request", "r", None, "file with a whole request (Chat Completions) instead of a text; - is standard input"],
    ]
    optFlags = [["expert", None, "as if X-LMG-Expert: true had been sent"], AS_JSON]
    examples = """
Examples:
  lmgw explain "What is the capital of France?"
  lmgw explain --model hint:capable --label complex "Prove it"
  lmgw explain --request request.json --json
"""

    def getSynopsis(self) -> str:
        return super().getSynopsis() + " [TEXT]"

    def parseArgs(self, *words: str) -> None:
        self.text = " ".join(words) or "Hello"

    def run(self) -> int:
        given = {name: self[name] for name in ("profile", "client", "label") if self[name]}
        if self["expert"]:
            given["expert"] = "true"
        try:
            plan = self.ask("POST", f"/admin/explain{'?' if given else ''}{urlencode(given)}", self._request())
        except Unanswered as error:
            return complain(str(error))
        print(json.dumps(plan, ensure_ascii=False) if self["json"] else "\n".join(_plan(plan)))
        return 1 if plan.get("error") else 0

    def _request(self) -> Any:
        if self["request"] is None:
            return {"model": self["model"], "messages": [{"role": "user", "content": self.text}]}
        try:
            with open(0 if self["request"] == "-" else self["request"], "rb") as file:
                return json.load(file)
        except (OSError, ValueError) as error:
            raise usage.UsageError(f"--request: {getattr(error, 'strerror', None) or 'not JSON'}") from None


def _plan(plan: Mapping[str, Any]) -> Iterator[str]:
    yield f"profile {' > '.join(plan.get('profiles', ()))}, mode {plan.get('mode')}, label {plan.get('label') or '-'}"
    if plan.get("fallback"):
        yield "no model of this name is here: the profile decides"
    if plan.get("question"):
        yield f"asks {plan['question'].get('tier')} to classify"
    if plan.get("order"):
        yield f"tries {', '.join(plan['order'])}"
    if plan.get("held"):
        yield f"judges the answers of {', '.join(plan['held'])}"
    if plan.get("reply") is not None:
        yield f"answers: {plan['reply']}"
    for reason in plan.get("reasons", ()):
        yield f"  {reason.get('tier')} {'chosen' if reason.get('chosen') else 'skipped'}: {reason.get('why')}"
    if plan.get("error"):
        yield f"fails: {plan['error'].get('status')} {plan['error'].get('message')}"


def count(text: str) -> int:
    """Return what ``--limit`` says. Raises ``UsageError``."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise usage.UsageError("--limit is a whole number above 0")
    return int(text)


class Traffic(AdminCommand):
    """``lmgw traffic``: the last requests, and those that come."""

    longdesc = "Show the last requests, oldest first: one a line, never what was said."
    optParameters = [["limit", "n", 20, "how many", count]]
    optFlags = [["follow", "f", "go on with those that end from now on, until Ctrl-C"], AS_JSON]
    examples = """
Examples:
  lmgw traffic -n 5
  lmgw traffic --follow
  lmgw traffic --follow --json | jq 'select(.success | not)'
"""

    def run(self) -> int:
        try:
            for entry in reversed(self.ask("GET", f"/admin/traffic?limit={self['limit']}")["entries"]):
                self._show(entry)
            if self["follow"]:
                self._follow()
                return complain("the gateway ended the connection")
        except Unanswered as error:
            return complain(str(error))
        except KeyboardInterrupt:
            return 0
        return 0

    def _follow(self) -> None:
        """Show what comes until the gateway ends it."""
        with self.open("GET", "/admin/events", timeout=max(_QUIET_S, self["timeout"])) as answer:
            for kind, data in events(answer):
                if kind == "entry":
                    self._show(json.loads(data))
                elif kind == "missed":
                    complain(f"{json.loads(data).get('count')} were left out: too many at once")

    def _show(self, entry: Mapping[str, Any]) -> None:
        print(json.dumps(entry, ensure_ascii=False) if self["json"] else line(entry), flush=True)


def events(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield name and data of each server-sent event (one ``data`` line each, as the admin port writes them)."""
    kind = ""
    for raw in lines:
        text = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        if name == "event":
            kind = value.strip()
        elif name == "data":
            yield kind, value.strip()
            kind = ""


def line(entry: Mapping[str, Any]) -> str:
    """Return one request in a line."""
    at = datetime.fromtimestamp(entry.get("timestamp", 0)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    tokens = entry.get("tokens") or {}
    parts = [
        at,
        str(entry.get("status")),
        f"{entry.get('latency_ms', 0):.0f} ms",
        entry.get("client") or "-",
        entry.get("profile") or "-",
        f"{entry.get('tier') or '-'} ({entry.get('model') or '-'})",
        f"{tokens.get('input', 0)}+{tokens.get('output', 0)} tokens",
        str(entry.get("id")),
    ]
    return "  ".join(parts + ([entry["error"]] if entry.get("error") else []))
