"""Spines as people write them: damaged files, other spellings, and queries that are typed; on both warehouses."""

from __future__ import annotations

import re
from datetime import date, datetime

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from feature_sync.errors import DefinitionError, RequestError
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.training.typed_query import one_select
from tests.support.unbuilt import UnbuiltProject

NOON = datetime(2024, 1, 2, 12)
HEAD = "id,event_timestamp,note\n"
ASKING = "select 1 as id, timestamp '2024-01-02 12:00:00' as event_timestamp"


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory):
    """One view: the amount 7 of the thing 1 since the first of January."""
    login = None if request.param == "duckdb" else request.getfixturevalue("postgres").environment
    schema = "main" if login is None else "spines"
    project = UnbuiltProject(tmp_path_factory.mktemp(request.param), login=login, schema=schema)
    project.view("amounts", "select 1 as id, date '2024-01-01' as day, 7 as amount", event_time="day", lag="0d",
                 features=["amount"])  # fmt: skip
    yield project
    project.drop()


@pytest.fixture
def store(project):
    with project.open("redis://127.0.0.1:1") as opened:
        yield opened


def answers(store, spine=None, **options):
    return store.get_training_set("amounts", spine, **options).to_arrow().to_pylist()


# CSV files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param('1,2024-01-02,"cut off\n1,2024-01-02,x\n', "line 2: a quote is never closed", id="to the end"),
        pytest.param(
            '1,2024-01-02,"cut\n1,2024-01-02,"b"\n', "line 3: a quote closes, and 'b' follows", id="to the next"
        ),
        pytest.param('1,2024-01-02,"a" b\n', "line 2: a quote closes, and ' ' follows", id="closed too early"),
        pytest.param("1,2024-01-02,ok\n1,2024-01-02,caf\xe9\n", "line 3: byte 0xe9 is not UTF-8", id="latin-1"),
    ],
)
def test_a_csv_file_whose_rows_cannot_be_told_apart_is_refused_with_its_line(store, tmp_path, text, words):
    path = tmp_path / "spine.csv"
    path.write_bytes((HEAD + text).encode("latin-1"))
    with pytest.raises(RequestError, match=rf"spine\.csv: {words}"):
        answers(store, path)
    with pytest.raises(RequestError, match=words):
        store.get_training_set("amounts", path).write(tmp_path / "set.parquet")
    assert [each.name for each in tmp_path.iterdir()] == ["spine.csv"]


def test_every_line_of_a_csv_file_is_answered_whatever_its_quotes_hold(store, tmp_path):
    notes = ['"a ""b"" c"', '"two\nlines"', '""', '12" pipe', '","', "é", ""]
    path = tmp_path / "spine.csv"
    path.write_text("\ufeff" + HEAD + "\n\n".join(f"{at},2024-01-02,{note}" for at, note in enumerate(notes, 1)))
    found = sorted(answers(store, path), key=lambda row: row["id"])
    assert [row["note"] for row in found] == ['a "b" c', "two\nlines", "", '12" pipe', ",", "é", None]
    assert [row["amount"] for row in found] == [7, *[None] * 6]


def test_the_case_of_a_spines_columns_does_not_matter(store, tmp_path):
    path = tmp_path / "spine.csv"
    path.write_text("ID,Event_Timestamp,Note\n1,2024-01-02 12:00:00,x\n")
    pyarrow.parquet.write_table(pyarrow.table({"Id": [1], "EVENT_TIMESTAMP": [NOON]}), tmp_path / "spine.parquet")
    frame = pandas.DataFrame({"iD": [1], "event_TIMESTAMP": [NOON]})
    query = """select 1 as "ID", timestamp '2024-01-02 12:00:00' as "Event_Timestamp" """
    expected = {"id": 1, "event_timestamp": NOON, "amount": 7}
    assert answers(store, path) == [{"id": 1, "event_timestamp": NOON, "Note": "x", "amount": 7}]
    assert answers(store, tmp_path / "spine.parquet") == answers(store, frame) == [expected]
    assert answers(store, spine_sql=query) == [expected]


def test_a_column_of_just_that_spelling_wins_over_one_of_another_case(project, store):
    if project.adapter == "postgres":
        query = f"""{ASKING}, 2 as "ID" """
        assert answers(store, spine_sql=query) == [{"id": 1, "event_timestamp": NOON, "ID": 2, "amount": 7}]


