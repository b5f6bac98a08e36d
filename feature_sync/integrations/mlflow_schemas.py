"""MLflow's words for types: of the columns of a training set, and of what a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feature_sync.extras import needed_by
from feature_sync.integrations.categories import Categories
from feature_sync.service_schema import Pin
from feature_sync.serving.columns import NUMBERS
from feature_sync.value_types import ValueType, parse

with needed_by("feature_sync.integrations.mlflow"):
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

_ARROW = (
    ("int", "long"),
    ("uint", "long"),
    ("double", "double"),
    ("float", "float"),
    ("halffloat", "float"),
    ("decimal", "double"),
    ("bool", "boolean"),
    ("timestamp", "datetime"),
    ("date", "datetime"),
    ("string", "string"),
    ("large_string", "string"),
    ("binary", "binary"),
)
"""How Arrow's types begin, and MLflow's type for them."""
_OTHERS = {"bytes": "binary", "date": "datetime", "timestamp": "datetime"}


def columns_schema(column_types: Mapping[str, str]) -> Schema:
    """Return the schema of a dataset.

    Args:
        column_types: Arrow's types by column, as a sidecar has them.
    """
    return Schema([ColSpec(_of_arrow(kind), name) for name, kind in column_types.items()])


def signature_of(pin: Pin, categories: Categories | None = None) -> ModelSignature:
    """Return the signature of a model that takes the features of a service, or with categories encoded ones.

    Numbers and booleans are doubles, as served frames have them: NaN is null.
    """
    if categories is not None:
        return ModelSignature(Schema([ColSpec(DataType.double, name) for name in categories.features]))
    return ModelSignature(Schema([ColSpec(_of_feature(parse(each.type)), each.name) for each in pin.features]))


def _of_arrow(kind: str) -> Any:
    found = next((name for begin, name in _ARROW if kind.startswith(begin)), None)
    return AnyType() if found is None else DataType[found]


def _of_feature(kind: ValueType) -> Any:
    if kind.kind in NUMBERS:
        return DataType.double
    if kind.element is not None or kind.kind in ("struct", "timestamptz"):  # a `datetime` of MLflow has no zone
        return AnyType()
    return DataType[_OTHERS.get(kind.kind, "string")]
