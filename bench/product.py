"""Every call into feature-sync stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    Relation,
    Spine,
    selection_of,
    service_of,
)
from feature_sync.errors import Location
from feature_sync.sql.point_in_time import training_query
from feature_sync.sql.render import render
from feature_sync.training import TrainingSet
from feature_sync.warehouses.base import Warehouse


def query(
    views: Iterable[int],
    *,
    adapter: str,
    is_unique: bool = False,
    is_indexed: bool = False,
    strategy: str | None = None,
) -> str:
    """Write the query of a training set over the bench's tables."""
    service = _service(views, is_unique=is_unique, is_indexed=is_indexed)
    return render(training_query(service, _spine(), adapter=adapter, strategy=strategy), dialect=adapter)


def training_set(
    views: Iterable[int], *, adapter: str, open_warehouse: Callable[[], Warehouse], **known: Any
) -> TrainingSet:
    """Make a training set over the bench's tables."""
    return TrainingSet(
        service=_service(views, **known),
        spine=_spine(),
        adapter=adapter,
        open_warehouse=open_warehouse,
        reference_to=lambda relation: relation.name,
    )


def _service(views: Iterable[int], *, is_unique: bool = False, is_indexed: bool = False) -> FeatureService:
    made = [_view(number, is_unique=is_unique, is_indexed=is_indexed) for number in views]
    return service_of([selection_of(view) for view in made], name="bench")


def _view(number: int, *, is_unique: bool, is_indexed: bool) -> FeatureView:
    types = {"entity_id": "bigint", "happened_at": "timestamp"}
    types |= {f"amount_{number}": "double precision", f"count_{number}": "bigint"}
    return FeatureView(
        name=f"view_{number}",
        relation=_relation(f"view_{number}", types),
        entities=(Entity(name="thing", join_keys=("entity_id",)),),
        features=(Feature(name=f"amount_{number}"), Feature(name=f"count_{number}")),
        event_timestamp="happened_at",
        is_unique=is_unique,
        is_indexed=is_indexed,
    )


def _spine() -> Spine:
    types = {"row_id": "bigint", "entity_id": "bigint", "asked_at": "timestamp", "label": "boolean"}
    return Spine(relation=_relation("spine", types, event_time="asked_at"))


def _relation(name: str, types: dict[str, str], event_time: str | None = None) -> Relation:
    return Relation(
        name=name,
        unique_id=f"model.bench.{name}",
        location=Location("bench", name),
        columns={column: Column(name=column, data_type=kind, stored_as=column) for column, kind in types.items()},
        columns_are_complete=True,
        is_table=True,
        event_time=event_time,
    )
