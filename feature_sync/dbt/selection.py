"""Asks dbt itself what a selection means, so that `--select` has all of dbt's syntax and none of our own."""

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
    """Return the unique ids that `dbt ls` names; `options` are further options of dbt's, by name.

    Raises:
        ProjectError: There is no dbt to ask.
        RequestError: dbt refuses the selection.
    """
    beside = Path(sys.executable).with_name("dbt")
    dbt = str(beside) if beside.exists() else shutil.which("dbt")
    if dbt is None:
        raise ProjectError("--select asks dbt, and no dbt is installed; name the feature views instead")
    command = [dbt, "--quiet", "ls", "--no-write-json", "--project-dir", str(project_dir)]
    command += ["--output", "json", "--output-keys", "unique_id"]
    for option, values in (("--select", selection), ("--exclude", exclusion)):
        command += [option, *values] if values else []
    for option, value in options.items():
        command += [option, value] if value else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "DO_NOT_TRACK": "1"})
    if done.returncode != 0:
        said = " ".join((done.stdout + done.stderr).split())
        raise RequestError(f"dbt refuses {spoken_selection(selection, exclusion)}: {said}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return {json.loads(line)["unique_id"] for line in lines}


def spoken_selection(selection: Sequence[str], exclusion: Sequence[str]) -> str:
    """Write a selection as a person typed it."""
    options = (("--select", selection), ("--exclude", exclusion))
    return " ".join(f"{option} {' '.join(values)}" for option, values in options if values)
