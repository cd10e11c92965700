"""The golden cases of ``tests/fixtures/cases``, and what their checks mean.

A case is one JSON file: ``kind`` (``request``, ``answer``, ``error``, ``stream``, ``finish``; ``local`` is what the
gateway answers by itself), the two dialects, what goes in, and ``checks``: lists of a name, a JSON Pointer (RFC 6901;
``-`` is the last element) and arguments. Each check is one function here, of the same name, taking the value found
(:data:`MISSING` where there is none), its arguments and the whole document.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from math import isclose
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent / "fixtures" / "cases"
MISSING = object()
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def load(kind: str) -> dict[str, dict[str, Any]]:
    """Return the cases of one kind by their names."""
    cases = {path.stem: json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))}
    return {name: case for name, case in cases.items() if case["kind"] == kind}


def answer_of(dialect: str, reason: str, tools: bool) -> dict[str, Any]:
    """A whole answer of an upstream that ended so, with a call in it or without."""
    function = {"name": "f", "arguments": "{}"}
    if dialect == "openai":
        calls = {"tool_calls": [{"id": "1", "type": "function", "function": function}]} if tools else {}
        message = {"role": "assistant", "content": "a", **calls}
        return {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    if dialect == "ollama":
        calls = {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]} if tools else {}
        return {
            "model": "m",
            "message": {"role": "assistant", "content": "a", **calls},
            "done": True,
            "done_reason": reason,
        }
    usage = {"input_tokens": 1, "output_tokens": 1}
    content = [{"type": "text", "text": "a"}]
    return {"id": "m", "type": "message", "model": "m", "content": content, "stop_reason": reason, "usage": usage}


def problems(document: Any, checks: list[list[Any]]) -> list[str]:
    """Return one line for each check that ``document`` fails."""
    found = []
    for name, pointer, *arguments in checks:
        value = at(document, pointer)
        if not globals()[name](value, *arguments, document=document):
            shown = "nothing" if value is MISSING else json.dumps(value)[:300]
            found.append(f"{pointer or 'the whole'} {name} {arguments or ''}: found {shown}")
    return found


def at(document: Any, pointer: str) -> Any:
    """Return what stands at ``pointer``."""
    value = document
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and (step == "-" or step.isdigit()) and value:
            index = len(value) - 1 if step == "-" else int(step)
            value = value[index] if index < len(value) else MISSING
        elif isinstance(value, dict):
            value = value.get(step, MISSING)
        else:
            return MISSING
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, but not ``true``."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return isclose(one, other, rel_tol=1e-9)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _everything(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _everything(inner)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    parts = value if isinstance(value, list) else []
    return [
        part if isinstance(part, str) else part["text"] for part in parts if isinstance(part, str) or "text" in part
    ]


# --- the checks ----------------------------------------------------------------------------------------------


def equals(value: Any, wanted: Any, document: Any) -> bool:
    return same(value, wanted)


def is_absent(value: Any, document: Any) -> bool:
    return value is MISSING


def is_there(value: Any, document: Any) -> bool:
    return value is not MISSING


def is_absent_or_one_of(value: Any, wanted: list[Any], document: Any) -> bool:
    return value is MISSING or is_one_of(value, wanted, document)


def is_one_of(value: Any, wanted: list[Any], document: Any) -> bool:
    return any(same(value, one) for one in wanted)


def any_of(value: Any, alternatives: list[list[list[Any]]], document: Any) -> bool:
    return any(not problems(document, checks) for checks in alternatives)


def holds(value: Any, wanted: Any, document: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(holds(value.get(key, MISSING), wanted[key], document) for key in wanted)
    if isinstance(wanted, list):
        fits = isinstance(value, list) and len(value) == len(wanted)
        return fits and all(holds(one, other, document) for one, other in zip(value, wanted, strict=True))
    return same(value, wanted)


def has_type(value: Any, names: list[str], document: Any) -> bool:
    return any(isinstance(value, _TYPES[name]) and (not isinstance(value, bool) or name == "boolean") for name in names)


def has_length(value: Any, length: int, document: Any) -> bool:
    return isinstance(value, str | list | dict) and len(value) == length


def has_keys_only_of(value: Any, allowed: list[str], document: Any) -> bool:
    return isinstance(value, dict) and value.keys() <= set(allowed)


def has_nowhere_key(value: Any, key: str, document: Any) -> bool:
    return not any(isinstance(inner, dict) and key in inner for inner in _everything(value))


def has_nowhere_text(value: Any, text: str, document: Any) -> bool:
    return value is MISSING or text not in json.dumps(value, ensure_ascii=False)


def has_no_empty_text(value: Any, document: Any) -> bool:
    return not any(
        isinstance(inner, dict) and inner.get("type") == "text" and not inner.get("text", "").strip()
        for inner in _everything(value)
    )


def matches(value: Any, pattern: str, document: Any) -> bool:
    return isinstance(value, str) and re.search(pattern, value) is not None


def is_between(value: Any, least: float | None, most: float | None, document: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (least is None or least <= value) and (most is None or value <= most)


def is_less_than(value: Any, pointer: str, document: Any) -> bool:
    return bool(value < at(document, pointer))


def is_same_as(value: Any, pointer: str, document: Any) -> bool:
    return same(value, at(document, pointer))


def differs_from(value: Any, pointer: str, document: Any) -> bool:
    return value is not MISSING and not same(value, at(document, pointer))


def is_json_of(value: Any, wanted: Any, document: Any) -> bool:
    return isinstance(value, str) and same(json.loads(value), wanted)


def reads(value: Any, text: str, document: Any) -> bool:
    return any(joint.join(_texts(value)) == text for joint in ("", "\n", "\n\n"))


def reads_in_order(value: Any, pieces: list[str], document: Any) -> bool:
    return re.search(".*".join(map(re.escape, pieces)), "\n".join(_texts(value)), re.DOTALL) is not None


def roles_alternate(value: Any, document: Any) -> bool:
    roles = [message["role"] for message in value]
    return roles[:1] == ["user"] and all(one != other for one, other in pairwise(roles))


def is_rfc3339(value: Any, document: Any) -> bool:
    return matches(value, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$", document)


def is_vector(value: Any, wanted: list[float], document: Any) -> bool:
    if isinstance(value, str):
        packed = base64.b64decode(value)
        value = list(struct.unpack(f"<{len(packed) // 4}f", packed))
    return len(value) == len(wanted) and all(isclose(*pair, abs_tol=1e-6) for pair in zip(value, wanted, strict=True))
