"""Text features as numbers for gradient boosting: one list of categories, in training and in serving."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from feature_sync.errors import RequestError
from feature_sync.integrations.categories import Categories
from feature_sync.integrations.training_record import record_of
from feature_sync.integrations.training_rows import labels_of, training_rows
from feature_sync.service_schema import SchemaFeature, ServiceSchema
from feature_sync.service_schema.pin import pin_of
from feature_sync.training import TrainingTable
from feature_sync.value_types import parse

NAN = float("nan")
KINDS = {"plan": "string", "orders": "int64", "spend": "float64", "active": "bool"}
ROWS = {
    "customer": [1, 2, 3],
    "churned": [True, False, True],
    "plan": ["gold", None, "basic"],
    "orders": [3, None, 5],
    "spend": [0.5, None, 1.5],
    "active": [True, False, None],
}


def table_of(rows=ROWS, kinds=KINDS, labels=("churned",)):
    features = tuple(SchemaFeature(name, parse(kind)) for name, kind in kinds.items())
    schema = ServiceSchema(keys=(("customer", parse("int64")),), features=features)
    return TrainingTable(
        table=pyarrow.table(rows),
        schema=schema,
        moment_name="asked_at",
        key_names=("customer",),
        label_names=labels,
        pin=pin_of("churn_model", schema, "0"),
    )


def test_text_is_its_place_in_a_sorted_list_and_null_is_nan():
    categories = Categories.of(table_of())
    assert categories.words == {"plan": ("basic", "gold")}
    assert (categories.types, categories.places) == (["c", "q", "q", "q"], [0])
    expected = pandas.DataFrame(
        {"plan": [1, NAN, 0], "orders": [3, NAN, 5], "spend": [0.5, NAN, 1.5], "active": [1, 0, NAN]}, dtype="float64"
    )
    pandas.testing.assert_frame_equal(categories.encode(table_of()), expected)


@pytest.mark.parametrize("dtypes", ["numpy", "nullable", "arrow"])
def test_a_frame_of_any_dtypes_is_encoded_alike_with_its_index(dtypes):
    categories = Categories.of(table_of())
    frame = table_of().features(dtypes).set_axis(["a", "b", "c"])
    assert numpy.array_equal(categories.matrix(frame), categories.matrix(table_of()), equal_nan=True)
    assert categories.encode(frame).index.to_list() == ["a", "b", "c"]


def test_text_that_training_did_not_have_is_missing():
    categories = Categories.of(table_of())
    frame = table_of().features().assign(plan=["platinum", "gold", "basic"])
    assert categories.encode(frame)["plan"].tolist()[1:] == [1, 0]
    assert numpy.isnan(categories.encode(frame)["plan"][0])


def test_the_order_of_rows_makes_no_difference_and_json_keeps_all():
    table = table_of()
    turned = replace(table, table=table.table.take([2, 1, 0]))
    categories = Categories.of(table)
    assert Categories.of(turned) == categories == Categories.from_json(categories.to_json())
    assert Categories.of(turned).to_json() == categories.to_json()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"orders": [2**53 + 1, None, 1]}, "orders holds an integer beyond 2^53", id="rounded by float64"),
        pytest.param({"orders": [2**53, None, 1]}, None, id="the last that float64 holds"),
    ],
)
def test_an_integer_that_float64_rounds_is_refused_by_name(change, says):
    table = table_of(ROWS | change)
    if says is None:
        assert Categories.of(table).encode(table)["orders"][0] == 2**53
        return
    with pytest.raises(RequestError, match=says.replace("^", r"\^")):
        Categories.of(table).encode(table)
    with pytest.raises(RequestError, match=says.replace("^", r"\^")):
        Categories.of(table).encode(table.features("nullable"))
    others = Categories.of(table, columns=["plan", "spend"])
    assert others.encode(table).shape == (3, 2)


def test_features_that_are_neither_numbers_nor_text_are_named():
    table = table_of(ROWS | {"since": [None] * 3}, KINDS | {"since": "date"})
    with pytest.raises(RequestError, match=r"neither numbers nor text: since \(date\)"):
        Categories.of(table)
    with pytest.raises(RequestError, match="churn_model has no feature zodiac; it has plan, orders"):
        Categories.of(table, columns=["zodiac"])


@pytest.mark.parametrize(
    ("labels", "asked", "says"),
    [
        pytest.param((), None, "names no label", id="none"),
        pytest.param(("churned", "customer"), None, "the labels churned, customer: name one", id="several"),
        pytest.param(("churned",), "orders", "orders is the label and a feature", id="a feature"),
    ],
)
def test_a_label_is_needed(labels, asked, says):
    with training_rows(table_of(labels=labels)) as rows, pytest.raises(RequestError, match=says):
        rows.label(asked, tuple(KINDS))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param([True, None, False], "null in some rows", id="null"),
        pytest.param(["yes", "no", "no"], "is string; a number or a boolean is needed", id="text"),
    ],
)
def test_a_label_is_a_number_in_every_row(values, says):
    (batch,) = pyarrow.table({"churned": values}).to_batches()
    with pytest.raises(RequestError, match=says):
        labels_of(batch, "churned")


def test_a_file_is_read_with_its_sidecar(tmp_path):
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(table_of().table, path)
    with pytest.raises(RequestError, match="cannot be read"):
        Categories.of(path)
    with pytest.raises(RequestError, match="cannot be read"):
        record_of(path)
    sidecar = path.with_name("rows.parquet.json")
    sidecar.write_text(f'{{"pin": {table_of().pin.to_json()}}}')
    with pytest.raises(RequestError, match="is not the sidecar of a training set"):
        record_of(path)
    facts = {"pin": json.loads(table_of().pin.to_json()), "content_hash": "0", "rows": 3, "column_types": {}, "sql": ""}
    sidecar.write_text(json.dumps({**facts, "label_names": ["late"]}))
    assert Categories.of(path) == Categories.of(table_of())
    assert record_of(path).label_names == ("late",)


def test_rows_in_memory_have_a_record():
    record = record_of(table_of())
    assert (record.rows, record.content_hash, record.pin) == (3, table_of().content_hash, table_of().pin)
    assert record_of(record) is record
    assert repr(record) == f"TrainingRecord(3 rows of churn_model, content hash {table_of().content_hash})"


@pytest.mark.parametrize("act", [Categories.of, record_of])
def test_what_is_no_training_set_is_named(act):
    with pytest.raises(RequestError, match=r"not a pyarrow\."):
        act(table_of().table)
