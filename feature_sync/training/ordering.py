"""The order of a training set: a file's or frame's own, else by the moment, the keys, and the spine's other columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from feature_sync.definitions import Ordering
from feature_sync.sql.training.join import PointInTimeJoin

if TYPE_CHECKING:
    import pyarrow

PLACE = "feature_sync_place"
"""The column with the place of each row in the file or frame; a result of ours never shows it."""


def numbered(rows: pyarrow.RecordBatchReader) -> pyarrow.RecordBatchReader:
    """Add the place of each row, from 0, as the last column."""
    import pyarrow

    schema = rows.schema.append(pyarrow.field(PLACE, pyarrow.int64()))

    def batches() -> Iterator[pyarrow.RecordBatch]:
        first = 0
        for batch in rows:
            places = pyarrow.array(range(first, first + batch.num_rows), pyarrow.int64())
            yield pyarrow.RecordBatch.from_arrays([*batch.columns, places], schema=schema)
            first += batch.num_rows

    return pyarrow.RecordBatchReader.from_batches(schema, batches())


def ordered(join: PointInTimeJoin) -> PointInTimeJoin:
    """Return the join with an order in which only equal rows of the spine tie, after the order that was asked for."""
    spine = join.spine
    if PLACE in spine.relation.columns:
        rest: Iterable[str] = (PLACE,)
    else:
        others = (name for name in spine.relation.columns if join.spine_query.is_sortable(name))
        rest = dict.fromkeys((spine.asked_at, *join.service.join_keys, *others))
    taken = {each.column for each in spine.order_by}
    order = (*spine.order_by, *(Ordering(name) for name in rest if name not in taken))
    return join.over(replace(spine, order_by=order))


def without_place(reader: pyarrow.RecordBatchReader) -> pyarrow.RecordBatchReader:
    """Stream a result without the places of its rows."""
    import pyarrow

    place = reader.schema.get_field_index(PLACE)
    if place < 0:
        return reader
    batches = (batch.drop_columns(PLACE) for batch in reader)
    return pyarrow.RecordBatchReader.from_batches(reader.schema.remove(place), batches)
