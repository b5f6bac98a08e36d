"""Tables of a lake in each format, written by what the format has and read by the plugin, in `.venv-lake`."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow

from feature_sync import FeatureStore
from tests.support.projects import EXAMPLE

PYTHON = EXAMPLE / ".venv-lake" / "bin" / "python"
ADDED = ("lake_version", "lake_committed_at", "lake_replaced_at")
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


class Refused(AssertionError):
    """The other process raised an error; the text is that of the error."""


class LakeWorker:
    """The process that has the libraries."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-lake/.made"
        self._process = subprocess.Popen(
            [PYTHON, "-m", "tests.support.lake_worker"],
            cwd=EXAMPLE, env={**os.environ, "PYTHONPATH": str(EXAMPLE), **(environment or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, name: str, *arguments, **keywords):
        """Call a function of `lake_worker` or of the example's `tables.py`."""
        pickle.dump((name, arguments, keywords), self._process.stdin)
        self._process.stdin.flush()
        is_answer, answer = pickle.load(self._process.stdout)
        if not is_answer:
            raise Refused(answer[0]) from AssertionError(answer[1])
        return answer

    def read(self, meta: dict, config: dict | None = None) -> pyarrow.Table:
        return self.ask("read", meta, config)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@dataclass
class LakeTable:
    """One table, whose versions the tests know: what each held."""

    worker: LakeWorker
    format: str
    folder: Path
    key: str = "id"
    name: str = "rows"
    held: list[dict] = field(default_factory=list)
    """Of each commit the rows that the table held after it, by key."""

    @property
    def catalog(self) -> dict[str, str]:
        return {
            "type": "sql",
            "uri": f"sqlite:///{self.folder}/catalog.db",
            "warehouse": f"file://{self.folder}/iceberg",
        }

    @property
    def config(self) -> dict:
        return {"catalogs": {"shop": self.catalog}}

    @property
    def path(self) -> str:
        return str(self.folder / self.name)

    def meta(self, **settings) -> dict:
        place = {"path": self.path}
        if self.format == "iceberg":
            place = {"iceberg_catalog": "shop", "iceberg_table": f"shop.{self.name}"}
        return {"format": self.format, **place, **settings}

    def instant(self, number: int) -> str:
        """The name of a commit of Hudi, an hour after the one before."""
        return f"{_FIRST + timedelta(hours=number):%Y%m%d%H%M%S}000"

    def commit(self, rows: pyarrow.Table, deleted: Sequence = (), **settings) -> None:
        """Upsert rows and delete others."""
        now = dict(self.held[-1]) if self.held else {}
        now = {key: row for key, row in now.items() if key not in deleted}
        now |= {row[self.key]: row for row in rows.to_pylist()}
        if self.format == "hudi":
            settings["instant"] = self.instant(len(self.held))
        place = (self.catalog, f"shop.{self.name}") if self.format == "iceberg" else (self.path,)
        self.worker.ask(f"commit_to_{self.format}", *place, rows, key=self.key, deleted=list(deleted), **settings)
        self.held.append(now)

    def read(self, **settings) -> list[dict]:
        """The rows without what is added, in order of the key."""
        rows = self.worker.read(self.meta(**settings), self.config).drop_columns(list(ADDED))
        return sorted(rows.to_pylist(), key=lambda row: row[self.key])

    def history(self, **settings) -> list[dict]:
        """The rows of all versions."""
        return self.worker.read(self.meta(history=True, **settings), self.config).to_pylist()

    def versions(self) -> list[str]:
        """The names of the versions that hold rows, oldest first."""
        moments = {row["lake_version"]: row["lake_committed_at"] for row in self.history()}
        return sorted(moments, key=moments.__getitem__)

    def expected(self, number: int = -1, columns: Sequence[str] | None = None) -> list[dict]:
        """What the table held after a commit, in the columns of the newest."""
        names = columns or [*dict.fromkeys(name for row in self.held[-1].values() for name in row)]
        rows = sorted(self.held[number].values(), key=lambda row: row[self.key])
        return [{name: row.get(name) for name in names} for row in rows]


MOMENT = pyarrow.timestamp("us", tz="UTC")
VIEWS = {
    "spend": ("spent_at", "amount_30d", "hudi"),
    "visits": ("visited_at", "visits_7d", "iceberg"),
    "scores": ("scored_at", "score", "delta"),
}
"""Of each table of the example its moment, its feature and its format."""


class LakeExample:
    """`examples/lake` with tables that a test writes, built by the dbt of `.venv-lake`."""

    def __init__(self, worker: LakeWorker, folder: Path) -> None:
        self.worker, self.folder = worker, folder / "example"
        ignored = shutil.ignore_patterns("lake", "target", "logs", "*.duckdb")
        shutil.copytree(EXAMPLE / "examples" / "lake", self.folder, ignore=ignored)
        self.lake = self.folder / "lake"
        self.lake.mkdir()
        self.tables = {
            name: LakeTable(worker, kind, self.lake, name=name, key="customer_id") for name, (*_, kind) in VIEWS.items()
        }

    def commit(self, values: dict, at: datetime, deleted: Sequence = (), **columns) -> None:
        """Upsert the same rows into each table, and write them as those of a day into the folder of Parquet files."""
        for name, table in self.tables.items():
            table.commit(_customers(*VIEWS[name][:2], values, at, **columns), deleted)
        orders = _customers("ordered_at", "total", values, at, day=f"{at:%Y-%m-%d}")
        self.worker.ask("write_day", str(self.lake / "orders"), orders)

    def build(self, *arguments: str) -> None:
        done = self.dbt("build", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def dbt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {
            **os.environ, "PYTHONPATH": str(EXAMPLE), "LAKE": str(self.lake), "DBT_PROFILES_DIR": str(self.folder),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_USE_COLORS": "false",
        }  # fmt: skip
        command = [str(PYTHON.with_name("dbt")), *arguments]
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False)

    def open(self, redis_url: str) -> FeatureStore:
        return FeatureStore(self.folder, profiles_dir=str(self.folder), redis_url=redis_url)

    def rows(self, query: str) -> list[dict]:
        with duckdb.connect(str(self.folder / "lake_features.duckdb"), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.sql(query).to_arrow_table().to_pylist()


def _customers(moment: str, feature: str, values: dict, at: datetime, **columns) -> pyarrow.Table:
    ids = pyarrow.array(list(values), pyarrow.int64())
    numbers = pyarrow.array(list(values.values()), pyarrow.float64())
    found = pyarrow.table({"customer_id": ids, moment: pyarrow.array([at] * len(values), MOMENT), feature: numbers})
    for column, value in columns.items():
        found = found.append_column(column, pyarrow.array([value] * len(values)))
    return found
