"""Batches of numbers for deep learning: every row once, in shards and shuffled; nothing is rounded silently."""

from __future__ import annotations

import json
import pickle
from datetime import date
from decimal import Decimal

import numpy
import polars
import pyarrow
import pyarrow.parquet
import pytest

from feature_sync import RequestError
from feature_sync.integrations.matrices import Matrices
from tests.support.unbuilt import UnbuiltProject

ROWS = 1_003
TABLE = pyarrow.table(
    {
        "number": pyarrow.array(range(ROWS), pyarrow.int64()),
        "half": [None if n % 7 == 0 else n / 2 for n in range(ROWS)],
        "yes": [n % 2 == 0 for n in range(ROWS)],
        "price": [Decimal(n).scaleb(-2) for n in range(ROWS)],
        "embedding": [None if n == 5 else [float(n), -float(n)] for n in range(ROWS)],
        "text": ["a"] * ROWS,
        "day": [date(2024, 1, 1)] * ROWS,
        "is_late": [n % 3 == 0 for n in range(ROWS)],
    }
)


def numbers_of(matrices: Matrices, **options) -> list[int]:
    return [int(each) for batch in matrices.batches(**options) for each in batch[0][:, 0]]


@pytest.fixture(params=["table", "file", "folder"])
def source(request, tmp_path):
    """The same rows in memory, in a file of small row groups, and in three files."""
    if request.param == "table":
        return TABLE
    if request.param == "file":
        pyarrow.parquet.write_table(TABLE, tmp_path / "rows.parquet", row_group_size=70)
        return str(tmp_path / "rows.parquet")
    for part, first in enumerate((0, 400, 800)):
        pyarrow.parquet.write_table(TABLE.slice(first, 400), tmp_path / f"part-{part}.parquet")
    return tmp_path


def test_batches_keep_the_order_and_have_one_size(source):
    matrices = Matrices(source=source, batch_size=100, columns=["number"])
    batches = [*matrices.batches()]
    assert [each[0].shape for each in batches] == [(100, 1)] * 10 + [(3, 1)]
    assert {each[0].dtype for each in batches} == {numpy.dtype("float32")}
    assert numbers_of(matrices) == [*range(ROWS)]


@pytest.mark.parametrize("shards", [1, 2, 3, 8, 50])
@pytest.mark.parametrize("shuffle_buffer", [0, 1, 64, 5000])
def test_all_shards_together_hold_every_row_once(source, shards, shuffle_buffer):
    matrices = Matrices(source=source, batch_size=37, columns=["number"], shuffle_buffer=shuffle_buffer)
    parts = [numbers_of(matrices, shard=shard, shards=shards, epoch=2) for shard in range(shards)]
    assert sorted(number for part in parts for number in part) == [*range(ROWS)]
    assert all(parts) == (shards < 30)


def test_the_seed_and_the_epoch_decide_the_order():
    matrices = Matrices(source=TABLE, batch_size=50, columns=["number"], shuffle_buffer=2000, seed=3)
    assert numbers_of(matrices, epoch=1) == numbers_of(pickle.loads(pickle.dumps(matrices)), epoch=1)
    orders = {tuple(numbers_of(matrices, epoch=each)) for each in range(4)}
    orders.add(
        tuple(numbers_of(Matrices(source=TABLE, batch_size=50, columns=["number"], shuffle_buffer=2000, seed=4)))
    )
    assert len(orders) == 5


