"""The entities of a request for many vectors: mappings, a frame, or bare ids, as one column for each key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by

if TYPE_CHECKING:
    from feature_sync.serving.service_rows import ServiceRows

_EXAMPLE = "[{{{}: ...}}, ...]"


class Entities(Sequence[Mapping[str, Any]]):
    """The keys of many entities, column by column; reads as a sequence of mappings.

    Args:
        columns: The values of each key, by its name.
        count: The number of entities.
        row_labels: The index of the pandas frame that they came from; None for other forms.
    """

    __slots__ = ("_count", "columns", "row_labels")

    def __init__(self, columns: Mapping[str, Sequence[Any]], count: int, row_labels: Any = None) -> None:
        self.columns = columns
        self.row_labels = row_labels
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            columns = {name: column[at] for name, column in self.columns.items()}
            labels = None if self.row_labels is None else self.row_labels[at]
            return Entities(columns, len(range(self._count)[at]), labels)
        return {name: column[at] for name, column in self.columns.items()}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        names = tuple(self.columns)
        return (dict(zip(names, each, strict=True)) for each in zip(*self.columns.values(), strict=True))

    def __repr__(self) -> str:
        return f"Entities({self._count} of {', '.join(self.columns)})"


def read_entity(service: ServiceRows, entity: Any, keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the entity of a request for one vector: a mapping, keyword arguments, or the bare value of the only key.

    Raises:
        RequestError: It is of another form.
    """
    if entity is None:
        return keys
    if keys:
        raise RequestError("name the keys by a mapping or by keyword arguments, and not both")
    if isinstance(entity, Mapping):
        return dict(entity)  # a caller may change its own
    if _is_frame(entity) or isinstance(entity, list | tuple | set | Iterator):
        raise RequestError(f"get() takes the keys of one entity, not {_described(entity)}; take get_many()")
    return {_only_key(service, entity): entity}


def read_entities(service: ServiceRows, rows: Any) -> Entities:
    """Read the entities of a request for many vectors.

    Args:
        service: The service whose keys they name.
        rows: Mappings, a pandas frame, an Arrow table, entities that are read already, or, for a service with one key,
            bare values; see `held`.

    Raises:
        RequestError: They are of another form, or a key is missing or unknown.
    """
    if isinstance(rows, Entities):
        service.check_keys(rows.columns)
        return rows
    if _is_frame(rows):
        return _of_frame(service, rows)
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        example = ", ".join(f"{key!r}: ..." for key in service.keys)
        raise RequestError(
            f"entities are a list of mappings, such as [{{{example}}}], or a frame, and not {_described(rows)}"
        )
    listed = rows if isinstance(rows, list) else [*rows]
    if {*map(type, listed)} == {dict} and {*map(len, listed)} == {len(service.keys)}:  # most requests
        with suppress(KeyError):
            return _of_mappings(service, listed)
    return _of_mappings(service, [_checked(service, each, at, len(listed)) for at, each in enumerate(listed)])


def _of_mappings(service: ServiceRows, listed: Sequence[Mapping[str, Any]]) -> Entities:
    return Entities({key: [each[key] for each in listed] for key in service.keys}, len(listed))


def at_row(wrong: RequestError, at: int, count: int) -> RequestError:
    """Name the entity in an error if there are several."""
    return wrong if count == 1 else RequestError(f"entities[{at}]: {wrong}")


def _checked(service: ServiceRows, value: Any, at: int, count: int) -> Mapping[str, Any]:
    """Return an entity as a mapping from its keys."""
    try:
        if isinstance(value, Sequence | set) and not isinstance(value, str | bytes):
            raise RequestError(f"a mapping from key to value is needed, not {_described(value)}")  # noqa: TRY301
        entity = value if isinstance(value, Mapping) else {_only_key(service, value): value}
        service.check_keys(entity)
    except RequestError as wrong:
        raise at_row(wrong, at, count) from wrong
    return entity


def _only_key(service: ServiceRows, value: Any) -> str:
    if len(service.keys) != 1:
        named = ", ".join(f"{key}=..." for key in service.keys)
        raise RequestError(
            f"{service.card.service} has {len(service.keys)} keys, so name them: {named}; not {value!r:.60}"
        )
    return service.keys[0]


def held(rows: Any) -> Any:
    """Return entities in a form that can be read again, since a request may start anew: iterators and streams cannot.

    Columns of one value (of pandas, polars, NumPy or Arrow) become lists.
    """
    if hasattr(rows, "columns") and hasattr(rows, "index"):  # pandas
        return rows
    if hasattr(rows, "tolist"):  # a pandas or NumPy column
        return rows.tolist()
    if hasattr(rows, "__arrow_c_stream__"):
        with needed_by(f"get_many() of {_described(rows)}"):
            import pyarrow

        try:
            return pyarrow.RecordBatchReader.from_stream(rows).read_all()
        except pyarrow.ArrowInvalid:  # no table
            return pyarrow.chunked_array(rows).to_pylist()
    return [*rows] if isinstance(rows, Iterator | AbstractSet) else rows


def _of_frame(service: ServiceRows, frame: Any) -> Entities:
    """Read a frame, or an Arrow table; columns that are no keys are ignored, as a spine's are."""
    names = [*map(str, frame.columns)] if hasattr(frame, "index") else frame.column_names
    if twice := next((key for key in service.keys if names.count(key) > 1), None):
        raise RequestError(f"the frame has the column {twice!r} twice, a key of {service.card.service}")
    if hasattr(frame, "index"):  # pandas
        named = {str(name): name for name in frame.columns}
        columns = {key: frame[named[key]].tolist() for key in service.keys if key in named}
        labels, count = frame.index, len(frame)
    else:
        columns = {key: frame.column(key).to_pylist() for key in service.keys if key in frame.column_names}
        labels, count = None, frame.num_rows
    if missing := [key for key in service.keys if key not in columns]:
        raise RequestError(f"the frame has no column {', '.join(map(repr, missing))}, a key of {service.card.service}")
    return Entities(columns, count, labels)


def _is_frame(rows: Any) -> bool:
    return hasattr(rows, "__arrow_c_stream__") or (hasattr(rows, "columns") and hasattr(rows, "index"))


def _described(value: Any) -> str:
    return f"a {type(value).__module__.partition('.')[0]} {type(value).__name__}".replace("builtins ", "")
