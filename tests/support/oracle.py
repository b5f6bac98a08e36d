"""The point-in-time join by brute force: for each spine row, look at every row of the view. Slow and obvious."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from feature_sync.definitions import FeatureView

FOREVER = datetime(2100, 1, 1)


def answer(view: FeatureView, rows: list[dict], keys: tuple, asked_at: datetime | None) -> dict | None:
    """The row that answers, or None."""
    if asked_at is None or None in keys:
        return None
    mine = [row for row in rows if tuple(row[key] for key in view.join_keys) == keys]
    if view.event_timestamp is None:
        return max(mine, key=lambda row: newness(view, row), default=None)
    known = [row for row in mine if is_available(view, row, asked_at)]
    newest = max(known, key=lambda row: newness(view, row), default=None)
    return newest if newest is not None and is_alive(view, newest, asked_at) else None


def is_available(view: FeatureView, row: dict, asked_at: datetime) -> bool:
    began = instant(row[view.event_timestamp], view.timezone)
    if began is None or began + (view.lag or timedelta(0)) > asked_at:
        return False
    ended = end(view, row)
    if ended is not None and ended <= began:
        return False
    if view.known_at is None:
        return True
    known_at = instant(row[view.known_at], view.timezone)
    return known_at is not None and known_at <= asked_at


def is_alive(view: FeatureView, row: dict, asked_at: datetime) -> bool:
    if view.ttl is not None and instant(row[view.event_timestamp], view.timezone) < asked_at - view.ttl:
        return False
    if view.is_deleted is not None and str(row[view.is_deleted]).lower() == "true":
        return False
    ended = end(view, row)
    return ended is None or asked_at - (view.lag or timedelta(0)) < ended


def end(view: FeatureView, row: dict) -> datetime | None:
    """When a snapshot's row ended; None while it is current, which dbt may write as a moment far away."""
    if view.valid_to is None:
        return None
    ended = instant(row[view.valid_to], view.timezone)
    is_current = view.valid_to_current is not None and ended is not None
    return None if is_current and row[view.valid_to].replace(tzinfo=None) == FOREVER else ended


def newness(view: FeatureView, row: dict) -> tuple:
    """Event timestamp, known at, created timestamp, the features in declared order (null comes last), then the end.

    Last comes the text of equal values: 0.0 before -0.0.
    """
    times = [name for name in (view.event_timestamp, view.known_at, view.created_timestamp) if name is not None]
    moments = [orderable(instant(row[name], view.timezone)) for name in times]
    is_deleted = view.is_deleted is not None and str(row[view.is_deleted]).lower() == "true"
    ended = instant(row[view.event_timestamp], view.timezone) if is_deleted else end(view, row)
    is_last = (2,) if ended is None else (1, ended)
    features = [row[feature.name] for feature in view.features]
    return (*moments, *map(orderable, features), is_last, *map(str, features))


def orderable(value) -> tuple:
    """Null below everything, NaN above everything, text by code point, arrays by their JSON text."""
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    if isinstance(value, list):
        value = json.dumps(value, separators=(",", ":"), default=str)
    return (1, value)


def instant(moment: datetime | date | None, timezone: str) -> datetime | None:
    """A moment in UTC. A clock that shows the same time twice, or skips one, means the later reading."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    zone = ZoneInfo(timezone)
    return max(moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def training_row(service, tables: dict[str, list[dict]], spine_row: dict, spine_time: str, defaults: dict) -> dict:
    """The spine row and its features, as a training set shows them."""
    asked_at = instant(spine_row[spine_time], "UTC")
    result = dict(spine_row)
    for selection in service.selections:
        view = selection.view
        keys = tuple(spine_row[key] for key in selection.spine_keys)
        found = answer(view, tables[view.reference], keys, asked_at)
        for feature in selection.features:
            value = defaults.get((view.reference, feature)) if found is None else found[feature]
            result[service.output_name(selection, feature)] = value
    return result
