"""How one key of the configuration is described: what it holds, by default and at most, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from enum import Enum, StrEnum
from typing import Any

from lmgw.config.snapshot import Provider


class Kind(StrEnum):
    """What one value is; the text is the documentation's word for it."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    CHOICE = "choice"
    STRING = "str"
    TEXT = "text"  # prompts and messages: whatever the operator likes, never searched for keys
    NAME = "name"  # stands in headers: printable ASCII
    LABEL = "label"  # stands in logs and metrics: printable
    ENV = "env name"
    SHA256 = "SHA-256 in hex"
    URL = "http(s) URL"
    URL_PATH = "URL path"
    PATH = "path"
    HOST = "host"
    HOST_NAME = "host name"
    ORIGIN = "origin"
    CIDR = "CIDR"
    ENDPOINT = "Twisted endpoint"
    KEPT_HEADER = "request header"  # of requests, and kept in logs: never one that carries a key
    SENT_HEADER = "header"  # to a provider: never one that the gateway sets
    HEADER_VALUE = "header value"
    KEEP_ALIVE = "seconds or duration"
    JSON = "any value"
    BACKEND = "backend"
    TIER = "tier or alias"
    ALIASED = "tier"  # what an alias stands for: never another alias
    PROFILE = "profile"
    PROFILES = "profile or *"
    TARGET = "tier, alias or profile"


class Shape(Enum):
    """How the values of a key are held together."""

    ONE = "{}"
    LIST = "list of {}"
    MAP = "table of {}"
    LISTS = "table of lists of {}"
    TABLE = "table"  # the rest hold further tables
    TABLES = "array of tables"
    NAMED = "tables by name"


class Default(Enum):
    """Defaults that are no values."""

    REQUIRED = "required"
    INHERITED = "the snapshot's"


#: A week: longer timers overflow what ``epoll`` takes, and mean nothing.
LONGEST_MS = 604_800_000
LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    :ivar default: a value as TOML has it, ``None`` for unset; taken from the snapshot's field unless given.
    :ivar written: the default in words, where a value does not say it.
    :ivar allowed: every value of a ``CHOICE``; ``synonyms`` are further spellings.
    :ivar names: what the names of a ``MAP``, of ``LISTS`` or ``NAMED`` tables are.
    :ivar providers: the backends that it means something to; elsewhere it is a warning.
    :ivar table: what the tables of a ``TABLE``, ``TABLES`` or ``NAMED`` hold.
    """

    name: str
    kind: Kind
    doc: str
    shape: Shape = Shape.ONE
    default: Any = Default.INHERITED
    written: str = ""
    allowed: tuple[str, ...] = ()
    synonyms: Mapping[str, str] | None = None
    low: float = 0
    high: float = LARGEST
    names: Kind = Kind.NAME
    providers: frozenset[Provider] = frozenset(Provider)
    table: Table | None = None

    @property
    def inner(self) -> Table:
        """What the tables under this key hold; ``TypeError`` for a key that holds values."""
        if self.table is None:
            raise TypeError(self.name)
        return self.table

    @property
    def required(self) -> bool:
        """Whether every table must write it."""
        return self.default is Default.REQUIRED


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of table: its keys by name, in the order in which they are documented."""

    header: str
    doc: str
    keys: Mapping[str, Key]


def table(header: str, doc: str, record: type | None, *keys: Key) -> Table:
    """Describe a table whose values become a ``record``; its fields' defaults are the keys' defaults."""
    defaults = {} if record is None else {field.name: _default(field) for field in fields(record)}
    return Table(
        header,
        doc,
        {
            key.name: replace(key, default=defaults[key.name]) if key.default is Default.INHERITED else key
            for key in keys
        },
    )


def _default(field: Any) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    if field.default is MISSING:
        return Default.REQUIRED
    value = field.default
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
