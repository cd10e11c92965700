"""Tables that remember which file wrote each of their keys, and how one file's tables go over another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from lmgw.config.report import Place, quotable

#: Arrays whose entries an overlay replaces one by one; all others it replaces whole.
_BY_ENTRY = frozenset({"tiers", "clients"})
#: Two spellings of one setting: an overlay that writes either takes the place of both.
_KEY_SOURCES = ("api_key_env", "api_key_secret")


class Section:
    """One table: its values (scalars, lists, sections, lists of sections), and the file that wrote each."""

    __slots__ = ("_files", "_written", "place", "values")

    def __init__(self, place: Place, values: dict[str, Any], origin: Section | None = None) -> None:
        self.place = place
        self.values = values
        self._files: dict[str, str] = {} if origin is None else origin._files
        self._written: Mapping[str, Any] = values if origin is None else origin.values

    def at(self, key: str) -> Place:
        """Where a key of this table was written, or would be."""
        return Place(self._files.get(key, self.place.file), self.place.path).key(key)

    def writes(self, key: str) -> bool:
        """Whether the files hold the key, with a good value or not."""
        return key in self._written

    def keep(self, values: dict[str, Any]) -> Section:
        """Return the same table with the good ones of its values."""
        return Section(self.place, values, self)

    def put(self, key: str, value: Any, file: str) -> None:
        """Set a value that another file wrote."""
        self.values[key] = value
        self._files[key] = file

    def overlay(self, over: Section) -> None:
        """Merge another file's table into this one: tables key by key, tiers and clients by entry, all else whole."""
        if any(key in over.values for key in _KEY_SOURCES):
            for key in _KEY_SOURCES:
                self.values.pop(key, None)
        for key, new in over.values.items():
            old = self.values.get(key)
            if isinstance(old, Section) and isinstance(new, Section):
                old.overlay(new)
            elif key in _BY_ENTRY and is_tables(old) and is_tables(new):
                _overlay_entries(old, new)
            else:
                self.put(key, new, over.place.file)


def is_tables(value: Any) -> TypeGuard[list[Section]]:
    """Whether a value is an array of tables."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], Section)


def read_section(data: Mapping[str, Any], place: Place) -> Section:
    """Wrap the table that a file holds at a place, and every table in it."""
    return Section(place, {key: _read_value(value, place.key(key)) for key, value in data.items()})


def _read_value(value: Any, place: Place) -> Any:
    if isinstance(value, dict):
        return read_section(value, place)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [read_section(item, place.item(_label(item, n))) for n, item in enumerate(value, 1)]
    return value


def _label(entry: Mapping[str, Any], number: int) -> str:
    name = identity(entry)
    return f'"{name}"' if name is not None and quotable(name) else f"#{number}"


def identity(entry: Mapping[str, Any]) -> str | None:
    """What an entry of an array of tables is known by: its ``name``, else its ``key_env``."""
    name = entry.get("name", entry.get("key_env"))
    return name if isinstance(name, str) else None


def _overlay_entries(base: list[Section], over: list[Section]) -> None:
    places = {identity(entry.values): n for n, entry in enumerate(base)}
    places.pop(None, None)
    for entry in over:
        place = places.pop(identity(entry.values), None)  # a second entry of the same name is a mistake to report
        if place is None:
            base.append(entry)
        else:
            base[place] = entry


def plain(value: Any) -> Any:
    """Return what was read, as it was before it was wrapped."""
    if isinstance(value, Section):
        return {key: plain(item) for key, item in value.values.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
