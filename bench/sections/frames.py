"""DuckDB: a training set as the frames of model libraries, beside the engine's own frames of the same SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow

from bench.arrow import check_same
from bench.data import Sizes
from bench.engines import DuckDBEngine, duckdb_file
from bench.product import Question, answered_sql, number_batches, without_order
from bench.report import Table, Target, number, seconds
from bench.timing import Run, clock, race

_SPINE, _ROWS, _DEPTH = 1_000_000, 4_000_000, 100
_HIGHEST, _HIGHEST_IN_ORDER = 1.2, 1.3
_FORMS = ("Arrow", "pandas", "polars")


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Ask with a table for each form, and with a frame in no order."""
    sizes = Sizes.scaled(scale, spine=_SPINE, rows=_ROWS, depth=_DEPTH)
    with duckdb_file(folder) as path:
        with closing(DuckDBEngine(path)) as engine:
            engine.make(sizes, 1)
        question = Question(adapter="duckdb", views=1, is_unique=True)
        yield _forms(str(path), question, sizes)
        yield _order(str(path), question, sizes)


def _forms(path: str, question: Question, sizes: Sizes) -> Table:
    table = Table(
        f"DuckDB, training sets in memory: {sizes}", ("form", "the engine's own", "feature-sync", "times as long")
    )
    training_set = question.training_set(path)
    sql = answered_sql(training_set)
    ours = {"Arrow": training_set.to_arrow, "pandas": training_set.to_pandas, "polars": training_set.to_polars}
    for form in _FORMS:
        _add(table, form, {"engine": partial(_engine, path, sql, form), "ours": ours[form]}, form)
    arrays = {"engine": partial(_engine, path, sql, "Arrow"), "ours": partial(number_batches, training_set)}
    _add(table, "batches of NumPy, as PyTorch gets them", arrays, None)
    table.notes.append(
        "All open the file anew and run the same SQL, ordered. pandas frames of feature-sync have float64 for numbers. "
        "The engine's own beside the batches of NumPy is its Arrow table."
    )
    return table


def _order(path: str, question: Question, sizes: Sizes) -> Table:
    table = Table(f"DuckDB, a frame in no order: {sizes}", ("form", "unordered", "in its order", "times as long"))
    with duckdb.connect(path, read_only=True) as connection:
        frame = connection.sql("from bench.spine order by hash(row_id)").to_arrow_table()
    training_set = question.training_set(path, frame)
    sql = without_order(answered_sql(training_set))
    contenders = {"engine": partial(_unordered, path, sql, frame), "ours": training_set.to_arrow}
    ratio = _add(table, "Arrow", contenders, "Arrow", limit=None)
    table.targets.append(Target("in its order, times unordered", ratio, _HIGHEST_IN_ORDER))
    table.notes.append("Unordered, the engine alone loads the frame and runs the same SQL without its order.")
    return table


def _add(
    table: Table, name: str, contenders: dict[str, Callable[[], Any]], form: str | None, limit: float | None = _HIGHEST
) -> float:
    answers: dict[str, Any] = {}

    def run(key: str) -> Run:
        answers.pop(key, None)
        return clock(lambda: answers.__setitem__(key, contenders[key]()))

    def check(ended: list[str]) -> None:
        if form is not None:
            check_same([_plain(answers[key]) for key in ended])

    took = race({key: partial(run, key) for key in contenders}, check=check)
    ratio = took["ours"].seconds / took["engine"].seconds
    table.add(name, seconds(took["engine"]), seconds(took["ours"]), f"{number(ratio)} ×")
    if limit is not None:
        table.targets.append(Target(f"{name}, times the engine's own", ratio, limit))
    return ratio


def _engine(path: str, sql: str, form: str) -> Any:
    with duckdb.connect(path, read_only=True) as connection:
        answer = connection.sql(sql)
        return {"Arrow": answer.to_arrow_table, "pandas": answer.df, "polars": answer.pl}[form]()


def _unordered(path: str, sql: str, frame: pyarrow.Table) -> pyarrow.Table:
    places = pyarrow.array(range(frame.num_rows), pyarrow.int64())
    placed = frame.append_column("feature_sync_place", places)
    with duckdb.connect(path, read_only=True) as connection:
        connection.register("placed", placed)
        connection.execute("create temp table feature_sync_spine as from placed")
        return connection.sql(sql).to_arrow_table().drop_columns("feature_sync_place")


def _plain(answer: Any) -> pyarrow.Table:
    """Return an answer as Arrow, whole numbers as floats, as pandas has them beside nulls."""
    table = pyarrow.table(answer)
    is_number = pyarrow.types.is_integer
    types = [each.with_type(pyarrow.float64()) if is_number(each.type) else each for each in table.schema]
    return table.cast(pyarrow.schema(types)).replace_schema_metadata()
