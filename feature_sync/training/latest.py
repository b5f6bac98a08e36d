"""The spine of `get_latest`: entities, all at one moment, which is the present one unless another is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feature_sync.dbt.manifest import Manifest
from feature_sync.definitions import FeatureService, FeatureView, History, Spine
from feature_sync.errors import RequestError
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.training.latest import entities_query, entities_with
from feature_sync.training.rows import Rows
from feature_sync.training.spines import SpineOptions, SpineSource, read_spine
from feature_sync.value_types import ValueType, to_microseconds

if TYPE_CHECKING:
    import pyarrow

_MOMENT = "event_timestamp"


def latest_spine(
    service: FeatureService,
    entities: SpineSource | None,
    *,
    of: str | None,
    moment: datetime,
    manifest: Manifest,
    dialect: Dialect,
) -> tuple[Spine, Rows | None]:
    """Return the spine of entities at one moment and, if it is not a table of the warehouse, its rows.

    Args:
        service: The service that will answer.
        entities: The entities: anything that can be a spine, without a moment; None for all that views have.
        of: The view whose entities are asked; None for all views that have every key of the service.
        moment: The moment.
        manifest: The manifest of the dbt project.
        dialect: The dialect of the warehouse.

    Raises:
        RequestError: Both entities and a view are given, or no view has every key.
        UnknownName: The service has no such view, or the project no such model.
    """
    options = SpineOptions(event_timestamp=_MOMENT)
    if entities is None:
        query = entities_query(service, of, moment, moment_name=_MOMENT, dialect=dialect)
        return read_spine(None, query, options, manifest=manifest)
    if of is not None:
        raise RequestError("name entities, or the view that has them, and not both")
    spine, rows = read_spine(entities, None, options, manifest=manifest)
    if rows is not None:
        return spine, replace(rows, read=_Asking(rows, moment))
    query = entities_with(spine.relation, moment, moment_name=_MOMENT, dialect=dialect)
    return read_spine(None, query, options, manifest=manifest)


def at_present(view: FeatureView) -> FeatureView:
    """Return a view as it answers at the present moment: the rows of one that keeps no history are those of now."""
    return replace(view, history=History.TIMELESS) if view.history is History.LATEST_ONLY else view


class _Asking:
    """Reads rows of entities, and adds the moment."""

    def __init__(self, rows: Rows, moment: datetime) -> None:
        self._rows = rows
        self._moment = to_microseconds(moment.astimezone(UTC))

    def __call__(self, types: Mapping[str, ValueType]) -> pyarrow.RecordBatchReader:
        import pyarrow

        reader = self._rows.read(types)
        if _MOMENT in reader.schema.names:
            raise RequestError(
                f"the entities have a column {_MOMENT!r}; leave it out, or ask get_training_set() as of those moments"
            )
        schema = reader.schema.append(pyarrow.field(_MOMENT, pyarrow.timestamp("us", tz="UTC")))

        def batches() -> Iterator[pyarrow.RecordBatch]:
            for batch in reader:
                moments = pyarrow.array([self._moment] * batch.num_rows, pyarrow.int64()).cast(schema[-1].type)
                yield pyarrow.RecordBatch.from_arrays([*batch.columns, moments], schema=schema)

        return pyarrow.RecordBatchReader.from_batches(schema, batches())
