"""The ``lmgw`` command: what an operator does beside the running gateway.

Nothing heavy is imported before a command needs it: ``lmgw healthcheck`` runs every half minute for ever.
Exit codes: 0 well, 1 not well, 2 wrong command line, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from twisted.python import usage

from lmgw.cli.check import Check
from lmgw.cli.classify_test import ClassifyTest
from lmgw.cli.command import Command
from lmgw.cli.hash_key import HashKey
from lmgw.cli.healthcheck import HealthCheck
from lmgw.cli.init import Init
from lmgw.cli.running import Explain, Reload, Status, Traffic


class Options(Command):
    """The command line of ``lmgw``."""

    longdesc = (
        "The gateway itself is started by twistd: twistd -n lmgw --help. "
        "Exit codes: 0 well; 1 not well, as each command's help says; 2 wrong command line."
    )
    subCommands = [
        ["init", None, Init, "write a configuration for the keys in the environment and a local Ollama"],
        ["check", None, Check, "validate a configuration"],
        ["status", None, Status, "ask a running gateway how it stands"],
        ["reload", None, Reload, "let a running gateway read its configuration again"],
        ["explain", None, Explain, "say where a request would go, and why"],
        ["classify-test", None, ClassifyTest, "see how well a classifier sorts labelled examples"],
        ["traffic", None, Traffic, "show the last requests, and those that come"],
        ["healthcheck", None, HealthCheck, "ask a running gateway whether it is alive"],
        ["hash-key", None, HashKey, "make a client's key_sha256 from its key"],
    ]
    examples = """
Examples:
  lmgw init --config config.toml && twistd -n lmgw --config config.toml
  lmgw check --config /etc/lm-gateway/config.toml
  lmgw COMMAND --help
"""

    def postOptions(self) -> None:
        if self.subCommand is None:
            raise usage.UsageError("which command? lmgw --help lists them")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # "| head" has seen enough; nothing is left to be flushed into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: Sequence[str] | None) -> int:
    options = Options()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else list(arguments))  # type: ignore[no-untyped-call]
        command: Command = options.subOptions
        return command.run()
    except usage.UsageError as error:
        print(f"lmgw: {error}", file=sys.stderr)
        return 2
