"""Reads messages as rows of a view: decodes them, finds each column's field, and tells apart what cannot be a row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from feature_sync.definitions import FeatureView, Stream
from feature_sync.definitions.stream import KEY, TIMESTAMP, MessageFormat
from feature_sync.errors import RequestError
from feature_sync.online.codec import RowSchema
from feature_sync.stream.columns import ReadColumn, ValueReaders
from feature_sync.stream.messages import Columns, DeadLetter, Message, Unfit
from feature_sync.value_types import EPOCH, MICROSECOND, ValueType

_LOG = logging.getLogger(__name__)
_ENOUGH_TO_MISS = 1_000
Decode = Callable[[Sequence[bytes]], list[Any]]
"""Decodes the values, or the keys, of messages; raises `Unfit` if one cannot be decoded."""
Path = tuple[str, ...]


class RowReader:
    """Reads the messages of one stream as rows of one schema."""

    def __init__(
        self, view: FeatureView, stream: Stream, schema: RowSchema, *, values: Decode, keys: Decode | None
    ) -> None:
        """Prepare to read.

        Args:
            view: The view.
            stream: Its stream.
            schema: The row schema that the newest push has stored.
            values: Decodes values.
            keys: Decodes keys; None if no column is read from them.

        Raises:
            RequestError: No message can hold a column of the view.
        """
        readers = ValueReaders(view.timezone, stream.timestamps)
        self._values, self._keys, self._moments = values, keys, readers.moments
        self._event_path = stream.path_of(view.event_timestamp or "")
        self._key_columns = [
            (name, stream.path_of(name), _key_reader(view, stream, readers, name, kind)) for name, kind in schema.keys
        ]
        self._columns = [
            (name, stream.path_of(name), _reader(view, readers, name, kind)) for name, kind in schema.features
        ]
        self._tombstones_name_rows = all(path[0] == KEY for _, path, _ in self._key_columns)
        self._unseen = {name: path for name, path, _ in self._columns if path[0] != TIMESTAMP}
        self._read = 0

    def read(self, messages: Sequence[Message]) -> tuple[list[Columns], list[DeadLetter]]:
        """Read messages; returns their rows, and those that cannot be rows."""
        found: list[Columns] = []
        dead: list[DeadLetter] = []
        deletions = [each for each in messages if each.value is None]
        rows = messages if not deletions else [each for each in messages if each.value is not None]
        _divided(rows, self._rows, found, dead)
        _divided(deletions, self._deletions, found, dead)
        return found, dead

    def _rows(self, messages: Sequence[Message]) -> Columns:
        fields = _Fields(messages, self._values([each.value or b"" for each in messages]), self._keys)
        columns = [(name, fields.at(path), read) for name, path, read in self._columns]
        rows = Columns(
            keys=self._join_keys(fields),
            event_timestamps=_named(self._event_path[-1], self._moments, fields.at(self._event_path)),
            values=[_named(name, read, column) for name, column, read in columns],
            partitions=[each.partition for each in messages],
            offsets=[each.offset for each in messages],
        )
        if self._unseen:
            self._note_seen(len(messages), {name: column for name, column, _ in columns})
        return rows

    def _deletions(self, messages: Sequence[Message]) -> Columns:
        """Read messages without a value: each deletes the row that its key names, at the message's own timestamp."""
        if not self._tombstones_name_rows:
            raise Unfit(
                "it has no value, which deletes a row, but the join keys are not read from the key of the message: "
                f"map them to {KEY} in stream.columns"
            )
        fields = _Fields(messages, [], self._keys)
        return Columns(
            keys=self._join_keys(fields),
            event_timestamps=self._moments(fields.at((TIMESTAMP,))),
            values=None,
            partitions=[each.partition for each in messages],
            offsets=[each.offset for each in messages],
        )

    def _join_keys(self, fields: _Fields) -> list[Sequence[Any]]:
        columns = [_named(name, read, fields.at(path)) for name, path, read in self._key_columns]
        for (name, path, _), column in zip(self._key_columns, columns, strict=True):
            if None in column:
                raise Unfit(f"the join key {name!r} is null, or the message has no field {'.'.join(path)!r}")
        return columns

    def _note_seen(self, count: int, columns: dict[str, Sequence[Any]]) -> None:
        """Warn once of features that no message has had so far: a path may be misspelt."""
        for name in [each for each in self._unseen if any(value is not None for value in columns[each])]:
            del self._unseen[name]
        self._read += count
        if self._unseen and self._read >= _ENOUGH_TO_MISS:
            named = ", ".join(f"{name} ({'.'.join(path)})" for name, path in self._unseen.items())
            _LOG.warning("none of the first %d messages has a value for %s: see stream.columns", self._read, named)
            self._unseen.clear()


