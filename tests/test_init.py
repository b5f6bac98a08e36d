"""Adopting: `init` reads a project that was not written for it, proposes settings with reasons, and writes them in."""

from __future__ import annotations

import difflib
import json
import shutil
from pathlib import Path

import duckdb
import pytest
import yaml

from feature_sync.adopting.words import (
    entity_of_column,
    entity_of_model,
    identifies,
    is_planned_or_birth,
    may_be_personal,
    written_rank,
)
from feature_sync.dbt.schema_file import SourcePosition, put_settings
from feature_sync.errors import OutputError
from feature_sync.yaml_lines import Line
from tests.support.projects import PROJECTS, BuiltProject, build_project, copy_project, own_copy

MODELS = ("customers", "orders", "customer_days", "stg_orders", "stg_payments", "stg_visits", "customer_history")


@pytest.fixture(scope="module", params=["duckdb", "postgres", "bigquery"])
def coffee(request, tmp_path_factory) -> BuiltProject:
    """A coffee shop's project as dbt's own tutorial lays it out, which knows nothing of feature views."""
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    folder = tmp_path_factory.mktemp(f"coffee_on_{request.param}")
    return build_project(PROJECTS / "coffee", folder, target=request.param, environment=environment)


@pytest.fixture(scope="module")
def built_shop(tmp_path_factory) -> BuiltProject:
    return build_project(PROJECTS / "coffee", tmp_path_factory.mktemp("coffee"), target="duckdb")


@pytest.fixture
def shop(built_shop, tmp_path) -> BuiltProject:
    """The same on DuckDB, for a test that changes it."""
    shutil.copytree(built_shop.folder, tmp_path / "shop")
    return BuiltProject(tmp_path / "shop", target="duckdb")


def proposed(project, *arguments: str) -> dict[str, dict]:
    """Run init, and read what it prints: each model's event time and its settings."""
    done = project.feature_sync("init", *arguments)
    assert done.returncode == 0, done.stderr
    entries = [entry for section in yaml.safe_load(done.stdout).values() for entry in section]
    return {entry["name"]: _settings(entry) for entry in entries}


def _settings(entry: dict) -> dict:
    config = entry.get("config", {})
    meta = {**entry.get("meta", {}), **config.get("meta", {})}
    event_time = {"event_time": config["event_time"]} if "event_time" in config else {}
    return {**event_time, **meta["feature_view"]}


def refused(project, *arguments: str, words: tuple[str, ...], exit_code: int = 1) -> None:
    done = project.feature_sync("init", *arguments)
    assert (done.returncode, done.stdout) == (exit_code, ""), done.stderr
    for word in words:
        assert word in done.stderr


