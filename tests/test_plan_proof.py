"""Random edits of queries: whatever a plan calls the same, has the same rows and values on random tables.

`PROOF_TIMES=1000` checks twenty times as many, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from time import perf_counter

import duckdb
import pytest

from feature_sync.sql.plan import QueryForm, Tables, UnreadableQuery, compare, form_of
from tests.support.edits import T, U, answers, edit, fill, random_query
from tests.support.plans import base, plan_of, verdicts, view

TIMES = int(os.environ.get("PROOF_TIMES", "50"))
SEED = int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(1_000_000))
TABLES = Tables("duckdb", {"t": ("t", None), "u": ("u", tuple(U))})
EDITS_OF_ONE = 40
MANY = """
with kept as (select customer, placed_at, price, quantity from "prod"."main"."{}" where {}),
sums as (
    select customer, placed_at, sum(price) over (partition by customer order by placed_at) as total, quantity from kept
)
select
    kept.customer, kept.placed_at, kept.price, kept.quantity,
    case when sums.total > 3 then coalesce(sums.total, 0) else kept.quantity * 2 end as total
from kept
left join sums on kept.customer = sums.customer and kept.placed_at = sums.placed_at and sums.quantity is not null
"""


def form(sql: str, tables: Tables) -> QueryForm | None:
    try:
        return form_of(sql, tables)
    except UnreadableQuery:
        return None


def check(connection, sql, edited, tables) -> bool:
    """Compare two queries; True if anything of them was called the same, and both ran."""
    before, after = form(sql, tables), form(edited, tables)
    if before is None or after is None:
        return False
    columns = [each[0].lower() for each in connection.execute(f"describe {sql}").fetchall()]
    differing = compare(before, after, columns)
    same = [name for name in columns if name not in differing.columns]
    if differing.rows or not same or sql == edited:
        return False
    ours, theirs = answers(connection, sql, same), answers(connection, edited, same)
    if ours is None or theirs is None:
        return False  # an edit that no warehouse takes is never built
    assert ours == theirs, f"PROOF_SEED={SEED}\n{sql}\n{edited}\n{same}"
    return True


def checked(draw: random.Random, wanted: int) -> int:
    count = tried = 0
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        while count < wanted:
            sql = random_query(draw)
            fill(connection, "t", T, draw)
            fill(connection, "u", U, draw)
            if answers(connection, sql, []) is None:
                continue
            for _ in range(EDITS_OF_ONE):
                tried += 1
                edited = edit(sql, draw)
                count += edited is not None and check(connection, sql, edited, TABLES)
    return tried


@dataclass
class RealModel:
    """A model of the example: its compiled SQL, and the tables that it reads with their columns."""

    sql: str
    reads: dict[str, dict[str, str]]

    @property
    def tables(self) -> Tables:
        return Tables("duckdb", {name: (name, None) for name in self.reads})


@pytest.fixture(scope="module")
def real_models(example) -> dict[str, RealModel]:
    manifest = json.loads((example.folder / "target" / "manifest.json").read_text())
    nodes = {**manifest["nodes"], **manifest["sources"]}
    with duckdb.connect(str(example.folder / "flights.duckdb"), read_only=True) as built:
        return {
            unique_id: RealModel(
                node["compiled_code"],
                {
                    name: {each[0]: each[1] for each in built.execute(f"describe {name}").fetchall()}
                    for name in (nodes[parent]["relation_name"] for parent in node["depends_on"]["nodes"])
                },
            )
            for unique_id, node in nodes.items()
            if node["resource_type"] == "model" and node.get("compiled_code")
        }


@pytest.mark.slow
def test_what_is_called_the_same_is_the_same_on_the_examples_models(real_models):
    print(f"PROOF_SEED={SEED}")  # noqa: T201
    draw, count, tried = random.Random(SEED), 0, 0
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        for name in {name for model in real_models.values() for name in model.reads}:
            catalog, schema, _ = name.split(".")
            connection.execute(f"attach if not exists ':memory:' as {catalog}")
            connection.execute(f"create schema if not exists {catalog}.{schema}")
        while count < 10 * TIMES:
            model = draw.choice([*real_models.values()])
            for name, columns in model.reads.items():
                fill(connection, name, columns, draw)
            if answers(connection, model.sql, []) is None:
                continue
            for _ in range(EDITS_OF_ONE):
                tried += 1
                edited = edit(model.sql, draw)
                count += edited is not None and check(connection, model.sql, edited, model.tables)
    print(f"{count} of {tried} edits were called the same in something, and were")  # noqa: T201


@pytest.mark.slow
def test_less_than_two_of_a_hundred_edits_of_the_example_cannot_be_told(real_models):
    assert all(form(model.sql, model.tables) is not None for model in real_models.values())
    draw = random.Random(SEED)
    edits = [(model, edit(model.sql, draw)) for _ in range(50) for model in real_models.values()]
    unread = [edited for model, edited in edits if edited is not None and form(edited, model.tables) is None]
    assert len(unread) < 0.02 * len(edits), unread[:3]


@pytest.mark.slow
def test_five_hundred_models_are_planned(real_models, tmp_path):
    """Every model is written for another environment and changed, which is the most that there is to read."""
    manifests = [base(), base()]
    for manifest, filters in zip(manifests, ("", " -- changed\nand 1 = 1"), strict=True):
        for at in range(500):
            above = f"model.shop.m{at - 1}" if at % 10 else "model.shop.staged"
            sql = MANY.format(above.rpartition(".")[2], f"price > {at}{filters}")
            manifest["nodes"][f"model.shop.m{at}"] = view(f"m{at}", sql, [above], ["price", "total"])
    started = perf_counter()
    assert verdicts(plan_of(tmp_path, *manifests)) == {}
    print(f"500 models, each of them changed, in {perf_counter() - started:.1f} s")  # noqa: T201


@pytest.mark.long
def test_what_is_called_the_same_is_the_same_on_generated_queries():
    checked(random.Random(SEED), 100)


@pytest.mark.slow
def test_what_is_called_the_same_is_the_same_on_many_generated_queries():
    print(f"PROOF_SEED={SEED}")  # noqa: T201 - pytest keeps it with the test
    tried = checked(random.Random(SEED), 10 * TIMES)
    print(f"{10 * TIMES} of {tried} edits were called the same in something, and were")  # noqa: T201