def test_numbers_of_all_types_keep_their_values():
    columns = ["half", "yes", "price", "embedding"]
    matrices = Matrices(source=TABLE, batch_size=ROWS, columns=columns, label="is_late", dtype="float64")
    ((features, label),) = matrices.batches()
    assert (features.shape, matrices.width, matrices.label_dtype) == ((ROWS, 5), 5, "int64")
    assert (label.dtype, label.tolist()) == (numpy.dtype("int64"), [int(n % 3 == 0) for n in range(ROWS)])
    expected = [[float("nan") if n % 7 == 0 else n / 2, n % 2 == 0, n / 100, n, -n] for n in range(ROWS)]
    expected[5][3:] = [float("nan")] * 2
    numpy.testing.assert_array_equal(features, numpy.array(expected))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"columns": ["numbr"]}, "did you mean 'number'"),
        ({"columns": ["number", "text"]}, "'text' is string, not a number: encode it first"),
        ({"columns": ["day"]}, "'day' is date32\\[day\\], not a number"),
        ({"columns": ["is_late"], "label": "is_late"}, "would learn to repeat it"),
        ({"columns": [], "label": "is_late"}, "there is no feature"),
        ({}, "'text' is string"),
        ({"columns": ["number"], "label": "late"}, "there is no column 'late'"),
        ({"columns": ["number"], "batch_size": 0}, "one row or more"),
        ({"columns": ["number"], "shuffle_buffer": -1}, "none or more"),
        ({"columns": ["number"], "dtype": "int32"}, "not float16, float32 or float64"),
    ],
    ids=str,
)
def test_what_cannot_be_learned_from_is_refused_at_once(options, told):
    with pytest.raises(RequestError, match=told):
        Matrices(source=TABLE, **options)


@pytest.mark.parametrize(("dtype", "bits"), [("float64", 53), ("float32", 24), ("float16", 11)])
def test_a_whole_number_that_is_not_exact_is_refused_by_name(dtype, bits):
    exact = pyarrow.table({"id": [2**bits, -(2**bits), None]})
    assert numbers_of(Matrices(source=exact.slice(0, 2), dtype=dtype)) == [2**bits, -(2**bits)]
    for number in (2**bits + 1, -(2**bits) - 1):
        rows = pyarrow.table({"id": [number, None]})
        with pytest.raises(RequestError, match=f"'id' has whole numbers beyond 2\\^{bits}, which {dtype} may round"):
            [*Matrices(source=rows, dtype=dtype).batches()]


def test_arrays_of_several_lengths_and_null_labels_are_refused_by_name():
    ragged = pyarrow.table({"embedding": [[1.0], [1.0, 2.0]], "label": [1, None]})
    with pytest.raises(RequestError, match=r"'embedding' has arrays of several lengths \(1, 2\)"):
        [*Matrices(source=ragged, columns=["embedding"]).batches()]
    with pytest.raises(RequestError, match="the label 'label' is null in 1 rows"):
        [*Matrices(source=ragged.slice(1), columns=["embedding"], label="label").batches()]


@pytest.mark.parametrize("source", [5, [1], "missing.parquet", {"a": [1]}], ids=repr)
def test_what_holds_no_rows_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=r"rows come from|cannot be read"):
        Matrices(source=source)
    with pytest.raises(RequestError, match="has no Parquet file"):
        Matrices(source=tmp_path)


def test_a_frame_is_read_as_it_is():
    assert numbers_of(Matrices(source=polars.DataFrame({"n": [3, 1, 2]}))) == [3, 1, 2]


def test_features_and_label_are_known_of_a_training_set_its_table_and_its_file(tmp_path):
    project = UnbuiltProject(tmp_path / "project")
    project.view("trips", "select 1 as id, 2.5::double as fee, 3 as riders", features=["fee", "riders"])
    asked = "select 1 as id, now() as asked_at, true as is_late from range(3)"
    project.model("orders", asked, columns={"is_late": {"label": True}}, event_time="asked_at")
    with project.open("redis://localhost:1") as store:
        training_set = store.get_training_set(None, "orders", features=["trips:fee", "trips:riders"])
        path = training_set.write(tmp_path / "rows.parquet").path
        assert json.loads((tmp_path / "rows.parquet.json").read_text())["label_names"] == ["is_late"]
        for source in (training_set, training_set.collect(), path):
            matrices = Matrices(source=source)
            assert (matrices.columns, matrices.label) == (("fee", "riders"), "is_late")
            ((features, label),) = matrices.batches()
            assert (features.tolist(), label.tolist()) == ([[2.5, 3.0]] * 3, [1, 1, 1])
        two = store.get_training_set(None, "orders", features=["trips:fee"], labels=["is_late", "id"])
        with pytest.raises(RequestError, match="several labels, is_late, id: choose one"):
            Matrices(source=two)
