"""No setting of a session, role, database or profile changes an answer: the oracle's cases under a matrix of them."""

from __future__ import annotations

import os

import duckdb
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_sync.definitions import Target
from feature_sync.warehouses.duckdb.warehouse import DuckDBWarehouse
from feature_sync.warehouses.postgres.warehouse import PostgresWarehouse
from tests.support.cases import cases
from tests.support.engines import OnDuckDB, OnPostgres, ask, canonical, examples, load, strategies

ON_DUCKDB = [
    ("arrow_large_buffer_size", "true"), ("asof_loop_join_threshold", "0"), ("calendar", "japanese"),
    ("default_collation", "nocase"), ("default_collation", "noaccent"), ("default_null_order", "nulls_first"),
    ("default_null_order", "nulls_last"), ("default_null_order", "nulls_first_on_asc_last_on_desc"),
    ("default_null_order", "nulls_last_on_asc_first_on_desc"), ("default_order", "desc"), ("default_order", "asc"),
    ("disabled_optimizers", "join_order"), ("error_on_division_by_zero", "false"), ("ieee_floating_point_ops", "false"),
    ("integer_division", "true"), ("late_materialization_max_rows", "0"), ("merge_join_threshold", "0"),
    ("nested_loop_join_threshold", "0"), ("ordered_aggregate_threshold", "2"), ("perfect_ht_threshold", "0"),
    ("prefer_range_joins", "true"), ("preserve_insertion_order", "false"), ("threads", "1"),
    ("timezone", "America/New_York"), ("timezone", "Asia/Kolkata"),
]  # fmt: skip
ON_POSTGRES = [
    ("array_nulls", "off"), ("bytea_output", "escape"), ("client_encoding", "LATIN1"), ("DateStyle", "German, DMY"),
    ("DateStyle", "SQL, DMY"), ("debug_parallel_query", "on"), ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off"),
    ("enable_nestloop", "off"), ("enable_sort", "off"), ("extra_float_digits", "-15"), ("from_collapse_limit", "1"),
    ("geqo_threshold", "2"), ("IntervalStyle", "iso_8601"), ("IntervalStyle", "sql_standard"),
    ("jit_above_cost", "0"), ("join_collapse_limit", "1"), ("plan_cache_mode", "force_generic_plan"),
    ("quote_all_identifiers", "on"), ("standard_conforming_strings", "off"), ("TimeZone", "America/New_York"),
    ("TimeZone", "Asia/Kolkata"), ("timezone_abbreviations", "Australia"), ("transform_null_equals", "on"),
    ("work_mem", "64kB"),
]  # fmt: skip


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def warehouse(request):
    """A warehouse to ask."""
    engine = OnDuckDB() if request.param == "duckdb" else OnPostgres(request.getfixturevalue("postgres"))
    if request.param == "postgres":
        engine.connection.autocommit = True
    yield engine
    engine.connection.close()


def settings_of(warehouse) -> list[tuple[str, str]]:
    if warehouse.adapter == "postgres":
        return ON_POSTGRES
    known = {row["name"].lower() for row in warehouse.fetch("select name from duckdb_settings()")}
    return [(name, value) for name, value in ON_DUCKDB if name in known]


@examples(3)
@given(data=st.data())
def test_each_of_some_fifty_settings_leaves_every_answer_as_it_was(warehouse, data):
    check_every_setting(warehouse, data)


@pytest.mark.slow
@examples(25)
@given(data=st.data())
def test_no_setting_changes_an_answer_in_many_cases(warehouse, data):
    check_every_setting(warehouse, data)


def check_every_setting(warehouse, data):
    case = data.draw(cases(warehouse.adapter))
    load(warehouse, case)
    wanted = canonical(case.expected())
    asked = strategies(warehouse, case)
    settings = settings_of(warehouse)
    assert len(settings) >= 20
    for at, (setting, value) in enumerate(settings):
        strategy = asked[at % len(asked)]
        with warehouse.session(setting, value):
            assert canonical(ask(warehouse, case, strategy)) == wanted, (setting, value, strategy)


HOSTILE = {
    "bytea_output": "escape", "client_encoding": "LATIN1", "datestyle": "German, DMY", "extra_float_digits": "-15",
    "intervalstyle": "iso_8601", "standard_conforming_strings": "off", "timezone": "Asia/Kolkata",
    "timezone_abbreviations": "Australia", "transform_null_equals": "on",
}  # fmt: skip


def test_settings_of_a_role_in_postgres_do_not_reach_us_and_the_profile_keeps_its_role_and_search_path(postgres):
    with postgres.connect() as admin:
        admin.execute("create role worker")
        admin.execute("create role caller login superuser password 'x'")
        admin.execute('create schema "a b"')
        for name, value in HOSTILE.items():
            admin.execute(f"alter role caller set {name} = '{value}'")
        info = admin.info
        target = Target(
            profile="p", name="t", adapter="postgres", project_dir="",
            settings={"host": info.host, "port": info.port, "user": "caller", "password": "x", "dbname": info.dbname,
                      "role": "worker", "search_path": '"a b", public'},
        )  # fmt: skip
        try:
            with PostgresWarehouse.connect(target) as warehouse:
                found = dict(warehouse.fetch("select lower(name), setting from pg_settings"))
                assert not [name for name, value in HOSTILE.items() if found[name] == value]
                assert warehouse.fetch("select current_user::text, current_setting('search_path')") == [
                    ("worker", '"a b", public')
                ]
                assert warehouse.fetch(r"select 'a\b', interval '1 day'::text, '€', 0.1::float8::text") == [
                    ("a\\b", "1 day", "€", "0.1")
                ]
        finally:
            admin.execute('drop schema "a b"')
            admin.execute("drop role caller")
            admin.execute("drop role worker")


def test_settings_of_a_profile_in_duckdb_do_not_reach_our_queries(tmp_path):
    path = tmp_path / "one.duckdb"
    duckdb.connect(os.fspath(path)).close()
    settings = {"default_collation": "nocase"}
    target = Target(
        profile="p",
        name="t",
        adapter="duckdb",
        project_dir=str(tmp_path),
        settings={"path": path.name, "settings": settings},
    )
    with DuckDBWarehouse.connect(target) as warehouse:
        assert warehouse.fetch("select 'a' = 'A', current_setting('TimeZone'), current_setting('Calendar')") == [
            (False, "UTC", "gregorian")
        ]


def test_a_connection_to_postgres_sends_no_options_which_pgbouncer_refuses():
    from feature_sync.warehouses.postgres.settings import PostgresSettings

    settings = PostgresSettings(host="h", user="u", search_path="a", role="r")
    assert "options" not in settings.connection()
    assert psycopg.conninfo.make_conninfo(**settings.connection())
