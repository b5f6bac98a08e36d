"""The workflow that users copy: pinned actions, the least rights, and nothing installed that is not pinned."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.projects import EXAMPLE

FILES = sorted((EXAMPLE / ".github" / "workflows").glob("*.yml"))
ALL_FILES = [*FILES, EXAMPLE / "examples" / "scheduling" / "github_actions.yml"]


def steps(file):
    return [step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]]


def test_there_is_a_workflow():
    assert FILES


@pytest.mark.parametrize("file", ALL_FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit_and_name_their_version(file):
    used = re.findall(r"uses: *(.*)", file.read_text())
    assert used
    for each in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", each), each


@pytest.mark.parametrize("file", ALL_FILES, ids=lambda file: file.name)
def test_a_workflow_may_read_the_repository_and_nothing_else(file):
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_whatever_is_installed_is_pinned(file):
    commands = [step["run"] for step in steps(file) if "run" in step]
    for command in commands:
        assert "--upgrade" not in command, command
        if "pip install" in command:
            assert "--constraint constraints.txt" in command, command
        if "pipx run" in command:
            assert re.search(r"--spec [\w-]+==\d", command), command
    assert any("pip-audit" in command for command in commands)
