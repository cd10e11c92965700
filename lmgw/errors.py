"""What the gateway answers when it cannot answer: a status, words, and nothing of any dialect.

Each dialect in ``lmgw.wire`` renders a :class:`GatewayError` in its own shape. ``message`` is written for the
person who must act on it and never holds a key, a URL or a variable's name: those stand in the log and on the admin
side.
"""

from __future__ import annotations


class GatewayError(Exception):
    """An answer that is an error.

    :ivar status: the HTTP status for the caller.
    :ivar message: what happened and what to do, in a sentence or two.
    :ivar code: the machine-readable code where the caller's dialect has one (OpenAI's ``code``).
    :ivar type: the error type an upstream of the *same* dialect gave; ``None`` derives it from ``status``.
    :ivar param: the request field at fault.
    :ivar headers: extra response headers, lower-case names.
    """

    status = 500
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code
        self.type = type
        self.param = param
        self.headers = headers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.status}, {self.message!r})"


class BadRequest(GatewayError):
    """The caller's request is malformed or asks for what cannot be carried over."""

    status = 400


class ContextTooLong(BadRequest):
    """The prompt fits no tier that this request may use."""

    code = "context_length_exceeded"


class Unauthorized(GatewayError):
    """No key, or one that nobody here has."""

    status = 401
    code = "invalid_api_key"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers=(("www-authenticate", 'Bearer realm="lm-gateway"'),))


class Forbidden(GatewayError):
    """Known, but not allowed to do this."""

    status = 403


class NotFound(GatewayError):
    """No such route."""

    status = 404
    code = "unknown_url"


class UnknownModel(NotFound):
    """No tier, alias or profile of this name."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The route exists for other methods."""

    status = 405

    def __init__(self, message: str, allow: str) -> None:
        super().__init__(message, headers=(("allow", allow),))


class RequestTimeout(GatewayError):
    """The caller did not send its request in time."""

    status = 408


class RequestTooLarge(GatewayError):
    """The caller's body is larger than ``max_request_bytes``."""

    status = 413


class HeadTooLarge(GatewayError):
    """The caller's request line and headers are larger than the gateway reads."""

    status = 431


class RateLimited(GatewayError):
    """A limit of ours was reached; says when to come back.

    :ivar scope: whose limit: ``ip``, ``profile``, ``client`` or ``queue``.
    """

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_s: int, scope: str, limit: int | None = None) -> None:
        headers = [("retry-after", str(retry_after_s)), ("x-ratelimit-scope", scope)]
        if limit is not None:
            headers += [("x-ratelimit-limit", str(limit)), ("x-ratelimit-policy", f"{limit};w=60")]
        super().__init__(message, headers=tuple(headers))
        self.scope = scope


class UpstreamFailed(GatewayError):
    """A provider could not be reached, or answered in a way nobody can use."""

    status = 502


class KeyRefused(UpstreamFailed):
    """A provider refused the gateway's own key: never the caller's fault, and no retry helps."""

    def __init__(self, upstream_status: int) -> None:
        super().__init__(
            f"the provider refused the gateway's key (upstream {upstream_status}); retrying will not help",
            headers=(("x-should-retry", "false"),),
        )


class Unavailable(GatewayError):
    """Nothing here can take the request now."""

    status = 503


class Overloaded(Unavailable):
    """The gateway itself is full; says when to come back."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message, headers=(("retry-after", str(retry_after_s)),))


class UpstreamTimeout(GatewayError):
    """A provider, or the request as a whole, took too long."""

    status = 504


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` names every reason, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
