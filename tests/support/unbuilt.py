"""Projects that dbt never built: a manifest written by hand over tables made by plain SQL, so that cases are cheap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg.sql import SQL, Identifier

from feature_sync import FeatureStore

EVENT = "2024-01-01 00:00:00"
AS_OF = "2024-01-02T00:00:00Z"


class UnbuiltProject:
    """A dbt project on DuckDB or PostgreSQL of which only `dbt_project.yml`, `profiles.yml` and a manifest exist."""

    def __init__(self, folder: Path, *, login: dict[str, str] | None = None, schema: str = "main", **settings: Any):
        """`login` is a PostgreSQL server's environment; `settings` go into the target of `profiles.yml`."""
        self.folder, self.schema, self._login = folder, schema, login
        self.adapter = "duckdb" if login is None else "postgres"
        self.nodes: dict[str, dict[str, Any]] = {}
        self.exposures: dict[str, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        target: dict[str, Any] = {"type": self.adapter, "schema": schema, "threads": 1, **settings}
        if login is None:
            target["path"] = "unbuilt.duckdb"
        else:
            target |= {"host": login["PGHOST"], "port": int(login["PGPORT"]), "user": login["PGUSER"]}
            target |= {"password": login["PGPASSWORD"], "dbname": settings.get("dbname") or login["PGDATABASE"]}
        self.settings = target
        self.write_profile(**target)
        project = {"name": "unbuilt", "version": "1.0.0", "profile": "unbuilt"}
        (folder / "dbt_project.yml").write_text(json.dumps({**project, "vars": {"feature_sync_as_of": AS_OF}}))
        self.run("create schema if not exists {schema}")

    def write_profile(self, **target: Any) -> None:
        """Let the product connect with other settings than `run` does."""
        profile = {"unbuilt": {"target": "unbuilt", "outputs": {"unbuilt": target}}}
        (self.folder / "profiles.yml").write_text(json.dumps(profile))

    def run(self, *statements: str) -> None:
        """Run statements; `{schema}` stands for the schema of the models."""
        with self._connection() as connection:
            for each in statements:
                connection.execute(each.replace("{schema}", f'"{self.schema}"'))

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._connection() as connection:
            return connection.execute(query).fetchall()

    def _connection(self):
        if self._login is None:
            return duckdb.connect(str(self.folder / "unbuilt.duckdb"))
        login = {name: self.settings[name] for name in ("host", "port", "user", "password", "dbname")}
        return psycopg.connect(**login, autocommit=True)

    def model(self, name: str, query: str, *, columns: dict[str, Any] | None = None, **config: Any) -> None:
        """Make a table and say of it what a model's YAML would; `columns` map names to their `config.meta`."""
        self.run(f'create table {{schema}}."{name}" as {query}')
        self.describe(name, columns=columns, **config)

    def describe(self, name: str, *, columns: dict[str, Any] | None = None, **config: Any) -> None:
        """Put a table that is there already into the manifest."""
        database = self.settings.get("dbname") or "unbuilt"
        self.nodes[f"model.unbuilt.{name}"] = {
            "unique_id": f"model.unbuilt.{name}",
            "name": name,
            "resource_type": "model",
            "package_name": "unbuilt",
            "original_file_path": f"models/{name}.sql",
            "patch_path": "unbuilt://models/models.yml",
            "relation_name": f'"{database}"."{self.schema}"."{name}"',
            "config": {"materialized": "table", **config},
            "columns": {column: {"name": column, "config": {"meta": meta}} for column, meta in (columns or {}).items()},
        }

    def view(self, name: str, query: str, **settings: Any) -> None:
        """Make a feature view of an `entity` with the key `id`; timeless, unless its event time is named."""
        entity = settings.pop("entity", "thing")
        columns = settings.pop("columns", None)
        config = {"event_time": settings.pop("event_time")} if "event_time" in settings else {}
        block = {"entities": {entity: "id"}, **({} if config else {"timeless": True}), **settings}
        self.model(name, query, columns=columns, meta={"feature_view": block}, **config)

    def service(self, name: str, features: dict[str, Any], views: list[str], **settings: Any) -> None:
        """Define a feature service over views."""
        self.exposures[f"exposure.unbuilt.{name}"] = {
            "unique_id": f"exposure.unbuilt.{name}",
            "name": name,
            "resource_type": "exposure",
            "type": "ml",
            "original_file_path": "models/services.yml",
            "depends_on": {"nodes": [f"model.unbuilt.{view}" for view in views]},
            "config": {"meta": {"feature_service": {"features": features, **settings}}},
        }

    def open(self, redis_url: str, **options: Any) -> FeatureStore:
        """Open it as it stands now."""
        metadata = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"}
        manifest = {
            "metadata": {**metadata, "adapter_type": self.adapter, "project_name": "unbuilt"},
            "nodes": self.nodes,
            "exposures": self.exposures,
            "parent_map": {},
            "child_map": {},
        }
        (self.folder / "target").mkdir(exist_ok=True)
        (self.folder / "target" / "manifest.json").write_text(json.dumps(manifest))
        return FeatureStore.open(self.folder, profiles_dir=str(self.folder), redis_url=redis_url, **options)

    def drop(self) -> None:
        """Drop the schemas that it made in a server that goes on."""
        if self._login is not None:
            with self._connection() as connection:
                for name in (self.schema, f"{self.schema}_feature_sync"):
                    connection.execute(SQL("drop schema if exists {} cascade").format(Identifier(name)))