def test_what_is_no_table_is_refused_as_a_spine(store):
    with pytest.raises(RequestError, match=r"another table with an Arrow stream, not a builtins\.generator"):
        answers(store, (row for row in [{"id": 1}]))


# Queries


@pytest.mark.parametrize("end", [";", " ; ;", " -- all of them", "; -- all of them\n;", " /* ) */", "\n-- ("])
def test_a_typed_query_may_end_in_semicolons_and_comments(store, end):
    assert answers(store, spine_sql=f"/* the ( spine */ {ASKING}{end}")[0]["amount"] == 7
    assert "amount" in store.get_training_set("amounts", spine_sql=ASKING + end).to_sql()


TYPED = [
    (f"{ASKING}; select 2", "holds 2 statements"),
    ("select 1) as x; drop table amounts; select (1", "cannot be read"),
    (f"{ASKING}) as x; create temp table z as select 1; select * from ({ASKING}", "cannot be read"),
    ("delete from amounts", "begins with 'delete'"),
    ("copy amounts to 'a.csv'", "begins with 'copy'"),
    ("with gone as (delete from amounts returning *) select * from gone", "(is DELETE, not a SELECT|cannot be read)"),
    ("select 1 as id into other", "(is INTO, not a SELECT|cannot be read)"),
    (" -- nothing", "is empty"),
    ("select " + "(" * 5_000 + "1" + ")" * 5_000, "is nested too deeply"),
]


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "bigquery", "snowflake", "spark", "trino", "redshift"])
@pytest.mark.parametrize(("text", "words"), TYPED, ids=[words for _, words in TYPED])
def test_one_select_is_all_that_may_be_typed(dialect, text, words):
    with pytest.raises(RequestError, match=f"spine_sql= {words}") as refused:
        one_select(text, dialect=dialect_named(dialect))
    assert "\n" not in str(refused.value)


def test_a_comment_that_the_warehouse_would_read_otherwise_never_reaches_it():
    nested = "select 1 /* /* */ ) as x; drop table t; -- */ as id"
    assert one_select(nested, dialect=dialect_named("postgres")).split() == ["select", "1", "as", "id"]
    with pytest.raises(RequestError):  # BigQuery's comments do not nest
        one_select(nested, dialect=dialect_named("bigquery"))


def test_an_injected_statement_is_refused_before_anything_runs(project, store):
    with pytest.raises(RequestError, match="cannot be read"):
        answers(store, spine_sql="select 1) as x; create temp table z as select 1; select * from (select 1")
    assert answers(store, spine_sql=ASKING)[0]["amount"] == 7


# Times


@pytest.mark.parametrize("stored", ["timestamp_s", "timestamp_ms", "timestamp_ns"])
def test_duckdbs_other_timestamps_ask_answer_and_identify(tmp_path, redis_url, stored):
    project = UnbuiltProject(tmp_path / "project")
    moment = {"timestamp_s": "12:00:00", "timestamp_ms": "12:00:00.001", "timestamp_ns": "12:00:00.000001499"}[stored]
    seen = f"cast('2024-01-01 {moment}' as {stored})"
    query = f"select 1 as id, {seen} as seen_at, {seen} as shown, [{seen}] as several"
    project.view("seen", query, ttl="30d", lag="1h", event_time="seen_at", features=["shown", "several"])
    project.view("keyed", f"select {seen} as id, 5 as amount", features=["amount"], entity="moment")
    expected = datetime.fromisoformat(f"2024-01-01 {moment[:15]}")
    with project.open(redis_url) as store:
        list(store.push(gate=False))
        served = store.get_feature_vector("seen", {"id": 1}).to_dict()
        assert served == {"shown": expected, "several": [expected]}
        assert store.get_feature_vector("keyed", {"id": expected}).to_dict() == {"amount": 5}
        for strategy in ("asof", "carry", "lateral"):
            query = f"select 1 as id, cast('2024-01-01 13:00:00.002' as {stored}) as event_timestamp"
            spine = store.get_training_set("seen", spine_sql=query, strategy=strategy)
            spine.write(tmp_path / "set.parquet")
            (row,) = pyarrow.parquet.read_table(tmp_path / "set.parquet").to_pylist()
            assert row["shown"] == expected
        asked = f"select {seen} as id, timestamp '2024-01-02 12:00:00' as event_timestamp"
        assert store.get_training_set("keyed", spine_sql=asked).to_arrow().to_pylist()[0]["amount"] == 5


