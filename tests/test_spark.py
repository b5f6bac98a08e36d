"""Training sets on Spark through Spark Connect: on Sail, which speaks it too, and on Spark itself (slow)."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from feature_sync import FeatureStore
from feature_sync.errors import FeatureSyncError, ProfileError, RequestError, WarehouseError
from feature_sync.sql.push.latest import stored_rows
from feature_sync.sql.render import render
from feature_sync.sql.view_query import ViewQuery
from feature_sync.warehouses import open_warehouse
from tests.support import cases as generated
from tests.support import oracle
from tests.support.engines import ask, canonical, examples, load, strategies
from tests.support.printed import without_lone_nan
from tests.support.projects import EXAMPLE
from tests.support.spark import OnConnect, SailServer, SparkProject

SERVERS = ["sail", pytest.param("spark", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def warehouse(server):
    with closing(open_warehouse(server.target())) as opened:
        yield opened


@examples(12)
@given(data=st.data())
def test_every_spine_row_gets_what_the_oracle_finds_through_the_products_own_session(sail, tmp_path_factory, data):
    check_case(sail, tmp_path_factory, data, is_sail=True)


@pytest.mark.slow
@examples(20)
@given(data=st.data())
def test_many_more_spine_rows_get_what_the_oracle_finds(sail, tmp_path_factory, data):
    check_case(sail, tmp_path_factory, data, is_sail=True)


@pytest.mark.slow
@examples(6)
@given(data=st.data())
def test_spark_itself_answers_as_the_oracle_does(spark, tmp_path_factory, data):
    check_case(spark, tmp_path_factory, data, is_sail=False)


def check_case(server, tmp_path_factory, data, *, is_sail):
    case = data.draw(generated.cases("spark"))
    if is_sail:
        case = replace(case, tables={view: without_lone_nan(rows) for view, rows in case.tables.items()})
    with closing(open_warehouse(server.target())) as opened:
        engine = OnConnect(opened, tmp_path_factory.mktemp("case"), is_sail=is_sail)
        load(engine, case)
        wanted = canonical(case.expected())
        for strategy in strategies(engine, case):
            assert canonical(ask(engine, case, strategy)) == wanted, strategy
            assert canonical(ask(engine, case, strategy, asked=case.asked)) == wanted, f"{strategy}, within bounds"
        for selection in case.service.selections:
            check_newest(engine, selection.view, case.tables[selection.view.reference])


def check_newest(engine, view, rows):
    """What a push asks for: the answer at one moment for every entity, by the same words as the oracle's."""
    now = generated.NOON + timedelta(hours=1)
    query = stored_rows(ViewQuery(view, dialect=engine.dialect), now=now)
    found = engine.fetch(render(query, dialect=engine.dialect))
    entities = {tuple(row[key] for key in view.join_keys) for row in rows}
    answers = [row for each in entities if (row := oracle.answer(view, rows, each, now)) is not None]
    names = [feature.name for feature in view.features]
    assert canonical(features_of(found, names)) == canonical(features_of(answers, names)), view.reference


def features_of(rows, names):
    return [{name: row[name] for name in names} for row in rows]


NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEATURES = ["amount", "payload", "tags", "seen", "clock", "day", "place"]
DAILY = {"entities": {"customer": "id"}, "features": FEATURES, "ttl": "1d"}


@pytest.fixture
def project(server, tmp_path):
    made = SparkProject(tmp_path, server.url)
    rows = {
        "id": ["a", "a", "b"],
        "at": [NOON - 2 * HOUR, NOON, NOON - 30 * HOUR],
        "amount": pyarrow.array([Decimal("1.50"), Decimal("2.50"), Decimal("9.00")], pyarrow.decimal128(10, 2)),
        "payload": [b"\x00\xff", b"", None],
        "tags": [["x", None], [], None],
        "seen": pyarrow.array([NOON, None, NOON], pyarrow.timestamp("us", tz="UTC")),
        "clock": pyarrow.array([datetime(2024, 3, 31, 2, 30), None, None], pyarrow.timestamp("us")),
        "day": [date(2024, 1, 1), None, None],
        "place": [{"Lat lon": 1.5, "n": 1}, None, None],
    }
    rows["at"] = pyarrow.array(rows["at"], pyarrow.timestamp("us", tz="UTC"))
    made.model("spend", pyarrow.table(rows), event_time="at", meta={"feature_view": DAILY})
    made.service("churn", {"spend": FEATURES}, ["spend"])
    moments = pyarrow.array([NOON - HOUR, NOON, NOON, NOON], pyarrow.timestamp("us", tz="UTC"))
    made.spine = pyarrow.table({"id": ["a", "a", "b", "c"], "event_timestamp": moments, "label": [1, 2, 3, 4]})
    made.model("asked", made.spine, event_time="event_timestamp")
    return made


