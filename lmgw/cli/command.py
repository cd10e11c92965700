"""What every subcommand of ``lmgw`` has: examples below its help, a version, an exit code."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.python import usage

from lmgw.version import VERSION

CONFIG = ["config", "c", None, "the file (default: $LMG_CONFIG, else /etc/lm-gateway/config.toml)"]
AS_JSON = ["json", None, "print JSON, for scripts"]


class Command(usage.Options):
    """A command with examples below its help."""

    examples = ""

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"lmgw {VERSION}")
        raise SystemExit(0)

    def getSynopsis(self) -> str:
        return f"Usage: lmgw {'COMMAND' if self.parent is None else self.parent.subCommand} [options]"

    def getUsage(self, width: int | None = None) -> str:
        return super().getUsage(width) + self.examples

    def parseArgs(self, *words: Any) -> None:
        """Refuse words that are no options, without repeating them: one could be a key."""
        if words:
            command = "" if self.parent is None else self.parent.subCommand
            raise usage.UsageError(f"{command} takes nothing but options: lmgw {command} --help")

    def run(self) -> int:
        """Do it; return the exit code."""
        raise NotImplementedError


def complain(words: str) -> int:
    """Print what went wrong where errors belong; return the exit code for it."""
    print(words, file=sys.stderr)
    return 1


def config_path(given: str | None) -> str:
    """Return the absolute path of the main file, found as the gateway finds it."""
    from lmgw.config.loader import find_path

    return os.path.abspath(find_path(given, os.environ))
