"""The workflow that users copy: pinned actions, the least rights, and nothing installed that is not pinned."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.projects import EXAMPLE, BuiltProject, copy_project

PLAN = EXAMPLE / ".github" / "workflows" / "plan.yml"
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
    for job in workflow["jobs"].values():
        if "permissions" in job:  # it may write a comment, and runs no code of the pull request
            assert job["permissions"] == {"pull-requests": "write"}
            assert not any("uses" in step for step in job["steps"])
            assert not any(
                word in str(job["steps"]) for word in ("pip", "dbt", "git ", "${{ github.event.pull_request.title")
            )


@pytest.mark.parametrize("file", ALL_FILES, ids=lambda file: file.name)
def test_what_others_write_reaches_a_shell_as_a_variable_only(file):
    for job in yaml.safe_load(file.read_text())["jobs"].values():
        for command in (step["run"] for step in job["steps"] if "run" in step):
            assert "${{" not in command, command
            subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_whatever_is_installed_is_pinned(file):
    commands = [step["run"] for step in steps(file) if "run" in step]
    for command in commands:
        assert "--upgrade" not in command, command
        if "pip install" in command:
            assert "--constraint constraints.txt" in command, command
        if "pipx run" in command:
            assert re.search(r"--spec [\w-]+==\d", command), command
    assert file.name != "ci.yml" or any("pip-audit" in command for command in commands)


@pytest.mark.slow
def test_the_plan_of_a_pull_request_is_what_the_job_posts(tmp_path):
    ours = tmp_path / "ours"
    project = BuiltProject(copy_project(EXAMPLE, ours), target="duckdb")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(ours))
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "base")):
        subprocess.run([*git, *arguments], check=True)
    model = ours / "models" / "features" / "airport_weather.yml"
    model.write_text(model.read_text().replace("lag: 1h", "lag: 2h"))
    by_name = {step.get("name"): step for step in yaml.safe_load(PLAN.read_text())["jobs"]["plan"]["steps"]}
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "feature-sync").write_text(f'#!/bin/sh\nexec {sys.executable} -m feature_sync "$@"\n')
    (bin_folder / "feature-sync").chmod(0o755)
    written = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    variables = {
        **{name: str(path) for name, path in written.items()},
        "BASE": "HEAD",
        "ALLOW": "",
        "PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(EXAMPLE),
    }

    def ends(name, **more):
        return project.run("bash", "-e", "-c", by_name[name]["run"], **{**variables, **more}).returncode

    assert ends("Compile the base") == 0
    assert ends("Compile the pull request") == 0
    assert ends("Plan") == 3
    assert "breaking for departure\\_delay\\_model" in written["GITHUB_STEP_SUMMARY"].read_text()
    first, *lines, last = written["GITHUB_OUTPUT"].read_text().splitlines()
    assert first == f"markdown<<{last}"
    assert "\n".join(lines).strip() == written["GITHUB_STEP_SUMMARY"].read_text().strip()
    assert ends("Plan", ALLOW="--allow-breaking") == 0
