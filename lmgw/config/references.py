"""Names in the tables that stand for other tables: whether they exist, what they come to, and whether they end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lmgw.config.keys import Kind, Shape, Table
from lmgw.config.merge import Section
from lmgw.config.report import Place, Report, quote, suggestion
from lmgw.config.schema import ROOT

#: The profile that is used where nothing names another; it exists even if no file writes it.
DEFAULT_PROFILE = "default"


class Names:
    """What there is by name, whether or not its table is otherwise right.

    A group whose table could not be read at all knows nothing and is not checked against.
    """

    __slots__ = ("_known", "aliases", "tiers")

    def __init__(self, root: Section) -> None:
        backends, profiles, aliases = (_by_name(root, name) for name in ("backends", "profiles", "aliases"))
        self.tiers = _tiers(root)
        self.aliases = {name: tier for name, tier in (aliases or {}).items() if isinstance(tier, str)}
        tiers = None if self.tiers is None or aliases is None else [*self.tiers, *aliases]
        named = None if profiles is None else list(dict.fromkeys([*profiles, DEFAULT_PROFILE]))
        self._known: dict[Kind, Collection[str] | None] = {
            Kind.BACKEND: backends,
            Kind.ALIASED: self.tiers,
            Kind.TIER: tiers,
            Kind.PROFILE: named,
            Kind.PROFILES: None if named is None else [*named, "*"],
            Kind.TARGET: None if tiers is None or named is None else [*tiers, *named],
        }

    def known(self, kind: Kind) -> Collection[str] | None:
        """Return the names that a value of this kind may be; ``None`` if it stands for nothing, or nothing is known."""
        return self._known.get(kind)

    def tier(self, name: str) -> str | None:
        """Return the tier that a tier's name or an alias comes to."""
        if name in (self.tiers or ()):
            return name
        return self.aliases.get(name)

    def profile(self, target: str) -> str | None:
        """Return the profile that a rule's target comes to, where it is no tier: tiers win."""
        return target if self.tier(target) is None else None


def _by_name(root: Section, name: str) -> Mapping[str, Any] | None:
    found = root.values.get(name)
    if found is None:
        return {}
    return found.values if isinstance(found, Section) else None


def _tiers(root: Section) -> Collection[str] | None:
    found = root.values.get("tiers", [])
    if not isinstance(found, list):
        return None
    names = [tier.values.get("name") for tier in found if isinstance(tier, Section)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def check_references(root: Section, names: Names, report: Report) -> None:
    """Report every name that stands for nothing, aliases that hide a tier, and chains that go round in a circle."""
    _check_table(root, ROOT, names, report)
    if "aliases" in root.values:
        aliases = root.values["aliases"]
        for name in set(names.tiers or ()).intersection(aliases.values):
            report.problem(aliases.at(name), "a tier has this name: rename the alias")
    _check_overflow(root, names, report)
    _check_routes(root, names, report)


def _check_table(section: Section, table: Table, names: Names, report: Report) -> None:
    for name, value in section.values.items():
        key = table.keys[name]
        if key.names is Kind.TIER:
            for entry in value.values:
                _check(entry, Kind.TIER, value.at(entry), names, report)
        if key.table is not None:
            for child in _children(value, key.shape):
                _check_table(child, key.table, names, report)
        elif key.shape is Shape.ONE:
            _check(value, key.kind, section.at(name), names, report)
        elif key.shape is Shape.LIST:
            for n, item in enumerate(value, 1):
                _check(item, key.kind, section.at(name).item(f"#{n}"), names, report)
        elif key.shape is Shape.MAP:
            for entry, item in value.values.items():
                _check(item, key.kind, value.at(entry), names, report)


def _children(value: Any, shape: Shape) -> Iterable[Section]:
    if shape is Shape.TABLES:
        return list(value)
    return list(value.values.values()) if shape is Shape.NAMED else [value]


def _check(value: Any, kind: Kind, place: Place, names: Names, report: Report) -> None:
    known = names.known(kind)
    if known is None or value in known:
        return
    if kind is Kind.ALIASED and value in names.aliases:
        report.problem(place, "an alias stands for a tier, not for another alias")
        return
    report.problem(place, f"there is no {kind} {quote(value)}{suggestion(value, known)}")


def _check_overflow(root: Section, names: Names, report: Report) -> None:
    tiers: dict[str, Section] = {}
    for tier in root.values.get("tiers", []):
        if "name" in tier.values:
            tiers.setdefault(tier.values["name"], tier)
    leads = {
        name: [names.tier(tier.values["overflow_tier"])] if "overflow_tier" in tier.values else []
        for name, tier in tiers.items()
    }
    for circle in circles(leads):
        report.problem(tiers[circle[0]].at("overflow_tier"), f"goes round in a circle: {_arrows(circle)}")


def _check_routes(root: Section, names: Names, report: Report) -> None:
    profiles = root.values["profiles"].values if "profiles" in root.values else {}
    leads = {
        name: [
            names.profile(rule.values["route_to"])
            for rule in profile.values.get("rules", [])
            if "route_to" in rule.values
        ]
        for name, profile in profiles.items()
    }
    for circle in circles(leads):
        report.problem(profiles[circle[0]].at("rules"), f"route_to goes round in a circle: {_arrows(circle)}")


def _arrows(circle: Iterable[str]) -> str:
    return " -> ".join(name if quote(name) == f'"{name}"' else "(not shown)" for name in circle)


def circles(leads: Mapping[Any, Iterable[Any]]) -> list[list[Any]]:
    """Return circles of a graph as a walk in depth meets them, at least one if there is any: ``[a, b, a]``."""
    done: set[Any] = set()
    found = []
    for start in leads:
        path: list[Any] = []
        steps = [iter([start])]
        while steps:
            node = next(steps[-1], _END)
            if node is _END:
                steps.pop()
                done.update(path[len(steps) - 1 :])
                del path[len(steps) - 1 :]
            elif node in path:
                found.append([*path[path.index(node) :], node])
            elif node in leads and node not in done:
                path.append(node)
                steps.append(iter(leads[node]))
    return found


_END = object()
