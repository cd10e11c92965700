"""The seam between the admin port and what it shows and does."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lmgw.config.snapshot import Gateway


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What came of a reload.

    :ivar summary: the line that the log has too: ``reloaded 3f9c21a: +1 tier``, ``files unchanged since 13:40:02``.
    :ivar changes: what is different now, one sentence each.
    :ivar problems: why nothing changed, one sentence each; empty where the reload succeeded.
    """

    summary: str
    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Operations(Protocol):
    """What an operator may see and do; secrets are in none of it."""

    @property
    def gateway(self) -> Gateway:
        """The settings now in force."""

    def health(self) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/health``."""

    def config(self) -> Mapping[str, Any]:
        """Return the body of ``GET /admin/config``."""

    def reload(self) -> Awaitable[ReloadResult]:
        """Read the files again, as SIGHUP does."""
