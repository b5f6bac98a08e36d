"""Bad input: one line that says what to change, the right exit code, and nothing lost or half written."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
import redis

from feature_sync.errors import WarehouseError
from feature_sync.online.redis.server import _executable, _free_port
from feature_sync.warehouses.postgres.warehouse import PostgresWarehouse
from tests.support.projects import PROJECTS, BuiltProject, build_project, copy_project, own_copy

SERVICE = "departure_delay_model"


@pytest.fixture
def project(example, tmp_path) -> BuiltProject:
    """The example as dbt built it, in a folder that a test may spoil."""
    return own_copy(example, tmp_path / "project")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> BuiltProject:
    """A project without contracts: what its YAML says is checked against the warehouse."""
    folder = copy_project(PROJECTS / "plain", tmp_path_factory.mktemp("plain"))
    shutil.copy(PROJECTS / "plain" / "features.yml", folder / "models" / "models.yml")
    return build_project(folder, folder, target="duckdb")


def refused(done, *words: str, exit_code: int = 1) -> str:
    """Check that a command failed as it should: one line on stderr with these words, nothing on stdout."""
    assert (done.returncode, done.stdout) == (exit_code, ""), done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning:")]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
    return lines[0]


def edit_manifest(project, change) -> None:
    path = project.folder / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def edit_view(project, name, **settings) -> None:
    def change(manifest):
        meta = manifest["nodes"][f"model.feature_sync.{name}"]["config"]["meta"]
        meta["feature_view"].update(settings)

    edit_manifest(project, change)


def edit_service(project, change) -> None:
    def change_exposure(manifest):
        exposure = manifest["exposures"][f"exposure.feature_sync.{SERVICE}"]
        change(exposure, exposure["config"]["meta"]["feature_service"])

    edit_manifest(project, change_exposure)


# The project and its manifest


def test_outside_a_project_it_says_where_to_go(tmp_path):
    refused(BuiltProject(tmp_path, "duckdb").feature_sync("list"), "dbt_project.yml is missing", "--project-dir")


def test_without_a_manifest_it_says_to_build(project):
    (project.folder / "target" / "manifest.json").unlink()
    refused(project.feature_sync("list"), "manifest.json is missing", "run dbt build")


def test_a_manifest_that_is_cut_off_is_named(project):
    path = project.folder / "target" / "manifest.json"
    path.write_bytes(path.read_bytes()[:10_000])
    refused(project.feature_sync("list"), "manifest.json is truncated", "dbt build")


@pytest.mark.parametrize(
    ("name", "command"), [("catalog.json", "dbt docs generate"), ("sources.json", "dbt source freshness")]
)
def test_a_file_that_dbt_build_does_not_write_names_the_command_that_does(plain, redis_url, name, command):
    path = plain.folder / "target" / name
    path.write_text('{"metadata": {')
    try:
        line = refused(plain.feature_sync("push", "--redis-url", redis_url), f"{name} is truncated", "or delete it")
        assert f"run {command} again" in line
    finally:
        path.unlink()


def test_a_manifest_of_an_unknown_version_is_refused(project):
    def change(manifest):
        manifest["metadata"]["dbt_schema_version"] = "https://schemas.getdbt.com/dbt/manifest/v7.json"

    edit_manifest(project, change)
    refused(project.feature_sync("list"), "manifest/v7.json", "manifest/v12.json")


def test_a_file_changed_after_the_build_is_a_warning(project):
    file = project.folder / "models" / "features" / "airport_weather.yml"
    os.utime(file)
    done = project.feature_sync("list")
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: models/features/airport_weather.yml")
    assert "run dbt parse" in done.stderr


# Definitions


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"tttl": "1h"}, ["feature_view.tttl", "did you mean 'ttl'?"], id="a misspelt key"),
        pytest.param({"ttl": "one hour"}, ["feature_view.ttl", "such as 30d"], id="a duration without a unit"),
        pytest.param({"ttl": "30m"}, ["feature_view.ttl", "shorter than the lag of 1h"], id="a ttl below the lag"),
        pytest.param({"entities": {"airport": "aiport"}}, ["has no column 'aiport'"], id="an entity column it lacks"),
        pytest.param({"known_at": "seen_at"}, ["has no column 'seen_at'"], id="a time it lacks"),
        pytest.param({"features": ["visibility"]}, ["has no column 'visibility'"], id="a feature it lacks"),
        pytest.param({"features": ["airport"]}, ["which is a join key or a time"], id="a key as a feature"),
        pytest.param({"timezone": "Mars/Base"}, ["feature_view.timezone", "Europe/Paris"], id="an unknown zone"),
        *(
            pytest.param(
                {"timezone": zone}, ["feature_view.timezone", "not a time zone"], id=f"a zone called {zone[:9]}"
            )
            for zone in (
                "America",
                "../x",
                "",
                "/etc/passwd",
                "posixrules",
                "localtime",
                "Factory",
                "posix/Europe/Paris",
                "right/UTC",
                "Europe/Paris ",
                "x" * 300,
                "Europe\x00Paris",
                "tzdata.zi",
                "CEST",
            )
        ),
        pytest.param({"timezone": "America"}, ["feature_view.timezone", "not a time zone"], id="a folder of zones"),
        pytest.param({"timezone": "CET"}, ["feature_view.timezone", "Europe/Brussels"], id="an abbreviation"),
        pytest.param({"timeless": "yes"}, ["feature_view.timeless", "true or false"], id="a text for a flag"),
        pytest.param({"timeless": True}, ["feature_view.ttl", "no age"], id="a timeless view with a ttl"),
    ],
)
def test_a_wrong_setting_names_the_file_the_node_and_the_key(project, settings, words):
    edit_view(project, "airport_weather", **settings)
    where = ("Error: models/features/airport_weather.yml:", ": model.feature_sync.airport_weather: config.meta.")
    refused(project.feature_sync("list"), *where, *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda exposure, service: service["features"].update({"airport_whether": ["visib"]}),
            ["airport_whether", "did you mean 'airport_weather'?"],
            id="an unknown view",
        ),
        pytest.param(
            lambda exposure, service: service["features"].update({"aircraft_history": ["flights_7"]}),
            ["aircraft_history has no feature 'flights_7'", "did you mean 'flights_7d'?"],
            id="an unknown feature",
        ),
        pytest.param(
            lambda exposure, service: service.update(features=["visib"]),
            ["feature_service.features: must map each feature view to a list of its features, not be ['visib']"],
            id="a list for a mapping",
        ),
        pytest.param(
            lambda exposure, service: service.update(features={}),
            ["feature_service.features: is missing: map each feature view"],
            id="no feature",
        ),
        pytest.param(
            lambda exposure, service: exposure["depends_on"]["nodes"].remove("model.feature_sync.carrier_delays.v2"),
            ["carrier_delays.v2 is missing from depends_on", "ref('carrier_delays', v=2)"],
            id="a view absent from depends_on",
        ),
        pytest.param(
            lambda exposure, service: service["features"].pop("aircraft_history"),
            ["aircraft_history is in depends_on, but no feature of it is listed"],
            id="a view only in depends_on",
        ),
        pytest.param(
            lambda exposure, service: service["features"]["origin_weather"].update(keys={"airprt": "origin"}),
            ["no entity 'airprt'", "did you mean 'airport'?"],
            id="an unknown entity",
        ),
        pytest.param(
            lambda exposure, service: service["features"]["origin_weather"].update(kyes={"airport": "origin"}),
            ["origin_weather.kyes", "did you mean 'keys'?"],
            id="a misspelt key",
        ),
        pytest.param(
            lambda exposure, service: service["features"].update(
                dest_weather={"view": "airport_weather", "keys": {"airport": "dest"}, "features": ["visib"]}
            ),
            ["both have a feature 'visib'", "full_names: true"],
            id="two features of one name",
        ),
        pytest.param(
            lambda exposure, service: exposure.update(type="dashboard"), ["type", "must be ml"], id="no model"
        ),
    ],
)
def test_a_wrong_feature_service_names_the_file_the_node_and_the_key(project, change, words):
    edit_service(project, change)
    where = ("Error: models/ml/departure_delay_model.yml:", f": exposure.feature_sync.{SERVICE}: ")
    refused(project.feature_sync("list"), *where, *words)


def test_without_a_contract_the_features_must_be_listed_and_the_error_lists_them(project):
    def change(manifest):
        manifest["nodes"]["model.feature_sync.airport_weather"]["config"]["contract"] = {"enforced": False}

    edit_manifest(project, change)
    refused(project.feature_sync("list"), "features: [wind_speed, visib, precip, pressure]")


def test_without_a_contract_the_warehouse_tells_what_is_missing(plain, redis_url):
    manifest = plain.folder / "target" / "manifest.json"
    before = manifest.read_text()
    try:
        manifest.write_text(before.replace('"order_count"', '"orders_count"'))
        done = plain.feature_sync("push", "--redis-url", redis_url)
        refused(done, "models/models.yml", "no column 'orders_count'", "customer_id, ordered_at, order_count")
    finally:
        manifest.write_text(before)


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory, postgres) -> BuiltProject:
    """The same project on PostgreSQL."""
    folder = copy_project(PROJECTS / "plain", tmp_path_factory.mktemp("plain_on_postgres"))
    shutil.copy(PROJECTS / "plain" / "features.yml", folder / "models" / "models.yml")
    return build_project(folder, folder, target="postgres", environment=postgres.environment)


# The profile and the warehouse


def test_an_unset_environment_variable_is_named(plain):
    refused(plain.feature_sync("push", "--target", "postgres"), "profiles.yml", "PGHOST is not set")


def test_an_unknown_target_or_profile_is_named(plain):
    refused(plain.feature_sync("push", "--target", "duckbd"), "no target is called 'duckbd'", "did you mean 'duckdb'?")
    refused(plain.feature_sync("push", "--profile", "shops"), "no profile is called 'shops'", "did you mean 'shop'?")
    refused(plain.feature_sync("push", "--profiles-dir", "nowhere"), "profiles.yml is missing", "--profiles-dir")


def test_a_database_that_is_not_there_is_named(project, redis_url):
    (project.folder / "flights.duckdb").unlink()
    refused(project.feature_sync("push", "--redis-url", redis_url), "flights.duckdb does not exist", "dbt build")


def test_a_table_that_is_not_there_is_named(project, redis_url):
    query = "import duckdb; duckdb.connect('flights.duckdb').execute('drop table airport_weather')"
    assert project.run(sys.executable, "-c", query).returncode == 0
    done = project.feature_sync("push", "airport_weather", "--redis-url", redis_url)
    refused(done, "airport_weather does not exist", "dbt build")


def test_a_locked_database_names_the_process_that_holds_it(project, redis_url):
    hold = "import duckdb, sys; c = duckdb.connect('flights.duckdb'); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], cwd=project.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        refused(project.feature_sync("push", "--redis-url", redis_url), "is locked by process", str(holder.pid))
        holder.communicate()


def test_a_postgres_that_is_down_or_refuses_is_named(on_postgres, redis_url):
    down = {"PGHOST": "127.0.0.1", "PGPORT": str(_free_port())}
    arguments = ("push", "--redis-url", redis_url)
    refused(on_postgres.feature_sync(*arguments, **down), f"PostgreSQL at 127.0.0.1:{down['PGPORT']}", "refused")
    other = {"PGDATABASE": "nowhere", "PGPASSWORD": "a-secret"}
    line = refused(on_postgres.feature_sync(*arguments, **other), 'database "nowhere" does not exist')
    assert "a-secret" not in line


@pytest.mark.parametrize("way", ["fetch", "columns", "arrow", "describe", "tables"])
def test_a_postgres_that_ends_our_session_is_named(postgres, way):
    warehouse = PostgresWarehouse.connect(postgres.target)
    ways = {
        "fetch": lambda: warehouse.fetch("select 1"),
        "columns": lambda: list(warehouse.columns("select 1", batch_size=1)),
        "arrow": lambda: warehouse.arrow("select 1", batch_size=1).__enter__(),
        "describe": lambda: warehouse.describe("select 1"),
        "tables": lambda: warehouse.tables("public"),
    }
    with closing(warehouse):
        ((pid,),) = warehouse.fetch("select pg_backend_pid()")
        with postgres.connect() as other:
            other.execute("select pg_terminate_backend(%s, 10000)", [pid])
        with pytest.raises(WarehouseError, match=r"^PostgreSQL: "):
            ways[way]()


def test_a_postgres_that_lacks_the_table_is_named(on_postgres, postgres, redis_url):
    with postgres.connect() as connection:
        connection.execute("drop view shop.customer_orders")
    done = on_postgres.feature_sync("push", "--redis-url", redis_url)
    refused(done, "customer_orders", "does not exist", "dbt build")


def test_a_manifest_of_another_warehouse_is_refused(plain, postgres, redis_url):
    done = plain.feature_sync("push", "--target", "postgres", "--redis-url", redis_url, **postgres.environment)
    refused(done, "was written for duckdb, but the target postgres is postgres", "dbt build --target postgres")


# Redis


def test_a_redis_that_is_down_is_named(project):
    url = f"redis://:a-secret@127.0.0.1:{_free_port()}/0"
    line = refused(project.feature_sync("push", "--redis-url", url), "Redis at redis://127.0.0.1", "is it running?")
    assert "a-secret" not in line


def test_a_url_that_is_none_is_refused(project):
    refused(project.feature_sync("push", "--redis-url", "localhost:6379"), "must begin with redis://")


@pytest.fixture
def guarded_redis():
    """A Redis with a password, on a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="redis"))
    arguments = ["--port", "0", "--unixsocket", str(folder / "s"), "--requirepass", "right", "--save", ""]
    with subprocess.Popen([_executable(), *arguments], cwd=folder, stdout=subprocess.DEVNULL) as server:
        url = f"unix://:right@{folder}/s"
        for _ in range(500):
            try:
                redis.Redis.from_url(url).ping()
                break
            except redis.ConnectionError:
                continue
        yield url
        server.terminate()
    shutil.rmtree(folder)


