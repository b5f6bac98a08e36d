"""Turns a dbt node whose `config.meta.feature_view` is a mapping into a feature view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from feature_sync.dbt.block import Block
from feature_sync.dbt.manifest import Node
from feature_sync.definitions import Entity, Feature, FeatureView, History, format_duration
from feature_sync.errors import Location

_SETTINGS = (
    "entities", "features", "created_timestamp", "known_at", "lag", "ttl", "timezone", "online",
    "valid_from", "valid_to", "timeless", "latest_only",
)  # fmt: skip
_DEFAULTS = ("created_timestamp", "known_at", "lag", "ttl", "timezone", "online")
_UNDATED = {"ttl": "its facts have no age", "lag": "its facts have no age", "known_at": "it keeps no history"}
_ENFORCING = ("duckdb", "postgres")
_SNAPSHOT_COLUMNS = ("dbt_valid_from", "dbt_valid_to", "dbt_is_deleted")


def read_feature_view(node: Node, types: dict[str, str], *, adapter: str | None = None) -> FeatureView:
    """Read one node; `types` are its columns' types in the catalog, empty if unknown.

    Raises:
        DefinitionError: The block is misspelt, contradicts itself, or names columns that the model lacks.
    """
    at = node.location.at("config.meta.feature_view")
    block = Block(_merged_settings(node), at, allowed=_SETTINGS)
    history = _history(block, node)
    times = _times(block, node, history)
    relation = node.relation(types)
    entities = _entities(block)
    view = FeatureView(
        name=node.name or "",
        version=None if node.version is None else str(node.version),
        latest_version=node.version is None or node.version == node.latest_version,
        relation=relation,
        entities=entities,
        features=(),
        history=history,
        **times,
        lag=_duration(block, "lag", history),
        ttl=_duration(block, "ttl", history),
        timezone=_timezone(block),
        online=block.flag("online", default=True),
    )
    view = replace(view, is_unique=_is_unique(view, node, adapter), is_indexed=_is_indexed(view, node))
    if view.ttl is not None and view.ttl < (view.lag or timedelta(0)):
        lag = format_duration(view.lag or timedelta(0))
        raise at.at("ttl").error(
            f"{format_duration(view.ttl)} is shorter than the lag of {lag}: no row would ever answer"
        )
    return _with_features(view, block, node).checked()


def _merged_settings(node: Node) -> dict[str, Any]:
    """Put the view's own settings over `feature_view_defaults`; dbt merges `meta` only one level deep."""
    defaults_at = node.location.at("config.meta.feature_view_defaults")
    defaults = Block(node.meta.get("feature_view_defaults") or {}, defaults_at, allowed=_DEFAULTS)
    return {**defaults.values, **node.meta["feature_view"]}


def _history(block: Block, node: Node) -> History:
    claims = {
        History.TIMELESS: block.flag("timeless", default=False),
        History.LATEST_ONLY: block.flag("latest_only", default=False),
        History.SNAPSHOT: "valid_to" in block or node.resource_type == "snapshot",
    }
    claimed = [history for history, claim in claims.items() if claim]
    if len(claimed) > 1:
        raise block.location.error(f"is either {' or '.join(claimed)}, not both")
    history = claimed[0] if claimed else History.EVENTS
    own = node.meta["feature_view"]
    if history in (History.TIMELESS, History.LATEST_ONLY):
        for key, reason in _UNDATED.items():
            if own.get(key) not in (None, "none"):
                raise block.location.at(key).error(f"a {history} view takes no {key}: {reason}")
    return history


