"""The metrics of feature-sync, as a closed list, and their samples: what commands and statuses say in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from feature_sync.definitions import Registry
from feature_sync.online.base import ClusterHealth
from feature_sync.online.marks import DONE, SlotMark
from feature_sync.online.streams import StreamRecord
from feature_sync.push.report import Pushed
from feature_sync.push.status import ViewStatus
from feature_sync.stream.report import StreamCounts
from feature_sync.verify.report import Verified

_STATES = {
    "pushed": "pushed",
    "being pushed": "being_pushed",
    "never pushed": "never_pushed",
    "a push did not end": "unfinished",
    "no longer defined": "undefined",
}
"""The label for each state of a view."""
_ROWS_VERIFIED = ("matching", "different", "missing", "extra", "expired", "overdue", "ahead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A gauge: its name ends with its unit, if it has one; `project` labels every metric, before `labels`."""

    name: str
    help: str
    labels: tuple[str, ...] = ("view",)

    @property
    def unit(self) -> str:
        """The unit by which the name ends, else empty."""
        return next((unit for unit in ("seconds", "bytes") if self.name.endswith(f"_{unit}")), "")


class Sample(NamedTuple):
    """The value of a metric for some labels, `project` left out."""

    metric: str
    labels: Mapping[str, str]
    value: float


_OF_ALL = ("up", "cluster_uncovered_slots")
"""Metrics without a label but `project`."""


def _metric(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"feature_sync_{name}", help=text, labels=() if name in _OF_ALL else labels or ("view",))


METRICS = {
    each.name: each
    for each in (
        _metric("command_exit_code", "Exit code of the command that wrote this.", "command"),
        _metric("command_timestamp_seconds", "When the command ended.", "command"),
        _metric("command_duration_seconds", "How long the command took.", "command"),
        _metric("push_success", "1 if the last push of the view succeeded, 0 if it failed or was held back."),
        _metric("push_held_back", "1 if the view was held back."),
        _metric("push_failed", "1 if the push of the view failed."),
        _metric("push_full", "1 if every row was sent, not only changes."),
        _metric("push_written_rows", "Rows that the push wrote to Redis."),
        _metric("push_deleted_rows", "Rows that the push deleted from Redis."),
        _metric("push_kept_rows", "Rows that Redis held already."),
        _metric("push_sent_bytes", "Bytes of the keys and values that the push wrote."),
        _metric("push_phase_duration_seconds", "How long each phase of the push took.", "view", "phase"),
        _metric("verify_equal", "1 if Redis equals the warehouse in this view."),
        _metric("verify_rows", "Rows by how Redis compares with the warehouse.", "view", "kind"),
        _metric("verify_as_of_timestamp_seconds", "The moment for which both were compared."),
        _metric("verify_duration_seconds", "How long the comparison took."),
        _metric("up", "1 if project and Redis could be read for this scrape."),
        _metric("view_state", "1 for the state in which the view is, 0 for the others.", "view", "state"),
        _metric("view_rows", "Rows of the last push that still answer."),
        _metric("view_memory_bytes", "Memory of these rows in Redis, estimated from a sample."),
        _metric("view_oldest_event_timestamp_seconds", "The earliest event timestamp of the last push."),
        _metric("view_newest_event_timestamp_seconds", "The latest event timestamp of the last push."),
        _metric("view_ttl_seconds", "The oldest age at which a row still answers; absent without a TTL."),
        _metric("view_clock_timestamp_seconds", "The fixed clock of the last push; absent at the real clock."),
        _metric("view_last_push_timestamp_seconds", "When the last push ended that was completed."),
        _metric("view_last_push_duration_seconds", "How long that push took."),
        _metric("view_unfinished_pushes", "Pushes after it that did not end."),
        _metric("view_unfinished_slots", "Hash slots of a cluster that lack a complete push of the view."),
        _metric("view_warehouse_readable", "1 if the warehouse could tell of this view, else 0."),
        _metric("stream_ahead_rows", "Keys that the stream wrote and that the last push had not seen."),
        _metric("stream_ahead_messages", "Messages, up to the last that came, that the last push had not seen."),
        _metric("stream_last_message_timestamp_seconds", "When a row of the stream came last."),
        _metric("stream_last_event_timestamp_seconds", "The event timestamp of that row."),
        _metric("stream_watermark_offset", "The first offset that the last push had not seen.", "view", "partition"),
        _metric("cluster_uncovered_slots", "Hash slots of the Redis Cluster that no node serves that answers."),
        _metric("node_up", "1 if the node of the cluster answers, else 0.", "node", "role"),
        _metric("node_slots", "Hash slots that the primary serves.", "node"),
        _metric("node_keys", "Keys of all kinds on the node.", "node"),
        _metric("node_memory_bytes", "Memory that the node uses.", "node"),
        _metric("node_replicas", "Replicas that follow the primary.", "node"),
        _metric("node_replica_lag_bytes", "What the slowest of them has not acknowledged.", "node"),
        _metric("stream_process_start_timestamp_seconds", "When this process began to stream."),
        _metric("stream_process_fine_timestamp_seconds", "When Redis last answered this process."),
        _metric("stream_process_messages", "Messages that this process has read, replayed ones each time."),
        _metric("stream_process_rows", "Rows of these messages by what became of them.", "view", "kind"),
        _metric("stream_process_dead_letters", "Messages that could not be rows."),
        _metric("stream_process_returns", "How often this process went back to the watermark."),
        _metric("stream_process_last_message_timestamp_seconds", "The newest timestamp of a message that was read."),
        _metric("stream_process_lag_messages", "Messages still to be read.", "view", "partition"),
        _metric("stream_process_lag_seconds", "Age of the last message read; 0 if none waits.", "view", "partition"),
        _metric("service_view", "1 for each feature service and each feature view that it uses.", "service", "view"),
    )
}
"""Every metric by its name, in the order in which they are written. Names and labels are stable."""