def test_a_refused_password_is_never_printed(project, guarded_redis):
    done = project.feature_sync("push", "--redis-url", guarded_redis.replace("right", "w-r-o-n-g"))
    line = refused(done, "refused the user or the password")
    assert "w-r-o-n-g" not in line
    without = guarded_redis.replace(":right@", "")
    refused(
        project.feature_sync("get", SERVICE, "carrier=B6", "tailnum=N1", "origin=JFK", "--redis-url", without),
        "refused",
    )
    assert project.feature_sync("push", "--redis-url", guarded_redis).returncode == 0


# What is asked


def test_an_unknown_name_gets_a_suggestion(project):
    refused(project.feature_sync("describe", "aircraft_histroy"), "did you mean 'aircraft_history'?")
    refused(project.feature_sync("push", "carrier_delay"), "did you mean 'carrier_delays.v2'?")
    refused(project.feature_sync("sql", "departure_model", "--spine", "departures"), f"did you mean '{SERVICE}'?")
    refused(project.feature_sync("sql", SERVICE, "--spine", "departure"), "did you mean 'departures'?")


def test_an_unknown_entity_has_no_row_and_that_is_no_error(project, redis_url):
    assert project.feature_sync("push", "--redis-url", redis_url).returncode == 0
    done = project.feature_sync("get", "carrier_delays", "carrier=??", "--redis-url", redis_url, "--json")
    assert done.returncode == 0
    assert [(each["value"], each["status"]) for each in json.loads(done.stdout)["features"]] == [
        *[(None, "missing")] * 4,
        (0, "missing"),
    ]


