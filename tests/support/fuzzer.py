"""Spoils the files of a project again and again, and reads them; a process of its own, so that another can watch it."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from feature_sync.errors import DefinitionError, FeatureSyncError
from feature_sync.store import FeatureStore
from tests.support.memory import peak_bytes

LONGEST_SECONDS = 10
LONGEST_MEGABYTES = 500
SMALLEST_MANIFEST = (
    "metadata",
    "nodes",
    "sources",
    "exposures",
    "docs",
    "groups",
    "unit_tests",
    "parent_map",
    "child_map",
)
PROFILES = """
shop:
  target: "{{ env_var('FUZZ_TARGET', 'dev') }}"
  outputs:
    dev: {type: duckdb, path: shop.duckdb, schema: main, threads: 4, settings: {memory_limit: 1GB}, extensions: [json]}
    pg: &pg
      type: postgres
      host: "{{ env_var('FUZZ_HOST', 'localhost') }}"
      user: me
      password: "{{ env_var('FUZZ_PASSWORD', 'hunter2') | replace('a', 'b') }}"
      port: "{{ '5432' | as_number }}"
      dbname: shop
      schema: features
    bq: {type: bigquery, method: oauth-secrets, token: hunter2, project: shop, dataset: features, scopes: [a, b]}
    other: {<<: *pg, sslmode: "{% if env_var('FUZZ_SSL', 'x') == 'x' %}require{% else %}disable{% endif %}"}
"""
PROJECT = """
name: shop
version: 1.0.0
profile: shop
model-paths: [models]
seed-paths: [seeds]
docs-paths: [models]
target-path: target
vars: {feature_sync_as_of: 2013-01-31, feature_sync_schema: online, shop: {a: &a [1, 2], b: *a}}
models:
  shop: {+materialized: table, features: {+meta: {feature_view_defaults: {ttl: 30d, online: true}}}}
"""
TEXTS = (
    *("", "x", "a.b", ".", "model.", "a\nb", "\x1b[2J", "\u202e", "'\"`", "{{", "{{ 1/0 }}", "{{ env_var() }}", "\x00"),
    *(
        "9" * 5000,
        "x" * 5000,
        "1e400",
        "nan",
        "0001-01-01",
        "9999-12-31T00:00:00+14:00",
        "30d",
        "-1d",
        "\u00e9",
        "../" * 20,
    ),
    *(
        "{{ 'a' * 9999999999 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{% for a in [1] %}{{ a }}{% endfor %}",
        "{{ " + "(" * 3000,
        "/dev/null",
    ),
)
OTHERS = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    2**80,
    1.5,
    -0.0,
    1e308,
    [],
    {},
    [[]],
    [None],
    {"": None},
    ["a", {"b": 1}],
    {"a": {}},
)


class Chance:
    """Spoils values and texts, the same way for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self) -> Any:
        """Any value that may stand anywhere."""
        if self.random.random() < 0.02:
            deep: Any = []
            for _ in range(self.random.choice((60, 500, 800))):
                deep = [deep] if self.random.random() < 0.5 else {"a": deep}
            return deep
        return self.random.choice(TEXTS if self.random.random() < 0.5 else OTHERS)

    def spoil(self, root: Any) -> Any:
        """Change one to three places of a value, in place where it can."""
        for _ in range(self.random.randint(1, 3)):
            root = self._spoil_once(root)
        return root

    def _spoil_once(self, root: Any) -> Any:
        if not isinstance(root, (dict, list)) or not root:
            return self.value()
        at = root
        while True:
            key = self.random.choice(list(at)) if isinstance(at, dict) else self.random.randrange(len(at))
            if isinstance(at[key], (dict, list)) and at[key] and self.random.random() < 0.9:
                at = at[key]
                continue
            self._change(at, key, root)
            return root

    def _change(self, at: Any, key: Any, root: Any) -> None:
        way = self.random.random()
        if way < 0.15:
            del at[key]
        elif way < 0.25 and isinstance(at, dict):
            at[self.random.choice(TEXTS)] = at.pop(key)
        elif way < 0.35:
            at[key] = self._any_part(root)
        else:
            at[key] = self.value()

    def _any_part(self, root: Any) -> Any:
        """A copy of some other part."""
        part = root
        while isinstance(part, (dict, list)) and part and self.random.random() < 0.8:
            part = self.random.choice(list(part.values()) if isinstance(part, dict) else part)
        return json.loads(json.dumps(part, default=str)) if len(str(part)) < 10_000 else None

    def bytes(self, content: bytes) -> bytes:
        """Cut a text off, or put, take and change some bytes."""
        if self.random.random() < 0.3:
            return content[: self.random.randrange(len(content) + 1)]
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(content) + 1)
            new = self.random.choice(
                (b"\xff", b"\x00", b"[" * 9000, b"{" * 5, b'"', b"'", b"\n", b"\t", b": ", b"*a", b"&a ", b"!x ")
            )
            content = content[:at] + new + content[at + self.random.choice((0, 0, 1, 20)) :]
        return content


