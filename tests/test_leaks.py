"""The example sees no future: built from what was known at a moment, its views are what the whole build shows for it.

`PROOF_TIMES=1000` looks at that many moments, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta

import duckdb
import pytest

from tests.support.moments import Example

TIMES = int(os.environ.get("PROOF_TIMES", "40"))
SEED = int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(1_000_000))
AT_NIGHT = datetime(2013, 1, 13, 9)
"""Nothing departs from 05:31 to 10:22 UTC, so that three hours are over and no departure says so."""
ODD_MOMENTS = (
    AT_NIGHT,
    AT_NIGHT - timedelta(microseconds=1),
    datetime(2013, 1, 1, 10, 20),
    datetime(2013, 1, 28, 6, 0, 30),
    datetime(2013, 1, 31, 16, 50),
    datetime(2013, 1, 31, 23, 59, 59),
)


@pytest.fixture
def built(example):
    return Example(example.folder)


@pytest.mark.parametrize("moment", ODD_MOMENTS, ids=str)
def test_every_row_available_by_a_moment_existed_at_that_moment_with_the_same_values(built, moment):
    assert not any(built.differences(moment).values())


@pytest.mark.slow
def test_every_row_available_when_the_spine_asks_existed_at_that_moment(built):
    with duckdb.connect(str(built.folder / "flights.duckdb"), read_only=True) as connection:
        asked = [
            each for (each,) in connection.execute("select distinct asked_at from departures order by 1").fetchall()
        ]
    chance = random.Random(SEED)
    for moment in chance.sample(asked, min(TIMES, len(asked))):
        odd = moment + chance.choice((timedelta(0), timedelta(microseconds=chance.randrange(3_600_000_000))))
        assert not any(built.differences(odd).values()), f"at {odd}, PROOF_SEED={SEED}"


@pytest.mark.parametrize(
    ("view", "honest", "leaking"),
    [
        pytest.param(
            "carrier_delays_v2",
            "greatest(cast('2013-01-31 16:50:00.000000+00:00' as timestamp with time zone) at time zone 'UTC', ",
            "greatest(",
            id="an hour that the next departure closes",
        ),
        pytest.param(
            "aircraft_history",
            "landings.landed_at >= recent.landed_at",
            "landings.landed_at + interval '1 hour' >= recent.landed_at",
            id="a window that reaches forward",
        ),
    ],
)
def test_a_leak_would_be_found(built, view, honest, leaking):
    def change(sql):
        changed.append(honest in sql)
        return sql.replace(honest, leaking)

    changed: list[bool] = []
    assert built.differences(AT_NIGHT, change)[view]
    assert changed.count(True) == 1
