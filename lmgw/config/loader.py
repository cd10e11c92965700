"""Files and environment in, a frozen configuration out, or every reason why not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from lmgw.config.advice import advise
from lmgw.config.build import build
from lmgw.config.crosscheck import cross_check
from lmgw.config.environment import resolve
from lmgw.config.files import read_files
from lmgw.config.references import Names, check_references
from lmgw.config.report import Report
from lmgw.config.schema import ROOT
from lmgw.config.snapshot import Config
from lmgw.config.validate import check_section
from lmgw.errors import ConfigError

DEFAULT_PATH = "/etc/lm-gateway/config.toml"
PATH_VARIABLE = "LMG_CONFIG"


def find_path(explicit: str | None, environ: Mapping[str, str]) -> str:
    """Return the main file's path: the one that was asked for, else ``$LMG_CONFIG``, else :data:`DEFAULT_PATH`."""
    return explicit or environ.get(PATH_VARIABLE) or DEFAULT_PATH


def load(path: str, environ: Mapping[str, str]) -> Config:
    """Read the main file, what stands beside it, and the variables that they name.

    ``environ`` is the environment that the process was started with: a reload sees the same values. Raises
    :class:`~lmgw.errors.ConfigError` with all problems at once; files that cannot be read at all come first, as what
    they hold would otherwise be missed everywhere.
    """
    path = os.path.abspath(path)
    directory = os.path.dirname(path)
    report = Report()
    files = read_files(path, report)
    if files.incomplete:
        raise ConfigError(report.problems)
    names = Names(files.root)
    root = check_section(files.root, ROOT, report)
    check_references(root, names, report)
    cross_check(root, directory, report)
    resolved = resolve(root, environ, report)
    if report.problems:
        raise ConfigError(report.problems)
    config = build(root, names, resolved, directory)
    return replace(config, warnings=(*report.warnings, *advise(config)), fingerprint=files.fingerprint, path=path)
