"""Writes and reads tables of a lake, by the Python of `.venv-lake`: pickled requests on stdin, answers on stdout.

Writing is what `examples/lake/tables.py` does, reading what the plugin of dbt-duckdb returns, which this process calls
as dbt-duckdb does.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

warnings.filterwarnings("ignore")


def _tables():
    spec = spec_from_file_location("tables", Path(__file__).parents[2] / "examples" / "lake" / "tables.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(meta: dict, config: dict | None = None):
    """The rows of a source, through DuckDB as dbt-duckdb stores them, and as Arrow."""
    import duckdb
    from dbt.adapters.duckdb.plugins import BasePlugin
    from dbt.adapters.duckdb.utils import SourceConfig

    plugin = BasePlugin.create("feature_sync.lake", config=config or {})
    source = SourceConfig("source", "source", "landed", None, {"plugin": plugin.name, **meta}, [])
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("rows_df", plugin.load(source))
        connection.execute("create or replace table source as select * from rows_df")
        return connection.sql("select * from source").to_arrow_table()


def iceberg(catalog: dict, table: str, method: str, *arguments):
    """Call a method of an Iceberg table, or read an attribute of it."""
    from pyiceberg.catalog import load_catalog

    found = getattr(load_catalog("shop", **catalog).load_table(table), method)
    return found(*arguments) if callable(found) else found


def create_iceberg(catalog: dict, table: str, schema) -> None:
    """Create an Iceberg table that no snapshot has yet."""
    from pyiceberg.catalog import load_catalog

    opened = load_catalog("shop", **catalog)
    opened.create_namespace_if_not_exists(table.partition(".")[0])
    opened.create_table(table, schema)


def expire_iceberg(catalog: dict, table: str, snapshot: str) -> None:
    """Expire a snapshot."""
    from pyiceberg.catalog import load_catalog

    found = load_catalog("shop", **catalog).load_table(table)
    found.maintenance.expire_snapshots().by_id(int(snapshot)).commit()


def delete_from_iceberg_by_equality(catalog: dict, table: str) -> None:
    """Commit a snapshot with a file of equality deletes, as Flink writes them and pyiceberg does not."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.manifest import DataFileContent, ManifestContent, ManifestWriterV2
    from pyiceberg.table.snapshots import Operation
    from pyiceberg.table.update.snapshot import _FastAppendFiles

    class DeleteWriter(ManifestWriterV2):
        def content(self):
            return ManifestContent.DELETES

    class Append(_FastAppendFiles):
        def new_manifest_writer(self, spec):
            made = self.new_manifest_output()
            schema = self._transaction.table_metadata.schema()
            return DeleteWriter(spec, schema, made, self._snapshot_id, self._compression)

    found = load_catalog("shop", **catalog).load_table(table)
    (task,) = found.scan().plan_files()
    data = task.file
    data._data[0] = DataFileContent.EQUALITY_DELETES  # noqa: SLF001 - it has no setter
    with found.transaction() as transaction, Append(Operation.APPEND, transaction, found.io) as appended:
        appended.append_data_file(data)


def iceberg_files(catalog: dict, table: str) -> list[str]:
    """The data files of the newest snapshot."""
    from pyiceberg.catalog import load_catalog

    scan = load_catalog("shop", **catalog).load_table(table).scan()
    return [each.file.file_path.removeprefix("file://") for each in scan.plan_files()]


def rewrite_delta(folder: str, rows) -> None:
    """Replace all rows and columns of a Delta table."""
    from deltalake import write_deltalake

    write_deltalake(folder, rows, mode="overwrite", schema_mode="overwrite")


def vacuum_delta(folder: str) -> list[str]:
    """Delete all files that the newest version does not need."""
    from deltalake import DeltaTable

    return DeltaTable(folder).vacuum(0, dry_run=False, enforce_retention_duration=False)


def versions() -> dict[str, str]:
    """The versions of the libraries."""
    from importlib.metadata import version

    return {name: version(name) for name in ("hudi", "pyiceberg", "deltalake", "pyarrow", "dbt-duckdb", "duckdb")}


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    tables = _tables()
    while True:
        try:
            name, arguments, keywords = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, (globals().get(name) or getattr(tables, name))(*arguments, **keywords))
        except Exception as error:  # noqa: BLE001 - the other process judges it
            answer = (False, (str(error), traceback.format_exc()))
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    _serve()
