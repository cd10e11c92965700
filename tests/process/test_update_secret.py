"""The scripts that rotate a key: run for real, with stand-ins for ssh, sudo, docker and sleep on PATH.

``update-secret.ps1`` is not run: it is held to what ``update-secret.sh`` sends, for the server sees only that.
"""

import base64
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

STACK = Path(__file__).parents[2] / "stacks" / "claw-router"
REMOTE = (STACK / "update-secret.remote.sh").read_text()
SHELL = (STACK / "update-secret.sh").read_text()
POWERSHELL = (STACK / "update-secret.ps1").read_text()

STAND_INS = {
    # What goes over the wire, and then what the server would do with it.
    "ssh": '#!/bin/sh\nprintf "%s\\n" "$@" >"$LOG/ssh"\nfor last; do :; done\ntee "$LOG/stdin" | sh -c "$last"\n',
    "sudo": '#!/bin/sh\nprintf "%s\\n" "$*" >"$LOG/sudo"\nshift\nexec "$@"\n',
    "id": "#!/bin/sh\necho 1000\n",
    "sleep": "#!/bin/sh\n",
    "docker": """#!/bin/sh
printf '%s|%s\\n' "$COMPOSE_DISABLE_ENV_FILE" "$*" >>"$LOG/docker"
case $2 in
restart) cp .env "$LOG/restarted-with"; exit "${RESTART:-0}" ;;
exec)
    polls=$(grep -c '|compose exec' "$LOG/docker")
    [ "$polls" -ge "${READY_AT:-1}" ] && echo '{"status":"ok","ready":true}' && exit
    [ -n "$SILENT" ] && exit 1
    echo '{"status":"ok","ready":false}'
    ;;
esac
""",
}


class Server:
    """A folder that stands for the server's stack."""

    def __init__(self, folder, shell):
        self.stack, self.log, self.shell = folder / "stack", folder / "log", shell
        for each in (self.stack, self.log, folder / "bin"):
            each.mkdir()
        for name, text in STAND_INS.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.path = f"{folder}/bin:{os.environ['PATH']}"
        self.file = self.stack / ".env"

    def holds(self, content):
        self.file.write_bytes(content)
        self.file.chmod(0o600)

    def update(self, *arguments, value=b"", key="KEY", **env):
        command = [self.shell, STACK / "update-secret.sh", "--backend-key", key, "--server", "s", *arguments]
        command += ["--directory", self.stack]
        environ = {"PATH": self.path, "LOG": str(self.log), **env}
        return subprocess.run(command, input=value, env=environ, capture_output=True, timeout=60)

    def logged(self, name):
        path = self.log / name
        return path.read_bytes() if path.exists() else b""


@pytest.fixture(params=["sh", "bash"])
def server(request, tmp_path):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return Server(tmp_path, request.param)


VALUES = [
    "sk-ant-plain",
    "a$HOME$$b${X}`id`$(id)",
    'it\'s "so"',
    "a#b #c",
    "=a=b==",
    "  spaces within and around  ",
    "schlüssel-鍵-🔑",
    "back\\slash\\n%s%%",
    "-n",
    "*",
]


@pytest.mark.parametrize("value", VALUES)
def test_exactly_that_line_is_replaced(server, value):
    server.holds(b"# my keys\nOTHER=1$x\r\nKEY=old\nMY_KEY=2\nKEY_B=3")
    done = server.update(value=value.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.file.read_bytes() == b"# my keys\nOTHER=1$x\r\nKEY=" + value.encode() + b"\nMY_KEY=2\nKEY_B=3\n"
    assert server.logged("restarted-with") == server.file.read_bytes()
    assert done.stdout.decode() == f"KEY is set in {server.stack}/.env\nlm-gateway is ready\n"


def test_a_new_name_is_added(server):
    server.holds(b"OTHER=1")
    assert server.update(value=b"new\n").returncode == 0
    assert server.file.read_bytes() == b"OTHER=1\nKEY=new\n"


def test_a_name_that_stands_twice_stands_once(server):
    server.holds(b"KEY=1\nX=\nKEY=2\n")
    assert server.update(value=b"new").returncode == 0
    assert server.file.read_bytes() == b"KEY=new\nX=\n"


def test_without_a_file_one_is_made(server):
    assert server.update(value=b"new").returncode == 0
    assert server.file.read_bytes() == b"KEY=new\n"
    assert stat.S_IMODE(server.file.stat().st_mode) == 0o600


def test_mode_and_owner_stay_and_the_file_is_another(server):
    """Another file under the same name: whoever reads meanwhile sees the old one or the new one, whole."""
    server.holds(b"KEY=old\n")
    if os.geteuid() == 0:
        os.chown(server.file, 1234, 1235)
    before = server.file.stat()
    assert server.update(value=b"new").returncode == 0
    after = server.file.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, 0o600)
    assert after.st_ino != before.st_ino
    assert os.listdir(server.stack) == [".env"]


def test_the_value_is_on_no_command_line(server):
    server.holds(b"")
    assert server.update(value=b"sk-secret-value").returncode == 0
    encoded = base64.b64encode(b"sk-secret-value")
    for name in ("ssh", "sudo", "docker"):
        assert server.logged(name)
        assert b"secret-value" not in server.logged(name)
        assert encoded not in server.logged(name)
    assert encoded in server.logged("stdin")


def test_docker_compose_does_not_read_the_file_of_keys(server):
    server.holds(b"")
    server.update(value=b"it's")
    assert server.logged("docker").splitlines()[0] == b"1|compose restart lm-gateway"