class _Fields:
    """The fields of messages by their paths."""

    def __init__(self, messages: Sequence[Message], values: Sequence[Any], keys: Decode | None) -> None:
        self._messages, self._values, self._decode = messages, values, keys
        self._keys: Sequence[Any] | None = None

    def at(self, path: Path) -> Sequence[Any]:
        """Return a column; null where a message lacks the field, or what holds it."""
        if path[0] == TIMESTAMP:
            times = [each.timestamp for each in self._messages]
            return [None if each is None else EPOCH + MICROSECOND * (each * 1_000) for each in times]
        column, steps = (self._decoded_keys(), path[1:]) if path[0] == KEY else (self._values, path)
        for at, step in enumerate(steps):
            try:
                column = [None if each is None else each.get(step) for each in column]
            except AttributeError as scalar:
                what = ".".join(steps[:at]) or ("the key of the message" if path[0] == KEY else "the message")
                raise Unfit(f"{what} is not a mapping of fields, so it has no field {'.'.join(path)!r}") from scalar
        return column

    def _decoded_keys(self) -> Sequence[Any]:
        if self._keys is None:
            if self._decode is None or any(each.key is None for each in self._messages):
                raise Unfit("the message has no key")
            self._keys = self._decode([each.key or b"" for each in self._messages])
        return self._keys


def _divided(
    messages: Sequence[Message],
    read: Callable[[Sequence[Message]], Columns],
    found: list[Columns],
    dead: list[DeadLetter],
) -> None:
    """Read messages at once; if one is unfit, in halves, so that a rare one costs a few reads of a whole batch."""
    if not messages:
        return
    try:
        found.append(read(messages))
    except Unfit as unfit:
        if len(messages) == 1:
            dead.append(DeadLetter(messages[0], str(unfit)))
            return
        half = len(messages) // 2
        _divided(messages[:half], read, found, dead)
        _divided(messages[half:], read, found, dead)


def _named(name: str, read: Callable[[Sequence[Any]], Any], column: Sequence[Any]) -> Any:
    """Read a column; what is wrong in it names the column."""
    try:
        return read(column)
    except Unfit as unfit:
        raise Unfit(f"{name}: {unfit}") from unfit


def _reader(view: FeatureView, readers: ValueReaders, name: str, kind: ValueType) -> ReadColumn:
    try:
        return readers.column(kind)
    except ValueError as unreadable:
        raise RequestError(
            f"{view.relation.location}: {view.reference} cannot stream: {name} is {kind}, and {unreadable}"
        ) from unreadable


def _key_reader(view: FeatureView, stream: Stream, readers: ValueReaders, name: str, kind: ValueType) -> ReadColumn:
    """Return the reader of a join key; a key of text alone is read as its type writes it."""
    form = None if kind.scalar is None else kind.scalar.key
    if stream.path_of(name) != (KEY,) or stream.key_format is not MessageFormat.STRING or form is None:
        return _reader(view, readers, name, kind)

    def read(column: Sequence[Any]) -> list[Any]:
        try:
            return [form.read(each) for each in column]
        except (ArithmeticError, ValueError) as wrong:
            raise Unfit(str(wrong)) from wrong

    return read
