"""A training set: its query, its rows, and the file that holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from feature_sync.definitions import FeatureService, FeatureView, Relation, Spine
from feature_sync.errors import RequestError, UnfitValue
from feature_sync.files import writing
from feature_sync.outputs import Output, read_output
from feature_sync.query_runner import check_collations, check_view_collations
from feature_sync.reports import html_table
from feature_sync.service_schema import Pin
from feature_sync.service_schema.pin import pin_of
from feature_sync.sql.columns import every_column
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.sql.training.spine import every_row, spine_collations, spine_keys
from feature_sync.training.answering import (
    Answering,
    Describe,
    OpenWarehouse,
    is_unproven,
    proven,
    query_of,
    unknown_logic,
    unobserved,
    with_indexes,
)
from feature_sync.training.answers import Answers
from feature_sync.training.extract import Extract, Tally
from feature_sync.training.forms import Forms
from feature_sync.training.ordering import PLACE, numbered, ordered, without_place
from feature_sync.training.rows import Rows
from feature_sync.training.training_table import TrainingTable
from feature_sync.warehouses.base import Warehouse

if TYPE_CHECKING:
    import pyarrow

_SPINE_TABLE = "feature_sync_spine"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet(Forms):
    """One row for each spine row: the spine's columns, then the service's features, as known at each moment asked.

    The warehouse is not queried before one of the methods below is called. `rows` holds the rows of a spine that is a
    file or a frame. `is_ordered`: in the order of the rows, only equal ones tie. `is_proven_unique` is true if the
    project's tests found a view's join keys and event timestamp unique: queries that run now rely on it, queries that
    are written for later do not, as the data may change. `logic_of` returns the logic id of the service, `reference_to`
    the Jinja by which a dbt model refers to a relation. `observed` is entered while a file is
    written.

    Raises:
        DefinitionError: From every method: a view does not fit its table.
        RequestError: From every method: the spine lacks a key or its time, types do not fit, or names clash.
        WarehouseError: From every method: the warehouse failed.
    """

    service: FeatureService
    spine: Spine
    rows: Rows | None = None
    strategy: str | None = None
    is_ordered: bool = True
    dialect: Dialect
    open_warehouse: OpenWarehouse
    is_proven_unique: Callable[[FeatureView], bool] = is_unproven
    reference_to: Callable[[Relation], str]
    invocation_id: str | None = None
    logic_of: Callable[[FeatureService], str] = unknown_logic
    observed: Callable[[TrainingSet, str], AbstractContextManager[Callable[[Extract], None]]] = unobserved

    def __repr__(self) -> str:
        return f"TrainingSet({self.service.name!r}, {self.spine.relation.name!r})"

    def _repr_html_(self) -> str:
        spine = self.spine
        rows = {
            "feature service": self.service.name,
            "spine": spine.relation.name or str(spine.relation.location),
            "moment": spine.relation.event_time,
            "keys": self.service.join_keys,
            "labels": spine.label_names,
            "features": self.feature_names,
        }
        return html_table(("training set", "not run yet"), rows.items())

    @property
    def sql(self) -> str:
        """The query, in the warehouse's own dialect."""
        return self.to_sql()

    def to_sql(self, dialect: str | None = None) -> str:
        """Write the query as one self-contained SELECT.

        `dialect` names another warehouse than the target's.

        Raises:
            RequestError: The spine is a file or a frame, which a query cannot read, or the dialect does not exist.
        """
        return self._written(dialect_named(dialect) if dialect else self.dialect, lambda relation: relation)

    def to_model(self) -> str:
        """Write the query as a dbt model that refers to other models by `ref()`, so that dbt has the lineage.

        Raises:
            RequestError: The spine is not a model.
        """
        if self.spine.query is not None:
            raise RequestError("a dbt model refers to its spine; make the query a model and name that with --spine")
        text = self._written(self.dialect, self._referred_to, template=True)
        spine = self.spine.relation.unique_id.split(".", 2)[-1]
        return (
            f"-- The training set of {self.service.name}, asked by {spine}; written by feature-sync sql --refs.\n"
            f"-- Do not edit it: change the definitions, and write it again.\n{text}"
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in the order of the service."""
        return self.service.feature_names

    def collect(self) -> TrainingTable:
        """Run the query and keep the rows in memory, in their order: a frame comes back in its own."""
        with self._answering() as answering:
            with self._placed(answering) as reader:
                table = reader.read_all()
            spine, index = answering.join.spine, None if self.rows is None else self.rows.index
            if PLACE in table.column_names:
                index = None if index is None else index.take(table.column(PLACE).to_numpy())
                table = table.drop_columns(PLACE)
            return TrainingTable(
                table=table,
                schema=answering.schema,
                moment_name=spine.asked_at,
                key_names=answering.join.service.join_keys,
                label_names=spine.label_names,
                pin=self._pin(answering),
                index=index,
                sql=answering.sql,
            )

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """Run the query and iterate over the record batches of the result; memory is bounded by the batch."""
        with self._answering() as answering, self._checked(answering) as reader:
            yield from reader

    def write(
        self,
        path: str | Path,
        progress: Callable[[int], None] = lambda rows: None,
        *,
        rows_per_file: int | None = None,
    ) -> Extract:
        """Run the query and stream the result to a Parquet or CSV file; the sidecar `<path>.json` describes it.

        Either appears complete or not at all.

        Args:
            path: The file; or the URI of an object, such as `s3://bucket/training_set.parquet` or `gs://...`.
            progress: Called after each batch with the number of rows so far.
            rows_per_file: Write Parquet files of at most so many rows into a folder, which `path` then names.

        Raises:
            OutputError: A file cannot be written, or its format cannot hold one of the types.
        """
        output = read_output(path, rows_per_file)
        with self.observed(self, str(output.path)) as ended:
            extract = self._write(output, progress)
            ended(extract)
        return extract

    def _write(self, output: Output, progress: Callable[[int], None]) -> Extract:
        with output.staged() as staged, self._answering() as answering:
            service, asked_at = answering.join.service, answering.join.spine.asked_at
            tally = Tally(service, asked_at, answering.earliest_answerable())
            with self._checked(answering) as reader, output.writer(staged, reader.schema) as (write, names):
                for batch in reader:
                    write(batch)
                    tally.count(batch)
                    progress(tally.rows)
            extract = Extract(
                path=output.path,
                sidecar=output.sidecar,
                file_names=tuple(names),
                service=service,
                spine=self.spine,
                origin=self.rows.origin if self.rows is not None else self._origin(),
                rows=tally.rows,
                views=tally.views(),
                columns={field.name: str(field.type) for field in reader.schema},
                sql=answering.sql,
                dialect=self.dialect,
                invocation_id=self.invocation_id,
                pin=self._pin(answering),
                content_hash=tally.content_hash,
                labels=answering.join.spine.label_names,
            )
            with writing(staged.sidecar):
                staged.sidecar.write_text(extract.to_json(), encoding="utf-8")
        return extract

    @contextmanager
    def _checked(self, answering: Answering) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream the checked answers."""
        with self._placed(answering) as reader:
            yield without_place(reader)

    @contextmanager
    def _placed(self, answering: Answering) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream the checked answers, with places if the spine has them; an error about a value names its column."""
        try:
            checks = Answers(answering.schema, expected=answering.rows_asked())
            with answering.answers() as reader:
                yield checks.checked(reader)
        except UnfitValue as unfit:
            raise unfit.at(answering.location_of(unfit.column)) from unfit

    def _pin(self, answering: Answering) -> Pin:
        return pin_of(self.service.name, answering.schema, self.logic_of(self.service))

    def _origin(self) -> dict[str, str]:
        relation, query = self.spine.relation, self.spine.query
        return {"node": relation.unique_id} if query is None else {"sql": query}

    def _written(self, dialect: Dialect, renamed: Callable[[Relation], Relation], *, template: bool = False) -> str:
        if self.rows is not None:
            raise RequestError(
                f"no query can read {self.spine.relation.location}: extract it, or load it into the warehouse "
                "(as a dbt seed, say) and name the table"
            )
        with ExitStack() as opened:
            warehouse = cache(lambda: opened.enter_context(self.open_warehouse()))
            service = self._typed_service(lambda query: warehouse().describe(query))
            spine = self._typed_spine(lambda query: warehouse().describe(query))
        service = service.with_views(lambda view: replace(view, relation=renamed(view.relation)))
        spine = spine.with_relation(renamed(spine.relation))
        join = PointInTimeJoin(service, spine, dialect=dialect, native=self.dialect)
        return render(training_query(join, strategy=self.strategy), dialect=dialect, is_template=template)

    def _referred_to(self, relation: Relation) -> Relation:
        return replace(relation, name=self.reference_to(relation))

    @contextmanager
    def _answering(self) -> Iterator[Answering]:
        """Load the spine into the warehouse if needed, read the period it asks for, and write the query for that."""
        relations = [*(each.view.relation for each in self.service.selections), self.spine.relation]
        with self.open_warehouse() as warehouse:
            warehouse.check_rights([each.name for each in relations if each.name])
            service = proven(self._typed_service(warehouse.describe), self.is_proven_unique)
            join = self._join(warehouse, service)
            for query in join.views.values():
                check_view_collations(warehouse, query)
            collations = spine_collations(join.spine, join.key_types, join.dialect)
            check_collations(warehouse, collations, join.dialect, join.spine.relation.location)
            names = [*(each.view.relation.name for each in service.selections), join.spine.relation.name]
            with warehouse.snapshot(names):
                join = with_indexes(warehouse, ordered(join) if self.is_ordered else join)
                sql, asked = query_of(warehouse, join, self.strategy)
                yield Answering(warehouse=warehouse, join=join, sql=sql, asked=asked)

    def _join(self, warehouse: Warehouse, service: FeatureService) -> PointInTimeJoin:
        """Join the spine, stored in a temporary table unless it is a table; a query is checked first and runs once."""
        join: PointInTimeJoin | None = None
        if self.rows is not None:
            keys = spine_keys(service, dialect=self.dialect)
            uuids = {name: data_type for name, (kind, data_type) in keys.items() if kind.kind == "uuid"}
            name = warehouse.load(
                _SPINE_TABLE, numbered(self.rows.read({name: kind for name, (kind, _) in keys.items()})), uuids
            )
        elif self.spine.query is not None:
            join = PointInTimeJoin(service, self._typed_spine(warehouse.describe), dialect=self.dialect)
            name = warehouse.keep(_SPINE_TABLE, self._rows_of(join.spine))
        else:
            return PointInTimeJoin(service, self._typed_spine(warehouse.describe), dialect=self.dialect)
        table = replace(self.spine.relation, name=name, columns={}, columns_are_complete=False)
        spine = self._typed_spine(warehouse.describe, replace(self.spine, relation=table, query=None))
        return PointInTimeJoin(service, spine, dialect=self.dialect) if join is None else join.over(spine)

    def _typed_service(self, describe: Describe) -> FeatureService:
        """Return the service with the types that the project does not declare, read once for each view."""
        return self.service.with_views(
            lambda view: (
                view
                if view.relation.columns_are_complete
                else view.with_types(
                    describe(render(every_column(view.relation, dialect=self.dialect), dialect=self.dialect))
                )
            )
        )

    def _typed_spine(self, describe: Describe, spine: Spine | None = None) -> Spine:
        spine = spine or self.spine
        if spine.relation.columns_are_complete:
            return spine
        needed = spine.relation.declaring(filter(None, (spine.relation.event_time, *self.service.join_keys)))
        return spine.with_relation(needed.with_types(describe(self._rows_of(spine))))

    def _rows_of(self, spine: Spine) -> str:
        return render(every_row(spine, dialect=self.dialect), dialect=self.dialect)