def changes(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that are gone, and those that are new."""
    lines = list(difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    return [line[2:] for line in lines if line[0] == "-"], [line[2:] for line in lines if line[0] == "+"]


# Guesses


def test_a_project_that_knows_no_feature_views_gets_them_from_tests_names_types_and_counts(coffee):
    assert proposed(coffee, *MODELS) == {
        "customers": {
            "entities": {"customer": "customer_id"},
            "latest_only": True,
            "features": ["first_order", "most_recent_order", "number_of_orders", "customer_lifetime_value"],
        },
        "orders": {
            "entities": {"order": "order_id"},
            "latest_only": True,
            "features": ["customer_id", "order_date", "status", "amount"],
        },
        "customer_days": {
            "event_time": "order_date",
            "entities": {"customer": "customer_id"},
            "lag": "1d",
            "features": ["orders"],
        },
        "stg_orders": {
            "entities": {"order": "order_id"},
            "latest_only": True,
            "features": ["customer_id", "order_date", "status"],
        },
        "stg_payments": {
            "entities": {"payment": "payment_id"},
            "latest_only": True,
            "features": ["order_id", "payment_method", "amount"],
        },
        "stg_visits": {
            "event_time": "visited_at",
            "entities": {"customer": "customer_id"},
            "created_timestamp": "_etl_loaded_at",
            "features": ["page"],
        },
        "customer_history": {
            "entities": {"customer": "customer_id"},
            "features": ["first_order", "most_recent_order", "number_of_orders", "customer_lifetime_value"],
        },
    }


def test_every_guess_gives_its_reason_in_the_yaml_and_what_else_could_be_meant_on_stderr(shop):
    done = shop.feature_sync("init", "customers", "customer_days", "stg_orders")
    for line in (
        "customer: customer_id  # the test unique",
        "latest_only: true  # 4 rows of 4 customer_id: one for each, so it seems overwritten",
        "# left out: first_name, last_name, which may be personal data",
        "# timeless: true, instead of latest_only, if its facts never change: no table can show that",
        "event_time: order_date  # with customer_id in the test unique_combination_of_columns",
        "lag: 1d  # order_date is a date: a row that sums the day is complete when it is over; 0d if it does not",
        "its rows span 6 days",
    ):
        assert line in done.stdout
    assert "stg_orders: it could describe something else, by customer_id; if so, pass --entity" in done.stderr
    assert "stg_orders: if a row never changes once it is written, --event-time order_date" in done.stderr
    assert "customers: it serves but cannot train" in done.stderr
    assert "(unique_key: customer_id, strategy: check, check_cols: all)" in done.stderr


def test_a_model_of_personal_data_alone_is_no_feature_view_and_the_others_still_are(shop):
    done = shop.feature_sync("init", "stg_customers", "orders")
    assert done.returncode == 1
    assert "no column is left to be a feature (left out: first_name, last_name, which may be" in done.stderr
    assert [entry["name"] for entry in yaml.safe_load(done.stdout)["models"]] == ["orders"]


def test_a_person_knows_better_than_a_guess(shop):
    asked = ("orders", "--entity", "buyer=customer_id", "--event-time", "order_date")
    assert proposed(shop, *asked)["orders"] == {
        "event_time": "order_date",
        "entities": {"buyer": "customer_id"},
        "lag": "1d",
        "features": ["order_id", "status", "amount"],
    }


def test_without_the_warehouse_it_is_never_opened_and_tests_and_names_must_do(shop):
    shop.dbt("--quiet", "docs", "generate")
    (shop.folder / "coffee.duckdb").unlink()
    settings = proposed(shop, "customers", "stg_visits", "customer_days", "--no-warehouse")
    assert settings["customers"]["latest_only"] is True
    assert (settings["stg_visits"]["event_time"], settings["customer_days"]["lag"]) == ("visited_at", "1d")
    refused(shop, "customers", words=("coffee.duckdb does not exist", "dbt build"))
    (shop.folder / "target" / "catalog.json").unlink()
    refused(shop, "stg_visits", "--no-warehouse", words=("no column of it is known", "dbt docs generate"))


@pytest.mark.parametrize(
    ("name", "view", "differs"),
    [
        pytest.param("meters", "latest_readings", {}, id="meters"),
        pytest.param("stock", "shelves", {}, id="two entities"),
        pytest.param("histories", "temperatures", {}, id="events"),
        # that a row counts only once it was loaded is a decision, which no table shows
        pytest.param(
            "histories",
            "corrected_temperatures",
            {"known_at": None, "created_timestamp": "loaded_at"},
            id="corrections",
        ),
        # that facts never change is a claim, which only a person can make
        pytest.param("histories", "places", {"timeless": None, "latest_only": True}, id="facts"),
        pytest.param("histories", "batteries", {}, id="overwritten rows"),
        pytest.param("histories", "owner_history", {"valid_from": None, "valid_to": None}, id="a snapshot"),
    ],
)
def test_what_was_stripped_from_a_project_is_guessed_again(stripped, name, view, differs):
    project, written = stripped[name]
    expected = {**written[view], **differs}
    never_guessed = {"ttl", "lag"}
    (found,) = proposed(project, view).values()
    wanted = {key: value for key, value in expected.items() if key not in never_guessed and value is not None}
    assert {key: value for key, value in found.items() if key not in never_guessed} == wanted


@pytest.fixture(scope="module")
def stripped(tmp_path_factory):
    """Projects of our own without their feature views, and what these said."""
    projects: dict[str, tuple[BuiltProject, dict[str, dict]]] = {}
    for name in ("meters", "stock", "histories"):
        folder = copy_project(PROJECTS / name, tmp_path_factory.mktemp(name))
        written: dict[str, dict] = {}
        for path in [*folder.glob("models/*.yml"), *folder.glob("snapshots/*.yml")]:
            content = yaml.safe_load(path.read_text())
            for entry in [*content.get("models", []), *content.get("snapshots", [])]:
                if "meta" in entry["config"]:
                    written[entry["name"]] = _settings(entry)
                    entry["config"].pop("event_time", None)
                    del entry["config"]["meta"]
            path.write_text(yaml.safe_dump(content))
        projects[name] = build_project(folder, folder, target="duckdb"), written
    return projects


@pytest.mark.parametrize("view", ["aircraft_history", "airport_weather"])
def test_an_entity_is_called_what_the_other_feature_views_call_it(example, tmp_path, view):
    project = own_copy(example, tmp_path / "example")
    path = project.folder / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    config = manifest["nodes"][f"model.feature_sync.{view}"]["config"]
    settings = config["meta"].pop("feature_view")
    event_time = config.pop("event_time")
    manifest["exposures"] = {}
    path.write_text(json.dumps(manifest))
    file = next((project.folder / "models" / "features").glob(f"{view}.yml"))
    file.write_text(file.read_text().replace("feature_view:", "kept_for_later:"))
    (found,) = proposed(project, view).values()
    assert found["event_time"] == event_time
    assert set(found["entities"].values()) == set(settings["entities"].values())
    if view == "aircraft_history":
        assert found["entities"] == settings["entities"]


def test_an_id_is_not_called_what_another_model_calls_its_own_id(shop):
    assert shop.feature_sync("init", "raw_payments", "--write").returncode == 0
    shop.dbt("--quiet", "parse")
    assert proposed(shop, "raw_orders")["raw_orders"]["entities"] == {"order": "id"}


def counted(shop, statement: str) -> BuiltProject:
    with duckdb.connect(str(shop.folder / "coffee.duckdb")) as connection:
        connection.execute(statement)
    return shop


def test_an_empty_table_says_that_it_tells_nothing(shop):
    counted(shop, "delete from raw_visits")
    done = shop.feature_sync("init", "stg_visits")
    assert "event_time: visited_at" in done.stdout
    assert "stg_visits: it is empty, so it is unknown whether keys repeat" in done.stderr


def test_days_that_are_written_as_timestamps_get_a_lag_too(shop):
    counted(shop, "update raw_visits set visited_at = date_trunc('day', visited_at) - interval (len(page)) day")
    assert proposed(shop, "stg_visits")["stg_visits"]["lag"] == "1d"


def test_of_several_times_the_one_that_all_rows_have_is_the_event_time(shop):
    counted(
        shop,
        "create or replace table orders as select customer_id, null::timestamp as shipped_at, "
        "visited_at as called_at, 1 as pieces from raw_visits",
    )
    assert proposed(shop, "orders", "--entity", "customer=customer_id")["orders"]["event_time"] == "called_at"


LOADS = "create or replace table orders as select i % 5 as customer_id, {} from range(40) rows(i)"
"""Five customers, each in eight loads: i // 5 is the number of the load."""
JOINED = "timestamp '2019-01-01 08:00:01' + (i % 5) * interval 1 day as joined_at"
EACH_LOAD = "timestamp '2024-01-01 05:00:03' + (i // 5) * interval 1 day as"


@pytest.mark.parametrize(
    ("columns", "event_time"),
    [
        pytest.param(f"{JOINED}, {EACH_LOAD} loaded_at_utc, i as balance", "loaded_at_utc", id="loads"),
        pytest.param(f"{JOINED}, {EACH_LOAD} snapshot_date, i as balance", "snapshot_date", id="a date"),
        pytest.param(
            f"{EACH_LOAD} counted_on, timestamp '2024-06-01' as dbt_loaded_at, i as logins",
            "counted_on",
            id="all loaded at once",
        ),
        pytest.param(
            f"{EACH_LOAD} counted_on, timestamp '2024-06-01' + (i // 20) * interval 1 day as sent_at, i as logins",
            "counted_on",
            id="sent twice",
        ),
        pytest.param(
            f"{EACH_LOAD} counted_on, timestamp '2024-06-01' + (i // 8) * interval 1 day as sent_at, i as logins",
            "counted_on",
            id="sent now and then",
        ),
        pytest.param(
            f"timestamp '2019-01-01' + (i // 20) * interval 1 day as bought_at, {EACH_LOAD} updated_at, i as balance",
            "updated_at",
            id="bought twice",
        ),
    ],
)
def test_a_time_that_comes_back_in_the_rows_of_an_entity_is_not_when_they_were_complete(shop, columns, event_time):
    counted(shop, LOADS.format(columns))
    assert proposed(shop, "orders", "--entity", "customer=customer_id")["orders"]["event_time"] == event_time


def test_where_all_times_are_the_same_in_all_rows_of_an_entity_a_person_must_choose(shop):
    counted(shop, LOADS.format(f"{JOINED}, timestamp '2024-06-01' as source_loaded_at, i as balance"))
    words = ("joined_at is the same in all rows of a customer_id", "--event-time", "of joined_at, source_loaded_at")
    refused(shop, "orders", words=words)
    done = shop.feature_sync("init", "orders", "--event-time", "joined_at")
    assert "event_time: joined_at" in done.stdout
    assert "joined_at is the same in all rows of a customer_id; is it when a row was complete?" in done.stderr


def test_rows_that_share_a_time_may_be_corrections(shop):
    paid = "timestamp '2024-01-01' + (i // 7) * interval 1 day as paid_at"
    counted(shop, LOADS.format(f"{paid}, {EACH_LOAD} loaded_at, i as pieces"))
    done = shop.feature_sync("init", "orders", "--entity", "customer=customer_id")
    assert "event_time: paid_at" in done.stdout
    words = (
        "of its rows share their paid_at with another of the same customer_id; if they correct it, known_at: loaded_at"
    )
    assert words in done.stderr


@pytest.mark.parametrize(
    "column",
    [
        "date '1980-03-01' + i::int as birth_date",
        "timestamp '2024-03-01' + i * interval 1 hour as trial_ends_at",
        "date '2024-03-01' + i::int as due_date",
        "timestamp '2024-03-01' + i * interval 1 hour as expires_at",
        "timestamp '2124-03-01' + i * interval 1 hour as counted_at",
    ],
)
def test_neither_a_birth_nor_what_is_still_to_come_is_when_a_row_was_complete(shop, column):
    counted(shop, LOADS.format(f"{column}, {EACH_LOAD} updated_at, i as balance"))
    settings = proposed(shop, "orders", "--entity", "customer=customer_id")["orders"]
    assert settings["event_time"] == "updated_at"


@pytest.mark.parametrize("column", ["birth_date", "dob", "trial_ends_at", "dueDate", "expires_at", "next_visit_at"])
def test_a_birth_or_a_plan_is_known_by_its_name(column):
    assert is_planned_or_birth(column)


@pytest.mark.parametrize("column", ["login_at", "email_sent_at", "expired_at", "ended_at", "week_end", "newborn_at"])
def test_what_happened_is_no_plan_be_it_personal(column):
    assert not is_planned_or_birth(column)


def test_a_time_that_is_still_to_come_is_an_event_time_only_if_a_person_says_so(shop):
    counted(shop, LOADS.format("timestamp '2124-03-01' + i * interval 1 hour as counted_at, i as balance"))
    refused(shop, "orders", words=("counted_at goes on until 2124-03-02, which is in the future", "--event-time"))
    counted(shop, LOADS.format("timestamp '2024-03-01' + i * interval 1 hour as renewal_at, i as balance"))
    refused(shop, "orders", words=("none of its times", "--event-time, of renewal_at"))
    assert proposed(shop, "orders", "--event-time", "renewal_at")["orders"]["event_time"] == "renewal_at"


EACH_HOUR = "i * interval 1 hour"


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(
            f"timestamp '2024-01-01' + {EACH_HOUR} as started_at",
            f"timestamp '2024-01-01 00:40' + {EACH_HOUR} as ended_at",
            id="by name",
        ),
        pytest.param(
            f"timestamp '2024-01-01' + {EACH_HOUR} as opened_at",
            f"case when i < 35 then timestamp '2024-01-01 00:40' + {EACH_HOUR} end as closed_at",
            id="by name, though some are open",
        ),
        pytest.param(
            f"timestamp '2024-01-01' + {EACH_HOUR} as ordered_at",
            f"timestamp '2024-01-03' + {EACH_HOUR} as delivered_at",
            id="by what is counted",
        ),
    ],
)
def test_of_several_times_the_last_is_when_a_row_was_complete(shop, first, last):
    counted(shop, LOADS.format(f"{first}, {last}, i as pages"))
    done = shop.feature_sync("init", "orders", "--entity", "customer=customer_id")
    (entry,) = yaml.safe_load(done.stdout)["models"]
    assert _settings(entry)["event_time"] == last.rpartition(" ")[2]
    other = first.rpartition(" ")[2]
    assert f"# a row is complete at the last of its times; it also has {other}\n" in done.stdout


