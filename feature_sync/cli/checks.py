"""Prints the results of `verify` and `status`: tables or JSON on stdout, notes and advice on stderr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from feature_sync.cli.documents import of_statuses, of_verification
from feature_sync.cli.saying import say
from feature_sync.cli.tables import format_value, print_json, print_table, size
from feature_sync.value_types import since_epoch

if TYPE_CHECKING:
    from feature_sync.online.streams import StreamRecord
    from feature_sync.push.status import ViewStatus
    from feature_sync.verify import Difference, Verified

_COUNTS = ("matching", "different", "missing", "extra", "expired")
_ABOUT_VALUES = ("event timestamp", "ends", "expires")
_LONGEST_VALUE = 40
_UNITS = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("min", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
)


def print_verified(verified: Sequence[Verified], *, as_json: bool) -> None:
    """Print the result of a verification: a summary of each view, the features that differ, and examples."""
    if as_json:
        print_json(of_verification(verified))
        return
    rows = [
        (
            each.feature_view,
            _verdict(each),
            *_counts(each),
            _second(each.as_of),
            f"{each.duration_seconds:.2f} s",
        )
        for each in verified
    ]
    print_table(("feature view", "Redis is", *_COUNTS, "as of", "time"), rows, right=(2, 3, 4, 5, 6, 8))
    wrong = [each for each in verified if not each.is_equal]
    print_table(("feature view", "feature", *_COUNTS), _features(wrong), right=(2, 3, 4, 5, 6))
    examples = [_example(each, example) for each in verified for example in each.examples]
    print_table(("examples", "are", "in what", "warehouse", "Redis"), examples)
    for each in verified:
        for text in (*each.problems, *_notes(each)):
            say(f"{each.feature_view}: {text}", err=True)
    if wrong:
        names = " ".join(each.feature_view for each in wrong)
        say(f"To put it right: feature-sync push {names}", err=True)
        say(f"If differences stay, something else wrote to Redis: feature-sync push --full-refresh {names}", err=True)


def print_statuses(statuses: Sequence[ViewStatus], *, as_json: bool) -> None:
    """Print the state of each view, and its last push."""
    if as_json:
        print_json(of_statuses(statuses))
        return
    rows = [
        (
            each.feature_view,
            each.state,
            "" if each.rows is None else f"{each.rows:,}",
            "" if each.memory_bytes is None else f"~{size(each.memory_bytes)}",
            _second(each.oldest),
            _second(each.newest),
            _age(each),
            ", ".join(each.schemas),
        )
        for each in statuses
    ]
    columns = ("feature view", "state", "rows", "memory", "oldest event", "newest event", "age of ttl", "schemas")
    print_table(columns, rows, right=(2, 3))
    pushes = [
        (
            each.feature_view,
            _second(each.last.at),
            f"{each.last.seconds:.2f} s",
            f"{each.last.written:,}",
            f"{each.last.deleted:,}",
            each.last.relation,
            each.last.invocation_id or "",
            format_value(each.last.as_of) or "real",
        )
        for each in statuses
        if each.last is not None
    ]
    columns = ("last push", "ended", "took", "written", "deleted", "from", "dbt invocation", "clock")
    print_table(columns, pushes, right=(2, 3, 4))
    streams = [_stream(each.feature_view, each.stream) for each in statuses if each.stream is not None]
    if streams:
        names = ("stream", "topic", "rows ahead", "messages ahead", "last event", "last came")
        print_table(names, streams, right=(2, 3))
    if statuses and statuses[0].nodes:
        nodes = [
            (each.address, f"{each.slots:,}", f"{each.keys:,}", size(each.memory_bytes), str(each.replicas))
            for each in statuses[0].nodes
        ]
        print_table(("cluster node", "slots", "keys", "memory", "replicas"), nodes, right=(1, 2, 3, 4))
    for each in statuses:
        for text in _remarks(each):
            say(f"{each.feature_view}: {text}", err=True)


def _verdict(verified: Verified) -> str:
    if verified.is_equal:
        return "equal" if verified.sample is None else "equal so far"
    return "different"


def _counts(counts: Any) -> list[str]:
    return [f"{getattr(counts, name):,}" for name in _COUNTS]


def _features(verified: Sequence[Verified]) -> Iterator[tuple[str, ...]]:
    """Yield the features that differ in rows that exist on both sides."""
    for each in verified:
        for name, counts in each.features.items():
            if counts.different or counts.missing > each.missing or counts.extra > each.extra:
                yield each.feature_view, name, *_counts(counts)


def _example(verified: Verified, example: Difference) -> tuple[str, ...]:
    feature, about = example.feature, example.about
    what = about if feature is None else feature if about == "value" else f"{feature}: {about}"
    if about not in _ABOUT_VALUES and feature is None:
        return example.key, example.kind, what, "", ""
    if verified.are_values_redacted:
        return example.key, example.kind, what, "hidden", "hidden"
    none = "never" if about in ("ends", "expires") else "null"
    values = [_short(value, none=none) for value in (example.warehouse, example.redis)]
    return example.key, example.kind, what, *values


def _short(value: Any, *, none: str) -> str:
    """Write a value, text in quotation marks: it may look like a number or a time."""
    if value is None:
        return none
    text = repr(value) if isinstance(value, str | bytes) else format_value(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _notes(verified: Verified) -> Iterator[str]:
    if verified.overdue:
        yield f"{verified.overdue:,} of the expired rows should have been removed earlier; readers ignore them"
    if verified.ahead:
        yield f"in {verified.ahead:,} more keys the stream is ahead of the last push, which is no difference"
    if verified.event_timestamps:
        yield f"{verified.event_timestamps:,} of the different rows have another event timestamp"
    if verified.expiries:
        yield f"{verified.expiries:,} of the different rows expire in Redis at the wrong time"
    if verified.sample is not None:
        yield f"only a sample was compared ({verified.sample:,} entities at most), without a search for extra rows"
    yield from verified.notes


def _remarks(status: ViewStatus) -> Iterator[str]:
    if status.holder is not None:
        yield f"{status.holder.who} has been pushing it since {status.holder.since:%Y-%m-%d %H:%M:%S}Z"
    elif status.state == "a push did not end":
        yield "a push did not end; the next one repairs everything: feature-sync push"
    if not status.is_defined:
        yield "is in Redis, but the project no longer defines it, or sets online: false"
    if status.problem is not None:
        yield f"the warehouse cannot be read: {status.problem}"
    if status.rows == 0:
        yield "no row is within its TTL: build the model, then feature-sync push"


def _stream(name: str, stream: StreamRecord) -> tuple[str, ...]:
    last = stream.last
    times = ("", "") if last is None else (_second(since_epoch(last.event_timestamp)), _second(last.at))
    return name, stream.snapshot.topic, f"{stream.ahead:,}", f"{stream.messages_ahead:,}", *times


def _second(moment: datetime | None) -> str:
    return "" if moment is None else format_value(moment.replace(microsecond=0))


def _age(status: ViewStatus) -> str:
    if status.age is None:
        return ""
    age = _duration(status.age)
    return age if status.ttl is None else f"{age} of {_duration(status.ttl)}"


def _duration(duration: timedelta) -> str:
    """Write a duration in the largest unit of which it holds two or more, rounded to a whole number."""
    name, unit = next(((name, unit) for name, unit in _UNITS if duration >= 2 * unit), _UNITS[-1])
    return f"{duration / unit:.0f} {name}"
