"""Asks a gateway that runs on this machine, over HTTP: no proxy, no redirects, a token only from the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import urlsplit

from twisted.python import usage

from lmgw.cli.command import Command, complain, config_path

#: Which variable holds the admin port's token where neither the command line nor the configuration names one.
TOKEN_VARIABLE = "LMG_ADMIN_TOKEN"  # noqa: S105 - a name


class Unanswered(Exception):
    """Nobody answered, or not with what was asked for; the words say which.

    :ivar body: what the answer held, if there was one.
    """

    def __init__(self, words: str, body: Any = None) -> None:
        super().__init__(words)
        self.body = body


def seconds(text: str) -> float:
    """Return what ``--timeout`` says. Raises ``UsageError``."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise usage.UsageError("--timeout is a number of seconds, above 0 and at most a day")
    return value


class AdminCommand(Command):
    """A command that asks the admin port."""

    optParameters = [
        ["url", "u", None, "the admin port (default: where the configuration of this machine puts it)"],
        ["token-env", None, None, "variable that holds its token (default: the configuration's, else LMG_ADMIN_TOKEN)"],
        ["timeout", "t", 10.0, "how long to wait for an answer, in seconds", seconds],
    ]

    @contextmanager
    def open(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Iterator[IO[bytes]]:
        """Ask; gives the answer, still to be read. Raises :class:`Unanswered`."""
        from urllib.request import Request

        gateway = own_gateway()
        url = self["url"] or own_url(gateway, "admin")
        data = None if body is None else json.dumps(body).encode()
        request = Request(checked(url).rstrip("/") + path, data, method=method)  # noqa: S310 - checked
        variable = self["token-env"] or gateway.admin_token_env or TOKEN_VARIABLE
        token = os.environ.get(variable)
        if token:
            request.add_header("Authorization", f"Bearer {token.strip()}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        with opened(request, timeout or self["timeout"], f"its token is read from ${variable}") as answer:
            yield answer

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask; return the JSON of the answer. Raises :class:`Unanswered`."""
        with self.open(method, path, body) as answer:
            try:
                return json.load(answer)
            except ValueError:
                raise Unanswered("the answer is not JSON: is this the admin port?") from None


def checked(url: str, option: str = "--url") -> str:
    """Return the URL if it is one of HTTP. Raises ``UsageError``, naming the option."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise usage.UsageError(f"{option} must be an address like http://127.0.0.1:8081")
    return url


@contextmanager
def opened(request: Any, timeout: float, hint: str = "") -> Iterator[IO[bytes]]:
    """Open a URL or request. Raises :class:`Unanswered` with the URL and the words of the answer."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

    class NoRedirects(HTTPRedirectHandler):
        """A token goes where it was meant to go, and nowhere else."""

        def redirect_request(self, *answer: Any) -> None:
            return None

    url = request if isinstance(request, str) else request.full_url
    try:
        # No proxy: $http_proxy is for the way out.
        with build_opener(ProxyHandler({}), NoRedirects).open(request, timeout=timeout) as answer:
            yield answer
    except HTTPError as error:
        with error:
            body = _json(error.read(1_000_000))
        words = f"{url}: {_message(body) or f'{error.code} {error.reason}'}"
        raise Unanswered(f"{words}\n{hint}" if error.code == 401 and hint else words, body) from None
    except BrokenPipeError:
        raise  # of whoever reads our output
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ConnectionRefusedError):
            raise Unanswered(f"{url}: connection refused: no gateway listens there") from None
        raise Unanswered(f"{url}: {getattr(reason, 'strerror', None) or reason}") from None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _message(body: Any) -> str | None:
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else None


def own_gateway() -> Any:
    """Return the settings of this machine's gateway; without a readable configuration, the defaults."""
    from lmgw.config.loader import load
    from lmgw.config.snapshot import Gateway
    from lmgw.errors import ConfigError

    path = config_path(None)
    try:
        return load(path, os.environ).gateway
    except ConfigError:
        if os.path.exists(path):
            complain(f"{path} does not load (lmgw check says why): looking for the gateway on its default ports")
        return Gateway()


def own_url(gateway: Any, side: str) -> str:
    """Return where a side (``client`` or ``admin``) of this machine's gateway answers. Raises ``UsageError``."""
    if getattr(gateway, f"{side}_endpoint"):
        raise usage.UsageError(f"{side}_endpoint is set: say where it answers with --url")
    host, port = getattr(gateway, f"{side}_host"), getattr(gateway, f"{side}_port")
    host = host if host not in ("", "*", "::", "0.0.0.0") else "127.0.0.1"  # noqa: S104 - compared, not listened on
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