def test_where_each_entity_has_one_row_the_last_time_is_what_could_be_its_event_time(shop):
    counted(
        shop,
        "create or replace table customers as select id as customer_id, timestamp '2020-01-01' as first_order_at, "
        "timestamp '2024-01-01' as last_order_at, 1 as orders from raw_customers",
    )
    done = shop.feature_sync("init", "customers")
    assert "latest_only: true" in done.stdout
    assert "--event-time last_order_at lets it train" in done.stderr


@pytest.mark.parametrize(
    "time", ["'2024-01-01 10:00' as paid_at", "1704067200 + id as paid_ts", "'2024-01-01' as updated_at"]
)
def test_a_time_that_is_text_or_a_number_is_no_feature_and_is_to_be_cast(shop, time):
    select = f"select id as payment_id, {time}, amount, 3 as wait_time from raw_payments"
    counted(shop, f"create or replace view stg_payments as {select}")
    name = time.rpartition(" ")[2]
    done = shop.feature_sync("init", "stg_payments")
    assert "features: [amount, wait_time]" in done.stdout
    assert f"left out: {name}, which is named like a time and is" in done.stdout
    assert "is named like a time: cast it in the model, and run init again" in done.stderr


READINGS = "create or replace table orders as select {} from range(40) rows(i)"
MEASURED = "timestamp '2024-01-01' + (i // 5) * interval 1 hour as measured_at"
SENSOR = "'s' || (i % 5) as sensor"


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(f"{MEASURED}, {SENSOR}, (i * 0.13)::decimal(8, 2) as level", id="a decimal"),
        pytest.param(f"{MEASURED}, {SENSOR}, i as level", id="an integer"),
        pytest.param(f"{SENSOR}, i as level, {MEASURED}, i * 2 as other", id="an integer before the time"),
        pytest.param(f"{SENSOR}, 1.5::decimal(8, 2) as level, {MEASURED}, i as other", id="a decimal before the time"),
    ],
)
def test_a_measure_is_no_key_where_a_text_names_what_was_measured(shop, columns):
    counted(shop, READINGS.format(columns))
    assert proposed(shop, "orders")["orders"]["entities"] == {"sensor": "sensor"}


