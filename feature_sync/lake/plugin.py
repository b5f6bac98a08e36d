"""A plugin of dbt-duckdb: Hudi, Iceberg, Delta and partitioned Parquet tables as dbt sources."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from feature_sync.errors import FeatureSyncError

if TYPE_CHECKING:
    import pyarrow
    from dbt.adapters.duckdb.utils import SourceConfig

    from feature_sync.lake.base import LakeTable
    from feature_sync.lake.source import LakeSource


class Plugin(BasePlugin):
    """Reads the sources whose `meta` says `plugin: lake`, as `{module: feature_sync.lake}` in `profiles.yml` asks.

    `config` there may have `catalogs`, the settings of pyiceberg's catalogs by name, and `storage_options`, which the
    libraries of Hudi and Delta get.
    """

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Keep the settings of `profiles.yml`."""
        self._catalogs = dict(plugin_config.get("catalogs") or {})
        self._storage = {key: str(value) for key, value in (plugin_config.get("storage_options") or {}).items()}

    def load(self, source_config: SourceConfig) -> pyarrow.RecordBatchReader:
        """Return the rows of a source, which dbt-duckdb writes into a table of the database.

        Raises:
            DbtRuntimeError: They cannot be read; dbt shows the text beside the model that reads the source.
        """
        from feature_sync.lake.reading import read_rows
        from feature_sync.lake.source import read_source

        try:
            source = read_source(source_config.name, source_config.meta)
            return read_rows(source, partial(self._opened, source))
        except FeatureSyncError as wrong:
            raise DbtRuntimeError(str(wrong)) from wrong

    def _opened(self, source: LakeSource) -> LakeTable:
        """Open the table by the library of its format, imported only now."""
        from feature_sync.lake.storage import object_storage

        if source.format == "hudi":
            from feature_sync.lake.hudi import Hudi

            return Hudi(object_storage(str(source.path), self._storage))
        if source.format == "delta":
            from feature_sync.lake.delta import Delta

            return Delta(object_storage(str(source.path), self._storage))
        if source.format == "iceberg":
            from feature_sync.lake.iceberg import Iceberg

            return Iceberg(source, self._catalogs)
        from feature_sync.lake.parquet import Parquet

        return Parquet(str(source.path))
