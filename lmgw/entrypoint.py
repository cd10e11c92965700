"""The image's entrypoint: keys from a file into the environment, root's rights away, then ``twistd``.

``python -m lmgw.entrypoint [options of twistd lmgw]``. The file is read at every start, so that a restart of the
container is all that a rotated key needs; the gateway itself knows only its environment.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, MutableMapping, Sequence

#: Which file, and which user (``UID:GID``) the gateway becomes when the container starts as root.
FILE_VARIABLE, USER_VARIABLE = "LMG_ENV_FILE", "LMG_RUN_AS"
DEFAULT_FILE, DEFAULT_USER = "/run/lmgw/.env", "10001:10001"

_LINE = re.compile(rb"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_USER = re.compile(r"([1-9]\d{0,8}):([1-9]\d{0,8})")


def variables(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield line number, name and value of each ``NAME=value`` line; an unusable line has an empty name.

    Values are raw: everything from the first ``=`` to the end of the line, quotes, ``$``, ``#`` and spaces included.
    Only a carriage return at the end is no part of it. Lines that are blank or begin with ``#`` are left out.
    """
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        found = _LINE.fullmatch(line)
        yield (number, b"", b"") if found is None or b"\0" in line else (number, found[1], found[2])


def read(path: str, environ: MutableMapping[bytes, bytes]) -> Iterator[str]:
    """Put a file's variables over ``environ``; yield what an operator should know, never a value."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return
    except PermissionError:
        yield f"{path} cannot be read by user {os.geteuid()}: its keys are missing; start the container as root"
        return
    except OSError as error:
        yield f"{path} cannot be read ({error.strerror}): its keys are missing"
        return
    for number, name, value in variables(content):
        if not name:
            yield f"{path}: line {number} is not NAME=value and is left out"
            continue
        environ[name] = value
        if len(value) > 1 and value[:1] == value[-1:] and value[:1] in b"\"'":
            yield f"{path}: line {number}: the quotes around the value of {name.decode()} are taken as a part of it"


def drop(user: str) -> None:
    """Become ``UID:GID`` for good, without further groups. Raises :class:`SystemExit` with words if that fails."""
    found = _USER.fullmatch(user)
    if found is None:
        raise SystemExit(f"${USER_VARIABLE} must be UID:GID in numbers, neither of them 0")
    uid, gid = int(found[1]), int(found[2])
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise SystemExit(
            f"cannot become user {user} ({error.strerror}), and the gateway never runs as root: give the container "
            "the capabilities SETUID and SETGID, or start it as another user"
        ) from None


def main(arguments: Sequence[str]) -> None:
    """Read the file, drop root's rights, become ``twistd``; does not return."""
    for sentence in read(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE, os.environb):
        print(f"entrypoint: {sentence}", file=sys.stderr, flush=True)
    if os.geteuid() == 0:
        drop(os.environ.get(USER_VARIABLE) or DEFAULT_USER)
    command = ["twistd", "-n", "--pidfile=", "lmgw", *arguments]
    try:
        os.execvp(command[0], command)  # noqa: S606 - the program is this one's own
    except OSError as error:
        raise SystemExit(f"cannot start twistd: {error.strerror}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