def test_a_missing_unknown_or_malformed_key_is_named(project, plain, redis_url):
    arguments = ("get", SERVICE, "--redis-url", redis_url)
    refused(project.feature_sync(*arguments, "carrier=B6"), "Redis has no schema of ", "push first: feature-sync push ")
    assert project.feature_sync("push", "--redis-url", redis_url).returncode == 0
    refused(project.feature_sync(*arguments, "carrier=B6"), "needs tailnum=..., origin=...")
    refused(project.feature_sync(*arguments, "carier=B6"), "no key 'carier'", "did you mean 'carrier'?")
    done = project.feature_sync(*arguments, "carrier")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'carrier' is not written as KEY=VALUE" in done.stderr
    assert plain.feature_sync("push", "--redis-url", redis_url).returncode == 0
    wrong = plain.feature_sync("get", "customer_orders", "customer_id=seven", "--redis-url", redis_url)
    refused(wrong, "customer_id: 'seven' is not a whole number")


def test_a_spine_that_does_not_fit_is_refused(project, plain, tmp_path):
    output = tmp_path / "out.parquet"
    arguments = ("-o", str(output), "--spine")
    refused(project.feature_sync("extract", SERVICE, *arguments, "stg_weather"), "config.event_time is missing")
    refused(project.feature_sync("extract", SERVICE, *arguments, "airport_weather"), "no column 'carrier'")
    query = ("--features", "airport_weather:visib", *arguments, "airport_weather")
    refused(project.feature_sync("extract", *query), "has a column 'visib'", "full_names: true")
    assert not output.exists()
    assert list(tmp_path.glob(".out*")) == []


