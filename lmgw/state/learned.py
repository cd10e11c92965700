"""What was learned of backends by asking them; a reload forgets it, so that they are asked again."""

from __future__ import annotations

from twisted.logger import Logger


class Learned:
    """Names of backends that have no Responses API although they were taken to have it."""

    _log = Logger()

    def __init__(self) -> None:
        self._without_responses: set[str] = set()

    def adopt(self) -> None:
        """Take a configuration: whatever it says holds until the contrary is learned."""
        self._without_responses.clear()

    def has_responses(self, backend: str) -> bool:
        """Whether nothing speaks against this backend's having the Responses API."""
        return backend not in self._without_responses

    def no_responses(self, backend: str, status: int) -> None:
        """This backend has no such route: its answer was ``status``."""
        if backend not in self._without_responses:
            self._without_responses.add(backend)
            self._log.warn(
                'backend "{backend}" has no Responses API ({status}): it is asked in Chat Completions until the next '
                'reload; responses = "translate" says so from the start',
                backend=backend,
                status=status,
            )
