"""Servers that speak Spark Connect, for the tests: Sail, which needs no Java, and Spark itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet

from feature_sync import FeatureStore
from feature_sync.definitions import Target
from feature_sync.online.redis.server import _free_port
from feature_sync.sql.dialects import dialect_named
from feature_sync.warehouses import open_warehouse
from tests.support.printed import without_lone_nan
from tests.support.projects import EXAMPLE

_SECONDS_TO_START = 90
_SESSION = "00000000-0000-4000-8000-000000000000"
_ARROW = {
    "bigint": pyarrow.int64(),
    "double": pyarrow.float64(),
    "string": pyarrow.string(),
    "boolean": pyarrow.bool_(),
    "decimal(10, 2)": pyarrow.decimal128(10, 2),
    "date": pyarrow.date32(),
    "timestamp_ntz": pyarrow.timestamp("us"),
    "timestamp_ltz": pyarrow.timestamp("us", tz="UTC"),
    "array<bigint>": pyarrow.list_(pyarrow.int64()),
}


class SailServer:
    """Sail on a free port; `kill` ends it as a crash does."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="connect"))
        self.port = _free_port()
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            self._command(), cwd=self.folder, env=self._environment(), stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                self.__exit__()
                raise AssertionError(f"{type(self).__name__} did not start: {log}")
            time.sleep(0.1)
        return self

    def __exit__(self, *error):
        self.kill()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def url(self) -> str:
        return f"sc://127.0.0.1:{self.port}"

    @property
    def shared_url(self) -> str:
        """Sail keeps a catalog for each session: what dbt builds is there for those who join its session."""
        return f"{self.url}/;session_id={_SESSION};user_id=tests"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the projects' profiles read; Spark's client warns of pandas 3, and of each setting."""
        return {"SPARK_REMOTE": self.shared_url, "PYTHONWARNINGS": "ignore", "PROOF_FILE_FORMAT": "delta"}

    def rows(self, query: str) -> list[dict]:
        """Read a query with the product's own session, in which zone and ANSI mode are pinned."""
        warehouse = open_warehouse(self.target(connect=self.shared_url))
        with closing(warehouse), warehouse.arrow(query, batch_size=10_000) as reader:
            return reader.read_all().to_pylist()

    def target(self, **settings) -> Target:
        fields = {"type": "spark", "method": "thrift", "host": "127.0.0.1", "schema": "features", "connect": self.url}
        return Target(
            profile="spark",
            name="spark",
            adapter="spark",
            settings={**fields, **settings},
            project_dir=str(self.folder),
        )

    def _command(self) -> list[str]:
        program = EXAMPLE / ".venv-engines" / "bin" / "sail"
        assert program.exists(), f"{program} is missing: make .venv-engines/.made"
        return [str(program), "spark", "server", "--port", str(self.port)]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "SAIL_SPARK__SESSION_TIMEOUT_SECS": "86400"}

    def _is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class SparkServer(SailServer):
    """Spark itself, with the server of Spark Connect that comes with it."""

    @property
    def shared_url(self) -> str:
        """All sessions of Spark have one catalog."""
        return self.url

    @property
    def environment(self) -> dict[str, str]:
        """Without a format of tables in which single rows can be replaced: that takes jars which are not at hand."""
        return {"SPARK_REMOTE": self.url, "PYTHONWARNINGS": "ignore"}

    def _command(self) -> list[str]:
        settings = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": self.port,
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "2g",
            "spark.local.dir": self.folder,
            "spark.log.level": "ERROR",
            "spark.sql.session.timeZone": "Asia/Kolkata",  # what a server may be set to, and no answer may depend on
            "spark.sql.shuffle.partitions": 2,
            "spark.sql.warehouse.dir": self.folder / "warehouse",
            "spark.ui.enabled": "false",
        }
        options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
        program = "org.apache.spark.sql.connect.service.SparkConnectServer"
        return [
            str(self._home / "bin" / "spark-submit"),
            "--master",
            "local[2]",
            *options,
            "--class",
            program,
            "spark-internal",
        ]

    def _environment(self) -> dict[str, str]:
        assert shutil.which("java"), "Spark runs on Java 17 or newer: apt-get install openjdk-17-jre-headless"
        return {**os.environ, "SPARK_HOME": str(self._home)}

    @property
    def _home(self) -> Path:
        (home,) = (EXAMPLE / ".venv-spark" / "lib").glob("python*/site-packages/pyspark")
        return home


