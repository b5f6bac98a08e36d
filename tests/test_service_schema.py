"""One schema a service: a training row and the served row of the same moment are equal with their dtypes."""

from __future__ import annotations

from datetime import datetime

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from feature_sync import RequestError
from feature_sync.dbt.manifest import read_manifest
from feature_sync.dbt.registry import read_registry
from feature_sync.service_schema import read_pin
from feature_sync.service_schema.pin import pin_of
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.service_schema import service_schema
from feature_sync.sql.view_query import ViewQuery
from tests.support.projects import EXAMPLE, BuiltProject, copy_project
from tests.support.unbuilt import UnbuiltProject
from tests.support.values import trained_as_served

ASKED = datetime(2024, 1, 2)
COLUMNS = {
    "flag": ("boolean", "true"), "tiny": ("smallint", "7"), "whole": ("integer", "8"), "big": ("bigint", "9"),
    "single": ("real", "0.1"), "double": ("double precision", "0.1"), "exact": ("decimal(10, 2)", "1.5"),
    "wide": ("decimal(38, 0)", "12345678901234567890"), "words": ("text", "'ü'"), "day": ("date", "'2024-02-29'"),
    "wall": ("timestamp", "'2024-01-01 00:00:00.000001'"), "instant": ("timestamptz", "'2024-01-01 00:00:00+00'"),
    "span": ("interval", "'1 day'"), "token": ("uuid", "'c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10'"),
    "document": ("json", "'{\"a\": 1}'"), "numbers": ("bigint[]", "array[1, null, 3]"),
    "texts": ("text[]", "array['a', null]"), "singles": ("real[]", "array[0.1, 2.5]"),
    "doubles": ("double precision[]", "array[0.1, null]"), "raw": ("bytea", "'x'"),
}  # fmt: skip
OF_DUCKDB = {
    "huge": ("hugeint", "-170"), "unsigned": ("ubigint", "18"),
    "pair": ("struct(a integer, b text)", "{'a': 1, 'b': null}"),
    "days": ("date[]", "[date '2024-02-29', null]"), "nested": ("smallint[][]", "[[1, null], []]"),
    "pairs": ("struct(a uuid, b decimal(4, 1)[])[]",
              "[{'a': 'c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10'::uuid, 'b': [1.5]}, null]"),
}  # fmt: skip
"""Types that DuckDB alone has: integers beyond 64 bits, structs, arrays of more than numbers and text."""
NUMBERS = ["flag", "tiny", "whole", "big", "single", "double", "exact"]
ON_DUCKDB = {"bytea": "blob", "double precision": "double", "double precision[]": "double[]"}
TYPES = {
    "flag": "bool", "tiny": "int64", "whole": "int64", "big": "int64", "single": "double", "double": "double",
    "exact": "decimal128(10, 2)", "wide": "decimal128(38, 0)", "words": "string", "day": "date32[day]",
    "wall": "timestamp[us]", "instant": "timestamp[us, tz=UTC]", "span": "string", "token": "string",
    "document": "string", "numbers": "list<item: int64>", "texts": "list<item: string>",
    "singles": "list<item: float>", "doubles": "list<item: double>", "raw": "binary",
    "huge": "decimal128(38, 0)", "unsigned": "decimal128(38, 0)", "pair": "struct<a: int64, b: string>",
    "days": "list<item: date32[day]>", "nested": "list<item: list<item: int64>>",
    "pairs": "list<item: struct<a: string, b: list<item: decimal128(4, 1)>>>",
}  # fmt: skip
DTYPES = {
    "numpy": {**dict.fromkeys([*NUMBERS, "wide", "huge", "unsigned"], "float64"), "day": "datetime64[us]",
              "wall": "datetime64[us]",
              "instant": "datetime64[us, UTC]"},
    "nullable": {"flag": "boolean", "tiny": "Int64", "whole": "Int64", "big": "Int64", "single": "Float64",
                 "double": "Float64", **dict.fromkeys(["words", "span", "token", "document"], "string"),
                 "day": "datetime64[us]", "wall": "datetime64[us]", "instant": "datetime64[us, UTC]"},
}  # fmt: skip


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory):
    """The view "everything" of four things: all values, nulls, all values; the fourth has no row."""
    login = None if request.param == "duckdb" else request.getfixturevalue("postgres").environment
    schema = "main" if login is None else "service_schema"
    project = UnbuiltProject(tmp_path_factory.mktemp(request.param), login=login, schema=schema)
    named = ON_DUCKDB if login is None else {}
    columns = {name: (named.get(kind, kind), text) for name, (kind, text) in COLUMNS.items()}
    columns |= OF_DUCKDB if login is None else {}
    full = ", ".join(f"cast({text} as {kind}) as {name}" for name, (kind, text) in columns.items())
    empty = ", ".join(f"cast(null as {kind}) as {name}" for name, (kind, _) in columns.items())
    rows = [f"select {at} as id, timestamp '2024-01-01' as seen_at, {full if at % 2 else empty}" for at in (1, 2, 3)]
    project.view("everything", " union all ".join(rows), event_time="seen_at", features=[*columns])
    project.view("numbers", f"select id, seen_at, {', '.join(NUMBERS)} from {{schema}}.everything",
                 event_time="seen_at", features=NUMBERS)  # fmt: skip
    yield project
    project.drop()


