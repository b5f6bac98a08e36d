"""The JSON documents of commands; docs/json.md describes every key, docs/json.schema.json validates them.

JSON keys of durations end with `_seconds`, of sizes with `_bytes`, of columns with `_column`. An unknown value is null.
A list of feature views is called `feature_views`, and each of them has its reference in `name`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from feature_sync.definitions import FeatureService, FeatureView, Registry
from feature_sync.json_text import seconds
from feature_sync.value_types import since_epoch

if TYPE_CHECKING:
    from feature_sync.check import Checked
    from feature_sync.dbt.description import Description
    from feature_sync.online.base import NodeState
    from feature_sync.online.streams import StreamRecord
    from feature_sync.push import Pushed
    from feature_sync.push.state import LastPush
    from feature_sync.push.status import ViewStatus
    from feature_sync.serving.vectors import FeatureVector
    from feature_sync.verify import Difference, Verified

Document: TypeAlias = dict[str, Any]
"""A JSON object; a value may be of any type that `write_document` writes."""
_LOCATION = ("file", "line", "node", "key")


def of_registry(registry: Registry) -> Document:
    """Return the document of `list`."""
    return {
        "feature_views": [_view(each) for each in registry.feature_views.values()],
        "entities": [
            {"name": name, "feature_view_names": [each.reference for each in views]}
            for name, views in registry.entities.items()
        ],
        "feature_services": [_service(each) for each in registry.feature_services.values()],
    }


def of_description(description: Description) -> Document:
    """Return the document of `describe`."""
    if isinstance(description.definition, FeatureView):
        return _described_view(description, description.definition)
    return _described_service(description, description.definition)


def of_check(checked: Checked) -> Document:
    """Return the document of `check`."""
    counts = ("feature_views", "feature_services", "errors", "warnings")
    findings = [
        {**asdict(each), **{name: getattr(each, name) or None for name in _LOCATION}} for each in checked.findings
    ]
    return {**{f"{name.removesuffix('s')}_count": getattr(checked, name) for name in counts}, "findings": findings}


def of_push(pushed: Sequence[Pushed]) -> Document:
    """Return the document of `push`."""
    return {"feature_views": [_pushed(each) for each in pushed]}


def of_verification(verified: Sequence[Verified]) -> Document:
    """Return the document of `verify`."""
    return {
        "is_equal": all(each.is_equal for each in verified),
        "feature_views": [_verified(each) for each in verified],
    }


def of_statuses(statuses: Sequence[ViewStatus]) -> Document:
    """Return the document of `status`."""
    nodes = statuses[0].nodes if statuses else ()
    return {"feature_views": [_status(each) for each in statuses], "nodes": [_node(each) for each in nodes]}


def of_vector(vector: FeatureVector) -> Document:
    """Return the document of `get`."""
    statuses, moments = vector.statuses, vector.event_timestamps
    features = [
        {"name": name, "value": value, "status": statuses[name], "event_timestamp": moments[name]}
        for name, value in vector.items()
    ]
    return {"keys": vector.entity, "features": features}


def _view(view: FeatureView) -> Document:
    return {
        "name": view.reference,
        "entities": [{"name": each.name, "join_keys": each.join_keys} for each in view.entities],
        "history": view.history,
        "ttl_seconds": seconds(view.ttl),
        "lag_seconds": seconds(view.lag),
        "online": view.online,
        "deprecation_date": view.deprecation_date,
        "feature_names": [each.name for each in view.features],
    }


def _service(service: FeatureService) -> Document:
    return {"name": service.name, "join_keys": service.join_keys, "feature_names": service.feature_names}


def _described_view(description: Description, view: FeatureView) -> Document:
    return {
        "kind": description.kind,
        **_view(view),
        "description": description.description,
        "event_timestamp_column": view.event_timestamp,
        "valid_to_column": view.valid_to,
        "known_at_column": view.known_at,
        "created_timestamp_column": view.created_timestamp,
        "timezone": view.timezone,
        "stream": view.stream and {"topic": view.stream.topic, "format": view.stream.format},
        "deprecation": description.settings.get("deprecation"),
        "relation": view.relation.name,
        "file": view.relation.location.file,
        "columns": [asdict(each) for each in description.columns],
        "tests": description.tests,
        "used_by": description.used_by,
        "upstream": description.upstream,
    }


def _described_service(description: Description, service: FeatureService) -> Document:
    sources = [each for each in service.selections for _ in each.features]
    return {
        "kind": description.kind,
        **_service(service),
        "description": description.description,
        "owner": service.owner or None,
        "file": service.location.file if service.location else None,
        "features": [
            {
                "name": column.name,
                "feature_view": source.view.reference,
                "alias": source.alias,
                "data_type": column.data_type,
                "description": column.description,
                "default": column.default,
            }
            for column, source in zip(description.columns, sources, strict=True)
        ],
        "upstream": description.upstream,
    }


def _pushed(pushed: Pushed) -> Document:
    phases = {f"{phase}_seconds": pushed.phase_seconds.get(phase) for phase in ("stage", "send", "commit")}
    return {
        "name": pushed.feature_view,
        "written": pushed.written,
        "deleted": pushed.deleted,
        "kept": pushed.kept,
        "sent_bytes": pushed.sent_bytes,
        "memory_bytes": pushed.memory_bytes,
        "nodes": [{"address": name, "memory_bytes": each} for name, each in sorted(pushed.shard_bytes.items())],
        "scan_bytes": pushed.scan_bytes,
        "held_back": pushed.held_back,
        "failed": pushed.failed,
        "full": pushed.full,
        "push_id": pushed.push,
        "is_dry_run": pushed.is_dry_run,
        "is_pruned": pushed.is_pruned,
        "duration_seconds": pushed.duration_seconds,
        **phases,
    }


def _verified(verified: Verified) -> Document:
    counts = ("matching", "different", "missing", "extra", "expired", "overdue", "ahead")
    return {
        "name": verified.feature_view,
        "as_of": verified.as_of,
        "is_equal": verified.is_equal,
        "view_problems": verified.problems,
        "notes": verified.notes,
        "sample_entities": verified.sample,
        **{name: getattr(verified, name) for name in counts},
        "different_event_timestamps": verified.event_timestamps,
        "different_expiries": verified.expiries,
        "features": [{"name": name, **asdict(each)} for name, each in verified.features.items()],
        "examples": [_difference(each) for each in verified.examples],
        "are_values_redacted": verified.are_values_redacted,
        "duration_seconds": verified.duration_seconds,
    }


def _difference(difference: Difference) -> Document:
    return {
        "kind": difference.kind,
        "key": difference.key,
        "feature": difference.feature,
        "about": difference.about or None,
        "warehouse_value": difference.warehouse,
        "redis_value": difference.redis,
    }


def _node(node: NodeState) -> Document:
    return {
        "address": node.address,
        "slot_count": node.slots,
        "key_count": node.keys,
        "memory_bytes": node.memory_bytes,
        "replica_count": node.replicas,
    }


def _status(status: ViewStatus) -> Document:
    holder = status.holder
    return {
        "name": status.feature_view,
        "state": status.state,
        "is_defined": status.is_defined,
        "as_of": status.as_of,
        "rows": status.rows,
        "memory_bytes": status.memory_bytes,
        "sampled_keys": status.sampled_keys,
        "oldest_event_timestamp": status.oldest,
        "newest_event_timestamp": status.newest,
        "age_seconds": seconds(status.age),
        "ttl_seconds": seconds(status.ttl),
        "schema_ids": status.schemas,
        "mark": _mark(status),
        "last_push": status.last and _last_push(status.last),
        "lease": holder and {"holder": holder.who.rstrip(","), "since": holder.since},
        "unfinished_push_ids": status.unfinished,
        "stream": status.stream and _stream(status.stream),
        "problem": status.problem,
    }


def _stream(stream: StreamRecord) -> Document:
    partitions = sorted({*stream.snapshot.watermark, *stream.deliveries})
    return {
        "topic": stream.snapshot.topic,
        "rows_ahead": stream.ahead,
        "messages_ahead": stream.messages_ahead,
        "partitions": [_partition(stream, each) for each in partitions],
    }


def _partition(stream: StreamRecord, partition: int) -> Document:
    last = stream.deliveries.get(partition)
    return {
        "partition": partition,
        "watermark": stream.snapshot.watermark.get(partition, 0),
        "last_offset": last and last.offset,
        "last_event_timestamp": last and since_epoch(last.event_timestamp),
        "last_at": last and last.at,
    }


def _mark(status: ViewStatus) -> Document | None:
    if (mark := status.mark) is None:
        return None
    return {
        "push_id": mark.push,
        "status": mark.status,
        "warehouse": mark.warehouse,
        "warehouse_id": mark.warehouse_id or None,
        "redis_run_id": mark.run_id or None,
        "evicted_keys": mark.evicted_keys,
    }


def _last_push(last: LastPush) -> Document:
    return {
        "ended_at": last.at,
        "duration_seconds": last.seconds,
        "written": last.written,
        "deleted": last.deleted,
        "relation": last.relation,
        "dbt_invocation_id": last.invocation_id,
        "as_of": last.as_of,
    }
