"""Plans of training sets on Sail and Spark: no step pairs all rows of a key, or puts all rows into one task."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pyarrow
import pyarrow.parquet
import pytest

from tests.support.spark import SparkProject

SERVERS = ["sail", pytest.param("spark", marks=pytest.mark.slow)]
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
ROWS = 2_000
MOMENT = pyarrow.timestamp("us", tz="UTC")


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def project(server, tmp_path):
    """A view and a spine in which one key has half of all rows."""
    made = SparkProject(tmp_path, server.url)
    keys = [0 if number % 2 else number for number in range(ROWS)]
    moments = pyarrow.array([NOON + timedelta(seconds=number) for number in range(ROWS)], MOMENT)
    view = pyarrow.table({"id": keys, "at": moments, "amount": range(ROWS)})
    block = {"entities": {"customer": "id"}, "features": ["amount"]}
    made.model("spend", view, event_time="at", meta={"feature_view": block})
    made.service("churn", {"spend": ["amount"]}, ["spend"])
    made.spine = pyarrow.table({"id": keys, "event_timestamp": moments})
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
def test_a_key_with_half_of_all_rows_is_sorted_and_found_by_rank_but_never_paired_with_itself(project, kind):
    asked = spine_of(kind, project)
    training_set = project.open().get_training_set("churn", ordered=False, **asked)
    with training_set._answering() as answering:  # noqa: SLF001 - the plan is that of the session which has the spine
        ((plan,),) = answering.warehouse.fetch(f"explain formatted {answering.sql}")
    joins, windows = joined(plan), re.findall(r"PARTITION BY \[|^\(\d+\) Window", plan, re.MULTILINE)
    assert windows
    assert len(joins) == 2, plan
    assert all(columns >= 2 for columns in joins), f"a join by the key alone would pair all its rows:\n{plan}"
    for step in ("CrossJoin", "NestedLoopJoin", "CartesianProduct", "SinglePartition", "preserve_partitioning=[false]"):
        assert step not in plan, plan
    assert re.search(r"hashpartitioning\(id|partitioning=Hash\(\[#\d+@0\]", plan), "windows are spread by key"


def joined(plan: str) -> list[int]:
    """By how many columns each join compares: of Sail's plan and of Spark's."""
    of_sail = [found.count(", (") + 1 for found in re.findall(r"HashJoinExec: .*?on=\[(\(.*?\))\], ", plan)]
    return of_sail or [int(found) for found in re.findall(r"^Left keys \[(\d+)\]", plan, re.MULTILINE)]


def test_a_skewed_key_is_answered_right(project):
    table = project.open().get_training_set("churn", "asked").collect().table
    assert table.num_rows == ROWS
    assert table.column("amount").to_pylist() == [*range(ROWS)]
