"""What runs elsewhere: other people's code by digest, and no right that is not needed."""

import re
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
WORKFLOWS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.yml"))}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_digest(name):
    used = re.findall(r"uses: (\S+)(.*)", WORKFLOWS[name])
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


@pytest.mark.parametrize("name", WORKFLOWS)
def test_rights_are_given_to_jobs_one_by_one(name):
    workflow = yaml.safe_load(WORKFLOWS[name])
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_a_push_gets_no_right_to_write():
    assert all("permissions" not in job for job in yaml.safe_load(WORKFLOWS["test"])["jobs"].values())


def test_nothing_from_outside_is_put_into_a_shell():
    """An expression in ``run`` would be text of a script; names of branches and titles can hold anything."""
    for text in WORKFLOWS.values():
        for job in yaml.safe_load(text)["jobs"].values():
            assert all("${{" not in step.get("run", "") for step in job["steps"])


def test_a_release_brings_what_is_promised():
    jobs = yaml.safe_load(WORKFLOWS["release"])["jobs"]
    assert jobs["image"]["needs"] == "packages"
    (build,) = (step["with"] for step in jobs["image"]["steps"] if "docker/build-push-action" in step.get("uses", ""))
    assert (build["platforms"], build["sbom"], build["provenance"]) == ("linux/amd64,linux/arm64", True, "mode=max")
    for job in jobs.values():
        assert job["permissions"]["id-token"] == "write"
        assert any("attest-build-provenance" in step.get("uses", "") for step in job["steps"])
