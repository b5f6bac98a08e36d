"""Reads the block `stream` of a feature view: the topic that delivers its rows before the warehouse has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from feature_sync.dbt.block import Block
from feature_sync.definitions import FeatureView, History
from feature_sync.definitions.stream import KEY, TIMESTAMP, UNITS, MessageFormat, Stream
from feature_sync.errors import Findings, did_you_mean

STREAM = (
    "topic", "format", "key_format", "columns", "timestamps", "message", "descriptor",
    "dead_letter_topic", "dead_letter_file",
)  # fmt: skip
_VALUE_FORMATS = (MessageFormat.JSON, MessageFormat.AVRO, MessageFormat.PROTOBUF)
_UNSTREAMED = {
    History.SNAPSHOT: "its rows end when the next begin, which no message says; stream the model that it snapshots",
    History.TIMELESS: "its rows have no event time, by which the newer of two is known",
    History.LATEST_ONLY: "its one row for each entity is overwritten, whatever its time; stream a model of events",
}


def read_stream(view: FeatureView, block: Block, findings: Findings) -> Stream | None:
    """Read the stream of a view, and note all mistakes in it; None if it has none, or no topic.

    Args:
        view: The view, complete except for its stream.
        block: The view's block.
        findings: Receives the mistakes.
    """
    if block.values.get("stream") is None:
        return None
    own = findings.attempt(None, Block, block.values["stream"], block.at("stream"), allowed=STREAM, findings=findings)
    if own is None:
        return None
    for key, reason in _reasons_against(view):
        findings.note(block.at(key).mistake(f"{view.reference} cannot stream: {reason}"))
    texts = {
        key: findings.attempt(None, own.text, key)
        for key in ("message", "descriptor", "dead_letter_topic", "dead_letter_file")
    }
    stream = Stream(
        **texts,
        topic=findings.attempt(None, own.text, "topic") or "",
        format=findings.attempt(None, _format, own, "format", _VALUE_FORMATS) or MessageFormat.JSON,
        key_format=findings.attempt(None, _format, own, "key_format", tuple(MessageFormat)),
        columns=findings.attempt((), _columns, own, findings),
        timestamps=findings.attempt(None, _unit, own),
    )
    _note_mistakes(stream, own, view, findings)
    return stream if stream.topic else None


def _reasons_against(view: FeatureView) -> Iterator[tuple[str, str]]:
    """Yield why the rows of a view cannot be messages, each with the YAML key that is in the way."""
    if view.history in _UNSTREAMED:
        yield "stream", f"a {view.history} view is not row by row what its messages are: {_UNSTREAMED[view.history]}"
    if view.known_at is not None:
        yield "known_at", "a row counts once its known_at is past, which the warehouse decides; leave known_at out"
    if not view.online:
        yield "online", "it says online: false, so that Redis does not hold it"
    column = view.relation.columns.get(view.event_timestamp or "")
    if column is not None and (column.data_type or "").strip().lower() == "date":
        yield (
            "stream",
            (f"its event time {view.event_timestamp!r} is a date, so its rows sum a day; the row must be the message"),
        )


def _format(own: Block, key: str, known: tuple[MessageFormat, ...]) -> MessageFormat | None:
    text = own.text(key)
    if text is not None and text not in known:
        raise own.at(key).error(f"is {text!r}{did_you_mean(text, map(str, known))}")
    return None if text is None else MessageFormat(text)


def _unit(own: Block) -> str | None:
    text = own.text("timestamps")
    if text is not None and text not in UNITS:
        raise own.at("timestamps").error(f"is {text!r}{did_you_mean(text, UNITS)}")
    return text


def _columns(own: Block, findings: Findings) -> tuple[tuple[str, str], ...]:
    """Read the mapping from columns to paths of fields."""
    given: Any = own.values.get("columns")
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise own.at("columns").error(f"must map columns of the view to fields of the message, not be {given!r}")
    for name, path in given.items():
        if not isinstance(path, str) or not all(path.split(".")):
            at = own.at("columns").at(str(name))
            findings.note(at.mistake(f"must be a field of the message, such as payload.amount, not {path!r}"))
    return tuple((str(name), path) for name, path in given.items() if isinstance(path, str) and all(path.split(".")))


def _note_mistakes(stream: Stream, own: Block, view: FeatureView, findings: Findings) -> None:
    """Note settings that do not go with each other or with the view."""
    used = [*view.join_keys, *filter(None, [view.event_timestamp]), *(each.name for each in view.features)]
    if not stream.topic and own.values.get("topic") in (None, ""):
        findings.note(own.at("topic").mistake("is missing: name the topic whose messages are the view's rows"))
    folded = {name.casefold() for name in used}
    for name, path in stream.columns:
        at, first = own.at("columns").at(name), path.partition(".")[0]
        if name.casefold() not in folded:
            findings.note(
                at.mistake(f"{name!r} is no key, event time or feature of the view{did_you_mean(name, used)}")
            )
        if first.startswith("$") and (first not in (KEY, TIMESTAMP) or path.startswith(f"{TIMESTAMP}.")):
            findings.note(at.mistake(f"{path!r} is no part of a message{did_you_mean(path, (KEY, TIMESTAMP))}"))
        if first == KEY and stream.key_format is None and own.values.get("key_format") is None:
            findings.note(own.at("key_format").mistake(f"is missing: {name!r} is read from the key of the message"))
    for key in ("message", "descriptor"):
        if getattr(stream, key) is not None and MessageFormat.PROTOBUF not in (stream.format, stream.key_format):
            findings.note(own.at(key).mistake(f"is for format: protobuf, and the format is {stream.format}"))
    if stream.dead_letter_topic and stream.dead_letter_file:
        findings.note(own.at("dead_letter_file").mistake("is one place too many: there is a dead_letter_topic"))
    if stream.dead_letter_topic and stream.dead_letter_topic == stream.topic:
        findings.note(own.at("dead_letter_topic").mistake("is the topic itself: dead letters would come back"))
