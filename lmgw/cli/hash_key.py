"""``lmgw hash-key``: what to write as a client's ``key_sha256``."""

from __future__ import annotations

import sys

from twisted.python import usage

from lmgw.cli.command import Command, complain


class HashKey(Command):
    """Reads a key without showing it."""

    longdesc = "Read a client's key (from a prompt, or a pipe) and print the key_sha256 to configure for it."
    examples = """
Examples:
  lmgw hash-key                         asks for the key and does not show it
  openssl rand -hex 24 | tee key.txt | lmgw hash-key
"""

    def parseArgs(self, *words: str) -> None:
        if words:
            raise usage.UsageError("the key comes from the prompt or a pipe: on a command line others can read it")

    def run(self) -> int:
        from getpass import getpass
        from hashlib import sha256

        try:
            key = getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            key = ""
        key = key.strip()
        if not key:
            return complain("no key was given")
        print(sha256(key.encode()).hexdigest())
        return 0
