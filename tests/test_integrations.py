"""Notebooks: scikit-learn, XGBoost, LightGBM and MLflow take training sets, and serve what was trained on them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import pytest

from tests.support.page import program_of
from tests.support.projects import EXAMPLE, own_copy

PYTHON = EXAMPLE / ".venv-models" / "bin" / "python"
PAGE = EXAMPLE / "docs" / "models.md"
LIBRARIES = ("lightgbm", "mlflow", "sklearn", "xgboost")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_is_told_by_its_extra(library):
    code = f"import sys; sys.modules[{library!r}] = None\nimport feature_sync.integrations.{library}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    says = f"feature_sync.integrations.{library} needs {library}: pip install 'feature-sync[{library}]'"
    assert done.stderr.splitlines()[-1] == f"feature_sync.extras.MissingLibrary: {says}"


def test_each_library_is_an_extra():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert set(LIBRARIES) <= set(project["optional-dependencies"])


@pytest.fixture
def models(example, redis_url, tmp_path):
    """Runs the Python of `.venv-models` in a copy of the example that was pushed."""
    assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-models/.made"
    project = own_copy(example, tmp_path / "copy")
    project.environment.update(
        FEATURE_SYNC_REDIS_URL=redis_url, PYTHONPATH=str(EXAMPLE), MLFLOW_DISABLE_TELEMETRY="true"
    )
    assert project.feature_sync("push").returncode == 0
    return project


def checked(project, worker, check):
    done = project.run(str(PYTHON), "-m", f"tests.support.{worker}", check)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done")


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        "scikit_learns_own_checks_pass",
        "every_fold_is_answered_as_of_its_moments",
        "folds_are_answered_in_processes_of_their_own",
        "a_grid_search_is_dumped_loaded_and_served",
        "rows_keep_their_order_and_index_in_every_form",
        "a_lookup_without_a_project_serves_only",
        "a_lookup_says_what_is_wrong",
    ],
)
def test_scikit_learn_looks_features_up(models, check):
    checked(models, "integration_worker", check)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        "batches_have_one_list_of_categories",
        "served_vectors_are_encoded_as_training_rows",
        "the_same_inputs_give_the_same_model_three_times",
        "integers_beyond_float64_survive_or_are_refused_by_name",
        "memory_is_bounded_by_the_batch",
        "an_encoder_says_what_is_wrong",
    ],
)
def test_gradient_boosting_takes_training_sets(models, check):
    checked(models, "integration_worker", check)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        "a_training_set_is_logged_with_pin_query_and_sidecar",
        "the_pin_travels_with_a_model",
        "a_model_in_service_notices_a_push",
        "a_signature_accepts_served_frames_of_every_type",
        "a_batch_is_scored_as_it_is_served_at_that_moment",
    ],
)
def test_mlflow_keeps_training_sets_and_models(models, check):
    checked(models, "mlflow_worker", check)


@pytest.fixture
def host(models, tmp_path):
    """Serves the logged models in a folder that holds nothing."""
    folder = tmp_path / "host"
    folder.mkdir()
    checked(models, "mlflow_worker", "log_for_a_host")

    def serve(on_drift="raise"):
        tracking, expected = f"sqlite:///{models.folder}/mlflow.db", str(models.folder / "expected.json")
        done = models.run(
            "env", "--chdir", str(folder), "-u", "DBT_PROFILES_DIR", "-u", "DBT_TARGET",
            str(PYTHON), "-m", "tests.support.mlflow_host", tracking, expected, on_drift,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["loaded"] == []
        assert len(told["models"]) == 3
        outcomes = {tuple(each) for each in told["models"].values()}
        assert len(outcomes) == 1
        return outcomes.pop()

    return serve


def change(project, file, old, new):
    path = project.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    project.dbt("--quiet", "build")
    done = project.feature_sync("push")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_host_without_project_or_warehouse_serves_a_model_only_while_its_service_has_the_shape(host, models):
    assert host() == ("equal",)
    change(models, "models/features/aircraft_profile.sql", "manufacturer\n", "upper(manufacturer) as manufacturer\n")
    said, *warned = host()
    assert said == "equal"
    assert [re.sub("[0-9a-f]{16}", "ID", each) for each in warned] == [
        "warned: departure_delay_model is computed by other SQL than the model was trained on (logic ID, now ID)"
    ]
    assert host("ignore") == ("equal",)
    change(models, "models/ml/departure_delay_model.yml", "visib, precip, pressure", "visib, pressure")
    assert host() == ("refused", "precip: gone")
    checked(models, "mlflow_worker", "score_after_a_change")


@pytest.mark.slow
def test_the_page_runs_from_the_top_to_the_bottom(models):
    done = models.run(str(PYTHON), "-c", program_of(PAGE))
    assert done.returncode == 0, done.stderr