def spine_of(kind, project):
    if kind == "file":
        pyarrow.parquet.write_table(project.spine, project.folder / "spine.parquet")
        return {"spine": project.folder / "spine.parquet"}
    if kind == "query":
        return {"spine_sql": f"select * from parquet.`{project.folder}/asked.parquet`"}
    return {"spine": "asked" if kind == "model" else project.spine}


@pytest.mark.parametrize("kind", ["file", "frame", "model", "query"])
def test_a_training_set_holds_every_type_exactly_whatever_the_spine_is(project, kind):
    table = project.open().get_training_set("churn", **spine_of(kind, project)).collect().table
    first, second, third, fourth = sorted(table.to_pylist(), key=lambda row: row["label"])
    assert first["amount"] == Decimal("1.50")
    assert first["payload"] == b"\x00\xff"
    assert first["tags"] == ["x", None]
    assert (first["seen"], first["clock"], first["day"]) == (NOON, datetime(2024, 3, 31, 2, 30), date(2024, 1, 1))
    assert first["place"] == {"Lat lon": 1.5, "n": 1}
    assert (second["amount"], second["payload"], second["tags"]) == (Decimal("2.50"), b"", [])
    assert third["amount"] is None  # 30 hours old, with a TTL of a day
    assert fourth["amount"] is None
    assert table.schema.field("seen").type == pyarrow.timestamp("us", tz="UTC")
    assert table.schema.field("clock").type == pyarrow.timestamp("us")


def test_the_commands_read_a_project_on_spark(project):
    project.open()
    assert "spend" in said(project, "list")
    assert "1 feature view" in said(project, "check", "--warehouse")
    assert "`parquet`" in said(project, "sql", "churn", "--spine", "asked")
    said(project, "extract", "churn", "--spine", "asked", "--output", "out.parquet")
    answered = pyarrow.parquet.read_table(project.folder / "out.parquet")
    assert answered.num_rows == 4
    assert answered.column("amount").to_pylist().count(None) == 2


def said(project, *arguments):
    command = [sys.executable, "-m", "feature_sync", *arguments]
    environment = {**os.environ, "DBT_PROFILES_DIR": str(project.folder), "PYTHONPATH": str(EXAMPLE)}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout + done.stderr


def test_the_example_that_dbt_built_answers_as_on_duckdb(example_on_sail, example, tmp_path):
    answers = []
    for built in (example_on_sail, example):
        path = tmp_path / f"{built.target}.parquet"
        done = built.feature_sync("extract", "departure_delay_model", "--spine", "departures", "-o", str(path))
        assert done.returncode == 0, done.stderr
        answers.append(pyarrow.parquet.read_table(path).sort_by("flight_id"))
    on_spark, on_duckdb = answers
    assert on_spark.num_rows == 26_483
    assert on_spark.schema.field("asked_at").type == pyarrow.timestamp("us", tz="UTC")
    assert on_spark.cast(on_duckdb.schema).equals(on_duckdb)


def test_a_session_that_the_address_names_is_left_as_it_was(example_on_sail, sail):
    def views():
        with closing(open_warehouse(sail.target(connect=sail.shared_url))) as warehouse:
            return {each.name for each in warehouse._session.spark.catalog.listTables() if each.isTemporary}  # noqa: SLF001

    before = views()
    with closing(open_warehouse(sail.target(connect=sail.shared_url))) as warehouse:
        name = warehouse.load("spine", pyarrow.table({"id": [1]}).to_reader(), {})
        assert warehouse.fetch(f"select * from {name}") == [(1,)]
        assert len(views()) > len(before)
    assert views() == before
    assert sail.rows("select count(*) as rows from features.departures") == [{"rows": 26_483}]


def test_a_push_is_refused_with_the_reason_and_before_redis_is_touched(project, redis_url):
    store = FeatureStore.open(project.folder, profiles_dir=str(project.folder), redis_url=redis_url)
    project.open()
    with pytest.raises(FeatureSyncError, match=r"nothing can be pushed from Spark: .* in transactions"):
        store.push(gate=False)
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.dbsize() == 0


def test_a_table_that_is_missing_names_its_cure(project):
    project.nodes["model.shop.spend"]["relation_name"] = "`features`.`spend`"
    store = project.open()
    with pytest.raises(FeatureSyncError, match=r"(?i)(?:Table not found|cannot be found).*run dbt build"):
        store.get_training_set("churn", "asked").collect()


