"""The ``lmgw`` command: what an operator does beside the running gateway.

Nothing heavy is imported before a command needs it: ``lmgw healthcheck`` runs every half minute for ever.
Exit codes: 0 well, 1 not well, 2 wrong command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from twisted.python import usage

from lmgw.version import VERSION


class _Command(usage.Options):
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

    def run(self) -> int:
        """Do it; return the exit code."""
        raise NotImplementedError


class Check(_Command):
    """``lmgw check``: is this configuration one that the gateway would start with?"""

    longdesc = "Load and validate a configuration as the gateway would, with this environment, and say what is wrong."
    optParameters = [["config", "c", None, "the file (default: $LMG_CONFIG, else /etc/lm-gateway/config.toml)"]]
    examples = """
Examples:
  lmgw check                            exit code 0: the gateway would start
  lmgw check --config config.toml && systemctl reload lmgw
"""

    def run(self) -> int:
        from lmgw.config.loader import find_path, load
        from lmgw.errors import ConfigError

        path = os.path.abspath(find_path(self["config"], os.environ))
        try:
            config = load(path, os.environ)
        except ConfigError as error:
            print("\n".join(error.problems), file=sys.stderr)
            return 1
        for warning in config.warnings:
            print(f"warning: {warning}")
        print(
            f"{path} is valid ({config.fingerprint}): backends {len(config.backends)}, "
            f"tiers {len(config.tiers)}, profiles {len(config.profiles)}, clients {len(config.clients)}"
        )
        return 0


class HashKey(_Command):
    """``lmgw hash-key``: what to write as a client's ``key_sha256``."""

    longdesc = "Read a client's key (from a prompt, or a pipe) and print the key_sha256 to configure for it."
    examples = """
Examples:
  lmgw hash-key                         asks for the key and does not show it
  openssl rand -hex 24 | tee key.txt | lmgw hash-key
"""

    def run(self) -> int:
        from getpass import getpass
        from hashlib import sha256

        try:
            key = getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            key = ""
        key = key.strip()
        if not key:
            print("no key was given", file=sys.stderr)
            return 1
        print(sha256(key.encode()).hexdigest())
        return 0


class HealthCheck(_Command):
    """``lmgw healthcheck``: does a gateway on this machine answer?"""

    longdesc = "Ask a running gateway whether it is alive. Exit code 0: it is."
    optParameters = [
        ["url", "u", None, "what to ask (default: /healthz on 127.0.0.1 at the configuration's client_port)"],
        ["timeout", "t", 4.0, "how long to wait for the answer, in seconds", float],
    ]
    examples = """
Examples:
  lmgw healthcheck
  lmgw healthcheck --url http://127.0.0.1:8080/readyz
"""

    def run(self) -> int:
        from http.client import HTTPException
        from urllib.request import ProxyHandler, build_opener

        url = self["url"] or _own_url()
        if not url.startswith(("http://", "https://")):
            raise usage.UsageError("--url must begin with http:// or https://")
        try:
            # No proxy: $http_proxy is for the way out.
            with build_opener(ProxyHandler({})).open(url, timeout=self["timeout"]) as answer:
                print(answer.read(1000).decode("utf-8", "replace").strip())
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            print(f"{url}: {getattr(reason, 'strerror', None) or reason}", file=sys.stderr)
            return 1
        return 0


def _own_url() -> str:
    """Where the gateway of this machine's configuration would answer; without a readable one, the default port."""
    from lmgw.config.loader import find_path, load
    from lmgw.config.snapshot import Gateway
    from lmgw.errors import ConfigError

    try:
        gateway = load(os.path.abspath(find_path(None, os.environ)), os.environ).gateway
    except ConfigError:
        gateway = Gateway()
    if gateway.client_endpoint:
        raise usage.UsageError("client_endpoint is set: say where it answers with --url")
    host = gateway.client_host if gateway.client_host not in ("", "*", "::", "0.0.0.0") else "127.0.0.1"  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{gateway.client_port}/healthz"


class Options(_Command):
    """The command line of ``lmgw``."""

    longdesc = "The gateway itself is started by twistd: twistd -n lmgw --help"
    subCommands = [
        ["check", None, Check, "validate a configuration"],
        ["healthcheck", None, HealthCheck, "ask a running gateway whether it is alive"],
        ["hash-key", None, HashKey, "make a client's key_sha256 from its key"],
    ]
    examples = """
Examples:
  lmgw check --config /etc/lm-gateway/config.toml
  lmgw COMMAND --help
"""

    def postOptions(self) -> None:
        if self.subCommand is None:
            raise usage.UsageError("which command? lmgw --help lists them")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    options = Options()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else list(arguments))  # type: ignore[no-untyped-call]
        command: _Command = options.subOptions
        return command.run()
    except usage.UsageError as error:
        print(f"lmgw: {error}", file=sys.stderr)
        return 2
