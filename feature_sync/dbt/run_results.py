"""Reads `run_results.json`, and decides whether dbt's last build vouches for a feature view."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from feature_sync.dbt.artifacts import decode_artifact
from feature_sync.dbt.manifest import Manifest, Metadata
from feature_sync.dbt.node import Node, parts_of
from feature_sync.definitions import FeatureView
from feature_sync.errors import ArtifactsChanged

_BUILDING = ("build", "run", "test", "retry")
_UNIQUE = {
    "unique": "column_name",
    "unique_combination": "columns",
    "unique_combination_of_columns": "combination_of_columns",
}
_PLANNED = re.compile(rb'\s*\{\s*"_invocation_id":\s*"([^"]+)"')
_BYTES_OF_ID = 200
_STALE = ("error", "runtime error")
_GOOD = ("success", "pass", "warn", "no-op", "reused")


class Result(msgspec.Struct):
    """The result of one node."""

    unique_id: str | None = None
    status: str | None = None
    relation_name: str | None = None
    message: str | None = None
    failures: int | None = None


class RunResults(msgspec.Struct):
    """The content of `run_results.json`: the results of all nodes of one dbt command."""

    metadata: Metadata | None = None
    args: dict[str, Any] | None = None
    results: list[Result] | None = None


class UniquenessTests:
    """The passed uniqueness tests of dbt's last build, over whole tables.

    Only results of the same command that wrote the manifest count: others may be of another target.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = path
        self._manifest = manifest

    def prove(self, view: FeatureView) -> bool:
        """True if a test proves that no two rows of a view share join keys and event timestamp.

        Raises:
            ProjectError: The results are truncated or of another shape; missing ones prove nothing.
        """
        if view.event_timestamp is None or view.timezone.upper() != "UTC":
            return False
        names = [name for name in self._manifest.tests_of(view.relation.unique_id) if name in self._passed]
        found = [unique_columns(test) for test in map(self._manifest.node, names) if test is not None]
        return any(columns and columns <= {*view.join_keys, view.event_timestamp} for columns in found)

    @cached_property
    def _passed(self) -> set[str | None]:
        if not self._path.exists():
            return set()
        content = decode_artifact(self._path, RunResults)
        args, metadata = content.args or {}, content.metadata or Metadata()
        if args.get("empty") or args.get("sample") or metadata.invocation_id != self._manifest.metadata.invocation_id:
            return set()
        return {each.unique_id for each in content.results or [] if each.status == "pass" and each.failures == 0}


def unique_columns(test: Node) -> set[str]:
    """Return the columns that a test over the whole table proves unique together; empty for other tests."""
    config = test.config or {}
    if config.get("where") or config.get("limit"):
        return set()
    named = test.test_arguments.get(_UNIQUE.get(test.test_name, ""))
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return {str(name).strip('"`') for name in names}


