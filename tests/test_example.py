"""The example on real data: the same answers on every warehouse, from the command line, equal to the oracle."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import datetime

import duckdb
import pyarrow.parquet
import pytest

from feature_sync import FeatureStore
from tests.support import oracle
from tests.support.emulator import connect
from tests.support.page import blocks_of
from tests.support.projects import EXAMPLE, own_copy

SERVICE = "departure_delay_model"
FLIGHT = "2013-01-31_B6_1006_JFK"
ASKED = "2013-01-31T16:50:00Z"


ON_BIGQUERY = pytest.param("example_on_bigquery", marks=pytest.mark.slow)  # to build it there takes a minute
ON_SPARK = pytest.param("example_on_spark", marks=pytest.mark.slow)  # tests/test_spark.py builds it on Sail


@pytest.fixture(scope="module", params=["example", "example_on_postgres", ON_BIGQUERY, ON_SPARK])
def project(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def training_set(project, tmp_path_factory):
    """The training set as `extract` writes it."""
    path = tmp_path_factory.mktemp("training") / "set.parquet"
    done = project.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(path))
    assert done.returncode == 0, done.stderr
    return pyarrow.parquet.read_table(path)


@pytest.fixture(scope="module")
def training_rows(training_set):
    """The same with DuckDB's timestamps: BigQuery's and Spark's are instants."""
    return training_set.cast(pyarrow.schema([(field.name, as_duckdb(field)) for field in training_set.schema]))


def as_duckdb(field):
    return pyarrow.timestamp("us") if pyarrow.types.is_timestamp(field.type) else field.type


@pytest.fixture(scope="module")
def tables(example):
    """All rows of all views and of the spine, read from DuckDB by hand."""
    names = {"carrier_delays.v2": "carrier_delays_v2", "departures": "departures"}
    names |= {name: name for name in ("aircraft_history", "airport_weather", "aircraft_profile")}
    with duckdb.connect(str(example.folder / "flights.duckdb"), read_only=True) as connection:
        return {
            name: connection.sql(f"select * from {table}").to_arrow_table().to_pylist() for name, table in names.items()
        }


@pytest.fixture(scope="module")
def service(example):
    with FeatureStore.open(example.folder) as store:
        return store.registry.feature_services[SERVICE]


def test_the_extract_has_exactly_one_row_for_each_row_of_the_spine(training_rows, tables):
    flights = training_rows.column("flight_id").to_pylist()
    assert sorted(flights) == sorted(row["flight_id"] for row in tables["departures"])
    assert len(flights) == 26_483


def test_the_extract_shows_the_spine_then_the_features_as_declared(project, training_set, tables, service):
    assert training_set.column_names == [*tables["departures"][0], *service.feature_names]
    types = dict(zip(training_set.column_names, map(str, training_set.schema.types), strict=True))
    moment = "timestamp[us, tz=UTC]" if project.target in ("emulator", "spark") else "timestamp[us]"
    assert (types["asked_at"], types["year"]) == (moment, "int64")
    assert (types["mean_delay_6h"], types["manufacturer"]) == ("double", "string")


def test_the_extract_matches_the_oracle(training_rows, tables, service):
    found = {row["flight_id"]: row for row in training_rows.to_pylist()}
    index: dict[tuple, list[dict]] = {}
    for selection in service.selections:
        for row in tables[selection.view.reference]:
            keys = tuple(row[key] for key in selection.view.join_keys)
            index.setdefault((selection.view.reference, keys), []).append(row)
    defaults = {("carrier_delays.v2", "flights_24h"): 0}
    for asked in random.Random(7).sample(tables["departures"], 1000):
        mine = {
            selection.view.reference: index.get(
                (selection.view.reference, tuple(asked[key] for key in selection.spine_keys)), []
            )
            for selection in service.selections
        }
        expected = oracle.training_row(service, mine, asked, "asked_at", defaults)
        assert found[asked["flight_id"]] == expected


def test_every_warehouse_answers_as_duckdb_does(example, training_rows, tmp_path):
    path = tmp_path / "on_duckdb.parquet"
    assert example.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(path)).returncode == 0
    on_duckdb = pyarrow.parquet.read_table(path).sort_by("flight_id")
    assert training_rows.sort_by("flight_id").equals(on_duckdb)


