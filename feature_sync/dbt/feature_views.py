"""Turns a dbt node whose `config.meta.feature_view` is a mapping into a feature view."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from feature_sync.dbt.block import Block
from feature_sync.dbt.node import Node
from feature_sync.dbt.streams import read_stream
from feature_sync.definitions import Entity, Feature, FeatureView, History, check_zone, format_duration
from feature_sync.errors import Findings, Location

SETTINGS = (
    "entities", "features", "created_timestamp", "known_at", "lag", "ttl", "timezone", "online",
    "valid_from", "valid_to", "timeless", "latest_only", "stream",
)  # fmt: skip
DEFAULTS = ("created_timestamp", "known_at", "lag", "ttl", "timezone", "online")
FEATURE = ("default",)
_TIMES = ("created_timestamp", "known_at", "valid_from", "valid_to")
_UNDATED = {"ttl": "its rows have no age", "lag": "its rows have no age", "known_at": "it keeps no history"}
_WITHOUT_AGE = (History.TIMELESS, History.LATEST_ONLY)
_ENFORCING = ("duckdb", "postgres")
DOUBLED = "dbt adds a version's list to the model's: write it at the versions only"
_SNAPSHOT_COLUMNS = ("dbt_valid_from", "dbt_valid_to", "dbt_is_deleted")


def read_feature_view(
    node: Node, types: dict[str, str], findings: Findings, *, adapter: str | None = None
) -> FeatureView | None:
    """Read one node, and note all mistakes that are independent of each other; None if join keys or times are unknown.

    Args:
        node: The model, snapshot or seed.
        types: The types of its columns in the catalog, empty if unknown.
        findings: Receives the mistakes.
        adapter: The name of dbt's adapter, which decides whether the warehouse enforces keys.
    """
    block = _block(node, findings)
    view = _without_features(block, node, types, findings)
    features = _features(view, block, node, findings)
    if view is None:
        return None
    view = replace(view, features=features).with_own_spelling()
    findings.note(*view.mistakes())
    view = replace(view, stream=read_stream(view, block, findings))
    return replace(view, is_unique=_is_unique(view, node, adapter), is_indexed=_is_indexed(view, node))


def _without_features(block: Block, node: Node, types: dict[str, str], findings: Findings) -> FeatureView | None:
    """Read all settings except the features."""
    history = findings.attempt(None, _history, block, node)
    named = {key: findings.attempt(None, block.text, key) for key in _TIMES}
    times = None if history is None else findings.attempt(None, _times, named, node, history)
    entities = findings.attempt(None, _entities, block)
    lag = findings.attempt(timedelta(0), block.duration, "lag")
    ttl = findings.attempt(None, block.duration, "ttl")
    timezone = findings.attempt("UTC", _timezone, block)
    online = findings.attempt(True, block.flag, "online", default=True)
    if history is None or times is None or entities is None:
        return None
    has_age = history not in _WITHOUT_AGE
    view = FeatureView(
        name=node.name or "",
        version=None if node.version is None else str(node.version),
        latest_version=node.version is None or node.version == node.latest_version,
        deprecation_date=node.deprecated_from,
        relation=node.relation(types),
        entities=entities,
        features=(),
        history=history,
        **times,
        lag=lag if has_age else None,
        ttl=ttl if has_age else None,
        timezone=timezone,
        online=online,
    )
    _note_contradictions(view, block, findings)
    return view


def _block(node: Node, findings: Findings) -> Block:
    """Merge the view's own settings over `feature_view_defaults`; dbt merges `meta` only one level deep."""
    at, meta = node.location.at("config.meta"), node.meta
    none: dict[str, Any] = {}
    values = none if meta.get("feature_view_defaults") is None else meta["feature_view_defaults"]
    defaults = findings.attempt(
        None, Block, values, at.at("feature_view_defaults"), allowed=DEFAULTS, findings=findings
    )
    hint = "" if node.version is None else f"; {DOUBLED}"
    return Block(
        meta["feature_view"],
        at.at("feature_view"),
        allowed=SETTINGS,
        findings=findings,
        defaults=defaults,
        duplicate_hint=hint,
    )


def _history(block: Block, node: Node) -> History:
    claims = {
        History.TIMELESS: block.flag("timeless", default=False),
        History.LATEST_ONLY: block.flag("latest_only", default=False),
        History.SNAPSHOT: "valid_to" in block or node.resource_type == "snapshot",
    }
    claimed = [history for history, claim in claims.items() if claim]
    if len(claimed) > 1:
        raise block.location.error(f"is either {' or '.join(claimed)}, not both")
    return claimed[0] if claimed else History.EVENTS


def _times(named: Mapping[str, str | None], node: Node, history: History) -> dict[str, Any]:
    """Return the columns of time by field of `FeatureView`; a snapshot's follow dbt's settings, renamed ones too."""
    if history is History.TIMELESS:
        return {}
    config = node.config or {}
    event_time, created = config.get("event_time"), {"created_timestamp": named["created_timestamp"]}
    if history is History.LATEST_ONLY:
        return {"event_timestamp": event_time, **created}
    if history is History.EVENTS:
        if not event_time:
            raise node.location.at("config.event_time").error(
                "is missing: name the column with the moment at which a row was complete, or set timeless: true"
            )
        return {"event_timestamp": str(event_time), "known_at": named["known_at"], **created}
    renamed = {name: (config.get("snapshot_meta_column_names") or {}).get(name) or name for name in _SNAPSHOT_COLUMNS}
    valid_from, valid_to = named["valid_from"] or "dbt_valid_from", named["valid_to"] or "dbt_valid_to"
    return {
        "event_timestamp": renamed.get(valid_from, valid_from),
        "valid_to": renamed.get(valid_to, valid_to),
        "valid_to_current": config.get("dbt_valid_to_current"),
        "is_deleted": renamed["dbt_is_deleted"] if config.get("hard_deletes") == "new_record" else None,
        "known_at": named["known_at"],
        **created,
    }


