"""What an HTTP status is called in each dialect's errors, and how an upstream's own error is read."""

from __future__ import annotations

import re

import msgspec

from lmgw.errors import GatewayError

#: Characters of an upstream's body that is no JSON which are shown to the caller.
EXCERPT = 200


class Names(msgspec.Struct, frozen=True):
    """How the dialects call one status: Anthropic's ``type``, OpenAI's ``type`` and ``code``."""

    anthropic: str
    openai: str
    openai_code: str | None = None


_BAD_REQUEST = Names("invalid_request_error", "invalid_request_error")
_SERVER = Names("api_error", "server_error")
_OVERLOADED = Names("overloaded_error", "overloaded_error")

NAMES = {
    400: _BAD_REQUEST,
    401: Names("authentication_error", "invalid_request_error", "invalid_api_key"),
    402: Names("billing_error", "insufficient_quota", "insufficient_quota"),
    403: Names("permission_error", "permission_error"),
    404: Names("not_found_error", "invalid_request_error", "model_not_found"),
    408: Names("timeout_error", "timeout_error"),
    409: Names("conflict_error", "conflict_error"),
    413: Names("request_too_large", "invalid_request_error"),
    422: _BAD_REQUEST,
    429: Names("rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
    500: _SERVER,
    502: _SERVER,
    503: _OVERLOADED,
    504: Names("timeout_error", "timeout_error"),
    529: _OVERLOADED,
}

#: The status of an error that comes without one (inside a 200 or a stream), by the word it carries.
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "insufficient_quota": 429,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "context_length_exceeded": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
    "timeout_error": 504,
}


def names(status: int) -> Names:
    """Return what ``status`` is called; one without an entry is the caller's fault below 500, the server's above."""
    return NAMES.get(status) or (_BAD_REQUEST if status < 500 else _SERVER)


def caller_status(status: int, dialect: str) -> int:
    """Return the status for a caller of ``dialect``: 529 is Anthropic's own and becomes 503 elsewhere."""
    return 503 if status == 529 and dialect != "anthropic" else status


def status_of(*words: object) -> int:
    """Return the status of an error inside a 200 by its ``code`` and ``type``; a number is a status; 502 if unknown."""
    for word in words:
        if isinstance(word, int) and 400 <= word <= 599:
            return word
        if isinstance(word, str):
            if word in _STATUS_OF:
                return _STATUS_OF[word]
            if len(word) == 3 and word.isdigit() and word[0] in "45":
                return int(word)
    return 502


def read_error(status: int, body: bytes) -> GatewayError:
    """Read an upstream's error body of any known shape; keeps status, words, type, code and param.

    OpenAI's and Anthropic's objects, a string under ``error`` (Ollama), ``{"detail": …}`` (FastAPI),
    ``{"object": "error", "message": …}`` (vLLM), text, HTML and nothing at all.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    error = error_in(found, status)
    return error if error is not None else GatewayError(_excerpt(status, body), status=status)


def error_in(found: object, status: int = 0) -> GatewayError | None:
    """Return the error that a decoded JSON value carries, ``None`` where it has no words for one.

    With ``status`` 0 (inside a 200) the error's own code or type says it, else it is 502.
    """
    if not isinstance(found, dict):
        return None
    inner = found.get("error")
    if isinstance(inner, dict):
        fields, message = inner, inner.get("message")
    elif isinstance(inner, str):
        fields, message = {**found, "type": None}, inner
    else:
        fields, message = found, found.get("message")
    if not isinstance(message, str) or not message:
        message = _detail(found.get("detail", fields.get("detail")))
    if not message:
        return None
    code, kind, param = fields.get("code"), fields.get("type"), fields.get("param")
    return GatewayError(
        message,
        status=status or status_of(code, kind),
        code=code if isinstance(code, str) else None,
        type=kind if isinstance(kind, str) else None,
        param=param if isinstance(param, str) else None,
    )


def _detail(detail: object) -> str:
    """FastAPI's ``detail``: a text, or a list of ``{"loc": […], "msg": …}``."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, list):
        return ""
    lines = []
    for entry in detail:
        if isinstance(entry, dict) and isinstance(entry.get("msg"), str):
            where = ".".join(str(step) for step in entry.get("loc") or () if step != "body")
            lines.append(f"{where}: {entry['msg']}" if where else entry["msg"])
    return "; ".join(lines)


def _excerpt(status: int, body: bytes) -> str:
    text = body[: EXCERPT * 20].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(style|script|head)\b.*?(</\1>|\Z)|<[^>]*>", " ", text)
    words = " ".join(text.split())
    if not words:
        return f"the provider answered {status} and gave no reason"
    return f"the provider answered {status}: {words[:EXCERPT]}{'…' if len(words) > EXCERPT else ''}"
