"""Training sets: a spine answered with a feature service, as one query that the warehouse runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from feature_sync.definitions import FeatureService, Relation, Spine
from feature_sync.errors import OutputError, RequestError
from feature_sync.sql.columns import every_column
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.point_in_time import training_query
from feature_sync.sql.render import render
from feature_sync.warehouses.base import Warehouse

if TYPE_CHECKING:
    import pandas
    import pyarrow

_ROWS_PER_BATCH = 50_000

OpenWarehouse = Callable[[], Warehouse]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """One row for each spine row: the spine's columns, then the service's features, as known at each moment asked."""

    service: FeatureService
    spine: Spine
    sql: str
    _open_warehouse: OpenWarehouse

    def to_arrow(self) -> pyarrow.Table:
        """Run the query and hold the result as an Arrow table.

        Raises:
            WarehouseError: The warehouse failed.
        """
        with self._batches() as reader:
            return reader.read_all()

    def to_pandas(self) -> pandas.DataFrame:
        """Run the query and hold the result as a pandas frame.

        Raises:
            WarehouseError: The warehouse failed.
        """
        frame: pandas.DataFrame = self.to_arrow().to_pandas()
        return frame

    def write_parquet(self, path: str | Path, progress: Callable[[int], None] = lambda rows: None) -> int:
        """Run the query and stream the result to a file, which appears whole or not at all; returns the row count.

        Raises:
            OutputError: The file cannot be written.
            WarehouseError: The warehouse failed.
        """
        import pyarrow
        import pyarrow.parquet

        written = 0
        with _whole_file(Path(path)) as partial, self._batches() as reader:
            try:
                with pyarrow.parquet.ParquetWriter(partial, reader.schema, compression="zstd") as writer:
                    for batch in reader:
                        writer.write_batch(batch)
                        written += batch.num_rows
                        progress(written)
            except pyarrow.ArrowNotImplementedError as unfit:
                raise OutputError(f"{path}: {unfit}; cast the column in its model") from unfit
        return written

    @contextmanager
    def _batches(self) -> Iterator[pyarrow.RecordBatchReader]:
        with (
            self._open_warehouse() as warehouse,
            warehouse.arrow(self.sql, batch_size=_ROWS_PER_BATCH) as reader,
        ):
            yield reader


def training_set(
    service: FeatureService,
    spine: Spine,
    *,
    open_warehouse: OpenWarehouse,
    adapter: str,
    dialect: str | None = None,
    strategy: str | None = None,
) -> TrainingSet:
    """Make the query of a training set; the warehouse is only asked for types that the project does not declare.

    Raises:
        DefinitionError: A view does not fit its table.
        RequestError: The spine lacks a key or its time, types do not fit, names clash, or the dialect is unknown.
        WarehouseError: The warehouse failed.
    """

    def types(relation: Relation) -> dict[str, str]:
        with open_warehouse() as warehouse:
            return dict(warehouse.describe(render(every_column(relation, dialect=adapter), dialect=adapter)))

    if not spine.relation.columns_are_complete:
        spine = spine.with_relation(spine.relation.with_types(types(spine.relation)))
    typed = {
        each.view.reference: each.view
        if each.view.relation.columns_are_complete
        else each.view.with_types(types(each.view.relation))
        for each in service.selections
    }
    selections = tuple(replace(each, view=typed[each.view.reference]) for each in service.selections)
    chosen = dialect_named(dialect or adapter).name
    query = training_query(
        replace(service, selections=selections), spine, adapter=adapter, dialect=chosen, strategy=strategy
    )
    return TrainingSet(
        service=service,
        spine=spine,
        sql=render(query, dialect=chosen),
        _open_warehouse=_same(open_warehouse, adapter, chosen),
    )


def _same(open_warehouse: OpenWarehouse, adapter: str, dialect: str) -> OpenWarehouse:
    """Run a query only in the warehouse for which it was written."""
    if adapter == dialect:
        return open_warehouse

    def refuse() -> Warehouse:
        raise RequestError(
            f"this query is written for {dialect}, and the target is {adapter}; leave out --dialect to run it"
        )

    return refuse


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside a file, and put it in the file's place at the end; a failure leaves nothing."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as refused:
        raise OutputError(f"{path} cannot be written: {refused.strerror or refused}") from refused


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    with _whole_file(Path(path)) as partial:
        partial.write_text(text, encoding="utf-8")