def of_command(command: str, *, exit_code: int, ended: datetime, seconds: float) -> Iterator[Sample]:
    """Yield how a command ended.

    Args:
        command: Its name.
        exit_code: Its exit code.
        ended: When it ended.
        seconds: How long it took.
    """
    labels = {"command": command}
    yield _sample("command_exit_code", labels, exit_code)
    yield _sample("command_timestamp_seconds", labels, ended.timestamp())
    yield _sample("command_duration_seconds", labels, seconds)


def of_pushes(pushed: Iterable[Pushed]) -> Iterator[Sample]:
    """Yield what a push did with each view; nothing of a dry run, and of views that were removed."""
    for each in pushed:
        if each.is_dry_run or each.is_pruned:
            continue
        view = {"view": each.feature_view}
        failed, held_back = each.failed is not None, each.held_back is not None
        yield _sample("push_success", view, not (failed or held_back))
        yield _sample("push_held_back", view, held_back)
        yield _sample("push_failed", view, failed)
        yield _sample("push_full", view, each.full is not None)
        yield _sample("push_written_rows", view, each.written)
        yield _sample("push_deleted_rows", view, each.deleted)
        yield _sample("push_kept_rows", view, each.kept)
        yield _sample("push_sent_bytes", view, each.sent_bytes)
        for phase, seconds in each.phase_seconds.items():
            yield _sample("push_phase_duration_seconds", {**view, "phase": phase}, seconds)


def of_verification(verified: Iterable[Verified]) -> Iterator[Sample]:
    """Yield how Redis compares with the warehouse in each view."""
    for each in verified:
        view = {"view": each.feature_view}
        yield _sample("verify_equal", view, each.is_equal)
        for kind in _ROWS_VERIFIED:
            yield _sample("verify_rows", {**view, "kind": kind}, getattr(each, kind))
        yield _sample("verify_as_of_timestamp_seconds", view, each.as_of.timestamp())
        yield _sample("verify_duration_seconds", view, each.duration_seconds)


def of_statuses(statuses: Iterable[ViewStatus], registry: Registry) -> Iterator[Sample]:
    """Yield what is known of each view, and which services use it; what is not known has no sample.

    Args:
        statuses: The statuses of views.
        registry: The services.
    """
    for each in statuses:
        view = {"view": each.feature_view}
        for state, label in _STATES.items():
            yield _sample("view_state", {**view, "state": label}, each.state == state)
        yield _sample("view_unfinished_pushes", view, len(each.unfinished))
        yield _sample("view_warehouse_readable", view, each.problem is None)
        yield from (_sample(name, view, value) for name, value in _known(each) if value is not None)
        yield from () if each.stream is None else _of_stream(each.stream, view)
    for service in registry.feature_services.values():
        for reference in dict.fromkeys(each.view.reference for each in service.selections):
            yield _sample("service_view", {"service": service.name, "view": reference}, 1)


