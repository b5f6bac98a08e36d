"""Iceberg tables by pyiceberg: of a catalog, or by the path of their metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, TypeVar

from feature_sync.errors import did_you_mean
from feature_sync.extras import needed_by
from feature_sync.lake.base import LakeError, LakeTable, Selection, Version, lost_file
from feature_sync.lake.filters import Filter
from feature_sync.lake.source import LakeSource
from feature_sync.lake.storage import iceberg_defaults, iceberg_storage

if TYPE_CHECKING:
    import pyarrow
    import pyiceberg.table
    from pyiceberg.expressions import BooleanExpression

Answer = TypeVar("Answer")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Iceberg(LakeTable):
    """The main branch of a table; deletes by position are applied, by equality refused by the library.

    Args:
        source: The table's name and catalog, or the path of its `metadata.json`.
        catalogs: Settings of catalogs by name, as pyiceberg has them; it finds others in its own configuration.
    """

    def __init__(self, source: LakeSource, catalogs: Mapping[str, Mapping[str, Any]]) -> None:
        with needed_by("an Iceberg source"):
            import pyiceberg.catalog
            import pyiceberg.table
        if source.path is not None:
            place = iceberg_storage(source.path)
            read = partial(pyiceberg.table.StaticTable.from_metadata, place.place, place.options)
            with place.explained():
                self._table: pyiceberg.table.Table = _translated(read)
            return
        name = source.catalog or "default"
        if source.catalog and catalogs and name not in catalogs:
            raise LakeError(
                f"iceberg_catalog: profiles.yml configures no catalog {name!r}{did_you_mean(name, catalogs)}"
            )
        properties = iceberg_defaults() | dict(catalogs.get(name, {}))
        catalog = _translated(lambda: pyiceberg.catalog.load_catalog(name, **properties))
        self._table = _translated(lambda: catalog.load_table(str(source.table)))

    def versions(self) -> Sequence[Version]:
        """Return the snapshots of the main branch that are not expired."""
        kept = {each.snapshot_id for each in self._table.metadata.snapshots}
        return [
            Version(str(each.snapshot_id), _EPOCH + timedelta(milliseconds=each.timestamp_ms))
            for each in self._table.history()
            if each.snapshot_id in kept
        ]

    def schema(self, version: Version | None) -> pyarrow.Schema:
        """Return the columns that a snapshot has."""
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        schema = self._table.schema() if self._is_current(version) else self._scan(version).projection()
        found: pyarrow.Schema = schema_to_pyarrow(schema, include_field_ids=False)
        return found

    def read(self, version: Version | None, selection: Selection) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows in a stream; filters skip partitions, files and row groups."""
        passing = _all_of(selection.filters, self.schema(version))
        scan = self._scan(version).select(*selection.columns).filter(passing)
        batches = _translated(scan.to_arrow_batch_reader)
        while (batch := _translated(lambda: next(batches, None))) is not None:
            yield batch

    def _is_current(self, version: Version | None) -> bool:
        """True for the newest snapshot, whose table may have columns that no snapshot has yet."""
        current = self._table.current_snapshot()
        return version is None or (current is not None and str(current.snapshot_id) == version.name)

    def _scan(self, version: Version | None) -> pyiceberg.table.DataScan:
        if self._is_current(version):
            return self._table.scan()
        return _translated(lambda: self._table.scan(snapshot_id=int(version.name)))  # type: ignore[union-attr]


def _all_of(filters: Sequence[Filter], schema: pyarrow.Schema) -> BooleanExpression:
    from pyiceberg.expressions import AlwaysTrue, And

    conditions = [_condition(each, each.typed(schema)) for each in filters]
    return reduce(And, conditions) if conditions else AlwaysTrue()


def _condition(condition: Filter, value: Any) -> BooleanExpression:
    from pyiceberg import expressions

    words = {
        "=": expressions.EqualTo,
        "!=": expressions.NotEqualTo,
        "<": expressions.LessThan,
        "<=": expressions.LessThanOrEqual,
        ">": expressions.GreaterThan,
        ">=": expressions.GreaterThanOrEqual,
        "in": expressions.In,
        "not in": expressions.NotIn,
    }
    built: BooleanExpression = words[condition.operator](condition.column, value)
    return built


def _translated(ask: Callable[[], Answer]) -> Answer:
    import pyarrow
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        return ask()
    except (NoSuchTableError, NoSuchNamespaceError) as missing:
        raise LakeError(f"there is no such Iceberg table: {missing}") from missing
    except FileNotFoundError as gone:
        text = lost_file(str(gone))
        raise LakeError(f"a file of the table is gone: {text}; its snapshot was expired, or it was lost") from gone
    except (ValueError, NotImplementedError, OSError, pyarrow.ArrowException) as refused:
        raise LakeError(f"pyiceberg cannot read it: {' '.join(str(refused).split())}") from refused