@pytest.mark.parametrize("columns", [f"{MEASURED}, i as level", f"i as level, {MEASURED}, i * 1.5 as other"])
def test_where_there_are_only_measures_a_person_must_say_what_is_described(shop, columns):
    counted(shop, READINGS.format(columns))
    refused(shop, "orders", words=("no column of it looks like a key", "--entity NAME=COLUMN, of level"))


def test_rows_that_hold_from_one_moment_until_another_are_read_as_a_snapshot(shop):
    counted(
        shop,
        "create or replace table orders as select id as customer_id, timestamp '2024-01-01' as valid_from, "
        "null::timestamp as valid_to, 'gold' as plan, false as dbt_is_deleted from raw_customers",
    )
    done = shop.feature_sync("init", "orders")
    (entry,) = yaml.safe_load(done.stdout)["models"]
    assert _settings(entry) == {
        "entities": {"customer": "customer_id"},
        "valid_from": "valid_from",
        "valid_to": "valid_to",
        "features": ["plan"],
    }
    assert "left out: dbt_is_deleted, which marks deleted rows" in done.stdout


def test_of_two_ids_before_the_time_the_one_that_no_two_rows_share_identifies_the_row(shop):
    counted(
        shop,
        "create or replace view stg_visits as select id as payment_id, order_id, "
        "timestamp '2024-01-01' + interval (id) hour as paid_at, amount from raw_payments",
    )
    assert proposed(shop, "stg_visits")["stg_visits"] == {
        "entities": {"payment": "payment_id"},
        "latest_only": True,
        "features": ["order_id", "paid_at", "amount"],
    }


