"""The JSON Schema with which editors complete and check our blocks in dbt's YAML, as `dbt/` reads them."""

from __future__ import annotations

from importlib.resources import files

FILE = "dbt_yaml.json"


def read_schema() -> str:
    """Return the JSON Schema, as text."""
    return files(__name__).joinpath(FILE).read_text(encoding="utf-8")