@pytest.fixture(scope="module")
def store(project, redis_server):
    with project.open(redis_server, key_prefix=f"schema_{project.adapter}") as opened:
        assert [each.held_back for each in opened.push(gate=False)] == [None, None]
        yield opened


def asked(ids: list[int]) -> pandas.DataFrame:
    return pandas.DataFrame({"n": range(len(ids)), "id": ids, "event_timestamp": ASKED})


IDS = {
    "one": [1], "one null": [2], "one missing": [4], "two": [1, 2], "two full": [3, 1],
    "many": [at % 4 + 1 for at in range(500)], "many full": [1, 3] * 250,
}  # fmt: skip


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.parametrize("view", ["everything", "numbers"])
def test_training_rows_equal_served_rows_including_their_dtypes(store, view, ids):
    types, dtypes = trained_as_served(store, view, asked(ids))
    assert types == {name: TYPES[name] for name in types}
    for form, expected in DTYPES.items():
        assert dtypes[form] == {name: expected.get(name, "object") for name in types}


def test_an_array_of_numbers_alone_is_float64_whatever_the_values(store):
    for ids in IDS.values():
        array = store.get_online_features("numbers", asked(ids)).to_numpy()
        frame = store.get_training_set("numbers", asked(ids)).to_pandas().sort_values("n")[NUMBERS]
        assert array.dtype == numpy.float64
        numpy.testing.assert_array_equal(array, frame.to_numpy())


def test_the_card_has_the_shape_that_the_project_declares_and_training_writes(store, tmp_path):
    written = store.get_training_set("everything", asked([1, 4])).write(tmp_path / "set.parquet")
    assert store.pin("everything") == written.pin == read_pin(written.sidecar)
    assert store.card("everything").shape == written.pin.shape
    assert pyarrow.parquet.read_schema(written.path).field("tiny").type == pyarrow.int64()


def test_an_integer_that_float64_would_round_is_refused_alike(project, redis_server, tmp_path):
    project.run('drop table if exists {schema}."long"')
    project.view("long", f"select 1 as id, cast({2**53 + 1} as bigint) as value", features=["value"])
    try:
        with project.open(redis_server, key_prefix=f"long_{project.adapter}") as opened:
            opened.push("long", gate=False)
            for answers in (opened.get_training_set("long", asked([1])), opened.get_online_features("long", [1])):
                with pytest.raises(RequestError, match=r"value holds an integer beyond 2\^53"):
                    answers.to_pandas()
                assert answers.to_pandas("nullable")["value"].tolist() == [2**53 + 1]
    finally:
        del project.nodes["model.unbuilt.long"]


@pytest.fixture(scope="module")
def pins(tmp_path_factory):
    """The pin of the example's service as its manifest for each warehouse declares it; dbt only parses."""
    found = {}
    for target in ("duckdb", "postgres", "bigquery"):
        parsed = BuiltProject(copy_project(EXAMPLE, tmp_path_factory.mktemp(target)), target)
        parsed.dbt("--quiet", "parse")
        manifest = read_manifest(parsed.folder / "target" / "manifest.json")
        registry = read_registry(manifest, project="feature_sync", catalog=parsed.folder / "target" / "catalog.json")
        service = registry.feature_services["departure_delay_model"]
        dialect = dialect_named(target)
        views = {each.view.reference: ViewQuery(each.view, dialect=dialect) for each in service.selections}
        found[target] = pin_of(service.name, service_schema(service, views), "")
    return found


def test_the_schema_of_one_service_is_the_same_on_every_warehouse(pins):
    assert pins["duckdb"] == pins["postgres"] == pins["bigquery"]
    assert len(pins["duckdb"].features) == 13
