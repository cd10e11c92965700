"""The Dockerfile without an engine: every COPY and RUN is done by hand in a fresh folder, and its last words too.

The folder stands for the root of both stages; the paths that the Dockerfile makes are moved into it. ``FROM`` is
stood in for by a virtual environment of the Python that runs the tests. What cannot be done so is read instead.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import NOBODY

from lmgw import entrypoint

ROOT = Path(__file__).parents[2]
#: The folders that the Dockerfile makes or fills.
OWN = re.compile(r"(?<![\w.])/(?=(?:src|opt/lmgw|etc/lm-gateway)\b)")
CONFIG = """
[gateway]
client_port = {port}
admin_port = 0
[backends.demo]
provider = "demo"
[[tiers]]
name = "one"
backend = "demo"
model = "small"
"""


def statements():
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


STATEMENTS = statements()


def only(keyword):
    """The argument of a statement that stands there once."""
    (found,) = (rest for name, rest in STATEMENTS if name == keyword)
    return found


#: The one RUN that would change the machine; it is done elsewhere below.
(USER_MADE,) = (rest for name, rest in STATEMENTS if name == "RUN" and "useradd " in rest)


def variables():
    return dict(pair.split("=", 1) for pair in only("ENV").split())


class Image:
    """What the Dockerfile makes, in a folder."""

    def __init__(self, root: Path):
        self.root = root
        self.folder = root
        self.environ = os.environ | {"PATH": f"{root}/base/bin:{os.environ['PATH']}"}
        self.read = []
        subprocess.run([sys.executable, "-m", "venv", root / "base"], check=True)

    def inside(self, text: str) -> str:
        return OWN.sub(f"{self.root}/", text)

    def perform(self, keyword: str, rest: str) -> None:
        match keyword:
            case "WORKDIR":
                self.folder = self.root / rest.lstrip("/")
                self.folder.mkdir(parents=True, exist_ok=True)
            case "COPY" if rest.startswith("--from=build "):
                _, source, target = rest.split()
                assert source == target, "a virtual environment cannot move"
                assert Path(self.inside(source)).is_dir()
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    self._copy(source, self.folder / self.inside(target))
            case "ENV":
                for name, value in variables().items():
                    self.environ[name] = self.inside(value).replace("$PATH", self.environ["PATH"])
            case "RUN" if rest != USER_MADE:
                command = self.inside(rest).replace(" --no-cache-dir", "")  # that is for the image's size
                done = subprocess.run(
                    ["sh", "-c", command], cwd=self.folder, env=self.environ, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{rest}: {done.stderr}"
            case _:
                self.read.append(keyword)

    def _copy(self, source: str, target: Path) -> None:
        allowed = (ROOT / ".dockerignore").read_text().splitlines()
        assert f"!{source}" in allowed, f".dockerignore keeps {source} from the builder"
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "dropin.cache")
            shutil.copytree(ROOT / source, target, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, target / source)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    root = tmp_path_factory.mktemp("image")
    if os.geteuid() == 0:  # another user runs it
        for folder in (root, root.parent, root.parent.parent):
            folder.chmod(folder.stat().st_mode | 0o055)
    it = Image(root)
    for keyword, rest in STATEMENTS:
        it.perform(keyword, rest)
    return it


def test_every_statement_is_done_or_is_read_below(image):
    assert sorted(image.read) == sorted(
        ["ARG", "FROM", "FROM", "LABEL", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"]
    )


def test_what_serves_cannot_install(image):
    assert not list((image.root / "opt/lmgw/lib").glob("python*/site-packages/pip"))


def test_twisteds_cache_of_plugins_is_in_it(image):
    (cache,) = (image.root / "opt/lmgw/lib").glob("python*/site-packages/twisted/plugins/dropin.cache")
    assert b"lmgw_plugin" in cache.read_bytes()


def test_the_exact_token_counts_are_in_it(image):
    assert list((image.root / "opt/lmgw/lib").glob("python*/site-packages/rs_bpe*"))


def test_the_entrypoint_serves_as_another_user_and_the_healthcheck_sees_it(image, tmp_path):
    """Started as Docker does, and stopped: by SIGTERM, with exit code 0."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = image.root / "etc/lm-gateway/config.toml"
    config.write_text(CONFIG.format(port=port))
    user = NOBODY if os.geteuid() == 0 else ()
    environ = image.environ | {"LMG_CONFIG": str(config)}
    before = sum(1 for _ in image.root.rglob("*"))
    entry = json.loads(only("ENTRYPOINT"))
    program = shutil.which(entry[0], path=environ["PATH"])
    with subprocess.Popen([*user, program, *entry[1:]], cwd="/", env=environ, stdout=-1, text=True) as gateway:
        try:
            log = [gateway.stdout.readline()]
            while "ready" not in log[-1] and log[-1]:
                log.append(gateway.stdout.readline())
            assert "ready" in log[-1], "".join(log)
            check = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
            program = shutil.which(check[0], path=environ["PATH"])
            subprocess.run([*user, program, *check[1:]], cwd="/", env=environ, check=True, timeout=10)
            gateway.terminate()
            assert gateway.wait(10) == 0
        finally:
            gateway.kill()
    assert sum(1 for _ in image.root.rglob("*")) == before, "it wrote files"
    assert subprocess.run([program, *check[1:]], cwd="/", env=environ, timeout=10).returncode == 1


# --- what is read ------------------------------------------------------------------------------------------------


def test_both_stages_have_the_same_slim_python():
    assert only("ARG") == "PYTHON=3.13"
    stages = [rest for name, rest in STATEMENTS if name == "FROM"]
    assert stages == ["python:${PYTHON}-slim AS build", "python:${PYTHON}-slim"]


def test_the_service_is_never_root():
    user, _, group = only("USER").partition(":")
    assert f"--uid {user} --gid {group} " in USER_MADE
    assert int(user) > 999
    assert f"{user}:{group}" == entrypoint.DEFAULT_USER, "what it becomes where the container starts as root"
    names = [name for name, _ in STATEMENTS]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]


@pytest.mark.skipif(os.geteuid() != 0, reason="useradd wants root")
def test_the_user_can_be_made(tmp_path):
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    there = re.sub(r"\b(user|group)add ", rf"\1add --prefix {tmp_path} ", USER_MADE)
    subprocess.run(["sh", "-c", there], check=True, capture_output=True)
    (line,) = (tmp_path / "etc/passwd").read_text().splitlines()
    assert line == "lmgw:x:10001:10001::/nonexistent:/usr/sbin/nologin"


def test_it_listens_where_the_world_outside_can_reach_it():
    assert variables() | {"LMG_CLIENT_HOST": "::", "LMG_ADMIN_HOST": "::"} == variables()
    assert only("EXPOSE") == "8080 8081"


def test_it_is_process_1_and_is_told_to_stop_by_a_signal_it_knows():
    entry = json.loads(only("ENTRYPOINT"))
    assert entry == ["python", "-P", "-m", "lmgw.entrypoint"]  # becomes twistd: test_entrypoint.py
    assert only("STOPSIGNAL") == "SIGTERM"


def test_labels_say_what_it_is():
    for name in ("title", "description", "licenses"):
        assert f"org.opencontainers.image.{name}=" in only("LABEL")
