"""PyTorch and TensorFlow read training sets: every row once, in any number of processes, and nothing is rounded."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap

import pytest

from tests.support.projects import EXAMPLE

pytestmark = pytest.mark.slow
PYTHON = EXAMPLE / ".venv-deep" / "bin" / "python"
PAGE = EXAMPLE / "docs" / "models.md"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(EXAMPLE), "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("every_row_comes_once_whatever_the_number_of_workers", "12 loaders"),
        ("every_row_comes_once_over_two_ranks", "2 ranks"),
        ("a_model_of_torch_learns_what_the_rows_say", "1 models"),
        ("what_is_not_exact_is_refused_by_name", "4 refused"),
        ("tensorflow_takes_every_row_once_and_shuffles_anew", "3 datasets"),
    ],
)
def test_deep_learning_libraries_read_training_sets(tmp_path, check, told):
    assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-deep/.made"
    command = [str(PYTHON), "-m", "tests.support.deep_worker", check]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == told


def test_the_blocks_of_the_page_run(example, tmp_path):
    path = tmp_path / "training_set.parquet"
    extract = ("extract", "departure_delay_model", "--spine", "departures", "-o", str(path))
    assert example.feature_sync(*extract).returncode == 0
    program = "\n".join(re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    assert program.count("import to_") == 2
    program += "print(features.shape[1], dataset.element_spec[0].shape)\n"
    told = f"if __name__ == '__main__':\n{textwrap.indent(program, '    ')}"
    (tmp_path / "page.py").write_text(told)
    done = subprocess.run(
        [str(PYTHON), "page.py"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "4 (None, 4)"
