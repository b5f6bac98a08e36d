"""A dbt project read from disk, before anything is connected: definitions, target, selections."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from feature_sync.clock import Clock, read_clock
from feature_sync.dbt.description import Description, describe_service, describe_view
from feature_sync.dbt.lines import SourceLines
from feature_sync.dbt.manifest import Manifest, read_manifest
from feature_sync.dbt.profile import OwnSetting, read_own_setting, read_target
from feature_sync.dbt.project import Project, read_project
from feature_sync.dbt.registry import read_registry
from feature_sync.definitions import (
    FeatureService,
    FeatureView,
    Registry,
    Target,
    parse_features,
    service_of,
    state_target,
)
from feature_sync.errors import RequestError
from feature_sync.findings import Finding

if TYPE_CHECKING:
    from feature_sync.sql.dialects.base import Dialect

_LOG = logging.getLogger(__name__)
STATE_SCHEMA = "feature_sync_schema"
"""The dbt variable that names the state schema: states and staging tables."""


class OptionKeywords(TypedDict, total=False):
    """The fields of `Options` except `project_dir`, as keyword arguments."""

    profiles_dir: str | os.PathLike[str] | None
    profile: str | None
    target: str | None
    target_path: str | None
    redis_url: str | None
    redis_timeout: float | str | None
    key_prefix: str | None
    variables: Mapping[str, Any]
    warn: Callable[[str], None] | None
    connection: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the project, its profile, its artifacts and Redis are.

    None means dbt's environment variable, then dbt's default.

    Args:
        project_dir: Folder of dbt_project.yml.
        profiles_dir: Folder of profiles.yml.
        profile: Profile to use instead of the project's.
        target: Target to use instead of the profile's.
        target_path: Folder to which dbt writes its artifacts.
        redis_url: `redis://`, `rediss://` or `unix://`; with `+cluster` or `+sentinel` to read vectors from those. Left
            out of the `repr`, since it may hold a password.
        redis_timeout: How long to wait for a reply of Redis, in seconds.
        key_prefix: Prefix of every key in Redis; the default is the project's name.
        variables: dbt variables, as for `dbt --vars`. They may hold passwords, too.
        warn: Receives warnings (stale artifacts, deprecated or unpinned versions); None logs them.
        connection: An open connection of DuckDB to the target's database, as a notebook has one: it is used instead of
            opening the file again, which DuckDB refuses while the file is open with other settings. Copies in other
            processes open the file.
    """

    project_dir: str | os.PathLike[str] | None = None
    profiles_dir: str | os.PathLike[str] | None = None
    profile: str | None = None
    target: str | None = None
    target_path: str | None = None
    redis_url: str | None = field(default=None, repr=False)
    redis_timeout: float | str | None = None
    key_prefix: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warn: Callable[[str], None] | None = field(default=None, repr=False)
    connection: Any = field(default=None, repr=False)

    def __getstate__(self) -> list[Any]:
        """Leave out the connection, which belongs to this process."""
        return [None if each.name == "connection" else getattr(self, each.name) for each in fields(self)]

    def __setstate__(self, state: list[Any]) -> None:
        """Take the fields of a copy."""
        for each, value in zip(fields(self), state, strict=True):
            object.__setattr__(self, each.name, value)