def test_a_pushed_vector_equals_the_training_row_of_the_same_moment(project, redis_url, training_rows):
    if project.target == "spark":
        pytest.skip("a push from Spark is refused: tests/test_spark.py")
    row = next(row for row in training_rows.to_pylist() if row["flight_id"] == FLIGHT)
    assert project.feature_sync("push", "--redis-url", redis_url, "--json").returncode == 0
    keys = [f"{key}={row[key]}" for key in ("carrier", "tailnum", "origin")]
    done = project.feature_sync("get", SERVICE, *keys, "--redis-url", redis_url, "--json")
    vector = {each["name"]: each["value"] for each in json.loads(done.stdout)["features"]}
    assert vector == {name: row[name] for name in vector}
    assert None not in vector.values()
    card = json.loads(project.feature_sync("card", SERVICE, "--redis-url", redis_url).stdout)
    pin = json.loads(project.feature_sync("describe", SERVICE, "--pin").stdout)
    assert {name: card[name] for name in ("shape", "logic")} == {name: pin[name] for name in ("shape", "logic")}


def test_any_moment_pushed_serves_what_training_shows_for_it(example, redis_url, training_rows):
    rows = training_rows.to_pylist()
    with FeatureStore.open(example.folder, profiles_dir=str(example.folder / "profiles"), redis_url=redis_url) as store:
        for asked_at in (datetime(2013, 1, 2, 13), datetime(2013, 1, 9, 22, 30), datetime(2013, 1, 30, 11)):
            asked = [row for row in rows if row["asked_at"] == asked_at]
            keys = [{key: row[key] for key in ("carrier", "tailnum", "origin")} for row in asked]
            list(store.push(as_of=asked_at, full_refresh=True))
            vectors = store.get_online_features(SERVICE, keys, as_of=asked_at)
            assert [each.to_dict() for each in vectors] == [
                {name: row[name] for name in vector.to_dict()} for row, vector in zip(asked, vectors, strict=True)
            ]
            assert len(asked) > 1


def test_the_vector_is_the_newest_row_read_by_hand(example, redis_url):
    example.feature_sync("push", "--redis-url", redis_url)
    with duckdb.connect(str(example.folder / "flights.duckdb"), read_only=True) as connection:
        by_hand = connection.execute(
            "select mean_delay_1h, mean_delay_6h, mean_delay_24h, late_share_24h, flights_24h, hour_end"
            " from carrier_delays_v2"
            " where carrier = 'B6' and hour_end <= '2013-01-31 16:50' order by hour_end desc limit 1"
        ).fetchone()
    done = example.feature_sync("get", "carrier_delays", "carrier=B6", "--redis-url", redis_url, "--json")
    features = json.loads(done.stdout)["features"]
    assert tuple(each["value"] for each in features) == by_hand[:5]
    assert {each["event_timestamp"] for each in features} == {f"{by_hand[5].isoformat()}Z"}


def test_the_sql_stands_alone_and_never_changes(project, tmp_path):
    first = project.feature_sync("sql", SERVICE, "--spine", "departures")
    path = tmp_path / "query.sql"
    second = project.feature_sync("sql", SERVICE, "--spine", "departures", "-o", str(path))
    assert first.returncode == second.returncode == 0
    assert (path.read_text(), second.stdout) == (first.stdout, "")
    plain = first.stdout.replace("`", '"')
    assert '"origin_weather_rows"' in plain or '"origin_weather_answers"' in plain


def test_a_query_written_for_another_warehouse_runs_there(example, example_on_postgres, postgres):
    done = example.feature_sync("sql", SERVICE, "--spine", "departures", "--dialect", "postgres")
    query = done.stdout.replace('"flights"."main"', '"postgres"."features"')
    with postgres.connect() as connection:
        assert len(connection.execute(query).fetchall()) == 26_483


def test_the_training_set_is_also_a_dbt_model_that_dbt_tests(example, training_rows):
    path = "models/ml/departure_training_set.sql"
    done = example.feature_sync("sql", SERVICE, "--spine", "departures", "--refs", "-o", path, "--check")
    assert (done.returncode, done.stderr) == (0, f"{path} is up to date\n")
    with duckdb.connect(str(example.folder / "flights.duckdb"), read_only=True) as connection:
        rows = connection.sql("select * from departure_training_set").to_arrow_table().sort_by("flight_id")
    assert rows.cast(training_rows.schema).equals(
        training_rows.sort_by("flight_id")
    )  # a table has its warehouse's types
    manifest = json.loads((example.folder / "target" / "manifest.json").read_text())
    parents = manifest["parent_map"]["model.feature_sync.departure_training_set"]
    assert {"model.feature_sync.carrier_delays.v2", "model.feature_sync.departures"} <= set(parents)


