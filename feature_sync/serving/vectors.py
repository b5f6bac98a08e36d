"""Feature vectors: the values of one service for one entity, or for many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from feature_sync.extras import needed_by
from feature_sync.serving.layouts import GONE, Row
from feature_sync.serving.status import Status
from feature_sync.value_types import from_microseconds

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow

    from feature_sync.serving.card import Card
    from feature_sync.serving.entities import Entities
    from feature_sync.serving.service_rows import ServiceRows

_SHOWN = 6


class FeatureVector(Mapping[str, Any]):
    """The values of one service for one entity: a mapping from feature to value, in the order of the service.

    NumPy makes an array of shape (1, number of features) of it, as `FeatureVectors.to_numpy` does.

    Args:
        entity: The keys, as given.
    """

    __slots__ = ("_rows", "_service", "entity")

    def __init__(self, service: ServiceRows, entity: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self._service = service
        self.entity = entity
        self._rows = rows

    @property
    def card(self) -> Card:
        """The card by which it was read."""
        return self._service.card

    def __reduce__(self) -> tuple[Any, ...]:
        return _vector_of, (self._service.arguments, self.entity, self._rows)

    def __getitem__(self, name: str) -> Any:
        at = self._service.positions[name]
        return _value(self._cell(at), self._service.converts[at])

    def __iter__(self) -> Iterator[str]:
        return iter(self._service.positions)

    def __len__(self) -> int:
        return len(self._service.positions)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self[name]!r:.40}" for name in [*self][:_SHOWN])
        return f"FeatureVector({shown}{', ...' if len(self) > _SHOWN else ''})"

    def _ipython_key_completions_(self) -> list[str]:
        return [*self]

    def _repr_html_(self) -> str:
        from feature_sync.reports import html_table

        moments, statuses = self.event_timestamps, self.statuses
        rows = [(name, value, statuses[name], moments[name]) for name, value in self.items()]
        return html_table(("feature", "value", "status", "event time"), rows)

    def __array__(self, dtype: Any = None, copy: Any = None) -> numpy.ndarray[Any, Any]:
        """Return an array of shape (1, number of features): float64 if all features are numbers, else objects."""
        del copy
        array = self._alone().to_numpy()
        return array if dtype is None else array.astype(dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        names = self._service.positions
        values = [value for row in self._rows for value in row[2:]]
        if self._service.is_plain and GONE not in values:
            return dict(zip(names, values, strict=True))
        return {name: self[name] for name in names}

    @property
    def statuses(self) -> dict[str, Status]:
        """The origin of each value."""
        owners = self._service.owners
        return {
            name: _status(self._rows[selection], place)
            for name, (selection, place) in zip(self._service.positions, owners, strict=True)
        }

    @property
    def event_timestamps(self) -> dict[str, datetime | None]:
        """The event timestamp, in UTC, of the row that each value is from; None if there is none."""
        moments = [None if row[1] is None else from_microseconds(row[1]) for row in self._rows]
        owners = self._service.owners
        return {name: moments[at] for name, (at, _) in zip(self._service.positions, owners, strict=True)}

    def wire_values(self) -> list[Any]:
        """Return the values in wire form, in the order of the service."""
        return [None if value is GONE else value for row in self._rows for value in row[2:]]

    def entity_hash(self) -> int:
        """Return the hash of the keys by which entities are sampled: 32 bits."""
        return self._service.entity_hash(self.entity)

    def to_numpy(self) -> numpy.ndarray[Any, Any]:
        """Return an array of shape (1, number of features): float64 if all features are numbers, else objects."""
        return self._alone().to_numpy()

    def to_pandas(self, dtypes: str = "numpy") -> pandas.DataFrame:
        """Return a pandas frame of one row; see `FeatureVectors.to_pandas`."""
        return self._alone().to_pandas(dtypes)

    def to_arrow(self) -> pyarrow.Table:
        """Return an Arrow table of one row."""
        return self._alone().to_arrow()

    def _alone(self) -> FeatureVectors:
        from feature_sync.serving.entities import Entities

        entities = Entities({key: [value] for key, value in self.entity.items()}, 1)
        return FeatureVectors(self._service, entities, [[row] for row in self._rows])

    def _cell(self, at: int) -> Any:
        selection, place = self._service.owners[at]
        return self._rows[selection][place]


class FeatureVectors(Sequence[FeatureVector]):
    """The values of one service for many entities, in the order of the request.

    Args:
        entities: The keys, as given.
    """

    __slots__ = ("_rows", "_service", "entities")

    def __init__(self, service: ServiceRows, entities: Entities, rows: Sequence[Sequence[Row]]) -> None:
        self._service = service
        self.entities = entities
        self._rows = rows

    @property
    def card(self) -> Card:
        """The card by which they were read."""
        return self._service.card

    @property
    def service(self) -> ServiceRows:
        """The compiled card; the same object until a push changes the card."""
        return self._service

    @property
    def rows(self) -> Sequence[Sequence[Row]]:
        """The rows of all entities, for each selection of the card."""
        return self._rows

    def __reduce__(self) -> tuple[Any, ...]:
        return _vectors_of, (self._service.arguments, self.entities, self._rows)

    def __len__(self) -> int:
        return len(self.entities)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return FeatureVectors(self._service, self.entities[at], [rows[at] for rows in self._rows])
        return FeatureVector(self._service, self.entities[at], [rows[at] for rows in self._rows])

    def __repr__(self) -> str:
        return f"FeatureVectors({len(self)} x {len(self.names)} of {self._service.card.service})"

    def _repr_html_(self) -> str:
        from feature_sync.reports import html_table

        rows = [(*each.entity.values(), *each.values()) for each in self[:_SHOWN]]
        shown = f"<p>{_SHOWN} of {len(self)}:</p>" if len(self) > _SHOWN else ""
        return shown + html_table((*self.entities.columns, *self.names), rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in the order of the service."""
        return self._service.schema.names

    @property
    def statuses(self) -> dict[str, list[Status]]:
        """The origin of each value, by feature."""
        owners = zip(self.names, self._service.owners, strict=True)
        return {name: [_status(row, place) for row in self._rows[at]] for name, (at, place) in owners}

    @property
    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        """The event timestamp, in UTC, of the row that each value is from, by feature."""
        moments = [[None if row[1] is None else from_microseconds(row[1]) for row in rows] for rows in self._rows]
        return {name: moments[at] for name, (at, _) in zip(self.names, self._service.owners, strict=True)}

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the values of each feature by its name."""
        columns = zip(self.names, self.wire_columns(), self._service.converts, strict=True)
        return {name: [_value(value, convert) for value in column] for name, column, convert in columns}

    def to_numpy(self) -> numpy.ndarray[Any, Any]:
        """Return an array of shape (entities, features).

        It is float64 with NaN for null if all features are numbers or booleans, else of objects: the dtype depends on
        the service alone.

        Raises:
            MissingLibrary: NumPy is not installed.
            RequestError: An integer is not exact in float64.
        """
        from feature_sync.serving.columns import matrix_of, matrix_of_rows

        schema = self._service.schema
        with needed_by("to_numpy()"):
            matrix = matrix_of_rows(schema, self._rows, len(self))
            return matrix_of(schema, self.wire_columns(), len(self)) if matrix is None else matrix

    def to_pandas(self, dtypes: str = "numpy") -> pandas.DataFrame:
        """Return a pandas frame with the features as columns, and the index of the frame that asked.

        Args:
            dtypes: `"numpy"`: numbers and booleans are float64 with NaN for null; `"nullable"`: Int64, Float64,
                boolean and string; `"arrow"`: the types of `to_arrow`. They never depend on the values.

        Raises:
            MissingLibrary: pandas, or for `"arrow"` pyarrow, is not installed.
            RequestError: An integer is not exact in float64, or `dtypes` is none of the three.
        """
        from feature_sync.serving.columns import matrix_of_rows
        from feature_sync.serving.frames import frame_of, frame_of_matrix

        schema, labels = self._service.schema, self.entities.row_labels
        with needed_by(f"to_pandas(dtypes={dtypes!r})" if dtypes == "arrow" else "to_pandas()"):
            matrix = None
            if dtypes == "numpy":
                import pandas  # noqa: F401 - named if it is missing, before NumPy, which comes with it

                matrix = matrix_of_rows(schema, self._rows, len(self))
            if matrix is not None:
                return frame_of_matrix(schema, matrix, labels)
            return frame_of(schema, self.wire_columns(), len(self), dtypes, index=labels)

    def to_arrow(self) -> pyarrow.Table:
        """Return an Arrow table of the canonical types, those of a training set.

        Raises:
            MissingLibrary: pyarrow is not installed.
        """
        from feature_sync.serving.columns import table_of

        with needed_by("to_arrow()"):
            return table_of(self._service.schema, self.wire_columns())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return an Arrow stream, which polars, pandas, DuckDB and Arrow read."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def wire_columns(self) -> list[Sequence[Any]]:
        """Return the values of each feature in wire form."""
        columns: list[Sequence[Any]] = []
        for view, rows in zip(self._service.views, self._rows, strict=True):
            named = [*zip(*rows, strict=True)][2:] if rows else [()] * len(view.features)
            columns += named
        if self._service.lenient:
            return [[None if value is GONE else value for value in column] for column in columns]
        return columns


def _value(value: Any, convert: Callable[[Any], Any] | None) -> Any:
    if value is GONE:
        return None
    return value if convert is None or value is None else convert(value)


def _status(row: Row, place: int) -> Status:
    if type(row[0]) is Status:
        return row[0]
    if row[place] is GONE:
        return Status.GONE
    return Status.NULL if row[place] is None else Status.PRESENT


def _vector_of(service: tuple[Any, ...], entity: Mapping[str, Any], rows: Sequence[Row]) -> FeatureVector:
    """Make a pickled vector anew."""
    from feature_sync.serving.service_rows import ServiceRows

    return FeatureVector(ServiceRows.of(*service), entity, rows)


def _vectors_of(service: tuple[Any, ...], entities: Entities, rows: Sequence[Sequence[Row]]) -> FeatureVectors:
    """Make pickled vectors anew."""
    from feature_sync.serving.service_rows import ServiceRows

    return FeatureVectors(ServiceRows.of(*service), entities, rows)
