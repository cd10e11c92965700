"""The image's entrypoint: started for real, with a stand-in for ``twistd`` that shows what it was given."""

import os
import shutil
import subprocess
import sys

import pytest
from processes import NOBODY

ENTRYPOINT = (sys.executable, "-P", "-m", "lmgw.entrypoint")
#: What compose.yaml leaves to root in the container.
CONTAINED = (
    "setpriv",
    "--no-new-privs",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--bounding-set=-all,+setuid,+setgid",
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


class Shown:
    """What the stand-in saw."""

    def __init__(self, done):
        self.code, self.words = done.returncode, done.stderr.decode()
        status, _, environ = done.stdout.partition(b"--\n")
        self.status = dict(line.split(":\t", 1) for line in status.decode().splitlines() if ":\t" in line)
        self.arguments = status.decode().splitlines()[0].split() if status else []
        self.environ = dict(pair.split(b"=", 1) for pair in environ.split(b"\0") if pair)


@pytest.fixture
def enter(folder):
    """Start the entrypoint with a file of keys; the stand-in for ``twistd`` ends at once."""
    twistd = folder / "bin" / "twistd"
    twistd.parent.mkdir()
    twistd.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\ncat /proc/self/status\necho --\nexec cat /proc/self/environ\n')
    twistd.chmod(0o755)
    path = folder / ".env"

    def run(content=None, *arguments, prefix=(), env=(), mode=0o600):
        if content is not None:
            path.write_bytes(content)
            path.chmod(mode)
        environ = {
            **os.environ,
            "PATH": f"{twistd.parent}:{os.environ['PATH']}",
            "LMG_ENV_FILE": str(path),
            **dict(env),
        }
        command = [*prefix, *ENTRYPOINT, *arguments]
        return Shown(subprocess.run(command, cwd="/", env=environ, capture_output=True, timeout=30))

    return run


def test_it_becomes_twistd_with_its_arguments(enter):
    shown = enter(b"", "--demo")
    assert shown.arguments == ["-n", "--pidfile=", "lmgw", "--demo"]
    assert (shown.code, shown.words) == (0, "")


def test_a_second_start_has_the_changed_value(enter):
    assert enter(b"KEY=old\nGONE=1\n").environ[b"KEY"] == b"old"
    again = enter(b"KEY=new\n").environ
    assert again[b"KEY"] == b"new"
    assert b"GONE" not in again


@pytest.mark.parametrize(
    "value",
    [
        b"a$HOME$$b${X}`id`",
        b'it\'s "so"',
        b"a#b #c",
        b"=a=b==",
        b"  spaces within and around  ",
        "schlüssel-鍵-🔑".encode(),
        b"back\\slash\\n",
        b"\xff\xfe no text",
        b"",
    ],
)
def test_a_value_is_taken_as_it_is(enter, value):
    shown = enter(b"# keys\n\nFIRST=1\nKEY=" + value + b"\nLAST=2\n")
    assert shown.environ[b"KEY"] == value
    assert (shown.environ[b"FIRST"], shown.environ[b"LAST"]) == (b"1", b"2")
    assert shown.words == ""


def test_a_file_saved_on_windows_is_read_the_same(enter):
    shown = enter(b"\xef\xbb\xbfONE=1\r\n\r\n# x\r\nTWO=2")
    assert (shown.environ[b"ONE"], shown.environ[b"TWO"]) == (b"1", b"2")


def test_the_file_wins_over_the_environment(enter):
    assert enter(b"KEY=file\n", env={"KEY": "environment"}).environ[b"KEY"] == b"file"


@pytest.mark.parametrize("line", [b"KEY sk-secret", b"1KEY=sk-secret", b"KEY =sk-secret", b"KEY=sk-\0secret"])
def test_a_line_that_is_none_is_named_and_not_repeated(enter, line):
    shown = enter(b"ONE=1\n" + line + b"\nTWO=2\n")
    assert shown.words.endswith("line 2 is not NAME=value and is left out\n")
    assert "secret" not in shown.words
    assert (shown.environ[b"ONE"], shown.environ[b"TWO"]) == (b"1", b"2")


def test_quotes_around_a_value_are_its_own_and_that_is_said(enter):
    shown = enter(b'KEY="sk-secret"\n')
    assert shown.environ[b"KEY"] == b'"sk-secret"'
    assert "line 1: the quotes around the value of KEY are taken as a part of it" in shown.words
    assert "secret" not in shown.words


def test_without_a_file_it_starts(enter):
    shown = enter(None, env={"KEY": "environment"})
    assert (shown.code, shown.words) == (0, "")
    assert shown.environ[b"KEY"] == b"environment"


def test_a_folder_in_its_place_is_told(enter, folder):
    shown = enter(None, env={"LMG_ENV_FILE": str(folder)})
    assert (shown.code, shown.words) == (
        0,
        f"entrypoint: {folder} cannot be read (Is a directory): its keys are missing\n",
    )


@as_root
def test_it_reads_as_root_and_serves_as_nobody_special(enter):
    """With the capabilities that compose.yaml leaves, and no other."""
    shown = enter(b"KEY=value\n", prefix=CONTAINED)
    assert (shown.code, shown.words) == (0, "")
    assert shown.environ[b"KEY"] == b"value"
    assert shown.status["Uid"].split() == ["10001"] * 4
    assert shown.status["Gid"].split() == ["10001"] * 4
    assert shown.status["Groups"].split() == []
    assert {shown.status[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    assert shown.status["NoNewPrivs"] == "1"


@as_root
def test_it_rather_ends_than_serve_as_root(enter):
    prefix = (*CONTAINED[:-1], "--bounding-set=-all")
    shown = enter(b"", prefix=prefix)
    assert (shown.code, shown.arguments) == (1, [])
    assert "never runs as root: give the container the capabilities SETUID and SETGID" in shown.words


@as_root
@pytest.mark.parametrize("user", ["0:0", "10001:0", "root", "10001"])
def test_the_user_is_never_root(enter, user):
    shown = enter(b"", env={"LMG_RUN_AS": user})
    assert (shown.code, shown.arguments) == (1, [])
    assert shown.words == "$LMG_RUN_AS must be UID:GID in numbers, neither of them 0\n"


@as_root
def test_another_user_who_may_not_read_the_file_is_told_and_starts(enter):
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    if subprocess.run([*prefix, *ENTRYPOINT[:1], "-V"], capture_output=True).returncode:
        pytest.skip("nobody else may run this Python")
    shown = enter(b"KEY=value\n", prefix=prefix)
    assert shown.code == 0
    assert "cannot be read by user 65534: its keys are missing; start the container as root" in shown.words
    assert b"KEY" not in shown.environ
    assert shown.status["Uid"].split() == ["65534"] * 4


@as_root
def test_another_user_who_may_read_the_file_has_its_keys(enter):
    assert enter(b"KEY=value\n", prefix=NOBODY).environ[b"KEY"] == b"value"


def test_no_twistd_is_told(enter, folder):
    shutil.rmtree(folder / "bin")
    shown = enter(b"", env={"PATH": str(folder), "LMG_RUN_AS": f"{os.geteuid() or 10001}:{os.getegid() or 10001}"})
    assert (shown.code, shown.words) == (1, "cannot start twistd: No such file or directory\n")
