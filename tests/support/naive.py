"""What Redis holds of a view against what the warehouse says, by brute force: whole tables and dictionaries.

Nothing of the product is used but the definitions: rows come from `select *` over a connection of its own, answers from
the oracle, keys and values from redis-py and msgpack.
"""

from __future__ import annotations

import json
import re
import struct
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import msgpack
import psycopg
import redis

from feature_sync import FeatureStore
from feature_sync.definitions import FeatureView
from tests.support.emulator import connect
from tests.support.oracle import answer, instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def client_of(url: str) -> Any:
    """Return redis-py's client of a server, of the primary that Sentinels name, or of a cluster by its first node."""
    scheme, _, nodes = url.partition("://")
    if scheme == "redis+sentinel":
        places, _, service = nodes.partition("/")
        return redis.Sentinel([each.split(":") for each in places.split(",")]).master_for(service)
    if scheme != "redis+cluster":
        return redis.Redis.from_url(url)
    host, _, port = nodes.partition(",")[0].partition(":")
    return redis.RedisCluster(host=host, port=int(port))


def differences(store: FeatureStore, name: str, *, as_of: datetime | None = None) -> list[str]:
    """All ways in which Redis differs from the warehouse, one line each; an empty list when it is right.

    The moment is `as_of`, else the fixed clock of the newest push, else now. A row that stops answering while this
    reads may be there or not.
    """
    view = store.registry.feature_view(name)
    prefix = f"{store.project.key_prefix}:{view.reference}:"
    began = datetime.now(UTC)
    with client_of(store.connections.redis_url()) as client:
        keys = sorted({key for key in client.scan_iter(count=10_000) if key.startswith(f"{prefix}{{".encode())})
        read = client.mget_nonatomic if isinstance(client, redis.RedisCluster) else client.mget
        contents = dict(zip(keys, read(keys), strict=True)) if keys else {}
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.pexpiretime(key)
            expiries = dict(zip(keys, pipeline.execute(), strict=True))
        schemas = {each: json.loads(text) for each, text in client.hgetall(f"{prefix}schema").items()}
    held = {key: content for key, content in contents.items() if content is not None}
    newest = max(schemas.values(), key=lambda schema: schema["fence"], default=None)
    fixed = None if newest is None or newest["as_of"] is None else EPOCH + newest["as_of"] * MICROSECOND
    rows = read_table(store, view)
    before = expected(view, rows, prefix, as_of or fixed or began)
    after = expected(view, rows, prefix, as_of or fixed or datetime.now(UTC))
    found = []
    for key in sorted(before.keys() | after.keys() | held.keys()):
        if before.get(key) is not after.get(key):
            continue  # its answer changed while this read
        row = before.get(key)
        if row is None or key not in held:
            found.append(f"{key.decode()}: {'extra' if row is None else 'missing'}")
            continue
        lines = of_one_row(view, row, held[key], schemas, end=None if fixed is None else valid_until(view, row))
        due = None if fixed is not None else ends_at(view, row)
        if expiries[key] != (-1 if due is None else due):
            lines.append(f"expires at {expiries[key]}, not at {due}")
        found += [f"{key.decode()}: {line}" for line in lines]
    return found


