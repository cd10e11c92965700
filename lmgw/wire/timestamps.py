"""Times as the dialects write them."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(seconds: int) -> str:
    """Return seconds since the epoch as ``2026-01-02T03:04:05Z`` (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
