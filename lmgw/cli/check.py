"""``lmgw check``: is this configuration one that the gateway would start with?"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from lmgw.cli.command import AS_JSON, CONFIG, Command, complain, config_path

if TYPE_CHECKING:
    from lmgw.config.snapshot import Config


class Check(Command):
    """Validates; the exit code says whether the gateway would start."""

    longdesc = "Load and validate a configuration as the gateway would, with this environment, and say what is wrong."
    optParameters = [CONFIG]
    optFlags = [
        ["print", "p", "print the configuration that would be in force, defaults included, without secrets"],
        ["strict", "s", "a missing key is exit code 1, too"],
        AS_JSON,
    ]
    examples = """
Examples:
  lmgw check                            exit code 0: the gateway would start
  lmgw check --config config.toml && systemctl reload lmgw
  lmgw check --print                    what is in force, defaults included
  lmgw check --strict --json            for scripts: {"valid": ..., "problems": [...], "missing": [...]}
"""

    def run(self) -> int:
        from lmgw.config.loader import load
        from lmgw.errors import ConfigError

        path = config_path(self["config"])
        try:
            config = load(path, os.environ)
        except ConfigError as error:
            if not self["json"]:
                return complain("\n".join(error.problems))
            print(json.dumps({"path": path, "valid": False, "problems": error.problems}, ensure_ascii=False))
            return 1
        if self["json"]:
            print(json.dumps(self._facts(path, config), ensure_ascii=False))
        else:
            self._tell(path, config)
        return int(self["strict"] and not config.ready)

    def _facts(self, path: str, config: Config) -> dict[str, Any]:
        from lmgw.config.redact import effective

        return {
            "path": path,
            "valid": True,
            "problems": [],
            "warnings": config.warnings,
            "ready": config.ready,
            "missing": config.unresolved,
            "missing_clients": config.unresolved_clients,
            "hash": config.fingerprint,
        } | ({"config": effective(config)} if self["print"] else {})

    def _tell(self, path: str, config: Config) -> None:
        from lmgw.config.redact import effective

        if self["print"]:
            print(json.dumps(effective(config), indent=2, ensure_ascii=False))
            return
        for warning in config.warnings:
            print(f"warning: {warning}")
        print(
            f"{path} is valid ({config.fingerprint}): backends {len(config.backends)}, "
            f"tiers {len(config.tiers)}, profiles {len(config.profiles)}, clients {len(config.clients)}"
        )
        if config.unresolved:
            print(f"not ready: set {', '.join(config.unresolved)} in the environment of the gateway")
