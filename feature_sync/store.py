"""The library's face: a `FeatureStore` opens a dbt project and hands each request down to what does the work."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from feature_sync.clock import Clock, read_clock, read_moment
from feature_sync.dbt.description import Description, describe_service, describe_view
from feature_sync.dbt.manifest import Manifest, read_manifest
from feature_sync.dbt.profile import read_target
from feature_sync.dbt.project import Project, read_project
from feature_sync.dbt.registry import read_registry
from feature_sync.definitions import (
    FeatureService,
    FeatureView,
    Registry,
    Relation,
    Target,
    parse_features,
    service_of,
)
from feature_sync.errors import ArtifactsChanged, ProjectError, RequestError

if TYPE_CHECKING:
    from feature_sync.adopting import Adoption
    from feature_sync.check import Checked
    from feature_sync.lookup import FeatureVector, Reader
    from feature_sync.online.redis import OnlineStore
    from feature_sync.online.server import EmbeddedServer
    from feature_sync.push import Progress, Pushed, Setting
    from feature_sync.status import ViewStatus
    from feature_sync.training import SpineSource, TrainingSet
    from feature_sync.verify import Verified
    from feature_sync.warehouses.base import Warehouse

FOLDER = ".feature_sync"
STATE_SCHEMA = "feature_sync_schema"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where everything is; what is None falls back on dbt's environment variables, then on dbt's defaults.

    `redis_timeout` is how long to wait for an answer of Redis, in seconds.
    The URL of Redis may hold a password, so it is no part of the `repr`.
    """

    project_dir: str | None = None
    profiles_dir: str | None = None
    profile: str | None = None
    target: str | None = None
    target_path: str | None = None
    redis_url: str | None = field(default=None, repr=False)
    redis_timeout: float | str | None = None
    key_prefix: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