def has_spark() -> bool:
    """True if Spark itself can be started here."""
    return shutil.which("java") is not None and (EXAMPLE / ".venv-spark").exists()


class OnConnect:
    """Runs a case through the product's own warehouse: the views are files, the spine is loaded as a user's is."""

    adapter = "spark"
    dialect = dialect_named(adapter)

    def __init__(self, warehouse, folder: Path, *, is_sail: bool) -> None:
        self.warehouse, self._folder, self._is_sail = warehouse, folder, is_sail
        self._files = 0

    def set_zone(self, zone: str) -> None:
        """Leave the zone alone: the product has pinned it, whatever the server's is."""

    def load(self, relation, rows: list[dict]) -> None:
        columns = {each.name: _ARROW[each.data_type] for each in relation.columns.values()}
        rows = without_lone_nan(rows) if self._is_sail else rows
        table = pyarrow.Table.from_pylist(rows, pyarrow.schema(list(columns.items())))
        if relation.name == "`the spine`":
            name = self.warehouse.load("spine", table.to_reader(), {})
            query = f"select * from {name}"
        else:
            self._files += 1
            path = self._folder / f"{self._files}.parquet"
            pyarrow.parquet.write_table(table, path)
            query = f"select * from parquet.`{path}`"
        spark = self.warehouse._session.spark  # noqa: SLF001 - a case has names of views, which the product never makes
        spark.sql(f"create or replace temporary view {relation.name} as {query}")

    def fetch(self, sql: str) -> list[dict]:
        with self.warehouse.arrow(sql, batch_size=100) as reader:
            return [{name: _as_stored(value) for name, value in row.items()} for row in reader.read_all().to_pylist()]


def _as_stored(value):
    return Decimal(str(value)) if isinstance(value, Decimal) else value


class SparkProject:
    """A dbt project on Spark that dbt never built: a manifest by hand over tables in Parquet files."""

    def __init__(self, folder: Path, url: str, **settings) -> None:
        self.folder = folder
        self.nodes: dict[str, dict] = {}
        self.exposures: dict[str, dict] = {}
        target = {"type": "spark", "method": "session", "host": "NA", "schema": "features", "connect": url, **settings}
        profile = {"shop": {"target": "spark", "outputs": {"spark": target}}}
        (folder / "profiles.yml").write_text(json.dumps(profile))
        (folder / "dbt_project.yml").write_text(json.dumps({"name": "shop", "version": "1.0.0", "profile": "shop"}))

    def model(self, name: str, table: pyarrow.Table, **config) -> Path:
        path = self.folder / f"{name}.parquet"
        pyarrow.parquet.write_table(table, path)
        self.nodes[f"model.shop.{name}"] = {
            "unique_id": f"model.shop.{name}",
            "name": name,
            "resource_type": "model",
            "package_name": "shop",
            "original_file_path": f"models/{name}.sql",
            "relation_name": f"parquet.`{path}`",
            "config": {"materialized": "table", **config},
            "columns": {},
        }
        return path

    def service(self, name: str, features: dict, views: list[str]) -> None:
        self.exposures[f"exposure.shop.{name}"] = {
            "unique_id": f"exposure.shop.{name}",
            "name": name,
            "resource_type": "exposure",
            "type": "ml",
            "original_file_path": "models/services.yml",
            "depends_on": {"nodes": [f"model.shop.{view}" for view in views]},
            "config": {"meta": {"feature_service": {"features": features}}},
        }

    def open(self, **options) -> FeatureStore:
        metadata = {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "adapter_type": "spark",
            "project_name": "shop",
        }
        parts = {"nodes": self.nodes, "exposures": self.exposures, "parent_map": {}, "child_map": {}}
        (self.folder / "target").mkdir(exist_ok=True)
        (self.folder / "target" / "manifest.json").write_text(json.dumps({"metadata": metadata, **parts}))
        return FeatureStore.open(self.folder, profiles_dir=str(self.folder), **options)
