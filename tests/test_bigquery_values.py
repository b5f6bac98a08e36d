"""Values on BigQuery: what the warehouse holds is what `get` returns and a training set shows, type for type."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas
import pyarrow
import pytest

from feature_sync import FeatureStore
from tests.support import emulator
from tests.support.gateway import Gateway
from tests.support.projects import PROJECTS, build_project
from tests.support.values import FORMS, trained_and_served, trained_as_served


@pytest.fixture(scope="module")
def project(bigquery, tmp_path_factory):
    """Behind a gateway, since the emulator loads no frame."""
    folder = tmp_path_factory.mktemp("bigquery_types")
    with Gateway(bigquery) as gateway:
        yield build_project(PROJECTS / "bigquery_types", folder, target="bigquery", environment=gateway.environment)


@pytest.fixture(scope="module")
def store(project, redis_server):
    """All values, pushed once: the emulator takes long for them."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in project.environment.items():
            patched.setenv(name, value)
        options = {"target": project.target, "redis_url": redis_server, "key_prefix": "bigquery_values"}
        with FeatureStore(project.folder, profiles_dir=project.folder, **options) as opened:
            assert [each.held_back for each in opened.push()] == [None, None]
            yield opened


def test_every_type_comes_back_exactly_as_bigquery_holds_it(store):
    vector = store.get_feature_vector("everything", {"id": 1}).to_dict()
    assert math.isnan(vector.pop("real_number"))
    assert json.loads(vector.pop("document")) == {"a": [1, None]}
    assert vector == {
        "whole": -(2**63),
        "exact": Decimal("-1234567890123456789.012345678"),
        "flag": True,
        "words": "",
        "raw": b"\x00\xff}",
        "day": date(1969, 12, 31),
        "wall_clock": datetime(1969, 12, 31, 23, 59, 59, 999999),
        "instant": datetime(2024, 3, 31, 0, 30, 0, 1, tzinfo=UTC),
        "numbers": [1, 2, 3],
        "moments": [datetime(2024, 1, 1, 0, 0, 0, 1)],
        "pair": {"day": date(2024, 2, 29), "word": "é"},
    }


def test_the_largest_integer_and_nulls_survive(store):
    vector = store.get_feature_vector("everything", {"id": 2}).to_dict()
    assert (vector["whole"], vector["words"], vector["exact"]) == (2**63 - 1, "a|{é}%", Decimal("1.5"))
    assert vector["real_number"] == 0.1
    nulls = store.get_feature_vector("everything", {"id": 3})
    assert (nulls["words"], str(nulls.statuses["words"])) == (None, "null")
    assert (nulls["real_number"], nulls["pair"], nulls["numbers"]) == (-math.inf, None, [])
    absent = store.get_feature_vector("everything", {"id": 4})
    assert (absent["words"], absent["exact"], absent["whole"]) == ("unknown", Decimal("0.5"), None)


def test_a_training_set_holds_the_same_values_with_their_exact_types(store, tmp_path):
    types, rows = trained_and_served(store, tmp_path)
    assert (types["exact"], types["wall_clock"]) == ("decimal128(38, 9)", "timestamp[us]")
    assert types["instant"].startswith("timestamp[us, tz=")
    assert (types["day"], types["raw"], types["flag"], types["whole"]) == ("date32[day]", "binary", "bool", "int64")
    assert [row["id"] for row, _ in rows] == [1, 2, 3, 4]
    for row, served in rows:
        assert repr(served.pop("real_number")) == repr(row["real_number"])
        for name, value in served.items():
            assert row[name] == value or (row[name], value) == ([], None)  # BigQuery shows a null array as an empty one


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([1], id="one"),
        pytest.param([3, 4], id="null and missing"),
        pytest.param([1, 2, 3, 4] * 125, id="500", marks=pytest.mark.slow),
    ],
)
def test_training_rows_equal_served_rows_including_their_dtypes(store, ids):
    asked = pandas.DataFrame({"n": range(len(ids)), "id": ids, "event_timestamp": datetime(2024, 1, 2, tzinfo=UTC)})
    forms = FORMS if ids == [3, 4] else FORMS[1:]  # float64 holds none of the other integers
    # BigQuery keeps no null array: those are not compared.
    types, dtypes = trained_as_served(store, "everything", asked, without=("numbers", "moments"), forms=forms)
    assert (types["whole"], types["exact"], types["pair"]) == (
        "int64",
        "decimal128(38, 9)",
        "struct<day: date32[day], word: string>",
    )
    assert {form: each["whole"] for form, each in dtypes.items()} in (
        {"numpy": "float64", "nullable": "Int64"},
        {"nullable": "Int64"},
    )


def test_verify_finds_every_value_the_same_and_a_second_push_sends_nothing(store):
    (found,) = store.verify(["everything"])
    assert (found.is_equal, found.matching) == (True, 3)
    (pushed,) = store.push(["everything"])
    assert (pushed.written, pushed.kept) == (0, 3)


EDGES = [[math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 0.1], [], None, [0.5, -1234.0625, 0.1 / 3]]
"""The emulator writes no whole number beyond 2^53 as JSON, by which the row hash is made."""


def test_arrays_of_floats_are_served_and_trained_as_bigquery_holds_them(store, bigquery):
    rows = [f"({at}, {'null' if array is None else _written(array)})" for at, array in enumerate(EDGES, 1)]
    emulator.run(
        bigquery.endpoint,
        "create or replace table bigquery_types.arrays (id int64, doubles array<float64>)",
        f"insert into bigquery_types.arrays values {', '.join(rows)}",
    )
    store.push(["arrays"], gate=False, allow_removals=True)
    trained = store.get_training_set("arrays", "asks").to_arrow().sort_by("id")
    served = [store.get_feature_vector("arrays", {"id": at + 1}).to_dict()["doubles"] for at in range(len(rows))]
    assert repr(served) == repr([array or [] for array in EDGES])  # BigQuery keeps no null array
    assert repr(trained["doubles"].to_pylist()[: len(rows)]) == repr(served)
    assert trained.schema.field("doubles").type == pyarrow.list_(pyarrow.float64())
    assert [each.is_equal for each in store.verify(["arrays"])] == [True]


def _written(array):
    items = ", ".join(f"cast('{each!r}' as float64)" for each in array)
    return f"cast([{items}] as array<float64>)"