def _times(block: Block, node: Node, history: History) -> dict[str, Any]:
    """Name the columns of time. A snapshot's follow dbt's own settings, renamed columns included."""
    if history is History.TIMELESS:
        return {}
    event_time = (node.config or {}).get("event_time")
    created = {"created_timestamp": block.text("created_timestamp")}
    if history is History.LATEST_ONLY:
        return {"event_timestamp": event_time, **created}
    if history is History.EVENTS:
        if not event_time:
            raise node.location.at("config.event_time").error(
                "is missing: name the column that tells when a row was complete, or say timeless: true"
            )
        return {"event_timestamp": str(event_time), "known_at": block.text("known_at"), **created}
    config = node.config or {}
    renamed = {name: (config.get("snapshot_meta_column_names") or {}).get(name) or name for name in _SNAPSHOT_COLUMNS}
    valid_from, valid_to = block.text("valid_from") or "dbt_valid_from", block.text("valid_to") or "dbt_valid_to"
    return {
        "event_timestamp": renamed.get(valid_from, valid_from),
        "valid_to": renamed.get(valid_to, valid_to),
        "valid_to_current": config.get("dbt_valid_to_current"),
        "is_deleted": renamed["dbt_is_deleted"] if config.get("hard_deletes") == "new_record" else None,
        "known_at": block.text("known_at"),
        **created,
    }


def _duration(block: Block, key: str, history: History) -> timedelta | None:
    """Read a duration; views without an age ignore a default one."""
    if history in (History.TIMELESS, History.LATEST_ONLY):
        return None
    return block.duration(key)


def _timezone(block: Block) -> str:
    name = block.text("timezone") or "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as unknown:
        raise block.location.at("timezone").error(
            f"{name!r} is no time zone; write one such as Europe/Paris"
        ) from unknown
    return name


def _entities(block: Block) -> tuple[Entity, ...]:
    entities = tuple(Entity(name=name, join_keys=keys) for name, keys in block.named_names("entities").items())
    if not entities:
        raise block.location.at("entities").error(
            "is missing: map each entity to its join column, or a list of columns"
        )
    keys = [key for entity in entities for key in entity.join_keys]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise block.location.at("entities").error(f"two entities share the column {', '.join(sorted(twice))}")
    return entities


def _with_features(view: FeatureView, block: Block, node: Node) -> FeatureView:
    metas = {name: column.meta.get("feature") for name, column in (node.columns or {}).items()}
    defaults = {name: _default(name, meta, node.location) for name, meta in metas.items()}
    reserved = {*view.join_keys, *view.times}
    names = block.names("features")
    if names is None and not node.has_contract:
        columns = [name for name in (node.columns or {}) if name not in reserved and metas[name] is not False]
        raise block.location.at("features").error(
            "is missing, and no contract is enforced; list the columns that models may see: "
            f"features: [{', '.join(columns) or '...'}]"
        )
    if names is None:
        names = tuple(name for name in view.relation.columns if name not in reserved and metas.get(name) is not False)
    for name in names:
        if metas.get(name) is False:
            raise block.location.at("features").error(f"lists {name!r}, whose column says feature: false")
        if name in reserved:
            raise block.location.at("features").error(f"lists {name!r}, which is a key or a time of the view")
    if not names:
        raise block.location.at("features").error("is empty: the view has no column but keys and times")
    return replace(view, features=tuple(Feature(name=name, default=defaults.get(name)) for name in names))


def _is_unique(view: FeatureView, node: Node, adapter: str | None) -> bool:
    """Tell whether the warehouse enforces a key within join keys and event timestamp, as BigQuery does not.

    Wall clocks of a zone that changes its clocks may differ and still mean the same moment.
    """
    columns = {*view.join_keys, view.event_timestamp}
    enforced = adapter in _ENFORCING and any(columns.issuperset(key) for key in node.enforced_keys)
    return enforced and view.timezone.upper() == "UTC"


def _is_indexed(view: FeatureView, node: Node) -> bool:
    """Tell whether an index begins with the join keys, in any order, and goes on with the event timestamp."""
    keys = len(view.join_keys)
    return any(
        set(index[:keys]) == set(view.join_keys) and index[keys : keys + 1] == [view.event_timestamp]
        for index in (*node.enforced_keys, *node.indexes)
    )


def _default(column: str, meta: object, location: Location) -> Any:
    if meta is None or isinstance(meta, bool):
        return None
    return Block(meta, location.at(f"columns.{column}.config.meta.feature"), allowed=("default",)).values.get("default")


def is_feature_view(node: Node) -> bool:
    """Tell whether a node is a feature view: its `config.meta.feature_view` is a mapping."""
    return node.resource_type in ("model", "snapshot", "seed") and isinstance(node.meta.get("feature_view"), Mapping)