def test_each_view_is_asked_in_the_way_that_suits_it(project):
    best = project.feature_sync("sql", SERVICE, "--spine", "departures").stdout
    carried = project.feature_sync("sql", SERVICE, "--spine", "departures", "--strategy", "carry").stdout
    assert {"duckdb": "ASOF LEFT JOIN", "postgres": "LATERAL", "emulator": "_carried", "spark": "_carried"}[
        project.target
    ] in best
    assert "_carried" in carried
    assert "ASOF" not in carried
    assert "LATERAL" not in carried


@pytest.mark.slow
def test_on_bigquery_feature_views_are_partitioned_by_day_and_clustered_by_their_keys(example_on_bigquery):
    with closing(connect(example_on_bigquery.environment["FEATURE_SYNC_BIGQUERY_ENDPOINT"])) as client:
        tables = [client.get_table(f"features.{name}") for name in ("carrier_delays_v2", "aircraft_profile")]
    assert (tables[0].time_partitioning.field, tables[0].time_partitioning.type_) == ("hour_end", "DAY")
    assert [table.clustering_fields for table in tables] == [["carrier"], ["tailnum"]]


def test_features_can_be_tried_without_a_pull_request(example, tmp_path):
    path = tmp_path / "trial.parquet"
    names = "carrier_delays:flights_24h,aircraft_profile:year,aircraft_profile:seats"
    done = example.feature_sync("extract", "--features", names, "--spine", "departures", "-o", str(path))
    assert done.returncode == 0
    assert pyarrow.parquet.read_schema(path).names[-3:] == ["flights_24h", "year", "seats"]
    assert "depends_on: [\"ref('carrier_delays', v=2)\", ref('aircraft_profile')]" in done.stderr
    assert "carrier_delays.v2: [flights_24h]" in done.stderr


BLOCK = re.compile(r"After `make demo`:\n\n((?:    .*\n)+)")


def test_every_command_of_the_readme_runs_after_the_demo(example, tmp_path):
    """On a copy, whose embedded Redis starts as the product starts it; the demo has built and pushed."""
    commands = [
        line.split(" # ")[0].strip() for line in BLOCK.search((EXAMPLE / "README.md").read_text())[1].splitlines()
    ]
    commands = [each for each in commands if not each.startswith(("export ", "dbt docs "))]  # tested above
    assert len(commands) > 12
    project = own_copy(example, tmp_path / "copy")
    try:
        for command in commands:
            program, *arguments = shlex.split(command)
            assert program == "feature-sync", command
            done = project.feature_sync(*arguments)
            assert done.returncode == 0, f"{command}: {done.stderr}"
    finally:
        project.feature_sync("redis", "stop")
    trial = pyarrow.parquet.read_table(project.folder / "trial.parquet")
    whole = pyarrow.parquet.read_table(project.folder / "training_set.parquet")
    for name in ("flights_24h", "visib"):
        assert trial.sort_by("flight_id").column(name).equals(whole.sort_by("flight_id").column(name))


def test_the_python_of_the_readme_runs_as_it_stands(example, tmp_path):
    project = own_copy(example, tmp_path / "copy")
    shutil.copytree(EXAMPLE / "profiles", project.folder / "profiles", dirs_exist_ok=True)
    service, block = [each.text for each in blocks_of(EXAMPLE / "README.md") if each.language == "python"]
    assert service in [each.text for each in blocks_of(EXAMPLE / "docs" / "serving.md")]  # which runs there
    program = block.replace("path/to/project", str(project.folder)) + "print(vector.to_dict())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=project.folder, env=project.variables, capture_output=True, check=False
        )
    finally:
        project.feature_sync("redis", "stop")
    assert done.returncode == 0, done.stderr.decode()
    assert "'flights_24h': " in done.stdout.decode()
    assert (project.folder / "training_set.parquet").exists()