def test_between_times_whose_names_say_nothing_a_person_must_choose(shop):
    counted(
        shop,
        "create or replace table orders as select customer_id, page, visited_at as start, visited_at as finish "
        "from raw_visits",
    )
    refused(shop, "orders", words=("which of its times says when a row was complete", "finish, start"))


def test_rows_that_say_only_when_they_were_written_are_versions_of_what_their_key_names(shop):
    counted(
        shop,
        "create or replace table orders as select page, customer_id, visited_at as updated_at, 1 as cups "
        "from raw_visits",
    )
    assert proposed(shop, "orders")["orders"] == {
        "event_time": "updated_at",
        "entities": {"customer": "customer_id"},
        "features": ["page", "cups"],
    }


def test_keys_that_repeat_without_a_time_are_an_error_that_names_the_columns(shop):
    counted(shop, "create or replace table orders as select customer_id, page from raw_visits")
    words = ("no column of it is a time: customer_id", "4 rows of 3 customer_id", "--entity")
    refused(shop, "orders", words=words)


def test_a_text_that_is_named_like_a_time_is_named(shop):
    counted(shop, "create or replace table orders as select customer_id, page, '2024' as ordered_at from raw_visits")
    refused(shop, "orders", words=("ordered_at (VARCHAR) is named like one: cast it in the model",))


def test_columns_without_a_likely_key_are_an_error_that_names_them(shop):
    counted(shop, "create or replace table orders as select 1.5::double as height, 2.5::double as weight")
    refused(shop, "orders", words=("looks like a key", "--entity NAME=COLUMN", "height, weight"))


@pytest.mark.parametrize(
    "column",
    ["email", "customer_email", "e_mail", "phone_number", "name", "first_name", "firstName", "BIRTH_DATE", "dob",
     "ip", "ip_address", "iban", "passport_no", "password_hash", "api_token", "ssn", "card_number"],
)  # fmt: skip
def test_a_column_that_may_be_personal_is_known_by_its_name(column):
    assert may_be_personal(column)


@pytest.mark.parametrize(
    "column", ["shipment_count", "tip_amount", "renamed", "amount", "zipped", "recipient_id", "nameplate"]
)
def test_a_column_is_not_personal_for_a_part_of_a_word(column):
    assert not may_be_personal(column)


@pytest.mark.parametrize(
    ("model", "entity"),
    [
        ("customers", "customer"), ("stg_jaffle__customers", "customer"), ("dim_companies", "company"),
        ("addresses", "address"), ("fct_order_statuses", "order_status"), ("people", "person"), ("series", "series"),
        ("customers_snapshot", "customer"), ("boxes", "box"), ("warehouses", "warehouse"), ("news", "news"),
    ],
)  # fmt: skip
def test_an_entity_is_one_of_what_its_model_lists(model, entity):
    assert entity_of_model(model) == entity


def test_an_entity_is_its_column_without_what_says_that_it_identifies():
    columns = ("customer_id", "customerId", "carrier_code", "order_key", "sensor", "CUSTOMER_ID")
    assert not identifies("PAID")
    assert [entity_of_column(column) for column in columns] == [
        "customer", "customer", "carrier", "order", "sensor", "customer",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "column",
    [
        "loaded_at",
        "_etl_loaded_at",
        "dbt_loaded_at",
        "loaded_at_utc",
        "source_updated_at",
        "_fivetran_synced",
        "_airbyte_extracted_at",
        "updated_at",
        "row_created_at",
    ],
)
def test_a_time_of_loading_is_known_by_its_name(column):
    assert written_rank(column) is not None


@pytest.mark.parametrize("column", ["ordered_at", "order_created_at", "event_timestamp", "uploaded_at"])
def test_a_time_of_something_that_happened_is_no_time_of_loading(column):
    assert written_rank(column) is None