def test_text_and_numbers_are_never_compared(project, tmp_path):
    def change(manifest):
        columns = manifest["nodes"]["model.feature_sync.departures"]["columns"]
        columns["carrier"]["data_type"] = "bigint"

    edit_manifest(project, change)
    done = project.feature_sync("sql", SERVICE, "--spine", "departures")
    refused(done, "'carrier' is int64", "carrier_delays.v2 is string", "cast one of them")


def test_an_entity_has_one_type_in_all_views(project, redis_url):
    def change(manifest):
        manifest["nodes"]["model.feature_sync.aircraft_profile"]["columns"]["tailnum"]["data_type"] = "bigint"

    edit_manifest(project, change)
    words = ("entities.aircraft: 'tailnum' is int64", "'tailnum' of aircraft_history is string")
    refused(project.feature_sync("push", "--redis-url", redis_url), *words)
    refused(project.feature_sync("sql", SERVICE, "--spine", "departures"), *words)


def test_progress_is_shown_on_a_terminal_alone(project, redis_url):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "feature_sync", "push", "--redis-url", redis_url, "--json"]
    done = subprocess.run(
        command, cwd=project.folder, env=project.variables, stdout=subprocess.PIPE, stderr=theirs, check=True
    )
    os.close(theirs)
    assert [each["held_back"] for each in json.loads(done.stdout)["feature_views"]] == [None] * 5
    assert "aircraft_history" in os.read(ours, 100_000).decode()
    os.close(ours)
    assert project.feature_sync("push", "--redis-url", redis_url).stderr == ""