def test_list_and_describe_tell_what_the_project_defines(example):
    listed = json.loads(example.feature_sync("list", "--json").stdout)
    names = [each["name"] for each in listed["feature_views"]]
    assert names == [
        "aircraft_history",
        "aircraft_profile",
        "airport_weather",
        "carrier_delays.v1",
        "carrier_delays.v2",
    ]
    entities = {each["name"]: each["feature_view_names"] for each in listed["entities"]}
    assert entities["aircraft"] == ["aircraft_history", "aircraft_profile"]
    assert listed["feature_services"][1]["join_keys"] == ["carrier", "tailnum", "origin"]
    described = json.loads(example.feature_sync("describe", "airport_weather", "--json").stdout)
    assert described["lag_seconds"] == 3600
    assert described["used_by"] == [SERVICE]
    source = "source.feature_sync.weather_service.weather"
    assert described["upstream"] == ["model.feature_sync.stg_weather", "seed.feature_sync.weather", source]
    assert "an_observation_keeps_its_hour_and_its_gaps (unit test)" in described["tests"]
    (visibility,) = (each for each in described["columns"] if each["name"] == "visib")
    assert (visibility["role"], visibility["description"]) == ("feature", "Visibility, miles.")


def test_people_get_tables_that_fit_into_a_pipe(example):
    for arguments in (["list"], ["describe", "carrier_delays"], ["describe", SERVICE]):
        done = example.feature_sync(*arguments)
        assert done.returncode == 0
        assert "mean_delay_6h" in done.stdout
        about_the_older_model = done.stderr.startswith("Warning: models/ml/crew_standby_model.yml:16: exposure.")
        assert about_the_older_model if arguments == ["list"] else not done.stderr


def test_the_docs_show_the_lineage_from_seed_to_exposure(example, tmp_path):
    example.dbt("--quiet", "docs", "generate", "--static", "--target-path", str(tmp_path))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    ancestors, waiting = set(), ["exposure.feature_sync.departure_delay_model"]
    while waiting:
        for parent in manifest["parent_map"][waiting.pop()]:
            ancestors.add(parent)
            waiting.append(parent)
    assert {"seed.feature_sync.flights", "seed.feature_sync.weather", "seed.feature_sync.planes"} <= ancestors
    assert "departure_delay_model" in (tmp_path / "static_index.html").read_text()


def test_an_embedded_redis_outlives_the_command_and_stops_when_told(project, request):
    if project.target != "duckdb":
        done = project.feature_sync("push")
        assert (done.returncode, done.stdout) == (1, "")
        assert "FEATURE_SYNC_REDIS_URL" in done.stderr
        return
    request.addfinalizer(lambda: project.feature_sync("redis", "stop"))
    assert project.feature_sync("push").returncode == 0
    assert project.feature_sync("redis", "status").stdout.startswith("running as process")
    got = project.feature_sync("get", "airport_weather", "airport=JFK", "--json")
    assert json.loads(got.stdout)["features"][0]["status"] == "present"
    assert project.feature_sync("redis", "stop").stdout == "stopped\n"
    assert project.feature_sync("redis", "stop").stdout == "was not running\n"
    assert project.feature_sync("redis", "status").stdout == "not running\n"
    again = project.feature_sync("get", "airport_weather", "airport=JFK", "--json")
    assert again.stdout == got.stdout  # the data was saved, and the command started the server


def test_a_plain_dbt_project_serves_a_feature_after_at_most_ten_added_lines(tmp_path, redis_url):
    from tests.support.projects import PROJECTS, build_project, copy_project

    folder = copy_project(PROJECTS / "plain", tmp_path / "plain")
    before = (folder / "models" / "models.yml").read_text().splitlines()
    after = (PROJECTS / "plain" / "features.yml").read_text()
    (folder / "models" / "models.yml").write_text(after)
    assert len(set(after.splitlines()) - set(before)) <= 10
    project = build_project(folder, folder, target="duckdb")
    assert project.feature_sync("push", "--redis-url", redis_url).returncode == 0
    done = project.feature_sync("get", "customer_orders", "customer_id=7", "--redis-url", redis_url, "--json")
    assert {each["name"]: each["value"] for each in json.loads(done.stdout)["features"]} == {
        "order_count": 2,
        "amount_total": 120.5,
    }
