"""Each table against the schema: unknown keys, types, ranges, forms; every problem, and never a value in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmgw.config.keys import Key, Shape, Table
from lmgw.config.leaks import TAKEN_OUT
from lmgw.config.merge import Section, is_tables
from lmgw.config.refusal import Refused, expected
from lmgw.config.report import Place, Report, suggestion
from lmgw.config.schema import BACKEND, CLIENT, GATEWAY, PROFILE, TIER
from lmgw.config.values import check, check_name

_TABLES = (GATEWAY, BACKEND, TIER, PROFILE, CLIENT)
_MISSING = object()


def check_section(section: Section, table: Table, report: Report) -> Section:
    """Return the section with its good values only, as the snapshot holds them; what is wrong goes into the report."""
    good = {}
    for name, value in section.values.items():
        key = table.keys.get(name)
        if key is None:
            report.problem(section.at(name), _unknown(name, value, table))
        elif value is not TAKEN_OUT:
            checked = _SHAPES[key.shape](value, key, section.at(name), report)
            if checked is not _MISSING:
                good[name] = checked
    for name, key in table.keys.items():
        if key.required and name not in section.values:
            report.problem(section.place.key(name), f"required: {_wants(key)}")
    return section.keep(good)


def _wants(key: Key) -> str:
    if key.allowed:
        return f"one of {', '.join(key.allowed)}"
    return f"a {key.kind}" if key.shape is Shape.ONE else "a table"


def _unknown(name: str, value: Any, table: Table) -> str:
    if table is PROFILE and name == "profiles":
        return "unknown key: a file here is one profile; write its keys at the top, without [profiles.NAME]"
    homes = [other.header for other in _TABLES if name in other.keys]
    if homes and not isinstance(value, Section) and not is_tables(value):
        return f"unknown key here; it belongs to {' or '.join(homes)}"
    return f"unknown key{suggestion(name, table.keys)}"


def _one(value: Any, key: Key, place: Place, report: Report) -> Any:
    try:
        return check(value, key)
    except Refused as refused:
        report.problem(place, str(refused))
        return _MISSING


def _list(value: Any, key: Key, place: Place, report: Report) -> Any:
    if not isinstance(value, list) or is_tables(value):
        example = 'a list, ["..."]' if isinstance(value, str) else "a list"
        report.problem(place, str(expected(example, value)))
        return _MISSING
    items = [_one(item, key, place.item(f"#{n}"), report) for n, item in enumerate(value, 1) if item is not TAKEN_OUT]
    return tuple(item for item in items if item is not _MISSING)


def _map(value: Any, key: Key, place: Place, report: Report, each: Callable[..., Any] = _one) -> Any:
    if not isinstance(value, Section):
        report.problem(place, str(expected("a table", value)))
        return _MISSING
    good = {}
    for name, item in value.values.items():
        _check_entry_name(name, key, value.at(name), report)
        checked = _MISSING if item is TAKEN_OUT else each(item, key, value.at(name), report)
        if checked is not _MISSING:
            good[name] = checked
    return value.keep(good)


def _lists(value: Any, key: Key, place: Place, report: Report) -> Any:
    return _map(value, key, place, report, each=_list)


def _table(value: Any, key: Key, place: Place, report: Report) -> Any:
    if not isinstance(value, Section):
        report.problem(place, str(expected(f"a table: write {key.inner.header}", value)))
        return _MISSING
    return check_section(value, key.inner, report)


def _tables(value: Any, key: Key, place: Place, report: Report) -> Any:
    if value == []:
        return []
    if not is_tables(value):
        report.problem(place, str(expected(f"an array of tables: write {key.inner.header}", value)))
        return _MISSING
    return [check_section(item, key.inner, report) for item in value]


def _named(value: Any, key: Key, place: Place, report: Report) -> Any:
    if not isinstance(value, Section):
        report.problem(place, str(expected(f"tables: write {key.inner.header}", value)))
        return _MISSING
    return _map(value, key, place, report, each=_table)


def _check_entry_name(name: str, key: Key, place: Place, report: Report) -> None:
    try:
        check_name(name, key.names)
    except Refused as refused:
        report.problem(place, f"its name: {refused}")


_SHAPES = {
    Shape.ONE: _one,
    Shape.LIST: _list,
    Shape.MAP: _map,
    Shape.LISTS: _lists,
    Shape.TABLE: _table,
    Shape.TABLES: _tables,
    Shape.NAMED: _named,
}