def read_table(store: FeatureStore, view: FeatureView) -> list[dict]:
    """The view's whole table, its columns named as the definitions name them."""
    settings = store.target.settings
    if store.target.adapter == "duckdb":
        with duckdb.connect(str(Path(store.target.project_dir, settings["path"])), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            cursor = connection.execute(f"select * from {view.relation.name}")
            names, rows = [column[0] for column in cursor.description], cursor.fetchall()
    elif store.target.adapter == "bigquery":
        with closing(connect(settings["api_endpoint"])) as client:
            result = client.query(f"select * from {view.relation.name}").result()
            names, rows = [field.name for field in result.schema], [row.values() for row in result]
    else:
        login = {name: settings[name] for name in ("host", "port", "user", "password", "dbname")}
        with psycopg.connect(**login) as connection, connection.cursor(binary=True) as cursor:
            cursor.execute(f"select * from {view.relation.name}")
            names, rows = [column.name for column in cursor.description], cursor.fetchall()
    used = [*view.join_keys, *view.times, *(feature.name for feature in view.features)]
    declared = {name.casefold(): name for name in used}
    names = [declared.get(name.casefold(), name) for name in names]
    return [dict(zip(names, row, strict=True)) for row in rows]


def expected(view: FeatureView, rows: list[dict], prefix: str, now: datetime) -> dict[bytes, dict]:
    """The row that answers for each entity, by its key in Redis."""
    entities: dict[tuple, list[dict]] = {}
    for row in rows:
        entities.setdefault(tuple(row[key] for key in view.join_keys), []).append(row)
    answers = {keys: answer(view, some, keys, now) for keys, some in entities.items()}
    return {redis_key(prefix, keys): row for keys, row in answers.items() if row is not None}


def redis_key(prefix: str, values: tuple) -> bytes:
    parts = [re.sub(r"[%|{}]", lambda match: f"%{ord(match[0]):02X}", key_text(value)) for value in values]
    return f"{prefix}{{{'%' if parts == [''] else '|'.join(parts)}}}".encode()


def key_text(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return str((instant(value, "UTC") - EPOCH) // MICROSECOND)
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def of_one_row(
    view: FeatureView, row: dict, content: bytes, schemas: dict[bytes, dict], *, end: datetime | None = None
) -> list[str]:
    """How one entity's bytes differ from its row, which carries its `end` where it was pushed at a fixed clock."""
    try:
        schema_id, event_timestamp, *values = msgpack.unpackb(content, timestamp=0)
        names = [feature for feature, _ in schemas[schema_id]["features"]]
        held = dict(zip(names, values[: len(names)], strict=True))
    except (KeyError, TypeError, ValueError) as unreadable:
        return [f"cannot be read: {unreadable!r}"]
    due = None
    if view.event_timestamp is not None:
        due = (instant(row[view.event_timestamp], view.timezone) - EPOCH) // MICROSECOND
    lines = [] if event_timestamp == due else [f"event timestamp {event_timestamp}, not {due}"]
    ends = [] if end is None else [(end - EPOCH) // MICROSECOND]
    if values[len(names) :] != ends:
        lines.append(f"ends at {values[len(names) :]}, not at {ends}")
    for feature in view.features:
        if feature.name not in held:
            lines.append(f"{feature.name} is not there")
        elif not is_same(row[feature.name], held.pop(feature.name)):
            lines.append(f"{feature.name} is not {row[feature.name]!r}")
    return lines + [f"{name} is no feature any more" for name in held]


def is_same(value, held) -> bool:  # noqa: PLR0911 - one line for each type
    """Compare a value as the warehouse's driver gives it with what MessagePack gives."""
    match value:
        case float():
            both_nan = isinstance(held, float) and held != held and value != value  # noqa: PLR0124 - only NaN differs from itself
            return both_nan or (isinstance(held, float) and struct.pack("d", value) == struct.pack("d", held))
        case Decimal():
            return isinstance(held, str) and Decimal(held) == value
        case datetime():
            return type(held) is int and held == (instant(value, "UTC") - EPOCH) // MICROSECOND
        case date():
            return type(held) is int and held == (value - EPOCH.date()).days
        case UUID():
            return held == str(value)
        case list():
            if isinstance(held, str):  # a JSON document
                return json.loads(held) == value
            return isinstance(held, list) and len(held) == len(value) and all(map(is_same, value, held))
        case dict():
            return json.loads(held) == value if isinstance(held, str) else held == value
        case _:
            return type(held) is type(value) and held == value


def ends_at(view: FeatureView, row: dict) -> int | None:
    """The millisecond, rounded up, at which a row stops answering; None if it never does."""
    ends = []
    if view.ttl is not None:
        ends.append(instant(row[view.event_timestamp], view.timezone) + view.ttl)
    if (end := valid_until(view, row)) is not None:
        ends.append(end)
    return -(-((min(ends) - EPOCH) // MICROSECOND) // 1000) if ends else None


def valid_until(view: FeatureView, row: dict) -> datetime | None:
    """From when on another row answers, or none; None where that is not known."""
    if view.valid_to is None or row[view.valid_to] is None or is_current(view, row):
        return None
    return instant(row[view.valid_to], view.timezone) + (view.lag or timedelta(0))


def is_current(view: FeatureView, row: dict) -> bool:
    """Whether a snapshot's row carries the far moment that stands for "until further notice"."""
    return view.valid_to_current is not None and str(row[view.valid_to]) in view.valid_to_current
