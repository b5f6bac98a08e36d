"""A training set while its warehouse is open: its answers, and the numbers that its sidecar reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from feature_sync.definitions import FeatureService, FeatureView, Period
from feature_sync.errors import Location, WarehouseConflict
from feature_sync.service_schema import ServiceSchema
from feature_sync.sql.render import render
from feature_sync.sql.service_schema import service_schema
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.sql.training.time_bounds import earliest_answerable, moments_asked, rows_asked
from feature_sync.training.extract import is_within
from feature_sync.training.restriction import views_to_restrict
from feature_sync.value_types import since_epoch
from feature_sync.warehouses.base import Warehouse

if TYPE_CHECKING:
    import pyarrow

_CELLS_PER_BATCH = 1_500_000
_MOST_ROWS_PER_BATCH = 122_880


OpenWarehouse = Callable[[], Warehouse]
Describe = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """A training set while its warehouse is open: all types are known, and the spine is a table."""

    warehouse: Warehouse
    join: PointInTimeJoin
    sql: str
    asked: Period

    @property
    def schema(self) -> ServiceSchema:
        """The schema of the service, to which the answers are cast."""
        return service_schema(self.join.service, self.join.views)

    @contextmanager
    def answers(self) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream the answers; the wider the rows, the fewer in a batch.

        Raises:
            WarehouseConflict: The spine has moments outside the period for which the query was written, because it
                changed in between, where two queries cannot share a snapshot; while reading.
        """
        import pyarrow

        columns = len(self.join.spine.relation.columns) + len(self.join.service.feature_names)
        batch_size = max(1, min(_CELLS_PER_BATCH // columns, _MOST_ROWS_PER_BATCH))
        with self.warehouse.arrow(self.sql, batch_size=batch_size) as reader:
            yield pyarrow.RecordBatchReader.from_batches(reader.schema, map(self._checked, reader))

    def _checked(self, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        """Check that the query was written for the moments of these rows."""
        if not is_within(batch.column(self.join.spine.asked_at), self.asked):
            raise WarehouseConflict("the spine was changed while it was read; run this again")
        return batch

    def rows_asked(self) -> int:
        """Return the number of rows of the spine."""
        ((rows,),) = self.warehouse.fetch(render(rows_asked(self.join), dialect=self.join.dialect))
        return int(rows)

    def location_of(self, column: str | None) -> Location:
        """Return the location in the project of a column of the result; for None, that of the spine."""
        service = self.join.service
        for selection in service.selections:
            for feature in selection.features:
                if service.output_name(selection, feature) == column:
                    return selection.view.relation.location.at(f"columns.{feature}")
        location = self.join.spine.relation.location
        return location.at(f"columns.{column}") if column is not None else location

    def earliest_answerable(self) -> dict[str, int | None]:
        """Return the first moment that each view can answer, in microseconds UTC; None for a view without rows."""
        query = earliest_answerable(self.join)
        if query is None:
            return {}
        return dict(self.warehouse.fetch(render(query, dialect=self.join.dialect)))


def query_of(warehouse: Warehouse, join: PointInTimeJoin, strategy: str | None) -> tuple[str, Period]:
    """Write the query for what the spine asks, and return the period between its first and last moment.

    An end is open if it is infinite or beyond the years 1 to 9999.
    """
    ((first, last, *counts),) = warehouse.fetch(render(moments_asked(join), dialect=join.dialect))
    asked = Period(since_epoch(first), since_epoch(last))
    restricted = views_to_restrict(warehouse, join, counts)
    query = training_query(join, strategy=strategy, asked=asked, restricted=restricted)
    return render(query, dialect=join.dialect), asked


def with_indexes(warehouse: Warehouse, join: PointInTimeJoin) -> PointInTimeJoin:
    """Return the join with what the tables' indexes prove, also those of which dbt knows nothing."""
    indexes = warehouse.indexes([query.view.relation.name for query in join.views.values()])
    known = {name: query.with_indexes(indexes.get(query.view.relation.name, ())) for name, query in join.views.items()}
    if all(view == join.views[name].view for name, view in known.items()):
        return join
    service = join.service.with_views(lambda view: known[view.reference])
    return PointInTimeJoin(service, join.spine, dialect=join.dialect)


def proven(service: FeatureService, is_proven_unique: Callable[[FeatureView], bool]) -> FeatureService:
    """Mark the views that are proven unique although nothing enforces it."""
    return service.with_views(
        lambda view: replace(view, is_unique=True) if not view.is_unique and is_proven_unique(view) else view
    )


def is_unproven(view: FeatureView) -> bool:  # noqa: ARG001 - a default
    """Return False: where no test is known, no view is proven unique."""
    return False


def unknown_logic(service: FeatureService) -> str:  # noqa: ARG001 - a default
    """Return no logic id, where no manifest is known."""
    return ""


@contextmanager
def unobserved(training_set: object, path: str) -> Iterator[Callable[[object], None]]:  # noqa: ARG001 - a default
    """Tell nobody that a file is written."""
    yield lambda extract: None
