"""Work for a process of its own, so that its memory can be told: `python -m bench.jobs TASK`, by `run_alone`."""

from __future__ import annotations

from typing import Any

import duckdb

from bench.product import Question
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


if __name__ == "__main__":
    given = given_task()
    report({"copy": copy, "extract": extract, "answer": answer}[given["job"]](given))