class FeatureProject:
    """A dbt project with its feature views and services, read from its files and artifacts."""

    def __init__(self, options: Options) -> None:
        """Read dbt_project.yml; everything else is read when first needed.

        Raises:
            ProjectError: The folder has no dbt project.
        """
        self.options = options
        self.warn = options.warn or _LOG.warning
        folder = options.project_dir
        self.dbt: Project = read_project(
            os.fspath(folder) if folder is not None else None, options.target_path, options.variables
        )
        self._warned: set[Finding] = set()

    def __repr__(self) -> str:
        return f"FeatureProject({str(self.dbt.directory)!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the target, which holds passwords; an unpickled copy reads it again."""
        return {name: value for name, value in self.__dict__.items() if name != "target"}

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest that dbt wrote.

        Raises:
            ProjectError: The manifest does not exist yet, or cannot be read.
        """
        return read_manifest(self.dbt.target_path / "manifest.json")

    @cached_property
    def registry(self) -> Registry:
        """All entities, feature views and feature services.

        Raises:
            DefinitionError: A definition is wrong.
            ProjectError: The manifest does not exist yet, or cannot be read.
        """
        if stale := self.dbt.warning_of_newer_sources(self.manifest.path):
            self.warn(str(self.lines.located(stale)))
        return read_registry(self.manifest, project=self.dbt.name, catalog=self.dbt.catalog)

    @property
    def lines(self) -> SourceLines:
        """Finds the lines of definitions in the project's files as they are now."""
        return SourceLines(self.dbt, self.manifest)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Warnings for the users of feature services, with their lines.

        Raises:
            DefinitionError: A definition is wrong.
        """
        return tuple(map(self.lines.located, self.registry.warnings))

    @cached_property
    def target(self) -> Target:
        """The connection settings of the warehouse.

        Raises:
            ProfileError: `profiles.yml` has no such profile or target, or cannot be read.
        """
        options = self.options
        target = read_target(self.dbt, profiles_dir=self._profiles_dir, profile=options.profile, target=options.target)
        if options.connection is None:
            return target
        if target.adapter != "duckdb":
            raise RequestError(f"connection= is for DuckDB, and the target {target.name} is {target.adapter}")
        return replace(target, settings={**target.settings, "connection": options.connection})

    def own_setting(self, key: str) -> OwnSetting:
        """Return what the profile sets for feature-sync alone; it may hold secrets.

        Raises:
            ProfileError: The profile cannot be read, or the setting.
        """
        return read_own_setting(self.dbt, key, profiles_dir=self._profiles_dir, profile=self.options.profile)

    @property
    def _profiles_dir(self) -> str | None:
        folder = self.options.profiles_dir
        return None if folder is None else os.fspath(folder)

    @property
    def dialect(self) -> Dialect:
        """The dialect of the warehouse that the manifest was written for, else of the target's.

        Raises:
            RequestError: The dialect is not supported.
        """
        from feature_sync.sql.dialects import dialect_named

        return dialect_named(self.manifest.metadata.adapter_type or self.target.adapter)

    @property
    def key_prefix(self) -> str:
        """The prefix of every key in Redis: the project's name, unless configured."""
        return self.options.key_prefix or os.environ.get("FEATURE_SYNC_KEY_PREFIX") or self.dbt.name

    @property
    def state_target(self) -> Target | None:
        """Where pushes keep their states if not in the target's own warehouse: its field `state` in `profiles.yml`.

        Raises:
            ProfileError: The field is no mapping with a type that can keep states.
        """
        return state_target(self.target)

    @property
    def state_schema(self) -> str:
        """The schema in which pushes keep their states and staging tables."""
        kept = self.state_target or self.target
        return str(self.dbt.variables.get(STATE_SCHEMA) or f"{kept.schema}_feature_sync")

    def clock(self, as_of: datetime | None) -> Clock:
        """Return a clock fixed at a moment in UTC, else at the project's `feature_sync_as_of`, else the real clock.

        Raises:
            RequestError: The project's moment is not in ISO 8601.
        """
        return read_clock(as_of if as_of is not None else self.dbt.as_of)

    def describe(self, name: str) -> Description:
        """Describe a feature view or a feature service.

        Raises:
            UnknownName: The project defines neither.
        """
        if service := self.registry.feature_services.get(name):
            return describe_service(self._warned_of(service), self.manifest)
        self.registry.service_or_view(name)
        return describe_view(self.registry.feature_view(name), self.manifest, self.registry)

    def docs_block(self, name: str, *, output: str | os.PathLike[str] | None) -> str:
        """Return a docs block about all entities, feature views and feature services; see `FeatureStore`."""
        from feature_sync.docs import check_output, docs_block

        text = docs_block(self.registry, self.manifest, name)
        if output is not None:
            for warning in check_output(Path(output), name, project=self.dbt, manifest=self.manifest):
                self.warn(warning)
        return text

    def service(self, name: str | None, features: Iterable[str] = ()) -> FeatureService:
        """Find a service by name, or make one of `view:feature` names.

        Raises:
            RequestError: Both or neither are given, or a feature is not written as `view:feature`.
            UnknownName: The project does not define it.
        """
        chosen = listed(features)
        if (name is None) == (not chosen):
            raise RequestError("name a feature service, or features (each view:feature) with --features, and not both")
        if name is not None:
            return self._warned_of(self.registry.service_or_view(name))
        return service_of(parse_features(chosen, self.registry), name="my_model")

    def _warned_of(self, service: FeatureService) -> FeatureService:
        """Return the service; pass each of its warnings to `warn` once."""
        new = [each for each in service.warnings if each not in self._warned]
        self._warned.update(new)
        for warning in map(self.lines.located, new):
            self.warn(str(warning))
        return service

    def online_views(
        self, names: Sequence[str], select: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> list[FeatureView]:
        """Return the named views, or all that are online, filtered by dbt's own selection syntax.

        Args:
            names: References of views; empty for all.
            select: dbt selections, such as `tag:churn`; a view must match at least one of them.
            exclude: dbt selections of views to leave out.

        Raises:
            RequestError: A view is not online, or none is left.
            UnknownName: The project does not define a view.
        """
        from feature_sync.dbt.selection import selection_text

        named = [self.registry.feature_view(name) for name in names]
        for view in named:
            if not view.online:
                raise RequestError(f"{view.relation.location}: {view.reference} says online: false")
        views = named or [view for view in self.registry.feature_views.values() if view.online]
        if not views:
            raise RequestError("the project defines no feature view that is online")
        if select or exclude:
            ids = self.selected_ids(select, exclude)
            views = [view for view in views if view.relation.unique_id in ids]
            if not views:
                raise RequestError(f"{selection_text(select, exclude)} selects no feature view that is online")
        return views

    def selected_ids(self, select: Sequence[str], exclude: Sequence[str]) -> set[str]:
        """Return the unique ids of the nodes that dbt selects; see `dbt.selection.select`."""
        from feature_sync.dbt.selection import select as select_by_dbt

        options = {"--profiles-dir": self._profiles_dir, "--profile": self.options.profile}
        options |= {"--target": self.options.target, "--target-path": self.options.target_path}
        return select_by_dbt(select, exclude, project_dir=self.dbt.directory, options=options)

    def with_proven_uniqueness(self, views: Iterable[FeatureView]) -> list[FeatureView]:
        """Mark views whose uniqueness test passed in dbt's last build; their queries need not break ties."""
        from feature_sync.dbt.run_results import UniquenessTests

        tests = UniquenessTests(self.dbt.run_results, self.manifest)
        return [replace(view, is_unique=view.is_unique or tests.prove(view)) for view in views]

    def forget_artifacts(self) -> None:
        """Drop the cached manifest and registry, since dbt wrote a newer manifest; the next access reads it."""
        for name in ("manifest", "registry"):
            self.__dict__.pop(name, None)


def listed(names: Iterable[str]) -> list[str]:
    """Return names as a list; a single string is one name, not an iterable of letters."""
    return [names] if isinstance(names, str) else list(names)
