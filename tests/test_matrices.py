"""Arrays of whole rows hold what arrays of columns do, and leave to those what only they can tell."""

from __future__ import annotations

from math import nan

import numpy
import pytest

from feature_sync.service_schema import SchemaFeature, ServiceSchema
from feature_sync.serving.columns import matrix_of_rows
from feature_sync.serving.layouts import GONE
from feature_sync.value_types import ValueType


def schema(*kinds):
    features = tuple(SchemaFeature(name=f"{kind}_{at}", kind=ValueType(kind)) for at, kind in enumerate(kinds))
    return ServiceSchema(keys=(), features=features)


def row(*values):
    return (b"schema", 0, *values)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        pytest.param([(1, 0.5, True), (2, -0.0, False)], [[1, 0.5, 1], [2, -0.0, 0]], id="plain"),
        pytest.param([(None, 0.5, None), (2, None, True)], [[nan, 0.5, nan], [2, nan, 1]], id="nulls"),
        pytest.param([(GONE, 0.5, True)], [[nan, 0.5, 1]], id="a feature that the row lacks"),
        pytest.param([(2**53 - 1, 1e300, True)], [[2**53 - 1, 1e300, 1]], id="the largest integer"),
    ],
)
def test_rows_become_floats_with_nan_for_null(values, numbers):
    array = matrix_of_rows(schema("int64", "float64", "bool"), [[row(*each) for each in values]], len(values))
    numpy.testing.assert_array_equal(array, numbers)
    assert array.dtype == numpy.float64
    assert array.flags.writeable


def test_the_rows_of_views_stand_side_by_side():
    array = matrix_of_rows(schema("int64", "float64"), [[row(1), row(2)], [row(0.5), row(None)]], 2)
    numpy.testing.assert_array_equal(array, [[1, 0.5], [2, nan]])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        pytest.param("string", ["text"], id="another type than a number"),
        pytest.param("int64", [2**53], id="an integer that float64 may have rounded"),
        pytest.param("int64", [-(2**53) - 1], id="a negative one"),
        pytest.param("int64", [], id="no rows"),
    ],
)
def test_columns_tell_what_rows_cannot(kind, values):
    assert matrix_of_rows(schema(kind), [[row(each) for each in values]], len(values)) is None
