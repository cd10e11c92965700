"""Who used what: requests, tokens and dollars by client, tier and outcome, since start, today and in the last hour."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from lmgw.core.record import Entry
from lmgw.core.usage import Tokens

#: Seconds of a page of the ledger, and how many pages make the last hour.
PAGE_S, PAGES = 60, 60


class Account(NamedTuple):
    """What sums are kept by; every part is a name of the configuration's or of a closed set."""

    client: str
    profile: str
    tier: str
    backend: str
    dialect: str
    outcome: str
    source: str


class Spender(NamedTuple):
    """Whose spending is shown."""

    client: str
    tier: str


@dataclass(slots=True)
class Sums:
    """What was used; ``limited`` are answers with 429, ``unpriced`` answers with tokens and without a price."""

    requests: int = 0
    limited: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

    def use(self, tokens: Tokens, cost_usd: float | None) -> None:
        """Count one answer; its cost is ``None`` where its tier has no price."""
        self.input += tokens.input
        self.output += tokens.output
        self.cache_read += tokens.cache_read
        self.cache_write += tokens.cache_write
        if cost_usd is None:
            self.unpriced += 1
        else:
            self.cost_usd += cost_usd

    def add(self, other: Sums) -> None:
        """Take another's figures in."""
        self.requests += other.requests
        self.limited += other.limited
        self.input += other.input
        self.output += other.output
        self.cache_read += other.cache_read
        self.cache_write += other.cache_write
        self.cost_usd += other.cost_usd
        self.unpriced += other.unpriced


class Ledger:
    """Adds up finished requests. The page of the current minute is written to; full pages are added to the sums.

    :param day_of: which day a time (seconds since the epoch) belongs to, where the gateway stands.
    """

    def __init__(self, day_of: Callable[[float], int]) -> None:
        self._day_of = day_of
        # By plain tuples: an account finds its sums as well, but is made in three times as long.
        self._page: defaultdict[tuple[str, ...], Sums] = defaultdict(Sums)
        self._page_number = 0
        self._lifetime: dict[tuple[str, ...], Sums] = {}
        self._hour: deque[tuple[int, dict[Spender, Sums]]] = deque(maxlen=PAGES)
        self._hour_so_far: dict[Spender, Sums] | None = None  # its closed pages, added up where somebody looks
        self._today: dict[Spender, Sums] = {}
        self._day = 0

    def add(self, entries: Iterable[Entry], epoch_s: float) -> None:
        """Write down requests that ended at ``epoch_s``."""
        if epoch_s // PAGE_S != self._page_number:
            self._turn(epoch_s)
        page = self._page
        for entry in entries:
            client, profile, dialect, outcome = entry.client, entry.profile, entry.dialect, entry.outcome
            used, cost_usd = entry.tokens, entry.cost_usd
            sums = page[client, profile, entry.tier, entry.backend, dialect, outcome, used.source]
            sums.requests += 1
            if entry.status == 429:
                sums.limited += 1
            for spent in entry.discarded + entry.classifying:
                other = page[client, profile, spent.tier, spent.backend, dialect, outcome, spent.tokens.source]
                other.use(spent.tokens, spent.cost_usd)
                if cost_usd is not None:
                    cost_usd -= spent.cost_usd or 0.0
            if used.output or used.any:
                sums.use(used, cost_usd)

    def lifetime(self) -> Mapping[Account, Sums]:
        """Return all sums since start."""
        return {Account(*key): sums for key, sums in _added(self._lifetime, self._page).items()}

    def spend(self, epoch_s: float) -> dict[str, Any]:
        """Return what each client used of each tier in the last hour and today, the largest first; JSON-ready."""
        if epoch_s // PAGE_S != self._page_number:
            self._turn(epoch_s)
        page = _by_spender(self._page)
        if self._hour_so_far is None:
            self._hour_so_far = _added(*(sums for _, sums in self._hour))
        return {
            "last_hour": _rows(_added(self._hour_so_far, page)),
            "today": _rows(_added(self._today, page)),
        }

    def _turn(self, epoch_s: float) -> None:
        """Close the page, and begin the one of this minute."""
        closed = _by_spender(self._page)
        _add(self._lifetime, self._page)
        _add(self._today, closed)
        if closed:
            self._hour.append((self._page_number, closed))
        self._page = defaultdict(Sums)
        self._hour_so_far = None
        self._page_number = int(epoch_s // PAGE_S)
        while self._hour and self._hour[0][0] <= self._page_number - PAGES:
            self._hour.popleft()
        day = self._day_of(epoch_s)
        if day != self._day:
            self._day, self._today = day, {}


def _add(total: dict[Any, Sums], page: Mapping[Any, Sums]) -> None:
    for key, sums in page.items():
        total.setdefault(key, Sums()).add(sums)


def _added(*pages: Mapping[Any, Sums]) -> dict[Any, Sums]:
    total: dict[Any, Sums] = {}
    for page in pages:
        _add(total, page)
    return total


def _by_spender(page: Mapping[tuple[str, ...], Sums]) -> dict[Spender, Sums]:
    total: dict[Spender, Sums] = {}
    for (client, _, tier, *_), sums in page.items():
        total.setdefault(Spender(client, tier), Sums()).add(sums)
    return total


def _rows(spenders: Mapping[Spender, Sums]) -> list[dict[str, Any]]:
    rows = [spender._asdict() | msgspec.to_builtins(sums) for spender, sums in spenders.items()]
    return sorted(rows, key=lambda row: (-row["cost_usd"], -row["requests"]))