# Iterables


def test_rows_and_names_may_come_from_a_generator_and_a_lone_name_is_one(tmp_path, redis_url):
    project = UnbuiltProject(tmp_path / "project")
    project.view("amounts", "select 1 as id, 7 as amount union all select 2, 8", features=["amount"])
    with project.open(redis_url) as store:
        assert [each.written for each in store.push((name for name in ["amounts"]), gate=False)] == [2]
        assert [each.is_equal for each in store.verify("amounts")] == [True]
        assert [each.feature_view for each in store.status(iter(["amounts"]))] == ["amounts"]
        vectors = store.get_online_features("amounts", ({"id": at} for at in (1, 2)))
        assert [each.to_dict() for each in vectors] == [{"amount": 7}, {"amount": 8}]
        assert store.project.service(None, "amounts:amount").feature_names == ("amount",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"since": 20240101}, "since: 20240101 is not a moment", id="a number as a moment"),
        pytest.param({"since": pandas.NaT}, "since: NaT is not a moment", id="no moment at all"),
        pytest.param({"since": ""}, "since: '' is not a moment", id="an empty text as a moment"),
        pytest.param({"sample": "x"}, "a sample of x is not a share", id="a text as a share"),
        pytest.param({"sample": float("nan")}, "a sample of nan is not a share", id="NaN as a share"),
        pytest.param(
            {"limit": "1; drop"},
            "a limit of 1; drop rows is not possible; write a whole",
            id="a text as a limit",
        ),
        pytest.param({"limit": 1.5}, "a limit of 1.5 rows is not possible; write a whole number", id="half a row"),
        pytest.param({"limit": 10**22}, "is not possible; write a whole number", id="more rows than there can be"),
    ],
)
def test_what_is_no_moment_no_share_and_no_number_of_rows_is_an_error_of_ours(store, options, words):
    with pytest.raises(RequestError, match=re.escape(words)):
        store.get_training_set("amounts", spine_sql="select 1 as id, date '2024-01-02' as event_timestamp", **options)


@pytest.mark.parametrize("since", [date(2024, 1, 2), datetime(2024, 1, 2), pandas.Timestamp("2024-01-02")])
def test_a_moment_may_be_a_date_or_pandas_own(store, since):
    asked = "select 1 as id, timestamp '2024-01-02' as event_timestamp union all select 1, timestamp '2024-01-01 12:00'"
    assert [row["amount"] for row in answers(store, spine_sql=asked, since=since)] == [7]


@pytest.mark.parametrize("name", ["a\0.csv", "a\ud800.parquet"])
def test_a_name_that_no_file_can_have_is_an_error_of_ours(store, name):
    with pytest.raises(RequestError, match="is not a path"):
        store.get_training_set("amounts", name)
    asked = store.get_training_set("amounts", spine_sql="select 1 as id, date '2024-01-02' as event_timestamp")
    with pytest.raises(RequestError, match="is not a path"):
        asked.write(name)


@pytest.mark.parametrize("day", ["infinity", "-infinity"])
def test_a_date_at_infinity_is_refused_by_its_column(store, day):
    asked = store.get_training_set("amounts", spine_sql=f"select 1 as id, date '{day}' as event_timestamp")
    with pytest.raises(DefinitionError, match="event_timestamp: holds infinity, which no file holds"):
        asked.to_arrow()


@pytest.mark.parametrize("name", ["label_" + "a" * 60, "é" * 40, ""])
def test_a_column_that_postgresql_would_rename_is_refused(project, store, name):
    frame = pandas.DataFrame({"id": [1], "event_timestamp": [pandas.Timestamp("2024-01-02")], name: [1]})
    if project.adapter == "duckdb" and name:
        assert answers(store, frame)[0][name] == 1
    elif project.adapter == "postgres":
        with pytest.raises(RequestError, match=f"the column '{name}'"):
            answers(store, frame)


def test_after_an_answer_that_failed_the_next_one_comes(store):
    kept = []  # as a notebook keeps the last error, and with it the frames that held what was open
    for day in ("infinity", "2024-01-02"):
        try:
            assert answers(store, spine_sql=f"select 1 as id, date '{day}' as event_timestamp")[0]["amount"] == 7
        except DefinitionError as failed:
            kept.append(failed)
    assert len(kept) == 1