class Gate:
    """Holds back a view unless dbt built and tested it successfully, from fresh sources, in the relation to push."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        """Read the results, and those of `dbt source freshness` beside them.

        Raises:
            ProjectError: A file is truncated or of another shape; missing results hold back every view.
        """
        self._path = path
        self._manifest = manifest
        self._read = self._signature()
        content = decode_artifact(path, RunResults) if path.exists() else RunResults()
        self._args = content.args or {}
        self._metadata = content.metadata or Metadata()
        self._results = {each.unique_id: each for each in content.results or []}
        sources = path.with_name("sources.json")
        cure = "run dbt source freshness again, or delete it"
        freshness = decode_artifact(sources, RunResults, cure=cure) if sources.exists() else RunResults()
        self._freshness = freshness.metadata or Metadata()
        self._stale = {each.unique_id or "" for each in freshness.results or [] if each.status in _STALE}

    def check_unchanged(self) -> None:
        """Raise if dbt has rewritten its artifacts, or begun a command, since they were read.

        Raises:
            ArtifactsChanged: It has.
        """
        if self._signature() != self._read or (not self._is_outdated and self._has_newer_command()):
            raise ArtifactsChanged(f"{self._path.parent} was rewritten by dbt during the push; push again")

    @cached_property
    def _is_outdated(self) -> bool:
        return self._has_newer_command()

    def _has_newer_command(self) -> bool:
        """True if, after these results, dbt began a command that may build tables: it runs, or ended without results.

        dbt writes the manifest when it begins, and the results when it ends. `dbt parse` and `dbt source freshness`
        write a manifest, too, and build nothing: the latter leaves its id in its own results, the former plans no graph
        and runs no node. Without a file that records planned graphs, every newer manifest counts.
        """
        manifest = self._manifest.metadata
        if manifest.invocation_id and manifest.invocation_id in (
            self._metadata.invocation_id,
            self._freshness.invocation_id,
        ):
            return False
        if not is_newer(manifest, self._metadata):
            return False
        planned = last_planned_id(self._path.with_name("graph_summary.json"))
        return planned is None or planned == manifest.invocation_id or self._has_run_nodes()

    def _has_run_nodes(self) -> bool:
        """True if dbt has run a node since it wrote the results: before running a node, it writes the node's SQL."""
        written = self._path.stat().st_mtime
        return any(file.stat().st_mtime > written for file in self._path.with_name("run").rglob("*.sql"))

    def _signature(self) -> list[tuple[int, int, int]]:
        paths = [path for path in (self._path, self._manifest.path) if path.exists()]
        return [(at.st_ino, at.st_size, at.st_mtime_ns) for at in (path.stat() for path in paths)]

    def reason_to_hold(self, view: FeatureView) -> str | None:
        """Return why a view must not be pushed; None if it may be."""
        build = f"dbt build -s {view.name}"
        which = self._args.get("which")
        if not self._results and which is None:
            return f"{self._path} is missing; run {build}"
        if which not in _BUILDING:
            return f"the last results are of dbt {which}, which builds nothing; run {build}"
        for flag in ("empty", "sample"):
            if self._args.get(flag):
                return f"dbt {which} ran with --{flag}: its tables are incomplete; run {build}"
        if self._is_outdated:
            began = self._manifest.metadata.generated_at
            return (
                f"dbt began a command at {began}, after these results: it is still building or testing, or ended "
                f"without results; wait for it, or run {build}"
            )
        stale = sorted(self._stale & self._manifest.ancestors(view.relation.unique_id))
        if stale:
            name = parts_of(stale[0])[2] or stale[0]
            return f"the source {name} is stale; load it, and run dbt source freshness and {build}"
        return self._verdict(view, build)

    def _verdict(self, view: FeatureView, build: str) -> str | None:
        unique_id = view.relation.unique_id
        own = self._results.get(unique_id)
        tests = {name: self._results[name] for name in self._manifest.tests_of(unique_id) if name in self._results}
        if own is None and not tests:
            return f"dbt's last command did not touch it; run {build}"
        if own is not None and own.relation_name and own.relation_name != view.relation.name:
            return f"dbt built {own.relation_name}, but the manifest names {view.relation.name}; run {build}"
        if own is not None and own.status not in _GOOD:
            return f"its model ended with {own.status}{_because(own)}"
        for name, test in tests.items():
            if test.status not in _GOOD:
                return (
                    f"the test {parts_of(name)[2].partition('.')[0] or name} ended with {test.status}{_because(test)}"
                )
        return None


def is_newer(one: Metadata, other: Metadata) -> bool:
    """True if one artifact was written after another; False if either lacks its time."""
    try:
        return datetime.fromisoformat(one.generated_at or "") > datetime.fromisoformat(other.generated_at or "")
    except (TypeError, ValueError):
        return False


def last_planned_id(path: Path) -> str | None:
    """Read the invocation id of the last command for which dbt planned a graph; None if no file records it."""
    try:
        with path.open("rb") as summary:
            found = _PLANNED.match(summary.read(_BYTES_OF_ID))
    except OSError:
        return None
    return found[1].decode() if found else None


def _because(result: Result) -> str:
    message = " ".join((result.message or "").split())
    return f" ({message})" if message else ""
