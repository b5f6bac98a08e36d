"""Generated cases for the point-in-time join: definitions, the rows of their tables, and a spine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    History,
    Relation,
    Selection,
    Spine,
)
from feature_sync.errors import Location

NOON = datetime(2013, 10, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
SPINE_TIME = "asked at"
TEXT_KEYS = ["a", "A", "b|", "", "a'b", '"', "{%}", "é"]
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata"]
# Names that are keywords, upper case, hold spaces or end like the suffixes that other tools put on columns.
FEATURE_NAMES = ["amount_x", "amount_y", "select", "Order", "two words", "_newness", "spine"]
VALUES = {
    "bigint": st.sampled_from([None, 0, 1, -(2**63), 2**63 - 1]),
    "double precision": st.sampled_from([None, 0.5, -1.0, float("nan"), float("inf"), float("-inf")]),
    "varchar": st.sampled_from([None, "", "a", "Z", "é", "it's"]),
    "boolean": st.sampled_from([None, True, False]),
    "decimal(10, 2)": st.sampled_from([None, Decimal("1.50"), Decimal("-0.01")]),
    "date": st.sampled_from([None, NOON.date()]),
    "timestamp with time zone": st.sampled_from([None, NOON, NOON + MICROSECOND]),
}
DEFAULTS = {"bigint": 7, "double precision": 0.25, "varchar": "it's none", "boolean": True}


@dataclass(frozen=True)
class Case:
    """Everything that one question needs: tables are lists of rows, by the reference of their view."""

    service: FeatureService
    tables: dict[str, list[dict]]
    spine: Spine
    spine_rows: list[dict]


# Moments cluster around noon and around the nights on which Paris and New York turn their clocks back.
moments = st.builds(
    lambda base, hours, microseconds: base + hours * HOUR + microseconds * MICROSECOND,
    st.sampled_from([NOON, datetime(2013, 10, 27, 1, tzinfo=UTC), datetime(2013, 11, 3, 6, tzinfo=UTC)]),
    st.integers(-3, 3),
    st.sampled_from([0, 0, 0, -1, 1]),
)
durations = st.sampled_from([timedelta(0), HOUR, 2 * HOUR, timedelta(days=1), timedelta(minutes=90)])


@st.composite
def cases(draw) -> Case:
    """One to four views over the keys `shop` (text) and, at times, `item` (a number), and a spine that asks them."""
    width = draw(st.integers(1, 2))
    key_types = {"shop": "varchar", "item": "bigint"}
    keys = list(key_types)[:width]
    views = [draw(_views(number, keys, key_types)) for number in range(draw(st.integers(1, 4)))]
    tables = {view.reference: _without_ties(view, draw(st.lists(_rows(view), max_size=8))) for view in views}
    selections = [
        Selection(
            view=view,
            alias=f"{view.name}_role",
            features=tuple(each.name for each in view.features),
            spine_keys=tuple(f"My {key}" for key in view.join_keys),
        )
        for view in views
    ]
    service = FeatureService(name="generated", selections=tuple(selections), full_names=True).checked()
    time_type = draw(st.sampled_from(["timestamp", "timestamp with time zone"]))
    types = {"row": "bigint", **{f"My {key}": key_types[key] for key in key_types}, SPINE_TIME: time_type}
    spine = Spine(relation=_relation("the spine", types, event_time=SPINE_TIME))
    spine_rows = draw(st.lists(_spine_rows(time_type), max_size=10))
    spine_rows = [{"row": number // draw(st.integers(1, 2)), **row} for number, row in enumerate(spine_rows)]
    return Case(service, tables, spine, spine_rows)


@st.composite
def _views(draw, number: int, keys: list[str], key_types: dict[str, str]) -> FeatureView:
    history = draw(
        st.sampled_from([History.EVENTS, History.EVENTS, History.EVENTS, History.SNAPSHOT, History.TIMELESS])
    )
    time_type = st.sampled_from(["timestamp", "timestamp with time zone"])
    types = {key: key_types[key] for key in keys}
    times: dict[str, str | None] = {}
    if history is not History.TIMELESS:
        times["event_timestamp"] = "Event Time"
        times["known_at"] = draw(st.sampled_from([None, "known_at"]))
        times["created_timestamp"] = draw(st.sampled_from([None, "created"]))
    if history is History.SNAPSHOT:
        times["valid_to"] = "dbt_valid_to"
        times["is_deleted"] = draw(st.sampled_from([None, "dbt_is_deleted"]))
    for role, name in times.items():
        if name is not None:
            types[name] = "varchar" if role == "is_deleted" else draw(time_type)
    names = draw(st.lists(st.sampled_from(FEATURE_NAMES), min_size=1, max_size=3, unique=True))
    features = []
    for name in names:
        types[name] = draw(st.sampled_from(sorted(VALUES)))
        default = draw(st.sampled_from([None, DEFAULTS.get(types[name])]))
        features.append(Feature(name=name, default=default))
    lag = draw(durations)
    ttl = None if history is History.TIMELESS else draw(st.none() | durations.map(lambda each: each + lag))
    is_unique = draw(st.booleans())
    entity = Entity(name="thing", join_keys=tuple(keys))
    return FeatureView(
        name=f"View {number}",
        relation=replace(_relation(f"view {number}", types), is_table=draw(st.booleans())),
        entities=(entity,),
        features=tuple(features),
        history=history,
        lag=None if history is History.TIMELESS else lag,
        ttl=ttl,
        timezone="UTC" if is_unique else draw(st.sampled_from(ZONES)),
        is_unique=is_unique,
        **times,
    )


def _without_ties(view: FeatureView, rows: list[dict]) -> list[dict]:
    """Keep the promise of a view that says it is unique."""
    if not view.is_unique:
        return rows
    return list({(*(row[key] for key in view.join_keys), _moment(view, row)): row for row in rows}.values())


def _moment(view: FeatureView, row: dict) -> datetime | None:
    moment = row.get(view.event_timestamp)
    return moment if moment is None or moment.tzinfo is None else moment.astimezone(UTC)


@st.composite
def _rows(draw, view: FeatureView) -> dict:
    return {name: draw(_value(view, name, column.data_type)) for name, column in view.relation.columns.items()}


def _value(view: FeatureView, name: str, data_type: str):
    if name == "shop":
        return st.none() | st.sampled_from(TEXT_KEYS[:3])
    if name == "item":
        return st.none() | st.integers(0, 1)
    if name == view.is_deleted:
        return st.sampled_from([None, "False", "True"])
    if name in view.times:
        return st.none() | _times(data_type)
    return VALUES[data_type]


@st.composite
def _spine_rows(draw, time_type: str) -> dict:
    return {
        "My shop": draw(st.none() | st.sampled_from(TEXT_KEYS[:4])),
        "My item": draw(st.none() | st.integers(0, 1)),
        SPINE_TIME: draw(st.none() | _times(time_type)),
    }


def _times(data_type: str):
    return moments if "zone" in data_type else moments.map(lambda moment: moment.replace(tzinfo=None))


def _relation(name: str, types: dict[str, str], event_time: str | None = None) -> Relation:
    columns = {column: Column(name=column, data_type=kind, stored_as=column) for column, kind in types.items()}
    return Relation(
        name=f'"{name}"',
        unique_id=f"model.generated.{name}",
        location=Location("generated.yml", name),
        columns=columns,
        columns_are_complete=True,
        event_time=event_time,
    )
