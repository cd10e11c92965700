"""What one value must be, kind by kind; nothing here repeats a value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from lmgw.config import addresses
from lmgw.config.keys import LARGEST, Key, Kind
from lmgw.config.leaks import TAKEN_OUT
from lmgw.config.merge import plain
from lmgw.config.refusal import Refused, expected
from lmgw.config.report import suggestion


def check(value: Any, key: Key) -> Any:
    """Return the value as the snapshot holds it. Raises :class:`~lmgw.config.refusal.Refused`."""
    return _CHECKS[key.kind](value, key)


def check_name(name: str, kind: Kind) -> str:
    """Do the same for the name of an entry (``[backends.NAME]``, the name of a header)."""
    return str(_CHECKS[kind](name, Key("", kind, "")))


# --- plain values --------------------------------------------------------------------------------------------


def _bool(value: Any, key: Key) -> bool:
    if not isinstance(value, bool):
        raise expected("true or false", value, ", without quotes" if value in ("true", "false") else "")
    return value


def _int(value: Any, key: Key) -> int:
    if type(value) is not int:
        raise expected(f"a whole number{_range(key)}", value, _unquote(value))
    if not key.low <= value <= key.high:
        raise Refused(f"expected a whole number{_range(key)}")
    return value


def _float(value: Any, key: Key) -> float:
    if type(value) not in (int, float):
        raise expected(f"a number{_range(key)}", value, _unquote(value))
    if not (math.isfinite(value) and key.low <= value <= key.high):
        raise Refused(f"expected a number{_range(key)}")
    return float(value)


def _range(key: Key) -> str:
    if key.high != LARGEST:
        return f" from {key.low} to {key.high}"
    return f" from {key.low} on" if key.low >= 0 else ""


def _unquote(value: Any) -> str:
    return ": write it without quotes" if isinstance(value, str) and re.fullmatch(r"\s*-?[\d.]+\s*", value) else ""


def _text(value: Any, key: Key) -> str:
    if not isinstance(value, str):
        raise expected("text in quotes", value)
    return value


def _filled(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise expected(f"a {key.kind} in quotes", value)
    return value


def _choice(value: Any, key: Key) -> str:
    if isinstance(value, str):
        value = (key.synonyms or {}).get(value, value)
        if value in key.allowed:
            return str(value)
    near = suggestion(value, key.allowed) if isinstance(value, str) else ""
    raise Refused(f"expected one of {', '.join(key.allowed)}{near}")


def _keep_alive(value: Any, key: Key) -> int | str:
    if type(value) is int and abs(value) <= LARGEST:
        return value
    if isinstance(value, str) and DURATION.fullmatch(value):
        return value
    raise Refused('expected seconds as a number (-1 = for ever), or a duration such as "30m"')


def _json(value: Any, key: Key) -> Any:
    value = plain(value)
    if not _is_json(value):
        raise Refused("expected a value that JSON has: no dates, no nan, no inf")
    return value


def _is_json(value: Any) -> bool:
    match value:
        case str():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_json, value))
        case dict():
            return all(map(_is_json, value.values()))
    return value is TAKEN_OUT


# --- names ---------------------------------------------------------------------------------------------------

NAME = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")
ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
FIELD = re.compile(r"[!-~](?:[\t -~]*[!-~])?")  # RFC 9110, 5.5, without its obsolete octets
DURATION = re.compile(r"-?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+|-?0")  # Go's time.ParseDuration

#: Headers that carry keys, whoever sends them.
_SECRET_HEADERS = frozenset(
    ("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key")
)
#: Headers that the gateway itself sets, and those of one connection (RFC 9110, 7.6.1).
_FRAMING = ("host", "content-length", "content-type", "accept", "accept-encoding", "expect", "x-request-id")
_HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")


def _name(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise expected("a name of 1 to 128 printable ASCII characters (it stands in response headers)", value)
    return value


def _label(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 128 or not value.isprintable() or value != value.strip():
        raise expected("a name of 1 to 128 printable characters", value)
    return value


def _env(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not ENV.fullmatch(value):
        raise expected("the name of an environment variable (letters, digits, _), not a value", value)
    return value


def _sha256(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        raise expected("the 64 hex digits of a SHA-256, as lmgw hash-key prints them", value)
    return value.lower()


def _kept_header(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise expected("the name of a header", value)
    if value.lower() in _SECRET_HEADERS:
        raise Refused("this header carries keys, and would be kept in the traffic log: name another")
    return value.lower()


def _sent_header(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise expected("the name of a header", value)
    if value.lower() in _SECRET_HEADERS:
        raise Refused("this header carries keys: the gateway sets it, from api_key_env")
    if value.lower() in _FRAMING or value.lower() in _HOP_BY_HOP:
        raise Refused("this header is the gateway's own to set: take it out")
    return value


def _header_value(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not FIELD.fullmatch(value):
        raise expected("printable ASCII text for a header", value)
    return value


_CHECKS: dict[Kind, Callable[[Any, Key], Any]] = {
    Kind.BOOL: _bool,
    Kind.INT: _int,
    Kind.FLOAT: _float,
    Kind.CHOICE: _choice,
    Kind.STRING: _text,
    Kind.TEXT: _text,
    Kind.NAME: _name,
    Kind.LABEL: _label,
    Kind.ENV: _env,
    Kind.SHA256: _sha256,
    Kind.URL: lambda value, key: addresses.url(value),
    Kind.URL_PATH: lambda value, key: addresses.url_path(value),
    Kind.PATH: _filled,
    Kind.HOST: lambda value, key: addresses.host(value),
    Kind.HOST_NAME: lambda value, key: addresses.host_name(value),
    Kind.ORIGIN: lambda value, key: addresses.origin(value),
    Kind.CIDR: lambda value, key: addresses.cidr(value),
    Kind.ENDPOINT: lambda value, key: addresses.endpoint(value),
    Kind.KEPT_HEADER: _kept_header,
    Kind.SENT_HEADER: _sent_header,
    Kind.HEADER_VALUE: _header_value,
    Kind.KEEP_ALIVE: _keep_alive,
    Kind.JSON: _json,
    Kind.BACKEND: _filled,
    Kind.TIER: _filled,
    Kind.ALIASED: _filled,
    Kind.PROFILE: _filled,
    Kind.PROFILES: _filled,
    Kind.TARGET: _filled,
}
