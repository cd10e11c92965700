"""From files to one table: the main file, then ``conf.d/*.toml`` over it, then one profile from each file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec

from lmgw.config.keys import Table
from lmgw.config.leaks import refuse_keys
from lmgw.config.merge import Section, read_section
from lmgw.config.refusal import expected
from lmgw.config.report import Place, Report, quote
from lmgw.config.schema import GATEWAY, PROFILE, ROOT
from lmgw.config.syntax import MOST_BYTES, parse


class Files(msgspec.Struct, frozen=True):
    """What the files came to: one table, and seven hex digits over their names and contents.

    ``incomplete``: something could not be read, so that what is missing means nothing.
    """

    root: Section
    fingerprint: str
    incomplete: bool


class Reader:
    """Reads files into sections, puts what is wrong with them into a report, and sums up their content."""

    def __init__(self, report: Report) -> None:
        self.incomplete = False
        self._report = report
        self._sum = sha256()

    @property
    def fingerprint(self) -> str:
        """Seven hex digits over all that was read."""
        return self._sum.hexdigest()[:7]

    def read(self, path: str, name: str) -> dict[str, Any] | None:
        """Return the tables of one file; ``None`` if it cannot be read, which is then reported under ``name``."""
        try:
            with open(path, "rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            self._refuse(path, _unreadable(error))
            return None
        if not content.strip():  # a reload that met an editor's truncation must not drop every tier
            self._refuse(name, "the file is empty: it may be in the middle of being written; a comment is enough")
            return None
        self._sum.update(b"%s\0%d\0%s" % (os.fsencode(name), len(content), content))
        try:
            return parse(content)
        except ValueError as error:
            self._refuse(name, str(error))
            return None

    def _refuse(self, name: str, why: str) -> None:
        self.incomplete = True
        self._report.problem(name, why)

    def section(self, path: str, name: str, holds: Table) -> Section | None:
        """Return one file as a section, with every value in it that looks like a key reported and taken out."""
        data = self.read(path, name)
        if data is None:
            return None
        section = read_section(data, Place(name))
        refuse_keys(section, holds, self._report)
        return section

    def listed(self, directory: str, name: str, required: bool = False) -> Iterator[tuple[str, str]]:
        """Yield path and display name of each ``*.toml`` of a directory, by name; hidden files are left out."""
        try:
            found = sorted(os.listdir(directory))
        except FileNotFoundError:
            if required:
                self._refuse(name, "no such directory")
            return
        except OSError as error:
            self._refuse(name, _unreadable(error))
            return
        for file in found:
            if file.endswith(".toml") and not file.startswith("."):
                yield os.path.join(directory, file), f"{name}/{file}"


def read_files(path: str, report: Report) -> Files:
    """Read and merge everything that belongs to the main file at ``path``; what is wrong goes into the report."""
    reader = Reader(report)
    directory = os.path.dirname(path)
    root = reader.section(path, os.path.basename(path), ROOT) or Section(Place(os.path.basename(path)), {})
    for overlay_path, name in reader.listed(os.path.join(directory, "conf.d"), "conf.d"):
        overlay = reader.section(overlay_path, name, ROOT)
        if overlay is not None:
            root.overlay(overlay)
    _read_profiles(root, directory, reader, report)
    return Files(root, reader.fingerprint, reader.incomplete)


def _read_profiles(root: Section, directory: str, reader: Reader, report: Report) -> None:
    gateway = root.values.get("gateway")
    chosen = gateway.values.get("profile_dir") if isinstance(gateway, Section) else None
    name = chosen if isinstance(chosen, str) and chosen else str(GATEWAY.keys["profile_dir"].default)
    inline = root.values.setdefault("profiles", Section(Place(root.place.file, "profiles"), {}))
    if not isinstance(inline, Section):
        return  # not tables: reported by whoever checks it
    files: dict[str, str] = {}
    for path, file in reader.listed(os.path.join(directory, name), name.rstrip("/"), required=name is chosen):
        profile = _read_profile(path, file, reader, report)
        if profile is None:
            continue
        own_name, section = profile
        if own_name in files:
            report.problem(file, f"a second profile of the name {quote(own_name)}; the first is in {files[own_name]}")
        elif own_name in inline.values:
            report.warn(f"{file}: takes the place of {inline.at(own_name).path} in {inline.at(own_name).file}")
        files[own_name] = file
        inline.put(own_name, section, file)


def _read_profile(path: str, file: str, reader: Reader, report: Report) -> tuple[str, Section] | None:
    """Return one file's profile with its name: the file's stem unless the file says ``name``."""
    data = reader.read(path, file)
    if data is None:
        return None
    stem = os.path.basename(path).removesuffix(".toml")
    name = data.get("name", stem)
    if not isinstance(name, str):
        report.problem(Place(file, "name"), str(expected("a name in quotes", name)))
        name = stem
    section = read_section(data, Place(file, "profiles").key(name))
    refuse_keys(section, PROFILE, report)
    section.values.pop("name", None)
    return name, section


def _unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file: name it by --config or $LMG_CONFIG; config.example.toml is one to begin with"
    if isinstance(error, IsADirectoryError):
        return "a directory: name the file in it"
    if isinstance(error, NotADirectoryError):
        return "not a directory"
    if isinstance(error, PermissionError):
        return "this process may not read it: change its owner or mode"
    return f"cannot be read ({error.strerror})"
