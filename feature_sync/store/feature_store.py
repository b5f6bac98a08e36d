"""The feature store: the methods behind every command and the Python API; each delegates to the module that works."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from feature_sync.dbt.description import Description
from feature_sync.dbt.manifest import Manifest
from feature_sync.definitions import Registry, Target
from feature_sync.errors import FeatureSyncError
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject, OptionKeywords, Options

if TYPE_CHECKING:
    from feature_sync.access.redis_rules import RedisRules
    from feature_sync.adopting import Adoption
    from feature_sync.check import Checked
    from feature_sync.forgetting.traces import Traces
    from feature_sync.monitor.skew import Skew
    from feature_sync.plan import Plan
    from feature_sync.push import Pushed, PushReport
    from feature_sync.push.status import ViewStatus
    from feature_sync.service_schema import Pin
    from feature_sync.service_schema.pin import PinSource
    from feature_sync.serving.card import Card
    from feature_sync.serving.vectors import FeatureVector, FeatureVectors
    from feature_sync.store.plans import PlanRequest
    from feature_sync.store.pushes import PushRequest
    from feature_sync.store.requests import InitRequest, VerifyRequest
    from feature_sync.store.served_table import ServedTable
    from feature_sync.store.skew import SkewRequest
    from feature_sync.store.streams import StreamRequest
    from feature_sync.stream.report import StreamCounts
    from feature_sync.training import SpineKeywords, SpineSource, TrainingSet
    from feature_sync.verify import VerifyReport


class FeatureStore:
    """The feature views and services of one dbt project, its warehouse and its online store.

    Nothing is connected until it is needed. Use it as a context manager, or close it. Every method raises a
    `FeatureSyncError` that says what to do if a name is unknown, a definition is wrong, or a server fails.

    >>> store = FeatureStore("shop")                                                    # doctest: +SKIP
    >>> store.get_feature_vector("churn_model", {"customer_id": 7}).to_dict()           # doctest: +SKIP
    {'order_count': 3, 'amount_30d': 120.5}
    """

    def __init__(self, project_dir: str | os.PathLike[str] | None = None, **options: Unpack[OptionKeywords]) -> None:
        """Open the dbt project in a folder, else in that of `DBT_PROJECT_DIR`, else in the current one.

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

    def _repr_html_(self) -> str:
        try:
            return self.registry._repr_html_()
        except FeatureSyncError as wrong:
            return f"<p>{escape(repr(self))}: {escape(str(wrong))}</p>"

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
        """The manifest that dbt wrote."""
        return self.project.manifest

    @property
    def target(self) -> Target:
        """The connection settings of the warehouse; its `repr` leaves them out."""
        return self.project.target

    def describe(self, name: str) -> Description:
        """Describe a feature view or a feature service."""
        from feature_sync.store.pins import described

        return described(self.project, name)

    def docs_block(self, name: str = "__overview__", *, output: str | os.PathLike[str] | None = None) -> str:
        """Return a page for dbt's docs site as a docs block.

        Args:
            name: Name of the docs block; dbt's site opens with the one called `__overview__`.
            output: The file that it will be written to; warns if dbt would not show it from there.
        """
        return self.project.docs_block(name, output=output)

    def check(self, *, warehouse: bool = False, pins: Collection[PinSource] = ()) -> Checked:
        """Report every mistake and warning in the definitions.

        Args:
            warehouse: Report also where built tables differ.
            pins: Report also where services differ from these pins, on which models were trained.
        """
        from feature_sync.store.requests import check_project

        return check_project(self.project, self.connections, warehouse=warehouse, pins=pins)

    def plan(self, state: str | os.PathLike[str], **request: Unpack[PlanRequest]) -> Plan:
        """Compare the project with another state of it: what its changes do to features and feature services.

        Args:
            state: Folder of the other state's manifest.json, such as that of production.
            request: See `PlanRequest`.
        """
        from feature_sync.store.plans import plan_changes

        return plan_changes(self.project, self.connections, state, request)

    def pin(self, name: str) -> Pin:
        """Return what a model that is trained now on a feature service is pinned to; keep its JSON beside the model."""
        from feature_sync.store.pins import pin_service

        return pin_service(self.project, self.connections, name)

    def init(self, models: Iterable[str], **request: Unpack[InitRequest]) -> Adoption:
        """Guess the settings that make models, snapshots or seeds feature views."""
        from feature_sync.store.requests import adopt_models

        return adopt_models(self.project, self.connections, models, request)

    def push(self, names: Iterable[str] = (), **request: Unpack[PushRequest]) -> PushReport:
        """Make the online store equal to the newest rows, for the given views or all that are online.

        The error of a view that fails is raised after the others are pushed. `push_each` yields results one by one.
        """
        from feature_sync.push import PushReport

        return PushReport(self.push_each(names, **request))

    def push_each(self, names: Iterable[str] = (), **request: Unpack[PushRequest]) -> Iterator[Pushed]:
        """Do what `push` does, as a lazy iterator over the results, those of failed views included."""
        from feature_sync.monitor.alerts import of_push
        from feature_sync.store.alerting import alerting
        from feature_sync.store.lineage import push_with_lineage

        pushed = push_with_lineage(self.project, self.connections, names, request)
        return alerting(self.project, "push", pushed, of_push)

    def stream(self, name: str, **request: Unpack[StreamRequest]) -> StreamCounts:
        """Write the messages of a topic to Redis as rows of a feature view: for ever, or with `until_end`.

        Args:
            name: The reference of the view, whose `stream` names the topic.
            request: See `StreamRequest`.
        """
        from feature_sync.store.streams import stream_view

        return stream_view(self.project, self.connections, name, request)

    def verify(self, names: Iterable[str] = (), **request: Unpack[VerifyRequest]) -> VerifyReport:
        """Compare Redis with the warehouse, for the given views or all that are online; write nothing."""
        from feature_sync.monitor.alerts import of_verified
        from feature_sync.store.alerting import alerting
        from feature_sync.store.requests import verify_views
        from feature_sync.verify import VerifyReport

        verified = verify_views(self.project, self.connections, names, request)
        return VerifyReport(alerting(self.project, "verify", verified, of_verified))

    def status(self, names: Iterable[str] = ()) -> list[ViewStatus]:
        """Report the state of the given views, or of all that are online or were ever pushed."""
        from feature_sync.monitor.alerts import of_status
        from feature_sync.store.alerting import alerting
        from feature_sync.store.requests import each_status

        statuses = each_status(self.project, self.connections, names)
        return list(alerting(self.project, "status", statuses, of_status))

    def get_feature_vector(
        self, name: Any, keys: Any = ..., *, as_of: str | datetime | None = None, on_error: str = "raise"
    ) -> FeatureVector:
        """Read the values of a feature service (or of one view) for one entity.

        Args:
            name: Name of a feature service or view; the keys alone will do where the project has one service.
            keys: The value of each join key by its name; or the bare value of the only key.
            as_of: The moment to use as now; one without a zone is in UTC.
            on_error: `"null"` answers null for what cannot be read, with the status `gone` or `invalid`.
        """
        from feature_sync.serving.client import is_lenient
        from feature_sync.store.vectors import named, read_online

        lenient, (service, keys) = is_lenient(on_error), named(self.project, name, keys)
        return read_online(
            self.project,
            self.connections,
            service,
            lambda requests, moment: requests.get(keys, {}, lenient=lenient, moment=moment),
            as_of=as_of,
        )

    def get_online_features(
        self, name: Any, entities: Any = ..., *, as_of: str | datetime | None = None, on_error: str = "raise"
    ) -> FeatureVectors:
        """Read the values of a feature service (or of one view) for many entities.

        Args:
            name: Name of a feature service or view; the entities alone will do where the project has one service.
            entities: As `FeatureClient.get_many` takes them: mappings, a frame, or values of the only key.
            as_of: The moment to use as now; one without a zone is in UTC.
            on_error: See `get_feature_vector`.
        """
        from feature_sync.serving.client import is_lenient
        from feature_sync.store.vectors import named, read_online

        lenient, (service, entities) = is_lenient(on_error), named(self.project, name, entities)
        return read_online(
            self.project,
            self.connections,
            service,
            lambda requests, moment: requests.get_many(entities, lenient=lenient, moment=moment),
            as_of=as_of,
        )

    def card(self, service: str) -> Card:
        """Return the card of a feature service in Redis: what `FeatureClient` goes by."""
        from feature_sync.store.vectors import read_online

        return read_online(self.project, self.connections, service, lambda requests, _: requests.card())

    def forget(self, entity: str, *keys: str, files: Iterable[str] = ()) -> Traces:
        """Show where an entity's values still are, and what removes them; removes nothing itself.

        Args:
            entity: The name of the entity.
            keys: The values of its join keys in their order, or texts as `KEY=VALUE`.
            files: Parquet and CSV files, or folders of them, to search as well: logs of served vectors, training sets.
        """
        from feature_sync.store.access import traces_of

        return traces_of(self.project, self.connections, entity, map(str, keys), files)

    def acl(
        self, services: Iterable[str] = (), *, generate_passwords: str | os.PathLike[str] | None = None
    ) -> RedisRules:
        """Return the users that Redis needs, each with its least rights; connects to nothing.

        Args:
            services: The services whose readers to return, and nobody else; empty for all users.
            generate_passwords: A new file for passwords that are made now; None takes them from the environment, and
                keeps nothing of them but hashes.
        """
        from feature_sync.store.access import acl_of

        return acl_of(self.project, services, generate_passwords=generate_passwords)

    def grants(
        self,
        *,
        pusher: str = "feature_sync_pusher",
        reader: str = "feature_sync_reader",
        builder: str = "",
        spines: Iterable[str] = (),
    ) -> str:
        """Return the statements that grant the least rights in PostgreSQL or BigQuery; connects to nothing.

        Args:
            pusher: The role that pushes: reads the models of online views, and writes only the schema of states.
            reader: The role that makes training sets, verifies and reports.
            builder: The role that runs dbt, in PostgreSQL; empty for the target's own.
            spines: Names of models, seeds, snapshots and sources that `reader` reads as spines, too.
        """
        from feature_sync.store.access import grants_of

        return grants_of(self.project, pusher=pusher, reader=reader, builder=builder, spines=spines)

    def served_table(self, name: str) -> ServedTable:
        """Return what appends served vectors to a table of the warehouse, for `ServedLog`; connects for each batch.

        Args:
            name: The name of the table, with its schema.
        """
        from feature_sync.store.served_table import ServedTable

        return ServedTable(self.connections, name)

    def skew(self, service: str, log: str | os.PathLike[str], **request: Unpack[SkewRequest]) -> Skew:
        """Compare vectors that a service served with what training answers for the same keys and moments.

        Args:
            service: Name of the feature service.
            log: What `ServedLog` wrote: a folder of Parquet files, one such file, or a table with its schema.
            request: See `SkewRequest`.
        """
        from feature_sync.store.skew import measure_skew

        return measure_skew(self.project, self.connections, service, log, request)

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
            spine_sql: Query instead of a spine, in the warehouse's own SQL.
            strategy: How to join: asof, lateral, bucket or carry; the default is the best for each view.
            options: See `SpineOptions`.
        """
        from feature_sync.store.training_sets import ask_training_set

        asked, source = self.project.service(service, features), (spine, spine_sql)
        return ask_training_set(self.project, self.connections, asked, source, strategy=strategy, options=options)

    def get_latest(
        self,
        service: str | None,
        entities: SpineSource | None = None,
        *,
        of: str | None = None,
        features: Iterable[str] = (),
        as_of: str | datetime | None = None,
    ) -> TrainingSet:
        """Answer entities with a service from the warehouse, all at one moment: what Redis serves then.

        Args:
            service: Name of a feature service or view; None with `features`.
            entities: Whatever can be a spine, without moments; None for all entities that the service's views have.
            of: The view whose entities are asked; needed if several views have every key, and not all of them count.
            features: See `get_training_set`.
            as_of: The moment, at which views without history cannot answer; None for the present one.
        """
        from feature_sync.store.training_sets import ask_latest

        asked = self.project.service(service, features)
        return ask_latest(self.project, self.connections, asked, entities, of=of, as_of=as_of)
