"""Work for a process of its own, so that its memory can be told: `python -m bench.jobs TASK`, by `run_alone`."""

from __future__ import annotations

from typing import Any

import duckdb

from bench.product import OnlineView, Question
from bench.timing import Run, given_task, measured, report


def copy(task: dict[str, Any]) -> Run:
    """Let DuckDB alone answer a query and write Parquet."""
    connection = duckdb.connect(task["where"], read_only=True)
    connection.execute("use bench")
    statement = f"copy ({task['query']}) to '{task['output']}' (format parquet, compression zstd)"
    return measured(lambda: connection.execute(statement))[1]


def extract(task: dict[str, Any]) -> Run:
    """Let feature-sync answer its spine and write Parquet."""
    training_set = Question(**task["question"]).training_set(task["where"])
    return measured(lambda: training_set.write(task["output"]))[1]


def answer(task: dict[str, Any]) -> Run:
    """Let feature-sync answer a spine in memory with a table in memory, as Feast does."""
    import pandas
    import pyarrow.parquet

    frame = pandas.read_parquet(task["spine"])
    training_set = Question(**task["question"]).training_set(task["where"], frame)
    table, run = measured(training_set.to_arrow)
    pyarrow.parquet.write_table(table, task["output"])
    return run


def push(task: dict[str, Any]) -> Run:
    """Let feature-sync push all entities."""
    view = OnlineView(**task["view"])
    pushed, run = measured(view.push)
    if pushed.written != task["rows"]:
        raise RuntimeError(f"{pushed} instead of {task['rows']:,} rows")
    return run


def read(task: dict[str, Any]) -> Run:
    """Let DuckDB alone write down the newest row of each entity, and read all of them in batches."""
    connection = duckdb.connect(task["where"], config={"memory_limit": task["memory_limit"]})

    def stage() -> int:
        connection.execute(f"create or replace table bench.newest as {task['query']}")
        return sum(batch.num_rows for batch in connection.sql("from bench.newest").to_arrow_reader(task["batch_size"]))

    rows, run = measured(stage)
    if rows != task["rows"]:
        raise RuntimeError(f"{rows:,} instead of {task['rows']:,} rows")
    connection.execute("drop table bench.newest")
    return run


if __name__ == "__main__":
    given = given_task()
    jobs = {"copy": copy, "extract": extract, "answer": answer, "push": push, "read": read}
    report(jobs[given["job"]](given))