def of_cluster(health: ClusterHealth) -> Iterator[Sample]:
    """Yield how the nodes of a cluster are; of one that does not answer, only that."""
    yield _sample("cluster_uncovered_slots", {}, health.uncovered_slots)
    for each in health.nodes:
        node = {"node": each.address}
        yield _sample("node_up", {**node, "role": "primary" if each.is_primary else "replica"}, each.is_up)
        if each.is_primary:
            yield _sample("node_slots", node, each.slots)
        for name in ("keys", "memory_bytes", "replicas", "replica_lag_bytes"):
            if (value := getattr(each, name)) is not None:
                yield _sample(f"node_{name}", node, value)


def of_slots(reference: str, push: str, marks: Sequence[SlotMark | None]) -> Iterator[Sample]:
    """Yield how many hash slots lack the newest push of a view, of which `push` is the id."""
    unfinished = sum(each != SlotMark(DONE, push) for each in marks)
    yield _sample("view_unfinished_slots", {"view": reference}, unfinished)


def of_streaming(counts: StreamCounts) -> Iterator[Sample]:
    """Yield what the process of a stream has done so far, and how far it is behind its topic."""
    view = {"view": counts.feature_view}
    yield _sample("stream_process_start_timestamp_seconds", view, counts.began_at)
    if counts.fine_at is not None:
        yield _sample("stream_process_fine_timestamp_seconds", view, counts.fine_at)
    yield _sample("stream_process_messages", view, counts.messages)
    for kind in ("applied", "seen", "older"):
        yield _sample("stream_process_rows", {**view, "kind": kind}, getattr(counts, kind))
    yield _sample("stream_process_dead_letters", view, counts.dead)
    yield _sample("stream_process_returns", view, counts.returns)
    if counts.last_message is not None:
        yield _sample("stream_process_last_message_timestamp_seconds", view, counts.last_message / 1_000)
    for partition, messages in sorted(counts.lags.items()):
        labels = {**view, "partition": str(partition)}
        yield _sample("stream_process_lag_messages", labels, messages)
        if (seconds := counts.seconds_behind(partition)) is not None:
            yield _sample("stream_process_lag_seconds", labels, seconds)


def of_scrape(*, is_up: bool) -> Iterator[Sample]:
    """Yield whether a scrape could read project and Redis."""
    yield _sample("up", {}, is_up)


def _known(status: ViewStatus) -> Iterator[tuple[str, float | None]]:
    last = status.last
    yield "view_rows", status.rows
    yield "view_memory_bytes", status.memory_bytes
    yield "view_oldest_event_timestamp_seconds", _seconds(status.oldest)
    yield "view_newest_event_timestamp_seconds", _seconds(status.newest)
    yield "view_ttl_seconds", None if status.ttl is None else status.ttl.total_seconds()
    yield "view_clock_timestamp_seconds", _seconds(last.as_of if last else None)
    yield "view_last_push_timestamp_seconds", _seconds(last.at if last else None)
    yield "view_last_push_duration_seconds", last.seconds if last else None


def _of_stream(stream: StreamRecord, view: Mapping[str, str]) -> Iterator[Sample]:
    yield _sample("stream_ahead_rows", view, stream.ahead)
    yield _sample("stream_ahead_messages", view, stream.messages_ahead)
    if (last := stream.last) is not None:
        yield _sample("stream_last_message_timestamp_seconds", view, last.at.timestamp())
        yield _sample("stream_last_event_timestamp_seconds", view, last.event_timestamp / 1_000_000)
    for partition, offset in sorted(stream.snapshot.watermark.items()):
        yield _sample("stream_watermark_offset", {**view, "partition": str(partition)}, offset)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _sample(name: str, labels: Mapping[str, str], value: float) -> Sample:
    return Sample(f"feature_sync_{name}", labels, float(value))
