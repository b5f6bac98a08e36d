"""PostgreSQL's own catalog tells of indexes of which dbt knows nothing: which of them decide how a view is answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow.parquet
import pytest

from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    Relation,
    Selection,
    Spine,
)
from feature_sync.errors import Location
from feature_sync.sql.dialects import dialect_named
from feature_sync.training import TrainingSet
from feature_sync.warehouses.postgres.warehouse import PostgresWarehouse

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = [("a", 1, NOON - 2 * HOUR, 1), ("a", 1, NOON - HOUR, 2), ("a", 2, NOON, 3), ("b", 1, NOON + HOUR, 4)]
ANSWERS = [("a", 1, 2), ("a", 2, 3), ("b", 1, None)]
TYPES = {"shop": "text", "item": "bigint", "seen_at": "timestamp with time zone", "price": "bigint"}


@pytest.fixture
def connection(postgres):
    """A table of two join keys, a time and a feature, without any index."""
    with postgres.connect() as connection:
        connection.execute('create schema "Indexed"')
        columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
        connection.execute(f'create table "Indexed".prices ({columns})')
        connection.execute('create table "Indexed".asked (shop text, item bigint, asked_at timestamptz)')
        with connection.cursor() as cursor:
            cursor.executemany('insert into "Indexed".prices values (%s, %s, %s, %s)', ROWS)
            asked = [(shop, item, NOON) for shop, item, _ in ANSWERS]
            cursor.executemany('insert into "Indexed".asked values (%s, %s, %s)', asked)
        connection.execute('set search_path to "Indexed"')
        yield connection
        connection.execute('drop schema "Indexed" cascade')


def relation(name: str, types: dict[str, str], event_time: str | None = None) -> Relation:
    return Relation(
        name=f'"postgres"."Indexed"."{name}"',
        unique_id=f"model.shop.{name}",
        location=Location("shop.yml", name),
        columns={each: Column(name=each, data_type=kind) for each, kind in types.items()},
        event_time=event_time,
    )


def written(postgres, tmp_path, *, table: str = "prices", timezone: str = "UTC") -> str:
    """Write the training set, check its answers, and return the query."""
    view = FeatureView(
        name="prices",
        relation=relation(table, {}),
        entities=(Entity(name="offer", join_keys=("shop", "item")),),
        features=(Feature(name="price"),),
        event_timestamp="seen_at",
        timezone=timezone,
    )
    selection = Selection(view=view, alias="prices", features=("price",), spine_keys=("shop", "item"))
    extract = TrainingSet(
        service=FeatureService(name="offers", selections=(selection,)),
        spine=Spine(relation=relation("asked", {}, "asked_at")),
        dialect=dialect_named("postgres"),
        open_warehouse=lambda: PostgresWarehouse.connect(postgres.target),
        reference_to=lambda each: each.name,
    ).write(tmp_path / "set.parquet")
    answers = pyarrow.parquet.read_table(extract.path).to_pylist()
    assert sorted((row["shop"], row["item"], row["price"]) for row in answers) == ANSWERS
    return extract.sql


@pytest.mark.parametrize(
    ("index", "looks_up", "is_unique"),
    [
        pytest.param("index on prices (shop, item, seen_at)", True, False, id="keys and time"),
        pytest.param("index on prices (item, shop, seen_at)", True, False, id="keys in another order"),
        pytest.param("index on prices (shop, item, seen_at desc)", True, False, id="descending"),
        pytest.param("index on prices (shop desc, item, seen_at)", True, False, id="a descending key"),
        pytest.param("index on prices (shop, item, seen_at, price)", True, False, id="with more columns"),
        pytest.param("index on prices (shop, item, seen_at) include (price)", True, False, id="with included columns"),
        pytest.param("unique index on prices (shop, item, seen_at)", True, True, id="unique"),
        pytest.param("unique index on prices (seen_at, item, shop)", False, True, id="unique, in an order of no use"),
        pytest.param("unique index on prices (shop, seen_at)", False, True, id="unique without one key"),
        pytest.param("unique index on prices (shop, item, seen_at, price)", True, False, id="unique with a feature"),
        pytest.param("index on prices (shop, seen_at, item)", False, False, id="time before a key"),
        pytest.param("index on prices (shop, item)", False, False, id="without time"),
        pytest.param("index on prices (shop, item) include (seen_at)", False, False, id="time is only included"),
        pytest.param("unique index on prices (shop, item, seen_at) where price > 1", False, False, id="partial"),
        pytest.param("unique index on prices (shop, item, (seen_at at time zone 'UTC'))", False, False, id="formula"),
        pytest.param('unique index on prices (shop collate "C", item, seen_at)', False, False, id="other collation"),
        pytest.param("unique index on prices (shop text_pattern_ops, item, seen_at)", False, False, id="operators"),
        pytest.param("index on prices (shop, item, seen_at nulls first)", False, False, id="nulls at the other end"),
        pytest.param("index on prices using brin (shop, item, seen_at)", False, False, id="another method"),
    ],
)
def test_an_index_made_by_hand_decides_how_rows_are_found(connection, postgres, tmp_path, index, looks_up, is_unique):
    connection.execute(f"create {index}")
    query = written(postgres, tmp_path)
    assert ("LATERAL" in query, is_proven(query)) == (looks_up, is_unique)


def test_without_an_index_nothing_is_known(connection, postgres, tmp_path):
    query = written(postgres, tmp_path)
    assert ("LATERAL" in query, is_proven(query)) == (False, False)


def test_an_index_that_failed_counts_for_nothing(connection, postgres, tmp_path):
    """It stays behind, is never used, and the rows that made it fail are there."""
    connection.execute("insert into prices select shop, item, seen_at, price - 1 from prices")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("create unique index concurrently on prices (shop, item, seen_at)")
    query = written(postgres, tmp_path)
    assert ("LATERAL" in query, is_proven(query)) == (False, False)


@pytest.mark.parametrize(
    ("constraint", "is_unique"),
    [
        pytest.param("unique (shop, item, seen_at)", True, id="unique"),
        pytest.param("primary key (shop, item, seen_at)", True, id="primary key"),
        pytest.param("unique (shop, item, seen_at) deferrable", False, id="deferrable"),
        pytest.param("primary key (shop, item, seen_at) deferrable initially deferred", False, id="deferred"),
    ],
)
def test_a_constraint_proves_uniqueness_unless_it_can_be_deferred(
    connection, postgres, tmp_path, constraint, is_unique
):
    connection.execute(f"alter table prices add {constraint}")
    query = written(postgres, tmp_path)
    assert ("LATERAL" in query, is_proven(query)) == (True, is_unique)


def test_rows_with_a_null_key_or_time_do_not_matter_to_uniqueness(connection, postgres, tmp_path):
    connection.execute("create unique index on prices (shop, item, seen_at)")
    connection.execute("insert into prices values ('a', 1, null, 8), ('a', 1, null, 9), (null, 1, '2024-01-01', 9)")
    assert is_proven(written(postgres, tmp_path))


def test_a_view_has_no_index_whatever_its_table_has(connection, postgres, tmp_path):
    connection.execute("create unique index on prices (shop, item, seen_at)")
    connection.execute("create view shown as select * from prices")
    query = written(postgres, tmp_path, table="shown")
    assert ("LATERAL" in query, is_proven(query)) == (False, False)


def test_an_index_says_nothing_of_the_rows_of_child_tables(connection, postgres, tmp_path):
    connection.execute("create unique index on prices (shop, item, seen_at)")
    connection.execute("create table more () inherits (prices)")
    connection.execute("insert into more select shop, item, seen_at, price - 1 from only prices")
    query = written(postgres, tmp_path)
    assert ("LATERAL" in query, is_proven(query)) == (False, False)


@pytest.mark.parametrize(("timezone", "counts"), [("UTC", True), ("Atlantic/Reykjavik", False)])
def test_an_index_on_a_wall_clock_of_another_zone_does_not_have_the_order_of_a_query(
    connection, postgres, tmp_path, timezone, counts
):
    """Reykjavik's clock is UTC, so that the answers are the same."""
    connection.execute("alter table prices alter seen_at type timestamp using seen_at at time zone 'UTC'")
    connection.execute("create unique index on prices (shop, item, seen_at)")
    query = written(postgres, tmp_path, timezone=timezone)
    assert ("LATERAL" in query, is_proven(query)) == (counts, counts)