def configured(shop, name: str, *, meta: dict | None = None, **settings) -> BuiltProject:
    """Say something of a model that a person might have said in `dbt_project.yml`."""
    path = shop.folder / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    config = manifest["nodes"][f"model.coffee.{name}"]["config"]
    config.update(settings)
    config["meta"].update(meta or {})
    path.write_text(json.dumps(manifest))
    return shop


def test_an_event_time_that_is_configured_already_is_kept_and_not_written_again(shop):
    configured(shop, "stg_visits", event_time="visited_at")
    settings = proposed(shop, "stg_visits")["stg_visits"]
    assert ("event_time" in settings, settings["created_timestamp"]) == (False, "_etl_loaded_at")
    words = ("config.event_time is 'visited_at' already",)
    refused(shop, "stg_visits", "--event-time", "_etl_loaded_at", words=words)
    configured(shop, "orders", event_time="order_date")  # a date needs a lag, which no latest_only view has
    assert proposed(shop, "orders")["orders"] == {
        "entities": {"order": "order_id"},
        "lag": "1d",
        "features": ["customer_id", "status", "amount"],
    }


def test_what_a_folder_says_of_all_its_views_is_not_said_again(shop):
    defaults = {"ttl": "7d", "lag": "2d", "created_timestamp": "_etl_loaded_at"}
    configured(shop, "stg_visits", meta={"feature_view_defaults": defaults})
    done = shop.feature_sync("init", "stg_visits")
    assert ("ttl" in done.stdout, "created_timestamp" in done.stdout) == (False, False)
    assert "features: [page]" in done.stdout


def test_a_reader_in_microbatches_is_named_for_event_time_changes_what_it_reads(shop):
    configured(shop, "customer_days", materialized="incremental", incremental_strategy="microbatch")
    done = shop.feature_sync("init", "stg_orders", "--event-time", "order_date")
    assert "with event_time, customer_days will read only the rows of its own batch" in done.stderr
    assert "ref('stg_orders').render() there reads all" in done.stderr


def test_a_model_of_a_package_is_printed_and_never_written(shop):
    path = shop.folder / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["nodes"]["model.coffee.orders"]["package_name"] = "till"
    path.write_text(json.dumps(manifest))
    done = shop.feature_sync("init", "orders", "--write")
    assert done.returncode == 1
    assert "dbt_packages/till/models/marts/schema.yml belongs to a package" in done.stderr
    assert yaml.safe_load(done.stdout)["models"][0]["name"] == "orders"


# Writing


def test_written_settings_only_add_lines_and_dbt_and_feature_sync_read_them(shop):
    marts, staging = (shop.folder / "models" / folder / "schema.yml" for folder in ("marts", "staging"))
    before = {path: path.read_text() for path in (marts, staging)}
    names = ("customers", "customer_days", "stg_orders", "stg_payments", "stg_visits", "customer_history", "raw_orders")
    done = shop.feature_sync("init", *names, "--write")
    assert (done.returncode, done.stdout) == (0, "")
    assert "wrote models/marts/schema.yml: customers, customer_days" in done.stderr
    assert "wrote models/staging/stg_visits.yml: stg_visits" in done.stderr
    assert "next: read the diff, every guess says why; dbt parse; feature-sync describe customers" in done.stderr
    for path, text in before.items():
        gone, new = changes(text, path.read_text())
        assert (gone, len(new) > 0) == ([], True)
    again = shop.feature_sync("init", "customers")
    assert (again.returncode, again.stdout) == (0, "")
    assert "customers: is a feature view already, in models/marts/schema.yml" in again.stderr
    shop.dbt("--quiet", "--warn-error", "parse", "--no-partial-parse")
    for name in names:
        described = shop.feature_sync("describe", name)
        assert described.returncode == 0, described.stderr
    assert "customers: is a feature view already" in shop.feature_sync("init", "customers").stderr


def test_settings_join_what_is_written_in_braces_and_an_older_meta(shop):
    path = shop.folder / "models" / "marts" / "schema.yml"
    before = path.read_text()
    assert shop.feature_sync("init", "orders", "--event-time", "order_date", "--write").returncode == 0
    gone, new = changes(before, path.read_text())
    assert gone == [
        '    config: { materialized: table, tags: [ "nightly",   "finance" ] }  # the finance team reads it\n'
    ]
    assert "    config:  # the finance team reads it\n" in new
    assert '      tags: [ "nightly",   "finance" ]\n' in new
    shop.dbt("--quiet", "--warn-error", "parse", "--no-partial-parse")
    assert "event timestamp" in shop.feature_sync("describe", "orders").stdout
    meta = json.loads((shop.folder / "target" / "manifest.json").read_text())["nodes"]["model.coffee.orders"]["config"]
    assert meta["meta"]["owner"] == "finance"


