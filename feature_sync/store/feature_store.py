"""The feature store: each request of the command line and of the library, handed down to what does the work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from feature_sync.clock import read_as_of
from feature_sync.dbt.description import Description
from feature_sync.dbt.manifest import Manifest
from feature_sync.definitions import Registry, Target
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject, OptionKeywords, Options

if TYPE_CHECKING:
    from feature_sync.adopting import Adoption
    from feature_sync.check import Checked
    from feature_sync.push import Pushed, PushReport
    from feature_sync.push.status import ViewStatus
    from feature_sync.serving.reader import FeatureVector
    from feature_sync.store.requests import InitRequest, PushRequest, VerifyRequest
    from feature_sync.training import SpineKeywords, SpineSource, TrainingSet
    from feature_sync.verify import VerifyReport


class FeatureStore:
    """The feature views and services of one dbt project, its warehouse and its online store.

    Nothing is connected until it is needed. Use it as a context manager, or close it. Every method raises a
    `FeatureSyncError` that says what to do: a name is unknown, a definition is wrong, or a server failed.

    >>> store = FeatureStore("shop")                                                    # doctest: +SKIP
    >>> store.get_feature_vector("churn_model", {"customer_id": 7}).to_dict()           # doctest: +SKIP
    {'order_count': 3, 'amount_30d': 120.5}
    """

    def __init__(self, project_dir: str | os.PathLike[str] | None = None, **options: Unpack[OptionKeywords]) -> None:
        """Open the dbt project in a folder, else in dbt's own, else in the current one.

        Args:
            project_dir: Folder of dbt_project.yml.
            options: See `Options`.
        """
        self.project = FeatureProject(Options(project_dir=project_dir, **options))
        self.connections = Connections(self.project)

    @classmethod
    def open(cls, project_dir: str | os.PathLike[str] | None = None, **options: Unpack[OptionKeywords]) -> Self:
        """Open a dbt project: the same as `FeatureStore(...)`."""
        return cls(project_dir, **options)

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.project.dbt.directory)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to Redis."""
        self.connections.close()

    @property
    def registry(self) -> Registry:
        """All entities, feature views and feature services."""
        return self.project.registry

    @property
    def manifest(self) -> Manifest:
        """What dbt wrote about the project."""
        return self.project.manifest

    @property
    def target(self) -> Target:
        """How to reach the warehouse; its `repr` holds no settings."""
        return self.project.target

    def describe(self, name: str) -> Description:
        """Describe a feature view or a feature service."""
        return self.project.describe(name)

    def docs_block(self, name: str = "__overview__", *, output: str | os.PathLike[str] | None = None) -> str:
        """Write a page for dbt's docs site: a docs block `name`, for the file `output`, if any."""
        return self.project.docs_block(name, output=output)

    def check(self, *, warehouse: bool = False) -> Checked:
        """Find every mistake in the definitions, and every warning; with `warehouse`, in the built tables, too."""
        from feature_sync.check import check_definitions

        open_warehouse = self.connections.open_warehouse if warehouse else None
        return check_definitions(self.project.dbt, self.manifest, open_warehouse=open_warehouse)

    def init(self, models: Iterable[str], **request: Unpack[InitRequest]) -> Adoption:
        """Guess what would make models, snapshots or seeds feature views."""
        from feature_sync.store.requests import adopt_models

        return adopt_models(self.project, self.connections, models, request)

    def push(self, names: Iterable[str] = (), **request: Unpack[PushRequest]) -> PushReport:
        """Make the online store equal to the newest rows, for the views named or all that are online.

        A view that fails raises when the others are pushed. `push_each` yields each result as it comes.
        """
        from feature_sync.push import PushReport

        return PushReport(self.push_each(names, **request))

    def push_each(self, names: Iterable[str] = (), **request: Unpack[PushRequest]) -> Iterator[Pushed]:
        """Push while the results are read: what `push` does, as an iterator, also over the views that failed."""
        from feature_sync.store.requests import push_views

        return push_views(self.project, self.connections, names, request)

    def verify(self, names: Iterable[str] = (), **request: Unpack[VerifyRequest]) -> VerifyReport:
        """Compare Redis with the warehouse, for the views named or all that are online; write nothing."""
        from feature_sync.store.requests import verify_views
        from feature_sync.verify import VerifyReport

        return VerifyReport(verify_views(self.project, self.connections, names, request))

    def status(self, names: Iterable[str] = ()) -> list[ViewStatus]:
        """Report the pushes of the views named, or of all that are online or were pushed once."""
        from feature_sync.store.requests import view_statuses

        return view_statuses(self.project, self.connections, names)

    def get_feature_vector(
        self, name: str, keys: Mapping[str, Any], *, as_of: str | datetime | None = None
    ) -> FeatureVector:
        """Read the values of a feature service (or of one view) for one set of keys."""
        return self.get_online_features(name, [keys], as_of=as_of)[0]

    def get_online_features(
        self, name: str, entity_rows: Iterable[Mapping[str, Any]], *, as_of: str | datetime | None = None
    ) -> list[FeatureVector]:
        """Read the values of a feature service (or of one view) for many sets of keys, in their order."""
        service, clock = self.project.service(name), self.project.clock(read_as_of(as_of))
        return self.connections.reader().read(service, entity_rows, clock=clock)

    def get_training_set(
        self,
        service: str | None,
        spine: SpineSource | None = None,
        *,
        features: Iterable[str] = (),
        spine_sql: str | None = None,
        strategy: str | None = None,
        **options: Unpack[SpineKeywords],
    ) -> TrainingSet:
        """Answer a spine with a service, or with `view:feature` names.

        Args:
            service: Name of a feature service or view; None with `features`.
            spine: Model, seed, snapshot or source by name, Parquet or CSV file, pandas frame, or Arrow table.
            features: Features to explore with, as `view:feature` or `view[entity=column]:feature`.
            spine_sql: Query in place of a spine, in the warehouse's own SQL.
            strategy: How to join: asof, lateral, bucket or carry; each view's best unless named.
            options: See `SpineOptions`.
        """
        from feature_sync.store.requests import ask_training_set

        asked, source = self.project.service(service, features), (spine, spine_sql)
        return ask_training_set(self.project, self.connections, asked, source, strategy=strategy, options=options)