def test_columns_that_differ_in_case_are_not_confused(connection, postgres, tmp_path):
    connection.execute('alter table prices add "Seen_At" timestamptz')
    connection.execute('create unique index on prices (shop, item, "Seen_At")')
    query = written(postgres, tmp_path)
    assert ("LATERAL" in query, is_proven(query)) == (False, False)


def is_proven(query: str) -> bool:
    """True if a query chooses no row among those of one timestamp by their values."""
    return '"price" DESC' not in query


def test_the_planner_tells_how_many_rows_share_keys_once_a_table_is_analyzed(postgres, connection):
    connection.execute('create table deep ("The shop" text, item bigint)')
    connection.execute("insert into deep select 'shop ' || n % 10, n % 500 from generate_series(1, 5000) as n")
    connection.commit()
    with PostgresWarehouse.connect(postgres.target) as warehouse:
        assert warehouse.estimated_depth('"Indexed"."deep"', ["The shop"]) is None
        connection.execute("analyze deep")
        connection.commit()
        assert warehouse.estimated_depth('"Indexed"."deep"', ["The shop"]) == 500
        assert warehouse.estimated_depth('"Indexed"."deep"', ["item", "The shop"]) < 100
        assert warehouse.estimated_depth('"Indexed"."deep"', ["item", "missing"]) is None
        assert warehouse.estimated_depth('"Indexed"."missing"', ["item"]) is None