@pytest.fixture
def spend(server, tmp_path):
    """A view whose table a test rewrites; keys and names are those that people have."""
    made = SparkProject(tmp_path, server.url)
    block = {"entities": {"customer": "Kunden-Nr."}, "features": ["größe in `m`"]}
    made.spending = {
        "Kunden-Nr.": pyarrow.array([1, 2], pyarrow.int32()),
        "at": pyarrow.array([NOON, NOON], pyarrow.timestamp("us", tz="UTC")),
        "größe in `m`": pyarrow.array([1, 2], pyarrow.int32()),
    }
    made.model("spend", pyarrow.table(made.spending), event_time="at", meta={"feature_view": block})
    made.service("churn", {"spend": block["features"]}, ["spend"])
    moments = pyarrow.array([NOON, NOON], pyarrow.timestamp("us", tz="UTC"))
    made.spine = pyarrow.table({"Kunden-Nr.": pyarrow.array([1, 2]), "event_timestamp": moments})
    return made


def sizes(spend, store=None):
    table = (store or spend.open()).get_training_set("churn", spend.spine).collect().table
    rows = {row["Kunden-Nr."]: row["größe in `m`"] for row in table.to_pylist()}
    return rows, table.schema.field("größe in `m`").type


def test_each_answer_is_of_the_table_as_it_stands_with_rows_changed_deleted_and_columns_added_and_widened(spend):
    store = spend.open()
    assert sizes(spend, store) == ({1: 1, 2: 2}, pyarrow.int64())
    path = spend.folder / "spend.parquet"
    changed = spend.spending | {"größe in `m`": pyarrow.array([7, 2], pyarrow.int32()), "new": ["a", "b"]}
    pyarrow.parquet.write_table(pyarrow.table(changed), path)  # upserted, and a column added
    assert sizes(spend, spend.open()) == ({1: 7, 2: 2}, pyarrow.int64())
    pyarrow.parquet.write_table(pyarrow.table(changed).slice(0, 1), path)  # deleted
    assert sizes(spend, spend.open()) == ({1: 7, 2: None}, pyarrow.int64())
    widened = changed | {"größe in `m`": [1.5, 2.5]}
    pyarrow.parquet.write_table(pyarrow.table(widened), path)
    assert sizes(spend, spend.open()) == ({1: 1.5, 2: 2.5}, pyarrow.float64())


def test_a_feature_that_the_table_has_lost_is_named(spend):
    kept = {name: values for name, values in spend.spending.items() if not name.startswith("gr")}
    pyarrow.parquet.write_table(pyarrow.table(kept), spend.folder / "spend.parquet")
    with pytest.raises(FeatureSyncError, match=r"größe in `m`"):
        sizes(spend)


def test_a_clock_without_a_zone_is_read_in_the_views_zone_and_an_instant_is_not(server, tmp_path):
    made = SparkProject(tmp_path, server.url)
    clock = datetime(2024, 7, 1, 12)
    for name, kind in (("clock", pyarrow.timestamp("us")), ("instant", pyarrow.timestamp("us", tz="UTC"))):
        rows = {"id": [1], "at": pyarrow.array([clock], kind), name: [1]}
        block = {"entities": {"customer": "id"}, "features": [name], "timezone": "America/New_York"}
        made.model(f"by_{name}", pyarrow.table(rows), event_time="at", meta={"feature_view": block})
    made.service("both", {"by_clock": ["clock"], "by_instant": ["instant"]}, ["by_clock", "by_instant"])
    asked = [clock.replace(tzinfo=UTC) + each * HOUR for each in (-1, 0, 3, 4)]
    spine = {"id": [1] * 4, "event_timestamp": pyarrow.array(asked, pyarrow.timestamp("us", tz="UTC"))}
    table = made.open().get_training_set("both", pyarrow.table(spine)).collect().table.sort_by("event_timestamp")
    assert table.column("clock").to_pylist() == [None, None, None, 1]  # noon in New York is 16:00 UTC
    assert table.column("instant").to_pylist() == [None, 1, 1, 1]


def test_verify_and_status_know_of_no_push_from_spark(project, redis_url):
    project.open()
    store = FeatureStore.open(project.folder, profiles_dir=str(project.folder), redis_url=redis_url)
    (verified,) = store.verify()
    assert (verified.is_equal, verified.problems) == (False, ("never pushed",))
    (status,) = store.status()
    assert (status.feature_view, status.mark, status.rows) == ("spend", None, None)


