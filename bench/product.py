"""Every call into feature-sync stands here, but for those about serving, which are in serving/."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.data import extra_features
from feature_sync import push, verify
from feature_sync.clock import read_clock
from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    Relation,
    Spine,
    Target,
    selection_of,
    service_of,
)
from feature_sync.errors import Location
from feature_sync.integrations.matrices import Matrices
from feature_sync.online.redis.server import EmbeddedServer
from feature_sync.online.redis.store import RedisStore
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.table_files import read_frame
from feature_sync.training import Rows, TrainingSet
from feature_sync.warehouses import open_warehouse
from feature_sync.warehouses.places import Places

FEATURES = {"amount": "double precision", "count": "bigint"}
ENTITY_FEATURES = {
    "amount_day": "double precision",
    "amount_month": "double precision",
    "score": "double precision",
    "ratio": "double precision",
    "orders": "bigint",
    "visits": "bigint",
    "rank": "bigint",
    "segment": "text",
    "city": "text",
    "joined_at": "timestamp",
}
KEYS = "bench:entities:{"
"""What the keys of all entities begin with in Redis; a key ends with the entity's number and a brace."""
STATES = "bench_states"
"""The schema in which pushes keep their state."""
TTL_DAYS = 7_300
_SCHEMA = "bench."
_SPINE = {"row_id": "bigint", "entity_id": "bigint", "asked_at": "timestamp", "label": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of feature-sync: how many of the bench's views, and what is known of them."""

    adapter: str
    views: int
    is_unique: bool = False
    is_indexed: bool = False
    is_table: bool = True
    ttl_days: int | None = None
    extras: int = 0
    is_late: bool = False
    is_ordered: bool = True

    def sql(self) -> str:
        """Write the query."""
        join = PointInTimeJoin(self._service(), _spine(), dialect=dialect_named(self.adapter))
        return render(training_query(join), dialect=join.dialect)

    def training_set(self, where: str, frame: Any = None) -> TrainingSet:
        """Ask a DuckDB file or a PostgreSQL server, with the bench's own spine or with one in memory."""
        target = Target(
            profile="bench", name="bench", adapter=self.adapter, settings=_settings(self.adapter, where), project_dir=""
        )
        spine = _spine(_SCHEMA)
        if frame is not None:
            outside = replace(spine.relation, name="", columns={}, columns_are_complete=False)
            spine = replace(spine, relation=outside)
        return TrainingSet(
            service=self._service(_SCHEMA),
            spine=spine,
            rows=None if frame is None else Rows(read=lambda types: read_frame(frame), origin={"frame": True}),
            is_ordered=self.is_ordered,
            dialect=dialect_named(self.adapter),
            open_warehouse=lambda: open_warehouse(target),
            reference_to=lambda relation: relation.name,
        )

    def _service(self, schema: str = "") -> FeatureService:
        return service_of([selection_of(self._view(schema, number)) for number in range(self.views)], name="bench")

    def _view(self, schema: str, number: int) -> FeatureView:
        features = {f"{name}_{number}": kind for name, kind in FEATURES.items()} | extra_features(self.extras)
        times = {"happened_at": "timestamp", **({"known_at": "timestamp"} if self.is_late else {})}
        relation = _relation(f"{schema}view_{number}", {"entity_id": "bigint", **times, **features})
        return FeatureView(
            name=f"view_{number}",
            relation=replace(relation, is_table=self.is_table),
            entities=(Entity(name="thing", join_keys=("entity_id",)),),
            features=tuple(Feature(name=name) for name in features),
            event_timestamp="happened_at",
            known_at="known_at" if self.is_late else None,
            ttl=None if self.ttl_days is None else timedelta(days=self.ttl_days),
            is_unique=self.is_unique,
            is_indexed=self.is_indexed,
        )


def answered_sql(training_set: TrainingSet) -> str:
    """Return the SQL that a training set runs, with its order."""
    with training_set._answering() as answering:  # noqa: SLF001 - no user needs it
        return answering.sql


def without_order(sql: str) -> str:
    """Return the SQL of a training set without the order of its result."""
    return sql[: sql.rindex("ORDER BY")]


def number_batches(training_set: TrainingSet) -> int:
    """Read a training set as PyTorch does: its numbers in batches of NumPy's arrays; return the number of rows."""
    table = training_set.collect()
    matrices = Matrices(source=table, columns=table.feature_names, label="label", dtype="float64", batch_size=4096)
    return sum(len(features) for features, _ in matrices.batches())


@dataclass(frozen=True, kw_only=True)
class OnlineView:
    """Tables pushed from one warehouse to one Redis: that of entities, or others whose columns are alike."""

    adapter: str
    where: str
    redis: str
    memory_limit: str | None = None
    """How much DuckDB may take for itself."""
    names: tuple[str, ...] = ("entities",)
    features: Mapping[str, str] = field(default_factory=lambda: ENTITY_FEATURES)
    is_unique: bool = True
    is_indexed: bool = False

    def push(self) -> push.Pushed:
        """Push it, where there is but one."""
        (pushed,) = self.push_all()
        return pushed

    def push_all(self) -> list[push.Pushed]:
        """Push all of them."""
        with closing(RedisStore(self.redis, key_prefix="bench")) as online:
            setting = push.PushContext(
                open_places=self._places,
                online=online,
                clock=read_clock(None),
                options=push.PushOptions(state_schema=STATES),
                invocation_id=None,
                progress=lambda view, rows: None,
            )
            return [*push.Pusher(setting, gate=None, threads=1).push(self._views())]

    def _places(self, *, stopped: Callable[[], bool]) -> Places:
        warehouse = open_warehouse(self._target(), writable=True, stopped=stopped)
        return Places(rows=warehouse, state=warehouse)

    def verify(self) -> verify.Verified:
        """Compare all of Redis with the warehouse, where there is but one view."""
        with closing(RedisStore(self.redis, key_prefix="bench")) as online:
            setting = verify.VerifyContext(
                open_warehouse=partial(open_warehouse, self._target()),
                online=online,
                as_of=None,
                sample=None,
                redact=False,
                progress=lambda view, rows: None,
            )
            (verified,) = verify.Verifier(setting).verify(self._views())
        return verified

    def _views(self) -> list[FeatureView]:
        columns = {"entity_id": "bigint", "happened_at": "timestamp", **self.features}
        return [
            FeatureView(
                name=name,
                relation=replace(_relation(f"{_SCHEMA}{name}", columns), is_table=True),
                entities=(Entity(name="thing", join_keys=("entity_id",)),),
                features=tuple(Feature(name=each) for each in self.features),
                event_timestamp="happened_at",
                ttl=timedelta(days=TTL_DAYS),
                is_unique=self.is_unique,
                is_indexed=self.is_indexed,
            )
            for name in self.names
        ]

    def _target(self) -> Target:
        settings = _settings(self.adapter, self.where)
        if self.memory_limit is not None:
            settings["settings"] = {"memory_limit": self.memory_limit}
        return Target(profile="bench", name="bench", adapter=self.adapter, settings=settings, project_dir="")


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start a Redis, lend its URL, and stop it."""
    server = EmbeddedServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()


def place(uri: str) -> dict[str, str]:
    """Read where a PostgreSQL server is: the words of its profile."""
    parts = urlsplit(uri)
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    return {"host": host, "port": str(parts.port or 5432), "user": parts.username or "", "password": "unused"}


def _settings(adapter: str, where: str) -> dict[str, Any]:
    if adapter == "duckdb":
        return {"path": str(Path(where).resolve())}
    return {**place(where), "dbname": "postgres"}


def _spine(schema: str = "") -> Spine:
    return Spine(relation=_relation(f"{schema}spine", _SPINE, event_time="asked_at"))


def _relation(name: str, types: dict[str, str], event_time: str | None = None) -> Relation:
    columns: Iterable[Column] = (Column(name=each, data_type=kind, stored_as=each) for each, kind in types.items())
    return Relation(
        name=name,
        unique_id=f"model.bench.{name}",
        location=Location("bench", name),
        columns={column.name: column for column in columns},
        columns_are_complete=True,
        event_time=event_time,
    )
