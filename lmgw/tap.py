"""``twistd lmgw``: options, and everything that must be right before the process goes to the background.

Whatever is wrong with the configuration or the ports is told on the terminal, alone, and the exit code is 1.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib.resources import files
from io import FileIO
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from lmgw.errors import ConfigError
from lmgw.logs import Logs
from lmgw.version import VERSION

_EXAMPLES = """
Examples:
  twistd -n lmgw --demo                     try it: no keys, no network
  twistd -n lmgw --config config.toml       in the foreground, logs on stdout
  twistd --pidfile=/run/lmgw.pid --logfile=/var/log/lmgw.log lmgw
                                            as a daemon with /etc/lm-gateway/config.toml
  twistd -n --pidfile= lmgw                 under systemd, in a container
Signals: SIGHUP reloads the configuration, SIGTERM lets requests finish, a second one does not.
"""

_WELCOME = """
lmgw answers from inside the process: no keys, no network. Ctrl-C ends it.

  client port  {client}   (OpenAI clients: {client}/v1)
  admin port   {admin}

  curl {client}/v1/chat/completions -H 'Content-Type: application/json' -d \\
    '{{"model": "default", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""


class Options(usage.Options):
    """The command line after ``twistd lmgw``."""

    longdesc = "A gateway between applications and language models."
    optParameters = [
        ["config", "c", None, "the configuration file (default: $LMG_CONFIG, else /etc/lm-gateway/config.toml)"]
    ]
    optFlags = [["demo", None, "answer from inside the process: no configuration, no keys, no network"]]

    def opt_version(self) -> None:
        """Print the versions of lmgw, Twisted and Python, and exit."""
        import twisted

        print(f"lmgw {VERSION} (Twisted {twisted.__version__}, Python {sys.version.split()[0]})")
        raise SystemExit(0)

    def getUsage(self, width: int | None = None) -> str:
        return super().getUsage(width) + _EXAMPLES

    def postOptions(self) -> None:
        if self["demo"] and self["config"]:
            raise usage.UsageError("--demo brings its own configuration: leave --config out")


def makeService(options: Options) -> IService:
    """Build the gateway: configuration loaded, ports open. Raises :class:`SystemExit` with the words to print."""
    gc.disable()  # what is loaded here stays: looking for garbage in it takes a tenth of the start
    try:
        return _build(options)
    finally:
        gc.enable()


def _build(options: Options) -> IService:
    from twisted.internet import reactor

    from lmgw.config.loader import find_path
    from lmgw.listeners import ListenError
    from lmgw.service import build

    path = files("lmgw") / "demo" / "config.toml" if options["demo"] else find_path(options["config"], os.environ)
    logs = _surroundings(options.parent)
    try:
        gateway = build(reactor, os.path.abspath(str(path)), os.environ, logs)
    except ConfigError as error:
        raise SystemExit("\n".join(error.problems)) from None
    except ListenError as error:
        raise SystemExit(str(error)) from None
    if options["demo"]:
        print(_WELCOME.format(client=gateway.listeners.url("client"), admin=gateway.listeners.url("admin")), flush=True)
    return gateway


def _surroundings(twistd: Any) -> Logs | None:
    """Find out where to log, and whether twistd's pidfile can be written; ``None`` leaves logging to twistd (syslog).

    :param twistd: the options before ``lmgw``; twistd reads its pidfile's name there again later.
    """
    pidfile, background = twistd["pidfile"], not twistd["nodaemon"]
    if pidfile and not os.access(os.path.dirname(pidfile), os.W_OK):
        if background or pidfile != os.path.abspath("twistd.pid"):
            raise SystemExit(f"cannot write the pidfile {pidfile}; name another: twistd --pidfile=FILE lmgw")
        twistd["pidfile"] = ""  # nobody asked for one, and in the foreground nobody needs it
    if twistd["syslog"]:
        return None
    logfile = twistd["logfile"] or ("twistd.log" if background else "-")
    if logfile == "-":
        if background:
            raise SystemExit("a daemon has no stdout to log to: name a file (--logfile=FILE), or stay with -n")
        return Logs(FileIO(1, "wb", closefd=False))
    try:
        return Logs.to_file(os.path.abspath(logfile))
    except OSError as error:
        raise SystemExit(f"cannot write the log {logfile}: {error.strerror}; name another: --logfile=FILE") from None