def test_a_lost_session_is_said_and_leaves_no_half_file(tmp_path):
    with SailServer() as server, closing(open_warehouse(server.target())) as warehouse:
        query = "select a.id from range(3000) a cross join range(3000) b"
        with warehouse.arrow(query, batch_size=1000) as reader:
            assert next(reader).num_rows
            server.kill()
            with pytest.raises(WarehouseError, match=r"the session of Spark Connect at 127.0.0.1:.* is lost"):
                list(reader)


def test_an_extract_whose_server_dies_leaves_nothing(tmp_path):
    with SailServer() as server:
        project = SparkProject(tmp_path, server.url)
        moments = pyarrow.array([NOON] * 400_000, pyarrow.timestamp("us", tz="UTC"))
        rows = {"id": pyarrow.array(range(400_000)), "at": moments, "amount": pyarrow.array(range(400_000))}
        block = {"entities": {"customer": "id"}, "features": ["amount"]}
        project.model("spend", pyarrow.table(rows), event_time="at", meta={"feature_view": block})
        project.service("churn", {"spend": ["amount"]}, ["spend"])
        project.model("asked", pyarrow.table({"id": rows["id"], "at": moments}), event_time="at")
        store = project.open()
        with pytest.raises(WarehouseError, match="is lost"):
            store.get_training_set("churn", "asked", ordered=False).write(
                tmp_path / "out.parquet", progress=lambda rows: server.kill()
            )
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("out")] == []


@pytest.mark.parametrize(
    ("connect", "message"),
    [
        pytest.param("sc://127.0.0.1:9", "cannot be reached .*address in the target spark of profiles.yml", id="dead"),
        pytest.param("http://127.0.0.1:9", "write sc://HOST:15002", id="another scheme"),
        pytest.param("sc://127.0.0.1:port", "write sc://HOST:15002", id="no number"),
        pytest.param(None, 'finds no address of it; .* {spark.remote: "sc://HOST:15002"}', id="none"),
    ],
)
def test_a_wrong_address_is_said_at_once(sail, connect, message):
    with pytest.raises(FeatureSyncError, match=message):
        open_warehouse(sail.target(connect=connect))


def test_options_that_cannot_be_read_never_show_their_token(sail):
    with pytest.raises(ProfileError, match="the options in the address of Spark Connect cannot be read") as refused:
        open_warehouse(sail.target(connect=f"{sail.url}/;hunter2"))
    assert "hunter2" not in str(refused.value)


def test_the_address_may_stand_where_dbt_and_spark_itself_look_for_it(sail, monkeypatch):
    for_dbt = sail.target(connect=None, server_side_parameters={"spark.remote": sail.url})
    with closing(open_warehouse(for_dbt)) as warehouse:
        assert warehouse.fetch("select 1 as one") == [(1,)]
    monkeypatch.setenv("SPARK_REMOTE", sail.url)
    with closing(open_warehouse(sail.target(connect=None))) as warehouse:
        assert warehouse.fetch("select 1 as one") == [(1,)]


def test_without_the_client_the_extra_is_named(sail):
    code = "import sys; sys.modules['pyspark'] = None; from tests.support.spark import SailServer, Target; "
    code += "from feature_sync.warehouses import open_warehouse; "
    code += "open_warehouse(Target(profile='p', name='spark', adapter='spark', settings={}, project_dir='.'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'feature-sync[spark]'" in done.stderr


def test_a_session_pins_what_its_server_sets_otherwise(warehouse):
    query = "select timestamp_ltz'2024-01-01 00:00:00' as moment, cast('2024-01-01 00:00:00' as timestamp) as cast"
    assert warehouse.fetch(query) == [(datetime(2024, 1, 1, tzinfo=UTC),) * 2]
    assert set(warehouse.describe(query).values()) == {"timestamp_ltz"}


def test_a_spine_of_many_parts_is_one_table(warehouse):
    text = "x" * 1000
    rows = pyarrow.table({"id": range(40_000), "text": [text] * 40_000})  # 40 MB: three parts
    name = warehouse.load("spine", rows.to_reader(5_000), {})
    assert warehouse.fetch(f"select count(*), count(distinct id), min(text) from {name}") == [(40_000, 40_000, text)]
    empty = warehouse.load("spine", rows.slice(0, 0).to_reader(), {})
    assert warehouse.fetch(f"select count(*) from {empty}") == [(0,)]


def test_a_column_that_spark_cannot_hold_is_named(warehouse):
    rows = pyarrow.table({"hour": pyarrow.array([1], pyarrow.time64("us"))})
    with pytest.raises(RequestError, match=r"the spine's column 'hour' is time64.us., which cannot be sent to Spark"):
        warehouse.load("spine", rows.to_reader(), {})
