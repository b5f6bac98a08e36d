"""Folders of Parquet files as spines and as sources: columns of their names, files that differ, and what is refused."""

from __future__ import annotations

import json
from datetime import datetime

import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

from feature_sync.errors import RequestError
from feature_sync.lake.parquet import Parquet
from feature_sync.lake.reading import read_rows
from feature_sync.lake.source import read_source
from feature_sync.parquet_folders import ParquetFolder
from tests.support.unbuilt import UnbuiltProject

NOON = datetime(2024, 1, 2, 12)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The amounts 7 of the thing 1 and 8 of the thing 2, since the first of January."""
    project = UnbuiltProject(tmp_path_factory.mktemp("folders"))
    query = "select n as id, date '2024-01-01' as day, n + 6 as amount from range(1, 3) as numbers(n)"
    project.view("amounts", query, event_time="day", lag="0d", features=["amount"])
    with project.open("redis://127.0.0.1:1") as opened:
        yield opened


def write(path, **columns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def answers(store, spine, **options) -> list[dict]:
    return store.get_training_set("amounts", spine, **options).to_arrow().to_pylist()


def test_a_folder_is_a_spine_whose_subfolders_are_keys_and_moments_with_their_types(store, tmp_path):
    for key in (1, 2, 3):
        write(tmp_path / "asked" / f"id={key}" / "event_timestamp=2024-01-02" / "a.parquet", note=[f"n{key}", "b"])
    found = answers(store, f"{tmp_path}/asked/")
    assert [(row["id"], row["note"], row["amount"]) for row in found] == [
        (1, "n1", 7), (1, "b", 7), (2, "n2", 8), (2, "b", 8), (3, "n3", None), (3, "b", None)
    ]  # fmt: skip
    assert {row["event_timestamp"] for row in found} == {datetime(2024, 1, 2)}


def test_files_that_differ_are_one_table_in_the_order_of_their_paths(store, tmp_path):
    write(tmp_path / "a.parquet", id=pyarrow.array([2, 1], pyarrow.int32()), event_timestamp=[NOON, NOON])
    write(tmp_path / "b.parquet", id=[1], event_timestamp=[NOON], note=["late"])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".b.parquet.crc").touch()
    found = answers(store, tmp_path)
    assert [(row["id"], row["note"], row["amount"]) for row in found] == [(2, None, 8), (1, None, 7), (1, "late", 7)]


def test_the_sidecar_has_a_digest_that_changes_with_a_name_or_a_value(store, tmp_path):
    digests = []
    for number, (name, amount) in enumerate([("a", 1), ("a", 2), ("b", 2), ("b", 2)]):
        folder = tmp_path / str(number) / "asked"
        write(folder / f"{name}.parquet", id=[amount], event_timestamp=[NOON])
        extract = store.get_training_set("amounts", folder).write(tmp_path / f"{number}.parquet")
        spine = json.loads(extract.sidecar.read_text())["spine"]
        assert (spine["folder"], spine["files"]) == ("asked", 1)
        digests.append(spine["sha256"])
    assert len(set(digests)) == 3
    assert digests[2] == digests[3]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param(["1", "22", "-3"], pyarrow.int64(), id="integers"),
        pytest.param(["01", "02"], pyarrow.string(), id="zeros that would be lost"),
        pytest.param(["2024-01-01", "2024-12-31"], pyarrow.date32(), id="dates"),
        pytest.param(["2024-01-01", "x"], pyarrow.string(), id="text"),
        pytest.param(["1", "__HIVE_DEFAULT_PARTITION__"], pyarrow.int64(), id="a null"),
    ],
)
def test_a_subfolder_has_the_type_that_all_its_values_have(tmp_path, values, kind):
    for value in values:
        write(tmp_path / f"p={value}" / "a.parquet", x=[1])
    folder = ParquetFolder(str(tmp_path))
    assert folder.schema().field("p").type == kind
    found = [str(each) for batch in folder.batches() for each in batch.column("p").to_pylist()]
    assert found == [value.replace("__HIVE_DEFAULT_PARTITION__", "None") for value in sorted(values)]


@pytest.mark.parametrize(
    ("name", "columns", "words"),
    [
        pytest.param("b.txt", None, "holds b.txt, which does not end in .parquet", id="another file"),
        pytest.param("b.parquet", None, "cannot be read", id="a broken file"),
        pytest.param("b.parquet", {"id": ["x"]}, "b.parquet does not fit the files before", id="another type"),
        pytest.param("id=1/b.parquet", {"id": [1]}, "'id' is both a column of the files and", id="a column twice"),
    ],
)
def test_files_that_are_no_table_are_named(store, tmp_path, name, columns, words):
    write(tmp_path / "a.parquet", id=[1], event_timestamp=[NOON])
    if columns is None:
        (tmp_path / name).write_text("hello")
    else:
        write(tmp_path / name, **columns)
    with pytest.raises(RequestError, match=words):
        answers(store, tmp_path)


def test_a_folder_that_is_not_there_or_empty_is_named(store, tmp_path):
    with pytest.raises(RequestError, match=r"nowhere/? does not exist: a spine is a model"):
        answers(store, f"{tmp_path}/nowhere/")
    with pytest.raises(RequestError, match="there is no such folder with Parquet files"):
        answers(store, tmp_path)


def test_a_source_reads_columns_and_rows_of_a_folder_by_its_filters(tmp_path):
    for day in (1, 2, 3):
        write(tmp_path / f"day=2024-01-0{day}" / "a.parquet", id=[day, day + 10], note=["a", None])
    meta = {"format": "parquet", "path": str(tmp_path), "columns": ["id"], "as_of": ""}
    meta["filters"] = [["day", ">=", "2024-01-02"], ["note", "!=", "z"]]
    rows = read_rows(read_source("orders", meta), lambda: Parquet(str(tmp_path)))
    assert rows.read_all().to_pydict() == {"id": [2, 3]}


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({}, "source orders: meta.format: None is none; choose from hudi, iceberg, delta, parquet"),
        ({"format": "parquet"}, "meta.path: name the folder of the parquet table"),
        (
            {"format": "parquet", "path": "x", "as_of": "2024-01-01"},
            "meta.as_of: a folder of Parquet files has no versions",
        ),
        ({"format": "hudi", "path": "x", "as_of": "2024-13-01"}, "meta.as_of: '2024-13-01' is no moment"),
        ({"format": "hudi", "path": "x", "filters": ["a"]}, r"meta.filters: 'a' is not \[column, operator, value\]"),
        ({"format": "hudi", "path": "x", "filters": [["a", "==", 1]]}, "meta.filters: there is no operator '=='"),
        ({"format": "hudi", "path": "x", "filters": [["a", "in", 1]]}, "meta.filters: 'a' in takes a list"),
        ({"format": "hudi", "path": "x", "max_gigabytes": 0}, "meta.max_gigabytes: 0 is not a number above 0"),
        ({"format": "iceberg"}, "meta.iceberg_table: name it as `namespace.table`"),
        ({"format": "hudi", "path": "x", "colums": ["a"]}, "meta.colums: there is no such key; did you mean 'columns'"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)
def test_a_mistake_in_the_meta_of_a_source_is_named_with_its_key(meta, words):
    with pytest.raises(RequestError, match=words):
        read_source("orders", meta)
