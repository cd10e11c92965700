"""``lmgw healthcheck``: does a gateway on this machine answer?"""

from __future__ import annotations

from lmgw.cli.asking import Unanswered, checked, opened, own_gateway, own_url, seconds
from lmgw.cli.command import Command, complain


class HealthCheck(Command):
    """Asks once."""

    longdesc = "Ask a running gateway whether it is alive. Exit code 0: it is."
    optParameters = [
        ["url", "u", None, "what to ask (default: /healthz on 127.0.0.1 at the configuration's client_port)"],
        ["timeout", "t", 4.0, "how long to wait for the answer, in seconds", seconds],
    ]
    examples = """
Examples:
  lmgw healthcheck
  lmgw healthcheck --url http://127.0.0.1:8080/readyz
"""

    def run(self) -> int:
        url = checked(self["url"] or own_url(own_gateway(), "client") + "/healthz")
        try:
            with opened(url, self["timeout"]) as answer:
                print(answer.read(1000).decode("utf-8", "replace").strip())
        except Unanswered as error:
            return complain(str(error))
        return 0