class Fuzz:
    """A copy of the built example, whose files are spoilt one at a time."""

    def __init__(self, built: Path, folder: Path) -> None:
        self.folder = folder
        self._pristine = (built / "dbt_project.yml").read_bytes()
        shutil.copytree(built / "models", folder / "models")
        (folder / "target").mkdir()
        self.manifest = self._small(json.loads((built / "target" / "manifest.json").read_text()))
        self.results = json.loads((built / "target" / "run_results.json").read_text())
        self.catalog = self._catalog()

    def begin(self, seed: int) -> None:
        """Put everything right, and draw from another seed."""
        self.chance = Chance(seed)
        self._write("target/manifest.json", self.manifest)
        self._write("target/run_results.json", self.results)
        self._write("dbt_project.yml", self._pristine)
        for name in ("catalog.json", "sources.json"):
            (self.folder / "target" / name).unlink(missing_ok=True)

    @staticmethod
    def _small(manifest: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is not read: of 2 MB, most are macros and the code of models."""
        small = {key: manifest[key] for key in SMALLEST_MANIFEST}
        for node in small["nodes"].values():
            for key in ("raw_code", "compiled_code", "unrendered_config", "checksum", "docs"):
                node.pop(key, None)
        return small

    def _catalog(self) -> dict[str, Any]:
        """A catalog like that of `dbt docs generate`, younger than the manifest, with a type for every column."""
        nodes = {}
        for name, node in self.manifest["nodes"].items():
            columns = {column: {"name": column, "type": "BIGINT", "index": 1} for column in node.get("columns") or {}}
            nodes[name] = {"metadata": {"type": "BASE TABLE"}, "columns": columns, "stats": {}}
        return {"metadata": {**self.manifest["metadata"], "generated_at": "2999-01-01T00:00:00Z"}, "nodes": nodes}

    def _write(self, name: str, content: Any) -> None:
        path = self.folder / name
        text = (
            content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode(errors="replace")
        )
        path.write_bytes(text)
        os.utime(path, (1e9, 1e9))  # so that nothing waits for dbt to end its writing

    def _spoilt(self, content: Any) -> Any:
        copy = json.loads(json.dumps(content))
        if self.chance.random.random() < 0.15:
            return self.chance.bytes(json.dumps(copy).encode())
        return self.chance.spoil(copy)

    def spoil_manifest(self) -> tuple[str, Callable[[], None]]:
        """Spoil the manifest, near our own blocks more often."""
        copy = json.loads(json.dumps(self.manifest))
        own = [
            each
            for each in (*copy["nodes"].values(), *copy["exposures"].values())
            if '"feature' in json.dumps(each["config"])
        ]
        if self.chance.random.random() < 0.7:
            node = self.chance.random.choice(own)
            part = self.chance.random.choice(("config", "config", "config", "columns", "depends_on", "constraints"))
            self.chance.spoil(node.get(part) or node)
            self._write("target/manifest.json", copy)
        else:
            self._write("target/manifest.json", self._spoilt(copy))
        return "manifest.json", self.read_definitions

    def spoil_results(self) -> tuple[str, Callable[[], None]]:
        """Spoil the run results, or those of source freshness."""
        name = self.chance.random.choice(("run_results.json", "sources.json"))
        self._write(f"target/{name}", self._spoilt(self.results))
        return name, self.read_results

    def spoil_catalog(self) -> tuple[str, Callable[[], None]]:
        """Spoil the catalog of a project without contracts."""
        copy = json.loads(json.dumps(self.manifest).replace('"enforced": true', '"enforced": false'))
        self._write("target/manifest.json", copy)
        self._write("target/catalog.json", self._spoilt(self.catalog))
        return "catalog.json", self.read_definitions

    def spoil_profiles(self) -> tuple[str, Callable[[], None]]:
        """Spoil the profiles, as values or as text."""
        self._write_yaml("profiles.yml", PROFILES)
        return "profile", self.read_targets

    def spoil_project(self) -> tuple[str, Callable[[], None]]:
        """Spoil the project's file, as values or as text."""
        self._write_yaml("dbt_project.yml", PROJECT)
        return "dbt_project.yml", self.read_definitions

    def _write_yaml(self, name: str, text: str) -> None:
        if self.chance.random.random() < 0.5:
            self._write(name, self.chance.bytes(text.encode()))
        else:
            spoilt = self.chance.spoil(yaml.safe_load(text))
            self._write(name, json.dumps(spoilt, default=str).encode())

    def read_definitions(self) -> None:
        """Do all that needs no warehouse and no Redis; definitions that are wrong are told with their lines."""
        with self._store() as store:
            checked = store.check()
            for finding in checked.findings:
                assert finding.file, finding
            with self._told():
                store.init(["departures"], use_warehouse=False)
            try:
                names = [*store.registry.feature_views, *store.registry.feature_services]
            except DefinitionError as wrong:
                raise store.project.lines.located_error(wrong) from None
            for name in names:
                with self._told():
                    store.describe(name)
            store.docs_block()
            for name in store.registry.feature_services:
                with self._told():
                    training_set = store.get_training_set(name, "departures")
                    training_set.to_model()

    def read_results(self) -> None:
        """Ask the gate and the tests of every view."""
        from feature_sync.dbt.run_results import Gate, UniquenessTests

        with self._store() as store:
            views = store.registry.feature_views.values()
            tests = UniquenessTests(store.project.dbt.run_results, store.manifest)
            for view in views:
                tests.prove(view)
            gate = Gate(store.project.dbt.run_results, store.manifest)
            for view in views:
                gate.reason_to_hold(view)

    def read_targets(self) -> None:
        """Read every target, and what its warehouse takes of it."""
        from feature_sync.warehouses.base import read_settings
        from feature_sync.warehouses.bigquery.settings import BigQuerySettings
        from feature_sync.warehouses.duckdb.settings import DuckDBSettings
        from feature_sync.warehouses.postgres.settings import PostgresSettings

        kinds = {"dev": DuckDBSettings, "pg": PostgresSettings, "bq": BigQuerySettings, "other": PostgresSettings}
        for name, kind in kinds.items():
            with self._told(), self._store(target=name, profile="shop") as store:
                assert "hunter2" not in repr(read_settings(store.target, kind))
        with self._store(profile="shop") as store:
            store.target  # noqa: B018

    def _store(self, **options: Any) -> FeatureStore:
        return FeatureStore.open(self.folder, profiles_dir=str(self.folder), warn=lambda text: None, **options)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Let one refusal pass, so that the next thing is tried."""
        try:
            yield
        except FeatureSyncError as refused:
            if "hunter2" in str(refused):
                raise AssertionError("a secret is told") from refused


def say(text: str) -> None:
    """Print what the test that watches will show."""
    sys.stdout.write(f"{text}\n")


def main(kind: str, seed: str, times: str, built: str) -> None:
    """Spoil and read; what goes wrong is printed with its case, and ends in exit 1."""
    faulthandler.dump_traceback_later(20 * LONGEST_SECONDS, exit=True)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(Path(built), Path(folder))
        for case in range(int(times)):
            fuzz.begin(int(seed) * 1_000_003 + case)
            name, read = getattr(fuzz, f"spoil_{kind}")()
            faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
            failures += not _goes_well(name, read, f"{kind} {seed} case {case}")
    megabytes = peak_bytes() // 2**20
    say(f"{kind}: {times} cases of seed {seed}, {failures} failures, {megabytes} MB")
    sys.exit(bool(failures) or megabytes > LONGEST_MEGABYTES)


def _goes_well(name: str, read: Callable[[], None], case: str) -> bool:
    begun = time.monotonic()
    try:
        read()
    except FeatureSyncError as refused:
        text = str(refused)
        told = name in text or ".yml" in text or ".sql" in text or "manifest.json" in text
        if told and "hunter2" not in text:
            return True
        say(f"{case}: names no file: {text[:500]}")
    except BaseException:  # noqa: BLE001 - whatever it is, the next case is tried
        say(f"{case}:\n{traceback.format_exc()[-2500:]}")
    else:
        return time.monotonic() - begun < LONGEST_SECONDS
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
