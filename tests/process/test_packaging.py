"""The wheel and the sdist carry everything, and what is tested is the wheel."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path

import pytest

import lmgw
from lmgw.version import VERSION

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
#: Everything that is not code and must be installed with it.
DATA = {"lmgw/config/catalog.toml", "lmgw/demo/config.toml", "twisted/plugins/lmgw_plugin.py"}


def test_the_tests_run_against_the_installed_wheel():
    assert Path(lmgw.__file__).is_relative_to(sys.prefix)


def test_the_version_stands_in_one_place():
    assert distribution("lmgw").version == VERSION


def test_everything_is_installed_and_nothing_of_twisteds_is_replaced():
    installed = {str(path) for path in distribution("lmgw").files or ()}
    assert installed >= DATA
    assert not any(path.startswith("tests/") or path == "twisted/__init__.py" for path in installed)


def test_twistd_lists_the_gateway_from_anywhere():
    shown = subprocess.run([BIN / "twistd", "--help"], cwd="/", capture_output=True, text=True, check=True).stdout
    assert "A gateway between applications and language models." in " ".join(shown.split())


@pytest.mark.parametrize("command", [[BIN / "lmgw"], [sys.executable, "-m", "lmgw"]], ids=["lmgw", "python -m lmgw"])
def test_the_command_is_installed(command):
    shown = subprocess.run([*command, "--version"], cwd="/", capture_output=True, text=True, check=True).stdout
    assert shown == f"lmgw {VERSION}\n"


def build(kind, source, target):
    """Build from a folder with the hook that pip would call; returns the file."""
    hook = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", hook], cwd=source, capture_output=True, text=True, check=True)
    return target / done.stdout.splitlines()[-1]


def test_a_wheel_built_from_the_sdist_is_the_same(tmp_path):
    source = tmp_path / "source"
    unwanted = shutil.ignore_patterns(
        ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hyp*"
    )
    shutil.copytree(ROOT, source, ignore=unwanted)
    sdist = build("sdist", source, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    for needed in ("LICENSE", "constraints.txt", "systemd/lmgw.service", "etc/lm-gateway/config.toml", "tests/process"):
        assert (unpacked / needed).exists(), needed
    again = zipfile.ZipFile(build("wheel", unpacked, tmp_path))
    with again:
        names = {name for name in again.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "lmgw").rglob("*.py")}
    assert names >= modules | DATA
    assert not {name for name in names if not name.startswith(("lmgw/", "twisted/plugins/lmgw_plugin.py"))}


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): version for name, version in pairs}


def canonical(name):
    return name.lower().replace("_", "-").replace(".", "-")


def test_every_requirement_is_bounded_and_locked():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = [line for text in setup["options.extras_require"].values() for line in text.splitlines()]
    build_system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for line in (*setup["options"]["install_requires"].splitlines(), *extras, *build_system):
        if not line or line.startswith("#"):
            continue
        name = line.split(">=")[0].split("[")[0]
        assert ",<" in line or name.startswith("types-"), f"{line} has no upper bound"
        assert canonical(name) in pinned(), f"{name} is not in constraints.txt: make lock"


def test_what_is_installed_is_what_the_lock_says():
    for name, version in pinned().items():
        with suppress(ModuleNotFoundError):  # of an extra that is not installed here
            assert distribution(name).version == version


def test_the_lock_names_no_host():
    assert "://" not in (ROOT / "constraints.txt").read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_which_python_it_needs(tmp_path):
    """The version check runs before anything is made."""
    pretend = "import sys; sys.version_info, sys.version = (3, 8), '3.8.0'; exec(sys.argv[1])"
    old = tmp_path / "python3"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$2"\n')
    old.chmod(0o755)
    target = tmp_path / "venv"
    command = ["make", f"PYTHON={old}", f"VENV={target}", f"{target}/.build"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MAKEFLAGS": ""})
    assert done.returncode == 2
    assert "lmgw needs Python 3.11 or newer and this one is 3.8.0" in done.stderr
    assert not target.exists()