@pytest.mark.parametrize("name", ["folder", "file/set.parquet"])
def test_an_output_that_cannot_be_written_leaves_nothing(project, tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    done = project.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(tmp_path / name))
    refused(done, name)
    assert sorted(tmp_path.iterdir()) == before


def test_a_failing_extract_keeps_the_file_that_was_there(project, tmp_path):
    output = tmp_path / "set.parquet"
    output.write_text("yesterday's")
    query = "import duckdb; duckdb.connect('flights.duckdb').execute('drop table airport_weather')"
    assert project.run(sys.executable, "-c", query).returncode == 0
    refused(project.feature_sync("extract", SERVICE, "--spine", "departures", "-o", str(output)), "does not exist")
    assert output.read_text() == "yesterday's"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["set.parquet"]


def test_features_to_explore_must_be_written_and_exist(project):
    spine = ("--spine", "departures")
    refused(project.feature_sync("sql", "--features", "visib", *spine), "write view:feature")
    refused(project.feature_sync("sql", "--features", "airport_weather:visb", *spine), "did you mean 'visib'?")
    refused(
        project.feature_sync("sql", "--features", "airport_wether:visib", *spine), "did you mean 'airport_weather'?"
    )
    refused(project.feature_sync("sql", SERVICE, "--features", "airport_weather:visib", *spine), "not both")
    refused(project.feature_sync("sql", *spine), "name a feature service")


def test_a_moment_or_a_dialect_that_is_none_is_refused(project, redis_url):
    refused(
        project.feature_sync("push", "--as-of", "yesterday", "--redis-url", redis_url), "'yesterday' is not a moment"
    )
    done = project.feature_sync("sql", SERVICE, "--spine", "departures", "--dialect", "postgresql")
    refused(done, "no dialect is called 'postgresql'", "did you mean 'postgres'?")


