"""The versions that README's table of integrations tells are those that the tests run."""

from __future__ import annotations

import re

from tests.support.projects import EXAMPLE

FILES = (
    "constraints.txt",
    "tests/models.txt",
    "tests/deep.txt",
    "tests/airflow.txt",
    "tests/schedulers.txt",
    "tests/lake.txt",
    "tests/engines.txt",
    "tests/spark.txt",
)
PACKAGES = {
    "Airflow": "apache-airflow", "DuckDB": "duckdb", "FastAPI": "fastapi", "LightGBM": "lightgbm",
    "MLflow": "mlflow-skinny", "PyTorch": "torch", "Sail": "pysail", "Spark": "pyspark",
    "TensorFlow": "tensorflow-cpu", "XGBoost": "xgboost-cpu",
}  # fmt: skip
"""Packages that are called otherwise than what they bring."""


def test_the_table_of_integrations_tells_the_versions_that_the_tests_run():
    pinned: dict[str, set[str]] = {}
    for file in FILES:
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", (EXAMPLE / file).read_text(), re.MULTILINE):
            pinned.setdefault(name.lower(), set()).add(version)
    table = (EXAMPLE / "README.md").read_text().partition("## Works with\n")[2].partition("\n## ")[0]
    told = dict(re.findall(r"([A-Za-z][\w-]+) (\d+\.\d+[\d.]*)", table))
    assert len(told) == 24
    for name, version in told.items():
        assert version in pinned[PACKAGES.get(name, name).lower()], name
