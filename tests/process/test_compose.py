"""The stack: what its file promises, read; no engine runs here."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lmgw import entrypoint
from lmgw.config.loader import DEFAULT_PATH
from lmgw.config.snapshot import Gateway

STACK = Path(__file__).parents[2] / "stacks" / "claw-router"
#: The keys of the Compose Specification that are used, by what holds them.
KNOWN = {
    "": {"name", "services"},
    "service": {
        *("image", "user", "cap_drop", "cap_add", "security_opt", "read_only", "tmpfs", "volumes", "ports"),
        *("extra_hosts", "healthcheck", "restart", "stop_grace_period", "logging"),
    },
    "volume": {"type", "source", "target", "read_only", "bind"},
    "healthcheck": {"test", "interval", "timeout", "start_period", "retries"},
    "logging": {"driver", "options"},
}


def compose():
    """The command of Docker Compose 2, if there is one: ``config`` needs no engine."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True)
            if done.returncode == 0 and not done.stdout.startswith(("0", "1")):
                return command
    return None


COMPOSE = compose()
with_compose = pytest.mark.skipif(COMPOSE is None, reason="Docker Compose 2 is not installed")


@pytest.fixture(scope="module")
def stack():
    return yaml.safe_load((STACK / "compose.yaml").read_text())


@pytest.fixture
def service(stack):
    return stack["services"]["lm-gateway"]


def test_it_has_keys_that_compose_knows(stack, service):
    assert stack.keys() == KNOWN[""]
    assert service.keys() == KNOWN["service"]
    assert all(volume.keys() == KNOWN["volume"] for volume in service["volumes"])
    assert service["healthcheck"].keys() == KNOWN["healthcheck"]
    assert service["logging"].keys() == KNOWN["logging"]


def test_the_image_is_one_variable(service):
    assert re.fullmatch(r"\$\{LMGW_IMAGE:-[a-z:/.]+\}", service["image"])


def test_the_folder_and_the_keys_are_mounted_read_only_and_never_made(service):
    folder, keys = service["volumes"]
    assert folder["target"] == str(Path(DEFAULT_PATH).parent)
    assert (keys["source"], keys["target"]) == ("./.env", entrypoint.DEFAULT_FILE)
    for volume in (folder, keys):
        assert volume["type"] == "bind"
        assert volume["read_only"] is True
        assert volume["bind"] == {"create_host_path": False}


def test_keys_are_in_no_other_way(service):
    assert not {"env_file", "environment", "secrets"} & service.keys()


def test_the_admin_port_is_published_on_loopback_alone(service):
    assert service["ports"] == ["8080:8080", "127.0.0.1:8081:8081"]


def test_root_may_become_the_service_and_nothing_else(service):
    assert (service["user"], service["cap_drop"], service["cap_add"]) == ("0:0", ["ALL"], ["SETUID", "SETGID"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["tmpfs"][0].startswith("/tmp:")


def test_streams_may_finish(service):
    gateway = Gateway()
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace * 1000 > gateway.shutdown_delay_ms + gateway.shutdown_grace_ms


def test_it_comes_back_says_how_it_is_and_fills_no_disk(service):
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][:3] == ["CMD", "lmgw", "healthcheck"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_an_ollama_on_the_server_can_be_reached(service):
    assert service["extra_hosts"] == ["host.docker.internal:host-gateway"]


def test_its_comment_names_the_service(stack):
    text = (STACK / "compose.yaml").read_text()
    (name,) = stack["services"]
    assert f"docker compose kill -s HUP {name} " in text
    assert f"docker compose restart {name} " in text


@with_compose
def test_compose_takes_it_whatever_the_keys_are(tmp_path):
    """The variable keeps Compose from reading ``.env`` for itself: docs/setup.md says when that matters."""
    shutil.copy(STACK / "compose.yaml", tmp_path)
    (tmp_path / ".env").write_text("A='it\"s\nB=a$b\nC=${x\n")
    environ = {**os.environ, "COMPOSE_DISABLE_ENV_FILE": "1", "LMGW_CONFIG_DIR": str(tmp_path)}
    command = [*COMPOSE, "config", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    service = seen["services"]["lm-gateway"]
    assert seen["name"] == "lm-gateway"
    assert service["image"] == "lmgw:latest"
    assert [(port.get("host_ip"), port["published"]) for port in service["ports"]] == [
        (None, "8080"),
        ("127.0.0.1", "8081"),
    ]
    assert [volume["source"] for volume in service["volumes"]] == [str(tmp_path), str(tmp_path / ".env")]
    assert "environment" not in service
