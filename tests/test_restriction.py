"""Which views' rows are read of the spine's entities only, and that this never changes an answer."""

from __future__ import annotations

from dataclasses import replace

import duckdb
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
    Target,
)
from feature_sync.errors import Location, WarehouseError
from feature_sync.sql.dialects import DIALECTS
from feature_sync.training import TrainingSet
from feature_sync.warehouses.duckdb.warehouse import DuckDBWarehouse

ROWS, ENTITIES = 240_000, 24_000
MANY = (
    f"select i as row, i % {ENTITIES} as one, i % 3 as other, timestamp '2024-01-20' as asked from range(30_000) t(i)"
)
FEW = """
    select i as row, i % 100 as one, case when i % 7 > 0 then 5 end as other,
        timestamp '2024-01-09' + interval 1 minute * i as asked
    from range(3000) t(i)
"""
WIDTH = 12


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A table of ten rows an entity, one a day, and a view of it; spines of few and of many entities."""
    path = tmp_path_factory.mktemp("restriction") / "rows.duckdb"
    features = ", ".join(f"i * {number} as f{number}" for number in range(WIDTH))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"create table rows as select i % {ENTITIES} as entity, {features}, "
            f"timestamp '2024-01-01' + interval 1 day * (i // {ENTITIES}) as seen_at from range({ROWS}) t(i)"
        )
        connection.execute("create view seen as select * from rows")
        connection.execute("create table twins as from rows union all from rows")
        connection.execute(f"create table many as {MANY}")
        connection.execute(f"create table few as {FEW}")
    return path


def relation(name: str, types: dict[str, str], **settings) -> Relation:
    columns = {each: Column(name=each, data_type=kind, stored_as=each) for each, kind in types.items()}
    location = Location("restriction.yml", name)
    return Relation(
        name=f'"{name}"', unique_id=name, location=location, columns=columns, columns_are_complete=True, **settings
    )


def training_set(path, spine: str, *, view: str = "rows", keys=("one",), width: int = 1, unique: bool = False, **asked):
    """A set of one view in a role for each of the spine's columns in `keys`."""
    names = [f"f{number}" for number in range(width)]
    types = {"entity": "bigint", "seen_at": "timestamp"} | dict.fromkeys(names, "bigint")
    rows = FeatureView(
        name="rows",
        relation=relation(view, types, is_table=view != "seen"),
        entities=(Entity(name="entity", join_keys=("entity",)),),
        features=tuple(Feature(name=name) for name in names),
        event_timestamp="seen_at",
        is_unique=unique,
    )
    selections = tuple(
        Selection(view=rows, alias=f"by_{key}", features=tuple(names), spine_keys=(key,)) for key in keys
    )
    columns = {"row": "bigint", "one": "bigint", "other": "bigint", "asked": "timestamp"}
    target = Target(profile="p", name="t", adapter="duckdb", settings={"path": str(path)}, project_dir=".")
    return TrainingSet(
        service=FeatureService(name="service", selections=selections, full_names=True).checked(),
        spine=Spine(relation=relation(spine, columns, event_time="asked", is_table=True), **asked),
        dialect=DIALECTS["duckdb"],
        open_warehouse=lambda: DuckDBWarehouse.connect(target),
        reference_to=lambda relation: relation.name,
    )


def restricted_in(asked: TrainingSet, path) -> set[str]:
    """The views that an extract restricts, by the query in its sidecar."""
    sql = asked.write(path / "set.parquet").sql
    return {each.alias for each in asked.service.selections if f'"{each.alias}_entities"' in sql}


@pytest.mark.parametrize("unique", [False, True], ids=["", "unique"])
@pytest.mark.parametrize(
    ("spine", "view", "restricted"),
    [
        pytest.param("few", "rows", {"by_one", "by_other"}, id="few entities"),
        pytest.param("many", "rows", {"by_other"}, id="all entities in one role, few in the other"),
        pytest.param("few", "seen", {"by_one", "by_other"}, id="a view, small spine"),
        pytest.param("many", "seen", set(), id="a view, large spine"),
    ],
)
def test_views_of_many_entities_are_read_for_a_spine_of_few(database, tmp_path, spine, view, restricted, unique):
    asked = training_set(database, spine, view=view, keys=("one", "other"), unique=unique)
    assert restricted_in(asked, tmp_path) == restricted
    with duckdb.connect(str(database), read_only=True) as connection:
        wanted = connection.execute(
            f"select s.row, one.f0, other.f0 from {spine} s asof left join rows one on s.one = one.entity and "
            "s.asked >= one.seen_at asof left join rows other on s.other = other.entity and s.asked >= other.seen_at"
        ).fetchall()
    found = asked.to_arrow().select(["row", "by_one__f0", "by_other__f0"])
    assert sorted(map(tuple, (each.values() for each in found.to_pylist())), key=str) == sorted(wanted, key=str)


def test_a_printed_query_restricts_a_sample_or_the_first_rows(database):
    assert "_entities" not in training_set(database, "few").sql
    assert "_entities" in training_set(database, "many", sample=0.1).sql
    assert "_entities" in training_set(database, "many", limit=10).sql


def test_a_limit_bounds_the_entities_that_an_extract_counts(database, tmp_path):
    assert restricted_in(training_set(database, "many", limit=30_000), tmp_path) == set()
    assert restricted_in(training_set(database, "many", limit=5_000), tmp_path) == {"by_one"}


def test_a_small_table_is_not_counted(database, tmp_path):
    asked = training_set(database, "few", view="few")
    small = replace(asked.service.selections[0].view.relation, name='"small"')
    with duckdb.connect(str(database)) as connection:
        connection.execute("create or replace table small as from rows limit 1000")
    service = asked.service.with_views(lambda view: replace(view, relation=small))
    assert restricted_in(replace(asked, service=service), tmp_path) == set()


def test_wide_rows_that_a_test_wrongly_found_unique_end_an_extract(database):
    asked = training_set(database, "few", view="twins", width=WIDTH)
    assert asked.to_arrow().num_rows == 3000
    with pytest.raises(WarehouseError, match="has rows that share join keys and event timestamp though dbt's tests"):
        replace(asked, is_proven_unique=lambda view: True).to_arrow()
