"""Splits rows by the moment asked, so that a model is tested on what came after all that it has learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from feature_sync.clock import read_moment
from feature_sync.definitions import parse_duration
from feature_sync.errors import RequestError
from feature_sync.training.extract import microseconds
from feature_sync.value_types import since_epoch, to_microseconds

if TYPE_CHECKING:
    import pyarrow


def parts_by_time(
    moments: pyarrow.ChunkedArray, cuts: Sequence[str | date], gap: timedelta | str | None
) -> Iterator[pyarrow.Array]:
    """Yield the places of the rows of each part, in their order; see `TrainingTable.split_by_time`.

    Args:
        moments: The moment of each row.
        cuts: The first moment of each part but the first.
        gap: The time to leave out before each cut.

    Raises:
        RequestError: The cuts do not ascend, a part has no row, or a row has no moment.
    """
    import pyarrow.compute

    ends = [to_microseconds(read_moment(each, "the cut")) for each in cuts]
    if not ends or any(later <= earlier for earlier, later in pairwise(ends)):
        raise RequestError("split_by_time() takes one or more moments, each later than the one before")
    if moments.null_count:
        count = moments.null_count
        lacks = "1 row has no moment, so it is" if count == 1 else f"{count} rows have no moment, so they are"
        raise RequestError(f"{lacks} in no part; ask without such rows")
    left_out = _read_gap(gap) // timedelta(microseconds=1)
    asked = microseconds(moments.combine_chunks())
    for first, end in pairwise((None, *ends, None)):
        within = asked.is_valid()
        if first is not None:
            within = pyarrow.compute.and_(within, pyarrow.compute.greater_equal(asked, first))
        if end is not None:
            within = pyarrow.compute.and_(within, pyarrow.compute.less(asked, end - left_out))
        rows = pyarrow.compute.indices_nonzero(within)
        if not len(rows):
            raise RequestError(f"no row is {_between(first, end, left_out)}; {_span(asked)}")
        yield rows


def _read_gap(gap: timedelta | str | None) -> timedelta:
    try:
        length = parse_duration(gap) if isinstance(gap, str) else gap or timedelta()
    except ValueError as wrong:
        raise RequestError(f"the gap: {wrong}") from wrong
    if length < timedelta():
        raise RequestError(f"a gap of {length} is negative")
    return length


def _between(first: int | None, end: int | None, left_out: int) -> str:
    ends = [] if first is None else [f"at or after {_shown(first)}"]
    if end is not None:
        ends.append(f"before {_shown(end - left_out)}")
    return " and ".join(ends)


def _span(asked: pyarrow.Array) -> str:
    import pyarrow.compute

    if not len(asked):
        return "the training set is empty"
    ends = pyarrow.compute.min_max(asked).as_py()
    return f"the rows are from {_shown(ends['min'])} to {_shown(ends['max'])}"


def _shown(moment: int) -> str:
    found = since_epoch(moment)
    return "the end of time" if found is None else found.astimezone(UTC).isoformat()