class FeatureStore:
    """The feature views and services of one dbt project, its warehouse and its online store.

    Nothing is connected until it is needed. Use it as a context manager, or close it.

    >>> store = FeatureStore.open("shop")                                               # doctest: +SKIP
    >>> store.get_feature_vector("churn_model", {"customer_id": 7}).to_dict()           # doctest: +SKIP
    {'order_count': 3, 'amount_30d': 120.5}
    """

    def __init__(self, options: Options, warn: Callable[[str], None] = _LOG.warning) -> None:
        self.options = options
        self._warn = warn
        self.project: Project = read_project(options.project_dir, options.target_path, options.variables)
        self._online: OnlineStore | None = None
        self._reader: Reader | None = None
        self._warned: set[str] = set()

    @classmethod
    def open(
        cls,
        project_dir: str | os.PathLike[str] | None = None,
        *,
        warn: Callable[[str], None] = _LOG.warning,
        **options: Any,
    ) -> Self:
        """Open a dbt project; the options are those of `Options`.

        What a person should know although nothing failed (stale artifacts, versions that are deprecated or not
        pinned) goes to `warn`.

        Raises:
            ProjectError: There is no dbt project.
        """
        folder = os.fspath(project_dir) if project_dir is not None else None
        return cls(Options(project_dir=folder, **options), warn)

    def close(self) -> None:
        """Close the connection to Redis; the warehouse is only open while a request needs it."""
        if self._online is not None:
            self._online.close()
        self._online = self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out connections, which cannot be copied, and the profile with its passwords; a copy finds its own."""
        state = {name: value for name, value in self.__dict__.items() if name != "target"}
        return {**state, "_online": None, "_reader": None}

    @cached_property
    def manifest(self) -> Manifest:
        """What dbt wrote about the project.

        Raises:
            ProjectError: There is no manifest yet, or it cannot be read.
        """
        return read_manifest(self.project.target_path / "manifest.json")

    @cached_property
    def registry(self) -> Registry:
        """All entities, feature views and feature services.

        Raises:
            DefinitionError: A definition is wrong.
            ProjectError: There is no manifest yet, or it cannot be read.
        """
        if stale := self.project.warning_of_newer_sources(self.manifest.path):
            self._warn(" ".join(stale))
        return read_registry(self.manifest, project=self.project.name, catalog=self.project.catalog)

    @cached_property
    def target(self) -> Target:
        """How to reach the warehouse.

        Raises:
            ProfileError: `profiles.yml` does not say.
        """
        options = self.options
        return read_target(
            self.project, profiles_dir=options.profiles_dir, profile=options.profile, target=options.target
        )

    @property
    def key_prefix(self) -> str:
        """What all keys in Redis begin with: the project's name, unless configured."""
        return self.options.key_prefix or os.environ.get("FEATURE_SYNC_KEY_PREFIX") or self.project.name

    @property
    def embedded_server(self) -> EmbeddedServer:
        """The project's own Redis, whether it runs or not."""
        from feature_sync.online.server import EmbeddedServer

        return EmbeddedServer(self.project.directory / FOLDER / "redis", timeout=self._redis_timeout)

    def describe(self, name: str) -> Description:
        """Tell all that is known of a feature view or a feature service.

        Raises:
            UnknownName: The project defines neither.
        """
        if service := self.registry.feature_services.get(name):
            self._warn_of(service)
            return describe_service(service, self.manifest)
        self.registry.service_or_view(name)
        view = self.registry.feature_view(name)
        return describe_view(view, self.manifest, self.registry)

    def docs_block(self, name: str = "__overview__", *, output: str | os.PathLike[str] | None = None) -> str:
        """Write a page for dbt's docs site about all entities, feature views and feature services: a docs block.

        Raises:
            DefinitionError: A definition is wrong.
            RequestError: dbt allows no block of that name, or none in the file that is to hold it.
        """
        from feature_sync.docs import check_place, docs_block

        text = docs_block(self.registry, self.manifest, name)
        if output is not None:
            for warning in check_place(Path(output), name, project=self.project, manifest=self.manifest):
                self._warn(warning)
        return text

    def init(
        self,
        models: Iterable[str],
        *,
        entities: Mapping[str, tuple[str, ...]] | None = None,
        event_time: str | None = None,
        use_warehouse: bool = True,
        write: bool = False,
        before_scan: Callable[[str, int], None] = lambda model, size: None,
    ) -> Adoption:
        """Guess what would make models feature views; with `write`, put it into the project's YAML.

        `entities` (by name, with their columns) and `event_time` stand in place of guesses. `before_scan` is told what
        a count over a model will read, in bytes, where the warehouse charges by it.

        Raises:
            FeatureSyncError: A model is unknown, or the project or the warehouse cannot be read.
        """
        from feature_sync.adopting import Adopter, Asked
        from feature_sync.sql.dialects import dialect_named
        from feature_sync.statements import Statements

        adapter = dialect_named(self.manifest.metadata.adapter_type or self.target.adapter).name
        with ExitStack() as opened:
            statements = Statements(opened.enter_context(self._open_warehouse())) if use_warehouse else None
            adopter = Adopter(
                self.project,
                self.manifest,
                self.registry,
                adapter=adapter,
                statements=statements,
                before_scan=before_scan,
            )
            adoption = adopter.propose(_listed(models), Asked(entities=entities or {}, event_time=event_time))
        if write:
            adopter.write(adoption)
        return adoption

    def push(
        self,
        names: Iterable[str] = (),
        *,
        select: Iterable[str] = (),
        exclude: Iterable[str] = (),
        as_of: str | datetime | None = None,
        gate: bool = True,
        prune: bool = False,
        threads: int | None = None,
        progress: Progress = lambda view, rows: None,
        **options: Any,
    ) -> Iterator[Pushed]:
        """Make the online store equal to the newest rows, for the views named or all that are online.

        The options are those of `PushOptions`. Without a `gate`, whatever dbt says of a view, it is pushed. `prune`
        removes views from Redis that the project no longer defines.

        Raises:
            FeatureSyncError: A view is unknown or wrong, or the warehouse or Redis failed; others are pushed first.
        """
        from feature_sync.dbt.run_results import Gate
        from feature_sync.push import Pusher

        done: set[str] = set()
        names, select, exclude = _listed(names), _listed(select), _listed(exclude)  # a second try asks once more
        for last_try in (False, False, True):
            views = [each for each in self._online_views(names, select, exclude) if each.reference not in done]
            views = self._proven(views) if gate else views
            setting = self._push_setting(as_of, progress, options)
            guard = Gate(self.project.run_results, self.manifest) if gate else None
            try:
                for pushed in Pusher(setting, gate=guard, threads=threads or self.target.threads).push(views):
                    done.add(pushed.feature_view)
                    yield pushed
            except ArtifactsChanged:
                if last_try:
                    raise
                self._forget_artifacts()
            else:
                yield from self._prune(setting, remove=prune)
                return

    def _proven(self, views: Iterable[FeatureView]) -> list[FeatureView]:
        """Say which views the tests of dbt's last build found unique: among their rows no tie needs to be sought."""
        from feature_sync.dbt.run_results import UniquenessTests

        tests = UniquenessTests(self.project.run_results, self.manifest)
        return [replace(view, is_unique=view.is_unique or tests.prove(view)) for view in views]

    def _prune(self, setting: Setting, *, remove: bool) -> Iterator[Pushed]:
        """Tell which views Redis holds although the project no longer defines them, or remove them."""
        from feature_sync.push import left_behind, prune

        defined = [view.reference for view in self.registry.feature_views.values() if view.online]
        names = left_behind(setting, defined)
        if remove and not setting.options.dry_run:
            yield from prune(setting, names)
        elif names:
            self._warn(f"Redis still holds {', '.join(names)}, which the project no longer pushes; remove with --prune")

    def _push_setting(self, as_of: str | datetime | None, progress: Progress, options: Mapping[str, Any]) -> Setting:
        from feature_sync.push import PushOptions, Setting

        return Setting(
            open_warehouse=partial(
                self._open_warehouse, writable=not options.get("dry_run"), wait=bool(options.get("wait"))
            ),
            online=self._open_online(),
            prefix=self.key_prefix,
            clock=self._clock(as_of),
            options=PushOptions(schema=self.state_schema, **options),
            invocation_id=self.manifest.metadata.invocation_id,
            progress=progress,
        )

    def verify(
        self,
        names: Iterable[str] = (),
        *,
        select: Iterable[str] = (),
        exclude: Iterable[str] = (),
        as_of: str | datetime | None = None,
        sample: int | None = None,
        redact: bool = False,
        progress: Progress = lambda view, rows: None,
    ) -> Iterator[Verified]:
        """Compare Redis with the warehouse, for the views named or all that are online; nothing is written.

        The moment is that of the newest push where its clock was fixed, else now, unless `as_of` names another. A
        `sample` compares that many entities of each view. With `redact`, examples hold keys but no values.

        Raises:
            FeatureSyncError: A view is unknown or wrong, or the warehouse or Redis failed.
        """
        from feature_sync.verify import Setting, Verifier

        setting = Setting(
            open_warehouse=self._open_warehouse,
            online=self._open_online(may_create=False),
            prefix=self.key_prefix,
            as_of=None if as_of is None else read_moment(as_of, "--as-of"),
            sample=sample,
            redact=redact,
            progress=progress,
        )
        views = self._online_views(_listed(names), _listed(select), _listed(exclude))
        yield from Verifier(setting).verify(views)

    def status(self, names: Iterable[str] = ()) -> list[ViewStatus]:
        """Tell what is known of the pushes of the views named, or of all that are online or were pushed once.

        Raises:
            FeatureSyncError: A view is unknown, or Redis failed. If the warehouse does, each status says so.
        """
        from feature_sync.status import Places, read_statuses

        names = _listed(names)
        views, online = self._online_views(names, (), ()), self._open_online(may_create=False)
        places = Places(
            open_warehouse=self._open_warehouse, online=online, prefix=self.key_prefix, schema=self.state_schema
        )
        others = set() if names else online.views(self.key_prefix) - {view.reference for view in views}
        return list(read_statuses(views, places, others=others))

    def check(self, *, warehouse: bool = False) -> Checked:
        """Find everything that is wrong with the definitions, and all that their users should know.

        With `warehouse`, the columns of the built tables are looked at too.

        Raises:
            ProjectError: There is no manifest yet, or it cannot be read.
        """
        from feature_sync.check import check_definitions

        return check_definitions(
            self.project, self.manifest, open_warehouse=self._open_warehouse if warehouse else None
        )

    @property
    def state_schema(self) -> str:
        """Where pushes keep their state and staging tables in the warehouse."""
        return str(self.project.variables.get(STATE_SCHEMA) or f"{self.target.schema}_feature_sync")

    def _forget_artifacts(self) -> None:
        """Read the manifest again when it is next needed."""
        for name in ("manifest", "registry"):
            self.__dict__.pop(name, None)

    def get_feature_vector(
        self, name: str, keys: Mapping[str, Any], *, as_of: str | datetime | None = None
    ) -> FeatureVector:
        """Read the values of a feature service (or of one view) for one set of keys.

        Raises:
            FeatureSyncError: The name or a key is unknown, or Redis failed.
        """
        return self.get_online_features(name, [keys], as_of=as_of)[0]

    def get_online_features(
        self, name: str, entity_rows: Iterable[Mapping[str, Any]], *, as_of: str | datetime | None = None
    ) -> list[FeatureVector]:
        """Read the values of a feature service (or of one view) for many sets of keys, in their order.

        Raises:
            FeatureSyncError: The name or a key is unknown, or Redis failed.
        """
        from feature_sync.lookup import Reader

        service = self._warn_of(self.registry.service_or_view(name))
        if self._reader is None:
            self._reader = Reader(self._open_online(), prefix=self.key_prefix)
        return self._reader.read(service, list(entity_rows), as_of=self._clock(as_of))

    def get_training_set(
        self,
        service: str | None,
        spine: SpineSource | None = None,
        *,
        features: Iterable[str] = (),
        spine_sql: str | None = None,
        strategy: str | None = None,
        **options: Any,
    ) -> TrainingSet:
        """Answer a spine with a service, or with `view:feature` names.

        The spine is a model, seed, snapshot or source by name, a Parquet or CSV file, a pandas frame, an Arrow table,
        or a query (`spine_sql`); the options are those of `SpineOptions`.

        Raises:
            FeatureSyncError: A name is unknown, or an option makes no sense.
        """
        from feature_sync.dbt.run_results import UniquenessTests
        from feature_sync.training import SpineOptions, TrainingSet, read_spine

        asked, rows = read_spine(spine, spine_sql, SpineOptions(**options), manifest=self.manifest)
        return TrainingSet(
            service=self.service(service, features),
            spine=asked,
            rows=rows,
            strategy=strategy,
            adapter=self.manifest.metadata.adapter_type or self.target.adapter,
            open_warehouse=self._open_warehouse,
            is_proven_unique=UniquenessTests(self.project.run_results, self.manifest).prove,
            reference_to=self._reference_to,
            invocation_id=self.manifest.metadata.invocation_id,
        )

    def _reference_to(self, relation: Relation) -> str:
        return self.manifest.reference(relation.unique_id)

    def service(self, name: str | None, features: Iterable[str] = ()) -> FeatureService:
        """Find a service by name, or make one of `view:feature` names.

        Raises:
            RequestError: Both or neither are given, or a feature is not written as `view:feature`.
            UnknownName: The project does not define it.
        """
        chosen = _listed(features)
        if (name is None) == (not chosen):
            raise RequestError("name a feature service, or features as --features view:feature,..., and not both")
        if name is not None:
            return self._warn_of(self.registry.service_or_view(name))
        return service_of(parse_features(chosen, self.registry), name="my_model")

    def _warn_of(self, service: FeatureService) -> FeatureService:
        """Say, once, what users of a service should know."""
        for warning in map(str, service.warnings):
            if warning not in self._warned:
                self._warned.add(warning)
                self._warn(warning)
        return service

    def _clock(self, as_of: str | datetime | None) -> Clock:
        return read_clock(as_of, self.project.as_of)

    def _online_views(self, names: Sequence[str], select: Sequence[str], exclude: Sequence[str]) -> list[FeatureView]:
        from feature_sync.dbt.selection import select as select_by_dbt
        from feature_sync.dbt.selection import spoken_selection

        named = [self.registry.feature_view(name) for name in names]
        for view in named:
            if not view.online:
                raise RequestError(f"{view.relation.location}: {view.reference} says online: false")
        views = named or [view for view in self.registry.feature_views.values() if view.online]
        if not views:
            raise RequestError("the project defines no feature view that is online")
        if select or exclude:
            options = {"--profiles-dir": self.options.profiles_dir, "--profile": self.options.profile}
            options |= {"--target": self.options.target, "--target-path": self.options.target_path}
            ids = select_by_dbt(select, exclude, project_dir=self.project.directory, options=options)
            views = [view for view in views if view.relation.unique_id in ids]
            if not views:
                raise RequestError(f"{spoken_selection(select, exclude)} selects no feature view that is online")
        return views

    def _open_warehouse(self, **how: Any) -> Warehouse:
        from feature_sync.warehouses import open_warehouse

        built_for = self.manifest.metadata.adapter_type
        if built_for is not None and built_for != self.target.adapter:
            raise ProjectError(
                f"{self.manifest.path} was written for {built_for}, but the target {self.target.name} is "
                f"{self.target.adapter}; run dbt build --target {self.target.name}"
            )
        return open_warehouse(self.target, **how)

    def _open_online(self, *, may_create: bool = True) -> OnlineStore:
        """Connect to Redis; who only looks does not make an embedded one."""
        from feature_sync.online.redis import OnlineStore

        if self._online is None:
            url = self._configured_redis_url
            if url is None and not may_create and self.target.adapter == "duckdb" and self.embedded_server.url is None:
                raise RequestError("this project has no embedded Redis yet: feature-sync push makes one and fills it")
            self._online = OnlineStore(url or self.redis_url(), timeout=self._redis_timeout)
        return self._online

    @property
    def _redis_timeout(self) -> float:
        from feature_sync.online.redis import read_timeout

        return read_timeout(self.options.redis_timeout or os.environ.get("FEATURE_SYNC_REDIS_TIMEOUT"))

    @property
    def _configured_redis_url(self) -> str | None:
        return self.options.redis_url or os.environ.get("FEATURE_SYNC_REDIS_URL")

    def redis_url(self) -> str:
        """Where Redis is; without a URL, a project on DuckDB starts one of its own.

        Raises:
            RequestError: No URL is set, and the target is a warehouse that several people share.
        """
        if url := self._configured_redis_url:
            return url
        if self.target.adapter == "duckdb":
            return self.embedded_server.start()
        raise RequestError("say where Redis is with --redis-url or FEATURE_SYNC_REDIS_URL")


def _listed(names: Iterable[str]) -> list[str]:
    """Read names once, whatever holds them; a lone text is one name, not its letters."""
    return [names] if isinstance(names, str) else list(names)
