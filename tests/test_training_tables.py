"""Training sets in memory: their order, the frames that ask and come back, splits by time, and the content hash."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import duckdb
import numpy
import pandas
import polars
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest

from feature_sync import RequestError, UnknownName
from feature_sync.training import content_hash
from tests.support.unbuilt import UnbuiltProject

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 3_000
FEATURES = ["fee", "city", "riders"]
SPINE = """
    select n % 37 as id, timestamptz '2024-01-01 00:00:00+00' + (n % 700) * interval '1 hour' as asked_at,
        n % 5 = 0 as is_late, n % 11 as note, n % 3 as twin
    from (select (n * 7919) % 3000 as n from {rows}) as shuffled
"""
VIEW = """
    select n % 40 as id, timestamptz '2024-01-01 00:00:00+00' + n * interval '1 hour' as seen_at,
        cast(n as double precision) / 2 as fee, 'city ' || n % 7 as city, n % 9 as riders
    from {rows}
"""


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory):
    """Trips with a history, and a spine in which rows tie in everything but a few columns."""
    login = None if request.param == "duckdb" else request.getfixturevalue("postgres").environment
    schema = "main" if login is None else "training_tables"
    made = UnbuiltProject(tmp_path_factory.mktemp("tables") / "project", login=login, schema=schema)
    rows = "range(0, 3000) as numbers(n)" if login is None else "generate_series(0, 2999) as numbers(n)"
    made.view("trips", VIEW.format(rows=rows), event_time="seen_at", features=FEATURES, ttl="30d")
    made.model("orders", SPINE.format(rows=rows), columns={"is_late": {"label": True}}, event_time="asked_at")
    made.service("fares", {"trips": FEATURES}, ["trips"])
    yield made
    made.drop()


@pytest.fixture
def store(project):
    with project.open("redis://localhost:1") as opened:
        yield opened


@pytest.fixture
def frame(store):
    """The spine as a frame in no order, with labels of its own for the rows."""
    rows = store.get_training_set("fares", "orders").to_pandas()[["id", "asked_at", "is_late", "note"]]
    asked = rows.rename(columns={"asked_at": "event_timestamp"}).sample(frac=1, random_state=3)
    return asked.set_axis([f"row {each}" for each in range(len(asked))])


def test_a_training_set_is_ordered_by_the_moment_the_keys_and_all_other_columns(store):
    table = store.get_training_set("fares", "orders").to_arrow()
    order = [(name, "ascending") for name in ("asked_at", "id", "is_late", "note", "twin")]
    assert table.num_rows == ROWS
    assert table.equals(table.sort_by(order))


def test_equal_inputs_give_equal_bytes_three_times(store, tmp_path):
    paths = [tmp_path / f"{each}.parquet" for each in "abc"]
    extracts = [store.get_training_set("fares", "orders").write(path) for path in paths]
    assert len({path.read_bytes() for path in paths}) == 1
    assert len({path.with_name(f"{path.name}.json").read_bytes() for path in paths}) == 1
    assert len({each.content_hash for each in extracts}) == 1


def test_rows_are_ordered_as_asked_and_then_as_always(store):
    table = store.get_training_set("fares", "orders", order_by="note desc").to_arrow()
    order = [("note", "descending")]
    order += [(name, "ascending") for name in ("asked_at", "id", "is_late", "twin")]
    assert table.equals(table.sort_by(order))


def test_without_an_order_the_rows_are_the_same(store, frame, tmp_path):
    for spine in ("orders", frame):
        one, other = (
            store.get_training_set("fares", spine, ordered=ordered).write(tmp_path / f"{ordered}.parquet")
            for ordered in (True, False)
        )
        assert one.content_hash == other.content_hash
        assert "ORDER BY" in one.sql.rpartition(")")[2]
        assert "ORDER BY" not in other.sql.rpartition(")")[2]
    answered = store.get_training_set("fares", frame, ordered=False).to_pandas()
    assert list(answered["note"]) == list(frame.loc[answered.index, "note"])


def test_a_frame_comes_back_in_its_own_order_with_its_index(store, frame):
    answered = store.get_training_set("fares", frame).to_pandas()
    assert list(answered.columns) == [*frame.columns, *FEATURES]
    pandas.testing.assert_index_equal(answered.index, frame.index)
    assert list(answered["id"]) == list(frame["id"])
    assert list(answered["note"]) == list(frame["note"])


def test_a_part_of_a_frame_keeps_order_and_index(store, frame):
    options = {"since": "2024-01-10", "until": "2024-01-20"}
    answered = store.get_training_set("fares", frame, **options).to_pandas()
    asked = frame[frame["event_timestamp"].between("2024-01-10", "2024-01-20")]
    assert 0 < len(asked) < ROWS
    pandas.testing.assert_index_equal(answered.index, asked.index)
    limited = store.get_training_set("fares", frame, limit=5).to_pandas()
    assert list(limited["id"]) == [frame.loc[name, "id"] for name in limited.index]


@pytest.mark.parametrize(
    "form",
    [
        pyarrow.Table.from_pandas,
        polars.DataFrame,
        lambda frame: duckdb.sql("from frame"),
        lambda frame: pyarrow.Table.from_pandas(frame, preserve_index=False).to_reader(100),
        lambda frame: pyarrow.Table.from_pandas(frame, preserve_index=False).combine_chunks().to_batches()[0],
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    ],
    ids=["arrow", "polars", "duckdb", "reader", "batch", "pandas_of_arrow"],
)
def test_whatever_has_an_arrow_stream_is_a_spine_and_keeps_its_order(store, frame, form):
    training_set = store.get_training_set("fares", form(frame))
    for _ in range(2):  # also what can be read only once
        answered = training_set.to_arrow()
        assert answered["id"].to_pylist() == list(frame["id"])
        assert answered["note"].to_pylist() == list(frame["note"])
    assert answered["riders"].null_count < ROWS


def test_a_file_keeps_its_order(store, frame, tmp_path):
    for name, write in (("asked.parquet", frame.to_parquet), ("asked.csv", frame.to_csv)):
        write(tmp_path / name, index=False)
        answered = store.get_training_set("fares", tmp_path / name).to_arrow()
        assert answered["note"].to_pylist() == list(frame["note"])


@pytest.mark.parametrize(
    ("spine", "told"),
    [
        ([1, 2], "not a builtins.list"),
        ({"id": [1]}, "not a builtins.dict"),
        (polars.LazyFrame({"id": [1]}), "not a polars.LazyFrame; collect\\(\\) it first"),
        (numpy.zeros((2, 2)), "not a numpy.ndarray"),
    ],
    ids=["list", "dict", "lazy", "array"],
)
def test_what_is_no_table_is_refused(store, spine, told):
    with pytest.raises(RequestError, match=told):
        store.get_training_set("fares", spine)


def test_frames_of_all_libraries_hold_the_same(store):
    training_set = store.get_training_set("fares", "orders")
    table = training_set.to_arrow()
    assert polars.DataFrame(training_set).equals(polars.from_arrow(table))
    assert training_set.to_polars().equals(polars.from_arrow(table))
    assert pyarrow.table(training_set).equals(table)
    collected = training_set.collect()  # noqa: F841 - DuckDB finds it by its name
    assert duckdb.sql("select count(*) from collected").fetchall() == [(ROWS,)]
    assert pyarrow.Table.from_batches(training_set.batches()).equals(table)
    assert training_set.to_pandas("arrow").equals(training_set.collect().to_pandas("arrow"))


def test_polars_gets_decimals_that_it_has_and_floats_of_longer_ones(store):
    collected = store.get_training_set("fares", "orders", limit=2).collect()
    short, long = (
        pyarrow.array([Decimal("1.5"), None]),
        pyarrow.array([Decimal("0.5"), None], pyarrow.decimal256(76, 38)),
    )
    table = pyarrow.table({"short": short, "long": long})
    assert replace(collected, table=table).to_polars().to_dict(as_series=False) == {
        "short": [Decimal("1.5"), None],
        "long": [0.5, None],
    }


def test_polars_has_the_dtypes_of_pandas_if_asked(store):
    collected = store.get_training_set("fares", "orders").collect()
    frame, expected = collected.to_polars("numpy"), collected.to_pandas()
    assert frame["riders"].dtype == frame["fee"].dtype == polars.Float64
    assert frame["riders"].null_count() == 0
    numpy.testing.assert_array_equal(frame["riders"].to_numpy(), expected["riders"].to_numpy())
    assert frame["city"].to_list() == [None if each is None else each for each in expected["city"]]
    with pytest.raises(RequestError, match="dtypes='pandas' is neither"):
        collected.to_polars("pandas")


def test_batches_that_nobody_reads_to_the_end_leave_the_warehouse_free(project, store):
    batches = store.get_training_set("fares", "orders").batches()
    next(batches)
    batches.close()
    project.run("create table {schema}.later as select 1 as one", "drop table {schema}.later")


def test_a_model_learns_from_features_and_labels_alone(store):
    collected = store.get_training_set("fares", "orders").collect()
    features, label = collected.xy()
    assert list(features.columns) == FEATURES == list(collected.feature_names)
    assert (label.name, label.dtype, len(label)) == ("is_late", numpy.dtype(bool), ROWS)
    pandas.testing.assert_frame_equal(features, collected.to_pandas()[FEATURES])
    two = store.get_training_set("fares", "orders", labels=["is_late", "note"]).xy()[1]
    assert list(two.columns) == ["is_late", "note"]
    assert store.get_training_set("fares", "orders", labels="note").xy("arrow")[1].dtype.pyarrow_dtype.bit_width > 1


def test_a_training_set_without_a_label_says_how_to_name_one(store, frame):
    with pytest.raises(RequestError, match=r"Ask with labels=\['is_late'\]"):
        store.get_training_set("fares", frame).xy()
    with pytest.raises(UnknownName, match="did you mean 'is_late'"):
        store.get_training_set("fares", frame, labels="is_lat").xy()
    with pytest.raises(UnknownName, match="did you mean 'is_late'"):
        store.get_training_set("fares", "orders", labels=["is_lat"]).to_arrow()


def test_what_a_model_learns_from_is_what_is_served(store):
    matrix = store.get_training_set(None, "orders", features=["trips:fee", "trips:riders"]).collect().to_numpy()
    assert (matrix.shape, matrix.dtype) == ((ROWS, 2), numpy.dtype(float))


def test_parts_by_time_hold_every_row_once_and_in_order(store):
    collected = store.get_training_set("fares", "orders").collect()
    parts = collected.split_by_time("2024-01-10", datetime(2024, 1, 20, tzinfo=UTC))
    assert pyarrow.concat_tables([each.to_arrow() for each in parts]).equals(collected.to_arrow())
    ends = [pyarrow.compute.min_max(each.to_arrow()["asked_at"]).as_py() for each in parts]
    cuts = [datetime(2024, 1, day, tzinfo=UTC) for day in (10, 20)]
    assert ends[0]["max"] < cuts[0] <= ends[1]["min"]
    assert ends[1]["max"] < cuts[1] <= ends[2]["min"]
    assert parts[0].label_names == ("is_late",)


@pytest.mark.parametrize("gap", ["2d", timedelta(days=2)], ids=str)
def test_a_gap_is_left_out_before_each_cut(store, gap):
    before, after = store.get_training_set("fares", "orders").split_by_time(date(2024, 1, 10), gap=gap)
    assert pyarrow.compute.max(before.to_arrow()["asked_at"]).as_py() == START + timedelta(days=7) - timedelta(hours=1)
    assert pyarrow.compute.min(after.to_arrow()["asked_at"]).as_py() == START + timedelta(days=9)


def test_parts_of_a_frame_keep_its_index(store, frame):
    parts = store.get_training_set("fares", frame, labels="is_late").split_by_time("2024-01-10")
    is_early = frame["event_timestamp"] < pandas.Timestamp("2024-01-10", tz="UTC")
    pandas.testing.assert_index_equal(parts[0].to_pandas().index, frame.index[is_early])
    pandas.testing.assert_index_equal(parts[1].xy()[1].index, frame.index[~is_early])


@pytest.mark.parametrize(
    ("cuts", "gap", "told"),
    [
        ((), None, "each later than the one before"),
        (("2024-01-10", "2024-01-10"), None, "each later than the one before"),
        (("2024-01-10", "2024-01-09"), None, "each later than the one before"),
        (("soon",), None, "'soon' is not a moment"),
        (("2025-01-01",), None, "no row is at or after 2025-01-01T00:00:00"),
        (("2023-01-01",), None, "no row is before 2023-01-01T00:00:00"),
        (("2024-01-02",), "1w", "no row is before 2023-12-26T00:00:00"),
        (("2024-01-10",), "a while", "'a while' is not a duration"),
        (("2024-01-10",), timedelta(days=-1), "is negative"),
    ],
    ids=str,
)
def test_cuts_that_make_no_parts_are_refused(store, cuts, gap, told):
    with pytest.raises(RequestError, match=told):
        store.get_training_set("fares", "orders").split_by_time(*cuts, gap=gap)


def test_a_row_without_a_moment_is_in_no_part(store, frame):
    frame.iloc[7, frame.columns.get_loc("event_timestamp")] = pandas.NaT
    with pytest.raises(RequestError, match="1 row has no moment"):
        store.get_training_set("fares", frame).split_by_time("2024-01-10")


def test_the_content_hash_is_of_the_rows_in_any_order(store, tmp_path):
    extract = store.get_training_set("fares", "orders").write(tmp_path / "a.parquet")
    collected = store.get_training_set("fares", "orders").collect()
    assert len(extract.content_hash) == 40
    assert extract.content_hash in extract.sidecar.read_text()
    assert content_hash(tmp_path / "a.parquet") == extract.content_hash == collected.content_hash
    shuffled = collected.to_polars().sample(fraction=1, shuffle=True, seed=1)[:, ::-1]
    assert content_hash(shuffled) == extract.content_hash
    assert content_hash(collected.to_pandas("arrow")) == extract.content_hash


def test_the_content_hash_tells_of_any_other_value():
    def values(**changed):
        one = {
            "whole": 1, "real": 0.5, "text": "a", "day": date(2024, 1, 1), "at": START, "bytes": b"a", "yes": True,
            "price": Decimal("1.50"), "list": [1.0, None], "pair": {"a": 1, "b": None},
        }  # fmt: skip
        other = {"whole": None, "real": float("nan"), "text": "", "yes": False, "list": [], "day": date(2024, 1, 2)}
        return pyarrow.Table.from_pylist([{**one, **changed}, {**dict.fromkeys(one), **other}])

    usual = content_hash(values())
    assert content_hash(values()) == usual
    others = {
        "whole": [2, None, 0], "real": [0.25, None, float("nan")], "text": ["b", "", None], "bytes": [b"b", b"", None],
        "day": [date(2024, 1, 3), None], "at": [START + timedelta(microseconds=1), None], "yes": [False, None],
        "price": [Decimal("1.51"), None], "list": [[1.0], [], None, [None, 1.0]], "pair": [{"a": 1, "b": 1}, None],
    }  # fmt: skip
    hashes = [content_hash(values(**{name: value})) for name, some in others.items() for value in some]
    assert len({usual, *hashes}) == len(hashes) + 1
    assert content_hash(values().rename_columns({"whole": "hole"})) != usual
    assert content_hash(values().slice(1)) != usual
    assert content_hash(pyarrow.concat_tables([values(), values()])) != usual
    swapped = values().set_column(0, "whole", pyarrow.array([None, 1]))
    assert content_hash(swapped) != usual  # the same values, in other rows


def test_the_content_hash_is_the_same_for_equal_values_of_other_widths():
    whole = [random.Random(5).randrange(-100, 100) for _ in range(50)]
    narrow = pyarrow.table({"whole": pyarrow.array(whole, pyarrow.int8()), "real": pyarrow.array(whole, "float32")})
    wide = pyarrow.table({"whole": pyarrow.array(whole, pyarrow.int64()), "real": pyarrow.array(whole, "float64")})
    assert content_hash(narrow) == content_hash(wide)


def test_a_notebook_shows_a_few_rows_and_no_more(store):
    collected = store.get_training_set("fares", "orders").collect()
    assert repr(collected) == "TrainingTable(3,000 rows x 3 features of fares)"
    assert collected._repr_html_().count("<tr") == 6


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python drops a Ctrl-C in a finalizer
def test_ten_cancellations_leave_no_lock_and_the_same_answer(project, store):
    heavy = "select n % 40 as id, timestamptz '2024-01-05 00:00:00+00' as event_timestamp, n from {rows} as rows(n)"
    rows = "range(0, 400000)" if project.adapter == "duckdb" else "generate_series(0, 399999)"
    training_set = store.get_training_set("fares", spine_sql=heavy.format(rows=rows))
    started = time.perf_counter()
    whole = training_set.collect().content_hash
    took = time.perf_counter() - started
    cancelled = 0
    for step in range(10):
        with cancelling(took * (step + 0.5) / 11):
            try:
                training_set.to_arrow()
            except KeyboardInterrupt:
                cancelled += 1
        # Would wait for a lock that was left: on DuckDB the file's, on PostgreSQL the table's.
        project.run("alter table {schema}.trips rename to moved", "alter table {schema}.moved rename to trips")
    assert cancelled > 2
    assert training_set.collect().content_hash == whole


@contextmanager
def cancelling(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt after a while, as Ctrl-C does."""
    usual = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