def test_it_waits_until_ready(server):
    server.holds(b"")
    done = server.update(value=b"x", READY_AT="4")
    assert done.returncode == 0
    assert server.logged("docker").count(b"compose exec -T lm-gateway lmgw healthcheck --url ") == 4


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"READY_AT": "99"}, "it runs, but is not ready: another key is missing; docker compose logs lm-gateway"),
        ({"READY_AT": "99", "SILENT": "1"}, "it does not answer: docker compose logs lm-gateway"),
        ({"RESTART": "1"}, "the restart failed: docker compose logs lm-gateway"),
    ],
)
def test_what_went_wrong_is_said(server, env, words):
    server.holds(b"")
    done = server.update(value=b"x", **env)
    assert done.returncode == 1
    assert words in done.stderr.decode()


@pytest.mark.parametrize("key", ["key", "1KEY", "KEY-A", "KEY=x", "_KEY", "A B", "KEY\nB", "$(id)", ""])
def test_a_bad_name_is_refused_before_anything_is_sent(server, key):
    done = server.update(key=key, value=b"x")
    assert (done.returncode, server.logged("ssh")) == (2, b"")
    assert "must match ^[A-Z][A-Z0-9_]*$" in done.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [("--server", "-oProxyCommand=id"), ("--directory", "/a;id"), ("--service", "$(id)"), ("--user", "a b")],
)
def test_nothing_else_can_carry_a_command(server, arguments):
    command = [server.shell, STACK / "update-secret.sh", "--server", "s", "--backend-key", "KEY", *arguments]
    done = subprocess.run(command, input=b"x", env={"PATH": server.path, "LOG": str(server.log)}, capture_output=True)
    assert (done.returncode, server.logged("ssh")) == (2, b"")


@pytest.mark.parametrize(("value", "words"), [(b"", "empty"), (b"\n", "empty"), (b"a\nb", "more than one line")])
def test_a_value_that_is_none_changes_nothing(server, value, words):
    done = server.update(value=value)
    assert (done.returncode, server.logged("ssh")) == (2, b"")
    assert words in done.stderr.decode()


def test_a_value_on_the_command_line_works_and_a_better_way_is_named(server):
    server.holds(b"")
    done = server.update("--value", "x $y")
    assert done.returncode == 0
    assert server.file.read_bytes() == b"KEY=x $y\n"
    assert b"leave --value out" in done.stderr


def test_ssh_gets_the_details(server):
    server.holds(b"")
    server.update("--user", "admin", "--ssh-key", "/home/a b/id", "--port", "2222", value=b"x")
    shown = server.logged("ssh").decode().splitlines()
    assert shown[:-1] == ["-T", "-p", "2222", "-i", "/home/a b/id", "--", "admin@s"]
    assert server.logged("sudo") == b"-n sh -s\n"


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox"])
@pytest.mark.parametrize("name", ["update-secret.sh", "update-secret.remote.sh"])
def test_every_shell_can_read_them(shell, name):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = [shell, *(["sh"] if shell == "busybox" else []), "-n", STACK / name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# --- PowerShell --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_powershell_sends_the_same(server, mark):
    """Its lines, filled in as PowerShell would; what it adds: a carriage return at the end, a mark at the beginning."""
    (template,) = re.findall(r'^\$text = "`n(name=.*)`n\$script"$', POWERSHELL, re.MULTILINE)
    value = "$x's #1 ü"
    parts = {"$BackendKey": "KEY", "$Directory": str(server.stack), "$Service": "lm-gateway"}
    parts["$encoded"] = base64.b64encode(value.encode()).decode()
    for variable, text in parts.items():
        template = template.replace(variable, text)
    server.holds(b"KEY=old\n")
    environ = {"PATH": server.path, "LOG": str(server.log)}
    sent = f"{mark}\n{template}\n{REMOTE}\r\n".encode()
    done = subprocess.run([server.shell, "-s"], input=sent, env=environ, capture_output=True)
    assert (done.returncode, bool(done.stderr)) == (0, bool(mark))
    assert server.file.read_bytes() == f"KEY={value}\n".encode()


def test_both_ask_the_server_for_the_same():
    commands = [re.findall(r"'(\[ \$\(id -u\).*)'$", text, re.MULTILINE) for text in (POWERSHELL, SHELL)]
    assert commands[0] == commands[1] != []


def test_what_is_sent_is_ascii():
    """PowerShell's pipe may have any encoding, and Windows PowerShell reads its own files in the system's."""
    assert REMOTE.isascii()
    assert POWERSHELL.isascii()


def test_powershell_checks_what_the_shell_checks():
    for pattern in (r"'^[A-Z][A-Z0-9_]*\z'", "-cmatch", "-AsSecureString", "ContainsKey('Value')", r"'[\r\n\x00]'"):
        assert pattern in POWERSHELL
    names = re.findall(r"\]\$(\w+)(?: =|,|\n)", POWERSHELL[: POWERSHELL.index("$ErrorActionPreference")])
    assert names == ["BackendKey", "Value", "Server", "User", "SshKey", "Port", "Directory", "Service"]


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="PowerShell is not installed")
def test_powershell_can_read_it():
    check = "$e = $null; [void][Management.Automation.Language.Parser]::ParseFile($args[0], [ref]$null, [ref]$e); $e"
    done = subprocess.run(["pwsh", "-NoProfile", "-Command", check, STACK / "update-secret.ps1"], capture_output=True)
    assert (done.returncode, done.stdout.strip()) == (0, b"")
