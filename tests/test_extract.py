"""Extracts: every kind of spine, the files that come out, and what is said of them; on both warehouses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import duckdb
import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
import pytest

import feature_sync
from feature_sync import FeatureStore
from feature_sync.definitions import Period
from feature_sync.errors import RequestError
from feature_sync.sql.view_query import ViewQuery
from feature_sync.training.extract import is_within
from tests.support.projects import own_copy

SERVICE = "departure_delay_model"
FEATURES = 13


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request):
    return request.getfixturevalue("example" if request.param == "duckdb" else "example_on_postgres")


@pytest.fixture
def store(project, monkeypatch):
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    options = {"profiles_dir": str(project.folder / "profiles"), "target": project.target}
    with FeatureStore.open(project.folder, **options) as store:
        yield store


@pytest.fixture(scope="module")
def whole(project, tmp_path_factory):
    """The training set of the model `departures`, by which the others are judged."""
    return extracted(project, tmp_path_factory.mktemp("whole") / "set.parquet", "--spine", "departures")[0]


@pytest.fixture(scope="module")
def departures(whole):
    """The spine as a table in memory, without its features."""
    return whole.select(whole.column_names[:-FEATURES])


def extracted(project, path, *arguments: str):
    """Extract, and read back what was written: the rows by flight, and the sidecar."""
    done = project.feature_sync("extract", SERVICE, *arguments, "-o", str(path))
    assert done.returncode == 0, done.stderr
    table = pyarrow.parquet.read_table(path)
    if "flight_id" in table.column_names and "--order-by" not in arguments:
        table = table.sort_by("flight_id")
    return table, json.loads(path.with_name(f"{path.name}.json").read_text())


def spine_table(project) -> str:
    return "main.departures" if project.target == "duckdb" else "features.departures"


# Spines


def test_a_query_a_parquet_file_and_a_csv_file_give_what_their_model_gives(project, whole, departures, tmp_path):
    query = f"select * from {spine_table(project)} -- all of them\n;"
    asked = ("--event-timestamp", "asked_at")
    assert extracted(project, tmp_path / "a.parquet", "--spine-sql", query, *asked)[0] == whole
    pyarrow.parquet.write_table(departures, tmp_path / "spine.parquet")
    from_parquet, sidecar = extracted(
        project, tmp_path / "b.parquet", "--spine", str(tmp_path / "spine.parquet"), *asked
    )
    assert from_parquet == whole
    digest = sha256((tmp_path / "spine.parquet").read_bytes()).hexdigest()
    assert (sidecar["spine"]["file"], sidecar["spine"]["sha256"]) == ("spine.parquet", digest)
    pyarrow.csv.write_csv(departures, tmp_path / "spine.csv")
    assert extracted(project, tmp_path / "c.parquet", "--spine", str(tmp_path / "spine.csv"), *asked)[0] == whole


@pytest.mark.parametrize("typed", [False, True], ids=["a model", "a query"])
def test_an_extract_builds_each_views_query_once_and_asks_nothing_twice(project, store, tmp_path, monkeypatch, typed):
    built, asked = [], []

    def build(query, view, **options):
        built.append(view.reference)
        make(query, view, **options)

    def record(warehouse, name):
        run = getattr(warehouse, name)

        def recorded(*arguments, **options):
            asked.append((name, *arguments))
            return run(*arguments, **options)

        monkeypatch.setattr(warehouse, name, recorded)

    def open_warehouse():
        warehouse = connect()
        for name in ("describe", "fetch", "keep", "arrow"):
            record(warehouse, name)
        return warehouse

    make = ViewQuery.__init__
    monkeypatch.setattr(ViewQuery, "__init__", build)
    query = f"select * from {spine_table(project)} order by flight_id limit 9"
    spine = {"spine_sql": query, "event_timestamp": "asked_at"} if typed else {"spine": "departures", "limit": 9}
    training_set = store.get_training_set(SERVICE, **spine)
    connect = training_set.open_warehouse
    assert replace(training_set, open_warehouse=open_warehouse).write(tmp_path / "a.parquet").rows == 9
    views = [each.view.reference for each in training_set.service.selections]
    assert sorted(built) == sorted(set(views))
    assert len(asked) == len(set(asked))
    assert [name for name, *_ in asked].count("arrow") == 1


def test_frames_and_tables_in_memory_are_spines_too(store, whole, departures):
    renamed = departures.rename_columns({"asked_at": "event_timestamp"})
    for spine in (renamed, renamed.to_pandas()):
        found = store.get_training_set(SERVICE, spine).to_arrow().sort_by("flight_id")
        assert found.select(whole.column_names[-FEATURES:]) == whole.select(whole.column_names[-FEATURES:])


def test_a_csv_file_keeps_its_keys_as_they_are_written(store, tmp_path):
    path = tmp_path / "spine.csv"
    path.write_text(
        'carrier,tailnum,origin,event_timestamp,note\n007,,JFK,2013-01-10 12:00:00,""\n"",NA,,2013-01-10,\n'
    )
    rows = store.get_training_set(SERVICE, path).to_arrow().select(["carrier", "tailnum", "origin", "note"]).to_pylist()
    assert sorted(rows, key=str) == [
        {"carrier": "", "tailnum": "NA", "origin": None, "note": None},
        {"carrier": "007", "tailnum": None, "origin": "JFK", "note": ""},
    ]


def test_since_and_until_are_both_included(project, whole, tmp_path):
    moments = sorted(whole.column("asked_at").to_pylist())
    since, until = moments[1000], moments[2000]
    asked = ("--spine", "departures", "--since", since.isoformat(), "--until", f"{until.isoformat()}Z")
    found, sidecar = extracted(project, tmp_path / "a.parquet", *asked)
    inside = pyarrow.compute.and_(
        pyarrow.compute.greater_equal(whole.column("asked_at"), since),
        pyarrow.compute.less_equal(whole.column("asked_at"), until),
    )
    assert found == whole.filter(inside)
    assert sidecar["spine"]["since"] == f"{since.isoformat()}Z"
    query = project.feature_sync("sql", SERVICE, *asked).stdout
    assert f"{until}.000000" in query
    assert sidecar["sql"].count(f"{until}.000000") >= 2  # the spine's own bound, and those of the views


def test_the_moments_asked_bound_what_is_read_of_the_views(project, whole, tmp_path):
    moments = whole.column("asked_at").to_pylist()
    _, sidecar = extracted(project, tmp_path / "a.parquet", "--spine", "departures")
    assert sidecar["sql"].count(f"{max(moments)}.000000") >= 2
    assert f"{max(moments)}.000000" not in project.feature_sync("sql", SERVICE, "--spine", "departures").stdout


def test_a_sample_is_the_same_every_time_and_a_limit_takes_the_first(project, whole, tmp_path):
    sample, _ = extracted(project, tmp_path / "a.parquet", "--spine", "departures", "--sample", "0.1")
    again, _ = extracted(project, tmp_path / "b.parquet", "--spine", "departures", "--sample", "0.1")
    assert sample == again
    assert 0.08 < sample.num_rows / whole.num_rows < 0.12
    first, _ = extracted(project, tmp_path / "c.parquet", "--spine", "departures", "--limit", "7")
    order = [("asked_at", "ascending"), ("carrier", "ascending"), ("tailnum", "ascending"), ("origin", "ascending")]
    assert first == whole.sort_by(order).slice(0, 7).sort_by("flight_id")
    last, _ = extracted(
        project, tmp_path / "d.parquet", *["--spine", "departures", "--limit", "5", "--order-by"], "flight_id desc"
    )
    assert last == whole.sort_by([("flight_id", "descending")]).slice(0, 5)


@pytest.mark.parametrize("strategy", [None, "carry"])
def test_a_query_spine_that_is_different_every_time_is_answered_as_it_was_once(project, whole, tmp_path, strategy):
    query = f"select * from {spine_table(project)} where random() < 0.5"
    asked = ("--spine-sql", query, "--event-timestamp", "asked_at")
    found, _ = extracted(project, tmp_path / "a.parquet", *asked, *(["--strategy", strategy] if strategy else []))
    assert 0 < found.num_rows < whole.num_rows
    chosen = pyarrow.compute.is_in(whole.column("flight_id"), value_set=found.column("flight_id").combine_chunks())
    assert found == whole.filter(chosen)


def test_a_query_spine_that_is_different_every_time_is_evaluated_once_by_the_printed_query_too(example, whole):
    query = "select * from main.departures where random() < 0.5"
    asked = ("--spine-sql", query, "--event-timestamp", "asked_at", "--strategy", "carry")
    printed = example.feature_sync("sql", SERVICE, *asked).stdout
    with duckdb.connect(str(example.folder / "flights.duckdb"), read_only=True) as connection:
        found = connection.sql(printed).to_arrow_table().sort_by("flight_id").cast(whole.schema)
    chosen = pyarrow.compute.is_in(whole.column("flight_id"), value_set=found.column("flight_id").combine_chunks())
    assert found == whole.filter(chosen)


def test_a_query_spine_is_evaluated_once(example_on_postgres, postgres, tmp_path):
    with postgres.connect() as connection:
        connection.execute("drop sequence if exists evaluated; create sequence evaluated")
        query = "select departures.*, nextval('evaluated') as number from features.departures"
        asked = ("--spine-sql", query, "--event-timestamp", "asked_at")
        found, _ = extracted(example_on_postgres, tmp_path / "a.parquet", *asked)
        (last,) = connection.execute("select last_value from evaluated").fetchone()
    assert last == found.num_rows == 26_483


# Files


def test_a_csv_file_holds_what_the_parquet_file_holds(project, whole, tmp_path):
    path = tmp_path / "set.csv"
    assert project.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(path)).returncode == 0
    types = {field.name: field.type for field in whole.schema}
    convert = pyarrow.csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    assert pyarrow.csv.read_csv(path, convert_options=convert).sort_by("flight_id") == whole
    sidecar = json.loads((tmp_path / "set.csv.json").read_text())
    assert sidecar["column_types"] == {name: str(kind) for name, kind in types.items()}


def test_the_same_inputs_give_the_same_sidecar_and_other_inputs_another(project, tmp_path):
    names = ("a/set.parquet", "b/set.parquet", "c/set.parquet")
    limits = ("100", "100", "99")
    for name, limit in zip(names, limits, strict=True):
        extracted(project, tmp_path / name, "--spine", "departures", "--limit", limit)
    first, second, third = ((tmp_path / f"{name}.json").read_bytes() for name in names)
    assert first == second != third
    sidecar = json.loads(first)
    assert sidecar["sql_sha256"] == sha256(sidecar["sql"].encode()).hexdigest()
    manifest = json.loads((project.folder / "target" / "manifest.json").read_text())
    assert sidecar["dbt_invocation_id"] == manifest["metadata"]["invocation_id"]
    assert (sidecar["rows"], sidecar["feature_sync_version"]) == (100, feature_sync.__version__)
    assert len(sidecar["definitions_sha256"]) == 64


def test_a_parquet_file_is_compressed_and_comes_in_row_groups(project, departures, tmp_path):
    pyarrow.parquet.write_table(pyarrow.concat_tables([departures] * 6), tmp_path / "spine.parquet")
    asked = ("--spine", str(tmp_path / "spine.parquet"), "--event-timestamp", "asked_at")
    extracted(project, tmp_path / "set.parquet", *asked)
    written = pyarrow.parquet.ParquetFile(tmp_path / "set.parquet").metadata
    groups = [written.row_group(number) for number in range(written.num_row_groups)]
    assert written.num_rows == 6 * departures.num_rows
    assert len(groups) > 1
    assert max(group.num_rows for group in groups) <= 122_880
    assert {group.column(0).compression for group in groups} == {"ZSTD"}


def test_it_tells_from_when_each_view_can_answer_and_what_stayed_null(project, store, whole, tmp_path):
    extract = store.get_training_set(SERVICE, "departures").write(tmp_path / "set.parquet")
    views = {each.alias: each for each in extract.views}
    assert views["carrier_delays"].earliest_answerable == datetime(2013, 1, 1, 11, tzinfo=UTC)
    assert views["origin_weather"].earliest_answerable == datetime(2013, 1, 1, 7, tzinfo=UTC)  # with its lag of an hour
    assert views["aircraft_profile"].earliest_answerable is None
    asked = [moment.replace(tzinfo=UTC) for moment in whole.column("asked_at").to_pylist()]
    for view in extract.views:
        earlier = [moment for moment in asked if view.earliest_answerable and moment < view.earliest_answerable]
        assert view.rows_asking_earlier == len(earlier)
        for name, share in view.null_shares.items():
            assert share == whole.column(name).null_count / whole.num_rows
    assert views["carrier_delays"].rows_asking_earlier > 0
    shown = project.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(tmp_path / "b.parquet"))
    assert "2013-01-01 11:00:00Z" in shown.stdout
    assert "26,483 rows, 13 features" in shown.stderr


def test_a_view_without_rows_can_never_answer(example, tmp_path):
    project = own_copy(example, tmp_path / "project")
    with duckdb.connect(str(project.folder / "flights.duckdb")) as connection:
        connection.execute("delete from airport_weather")
    _, sidecar = extracted(project, tmp_path / "set.parquet", "--spine", "departures")
    (weather,) = (each for each in sidecar["feature_views"] if each["alias"] == "origin_weather")
    assert (weather["earliest_answerable"], weather["rows_asking_earlier"]) == (None, 26_483)
    assert set(weather["null_shares"].values()) == {1.0}
    shown = project.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(tmp_path / "set.csv")).stdout
    assert [line.split()[1] for line in shown.splitlines() if line.startswith(("origin", "aircraft_p"))] == [
        "always",
        "never",
    ]


def test_an_empty_spine_gives_an_empty_typed_file(project, whole, tmp_path):
    asked = ("--spine", "departures", "--since", "2020-01-01")
    found, sidecar = extracted(project, tmp_path / "a.parquet", *asked)
    assert (found.num_rows, found.schema) == (0, whole.schema)
    (delays,) = (each for each in sidecar["feature_views"] if each["alias"] == "carrier_delays")
    assert (sidecar["rows"], set(delays["null_shares"].values())) == (0, {0.0})
    path = tmp_path / "spine.csv"
    path.write_text("carrier,tailnum,origin,event_timestamp\n")
    found, _ = extracted(project, tmp_path / "b.parquet", "--spine", str(path))
    assert found.num_rows == 0
    assert [str(each) for each in found.schema.types][:4] == ["string", "string", "string", "timestamp[us]"]


def test_ctrl_c_leaves_no_table_and_no_file(example_on_postgres, postgres, departures, tmp_path):
    many = pyarrow.concat_tables([departures] * 40)
    pyarrow.parquet.write_table(many, tmp_path / "spine.parquet")
    command = [sys.executable, "-m", "feature_sync", "extract", SERVICE, "--spine", str(tmp_path / "spine.parquet")]
    command += ["--event-timestamp", "asked_at", "-o", str(tmp_path / "out" / "set.parquet")]
    variables = example_on_postgres.variables
    kept = "select count(*) from pg_class where relname = 'feature_sync_spine'"
    with postgres.connect() as connection:
        with subprocess.Popen(
            command, cwd=example_on_postgres.folder, env=variables, stderr=subprocess.PIPE
        ) as process:
            while connection.execute(kept).fetchone() == (0,) and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1].decode()
        assert (process.returncode, said) == (130, "Error: interrupted\n")
        for _ in range(200):  # the server ends the session a moment after the client is gone
            if connection.execute(kept).fetchone() == (0,):
                break
            time.sleep(0.05)
        assert connection.execute(kept).fetchone() == (0,)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_uniqueness_test_that_passed_spares_the_search_for_ties_when_it_runs_and_only_then(example, tmp_path):
    project = own_copy(example, tmp_path / "project")
    manifest, results = (project.folder / "target" / name for name in ("manifest.json", "run_results.json"))
    content = json.loads(manifest.read_text())
    content["nodes"]["model.feature_sync.aircraft_history"]["constraints"] = []
    manifest.write_text(json.dumps(content))
    asked = ("--features", "aircraft_history:flights_7d", "--spine", "departures")
    ties = '"aircraft_history_newest"'

    def query(name):
        assert project.feature_sync("extract", *asked, "-o", str(tmp_path / name)).returncode == 0
        return json.loads((tmp_path / f"{name}.json").read_text())["sql"]

    assert ties not in query("passed.parquet")
    assert ties in project.feature_sync("sql", *asked).stdout
    outcome = json.loads(results.read_text())
    for each in outcome["results"]:
        each["status"] = "warn" if "unique_combination_aircraft_history" in each["unique_id"] else each["status"]
    results.write_text(json.dumps(outcome))
    assert ties in query("warned.parquet")
    results.unlink()
    assert ties in query("missing.parquet")
    tables = [pyarrow.parquet.read_table(tmp_path / f"{name}.parquet") for name in ("passed", "warned", "missing")]
    assert tables[0].sort_by("flight_id") == tables[1].sort_by("flight_id") == tables[2].sort_by("flight_id")


# Queries and models


def test_a_dbt_model_refers_to_what_it_reads_and_check_tells_when_it_is_stale(example, tmp_path):
    path = tmp_path / "training.sql"
    arguments = ("sql", SERVICE, "--spine", "departures", "--refs", "-o", str(path))
    assert example.feature_sync(*arguments).returncode == 0
    text = path.read_text()
    for reference in ("ref('carrier_delays', v=2)", "ref('departures')", "ref('airport_weather')"):
        assert f"{{{{ {reference} }}}}" in text
    assert '"flights"."main"' not in text
    assert example.feature_sync(*arguments, "--check").returncode == 0
    path.write_text(text.replace("7 DAY", "8 DAY").replace("30", "31"))
    stale = example.feature_sync(*arguments, "--check")
    assert stale.returncode == 3
    assert "is stale" in stale.stderr
    path.unlink()
    missing = example.feature_sync(*arguments, "--check")
    assert (missing.returncode, path.exists()) == (3, False)


@pytest.mark.parametrize("dialect", ["spark", "clickhouse"])
def test_queries_that_the_engine_itself_runs_in_the_tests_need_no_note(example, dialect):
    done = example.feature_sync("sql", SERVICE, "--spine", "departures", "--dialect", dialect)
    assert (done.returncode, "Note:" in done.stderr, "ASOF" in done.stdout) == (0, False, False)


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake", "redshift", "databricks", "trino"])
def test_queries_for_warehouses_that_are_not_tested_say_so(example, dialect):
    done = example.feature_sync("sql", SERVICE, "--spine", "departures", "--dialect", dialect)
    assert done.returncode == 0
    assert f"Note: queries for {dialect} are" in done.stderr
    assert "not executed by us" in done.stderr
    assert "ASOF" not in done.stdout


# Bad input


ASKED = {"carrier": ["B6"], "tailnum": ["N1"], "origin": ["JFK"], "event_timestamp": [datetime(2013, 1, 9)]}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"event_timestamp": None}, ["no column 'event_timestamp'", "event_timestamp="], id="no time"),
        pytest.param(
            {"event_timestamp": ["2013-01-09"]}, ["'event_timestamp' is string, not a time"], id="text for a time"
        ),
        pytest.param({"origin": None}, ["no column 'origin'", "it has carrier, tailnum"], id="no key"),
        pytest.param({"carrier": [7]}, ["'carrier' is int64", "is string"], id="a number for text"),
        pytest.param({"Visib": [1]}, ["has a column 'Visib'", "full_names: true"], id="a name that clashes"),
        pytest.param({"CARRIER": ["B6"]}, ["two columns are called 'carrier'"], id="a column twice"),
    ],
)
def test_a_spine_that_does_not_fit_is_refused(store, changed, words):
    columns = {name: values for name, values in {**ASKED, **changed}.items() if values is not None}
    with pytest.raises(RequestError) as refused:
        store.get_training_set(SERVICE, pyarrow.table(columns)).to_arrow()
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param((), ["--spine or", "--spine-sql"], id="no spine"),
        pytest.param(("--spine", "departures", "--spine-sql", "select 1"), ["not both"], id="two spines"),
        pytest.param(("--spine", "none.parquet"), ["none.parquet cannot be read"], id="a file that is not there"),
        pytest.param(("--spine", "departure"), ["did you mean 'departures'?"], id="a misspelt model"),
        pytest.param(("--spine", "departures", "--sample", "20"), ["20 is not a share", "0.1"], id="a sample above 1"),
        pytest.param(("--spine", "departures", "--limit", "-1"), ["limit of -1"], id="a limit below 0"),
        pytest.param(("--spine", "departures", "--since", "noon"), ["--since: 'noon'", "such as"], id="no moment"),
        pytest.param(
            ("--spine", "departures", "--since", "2013-02-01", "--until", "2013-01-01"),
            ["ends", "before it begins"],
            id="a period that ends before it begins",
        ),
        pytest.param(("--spine", "departures", "--order-by", "flight"), ["did you mean 'flight_id'?"], id="an order"),
        pytest.param(
            ("--spine", "departures", "--strategy", "fast"), ["no strategy is called 'fast'"], id="a strategy"
        ),
        pytest.param(("--spine-sql", "select 1 as"), ["syntax error"], id="a query that is none"),
        pytest.param(("--spine-sql", "select 1; select 2"), [""], id="two queries"),
        pytest.param(
            ("--spine", "departures", "--event-timestamp", "dest"), ["'dest' is string, not a time"], id="no time"
        ),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(project, tmp_path, arguments, words):
    done = project.feature_sync("extract", SERVICE, *arguments, "-o", str(tmp_path / "set.parquet"))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_strategy_that_a_dialect_cannot_do_is_refused(example):
    for dialect, strategy in {"postgres": "asof", "bigquery": "lateral", "redshift": "lateral"}.items():
        asked = ("--spine", "departures", "--strategy", strategy, "--dialect", dialect)
        done = example.feature_sync("sql", SERVICE, *asked)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{dialect} has no {strategy} join; leave out --strategy, or take carry" in done.stderr


def test_a_query_cannot_read_a_file_and_says_what_can(example, tmp_path):
    path = tmp_path / "spine.parquet"
    pyarrow.parquet.write_table(pyarrow.table(ASKED), path)
    done = example.feature_sync("sql", SERVICE, "--spine", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no query can read" in done.stderr
    assert "extract it" in done.stderr


def test_a_file_that_is_broken_is_named_and_nothing_is_left_behind(project, tmp_path):
    path = tmp_path / "spine.csv"
    rows = "B6,N1,JFK,2013-01-09 10:00:00,1\n" * 600_000  # more than is read to guess the types
    path.write_text(f"carrier,tailnum,origin,event_timestamp,label\n{rows}B6,N1,JFK,2013-01-09 10:00:00,one\n")
    done = project.feature_sync("extract", SERVICE, "--spine", str(path), "-o", str(tmp_path / "out" / "set.parquet"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{path} cannot be read" in done.stderr
    assert "invalid value 'one'" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_the_name_of_the_output_says_its_format(example, tmp_path):
    done = example.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(tmp_path / "set.xlsx"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "neither .parquet nor .csv" in done.stderr


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_moments_are_within_a_period_up_to_its_very_ends_and_not_a_microsecond_beyond(zone):
    noon, moment = datetime(2024, 1, 1, 12, tzinfo=UTC), timedelta(microseconds=1)
    kind = pyarrow.timestamp("us", tz=zone)

    def within(*moments: datetime | None, since: datetime | None = None, until: datetime | None = None) -> bool:
        return is_within(pyarrow.array(moments, kind), Period(since, until))

    assert within(noon, None, since=noon, until=noon)
    assert not within(noon, noon - moment, since=noon)
    assert not within(noon, noon + moment, until=noon)
    assert within(noon + moment, since=noon)
    assert within(noon - moment, until=noon)
    assert within(noon)
    assert within(None, since=noon, until=noon)
    assert within(since=noon, until=noon)
    for endless, bounded in ((2**63 - 1, Period(until=noon)), (-(2**63), Period(since=noon))):
        moments = pyarrow.array([endless]).cast(kind)
        assert (is_within(moments, Period()), is_within(moments, bounded)) == (True, False)