def test_a_strategy_that_does_not_fit_is_refused(project):
    arguments = ("sql", SERVICE, "--spine", "departures", "--strategy")
    refused(project.feature_sync(*arguments, "asoff"), "no strategy is called 'asoff'", "did you mean 'asof'?")
    refused(project.feature_sync(*arguments, "asof", "--dialect", "postgres"), "postgres has no asof join")
    edit_view(project, "airport_weather", known_at="observed_at")
    done = project.feature_sync(*arguments, "bucket", "--dialect", "postgres")
    refused(done, "airport_weather has known_at", "take carry")


# What is held back


def held_back(project, redis_url, *words: str) -> None:
    done = project.feature_sync("push", "airport_weather", "--redis-url", redis_url, "--json")
    assert done.returncode == 3, done.stderr
    (reason,) = (each["held_back"] for each in json.loads(done.stdout)["feature_views"])
    for word in words:
        assert word in reason


def edit_results(project, change) -> None:
    path = project.folder / "target" / "run_results.json"
    results = json.loads(path.read_text())
    change(results)
    path.write_text(json.dumps(results))


def result_of(results, unique_id):
    return next(each for each in results["results"] if each["unique_id"].startswith(unique_id))


def test_without_results_everything_is_held_back(project, redis_url):
    (project.folder / "target" / "run_results.json").unlink()
    held_back(project, redis_url, "run_results.json is missing", "dbt build -s airport_weather")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda results: result_of(results, "model.feature_sync.airport_weather").update(
                status="error", message="no"
            ),
            ["its model ended with error (no)"],
            id="a model that failed",
        ),
        pytest.param(
            lambda results: result_of(results, "model.feature_sync.airport_weather").update(status="skipped"),
            ["its model ended with skipped"],
            id="a model that was skipped",
        ),
        pytest.param(
            lambda results: result_of(results, "test.feature_sync.not_null_airport_weather").update(status="fail"),
            ["the test not_null_airport_weather", "fail"],
            id="a test that failed",
        ),
        pytest.param(
            lambda results: results["args"].update(which="generate"),
            ["dbt generate", "dbt build"],
            id="only documented",
        ),
        pytest.param(lambda results: results["args"].update(empty=True), ["--empty"], id="an empty build"),
        pytest.param(lambda results: results["args"].update(sample="3 days"), ["--sample"], id="a sampled build"),
        pytest.param(
            lambda results: results.update(results=[result_of(results, "model.feature_sync.departures")]),
            ["did not touch it", "dbt build -s airport_weather"],
            id="not built last",
        ),
        pytest.param(
            lambda results: result_of(results, "model.feature_sync.airport_weather").update(
                relation_name='"a"."b"."c"'
            ),
            ['dbt built "a"."b"."c"'],
            id="built somewhere else",
        ),
    ],
)
def test_what_dbt_does_not_vouch_for_is_held_back(project, redis_url, change, words):
    edit_results(project, change)
    held_back(project, redis_url, *words)
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_the_others_are_pushed_when_one_is_held_back(project, redis_url):
    edit_results(
        project, lambda results: result_of(results, "test.feature_sync.not_null_airport_weather").update(status="fail")
    )
    done = project.feature_sync("push", "--redis-url", redis_url)
    assert done.returncode == 3
    assert "held back: " in done.stdout
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.keys("feature_sync:carrier_delays.v1:{*")) == 16


def test_a_real_empty_build_is_held_back(plain, redis_url):
    plain.dbt("--quiet", "build", "--empty", "-s", "customer_orders")
    try:
        done = plain.feature_sync("push", "--redis-url", redis_url)
        assert done.returncode == 3
        assert "--empty" in done.stdout
    finally:
        plain.dbt("--quiet", "build")


def test_a_push_that_finds_nothing_young_enough_names_the_newest_row(project, redis_url):
    done = project.feature_sync("push", "airport_weather", "--as-of", "2024-01-01", "--redis-url", redis_url)
    assert done.returncode == 3
    assert "no row answers at 2024-01-01 00:00:00Z; the newest is of 2013-02-01 04:00:00Z" in done.stdout


def test_every_command_explains_itself(project):
    for command in ("check", "schema", "list", "describe", "push", "get", "sql", "extract", "redis"):
        done = project.feature_sync(command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert textwrap.dedent(done.stdout).startswith(f"Usage: feature-sync {command}")
    unknown = project.feature_sync("pull")
    assert (unknown.returncode, unknown.stdout) == (2, "")