def test_a_view_that_was_adopted_is_pushed_and_served(shop, redis_url):
    assert shop.feature_sync("init", "stg_visits", "--write").returncode == 0
    shop.dbt("--quiet", "build", "--select", "+stg_visits")
    environment = {"FEATURE_SYNC_REDIS_URL": redis_url}
    assert shop.feature_sync("push", "stg_visits", **environment).returncode == 0
    assert "/order" in shop.feature_sync("get", "stg_visits", "customer_id=1", **environment).stdout


def test_of_several_versions_only_the_one_that_is_named_becomes_a_feature_view(shop):
    file = shop.folder / "models" / "marts" / "days.yml"
    (shop.folder / "models" / "marts" / "days_v1.sql").write_text("select * from {{ ref('customer_days') }}")
    (shop.folder / "models" / "marts" / "days_v2.sql").write_text("select *, 1 as cups from {{ ref('customer_days') }}")
    file.write_text(
        "models:\n  - name: days\n    latest_version: 2\n    versions:\n      - v: 1  # old\n      - v: 2\n"
    )
    shop.dbt("--quiet", "build", "--select", "+days")
    asked = ("--entity", "customer=customer_id", "--event-time", "order_date")
    assert shop.feature_sync("init", "days", *asked, "--write").returncode == 0
    shop.dbt("--quiet", "--warn-error", "parse", "--no-partial-parse")
    listed = json.loads(shop.feature_sync("list", "--json").stdout)
    assert [each["name"] for each in listed["feature_views"]] == ["days.v2"]
    assert "- v: 1  # old\n" in file.read_text()


def test_an_entry_that_is_newer_than_the_manifest_takes_the_settings_where_it_stands(shop):
    days = shop.folder / "models" / "days.yaml"
    days.write_text("models:\n  - name: stg_visits\n    description: Who came, and when\n")
    marts = shop.folder / "models" / "marts" / "schema.yml"
    moved = marts.with_name("moved.yml")
    marts.rename(moved)
    assert shop.feature_sync("init", "stg_visits", "customers", "--write").returncode == 0
    assert "feature_view" in days.read_text()
    assert "customers" in moved.read_text()
    assert not marts.exists()
    assert not (shop.folder / "models" / "staging" / "stg_visits.yml").exists()
    shop.dbt("--quiet", "--warn-error", "parse", "--no-partial-parse")
    assert shop.feature_sync("describe", "stg_visits").returncode == 0


SETTINGS = (
    Line(
        key="config",
        below=(
            Line(key="event_time", value="at", comment="its name"),
            Line(key="meta", below=(Line(key="feature_view", value="{}"),)),
        ),
    ),
)
ORDERS = "models:\n  - name: orders\n"
FOLDED = "models: [{name: others}, {name: orders}]"
ADDED = ["config:", "event_time: at  # its name", "meta:", "feature_view: {}"]


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        pytest.param("models:\r\n- name: orders\r\n  columns:\r\n  - name: a\r\n", [], id="Windows"),
        pytest.param(f"{ORDERS}    description: |+\n      a\n\n\n    columns: []\n", [], id="blank lines that count"),
        pytest.param(f"{ORDERS}    description: >\n      a\n\n\n# end\n", [], id="a folded text at the end"),
        pytest.param(f"{ORDERS}    description: \"{{{{ doc('x') }}}}\"  # long\n", [], id="Jinja in quotes"),
        pytest.param("models:\n    - name: orders\n      columns:\n          - name: a\n", [], id="four spaces"),
        pytest.param(f"\ufeff{ORDERS}", [], id="a byte order mark"),
        pytest.param("models:\n  - columns: []\n    name: orders\n", [], id="a name that comes last"),
        pytest.param(f"---\n{ORDERS}...\n", [], id="marks of a document"),
        pytest.param("models:\n- name: others\n  columns:\n  - name: a\n\n# end\n", [], id="no such entry"),
        pytest.param("seeds:\n  - name: a\n", [], id="no such section"),
        pytest.param("models:\nseeds:\n  - name: a\n", [], id="an empty section"),
        pytest.param("# nothing yet\n", [], id="a file of comments"),
        pytest.param("models: &m\n  - &o\n    name: others\n", [], id="anchors before a list and its item"),
        pytest.param(f"{FOLDED}\n", [f"{FOLDED}\n"], id="all in braces"),
    ],
)
def test_whatever_a_file_looks_like_only_lines_are_added(text, gone):
    changed = put_settings(text, SourcePosition(section="models", name="orders"), SETTINGS, file="models.yml")
    removed, added = changes(text, changed)
    assert removed == gone
    assert [each.strip() for each in added][-4:] == ADDED
    assert changed.count("\r\n") == (changed.count("\n") if "\r\n" in text else 0)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        pytest.param("config:   # none yet\n", "config:   # none yet\n", id="an empty one"),
        pytest.param("config: {}\n", "config:\n", id="empty braces"),
        pytest.param("config:\n      tags: [a]\n      # end\n", "config:\n      tags: [a]\n", id="one with settings"),
        pytest.param("config: &c\n      tags: [a]\n", "config: &c\n      tags: [a]\n", id="one with an anchor"),
        pytest.param("config: {tags: [ a ]}  # b\n", "config:  # b\n      tags: [ a ]\n", id="one in braces"),
    ],
)
def test_a_config_that_is_there_takes_the_settings(text, after):
    head = "models:\n  - name: orders\n    "
    changed = put_settings(head + text, SourcePosition(section="models", name="orders"), SETTINGS, file="models.yml")
    assert changed.startswith(
        f"{head}{after}      event_time: at  # its name\n      meta:\n        feature_view: {{}}\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x: &c {tags: [a]}\nmodels:\n  - name: orders\n    config: *c\n", id="an alias"),
        pytest.param(
            "x: &c\n  meta: {owner: me}\nmodels:\n  - name: orders\n    config:\n      <<: *c\n",
            id="a meta that comes by a merge key, which another would hide",
        ),
        pytest.param(
            "models:\n  - name: orders\n    config: {tags: [a],  # why\n      enabled: true}\n",
            id="a comment in braces",
        ),
        pytest.param("models: [\n", id="no YAML"),
        pytest.param("models\n", id="no mapping"),
    ],
)
def test_a_file_that_has_no_room_for_lines_is_refused_and_left_alone(text):
    with pytest.raises(OutputError, match=r"^models.yml: orders cannot be edited in place .*paste"):
        put_settings(text, SourcePosition(section="models", name="orders"), SETTINGS, file="models.yml")