def _note_contradictions(view: FeatureView, block: Block, findings: Findings) -> None:
    """Note durations that contradict the view's history or each other; views without an age ignore a default one."""
    if view.history in _WITHOUT_AGE:
        for key, reason in _UNDATED.items():
            if block.own.get(key) not in (None, "none"):
                findings.note(block.at(key).mistake(f"a {view.history} view takes no {key}: {reason}"))
    lag = view.lag or timedelta(0)
    if view.ttl is not None and view.ttl < lag:
        lag_and_ttl = f"{format_duration(view.ttl)} is shorter than the lag of {format_duration(lag)}"
        findings.note(block.at("ttl").mistake(f"{lag_and_ttl}: no row would ever answer"))


def _timezone(block: Block) -> str:
    name = "" if block.values.get("timezone") == "" else block.text("timezone") or "UTC"
    try:
        check_zone(name)
    except ValueError as unknown:
        raise block.at("timezone").error(str(unknown)) from unknown
    return name


def _entities(block: Block) -> tuple[Entity, ...]:
    entities = tuple(Entity(name=name, join_keys=keys) for name, keys in block.named_names("entities").items())
    if not entities:
        raise block.at("entities").error("is missing: map each entity to its join column, or a list of columns")
    keys = [key for entity in entities for key in entity.join_keys]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise block.at("entities").error(f"two entities share the column {', '.join(sorted(twice))}")
    return entities


def _features(view: FeatureView | None, block: Block, node: Node, findings: Findings) -> tuple[Feature, ...]:
    """Read the features; without the view it is unknown which columns are join keys and times."""
    metas = {name: column.meta.get("feature") for name, column in (node.columns or {}).items()}
    defaults = {
        name: findings.attempt(None, _default, name, meta, node.location, findings) for name, meta in metas.items()
    }
    columns = (node.columns or {}).items()
    left_out = {name: "feature: false" for name, meta in metas.items() if meta is False}
    left_out |= {name: "label: true" for name, column in columns if column.meta.get("label") is True}
    for name, mark in left_out.items():
        if mark == "label: true" and metas[name] not in (None, False):
            at = node.location.at(f"columns.{name}.config.meta")
            findings.note(at.mistake("has both label: true and feature: a model must not see what it predicts"))
    names = findings.attempt((), _feature_names, view, block, node, left_out)
    marks = {name.casefold(): mark for name, mark in left_out.items()}
    taken = set() if view is None else {name.casefold() for name in (*view.join_keys, *view.times)}
    for name in names:
        forbidden = left_out.get(name) if name in metas else marks.get(name.casefold())
        if forbidden is not None:
            message = f"lists {name!r}, whose column has {forbidden}"
            findings.note(block.at(f"features.{name}").mistake(message))
        if name.casefold() in taken:
            findings.note(
                block.at(f"features.{name}").mistake(f"lists {name!r}, which is a join key or a time of the view")
            )
    by_fold = {name.casefold(): default for name, default in defaults.items()}
    return tuple(
        Feature(name=name, default=defaults[name] if name in defaults else by_fold.get(name.casefold()))
        for name in names
    )


def _feature_names(view: FeatureView | None, block: Block, node: Node, left_out: Collection[str]) -> tuple[str, ...]:
    """Return the features as listed, or else all columns of a contract except join keys, times and those left out."""
    names = block.names("features")
    if names is not None:
        return names
    free: list[str] = []
    if view is not None:
        taken = {name.casefold() for name in (*view.join_keys, *view.times)}
        free = [name for name in node.columns or {} if name not in left_out and name.casefold() not in taken]
    if not node.has_contract:
        raise block.at("features").error(
            "is missing, and no contract is enforced; list the columns that models may see: "
            f"features: [{', '.join(free) or '...'}]"
        )
    if view is not None and not free:
        raise block.at("features").error("is empty: the view has no columns except join keys and times")
    return tuple(free)


def _is_unique(view: FeatureView, node: Node, adapter: str | None) -> bool:
    """True if the warehouse enforces a unique key within join keys and event timestamp; BigQuery enforces none."""
    return adapter in _ENFORCING and any(map(view.is_identified_by, node.enforced_keys))


def _is_indexed(view: FeatureView, node: Node) -> bool:
    """True if an index that dbt makes finds the rows of an entity in the order of time."""
    return any(map(view.is_found_by, (*node.enforced_keys, *node.indexes)))


def _default(column: str, meta: object, location: Location, findings: Findings) -> Any:
    if meta is None or isinstance(meta, bool):
        return None
    at = location.at(f"columns.{column}.config.meta.feature")
    return Block(meta, at, allowed=FEATURE, findings=findings).values.get("default")


def is_feature_view(node: Node) -> bool:
    """True if a node is a feature view: its `config.meta.feature_view` is a mapping."""
    return node.resource_type in ("model", "snapshot", "seed") and isinstance(node.meta.get("feature_view"), Mapping)
