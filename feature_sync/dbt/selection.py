"""Resolves `--select` and `--exclude` with `dbt ls`, so that they have exactly dbt's syntax."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from feature_sync.errors import ProjectError, RequestError


def select(
    selection: Sequence[str], exclusion: Sequence[str], *, project_dir: Path, options: dict[str, str | None]
) -> set[str]:
    """Return the unique ids that `dbt ls` lists.

    Args:
        selection: dbt's selectors.
        exclusion: dbt's selectors of nodes to leave out.
        project_dir: The folder of the dbt project.
        options: Further options of dbt by name, such as `--target`; those without a value are left out.

    Raises:
        ProjectError: dbt is not installed.
        RequestError: dbt refuses the selection.
    """
    beside = Path(sys.executable).with_name("dbt")
    dbt = str(beside) if beside.exists() else shutil.which("dbt")
    if dbt is None:
        raise ProjectError("--select needs dbt, which is not installed; name the feature views instead")
    command = [dbt, "--quiet", "ls", "--no-write-json", "--project-dir", str(project_dir)]
    command += ["--output", "json", "--output-keys", "unique_id"]
    for option, values in (("--select", selection), ("--exclude", exclusion)):
        command += [option, *values] if values else []
    for option, value in options.items():
        command += [option, value] if value else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "DO_NOT_TRACK": "1"})
    if done.returncode != 0:
        message = " ".join((done.stdout + done.stderr).split())
        raise RequestError(f"dbt refuses {selection_text(selection, exclusion)}: {message}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return {json.loads(line)["unique_id"] for line in lines}


def selection_text(selection: Sequence[str], exclusion: Sequence[str]) -> str:
    """Return a selection as command-line options."""
    options = (("--select", selection), ("--exclude", exclusion))
    return " ".join(f"{option} {' '.join(values)}" for option, values in options if values)