def test_a_layout_in_which_lines_would_not_be_understood_is_called_that():
    text = "models:\n  - name: orders\n    config:\n      ? tags\n      : [a]\n"
    with pytest.raises(OutputError, match=r"its layout is such that inserted lines are not valid YAML"):
        put_settings(text, SourcePosition(section="models", name="orders"), SETTINGS, file="models.yml")


def test_a_list_that_is_too_long_for_a_line_is_written_as_the_file_writes_lists():
    names = tuple(f"a_feature_of_number_{number}" for number in range(8))
    text = "models:\n- name: orders\n  columns:\n  - name: a\n"
    lines = [Line(key="config", below=(Line(key="features", names=names),))]
    changed = put_settings(text, SourcePosition(section="models", name="orders"), lines, file="models.yml")
    assert "  config:\n    features:\n    - a_feature_of_number_0\n    - a_feature_of_number_1\n" in changed
    assert yaml.safe_load(changed)["models"][0]["config"]["features"] == list(names)


# What cannot be a feature view


def test_an_unknown_model_gets_a_suggestion(shop):
    refused(shop, "custmers", words=("no model, snapshot or seed is called 'custmers'; did you mean 'customers'?",))


def test_options_about_one_model_are_refused_for_several(shop):
    refused(shop, "customers", "orders", "--event-time", "x", words=("name only that model",), exit_code=2)
    refused(shop, "customers", "--entity", "customer", words=("KEY=VALUE",), exit_code=2)
    refused(shop, "customers", "--entity", "customer=", words=("a column is missing",), exit_code=2)


def test_what_a_person_says_is_checked(shop):
    refused(shop, "orders", "--entity", "order=ordr_id", words=("no column 'ordr_id'; did you mean 'order_id'?",))
    refused(shop, "orders", "--event-time", "status", words=("status is VARCHAR, which is not a time",))
    refused(shop, "orders", "--entity", "order=amount", words=("amount is DOUBLE, which cannot be a join key",))
    refused(shop, "customer_history", "--event-time", "first_order", words=("its rows hold from one moment",))


def test_sources_ephemeral_and_disabled_models_say_what_to_do(shop):
    folder = shop.folder / "models"
    (folder / "thin.sql").write_text("{{ config(materialized='ephemeral') }} select 1 as thin_id, 2 as weight")
    (folder / "off.sql").write_text("{{ config(enabled=false) }} select 1 as off_id")
    (folder / "raw.yml").write_text("sources:\n  - name: till\n    tables:\n      - name: sales\n")
    shop.dbt("--quiet", "parse")
    refused(shop, "till.sales", words=("a source cannot be a feature view", "{{ source('till', 'sales') }}"))
    refused(shop, "thin", words=("the model is ephemeral", "table or a view"))
    refused(shop, "off", words=("off is disabled (enabled: false)",))
    done = shop.feature_sync("init", "off", "orders")
    assert (done.returncode, "off is disabled" in done.stderr) == (1, True)
    assert [entry["name"] for entry in yaml.safe_load(done.stdout)["models"]] == ["orders"]


def test_a_file_without_room_is_left_alone_and_what_to_paste_is_printed(shop):
    path = Path(shop.folder / "models" / "marts" / "schema.yml")
    path.write_text(path.read_text().replace("config: { mat", "config: {  # why\n      mat"))
    before = path.read_text()
    shop.dbt("--quiet", "parse")
    done = shop.feature_sync("init", "orders", "--event-time", "order_date", "--write")
    assert done.returncode == 1
    assert "orders cannot be edited in place (a comment or an alias stands within braces)" in done.stderr
    assert "event_time: order_date" in done.stdout
    assert path.read_text() == before
