"""Random edits of queries: whatever a plan calls the same, has the same rows and values on random tables.

`PROOF_TIMES=1000` checks twenty times as many, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import json
import os
import random

import duckdb
import pytest

from feature_sync.sql.plan import QueryForm, Tables, UnreadableQuery, compare, form_of
from tests.support.edits import T, U, answers, edit, fill, random_query

TIMES = int(os.environ.get("PROOF_TIMES", "50"))
SEED = int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(1_000_000))
TABLES = Tables("duckdb", {"t": ("t", None), "u": ("u", tuple(U))})
EDITS_OF_ONE = 40


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


@pytest.mark.long
def test_what_is_called_the_same_is_the_same_on_generated_queries():
    checked(random.Random(SEED), 100)


@pytest.mark.slow
def test_what_is_called_the_same_is_the_same_on_many_generated_queries():
    print(f"PROOF_SEED={SEED}")  # noqa: T201 - pytest keeps it with the test
    tried = checked(random.Random(SEED), 10 * TIMES)
    print(f"{10 * TIMES} of {tried} edits were called the same in something, and were")  # noqa: T201
